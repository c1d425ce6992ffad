//! Vectors as one bit for each coordinate, its sign: what a fast search reads first, a thirty-second of the numbers.
//!
//! The question keeps four bits, as four planes of one bit each, so that an inner product is counting bits (after Gao and Long,
//! "RaBitQ", SIGMOD 2024, without its rotation). It only chooses which rows are looked at more closely.

/// A question's coordinates are whole numbers of 0 to 15 that stand for themselves minus 7.5.
const PLANES: usize = 4;
/// Rows that lie beside each other, word by word, so that an instruction counts one word of each.
pub(super) const LANES: usize = 8;

/// How many words of a block are asked for before they are read.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 24;

/// How many words a row of so many signs takes.
fn words(dimension: usize) -> usize {
    dimension.div_ceil(64)
}

/// What is known of a block of rows beside their signs.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// How many signs are 1.
    ones: [i32; LANES],
    /// What the inner product with the signs is to be multiplied with, so that the vector's own is right.
    weights: [f32; LANES],
}

/// The signs of rows of one dimension, in blocks of [`LANES`].
pub(super) struct Signs {
    words: usize,
    blocks: Vec<u64>,
    known: Vec<Known>,
}

impl Signs {
    pub fn new(dimension: usize) -> Signs {
        Signs { words: words(dimension), blocks: Vec::new(), known: Vec::new() }
    }

    fn length(&self, rows: usize) -> usize {
        rows.div_ceil(LANES) * LANES * self.words
    }

    pub fn reserve(&mut self, rows: usize) {
        self.blocks.reserve_exact(self.length(rows));
        self.known.reserve_exact(rows.div_ceil(LANES));
    }

    /// Puts the signs of bytes that stand for themselves minus 128 at a place, 1 for what is above 0, and what the inner product
    /// with them is to be multiplied with.
    pub fn set(&mut self, place: usize, bytes: &[u8], weight: f32) {
        let (block, lane) = (place / LANES, place % LANES);
        self.blocks.resize(self.length(place + 1).max(self.blocks.len()), 0);
        self.known.resize(self.known.len().max(block + 1), Known::default());
        let mut ones = 0;
        let row = self.blocks[block * LANES * self.words + lane..].iter_mut().step_by(LANES);
        for (bytes, word) in bytes.chunks(64).zip(row) {
            *word = signs_of(bytes);
            ones += word.count_ones() as i32;
        }
        let known = &mut self.known[block];
        (known.ones[lane], known.weights[lane]) = (ones, weight);
    }

    pub fn truncate(&mut self, rows: usize) {
        self.blocks.truncate(self.length(rows));
        self.known.truncate(rows.div_ceil(LANES));
    }
}

/// A bit for each of up to 64 bytes, the lowest for the first: whether it is above 128.
fn signs_of(bytes: &[u8]) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let mut padded = [0; 64];
    padded[..bytes.len()].copy_from_slice(bytes);
    padded.as_chunks::<8>().0.iter().rev().fold(0, |word, bytes| {
        let bytes = u64::from_le_bytes(*bytes);
        // The highest bit of each that has it and another one, and then all eight of these beside each other.
        let above = ((bytes & LOW) + LOW) & bytes & !LOW;
        word << 8 | ((above >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56)
    })
}

/// What [`Planes::products`] finds about a block.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Products {
    pub each: [f32; LANES],
    /// A bit for each that reaches the floor, the lowest for the first.
    pub reach: u8,
}

/// A question as planes of bits, word by word.
pub(super) struct Planes {
    words: Vec<[u64; PLANES]>,
    /// What a difference of 2 in the sum of the coordinates is worth.
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

