//! What the fuzz targets begin with: samples of each kind, each of which is read to the end. `fuzz/run.sh` has them
//! written to `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::{Value, json};

use crate::api::{Limits, RequestId, parse_request};
use crate::bus::{Inbound, Topics, Verb};
use crate::catalog::testing::{ManifestBuilder, grid_rows, polygon_wkb, square_ring};
use crate::catalog::{check_manifest, read_polygon};
use crate::features::torch::testing::{Py, PyTensor, TorchFile, pair, pickle, text};
use crate::features::torch::{TorchArchive, unpickle};
use crate::features::v1;
use crate::geo::Crs;
use crate::layers::export::{Format, Settings, export};
use crate::layers::{Filter, Layers};
use crate::picture::TiledRaster;
use crate::service::Judged;
use crate::store::{Change, InboxEntry, OutboxMessage, RequestKey, Store, StoreLimits};

/// A target's samples, each with a name.
type Seeds = Vec<(String, Vec<u8>)>;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Checks the samples of a target, and writes them where `GEOSAM_FUZZ_CORPUS` says so.
fn keep(target: &str, seeds: &Seeds, is_read: impl Fn(&[u8]) -> bool) {
    assert!(!seeds.is_empty());
    for (name, bytes) in seeds {
        assert!(is_read(bytes), "{target}: the sample {name} is not read");
        if let Some(corpus) = std::env::var_os("GEOSAM_FUZZ_CORPUS") {
            let directory = Path::new(&corpus).join(target);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(name), bytes).unwrap();
        }
    }
}

fn numbered(samples: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Seeds {
    let named =
        |(number, sample): (usize, _)| (format!("{number:02}"), AsRef::<[u8]>::as_ref(&sample).to_vec());
    samples.into_iter().enumerate().map(named).collect()
}

fn requests() -> Vec<Value> {
    let polygon =
        json!({"type": "Polygon", "coordinates": [[[9.0, 47.0], [9.1, 47.0], [9.1, 47.1], [9.0, 47.0]]]});
    let point = json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [9.0, 47.0]},
        "properties": {"label": 0}});
    vec![
        json!({"id": "a", "points": [[9.17, 47.65]], "labels": [1], "folder": "valley", "ttl_ms": 5000}),
        json!({"id": 7, "bbox": [9.0, 47.0, 9.1, 47.1], "crs": "EPSG:4326", "stitch": true, "max_chips": 4}),
        json!({"id": "b", "prompts": [{"points": [[9.0, 47.0]], "properties": {"n": 1}}, {"bbox": [179.0, -10, -179, 10]}]}),
        json!({"id": "c", "points": [[9.0, 47.0]], "output": {"crs": "EPSG:3857", "multimask": "best", "min_area_m2": 2,
            "vectorization": "simplified", "tolerance": 0.5, "largest_only": true, "max_bytes": 65536,
            "finish": {"fill_holes_m2": 3, "right_angles": true}}}),
        json!({"id": "d", "type": "Feature", "geometry": polygon, "properties": {"name": "pond"}}),
        json!({"id": "e", "type": "FeatureCollection", "features": [point, 7, {"type": "Feature", "geometry": null}],
            "geosam": {"objects": "each"}}),
        json!({"id": "f", "session": "s", "points": [[9.0, 47.0]], "refine": true}),
        json!({"id": "g", "session": "s", "layer": "ponds", "properties": {"kind": "pond"}}),
        json!({"id": "h", "layer": "ponds", "ids": ["x"], "properties": {"kind": null}, "to_layer": "lakes"}),
        json!({"id": "i", "layer": "ponds", "limit": 10, "offset": 0, "since": "2026-11-01T00:00:00Z"}),
        json!({"id": "j", "layer": "roofs", "bbox": [9.0, 47.0, 9.1, 47.1], "everything": {"points_per_side": 16}}),
        json!({"id": "k", "points": [[9.0, 47.0]], "preview": true}),
        json!({"request_id": "a"}),
    ]
}

