//! The table of a folder's chips, kept small: a million rows take 95 MB. Reading them from a
//! manifest is in `manifest`, finding their files in `files`.

use std::collections::HashMap;

use super::chip::{ChipRef, Identity};
use super::footprint::{Footprints, NoFootprint};
use crate::geo::{Affine, Bounds};

/// The most chips of a folder.
pub(super) const MAX_CHIPS: u64 = 5_000_000;
/// The longest chip id and file name, in bytes.
pub(super) const MAX_NAME: usize = 255;

/// Height and width of a chip in source pixels and of the encoder's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shapes {
    pub(super) shape: (usize, usize),
    pub(super) dst_shape: (usize, usize),
}

/// One chip, as it goes into the table.
#[derive(Debug)]
pub(super) struct NewChip<'a> {
    pub(super) id: &'a str,
    /// Name of the file with the features.
    pub(super) file: &'a str,
    /// The directory it lies in, as [`ChipTable::place`] numbers them.
    pub(super) place: u32,
    pub(super) affine: Affine,
    pub(super) shapes: Shapes,
    pub(super) center: (f64, f64),
}

/// Texts one after another; a text is its end.
#[derive(Debug, Default)]
struct TextColumn {
    text: String,
    ends: Vec<u32>,
}

impl TextColumn {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        // MAX_CHIPS times MAX_NAME is less than 2^32.
        self.ends.push(self.text.len() as u32);
    }

    fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start as usize..self.ends[i] as usize]
    }

    fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// The directory that a chip's file lay in where it was encoded: its own name and the one above it.
/// Either may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Place {
    pub(super) above: String,
    pub(super) directory: String,
}

/// All chips of a folder, in the manifest's order.
#[derive(Debug, Default)]
pub(super) struct ChipTable {
    ids: TextColumn,
    /// Empty for a file that is named as its chip, with [`SUFFIX`].
    files: TextColumn,
    place_of: Vec<u32>,
    places: Vec<Place>,
    /// Origins (c, f) of the affines; the other four numbers are the same for all chips of a raster.
    origins: Vec<(f64, f64)>,
    grid_of: Vec<u32>,
    grids: Vec<[f64; 4]>,
    shapes_of: Vec<u32>,
    shapes: Vec<Shapes>,
    centers: Vec<(f64, f64)>,
    pub(super) footprints: Footprints,
}

/// What follows a chip's id in its file name.
const SUFFIX: &str = ".pt";

impl ChipTable {
    /// How many chips there are.
    pub(super) const fn len(&self) -> usize {
        self.origins.len()
    }

    /// Memory taken, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.ids.bytes()
            + self.files.bytes()
            + (self.place_of.capacity() + self.grid_of.capacity() + self.shapes_of.capacity())
                * size_of::<u32>()
            + (self.origins.capacity() + self.centers.capacity()) * size_of::<(f64, f64)>()
            + self.footprints.bytes()
    }

    pub(super) fn id(&self, i: usize) -> &str {
        self.ids.get(i)
    }

    /// The name of the file with a chip's features, as (stem, suffix).
    pub(super) fn file(&self, i: usize) -> (&str, &str) {
        let file = self.files.get(i);
        if file.is_empty() { (self.ids.get(i), SUFFIX) } else { (file, "") }
    }

    /// The name of that file without its ending.
    pub(super) fn file_stem(&self, i: usize) -> &str {
        let (name, suffix) = self.file(i);
        match name.rsplit_once('.') {
            Some((stem, _)) if suffix.is_empty() => stem,
            _ => name,
        }
    }

    pub(super) fn place(&self, i: usize) -> u32 {
        self.place_of[i]
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(super) fn center(&self, i: usize) -> (f64, f64) {
        self.centers[i]
    }

    pub(super) fn shapes(&self, i: usize) -> Shapes {
        self.shapes[self.shapes_of[i] as usize]
    }

    /// All pairs of shapes that occur.
    pub(super) fn all_shapes(&self) -> &[Shapes] {
        &self.shapes
    }

    /// Numbers of the affine that a chip shares with others of its raster, and which those are.
    pub(super) fn grid(&self, i: usize) -> u32 {
        self.grid_of[i]
    }

    /// The numbers a, b, d and e of all affines that occur.
    pub(super) fn grids(&self) -> impl Iterator<Item = [f64; 4]> + '_ {
        self.grids.iter().copied()
    }

    /// The longest side of a pixel of any chip, in CRS units.
    pub(super) fn largest_pixel(&self) -> f64 {
        self.grids.iter().map(|[a, b, d, e]| a.hypot(*d).max(b.hypot(*e))).fold(0.0, f64::max)
    }

    pub(super) fn affine(&self, i: usize) -> Affine {
        let [a, b, d, e] = self.grids[self.grid_of[i] as usize];
        let (c, f) = self.origins[i];
        Affine { a, b, c, d, e, f }
    }

    /// One chip with all that belongs to it.
    pub(super) fn get<'a>(&'a self, i: usize, identity: &'a Identity) -> ChipRef<'a> {
        let Shapes { shape, dst_shape } = self.shapes(i);
        ChipRef {
            index: i,
            id: self.id(i),
            affine: self.affine(i),
            shape,
            dst_shape,
            center: self.center(i),
            footprint: self.footprints.get(i),
            identity,
            table: self,
        }
    }
}

