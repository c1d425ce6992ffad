//! Vectors in memory as bytes and as signs, and which of them can be among the best.
//!
//! A byte code says how far it may be from its vector, so a scan of bytes bounds every score from both sides: what is left
//! after it contains the best ones for certain. A scan of signs is faster and only likely to.

use super::best::Best;
use super::bytes::{Asked, Line, ZERO, lines};
use super::metric::Metric;
use super::signs::{LANES, Planes, Products, Signs};

/// Rows whose inner products are computed before they are looked at.
const CHUNK: usize = 128;
/// Of how many rows a scan of signs looks at one more closely, and how many it looks at for each hit, at least.
const ROWS_PER_LOOK: usize = 200;
const LOOKS_PER_HIT: usize = 30;
/// Of how many chunks a scan of signs reads one first, to find out what the best rows are going to be like.
const CHUNKS_PER_SAMPLE: usize = 16;

/// What is known of a vector beside its byte code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Facts {
    /// What a step of a byte is worth.
    pub scale: f32,
    /// The distance between the vector and what its code says, at most.
    pub error: f32,
    /// The vector's length.
    pub norm: f32,
    /// What the inner product with its signs is to be multiplied with, so that the vector's own is right.
    pub sign: f32,
}

impl Facts {
    /// Whether an encoder can have written them.
    pub fn are_sound(&self) -> bool {
        [self.scale, self.error, self.norm, self.sign].iter().all(|value| value.is_finite() && *value >= 0.0)
    }
}

/// A finite vector as bytes, written behind `out`.
pub(crate) fn encode(vector: &[f32], out: &mut Vec<u8>) -> Facts {
    let largest = vector.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
    let scale = if inverse > 0.0 { scale } else { 0.0 };
    let (mut square, mut error, mut sum) = (0f64, 0f64, 0f64);
    out.reserve(vector.len());
    for value in vector {
        // Cut off instead of called for: no processor is asked for more than it must have.
        let step = (value * inverse).clamp(-127.0, 127.0);
        let step = (step + 0.5f32.copysign(step)) as i32;
        out.push((step + i32::from(ZERO)) as u8);
        let (value, coded) = (f64::from(*value), f64::from(step) * f64::from(scale));
        square += value * value;
        error += (value - coded) * (value - coded);
        sum += value.abs();
    }
    // Rounded up, for what the conversion to 32 bits takes away.
    let error = (error.sqrt() * 1.000_001) as f32;
    let sign = if sum > 0.0 { (square / sum) as f32 } else { 0.0 };
    Facts { scale, error, norm: square.sqrt() as f32, sign }
}

/// A question in every form that a scan needs.
pub(crate) struct Question {
    metric: Metric,
    asked: Asked,
    planes: Planes,
    facts: Facts,
    /// The error of adding up so many products in 32 bits, in terms of the lengths.
    rounding: f32,
}

impl Question {
    /// From a vector that was prepared.
    pub fn new(metric: Metric, vector: &[f32]) -> Question {
        let mut bytes = Vec::with_capacity(vector.len());
        let facts = encode(vector, &mut bytes);
        let coordinates: Vec<i8> = bytes.iter().map(|byte| (i32::from(*byte) - i32::from(ZERO)) as i8).collect();
        let rounding = (vector.len() as f32 / 32.0 + 16.0) * f32::EPSILON;
        Question { metric, asked: Asked::new(&coordinates), planes: Planes::new(vector), facts, rounding }
    }

    /// What orders rows by their scores, from about their inner products.
    fn key(&self, product: f32, row: &Facts) -> f32 {
        match self.metric {
            Metric::Cosine | Metric::Dot => product,
            Metric::Euclidean => 2.0 * product - row.norm * row.norm,
        }
    }

    /// The least and the most that a row's key can be.
    fn bounds(&self, dot: i32, row: &Facts) -> (f32, f32) {
        let product = dot as f32 * (self.facts.scale * row.scale);
        // By the inequality of Cauchy and Schwarz, for the part of each that its code does not have.
        let lengths = self.facts.norm * (row.norm + row.error);
        let off = self.facts.norm * row.error + self.facts.error * (row.norm + row.error) + self.rounding * lengths;
        let key = self.key(product, row);
        let off = match self.metric {
            Metric::Cosine | Metric::Dot => off,
            Metric::Euclidean => 2.0 * off + self.rounding * (self.facts.norm + row.norm).powi(2),
        };
        (key - off, key + off)
    }
}

