# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_geosam_edge_global_optspecs
    string join \n h/help V/version
end

function __fish_geosam_edge_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_geosam_edge_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_geosam_edge_using_subcommand
    set -l cmd (__fish_geosam_edge_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -s V -l version -d 'Print version'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "import-model" -d 'Take the decoder out of a SAM checkpoint'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "export-onnx" -d 'Write an imported decoder as ONNX files, for other runtimes'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "info" -d 'Tell what a folder holds'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "verify" -d 'Read every chip of a folder and report the bad ones'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "footprint" -d 'Draw where the chips of a folder lie'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "segment" -d 'Segment the object under a prompt'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "everything" -d 'Find everything in a folder or a part of it: each object once, over all chips'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "serve" -d 'Serve prompts over MQTT: the appliance'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "pack" -d 'Copy a folder with its chips in half precision'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "bench" -d 'Measure this machine: where the time of a prompt goes'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "doctor" -d 'Check this board: what the program is, which engines it has, whether they agree, how fast they are'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "completions" -d 'Print what a shell needs to complete commands and flags'
complete -c geosam-edge -n "__fish_geosam_edge_needs_command" -f -a "export" -d 'Write a layer of saved objects for maps, ground stations and field apps'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand import-model" -l models -d 'Directory of imported models [default: /var/lib/geosam-edge/models]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand import-model" -l name -d 'Name of the model\'s directory [default: the checkpoint\'s name without its extension]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand import-model" -l half -d 'Store the weights in half precision: half the space, but masks may change slightly unless the weights were halves to begin with'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand import-model" -l replace -d 'Take the place of a model of that name that was imported from other weights'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand import-model" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export-onnx" -l models -d 'Directory of imported models [default: /var/lib/geosam-edge/models]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export-onnx" -l output -d 'Directory to write into' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export-onnx" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand info" -l models -d 'Directory of imported models [default: `models` beside the folder, else /var/lib/geosam-edge/models]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand info" -l json -d 'Print a JSON array with one object a folder'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand footprint" -l output -d 'Where the drawing goes: an SVG with the chips\' ids, or a PNG with their places in the manifest; `-` writes the SVG to standard output' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand footprint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l models -d 'Directory of imported models [default: `models` beside the folder, else /var/lib/geosam-edge/models]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l point -d 'A point; LABEL is 1 for foreground (default) or 0 for background. Repeatable' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l box -d 'A box around the object: west, south, east, north' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l crs -d 'CRS of the coordinates given: EPSG:n, or `source` for the folder\'s own' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l prompts -d 'Objects drawn in another program: GeoJSON, GeoJSON lines, FlatGeobuf, or CSV with columns lon, lat (or wkt) and, where wanted, label and object. Each feature is an object, or all those with one value of `object`; its properties come back with its outline, one Feature a line, chip by chip and not in the file\'s order. `-` reads standard input' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l request -d 'Requests in the JSON of the MQTT interface, one a line or over several lines; `-` reads standard input. What a request does not say is as the flags here say' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l output -d 'Where the answer goes; `-` is standard output. It is GeoJSON, whatever the prompts came in: a file ends in .geojson, or in .geojsonl where it holds an answer or a Feature a line' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l output-crs -d 'CRS of the answer: EPSG:n, or `source` for the folder\'s own' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l vectorization -d 'How polygons are drawn: along pixel edges, or simplified with the topology kept' -r -f -a "pixel\t'Along the pixel edges'
simplified\t'Simplified by the tolerance'"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l tolerance -d 'Tolerance of --vectorization simplified, in source pixels [default: 1.5]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l fill-holes -d 'Holes with a smaller area on the ground are filled, in square metres' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l smooth -d 'Smooth the staircases of pixels over so many source pixels; the outline moves by no more than that, and keeps its area. 2 is a good value' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l multimask -d 'Return the model\'s three candidate masks instead of the single one, or the best of the three by its predicted IoU: a single click may mean a window, a house or a block' -r -f -a "all\t'All three'
best\t'The one with the highest predicted IoU'"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l max-chips -d 'Chips that one object is followed over at the most' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l overlay -d 'A picture of the first mask over the raster beside the folder, with the prompt drawn; a PNG' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l raster -d 'The raster under the picture, in place of the one found beside the folder' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l engine -d 'Which engine decodes: "fused" (what "auto" takes), or "tract", the slower one that it is verified against' -r -f -a "auto\t''
fused\t''
tract\t''
tensorrt\t''"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l threads -d 'Threads of the decoder [default: all cores]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l dump -d 'Write `<id>.logits.npy` and `<id>.mask.png` of every request here; without an id its line number' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l largest-only -d 'Keep only the largest polygon'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l right-angles -d 'Right angles, for buildings: edges along and across one direction. Where that does not fit the mask (IoU below 0.85) the outline is as the other flags say, and its property "right_angles" is "not_fitting"'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l measures -d 'Tell the perimeter of each outline (perimeter_m), the bearing of its long side (orientation_deg, clockwise from north) and how much longer that is than the short one (elongation)'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l stitch -d 'Follow the object beyond its chip into the neighbours: the whole lake, the whole road. Boxes larger than a chip and points on several chips are taken'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -l refine -d 'Decode each prompt twice, the second time from the mask of the first, as segment-anything refines a mask. A request of --request may say "refine": false; or "mask_of" with the id of an earlier request of the same input, whose mask it starts from instead (those of the last 64 are kept). The model must have been imported with the parameters for masks'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand segment" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l models -d 'Directory of imported models [default: `models` beside the folder, else /var/lib/geosam-edge/models]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l box -d 'Only what a point of this box gives: west, south, east, north. Objects that go on beyond it come whole, as far as its chips reach' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l crs -d 'CRS of the box: EPSG:n, or `source` for the folder\'s own' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l output -d 'Where the objects go; `-` is standard output. One Feature a line, or one FeatureCollection where the name ends in .geojson or .json' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l output-crs -d 'CRS of the answer: EPSG:n, or `source` for the folder\'s own' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l vectorization -d 'How polygons are drawn: along pixel edges, or simplified with the topology kept' -r -f -a "pixel\t'Along the pixel edges'
simplified\t'Simplified by the tolerance'"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l tolerance -d 'Tolerance of --vectorization simplified, in source pixels [default: 1.5]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l min-area -d 'Parts with a smaller area on the ground are left out, in square metres' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l fill-holes -d 'Holes with a smaller area on the ground are filled, in square metres' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l smooth -d 'Smooth the staircases of pixels over so many source pixels; the outline moves by no more than that, and keeps its area. 2 is a good value' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l points-per-side -d 'Points along each side of a chip' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l pred-iou-thresh -d 'Masks with a lower predicted IoU are left out, 0 to 1' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l stability-score-thresh -d 'Masks with a lower stability score are left out, 0 to 1: the share of a mask that stays when the cutoff is raised' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l stability-score-offset -d 'How far the cutoff of the logits is raised and lowered for the stability score' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l nms-thresh -d 'Of two masks of a chip with a greater IoU the less sure one is a duplicate, 0 to 1' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l min-mask-region-area -d 'Regions of an object with fewer pixels are left out' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l engine -d 'Which engine decodes: "fused" (what "auto" takes), or "tract", the slower one that it is verified against' -r -f -a "auto\t''
fused\t''
tract\t''
tensorrt\t''"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l threads -d 'Threads of the decoder [default: all cores]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l fleet -d 'Let the boards of this group ask the chips: those that have it in `[fleet] groups` of their configuration, and serve the same folder with the same model. The objects are put together here, and are those that this machine would have found by itself. A chip that no board answers is asked here' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l broker -d 'The broker: mqtt://HOST:PORT, or mqtts:// for TLS [default: that of --config, else mqtt://localhost]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l config -d 'Configuration of a service (TOML), for its section [broker] (user, password, certificates) and its root topic' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l client -d 'The client\'s name in topics: it must be allowed to publish on <root>/fleet/<group>/request/<client>/everything and to read <root>/fleet/<group>/response/<client>/everything' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l folder-name -d 'The folder\'s name on the boards [default: its name here]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l on-their-way -d 'Chips on their way at a time: two a board keep all of them busy' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l patience -d 'Seconds after which a chip that no board has answered is given to another one as well; less once answers show how long they take' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l right-angles -d 'Right angles, for buildings: edges along and across one direction. Where that does not fit the mask (IoU below 0.85) the outline is as the other flags say, and its property "right_angles" is "not_fitting"'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -l measures -d 'Tell the perimeter of each outline (perimeter_m), the bearing of its long side (orientation_deg, clockwise from north) and how much longer that is than the short one (elongation)'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand everything" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l config -d 'Configuration file (TOML); systemd/geosam-edge.example.toml explains every key. Without one the folders below ./features are served with models from ./models against a broker on localhost' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l broker -d 'Address of the broker: mqtt://HOST:PORT, or mqtts:// for TLS' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l device -d 'Name of this board in topics; default: the host\'s name' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l features -d 'Directory of feature folders; may be repeated. Takes the place of the file\'s list' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l models -d 'Directory of imported models' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l state -d 'Directory of what must survive a restart' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l engine -d 'Which engine decodes: "auto" takes TensorRT where it can be used, otherwise "fused" on the processor' -r -f -a "auto\t''
fused\t''
tract\t''
tensorrt\t''"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l web -d 'Serve the map page on this address, for example 127.0.0.1:8080' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -l check -d 'Check the configuration, print what is in force as TOML, and exit'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand serve" -s h -l help -d 'Print help'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand pack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -l models -d 'Directory of imported models' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -l threads -d 'Threads of the decoder, one report for each count [default: 1 and all cores]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -l engine -d 'Engines to measure: "fused" (what "auto" takes), "tract", or both' -r -f -a "auto\t''
fused\t''
tract\t''
tensorrt\t''"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -l chips -d 'Chips to measure with, spread over the folder' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -l rounds -d 'Repetitions on each chip' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -l json -d 'Print the report as JSON'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand bench" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l config -d 'Configuration of the service (TOML): models, state, threads and the section [tensorrt]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l models -d 'Directory of imported models; without one that holds any, weights made by a formula are tried' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l state -d 'State directory, which keeps the engines of TensorRT' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l model -d 'Only the model of this name; default: all' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l library -d 'libonnxruntime.so, in place of the configured one' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l threads -d 'Threads of one decode [default: the service\'s]' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l in-process -d 'Try fused and tract inside this process, where a system starts no other (under an emulator)'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l broker -d 'Try the configured broker instead of the engines: rights, round trip, sizes, what becomes of requests while the board is away. Under client ids of its own; a service that runs is not disturbed'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -l json -d 'Print the report as JSON'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand completions" -s o -l output -d 'Where it goes; `-` is standard output' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l state -d 'State directory of the service, which may be running [default: ./state, else that of the appliance]' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l config -d 'Configuration of the service (TOML), for its state directory' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l format -d 'Format to write [default: by the ending of the output, else geojson]' -r -f -a "geojson\t'One GeoJSON FeatureCollection (RFC 7946)'
geojsonl\t'One GeoJSON Feature a line (GDAL\'s GeoJSONSeq), as layers are kept'
kml\t'OGC KML 2.2 with a style, as Google Earth and ground stations read; a named Placemark a part'
kmz\t'The same, compressed'
flatgeobuf\t'FlatGeobuf 3 with a spatial index, the fastest to open in QGIS'
gpkg\t'OGC GeoPackage 1.2 with spatial index and style, for QGIS, QField and Mergin Maps; several layers in one file'
plan\t'QGroundControl: a plan of geofences'
poly\t'Mission Planner alone: a directory with a polygon a file. MAVProxy misreads these; give it `wpl`'
wpl\t'QGC WPL 110: geofences for MAVProxy and ArduPilot\'s tools'
cot\t'Cursor on Target: an event a part, for ATAK and its kin'"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -s o -l output -d 'File to write, replaced only when the export is whole; `-` is standard output; for `poly` a directory to create' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l inclusion -d 'Fences (`plan`, `wpl`): whether vehicles are to stay inside of the objects, or to keep out of them [default: false, keep out]' -r -f -a "true\t''
false\t''"
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l qgis-project -d 'Write a QGIS project, too: the layers of the GeoPackage in their colours, over raster and chips of the folder' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l folder -d 'Feature folder, or its manifest, whose raster and chips the project shows' -r -F
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l id -d 'The object of this id; may be given several times' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l client -d 'Those that this client saved (property `client`)' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l since -d 'Those saved at this time or later (property `saved_at`): a date, or a time, as 2026-05-01T12:00:00Z or 2026-05-01T14:00:00+02:00; without an offset in UTC' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l until -d 'Those saved before this time; a date is its first moment' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l box -d 'Those whose bounds meet this box in degrees (EPSG:4326): west, south, east, north; west may exceed east, across the antimeridian' -r
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -l append -d 'Add to the GeoPackage that is there, in one step and while others have it open; a table of the layer\'s name is replaced, its style stays'
complete -c geosam-edge -n "__fish_geosam_edge_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