#[test]
fn requests_are_read() {
    let seeds = numbered(requests().iter().map(Value::to_string));
    keep("request", &seeds, |bytes| {
        parse_request(bytes, &Limits::default()).inspect_err(|(_, error)| println!("{error}")).is_ok()
    });
}

/// Each part of a tree with something else in its place, of every kind that JSON has; and without it.
fn with_each_part_replaced(tree: &Value) -> Vec<Value> {
    fn places(tree: &Value, path: String, found: &mut Vec<String>) {
        match tree {
            Value::Object(members) => {
                for (name, part) in members {
                    places(part, format!("{path}/{name}"), found);
                }
            }
            Value::Array(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    places(part, format!("{path}/{index}"), found);
                }
            }
            _ => {}
        }
        found.push(path);
    }
    let mut found = Vec::new();
    places(tree, String::new(), &mut found);
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!("text"),
        json!([]),
        json!({}),
        json!([[]]),
        json!([5]),
        json!({"type": 5}),
        json!({"type": "Feature"}),
        json!({"type": "FeatureCollection", "features": [7]}),
    ];
    let mut all = Vec::new();
    for path in &found {
        for other in &others {
            let mut changed = tree.clone();
            if let Some(part) = changed.pointer_mut(path) {
                *part = other.clone();
                all.push(changed);
            }
        }
        let Some((above, name)) = path.rsplit_once('/') else { continue };
        let mut without = tree.clone();
        match without.pointer_mut(above) {
            Some(Value::Object(members)) => drop(members.remove(name)),
            Some(Value::Array(parts)) => drop(parts.remove(name.parse().unwrap())),
            _ => {}
        }
        all.push(without);
    }
    all
}

#[test]
fn requests_with_anything_in_place_of_any_part_are_taken_or_refused_by_every_verb() {
    let mut judged = 0;
    for request in requests() {
        for changed in with_each_part_replaced(&request) {
            let payload = changed.to_string();
            for verb in Verb::ALL {
                let topic = format!("geosam/edge/request/alice/{verb}");
                let bytes = message(1, &topic, b"c", "geosam/edge/response/alice/mine", payload.as_bytes());
                // It asserts that what is taken can be read again, and what is refused has an answer.
                let taken = matches!(super::judged(super::message(&bytes).unwrap()), Judged::Taken(_));
                judged += 1 + usize::from(taken);
            }
        }
    }
    assert!(judged > 20_000, "{judged}");
}