/// Rows of one dimension, each at a place.
pub(crate) struct Codes {
    dimension: usize,
    facts: Vec<Facts>,
    lines: Vec<Line>,
    signs: Signs,
}

impl Codes {
    pub fn new(dimension: usize) -> Codes {
        Codes { dimension, facts: Vec::new(), lines: Vec::new(), signs: Signs::new(dimension) }
    }

    pub fn len(&self) -> usize {
        self.facts.len()
    }

    pub fn reserve(&mut self, rows: usize) {
        self.facts.reserve_exact(rows);
        self.lines.reserve_exact(rows * lines(self.dimension));
        self.signs.reserve(rows);
    }

    /// Puts a code at a place, at most one behind the last.
    pub fn set(&mut self, place: usize, facts: Facts, bytes: &[u8]) {
        let lines = lines(self.dimension);
        if place == self.facts.len() {
            self.facts.push(facts);
            self.lines.resize((place + 1) * lines, Line::EMPTY);
        }
        self.facts[place] = facts;
        for (line, bytes) in self.lines[place * lines..].iter_mut().zip(bytes.chunks(64)) {
            line.0[..bytes.len()].copy_from_slice(bytes);
        }
        self.signs.set(place, bytes, facts.sign);
    }

    pub fn truncate(&mut self, rows: usize) {
        self.facts.truncate(rows);
        self.lines.truncate(rows * lines(self.dimension));
        self.signs.truncate(rows);
    }

    /// Places that contain those of the `k` best scores among the allowed, and all that share the least of these.
    pub fn certain(&self, question: &Question, k: usize, allowed: impl Fn(usize) -> bool) -> Vec<u32> {
        let lines = lines(self.dimension);
        let mut left = Remaining::new(k);
        let mut dots = [0i32; CHUNK];
        for (chunk, facts) in self.facts.chunks(CHUNK).enumerate() {
            let first = chunk * CHUNK;
            question.asked.dots(&self.lines[first * lines..(first + facts.len()) * lines], &mut dots);
            for (at, (dot, facts)) in dots.iter().zip(facts).enumerate() {
                let bounds = question.bounds(*dot, facts);
                if left.can_be(bounds) && allowed(first + at) {
                    left.offer(bounds, (first + at) as u32);
                }
            }
        }
        left.into_places()
    }

    /// Places that are likely to contain those of the `k` best scores among the allowed.
    pub fn likely(&self, question: &Question, k: usize, allowed: impl Fn(usize) -> bool) -> Vec<u32> {
        let looks = (k * LOOKS_PER_HIT).max(self.len() / ROWS_PER_LOOK);
        let chunks = self.len().div_ceil(CHUNK);
        // A floor that about twice as many reach spares most of what would be taken in at first and thrown out later.
        let mut some = Best::new(looks * 2 / CHUNKS_PER_SAMPLE);
        self.offer_all(question, (0..chunks).step_by(CHUNKS_PER_SAMPLE), &allowed, &mut some);
        some.settle();
        let floor = some.floor();
        let mut best = Best::above(floor, looks);
        self.offer_all(question, 0..chunks, &allowed, &mut best);
        if best.len() < looks && floor > f32::NEG_INFINITY {
            best = Best::new(looks);
            self.offer_all(question, 0..chunks, &allowed, &mut best);
        }
        let places = best.into_places();
        let mut dots = vec![0; places.len()];
        question.asked.dots_at(&self.lines, &places, &mut dots);
        let bounds = |(place, dot): (u32, i32)| (question.bounds(dot, &self.facts[place as usize]), place);
        reaching(k, places.into_iter().zip(dots).map(bounds).collect())
    }

