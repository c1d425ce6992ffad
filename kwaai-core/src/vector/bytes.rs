//! Inner products of vectors as bytes: what a scan reads instead of the numbers, a quarter of them.
//!
//! A stored coordinate is a byte of 1 to 255 that stands for itself minus 128, one of a question a signed byte. Sums are whole
//! numbers, so every processor gets the same.

/// 64 bytes, which no load of a register splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(align(64))]
pub(super) struct Line(pub [u8; 64]);

/// What stands for a coordinate of 0.
pub(super) const ZERO: u8 = 128;

impl Line {
    pub const EMPTY: Line = Line([ZERO; 64]);
}

/// How many lines a row of so many coordinates takes.
pub(super) fn lines(dimension: usize) -> usize {
    dimension.div_ceil(64)
}

/// A question as signed bytes, and the same widened for processors that multiply no bytes.
pub(super) struct Asked {
    bytes: Vec<[i8; 64]>,
    words: Vec<[i16; 64]>,
    /// What the 128 in each stored byte adds.
    excess: i32,
}

impl Asked {
    /// From at most 2¹⁶ coordinates, so that no sum leaves 32 bits.
    pub fn new(coordinates: &[i8]) -> Asked {
        let mut bytes = vec![[0i8; 64]; lines(coordinates.len())];
        bytes.as_flattened_mut()[..coordinates.len()].copy_from_slice(coordinates);
        let words = bytes.iter().map(|line| line.map(i16::from)).collect();
        let excess = i32::from(ZERO) * coordinates.iter().map(|value| i32::from(*value)).sum::<i32>();
        Asked { bytes, words, excess }
    }

    /// The inner product with each of these rows, of as many lines as the question has.
    pub fn dots(&self, rows: &[Line], out: &mut [i32]) {
        self.each(rows.chunks_exact(self.bytes.len()), out);
    }

    /// The inner product with the rows at these places, one behind the other so that none waits for what is made of another.
    pub fn dots_at(&self, rows: &[Line], places: &[u32], out: &mut [i32]) {
        let lines = self.bytes.len();
        self.each(places.iter().map(|place| &rows[*place as usize * lines..][..lines]), out);
    }

