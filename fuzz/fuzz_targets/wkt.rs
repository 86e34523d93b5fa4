//! Any text as a CRS: WKT, PROJJSON, codes. What is accepted must transform without panicking, to finite numbers.
#![no_main]

use geosam_edge::geo::{Crs, Transform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(crs) = Crs::parse(text) else { return };
    let Ok(there) = Transform::new(&Crs::wgs84(), &crs) else { return };
    let Ok(back) = there.inverse() else { return };
    for (lon, lat) in [(0.0, 0.0), (117.0, 36.5), (-179.9, -89.0), (12.0, 90.0)] {
        if let Ok((x, y)) = there.point(lon, lat) {
            assert!(x.is_finite() && y.is_finite());
            if let Ok((lon, lat)) = back.point(x, y) {
                assert!(lon.is_finite() && lat.is_finite());
            }
        }
    }
});