/// The bytes of which [`super::message`] makes a message.
fn message(flags: u8, topic: &str, correlation: &[u8], response: &str, payload: &[u8]) -> Vec<u8> {
    let led = |bytes: &[u8]| [&[u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let mut message = vec![flags | 8 | 16];
    for piece in [topic.as_bytes(), correlation, response.as_bytes()] {
        message.extend(led(piece));
    }
    message.extend(payload);
    message
}

#[test]
fn messages_are_taken_by_each_verb_and_one_is_refused() {
    let requests = requests();
    let verbs = [
        "segment",
        "segment",
        "save",
        "segment",
        "segment",
        "segment",
        "add",
        "save",
        "update",
        "fetch",
        "everything",
        "segment",
        "cancel",
    ];
    assert_eq!(verbs.len(), requests.len());
    let topic = |verb: &str| format!("geosam/edge/request/alice/{verb}");
    let mut payloads: Vec<(Value, &str)> = requests.into_iter().zip(verbs).collect();
    for (payload, verb) in &mut payloads {
        if *verb == "save" && payload.get("layer").is_none() {
            payload["layer"] = json!("ponds");
        }
    }
    let sample = |(payload, verb): &(Value, &str)| {
        message(1, &topic(verb), b"corr", "geosam/edge/response/alice/mine", payload.to_string().as_bytes())
    };
    let mut seeds = numbered(payloads.iter().map(sample));
    let fleet = message(
        1,
        "geosam/fleet/valley/request/bob/segment",
        b"",
        "geosam/fleet/valley/response/bob/segment",
        br#"{"id":1,"points":[[9,47]]}"#,
    );
    seeds.push(("fleet".to_owned(), fleet));
    keep("message", &seeds, |bytes| {
        let judged = super::judged(super::message(bytes).unwrap());
        println!("{judged:?}");
        matches!(judged, Judged::Taken(_))
    });
    let refused = [message(1, &topic("segment"), &[7; 255], "elsewhere", b"{}")];
    keep("message", &vec![("refused".to_owned(), refused[0].clone())], |bytes| {
        matches!(super::judged(super::message(bytes).unwrap()), Judged::Refused(_))
    });
}

#[test]
fn packets_of_a_broker_go_through() {
    let connack = [0x20, 9, 0, 0x87, 6, 0x1F, 0, 3, b'w', b'h', b'y'];
    let publish = [0x32, 15, 0, 3, b'a', b'/', b'b', 0, 1, 4, 0x26, 0, 0, 0, b'h', b'i', b'!'];
    let refused = [0x40, 3, 0, 1, 0x95];
    let stream = [&connack[..], &publish[..], &refused[..], &[0xD0, 0]].concat();
    // Led by the version and the largest payload.
    let seeds = numbered([5, 4].map(|version| [&[version, 8], &stream[..]].concat()));
    keep("packets", &seeds, |bytes| {
        super::looked_through(bytes[0] == 5, bytes[1].into(), [&bytes[2..]]).is_ok()
    });
}

#[test]
fn markers_of_tak_are_heard() {
    let marker = |uid: &str| {
        format!(
            "<event version=\"2.0\" uid=\"{uid}\" type=\"a-u-G\" how=\"h-g-i-g-o\" time=\"2026-11-30T11:00:00.000Z\" \
             start=\"2026-11-30T11:00:00.000Z\" stale=\"2026-11-30T14:30:00.5+02:30\"><point lat=\"47.65\" lon=\"9.17\" \
             hae=\"0\" ce=\"9999999.0\" le=\"9999999.0\"/><detail><contact callsign=\"Pond &#252;\"/></detail></event>"
        )
    };
    let declared = format!("<?xml version='1.0' encoding='UTF-8'?>\n{}\n", marker("declared"));
    let passed = "<!-- a comment --><ping/><event uid='p' type='a-f-G' how='h-e'><detail><takv os='34'/><remarks>\
                  <![CDATA[ ]]]]></remarks></detail></event>";
    let streams =
        [marker("one"), declared + passed + &marker("two"), format!("<!DOCTYPE a>{}", marker("three"))];
    // Led by the size of the pieces in which it comes.
    let seeds = numbered(streams.map(|stream| [&[7_u8][..], stream.as_bytes()].concat()));
    keep("cot_stream", &seeds, |bytes| !super::markers_in(&bytes[1..], bytes[0].into()).0.is_empty());
}

/// A layer of two objects, exported.
fn exported(format: Format) -> Vec<u8> {
    let state = tempfile::tempdir().unwrap();
    Layers::open(state.path()).unwrap();
    fs::write(state.path().join("layers/x.geojsonl"), layer_lines()).unwrap();
    let mut out = Vec::new();
    let settings = Settings { format, inclusion: true, now: UNIX_EPOCH, filter: Filter::default() };
    export(state.path(), "x", &settings, &mut out, Path::new("x")).unwrap();
    out
}

fn layer_lines() -> Vec<u8> {
    let feature = |id: &str, x: f64| {
        json!({"type": "Feature", "id": id, "properties": {"score": 0.9, "client": "alice", "kind": "pond"},
            "geometry": {"type": "Polygon", "coordinates": [[[x, 47.0], [x + 0.1, 47.0], [x, 47.1], [x, 47.0]]]}})
        .to_string()
    };
    format!("{}\n{}\n", feature("one", 9.0), feature("two", 10.0)).into_bytes()
}

#[test]
fn layer_files_are_read() {
    let torn = [&layer_lines()[..], br#"{"type":"Feature","id":"thr"#].concat();
    let seeds = vec![("layer".to_owned(), layer_lines()), ("torn".to_owned(), torn)];
    keep("layer_file", &seeds, |bytes| {
        let state = tempfile::tempdir().unwrap();
        let layers = Layers::open(state.path()).unwrap();
        fs::write(state.path().join("layers/x.geojsonl"), bytes).unwrap();
        layers.list().unwrap()[0].features == 2
    });
}

#[test]
fn files_of_prompts_are_read_in_every_format() {
    let csv = "lon,lat,label,object,name\n9.0,47.0,1,a,Pond\n9.1,47.1,0,a,Pond\n9.2,47.2,1,b,Lake\n";
    let seeds = vec![
        ("csv".to_owned(), csv.into()),
        ("excel".to_owned(), b"\xEF\xBB\xBFsep=;\r\nlon;lat\r\n9,0;47,0\r\n".to_vec()),
        ("boxes".to_owned(), b"west,south,east,north\n9,47,9.1,47.1\n".to_vec()),
        ("wkt".to_owned(), b"wkt\n\"POLYGON((9 47,9.1 47,9.1 47.1,9 47))\"\nPOINT(9 47)\n".to_vec()),
        ("geojson".to_owned(), exported(Format::GeoJson)),
        ("geojsonl".to_owned(), exported(Format::GeoJsonLines)),
        #[cfg(feature = "flatgeobuf")]
        ("flatgeobuf".to_owned(), exported(Format::FlatGeobuf)),
    ];
    keep("prompts", &seeds, |bytes| {
        let read = super::prompts(bytes);
        println!("{read:?}");
        read.is_some_and(|(objects, prompts)| objects > 0 && prompts == objects)
    });
}

#[test]
fn manifests_are_read() {
    let of = |name: &str| (name.replace('/', "-"), fs::read(fixtures().join(name)).unwrap());
    let mut seeds: Seeds = ["abutting/manifest.parquet", "folder_sam/manifest.parquet"].map(of).into();
    seeds.push(of("manifest_of_fastparquet.parquet"));
    seeds.push(("grid".to_owned(), ManifestBuilder::new(grid_rows(3, 2)).bytes()));
    keep("manifest", &seeds, |bytes| check_manifest(bytes).is_ok());
}

#[test]
fn archives_of_torch_are_read() {
    let features = |tensor: PyTensor| {
        Py::Dict(vec![
            ("features", Py::Tensor(tensor)),
            ("model_type", text("mobile_sam.pt")),
            ("src_shape", pair(1024, 1024)),
            ("crs", text("EPSG:32650")),
        ])
    };
    let plain = features(PyTensor::contiguous("0", &[1, 4, 2, 2]));
    let last = features(PyTensor::channels_last("0", &[1, 4, 2, 2]));
    let half = features(PyTensor::contiguous("0", &[1, 4, 2, 2]).of_class("HalfStorage"));
    let file = |value: &Py, bytes: usize| TorchFile::new(value).storage("0", vec![1; bytes]);
    let mut wide = file(&plain, 64);
    wide.zip64 = true;
    let seeds = numbered([file(&plain, 64), file(&last, 64), file(&half, 32), wide].map(|file| file.bytes()));
    keep("torch_archive", &seeds, |bytes| {
        TorchArchive::from_reader(bytes, bytes.len() as u64, Path::new("x.pt"))
            .is_ok_and(|archive| archive.verify().is_ok())
    });
    keep("unpickle", &numbered([&plain, &last, &half].map(pickle)), |bytes| unpickle(bytes).is_ok());
}

#[test]
fn rasters_and_chips_of_version_1_are_read() {
    let files = |directory: &str| -> Seeds {
        let of =
            |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        let entries = fs::read_dir(fixtures().join(directory)).unwrap().map(Result::unwrap);
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "tif")).map(of).collect()
    };
    keep("v1_tiff", &files("v1"), |bytes| {
        v1::chip_of(bytes, Path::new("sam_feat_vit_b.tif")).inspect_err(|error| println!("{error}")).is_ok()
    });
    let rasters = files("rasters");
    let opens = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        v1::read_header(file.path()).is_ok() && TiledRaster::open(file.path()).is_ok()
    };
    keep("raster", &rasters, opens);
    // Led by the place of a tile.
    let tiles = rasters.into_iter().map(|(name, bytes)| (name, [&[0, 0, 0], &bytes[..]].concat())).collect();
    keep("tiles", &tiles, |bytes| opens(&bytes[3..]));
}

