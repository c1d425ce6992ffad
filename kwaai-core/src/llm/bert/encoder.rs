//! The encoder of BERT: embeddings, blocks with the normalisation behind each sum, and the mean over the tokens.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
use candle_nn::{LayerNorm, Linear, Module};

use super::{BertConfig, take};

type Tensors = BTreeMap<String, Tensor>;

/// Added to the scores of padding, where e^x is 0 in f32 beside any real score.
const NEVER: f32 = -1e9;

/// The encoder with its weights.
pub(super) struct Encoder {
    words: Tensor,
    positions: Tensor,
    kind: Tensor,
    norm: LayerNorm,
    blocks: Vec<Block>,
}

struct Block {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl Encoder {
    /// Takes its weights out of those loaded; the error says which one is missing or has the wrong shape.
    pub(super) fn new(config: &BertConfig, mut tensors: Tensors) -> Result<Encoder, String> {
        let width = config.hidden_size;
        let all = &mut tensors;
        let words = take(all, "embeddings.word_embeddings.weight", &[config.vocab_size, width])?;
        let positions = take(all, "embeddings.position_embeddings.weight", &[config.max_position_embeddings, width])?;
        let kinds = take(all, "embeddings.token_type_embeddings.weight", &[config.type_vocab_size, width])?;
        let norm = layer_norm(all, "embeddings.LayerNorm", config)?;
        let blocks =
            (0..config.num_hidden_layers).map(|index| Block::new(config, all, index)).collect::<Result<_, _>>()?;
        // A text alone is always of the first kind.
        let kind = kinds.narrow(0, 0, 1).map_err(|e| e.to_string())?;
        Ok(Encoder { words, positions, kind, norm, blocks })
    }

    /// A unit vector for each text. `ids` is `[texts, width]`, row after row; `lengths` says how many of each row are real.
    pub(super) fn encode(&self, ids: &[u32], lengths: &[usize], width: usize) -> candle_core::Result<Vec<Vec<f32>>> {
        let texts = lengths.len();
        let words = self.words.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?.reshape((texts, width, ()))?;
        let places = self.positions.narrow(0, 0, width)?.broadcast_add(&self.kind)?;
        let mut hidden = self.norm.forward(&words.broadcast_add(&places)?)?;

        let real: Vec<f32> =
            lengths.iter().flat_map(|length| (0..width).map(move |at| if at < *length { 1.0 } else { 0.0 })).collect();
        let is_padded = lengths.iter().any(|length| *length < width);
        let real = Tensor::from_vec(real, (texts, width), &Device::Cpu)?;
        let mask = if is_padded {
            Some(real.affine(f64::from(-NEVER), f64::from(NEVER))?.reshape((texts, 1, 1, width))?)
        } else {
            None
        };
        for block in &self.blocks {
            hidden = block.forward(&hidden, mask.as_ref())?;
        }

        let sum = hidden.broadcast_mul(&real.unsqueeze(D::Minus1)?)?.sum(1)?;
        let mean = sum.broadcast_div(&real.sum_keepdim(1)?)?;
        let norm = mean.sqr()?.sum_keepdim(1)?.sqrt()?.clamp(1e-12f32, f32::MAX)?;
        mean.broadcast_div(&norm)?.to_vec2()
    }
}

impl Block {
    fn new(config: &BertConfig, all: &mut Tensors, index: usize) -> Result<Block, String> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let name = |rest: &str| format!("encoder.layer.{index}.{rest}");
        Ok(Block {
            query: linear(all, &name("attention.self.query"), width, width)?,
            key: linear(all, &name("attention.self.key"), width, width)?,
            value: linear(all, &name("attention.self.value"), width, width)?,
            output: linear(all, &name("attention.output.dense"), width, width)?,
            attention_norm: layer_norm(all, &name("attention.output.LayerNorm"), config)?,
            up: linear(all, &name("intermediate.dense"), inner, width)?,
            down: linear(all, &name("output.dense"), width, inner)?,
            norm: layer_norm(all, &name("output.LayerNorm"), config)?,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, hidden: &Tensor, mask: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (texts, length, width) = hidden.dims3()?;
        let size = width / self.heads;
        let by_head = |tensor: Tensor| tensor.reshape((texts, length, self.heads, size))?.transpose(1, 2)?.contiguous();
        let query = by_head(self.query.forward(hidden)?)?;
        let key = by_head(self.key.forward(hidden)?)?;
        let value = by_head(self.value.forward(hidden)?)?;
        let mut scores = (query.matmul(&key.t()?)? / (size as f64).sqrt())?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let seen = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&value)?;
        let seen = seen.transpose(1, 2)?.contiguous()?.reshape((texts, length, width))?;
        let hidden = self.attention_norm.forward(&(self.output.forward(&seen)? + hidden)?)?;
        let inner = self.up.forward(&hidden)?.gelu_erf()?;
        self.norm.forward(&(self.down.forward(&inner)? + &hidden)?)
    }
}

fn linear(all: &mut Tensors, name: &str, out: usize, inputs: usize) -> Result<Linear, String> {
    let weight = take(all, &format!("{name}.weight"), &[out, inputs])?;
    Ok(Linear::new(weight, Some(take(all, &format!("{name}.bias"), &[out])?)))
}

fn layer_norm(all: &mut Tensors, name: &str, config: &BertConfig) -> Result<LayerNorm, String> {
    let shape = [config.hidden_size];
    let weight = take(all, &format!("{name}.weight"), &shape)?;
    Ok(LayerNorm::new(weight, take(all, &format!("{name}.bias"), &shape)?, config.layer_norm_eps))
}
