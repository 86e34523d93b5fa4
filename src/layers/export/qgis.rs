//! A QGIS project (`.qgs`): tables of a GeoPackage in their colours, over a folder's raster and the outlines of its chips.
//!
//! It has the least that QGIS 3.22 opens without a word; all else is as QGIS sets it when it opens. Some of it stands here
//! because QGIS passes over what it does not like in silence:
//! - an `id` of ten characters or fewer is replaced, and the tree has no layer of that name then;
//! - a CRS goes by its `authid` only beside an `srsid` above 0, whichever, and the project's own only where
//!   `ProjectionsEnabled` is 1;
//! - what a layer's `srs` says holds, whatever the file says of itself.
//!
//! Not here: which files there are and how they lie to each other.

use super::colour;
use super::xml::escape;

/// Layers are kept in it.
const DEGREES: u32 = 4326;

/// What a project shows. Paths are as seen from the project's directory, and begin with `./`: only then QGIS looks there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Project<'a> {
    /// Its name.
    pub title: &'a str,
    /// EPSG code of the map.
    pub epsg: u32,
    /// What is in view at first: west, south, east, north in that CRS.
    pub view: [f64; 4],
    /// The GeoPackage.
    pub package: &'a str,
    /// Its tables, from the top.
    pub layers: &'a [String],
    /// GeoJSON with the outlines of chips, in the map's CRS.
    pub chips: Option<&'a str>,
    /// A raster in the map's CRS.
    pub raster: Option<&'a str>,
}

/// The text of a project.
#[must_use]
pub fn qgis_project(project: &Project<'_>) -> String {
    let shown = shown(project);
    let tree: String = shown.iter().map(Shown::in_tree).collect();
    let layers: String = shown.iter().map(Shown::definition).collect();
    let (title, crs) = (escape(project.title), crs(project.epsg));
    let [west, south, east, north] = project.view;
    format!(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n\
         <qgis version=\"3.22.0\" projectname=\"{title}\">\n\
         <title>{title}</title>\n\
         <projectCrs>{crs}</projectCrs>\n\
         <layer-tree-group>\n{tree}</layer-tree-group>\n\
         <mapcanvas name=\"theMapCanvas\"><extent><xmin>{west}</xmin><ymin>{south}</ymin><xmax>{east}</xmax>\
         <ymax>{north}</ymax></extent><destinationsrs>{crs}</destinationsrs></mapcanvas>\n\
         <projectlayers>\n{layers}</projectlayers>\n\
         <properties><SpatialRefSys><ProjectionsEnabled type=\"int\">1</ProjectionsEnabled></SpatialRefSys></properties>\n\
         <ProjectViewSettings><DefaultViewExtent xmin=\"{west}\" ymin=\"{south}\" xmax=\"{east}\" ymax=\"{north}\">{crs}\
         </DefaultViewExtent></ProjectViewSettings>\n\
         </qgis>\n"
    )
}

/// A layer of the project.
struct Shown {
    /// What ties tree and definition together.
    id: String,
    name: String,
    source: String,
    epsg: u32,
    /// How areas are drawn; a raster is drawn as QGIS thinks best.
    renderer: Option<String>,
}

impl Shown {
    fn provider(&self) -> &'static str {
        if self.renderer.is_some() { "ogr" } else { "gdal" }
    }

    fn in_tree(&self) -> String {
        let (Self { id, name, .. }, provider) = (self, self.provider());
        format!(
            "<layer-tree-layer id=\"{id}\" name=\"{name}\" providerKey=\"{provider}\" checked=\"Qt::Checked\" \
             expanded=\"0\"/>\n"
        )
    }

    fn definition(&self) -> String {
        let Self { id, name, source, epsg, renderer } = self;
        let kind =
            if renderer.is_some() { "type=\"vector\" geometry=\"Polygon\"" } else { "type=\"raster\"" };
        let (source, crs, provider) = (escape(source), crs(*epsg), self.provider());
        let renderer = renderer.as_deref().unwrap_or_default();
        format!(
            "<maplayer {kind}><id>{id}</id><datasource>{source}</datasource><layername>{name}</layername>\
             <srs>{crs}</srs><provider>{provider}</provider>{renderer}</maplayer>\n"
        )
    }
}