#[test]
fn crs_texts_polygons_paths_and_topics_are_read() {
    let texts: Vec<Value> =
        serde_json::from_slice(&fs::read(fixtures().join("crs_texts.json")).unwrap()).unwrap();
    let texts = texts.iter().filter_map(|text| text["text"].as_str()).filter(|text| Crs::parse(text).is_ok());
    keep("wkt", &numbered(texts.take(60)), |bytes| Crs::parse(str::from_utf8(bytes).unwrap()).is_ok());

    keep("wkb", &numbered([polygon_wkb(&square_ring())]), |bytes| {
        read_polygon(bytes, &mut Vec::new()).is_ok()
    });

    let topics = ["edge/request/alice/segment", "fleet/valley/request/alice/segment"]
        .map(|rest| format!("geosam/{rest}"));
    let board = Topics::new("geosam", "edge", &["valley".to_owned()]).unwrap();
    keep("topic", &numbered(topics), |bytes| {
        matches!(board.parse(str::from_utf8(bytes).unwrap()), Inbound::Request(_))
    });

    #[cfg(feature = "web")]
    {
        let paths =
            ["/", "/mqtt", "/api/folders", "/api/folders/a%20b/chips.geojson", "/tiles/valley/3/1/2.png"];
        let read = |bytes: &[u8]| crate::web::route(str::from_utf8(bytes).unwrap()).is_some();
        keep("web_path", &numbered(paths), read);
    }
}

