//! Geofences of ground stations: QGroundControl's plan, `QGC WPL 110` for MAVProxy and ArduPilot's tools, Mission
//! Planner's polygons. Latitude comes first in all of them, and rings are not closed.
//!
//! None of them has holes. In a fence to stay inside of, a hole becomes a fence of its own to keep out of, which is the
//! same area; in one to keep out of, and in a bare polygon, the outer ring is written, and told.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;

use super::objects::{Area, LonLat, clockwise, each_object};
use super::{ExportError, Exported, Failure, Format, Source};

/// The most vertices that ArduPilot takes in a fence: it counts them in a byte (`AC_PolyFence_loader`).
const MOST_VERTICES: usize = 255;

/// MAVLink's commands for the vertex of a fence: `MAV_CMD_NAV_FENCE_POLYGON_VERTEX_INCLUSION` and `..._EXCLUSION`.
const STAY_INSIDE: u16 = 5001;
const KEEP_OUT: u16 = 5002;

/// One fence: whether to stay inside of it, and its vertices, clockwise.
struct Fence {
    inclusion: bool,
    vertices: Vec<LonLat>,
}

/// The fences of an area, and whether a hole was lost.
fn fences(area: &Area, inclusion: bool) -> (Vec<Fence>, bool) {
    let mut fences = vec![Fence { inclusion, vertices: clockwise(&area.outer) }];
    if inclusion {
        let hole = |hole: &Vec<LonLat>| Fence { inclusion: false, vertices: clockwise(hole) };
        fences.extend(area.holes.iter().map(hole));
    }
    (fences, !inclusion && !area.holes.is_empty())
}

/// Hands over the fences of a layer, and counts what others should know of them.
fn each_fence(
    source: &mut Source,
    format: Format,
    inclusion: bool,
    mut take: impl FnMut(&Fence, LonLat) -> Result<(), Failure>,
) -> Result<Exported, Failure> {
    let (mut holed, mut large) = (0, 0);
    let exported = each_object(source, format.name(), |object, _| {
        let (mut lost, mut is_large) = (false, false);
        for area in &object.areas {
            let (fences, has_lost) = fences(area, inclusion);
            lost |= has_lost;
            for fence in fences {
                is_large |= fence.vertices.len() > MOST_VERTICES;
                take(&fence, area.outer[0])?;
            }
        }
        holed += u64::from(lost);
        large += u64::from(is_large);
        Ok(())
    })?;
    Ok(Exported { holed, large, ..exported })
}

/// QGroundControl's plan, version 1: fences and an empty mission, whose home is a vertex of the first object.
pub(super) fn plan(source: &mut Source, inclusion: bool, out: &mut dyn Write) -> Result<Exported, Failure> {
    let mut home = None;
    let exported = each_fence(source, Format::Plan, inclusion, |fence, vertex| {
        if home.is_none() {
            home = Some(vertex);
            let head = "{\"fileType\":\"Plan\",\"version\":1,\"groundStation\":\"geosam-edge\",";
            write!(out, "{head}\"geoFence\":{{\"version\":2,\"circles\":[],\"polygons\":[")?;
        } else {
            out.write_all(b",")?;
        }
        let positions: Vec<[f64; 2]> = fence.vertices.iter().map(|[lon, lat]| [*lat, *lon]).collect();
        write!(out, "\n{}", json!({"version": 1, "inclusion": fence.inclusion, "polygon": positions}))?;
        Ok(())
    })?;
    let [lon, lat] = home.unwrap_or_default();
    // Firmware 12 is PX4, 3 ArduPilot, 0 any; the vehicle's own counts once one is connected.
    let mission = json!({"version": 2, "firmwareType": 0, "vehicleType": 2, "cruiseSpeed": 15, "hoverSpeed": 5,
        "items": [], "plannedHomePosition": [lat, lon, 0]});
    writeln!(out, "\n]}},\"mission\":{mission},\"rallyPoints\":{{\"version\":2,\"points\":[]}}}}")?;
    Ok(exported)
}

/// `QGC WPL 110`: a line a vertex, each with the number of vertices of its fence; numbers run through the file.
pub(super) fn wpl(source: &mut Source, inclusion: bool, out: &mut dyn Write) -> Result<Exported, Failure> {
    let mut sequence = 0u64;
    each_fence(source, Format::Wpl, inclusion, |fence, _| {
        if sequence == 0 {
            out.write_all(b"QGC WPL 110\n")?;
        }
        let command = if fence.inclusion { STAY_INSIDE } else { KEEP_OUT };
        let count = fence.vertices.len();
        for [lon, lat] in &fence.vertices {
            writeln!(out, "{sequence}\t0\t0\t{command}\t{count}\t0\t0\t0\t{lat}\t{lon}\t0\t1")?;
            sequence += 1;
        }
        Ok(())
    })
}

/// Mission Planner's polygons: a file a part in a directory that is there and empty, `<layer>-<number>.poly`.
pub(super) fn poly(source: &mut Source, directory: &Path) -> Result<Exported, ExportError> {
    let layer = source.layer.clone();
    let (mut number, mut holed) = (0u64, 0);
    let exported = each_object(source, Format::Poly.name(), |object, _| {
        holed += u64::from(object.areas.iter().any(|area| !area.holes.is_empty()));
        for (index, area) in object.areas.iter().enumerate() {
            number += 1;
            let path = directory.join(format!("{layer}-{number}.poly"));
            let name: String = object.part_name(index).chars().filter(|c| !c.is_control()).collect();
            write_poly(&path, &name, area)
                .map_err(|source| Failure::Export(ExportError::Output { path, source }))?;
        }
        Ok(())
    });
    let exported = exported.map_err(|failure| {
        failure.named(&|source| ExportError::Output { path: directory.to_owned(), source })
    })?;
    Ok(Exported { holed, ..exported })
}

fn write_poly(path: &Path, name: &str, area: &Area) -> std::io::Result<()> {
    let mut file = BufWriter::new(fs::File::create_new(path)?);
    writeln!(file, "#saved by geosam-edge: {name}")?;
    for [lon, lat] in &area.outer {
        writeln!(file, "{lat} {lon}")?;
    }
    file.into_inner()?.sync_all()
}