/// From the top. Names of layers have no character that XML escapes.
fn shown(project: &Project<'_>) -> Vec<Shown> {
    let mut shown: Vec<Shown> = project
        .layers
        .iter()
        .zip(colour::of_layers(project.layers))
        .map(|(layer, colour)| Shown {
            id: format!("geosam_edge_layer_{layer}"),
            name: layer.clone(),
            source: format!("{}|layername={layer}", project.package),
            epsg: DEGREES,
            renderer: Some(areas(colour, colour::FILLED, "solid", 0.6)),
        })
        .collect();
    if let Some(source) = project.chips {
        shown.push(Shown {
            id: "geosam_edge_chips".to_owned(),
            name: "chips".to_owned(),
            source: source.to_owned(),
            epsg: project.epsg,
            renderer: Some(areas([255; 3], 0, "dash", 0.3)),
        });
    }
    if let Some(source) = project.raster {
        shown.push(Shown {
            id: "geosam_edge_raster".to_owned(),
            name: "raster".to_owned(),
            source: source.to_owned(),
            epsg: project.epsg,
            renderer: None,
        });
    }
    shown
}

fn crs(epsg: u32) -> String {
    format!("<spatialrefsys><srsid>1</srsid><authid>EPSG:{epsg}</authid></spatialrefsys>")
}

/// An outline of so many millimetres, and a filling of so much of 255.
fn areas([red, green, blue]: [u8; 3], filled: u8, line: &str, width: f64) -> String {
    format!(
        "<renderer-v2 type=\"singleSymbol\"><symbols><symbol type=\"fill\" name=\"0\" alpha=\"1\">\
         <layer class=\"SimpleFill\" enabled=\"1\">\
         <prop k=\"color\" v=\"{red},{green},{blue},{filled}\"/><prop k=\"style\" v=\"solid\"/>\
         <prop k=\"outline_color\" v=\"{red},{green},{blue},255\"/><prop k=\"outline_style\" v=\"{line}\"/>\
         <prop k=\"outline_width\" v=\"{width}\"/><prop k=\"outline_width_unit\" v=\"MM\"/>\
         </layer></symbol></symbols></renderer-v2>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project<'a>(layers: &'a [String], chips: Option<&'a str>, raster: Option<&'a str>) -> Project<'a> {
        let view = [512_000.0, 5_277_232.0, 513_024.0, 5_278_000.0];
        Project { title: "a <b> & c", epsg: 32632, view, package: "./card.gpkg", layers, chips, raster }
    }

    #[test]
    fn layers_lie_over_chips_and_chips_over_the_raster() {
        let layers = ["ponds".to_owned(), "fields-2.a".to_owned()];
        let text = qgis_project(&project(&layers, Some("./a&b-chips.geojson"), Some("./scene.tif")));
        let places: Vec<usize> = ["layer_ponds\"", "layer_fields-2.a\"", "edge_chips\"", "edge_raster\""]
            .map(|id| text.find(id).unwrap())
            .to_vec();
        assert!(places.is_sorted(), "{places:?}");
        assert!(text.contains("<datasource>./card.gpkg|layername=fields-2.a</datasource>"), "{text}");
        assert!(text.contains("<datasource>./a&amp;b-chips.geojson</datasource>"), "{text}");
        assert!(text.contains("<title>a &lt;b&gt; &amp; c</title>"), "{text}");
        let [red, green, blue] = colour::of_layer("ponds");
        assert!(text.contains(&format!("v=\"{red},{green},{blue},77\"")), "{text}");
        assert_eq!(text.matches("type=\"vector\"").count(), 3);
        assert!(text.contains("<maplayer type=\"raster\"><id>geosam_edge_raster</id>"), "{text}");
    }

    #[test]
    fn a_project_without_a_folder_has_the_layers_alone() {
        let layers = ["ponds".to_owned()];
        let text = qgis_project(&project(&layers, None, None));
        assert_eq!(text.matches("<maplayer ").count(), 1);
        assert!(!text.contains("geosam_edge_chips") && !text.contains("geosam_edge_raster"));
    }

    #[test]
    fn every_id_is_longer_than_what_qgis_replaces() {
        let layers = ["a".to_owned()];
        let project = project(&layers, Some("./c"), Some("./r"));
        assert!(shown(&project).iter().all(|layer| layer.id.len() > 10));
    }
}