    /// About the inner product of the question with each row from a place on, which begins a block, and which of them reach a
    /// floor. Places behind the last row get some number; blocks behind the last one are left as they are.
    pub fn products(&self, signs: &Signs, first: usize, floor: f32, out: &mut [Products]) {
        let (blocks, known) = (&signs.blocks[first * signs.words..], &signs.known[first / LANES..]);
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vpopcntdq")
            {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.avx512(blocks, known, floor, out) };
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.popcnt(blocks, known, floor, out) };
            }
        }
        self.portable(blocks, known, floor, out);
    }

    /// On ARM this counts in NEON, which every such processor has.
    #[inline(always)]
    fn portable(&self, blocks: &[u64], known: &[Known], floor: f32, out: &mut [Products]) {
        for ((block, known), out) in blocks.chunks_exact(LANES * self.words.len()).zip(known).zip(out) {
            // Twice the sum of the question's coordinates where a sign is 1, in steps.
            let mut sums = known.ones.map(|ones| -15 * ones);
            for (signs, planes) in block.chunks_exact(LANES).zip(&self.words) {
                for (signs, sum) in signs.iter().zip(&mut sums) {
                    let [a, b, c, d] = planes.map(|plane| (plane & signs).count_ones() as i32);
                    *sum += 2 * a + 4 * b + 8 * c + 16 * d;
                }
            }
            for ((sum, weight), product) in sums.into_iter().zip(known.weights).zip(&mut out.each) {
                *product = (sum as f32 * self.step - self.total) * weight;
            }
            out.reach = out.each.iter().rev().fold(0, |reach, product| reach << 1 | u8::from(*product >= floor));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn popcnt(&self, blocks: &[u64], known: &[Known], floor: f32, out: &mut [Products]) {
        self.portable(blocks, known, floor, out);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn avx512(&self, blocks: &[u64], known: &[Known], floor: f32, out: &mut [Products]) {
        use std::arch::x86_64::{
            _CMP_GE_OQ, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi32, _mm256_cmp_ps, _mm256_cvtepi32_ps,
            _mm256_loadu_ps, _mm256_loadu_si256, _mm256_movemask_ps, _mm256_mul_ps, _mm256_mullo_epi32,
            _mm256_set1_epi32, _mm256_set1_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_epi64, _mm512_and_si512,
            _mm512_cvtepi64_epi32, _mm512_loadu_si512, _mm512_popcnt_epi64, _mm512_set1_epi64, _mm512_setzero_si512,
            _mm512_slli_epi64,
        };
        let [step, total, floor] = [self.step, self.total, floor].map(|value| _mm256_set1_ps(value));
        for ((block, known), out) in blocks.chunks_exact(LANES * self.words.len()).zip(known).zip(out) {
            let mut counts = [_mm512_setzero_si512(); PLANES];
            for (signs, planes) in block.chunks_exact(LANES).zip(&self.words) {
                // What the processor fetches by itself ends with the page.
                _mm_prefetch::<_MM_HINT_T0>(signs.as_ptr().wrapping_add(AHEAD * LANES).cast());
                // SAFETY: a word of each lane is there.
                let signs = unsafe { _mm512_loadu_si512(signs.as_ptr().cast()) };
                for (count, plane) in counts.iter_mut().zip(planes) {
                    let both = _mm512_and_si512(_mm512_set1_epi64(*plane as i64), signs);
                    *count = _mm512_add_epi64(*count, _mm512_popcnt_epi64(both));
                }
            }
            let [a, b, c, d] = counts;
            let low = _mm512_add_epi64(a, _mm512_slli_epi64::<1>(b));
            let high = _mm512_add_epi64(c, _mm512_slli_epi64::<1>(d));
            let doubled = _mm512_add_epi64(_mm512_slli_epi64::<1>(low), _mm512_slli_epi64::<3>(high));
            // SAFETY: there are as many ones and weights as lanes, and there is room for a number of each.
            unsafe {
                let ones = _mm256_loadu_si256(known.ones.as_ptr().cast());
                let less = _mm256_mullo_epi32(ones, _mm256_set1_epi32(-15));
                let sums = _mm256_cvtepi32_ps(_mm256_add_epi32(_mm512_cvtepi64_epi32(doubled), less));
                let products = _mm256_sub_ps(_mm256_mul_ps(sums, step), total);
                let products = _mm256_mul_ps(products, _mm256_loadu_ps(known.weights.as_ptr()));
                _mm256_storeu_ps(out.each.as_mut_ptr(), products);
                out.reach = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(products, floor)) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_set_for_each_byte_above_128() {
        for byte in 0..=u8::MAX {
            for at in 0..64 {
                let mut bytes = [if byte > 128 { 128 } else { 255 }; 64];
                bytes[at] = byte;
                let expected = if byte > 128 { 1 << at } else { !(1 << at) };
                assert_eq!(signs_of(&bytes), expected, "{byte} at {at}");
                assert_eq!(signs_of(&bytes[..=at]), expected & (u64::MAX >> (63 - at)), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn every_processor_gets_the_same_numbers_at_any_length() {
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
            (0..30).for_each(|place| signs.set(place, &vec![255; dimension], 9.0));
            signs.truncate(10);
            rows.iter().enumerate().for_each(|(place, row)| signs.set(place, row, place as f32));
            let planes = Planes::new(&vector);
            let (mut expected, mut out) = ([Products::default(); 3], [Products::default(); 3]);
            planes.portable(&signs.blocks, &signs.known, 0.5, &mut expected);
            planes.products(&signs, 0, 0.5, &mut out);
            assert_eq!(out, expected, "dimension {dimension}");
            planes.products(&signs, LANES, 0.5, &mut out[..1]);
            assert_eq!(out[0], expected[1], "dimension {dimension}");
            for (place, (row, product)) in rows.iter().zip(expected.iter().flat_map(|block| block.each)).enumerate() {
                let exact: f32 = row.iter().zip(&vector).map(|(byte, v)| if *byte > 128 { *v } else { -v }).sum();
                let most = dimension as f32 * planes.step / 2.0 + 1e-3;
                let off = product - exact * place as f32;
                assert!(off.abs() <= most * place as f32, "dimension {dimension}");
                let reaches = expected[place / LANES].reach >> (place % LANES) & 1 == 1;
                assert_eq!(reaches, product >= 0.5, "dimension {dimension}");
            }
        }
    }
}