/// Fills a [`ChipTable`].
#[derive(Debug, Default)]
pub(super) struct ChipTableBuilder {
    table: ChipTable,
    place_ids: HashMap<Place, u32>,
    grid_ids: HashMap<[u64; 4], u32>,
    shape_ids: HashMap<Shapes, u32>,
}

impl ChipTableBuilder {
    /// How many chips were added.
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    /// The number of a directory.
    pub(super) fn place(&mut self, place: Place) -> u32 {
        let Self { table, place_ids, .. } = self;
        let next = table.places.len() as u32;
        *place_ids.entry(place).or_insert_with_key(|place| {
            table.places.push(place.clone());
            next
        })
    }

    /// Adds a chip whose footprint is a ring without its closing vertex.
    pub(super) fn push(&mut self, chip: &NewChip<'_>, ring: &mut [[f64; 2]]) -> Result<(), NoFootprint> {
        self.table.footprints.push_ring(ring)?;
        self.push_all_but_footprint(chip);
        Ok(())
    }

    /// Adds a chip whose footprint is a box.
    pub(super) fn push_box(&mut self, chip: &NewChip<'_>, bounds: Bounds) -> Result<(), NoFootprint> {
        self.table.footprints.push_box(bounds)?;
        self.push_all_but_footprint(chip);
        Ok(())
    }

    fn push_all_but_footprint(&mut self, chip: &NewChip<'_>) {
        let Self { table, grid_ids, shape_ids, .. } = self;
        table.ids.push(chip.id);
        let derived = chip.file.strip_suffix(SUFFIX) == Some(chip.id);
        table.files.push(if derived { "" } else { chip.file });
        table.place_of.push(chip.place);
        let Affine { a, b, c, d, e, f } = chip.affine;
        table.origins.push((c, f));
        let grid = [a, b, d, e];
        table.grid_of.push(*grid_ids.entry(grid.map(f64::to_bits)).or_insert_with(|| {
            table.grids.push(grid);
            (table.grids.len() - 1) as u32
        }));
        table.shapes_of.push(*shape_ids.entry(chip.shapes).or_insert_with(|| {
            table.shapes.push(chip.shapes);
            (table.shapes.len() - 1) as u32
        }));
        table.centers.push(chip.center);
    }

    /// The table.
    pub(super) fn finish(self) -> ChipTable {
        let mut table = self.table;
        table.ids.shrink();
        table.files.shrink();
        table.place_of.shrink_to_fit();
        table.origins.shrink_to_fit();
        table.grid_of.shrink_to_fit();
        table.shapes_of.shrink_to_fit();
        table.centers.shrink_to_fit();
        table.footprints.shrink();
        table
    }
}