#[test]
fn rows_of_a_store_are_read() {
    const TABLES: [&str; 6] = ["inbox", "outbox", "bodies", "answers", "journal", "saved"];
    let state = tempfile::tempdir().unwrap();
    let opened = Store::open(state.path(), StoreLimits::default()).unwrap();
    let id = RequestId::Text("1".to_owned());
    let entry = InboxEntry {
        client: "alice".to_owned(),
        verb: "segment".to_owned(),
        key: Some(RequestKey::new("alice", "segment", &id, None, b"{}")),
        payload: b"{}".to_vec(),
        ..InboxEntry::default()
    };
    let answer =
        OutboxMessage::new(crate::store::Class::Answer, "geosam/edge/response/alice/segment", *b"{}");
    opened.store.commit(vec![Change::Receive(Box::new(entry)), Change::Publish(answer)]).unwrap();
    drop(opened);

    // Pieces led by a table, a place and a length, as the target takes them.
    let db = redb::Database::open(state.path().join("state.redb")).unwrap();
    let rows = db.begin_read().unwrap();
    let mut seed = Vec::new();
    for (number, name) in (0_u8..).zip(TABLES) {
        let Ok(table) = rows.open_table(TableDefinition::<u64, &[u8]>::new(name)) else { continue };
        for row in table.iter().unwrap() {
            let (place, row) = row.unwrap();
            let length = u8::try_from(row.value().len()).unwrap();
            seed.extend([number, u8::try_from(place.value()).unwrap(), length]);
            seed.extend(row.value());
        }
    }
    keep("store_rows", &numbered([seed]), |bytes| bytes.len() > 100);
}
