//! The inner product and the distance of numbers as they were given: what every score is made of.
//!
//! Every form adds the same products in the same order and never fuses, so a score has the same bits on every processor.

/// Products are summed in this many lanes, which are added up pairwise at the end.
const LANES: usize = 32;

/// The inner product of two vectors of the same length; of vectors of different lengths, that of their common start.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, which is all that the function asks for.
            return unsafe { avx512(a, b) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, which is all that the function asks for.
            return unsafe { avx2(a, b) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        // SAFETY: the processor has NEON, which is all that the function asks for.
        return unsafe { neon(a, b) };
    }
    portable(a, b)
}

/// The square of the Euclidean distance, of the common start where the lengths differ.
///
/// Few rows come as far as being compared by it, so that it has one form, which compilers make lanes of by themselves.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    summed(a, b, |a, b| (a - b) * (a - b))
}

fn portable(a: &[f32], b: &[f32]) -> f32 {
    summed(a, b, |a, b| a * b)
}

#[inline(always)]
fn summed(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a, b) = common(a, b);
    let whole = a.len() - a.len() % LANES;
    let mut sums = [0f32; LANES];
    for (a, b) in a[..whole].as_chunks::<LANES>().0.iter().zip(b[..whole].as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    finish(sums, &a[whole..], &b[whole..], term)
}

#[inline(always)]
fn common<'a>(a: &'a [f32], b: &'a [f32]) -> (&'a [f32], &'a [f32]) {
    let length = a.len().min(b.len());
    (&a[..length], &b[..length])
}

#[inline(always)]
fn finish(mut sums: [f32; LANES], a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    a.iter().zip(b).fold(sums[0], |sum, (a, b)| sum + term(*a, *b))
}

/// The same in registers of `$width` numbers.
macro_rules! in_registers {
    ($name:ident, $feature:literal, $width:literal, $zero:expr, $load:ident, $add:ident, $multiply:ident, $store:ident) => {
        #[target_feature(enable = $feature)]
        fn $name(a: &[f32], b: &[f32]) -> f32 {
            let (a, b) = common(a, b);
            let whole = a.len() - a.len() % LANES;
            let (mut registers, mut sums) = ([$zero; LANES / $width], [0f32; LANES]);
            let mut at = 0;
            while at < whole {
                for register in &mut registers {
                    // SAFETY: both have `whole` values, a multiple of all that the registers hold.
                    let (a, b) = unsafe { ($load(a.as_ptr().add(at)), $load(b.as_ptr().add(at))) };
                    *register = $add(*register, $multiply(a, b));
                    at += $width;
                }
            }
            for (number, register) in registers.iter().enumerate() {
                // SAFETY: the sums have room for all registers.
                unsafe { $store(sums.as_mut_ptr().add(number * $width), *register) };
            }
            finish(sums, &a[whole..], &b[whole..], |a, b| a * b)
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    _mm256_add_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_loadu_ps,
    _mm512_mul_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};
#[cfg(target_arch = "x86_64")]
in_registers!(
    avx512,
    "avx512f",
    16,
    _mm512_setzero_ps(),
    _mm512_loadu_ps,
    _mm512_add_ps,
    _mm512_mul_ps,
    _mm512_storeu_ps
);
#[cfg(target_arch = "x86_64")]
in_registers!(avx2, "avx2", 8, _mm256_setzero_ps(), _mm256_loadu_ps, _mm256_add_ps, _mm256_mul_ps, _mm256_storeu_ps);

#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::{vaddq_f32, vdupq_n_f32, vld1q_f32, vmulq_f32, vst1q_f32};
#[cfg(target_arch = "aarch64")]
in_registers!(neon, "neon", 4, vdupq_n_f32(0.0), vld1q_f32, vaddq_f32, vmulq_f32, vst1q_f32);

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(seed: u32, length: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn every_processor_gets_the_same_bits() {
        for length in [0, 1, 7, 31, 32, 33, 63, 384, 385, 1024] {
            let (a, b) = (vector(1, length), vector(2, length));
            let expected = portable(&a, &b).to_bits();
            assert_eq!(dot(&a, &b).to_bits(), expected, "length {length}");
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                assert_eq!(unsafe { avx2(&a, &b) }.to_bits(), expected, "length {length}");
            }
        }
    }

    #[test]
    fn the_sums_are_those_of_their_definition() {
        let (a, b) = (vector(3, 390), vector(4, 390));
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-4);
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        assert!((f64::from(squared_distance(&a, &b)) - exact).abs() < 1e-3);
    }
}
