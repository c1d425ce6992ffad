//! The inner product, the one kernel of every search.
//!
//! Both forms add the same products in the same order and never fuse, so a score has the same bits on every processor.

/// Products are summed in this many lanes, which are added up pairwise at the end.
const LANES: usize = 32;

/// The inner product of two vectors of the same length; of vectors of different lengths, that of their common start.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        return unsafe { avx2(a, b) };
    }
    portable(a, b)
}

fn portable(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let whole = length - length % LANES;
    let mut sums = [0f32; LANES];
    for (a, b) in a[..whole].chunks_exact(LANES).zip(b[..whole].chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    finish(sums, &a[whole..], &b[whole..])
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(a: &[f32], b: &[f32]) -> f32 {
    use std::arch::x86_64::{_mm256_add_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_setzero_ps, _mm256_storeu_ps};
    const WIDTH: usize = 8;
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    let whole = length - length % LANES;
    let mut registers = [_mm256_setzero_ps(); LANES / WIDTH];
    for (a, b) in a[..whole].chunks_exact(LANES).zip(b[..whole].chunks_exact(LANES)) {
        for (index, register) in registers.iter_mut().enumerate() {
            let (a, b) = (&a[index * WIDTH..(index + 1) * WIDTH], &b[index * WIDTH..(index + 1) * WIDTH]);
            // SAFETY: both slices hold the eight values that are read.
            let (a, b) = unsafe { (_mm256_loadu_ps(a.as_ptr()), _mm256_loadu_ps(b.as_ptr())) };
            *register = _mm256_add_ps(*register, _mm256_mul_ps(a, b));
        }
    }
    let mut sums = [0f32; LANES];
    for (index, register) in registers.iter().enumerate() {
        let sums = &mut sums[index * WIDTH..(index + 1) * WIDTH];
        // SAFETY: the slice has room for the eight values that are written.
        unsafe { _mm256_storeu_ps(sums.as_mut_ptr(), *register) };
    }
    finish(sums, &a[whole..], &b[whole..])
}

fn finish(mut sums: [f32; LANES], a: &[f32], b: &[f32]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    a.iter().zip(b).fold(sums[0], |sum, (a, b)| sum + a * b)
}

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
            assert_eq!(dot(&a, &b).to_bits(), portable(&a, &b).to_bits(), "length {length}");
        }
    }

    #[test]
    fn the_inner_product_is_the_sum_of_the_products() {
        let (a, b) = (vector(3, 384), vector(4, 384));
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-4);
    }
}