    fn each<'a>(&self, rows: impl Iterator<Item = &'a [Line]>, out: &mut [i32]) {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni") {
                // SAFETY: the processor has all that the function asks for.
                return unsafe { self.avx512(rows, out) };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2, which is all that the function asks for.
                return unsafe { self.avx2(rows, out) };
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            // SAFETY: the processor has NEON, which is all that the function asks for.
            return unsafe { self.neon(rows, out) };
        }
        self.portable(rows, out);
    }

    fn portable<'a>(&self, rows: impl Iterator<Item = &'a [Line]>, out: &mut [i32]) {
        for (row, out) in rows.zip(out) {
            let products = row.iter().zip(&self.words).map(|(row, asked)| {
                row.0.iter().zip(asked).map(|(stored, asked)| i32::from(*stored) * i32::from(*asked)).sum::<i32>()
            });
            *out = products.sum::<i32>() - self.excess;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn avx512<'a>(&self, rows: impl Iterator<Item = &'a [Line]>, out: &mut [i32]) {
        use std::arch::x86_64::{
            _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_loadu_si512, _mm512_reduce_add_epi32, _mm512_setzero_si512,
        };
        for (row, out) in rows.zip(out) {
            let mut sum = _mm512_setzero_si512();
            for (row, asked) in row.iter().zip(&self.bytes) {
                // SAFETY: both are 64 bytes, and a line begins at a multiple of 64.
                let (row, asked) =
                    unsafe { (_mm512_load_si512(row.0.as_ptr().cast()), _mm512_loadu_si512(asked.as_ptr().cast())) };
                sum = _mm512_dpbusd_epi32(sum, row, asked);
            }
            *out = _mm512_reduce_add_epi32(sum) - self.excess;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn avx2<'a>(&self, rows: impl Iterator<Item = &'a [Line]>, out: &mut [i32]) {
        use std::arch::x86_64::{
            __m256i, _mm_load_si128, _mm256_add_epi32, _mm256_cvtepu8_epi16, _mm256_loadu_si256, _mm256_madd_epi16,
            _mm256_setzero_si256, _mm256_storeu_si256,
        };
        for (row, out) in rows.zip(out) {
            let mut sum: __m256i = _mm256_setzero_si256();
            for (row, asked) in row.iter().zip(&self.words) {
                for (row, asked) in row.0.as_chunks::<16>().0.iter().zip(asked.as_chunks::<16>().0) {
                    // SAFETY: 16 bytes and 16 words, the bytes at a multiple of 16.
                    let (row, asked) = unsafe {
                        (_mm_load_si128(row.as_ptr().cast()), _mm256_loadu_si256(asked.as_ptr().cast::<__m256i>()))
                    };
                    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(row), asked));
                }
            }
            let mut sums = [0i32; 8];
            // SAFETY: there is room for the eight values.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast::<__m256i>(), sum) };
            *out = sums.iter().sum::<i32>() - self.excess;
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[target_feature(enable = "neon")]
    fn neon<'a>(&self, rows: impl Iterator<Item = &'a [Line]>, out: &mut [i32]) {
        use std::arch::aarch64::{
            vaddvq_s32, vdupq_n_s32, vget_low_s16, vld1_u8, vld1q_s16, vmlal_high_s16, vmlal_s16, vmovl_u8,
            vreinterpretq_s16_u16,
        };
        for (row, out) in rows.zip(out) {
            let mut sums = [vdupq_n_s32(0); 2];
            for (row, asked) in row.iter().zip(&self.words) {
                for (row, asked) in row.0.as_chunks::<8>().0.iter().zip(asked.as_chunks::<8>().0) {
                    // SAFETY: eight bytes and eight words.
                    let (row, asked) = unsafe { (vld1_u8(row.as_ptr()), vld1q_s16(asked.as_ptr())) };
                    let row = vreinterpretq_s16_u16(vmovl_u8(row));
                    sums[0] = vmlal_s16(sums[0], vget_low_s16(row), vget_low_s16(asked));
                    sums[1] = vmlal_high_s16(sums[1], row, asked);
                }
            }
            *out = vaddvq_s32(sums[0]) + vaddvq_s32(sums[1]) - self.excess;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_gets_the_same_numbers_at_any_length() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for dimension in [1, 3, 16, 63, 64, 65, 127, 384, 385, 2049] {
            let asked: Vec<i8> = (0..dimension).map(|_| (next() as i8).max(-127)).collect();
            let mut rows = vec![Line::EMPTY; 9 * lines(dimension)];
            let mut expected = Vec::new();
            for row in rows.chunks_exact_mut(lines(dimension)) {
                let bytes = row.iter_mut().flat_map(|line| &mut line.0).take(dimension);
                bytes.for_each(|byte| *byte = next().max(1));
                let bytes = row.iter().flat_map(|line| &line.0).map(|byte| i32::from(*byte) - 128);
                expected.push(bytes.zip(&asked).map(|(stored, asked)| stored * i32::from(*asked)).sum::<i32>());
            }
            let asked = Asked::new(&asked);
            let each = || rows.chunks_exact(lines(dimension));
            let mut out = [0; 9];
            asked.portable(each(), &mut out);
            assert_eq!(out[..], expected[..], "dimension {dimension}");
            asked.dots(&rows, &mut out);
            assert_eq!(out[..], expected[..], "dimension {dimension}");
            asked.dots_at(&rows, &[8, 0, 3], &mut out);
            assert_eq!(out[..3], [expected[8], expected[0], expected[3]], "dimension {dimension}");
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                unsafe { asked.avx2(each(), &mut out) };
                assert_eq!(out[..], expected[..], "dimension {dimension}");
            }
        }
    }

    #[test]
    fn the_longest_vectors_of_the_largest_numbers_stay_within_32_bits() {
        for value in [127, -127] {
            let asked = Asked::new(&vec![value; 65_536]);
            let rows = vec![Line([255; 64]); 1024];
            let mut out = [0];
            asked.dots(&rows, &mut out);
            assert_eq!(out[0], 127 * i32::from(value) * 65_536);
            asked.portable(rows.chunks_exact(1024), &mut out);
            assert_eq!(out[0], 127 * i32::from(value) * 65_536);
        }
    }
}
