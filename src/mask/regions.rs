//! Which runs of pixels belong to the same region: a union-find over runs.

/// A forest of runs. The root of a region is its first run in row-major order.
///
/// Union by smallest number with path halving; on masks the chains stay short, because runs are
/// united in the order in which they appear.
#[derive(Debug, Default)]
pub(super) struct Regions {
    parent: Vec<u32>,
    /// Pixels of the region, true for roots only.
    pixels: Vec<u32>,
}

impl Regions {
    /// Adds a run of so many pixels as a region of its own, and returns its number.
    pub(super) fn add(&mut self, pixels: u32) -> u32 {
        let run = self.parent.len() as u32;
        self.parent.push(run);
        self.pixels.push(pixels);
        run
    }

    /// Runs added so far.
    pub(super) fn len(&self) -> usize {
        self.parent.len()
    }

    /// The first run of the region that `run` belongs to.
    pub(super) fn root(&mut self, mut run: u32) -> u32 {
        loop {
            let parent = self.parent[run as usize];
            if parent == run {
                return run;
            }
            let grandparent = self.parent[parent as usize];
            self.parent[run as usize] = grandparent;
            run = grandparent;
        }
    }

    /// Makes one region of two runs' regions.
    pub(super) fn unite(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (first, second) = (a.min(b), a.max(b));
            self.parent[second as usize] = first;
            self.pixels[first as usize] += self.pixels[second as usize];
        }
    }

    /// Pixels of the region whose root is `root`.
    pub(super) fn pixels(&self, root: u32) -> u64 {
        u64::from(self.pixels[root as usize])
    }
}
