//! Geography against PROJ, GDAL and Karney's algorithm (fixtures by `tests/fixtures/make_crs.py`).

mod output;
mod reference;
mod text;
