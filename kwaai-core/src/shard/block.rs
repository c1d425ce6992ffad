//! One transformer block: two RMS normalisations, attention over grouped heads, a gated feed-forward part. The families
//! differ in what the configuration says: biases, normalised heads, a window.
//!
//! Every operation is differentiable, so that the same code trains a model. Weights come from a
//! [`VarBuilder`] under the names of Hugging Face transformers.

use candle_core::{D, Result, Tensor};
use candle_nn::{Init, Linear, Module, VarBuilder};

use super::cache::BlockCache;
use super::config::{ModelConfig, RopeScaling};

/// Weights begin as Hugging Face's `initializer_range` has them.
pub(super) const WEIGHT_INIT: Init = Init::Randn { mean: 0.0, stdev: 0.02 };

/// RMS normalisation: `x / sqrt(mean(x²) + eps) · weight` over the last dimension.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Reads `weight`, of length `size`.
    pub fn new(size: usize, eps: f64, weights: VarBuilder) -> Result<RmsNorm> {
        Ok(RmsNorm { weight: weights.get_with_hints(size, "weight", Init::Const(1.0))?, eps })
    }

    /// Normalises the last dimension.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.sqrt()?.recip()?;
        x.broadcast_mul(&scale)?.broadcast_mul(&self.weight)
    }
}

/// The rotary frequencies of a model, scaled.
#[derive(Debug, Clone)]
pub struct Rope {
    frequencies: Vec<f32>,
    window: Option<usize>,
}

impl Rope {
    /// The `head_dim / 2` frequencies, computed in f32 as transformers does.
    pub fn new(config: &ModelConfig) -> Rope {
        let dim = config.head_dim as f32;
        let frequencies = (0..config.head_dim / 2)
            .map(|i| scaled(i, 1.0 / config.rope_theta.powf((2 * i) as f32 / dim), &config.rope_scaling))
            .collect();
        Rope { frequencies, window: config.sliding_window.as_ref().map(|window| window.tokens) }
    }

    /// What attention needs to know about `count` new tokens, the first of them at `position`.
    pub fn positions(&self, position: usize, count: usize, like: &Tensor) -> Result<Positions> {
        let half = self.frequencies.len();
        let angles = || (position..position + count).flat_map(|p| self.frequencies.iter().map(move |f| p as f32 * f));
        let table = |values: Vec<f32>| Tensor::from_vec(values, (count, half), like.device())?.to_dtype(like.dtype());
        let length = position + count;
        let mask = |window: usize| -> Result<Tensor> {
            let seen = |row: usize, column: usize| column <= position + row && column + window > position + row;
            let values = (0..count)
                .flat_map(|row| (0..length).map(move |column| if seen(row, column) { 0.0 } else { f32::NEG_INFINITY }));
            Tensor::from_vec(values.collect(), (count, length), like.device())?.to_dtype(like.dtype())
        };
        let window = self.window.filter(|window| *window < length);
        Ok(Positions {
            cos: table(angles().map(f32::cos).collect())?,
            sin: table(angles().map(f32::sin).collect())?,
            mask: (count > 1).then(|| mask(length)).transpose()?,
            window_mask: window.map(mask).transpose()?,
        })
    }
}