    /// Offers the allowed rows of some chunks, by their signs.
    fn offer_all(
        &self,
        question: &Question,
        chunks: impl Iterator<Item = usize>,
        allowed: &impl Fn(usize) -> bool,
        best: &mut Best,
    ) {
        let mut products = [Products::default(); CHUNK / LANES];
        for chunk in chunks {
            let first = chunk * CHUNK;
            let rows = CHUNK.min(self.len() - first);
            // Only inner products can be compared before it is known whose they are.
            let floor = if question.metric == Metric::Euclidean { f32::NEG_INFINITY } else { best.floor() };
            let products = &mut products[..rows.div_ceil(LANES)];
            question.planes.products(&self.signs, first, floor, products);
            for (block, products) in products.iter().enumerate() {
                let mut reach = products.reach;
                while reach != 0 {
                    let at = block * LANES + reach.trailing_zeros() as usize;
                    reach &= reach - 1;
                    let Some(facts) = self.facts.get(first + at) else { break };
                    let key = question.key(products.each[at % LANES], facts);
                    if key >= best.floor() && allowed(first + at) {
                        best.offer(key, (first + at) as u32);
                    }
                }
            }
        }
    }
}

/// The rows that can be among the `k` best, by the least and the most that each can be.
fn reaching(k: usize, rows: Vec<((f32, f32), u32)>) -> Vec<u32> {
    let mut least: Vec<f32> = rows.iter().map(|((least, _), _)| *least).collect();
    let floor = match least.len() > k && k > 0 {
        true => *least.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a)).1,
        false => f32::NEG_INFINITY,
    };
    rows.into_iter().filter(|((_, most), _)| *most >= floor).map(|(_, place)| place).collect()
}

/// The rows that can still be among the `k` best, by the least and the most that they can be.
struct Remaining {
    lowest: Best,
    highest: Vec<(f32, u32)>,
    tidy_at: usize,
}

impl Remaining {
    const TIDY_AT: usize = 4096;

    fn new(k: usize) -> Remaining {
        Remaining { lowest: Best::new(k), highest: Vec::new(), tidy_at: Remaining::TIDY_AT }
    }

    fn can_be(&self, (_, most): (f32, f32)) -> bool {
        most >= self.lowest.floor()
    }

    fn offer(&mut self, (least, most): (f32, f32), place: u32) {
        self.lowest.offer(least, place);
        self.highest.push((most, place));
        if self.highest.len() >= self.tidy_at {
            self.tidy();
            self.tidy_at = (2 * self.highest.len()).max(Remaining::TIDY_AT);
        }
    }

    fn tidy(&mut self) {
        self.lowest.settle();
        let floor = self.lowest.floor();
        self.highest.retain(|(most, _)| *most >= floor);
    }

    fn into_places(mut self) -> Vec<u32> {
        self.tidy();
        self.highest.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSION: usize = 96;

    /// What a scan of signs is left with, as numbers of the rows, which lie in this order.
    fn found(metric: Metric, rows: &[Vec<f32>], order: &[usize], allowed: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut codes = Codes::new(DIMENSION);
        for (place, row) in order.iter().enumerate() {
            let mut bytes = Vec::new();
            let facts = encode(&rows[*row], &mut bytes);
            codes.set(place, facts, &bytes);
        }
        let places = codes.likely(&Question::new(metric, &rows[0]), 10, |place| allowed(order[place]));
        let mut found: Vec<usize> = places.into_iter().map(|place| order[place as usize]).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn where_rows_lie_does_not_change_which_are_looked_at() {
        let mut state = 11u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        // The first hundred are like the question, the others are not.
        let question: Vec<f32> = (0..DIMENSION).map(|_| next()).collect();
        let row = |at: usize| question.iter().map(|value| value * f32::from(at < 100) + next()).collect();
        let rows: Vec<Vec<f32>> = (0..5000).map(row).collect();
        let together: Vec<usize> = (0..rows.len()).collect();
        let scattered: Vec<usize> = together.iter().map(|at| at * 1049 % rows.len()).collect();
        let last: Vec<usize> = together.iter().rev().copied().collect();
        for metric in [Metric::Cosine, Metric::Dot, Metric::Euclidean] {
            for modulus in [1, 2, 700] {
                let allowed = |row: usize| row.is_multiple_of(modulus);
                let expected = found(metric, &rows, &together, allowed);
                assert!((10.min(rows.len() / modulus)..=100).contains(&expected.len()), "{metric:?}");
                assert!(expected.iter().all(|row| allowed(*row)), "{metric:?}");
                for order in [&scattered, &last] {
                    assert_eq!(found(metric, &rows, order, allowed), expected, "{metric:?}, one of {modulus}");
                }
            }
        }
    }
}
