//! Vectors as one bit for each coordinate, its sign: what a fast search reads first, a thirty-second of the numbers.
//!
//! The question keeps four bits, as four planes of one bit each, so that an inner product is counting bits (after Gao and Long,
//! "RaBitQ", SIGMOD 2024, without its rotation). It only chooses which rows are looked at more closely.

/// A question's coordinates are whole numbers of 0 to 15 that stand for themselves minus 7.5.
const PLANES: usize = 4;
/// Rows that lie beside each other, word by word, so that an instruction counts one word of each.
pub(super) const LANES: usize = 8;

/// How many words a row of so many signs takes.
fn words(dimension: usize) -> usize {
    dimension.div_ceil(64)
}

/// The signs of rows of one dimension, in blocks of [`LANES`].
pub(super) struct Signs {
    words: usize,
    blocks: Vec<u64>,
}

impl Signs {
    pub fn new(dimension: usize) -> Signs {
        Signs { words: words(dimension), blocks: Vec::new() }
    }

    fn length(&self, rows: usize) -> usize {
        rows.div_ceil(LANES) * LANES * self.words
    }

    pub fn reserve(&mut self, rows: usize) {
        self.blocks.reserve_exact(self.length(rows));
    }

    /// Puts the signs of bytes that stand for themselves minus 128 at a place, 1 for what is above 0.
    pub fn set(&mut self, place: usize, bytes: &[u8]) {
        let length = self.length(place + 1).max(self.blocks.len());
        self.blocks.resize(length, 0);
        let first = place / LANES * LANES * self.words + place % LANES;
        for (bytes, word) in bytes.chunks(64).zip(self.blocks[first..].iter_mut().step_by(LANES)) {
            *word = bytes.iter().enumerate().fold(0, |word, (at, byte)| word | u64::from(*byte > 128) << at);
        }
    }

    pub fn truncate(&mut self, rows: usize) {
        self.blocks.truncate(self.length(rows));
    }
}

/// A question as planes of bits, word by word.
pub(super) struct Planes {
    words: Vec<[u64; PLANES]>,
    /// What a difference of 2 in the sum is worth.
    step: f32,
    /// The sum of all coordinates of the question.
    total: f32,
}

impl Planes {
    /// From a vector of finite numbers.
    pub fn new(vector: &[f32]) -> Planes {
        let largest = vector.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        let step = largest / 7.5;
        let mut words = vec![[0; PLANES]; words(vector.len())];
        let mut total = 0.0;
        for (at, value) in vector.iter().enumerate() {
            let level = (value / step + 7.5).round().clamp(0.0, 15.0) as usize;
            total += level as f32 - 7.5;
            for (plane, word) in words[at / 64].iter_mut().enumerate() {
                *word |= (level as u64 >> plane & 1) << (at % 64);
            }
        }
        Planes { words, step, total: total * step }
    }

    /// About the inner product of the question with a row of signs as numbers -1 and 1, from what [`Planes::sums`] gave.
    pub fn product(&self, sum: i32) -> f32 {
        sum as f32 * self.step - self.total
    }

    /// For each row from a place on, which begins a block, twice the sum of the question's coordinates where its sign is 1,
    /// counted in steps.
    pub fn sums(&self, signs: &Signs, first: usize, out: &mut [[i32; LANES]]) {
        let blocks = &signs.blocks[first * signs.words..];
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vpopcntdq")
            {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.avx512(blocks, out) };
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.popcnt(blocks, out) };
            }
        }
        self.portable(blocks, out);
    }

    /// On ARM this counts in NEON, which every such processor has.
    #[inline(always)]
    fn portable(&self, blocks: &[u64], out: &mut [[i32; LANES]]) {
        for (block, out) in blocks.chunks_exact(LANES * self.words.len()).zip(out) {
            let mut sums = [0; LANES];
            for (signs, planes) in block.chunks_exact(LANES).zip(&self.words) {
                for (signs, sum) in signs.iter().zip(&mut sums) {
                    let [a, b, c, d] = planes.map(|plane| (plane & signs).count_ones() as i32);
                    *sum += 2 * a + 4 * b + 8 * c + 16 * d - 15 * signs.count_ones() as i32;
                }
            }
            *out = sums;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn popcnt(&self, blocks: &[u64], out: &mut [[i32; LANES]]) {
        self.portable(blocks, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn avx512(&self, blocks: &[u64], out: &mut [[i32; LANES]]) {
        use std::arch::x86_64::{
            _mm256_storeu_si256, _mm512_add_epi64, _mm512_and_si512, _mm512_cvtepi64_epi32, _mm512_loadu_si512,
            _mm512_popcnt_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_sub_epi64,
        };
        for (block, out) in blocks.chunks_exact(LANES * self.words.len()).zip(out) {
            let mut counts = [_mm512_setzero_si512(); PLANES];
            let mut all = _mm512_setzero_si512();
            for (signs, planes) in block.chunks_exact(LANES).zip(&self.words) {
                // SAFETY: a word of each lane is there.
                let signs = unsafe { _mm512_loadu_si512(signs.as_ptr().cast()) };
                for (count, plane) in counts.iter_mut().zip(planes) {
                    let both = _mm512_and_si512(_mm512_set1_epi64(*plane as i64), signs);
                    *count = _mm512_add_epi64(*count, _mm512_popcnt_epi64(both));
                }
                all = _mm512_add_epi64(all, _mm512_popcnt_epi64(signs));
            }
            let [a, b, c, d] = counts;
            let low = _mm512_add_epi64(a, _mm512_slli_epi64::<1>(b));
            let high = _mm512_add_epi64(c, _mm512_slli_epi64::<1>(d));
            // Twice the planes, minus fifteen times all: sixteen less one.
            let sums = _mm512_add_epi64(_mm512_slli_epi64::<1>(low), _mm512_slli_epi64::<3>(high));
            let sums = _mm512_add_epi64(_mm512_sub_epi64(sums, _mm512_slli_epi64::<4>(all)), all);
            // SAFETY: there is room for a number of each lane.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(sums)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_counts_the_same_at_any_length() {
        let mut state = 3u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for dimension in [1, 63, 64, 65, 300, 384, 512, 513, 1024] {
            let vector: Vec<f32> = (0..dimension).map(|_| next() as f32 / (1 << 23) as f32 - 1.0).collect();
            let rows: Vec<Vec<u8>> =
                (0..21).map(|_| (0..dimension).map(|_| (next() % 255 + 1) as u8).collect()).collect();
            let mut signs = Signs::new(dimension);
            // What was taken out leaves nothing behind.
            (0..30).for_each(|place| signs.set(place, &vec![255; dimension]));
            signs.truncate(10);
            rows.iter().enumerate().for_each(|(place, row)| signs.set(place, row));
            let planes = Planes::new(&vector);
            let (mut expected, mut out) = ([[0; LANES]; 3], [[0; LANES]; 3]);
            planes.portable(&signs.blocks, &mut expected);
            planes.sums(&signs, 0, &mut out);
            assert_eq!(out, expected, "dimension {dimension}");
            planes.sums(&signs, LANES, &mut out[..1]);
            assert_eq!(out[0], expected[1], "dimension {dimension}");
            for (row, sum) in rows.iter().zip(expected.into_iter().flatten()) {
                let exact: f32 = row.iter().zip(&vector).map(|(byte, v)| if *byte > 128 { *v } else { -v }).sum();
                let most = dimension as f32 * planes.step / 2.0 + 1e-3;
                assert!((planes.product(sum) - exact).abs() <= most, "dimension {dimension}");
            }
        }
    }
}