fn scaled(index: usize, frequency: f32, scaling: &RopeScaling) -> f32 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Each { ref divisors } => frequency / divisors.get(index).copied().unwrap_or(1.0),
        RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
            let context = original_context as f32;
            let wavelength = 2.0 * std::f32::consts::PI / frequency;
            if wavelength < context / high_freq_factor {
                frequency
            } else if wavelength > context / low_freq_factor {
                frequency / factor
            } else {
                let smooth = (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

/// Rotation and mask of the tokens of one pass, shared by all blocks.
#[derive(Debug, Clone)]
pub struct Positions {
    /// `[tokens, head_dim / 2]`
    cos: Tensor,
    /// `[tokens, head_dim / 2]`
    sin: Tensor,
    /// `[tokens, tokens so far]`, minus infinity where a token must not look; absent for a single token, which sees all.
    mask: Option<Tensor>,
    /// The same for blocks with a window; absent while the window holds all tokens so far.
    window_mask: Option<Tensor>,
}

impl Positions {
    /// Rotates `[batch, heads, tokens, head_dim]`; element `i` forms a pair with element `i + head_dim / 2`.
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.dim(D::Minus1)? / 2;
        let (low, high) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let rotated_low = (low.broadcast_mul(&self.cos)? - high.broadcast_mul(&self.sin)?)?;
        let rotated_high = (high.broadcast_mul(&self.cos)? + low.broadcast_mul(&self.sin)?)?;
        Tensor::cat(&[rotated_low, rotated_high], D::Minus1)
    }
}

/// One transformer block.
#[derive(Debug, Clone)]
pub struct Block {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    head_norms: Option<(RmsNorm, RmsNorm)>,
    output: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    windowed: bool,
}

impl Block {
    /// Reads the weights of block `number`; `weights` stands at `model.layers.N`.
    pub fn new(config: &ModelConfig, number: usize, weights: VarBuilder) -> Result<Block> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (query_size, kv_size) = (config.query_size(), config.kv_size());
        let (attention, mlp) = (weights.pp("self_attn"), weights.pp("mlp"));
        let (in_qkv, in_mlp) = (config.qkv_bias, config.mlp_bias);
        let head_norm = |name: &str| RmsNorm::new(config.head_dim, config.rms_norm_eps, attention.pp(name));
        Ok(Block {
            attention_norm: RmsNorm::new(hidden, config.rms_norm_eps, weights.pp("input_layernorm"))?,
            query: linear(hidden, query_size, in_qkv, attention.pp("q_proj"))?,
            key: linear(hidden, kv_size, in_qkv, attention.pp("k_proj"))?,
            value: linear(hidden, kv_size, in_qkv, attention.pp("v_proj"))?,
            head_norms: match config.qk_norm {
                true => Some((head_norm("q_norm")?, head_norm("k_norm")?)),
                false => None,
            },
            output: linear(query_size, hidden, config.output_bias, attention.pp("o_proj"))?,
            mlp_norm: RmsNorm::new(hidden, config.rms_norm_eps, weights.pp("post_attention_layernorm"))?,
            gate: linear(hidden, inner, in_mlp, mlp.pp("gate_proj"))?,
            up: linear(hidden, inner, in_mlp, mlp.pp("up_proj"))?,
            down: linear(inner, hidden, in_mlp, mlp.pp("down_proj"))?,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            windowed: config.sliding_window.as_ref().is_some_and(|window| window.blocks.get(number) == Some(&true)),
        })
    }

    /// `[batch, tokens, hidden]` to the same shape. With a cache (batch 1), the tokens continue what it holds; without,
    /// they are the whole text.
    pub fn forward(&self, x: &Tensor, positions: &Positions, cache: Option<&mut BlockCache>) -> Result<Tensor> {
        let x = (self.attend(&self.attention_norm.forward(x)?, positions, cache)? + x)?;
        let normed = self.mlp_norm.forward(&x)?;
        let inner = (self.gate.forward(&normed)?.silu()? * self.up.forward(&normed)?)?;
        self.down.forward(&inner)? + x
    }

    fn attend(&self, x: &Tensor, positions: &Positions, cache: Option<&mut BlockCache>) -> Result<Tensor> {
        let (batch, tokens, _) = x.dims3()?;
        let heads = |projected: Tensor, count: usize| {
            projected.reshape((batch, tokens, count, self.head_dim))?.transpose(1, 2)?.contiguous()
        };
        let mut query = heads(self.query.forward(x)?, self.heads)?;
        let mut key = heads(self.key.forward(x)?, self.kv_heads)?;
        if let Some((of_query, of_key)) = &self.head_norms {
            (query, key) = (of_query.forward(&query)?, of_key.forward(&key)?);
        }
        let (query, key) = (positions.rotate(&query)?, positions.rotate(&key)?);
        let value = heads(self.value.forward(x)?, self.kv_heads)?;
        let (key, value) = match cache {
            Some(cache) => cache.append(&key, &value)?,
            None => (key, value),
        };
        // The query heads of one group share a key head: they become further rows of one matrix, so that keys and
        // values are never repeated.
        let group = self.heads / self.kv_heads;
        let length = key.dim(2)?;
        let query = (query * (1.0 / (self.head_dim as f64).sqrt()))?;
        let query = query.reshape((batch, self.kv_heads, group * tokens, self.head_dim))?;
        let mut scores = query.matmul(&key.transpose(2, 3)?)?;
        let window_mask = positions.window_mask.as_ref().filter(|_| self.windowed);
        if let Some(mask) = window_mask.or(positions.mask.as_ref()) {
            let by_token = scores.reshape((batch * self.kv_heads * group, tokens, length))?.broadcast_add(mask)?;
            scores = by_token.reshape((batch, self.kv_heads, group * tokens, length))?;
        }
        let mixed = softmax(&scores)?.matmul(&value)?;
        let mixed = mixed.reshape((batch, self.heads, tokens, self.head_dim))?.transpose(1, 2)?;
        self.output.forward(&mixed.reshape((batch, tokens, self.heads * self.head_dim))?)
    }
}

/// The softmax of the last dimension. The maximum only guards against overflow and cancels out, so no gradient is
/// taken through it.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let exponentials = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)
}

fn linear(inputs: usize, outputs: usize, bias: bool, weights: VarBuilder) -> Result<Linear> {
    let weight = weights.get_with_hints((outputs, inputs), "weight", WEIGHT_INIT)?;
    let bias = if bias { Some(weights.get_with_hints(outputs, "bias", Init::Const(0.0))?) } else { None };
    Ok(Linear::new(weight, bias))
}
