//! Vectors as one bit for each coordinate, its sign: what a fast search reads first, a thirty-second of the numbers.
//!
//! The question keeps four bits, as four planes of one bit each, so that an inner product is counting bits (after Gao and Long,
//! "RaBitQ", SIGMOD 2024, without its rotation). It only chooses which rows are looked at more closely.

/// A question's coordinates are whole numbers of 0 to 15 that stand for themselves minus 7.5.
const PLANES: usize = 4;

/// How many words a row of so many signs takes.
pub(super) fn words(dimension: usize) -> usize {
    dimension.div_ceil(64)
}

/// The signs of bytes that stand for themselves minus 128, 1 for what is above 0.
pub(super) fn signs_of(bytes: &[u8], out: &mut [u64]) {
    for (bytes, word) in bytes.chunks(64).zip(out) {
        *word = bytes.iter().enumerate().fold(0, |word, (at, byte)| word | u64::from(*byte > 128) << at);
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

    /// For each row, twice the sum of the question's coordinates where its sign is 1, counted in steps.
    pub fn sums(&self, rows: &[u64], out: &mut [i32]) {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512vpopcntdq")
                && self.words.len() <= 8
            {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.avx512(rows, out) };
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.popcnt(rows, out) };
            }
        }
        self.portable(rows, out);
    }

    /// On ARM this counts in NEON, which every such processor has.
    #[inline(always)]
    fn portable(&self, rows: &[u64], out: &mut [i32]) {
        for (row, out) in rows.chunks_exact(self.words.len()).zip(out) {
            let mut sum = 0;
            for (signs, planes) in row.iter().zip(&self.words) {
                let [a, b, c, d] = planes.map(|plane| (plane & signs).count_ones() as i32);
                sum += 2 * a + 4 * b + 8 * c + 16 * d - 15 * signs.count_ones() as i32;
            }
            *out = sum;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn popcnt(&self, rows: &[u64], out: &mut [i32]) {
        self.portable(rows, out);
    }

    /// For at most eight words a row.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vpopcntdq")]
    fn avx512(&self, rows: &[u64], out: &mut [i32]) {
        use std::arch::x86_64::{
            __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_loadu_si512, _mm512_maskz_loadu_epi64,
            _mm512_popcnt_epi64, _mm512_reduce_add_epi64, _mm512_slli_epi64, _mm512_sub_epi64,
        };
        let count = self.words.len();
        let planes: [__m512i; PLANES] = std::array::from_fn(|plane| {
            let mut words = [0u64; 8];
            words.iter_mut().zip(&self.words).for_each(|(word, planes)| *word = planes[plane]);
            // SAFETY: there are the eight words that are read.
            unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
        });
        let mask = (0xffu16 >> (8 - count)) as u8;
        for (row, out) in rows.chunks_exact(count).zip(out) {
            // SAFETY: the mask reads no more words than the row has.
            let signs = unsafe { _mm512_maskz_loadu_epi64(mask, row.as_ptr().cast()) };
            let counted = |plane| _mm512_popcnt_epi64(_mm512_and_si512(plane, signs));
            let low = _mm512_add_epi64(counted(planes[0]), _mm512_slli_epi64::<1>(counted(planes[1])));
            let high = _mm512_add_epi64(counted(planes[2]), _mm512_slli_epi64::<1>(counted(planes[3])));
            let all = _mm512_popcnt_epi64(signs);
            // Twice the planes, minus fifteen times all: sixteen less one.
            let sum = _mm512_add_epi64(_mm512_slli_epi64::<1>(low), _mm512_slli_epi64::<3>(high));
            let sum = _mm512_add_epi64(_mm512_sub_epi64(sum, _mm512_slli_epi64::<4>(all)), all);
            *out = _mm512_reduce_add_epi64(sum) as i32;
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
                (0..5).map(|_| (0..dimension).map(|_| (next() % 255 + 1) as u8).collect()).collect();
            let mut signs = vec![0; 5 * words(dimension)];
            for (row, out) in rows.iter().zip(signs.chunks_exact_mut(words(dimension))) {
                signs_of(row, out);
            }
            let planes = Planes::new(&vector);
            let (mut expected, mut out) = ([0; 5], [0; 5]);
            planes.portable(&signs, &mut expected);
            planes.sums(&signs, &mut out);
            assert_eq!(out, expected, "dimension {dimension}");
            for (row, sum) in rows.iter().zip(expected) {
                let exact: f32 = row.iter().zip(&vector).map(|(byte, v)| if *byte > 128 { *v } else { -v }).sum();
                let most = dimension as f32 * planes.step / 2.0 + 1e-3;
                assert!((planes.product(sum) - exact).abs() <= most, "dimension {dimension}");
            }
        }
    }
}
