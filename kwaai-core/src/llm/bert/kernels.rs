//! What an encoder computes, on one core with its widest instructions: products of matrices by the crate `gemm`, which candle uses too,
//! and what stands between them.
//!
//! Rows lie one behind the other in slices. Each core has its own text in hand, so that none of this starts a thread.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use candle_core::Tensor;
use gemm::Parallelism;
use pulp::Arch;

/// Sums are taken in so many parts, which one instruction can add to.
const LANES: usize = 16;

/// A linear layer: `outputs` numbers from `inputs`.
pub(super) struct Linear {
    /// Those of one input side by side, which is how they are read.
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

/// A normalisation of rows to the mean 0 and the variance 1, scaled and moved.
pub(super) struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

/// Every so many numbers a row begins, in a slice with other things between.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    numbers: &'a [f32],
    stride: usize,
}

impl Linear {
    /// From weights of `[outputs, inputs]`, as they are published.
    pub fn new(weights: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Linear> {
        let (outputs, inputs) = weights.dims2()?;
        let weights = weights.t()?.contiguous()?.flatten_all()?.to_vec1()?;
        Ok(Linear { weights, bias: bias.map(Tensor::to_vec1).transpose()?, inputs, outputs })
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The products alone; what is done with the bias depends on what comes next.
    pub fn multiply(&self, rows: &[f32], out: &mut Vec<f32>) {
        out.resize(rows.len() / self.inputs * self.outputs, 0.0);
        // As columns, the weights are what stands to the left and lie as the product wants them.
        let weights = Rows::new(&self.weights, self.outputs);
        product(weights, Rows::new(rows, self.inputs), self.inputs, out, self.outputs, self.outputs);
    }

    /// The products and the bias.
    pub fn forward(&self, rows: &[f32], out: &mut Vec<f32>) {
        self.multiply(rows, out);
        if let Some(bias) = &self.bias {
            add(out, bias);
        }
    }
}

impl LayerNorm {
    pub fn new(weight: &Tensor, bias: &Tensor, epsilon: f64) -> candle_core::Result<LayerNorm> {
        Ok(LayerNorm { weight: weight.to_vec1()?, bias: bias.to_vec1()?, epsilon: epsilon as f32 })
    }

    pub fn forward(&self, rows: &mut [f32]) {
        let LayerNorm { weight, bias, epsilon } = self;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(weight.len()) {
                    let mean = sum(row, |value| value) / row.len() as f32;
                    let variance = sum(row, |value| (value - mean) * (value - mean)) / row.len() as f32;
                    let scale = 1.0 / (variance + epsilon).sqrt();
                    for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                        *value = (*value - mean) * scale * weight + bias;
                    }
                }
            },
        );
    }
}

impl<'a> Rows<'a> {
    pub fn new(numbers: &'a [f32], stride: usize) -> Rows<'a> {
        Rows { numbers, stride }
    }

    /// The same rows from a number further on.
    pub fn from(self, first: usize) -> Rows<'a> {
        Rows { numbers: &self.numbers[first..], stride: self.stride }
    }

    /// Whether there are so many rows of so many numbers.
    fn has(self, rows: usize, width: usize) -> bool {
        rows == 0 || width <= self.stride && (rows - 1) * self.stride + width <= self.numbers.len()
    }
}

/// For each row of `right`, the sum of the `depth` rows of `left`, each times the number of that place: `right · left`, `width` numbers a
/// row, written every `stride` numbers.
///
/// # Panics
/// When a slice is too short; the shapes are the caller's.
pub(super) fn product(left: Rows, right: Rows, depth: usize, out: &mut [f32], width: usize, stride: usize) {
    assert!(left.has(depth, width));
    multiply(Side { rows: left, down: 1, across: left.stride }, right, depth, out, width, stride);
}

/// For each row of `right`, its `depth` numbers times those of each of the `width` rows of `left`: `right · leftᵀ`, otherwise like
/// [`product`].
pub(super) fn product_of_rows(left: Rows, right: Rows, depth: usize, out: &mut [f32], width: usize, stride: usize) {
    assert!(left.has(width, depth));
    multiply(Side { rows: left, down: left.stride, across: 1 }, right, depth, out, width, stride);
}

/// One side of a product: how far apart two numbers are that meet in the same sum, and that meet the same number in different ones.
struct Side<'a> {
    rows: Rows<'a>,
    down: usize,
    across: usize,
}

fn multiply(left: Side, right: Rows, depth: usize, out: &mut [f32], width: usize, stride: usize) {
    // The last row needs no more than its numbers.
    let rows = if out.len() < width { 0 } else { (out.len() - width) / stride + 1 };
    assert!(width <= stride && right.has(rows, depth));
    // SAFETY: the slices hold every number that these sizes and strides reach: `left` was checked by the caller, `right` and `out` above;
    // `out` is borrowed alone. Strides of slices fit an `isize`.
    unsafe {
        gemm::gemm(
            width,
            rows,
            depth,
            out.as_mut_ptr(),
            stride as isize,
            1,
            false,
            left.rows.numbers.as_ptr(),
            left.across as isize,
            left.down as isize,
            right.numbers.as_ptr(),
            right.stride as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Adds the same numbers to every row.
pub(super) fn add(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        },
    );
}

/// Adds a number to each.
pub(super) fn add_all(values: &mut [f32], others: &[f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || values.iter_mut().zip(others).for_each(|(value, other)| *value += other),
    );
}

/// GELU with the error function (Hendrycks and Gimpel, arXiv 1606.08415).
pub(super) fn gelu(values: &mut [f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || values.iter_mut().for_each(|value| *value *= 0.5 * (1.0 + erf(*value * FRAC_1_SQRT_2))),
    );
}

/// Rows of twice `width` numbers to rows of `width`: the first half times the SiLU of the second.
pub(super) fn gate(rows: &[f32], width: usize, out: &mut Vec<f32>) {
    out.resize(rows.len() / 2, 0.0);
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, out) in rows.chunks_exact(2 * width).zip(out.chunks_exact_mut(width)) {
                let (values, gates) = row.split_at(width);
                for ((out, value), gate) in out.iter_mut().zip(values).zip(gates) {
                    *out = value * gate / (1.0 + exp(-gate));
                }
            }
        },
    );
}

