//! Straight stretches of a ring, along and across a direction: each stands for the pixels' edges that it is drawn through.

/// Edges farther than this from the median of their stretch, in pixels, do not count for its place.
const OUTLIER: f64 = 3.0;

/// A ring step by step: the middle of each step of a pixel's side and its way, turned so that the main direction is along x.
pub(super) struct Steps {
    middles: Vec<[f64; 2]>,
    ways: Vec<[f64; 2]>,
}

/// A stretch along x, or along y, from one step to before another, around the end of the ring where they come the other way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    pub along_x: bool,
    pub start: usize,
    pub end: usize,
    /// Its y where it runs along x, else its x.
    pub place: f64,
}

impl Steps {
    /// The steps of an open ring, one pixel's side each, turned by an angle.
    pub fn of(ring: &[[f64; 2]], angle: f64) -> Self {
        let (sine, cosine) = angle.sin_cos();
        let turned = |[x, y]: [f64; 2]| [cosine * x + sine * y, cosine * y - sine * x];
        let next = ring.iter().cycle().skip(1);
        let (mut middles, mut ways) = (Vec::with_capacity(ring.len()), Vec::with_capacity(ring.len()));
        for (&a, &b) in ring.iter().zip(next) {
            middles.push(turned([(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0]));
            ways.push(turned([b[0] - a[0], b[1] - a[1]]));
        }
        Self { middles, ways }
    }

    fn range(&self, start: usize, end: usize) -> impl Iterator<Item = usize> {
        let count = self.middles.len();
        let length = if end > start { end - start } else { end + count - start };
        (0..length).map(move |step| (start + step) % count)
    }

    /// The stretches between corners (places of steps, in order): neighbours that run the same way are one.
    pub fn stretches(&self, corners: &[usize]) -> Vec<Stretch> {
        let next = corners.iter().cycle().skip(1);
        let mut found: Vec<Stretch> = Vec::new();
        for (&start, &end) in corners.iter().zip(next) {
            let way = self
                .range(start, end)
                .fold([0.0; 2], |sum, step| [sum[0] + self.ways[step][0], sum[1] + self.ways[step][1]]);
            let along_x = way[0].abs() >= way[1].abs();
            match found.last_mut() {
                Some(last) if last.along_x == along_x => last.end = end,
                _ => found.push(Stretch { along_x, start, end, place: 0.0 }),
            }
        }
        if found.len() > 1
            && found.first().map(|s| s.along_x) == found.last().map(|s| s.along_x)
            && let Some(last) = found.pop()
        {
            found[0].start = last.start;
        }
        for stretch in &mut found {
            stretch.place = self.place(stretch);
        }
        found
    }

    /// Where the steps of a stretch lie, each by what it goes along: the mean of those near the median.
    pub fn place(&self, stretch: &Stretch) -> f64 {
        let (along, across) = if stretch.along_x { (0, 1) } else { (1, 0) };
        let steps = self.range(stretch.start, stretch.end);
        let mut places: Vec<(f64, f64)> =
            steps.map(|step| (self.middles[step][across], self.ways[step][along].abs())).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = places.iter().map(|(_, weight)| weight).sum();
        let mut passed = 0.0;
        let median = places.iter().find(|(_, weight)| {
            passed += weight;
            2.0 * passed >= total
        });
        let Some(&(median, _)) = median else { return 0.0 };
        let near = places.iter().filter(|(place, _)| (place - median).abs() <= OUTLIER);
        let (sum, weights) =
            near.fold((0.0, 0.0), |(sum, weights), (place, weight)| (sum + place * weight, weights + weight));
        if weights > 0.0 { sum / weights } else { median }
    }

    /// By how much the direction is to be turned so that the stretches lie along and across it: one line through the steps of
    /// each, all of them turned together (least squares).
    pub fn turn(&self, stretches: &[Stretch]) -> f64 {
        let (mut mixed, mut squared) = (0.0, 0.0);
        for stretch in stretches {
            let (along, across, sign) = if stretch.along_x { (0, 1, 1.0) } else { (1, 0, -1.0) };
            let near = |step: &usize| (self.middles[*step][across] - stretch.place).abs() <= 2.0 * OUTLIER;
            let steps: Vec<usize> = self.range(stretch.start, stretch.end).filter(near).collect();
            let count = steps.len().max(1) as f64;
            let mean = |axis: usize| steps.iter().map(|&step| self.middles[step][axis]).sum::<f64>() / count;
            let (mean_along, mean_across) = (mean(along), mean(across));
            for step in steps {
                let (u, v) =
                    (self.middles[step][along] - mean_along, self.middles[step][across] - mean_across);
                mixed += sign * u * v;
                squared += u * u;
            }
        }
        if squared > 0.0 { (mixed / squared).atan() } else { 0.0 }
    }

    /// The area that the steps run around, positive where they run from x to y.
    pub fn area(&self) -> f64 {
        let cross = |(middle, way): (&[f64; 2], &[f64; 2])| middle[0] * way[1] - middle[1] * way[0];
        self.middles.iter().zip(&self.ways).map(cross).sum::<f64>() / 2.0
    }

    /// The bounds of all steps: `[least, greatest]` along x and along y.
    pub fn bounds(&self) -> [[f64; 2]; 2] {
        [0, 1].map(|axis| {
            let all = self.middles.iter().map(|middle| middle[axis]);
            all.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
        })
    }
}

/// The stretches without jogs: one that is shorter than `jog` gives way, the shortest first, and its neighbours become one.
/// Four stretches stay four.
pub(super) fn without_jogs(steps: &Steps, mut stretches: Vec<Stretch>, jog: f64) -> Vec<Stretch> {
    while stretches.len() > 4 {
        let count = stretches.len();
        let length =
            |i: usize| (stretches[(i + 1) % count].place - stretches[(i + count - 1) % count].place).abs();
        let Some(shortest) = (0..count).min_by(|&a, &b| length(a).total_cmp(&length(b))) else { break };
        if length(shortest) >= jog {
            break;
        }
        stretches.rotate_left((shortest + count - 1) % count);
        let mut whole = Stretch { end: stretches[2].end, ..stretches[0] };
        whole.place = steps.place(&whole);
        stretches.splice(..3, [whole]);
    }
    stretches
}