/// The softmax of each row of `width` numbers times `scale`, which is positive.
pub(super) fn softmax(rows: &mut [f32], width: usize, scale: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(width) {
                let highest = highest(row);
                row.iter_mut().for_each(|value| *value = exp((*value - highest) * scale));
                let all = 1.0 / sum(row, |value| value);
                row.iter_mut().for_each(|value| *value *= all);
            }
        },
    );
}

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let whole = row.chunks_exact(LANES);
    let rest: f32 = whole.remainder().iter().map(|value| of(*value)).sum();
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += of(*value));
    }
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
fn highest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let whole = row.chunks_exact(LANES);
    let rest = whole.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in whole {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane = if *value > *lane { *value } else { *lane });
    }
    lanes.into_iter().fold(rest, f32::max)
}

/// e^x within 1.2e-7 of its value, 0 and infinity aside: the library's own does not become vector instructions.
///
/// e^x = 2^n · e^r with |r| <= ln 2 / 2, where the Taylor series to r^7 is exact enough.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added and taken away, it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first of which times n is exact.
    const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-87.0, 88.0);
    let n = (x * LOG2_E + ROUND) - ROUND;
    let r = x - n * LN_2.0 - n * LN_2.1;
    let series = 1.0 / 5040.0;
    let series = series * r + 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r * r + r + 1.0;
    series * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

/// The error function within 5e-7: Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = 1.061_405_4;
    let series = series * t - 1.453_152;
    let series = series * t + 1.421_413_7;
    let series = series * t - 0.284_496_74;
    let series = series * t + 0.254_829_6;
    (1.0 - series * t * exp(-x * x)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its series, in f64.
    fn erf_by_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn exponentials_and_error_functions_are_those_of_the_books() {
        for step in -8_000..8_000 {
            let x = step as f32 / 100.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 1.5e-7, "e^{x}");
        }
        for step in -400..=400 {
            let x = step as f32 / 100.0;
            assert!((f64::from(erf(x)) - erf_by_series(f64::from(x))).abs() < 5e-7, "erf {x}");
        }
        assert_eq!((erf(10.0), erf(-10.0)), (1.0, -1.0));
        assert!(exp(-1e30) < 1e-37 && exp(1e30) > 1e38);
    }

    /// Numbers that repeat after more than any row here has.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7_919 + seed * 104_729) % 1_009) as f32 / 1_009.0 - 0.5).collect()
    }

    #[test]
    fn products_are_sums_of_products_at_every_size_and_stride() {
        for (rows, depth, width) in [(1, 1, 1), (1, 7, 5), (3, 32, 33), (17, 5, 64), (40, 64, 40), (2, 3, 1)] {
            let (left_stride, right_stride, stride) = (depth.max(width) + 3, depth + 2, width + 1);
            let (left, right) = (numbers(left_stride * depth.max(width), 1), numbers(right_stride * rows, 2));
            for transposed in [false, true] {
                let mut out = vec![9.0; (rows - 1) * stride + width];
                let (a, b) = (Rows::new(&left, left_stride), Rows::new(&right, right_stride));
                if transposed {
                    product_of_rows(a, b, depth, &mut out, width, stride);
                } else {
                    product(a, b, depth, &mut out, width, stride);
                }
                for row in 0..rows {
                    for column in 0..width {
                        let at = |k| if transposed { column * left_stride + k } else { k * left_stride + column };
                        let expected: f64 =
                            (0..depth).map(|k| f64::from(left[at(k)]) * f64::from(right[row * right_stride + k])).sum();
                        let value = f64::from(out[row * stride + column]);
                        assert!(
                            (value - expected).abs() < 1e-5,
                            "{rows} {depth} {width} {transposed}: {row}, {column}"
                        );
                    }
                    if row + 1 < rows {
                        assert_eq!(out[row * stride + width], 9.0, "what lies between rows is left alone");
                    }
                }
            }
        }
    }

    #[test]
    fn a_softmax_adds_up_to_one_wherever_its_numbers_lie() {
        for width in [1, 2, 15, 16, 17, 100] {
            for moved in [0.0, 1e4, -1e4] {
                let mut rows: Vec<f32> = numbers(3 * width, 3).iter().map(|value| value + moved).collect();
                let given = rows.clone();
                softmax(&mut rows, width, 0.5);
                for (row, given) in rows.chunks(width).zip(given.chunks(width)) {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                    let e = |at: usize| (f64::from(given[at] - given[0]) * 0.5).exp();
                    let all: f64 = (0..width).map(e).sum();
                    for (at, value) in row.iter().enumerate() {
                        assert!((f64::from(*value) - e(at) / all).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
