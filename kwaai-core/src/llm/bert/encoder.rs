//! The encoder: embeddings, blocks with the normalisation behind each sum, and the pooling of the tokens.
//!
//! NomicBert is BERT with rotated queries and keys (Su et al., "RoFormer", arXiv 2104.09864) instead of learnt positions, and gated
//! units (Shazeer, "GLU Variants Improve Transformer", arXiv 2002.05202) instead of one layer with an activation; after Nussbaum et al.,
//! "Nomic Embed" (arXiv 2402.01613).

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::config::{Family, Positions, Shape};
use super::kernels::{self, LayerNorm, Linear, Rows};
use super::pooling::Pooling;
use super::take;

type Tensors = BTreeMap<String, Tensor>;

/// So many tokens of a text look at all of it at once: the scores of a long one would fill the memory.
const LOOKING: usize = 128;

/// The encoder with its weights.
pub(super) struct Encoder {
    width: usize,
    words: Vec<f32>,
    /// What is added to every word: its place where places are learnt, and the kind of the text. A row for each place, or one for all.
    added: Option<Vec<f32>>,
    rotation: Option<Rotation>,
    norm: LayerNorm,
    blocks: Vec<Block>,
    pooling: Pooling,
}

/// The cosines and sines of every position and pair of numbers in a head.
struct Rotation {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

struct Block {
    /// Query, key and value, one behind the other.
    qkv: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    feed: Feed,
    norm: LayerNorm,
    heads: usize,
}

/// The second half of a block.
enum Feed {
    /// One layer with an activation, GELU.
    Plain { up: Linear, down: Linear },
    /// One layer times another with an activation, SiLU: SwiGLU. Both are in one, the gate behind.
    Gated { both: Linear, down: Linear },
}

/// What a core computes in, from one batch to the next.
#[derive(Default)]
pub(super) struct Scratch {
    hidden: Vec<f32>,
    qkv: Vec<f32>,
    scores: Vec<f32>,
    seen: Vec<f32>,
    inner: Vec<f32>,
    gated: Vec<f32>,
    out: Vec<f32>,
}

impl Encoder {
    /// Takes its weights out of those loaded; the error says which one is missing or has the wrong shape. Texts have at most `length`
    /// tokens.
    pub(super) fn new(shape: &Shape, pooling: Pooling, length: usize, mut tensors: Tensors) -> Result<Encoder, String> {
        let all = &mut tensors;
        let words = take(all, "embeddings.word_embeddings.weight", &[shape.vocabulary, shape.width])?;
        let kind = match shape.kinds {
            0 => None,
            kinds => {
                let kinds = take(all, "embeddings.token_type_embeddings.weight", &[kinds, shape.width])?;
                // A text alone is always of the first kind.
                Some(kinds.narrow(0, 0, 1).map_err(|e| e.to_string())?)
            }
        };
        let (added, rotation) = match shape.positions {
            Positions::Learned => {
                let places = take(all, "embeddings.position_embeddings.weight", &[shape.length, shape.width])?;
                let added = kind.map_or(Ok(places.clone()), |kind| places.broadcast_add(&kind));
                (Some(added.map_err(|e| e.to_string())?), None)
            }
            Positions::Rotary { base } => (kind, Some(Rotation::new(base, shape.head(), length))),
        };
        let norm = match shape.family {
            Family::Bert => "embeddings.LayerNorm",
            Family::Nomic => "emb_ln",
        };
        let norm = layer_norm(all, norm, shape)?;
        let blocks = (0..shape.blocks).map(|index| Block::new(shape, all, index)).collect::<Result<_, _>>()?;
        let numbers = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let words = numbers(words).map_err(|e| e.to_string())?;
        let added = added.map(numbers).transpose().map_err(|e| e.to_string())?;
        Ok(Encoder { width: shape.width, words, added, rotation, norm, blocks, pooling })
    }

    /// A unit vector for each text, of which none is empty and every token is known.
    ///
    /// The tokens of all texts lie one behind the other: a layer meets them as one matrix, and none is filled up.
    pub(super) fn encode(&self, texts: &[&[u32]], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        let width = self.width;
        let mut hidden = std::mem::take(&mut scratch.hidden);
        hidden.clear();
        for text in texts {
            let first = hidden.len();
            for token in *text {
                hidden.extend_from_slice(&self.words[*token as usize * width..][..width]);
            }
            match &self.added {
                Some(kind) if kind.len() == width => kernels::add(&mut hidden[first..], kind),
                Some(places) => kernels::add_all(&mut hidden[first..], places),
                None => {}
            }
        }
        self.norm.forward(&mut hidden);
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        for block in &self.blocks {
            block.forward(&mut hidden, &lengths, self.rotation.as_ref(), scratch);
        }

        let mut rest = hidden.as_slice();
        let mut vectors = Vec::with_capacity(texts.len());
        for length in lengths {
            let (text, behind) = rest.split_at(length * width);
            rest = behind;
            let mut vector = text[..width].to_vec();
            if self.pooling == Pooling::Mean {
                // The length of the vector becomes 1, so that the sum points where the mean does.
                text[width..].chunks_exact(width).for_each(|token| kernels::add_all(&mut vector, token));
            }
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
            vector.iter_mut().for_each(|value| *value /= length);
            vectors.push(vector);
        }
        scratch.hidden = hidden;
        vectors
    }
}

impl Rotation {
    fn new(base: f64, head: usize, length: usize) -> Rotation {
        let half = head / 2;
        let angle = |at: usize| (at / half) as f64 / base.powf(2.0 * (at % half) as f64 / head as f64);
        let table = |of: fn(f64) -> f64| (0..length * half).map(|at| of(angle(at)) as f32).collect();
        Rotation { cos: table(f64::cos), sin: table(f64::sin), half }
    }

    /// Turns the heads of a token at a place, each number with the one half a head further.
    fn turn(&self, heads: &mut [f32], at: usize) {
        let angles = at * self.half..(at + 1) * self.half;
        let (cos, sin) = (&self.cos[angles.clone()], &self.sin[angles]);
        for head in heads.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

impl Block {
    fn new(shape: &Shape, all: &mut Tensors, index: usize) -> Result<Block, String> {
        let (width, inner, heads) = (shape.width, shape.inner, shape.heads);
        match shape.family {
            Family::Bert => {
                let name = |rest: &str| format!("encoder.layer.{index}.{rest}");
                let part = |all: &mut Tensors, part: &str| {
                    layer(all, &name(&format!("attention.self.{part}")), width, width, shape.attention_biases)
                };
                let parts = [part(all, "query")?, part(all, "key")?, part(all, "value")?];
                Ok(Block {
                    qkv: behind_each_other(&parts)?,
                    output: linear(all, &name("attention.output.dense"), width, width, shape.attention_biases)?,
                    attention_norm: layer_norm(all, &name("attention.output.LayerNorm"), shape)?,
                    feed: Feed::Plain {
                        up: linear(all, &name("intermediate.dense"), inner, width, shape.up_biases)?,
                        down: linear(all, &name("output.dense"), width, inner, shape.down_biases)?,
                    },
                    norm: layer_norm(all, &name("output.LayerNorm"), shape)?,
                    heads,
                })
            }
            Family::Nomic => {
                let name = |rest: &str| format!("encoder.layers.{index}.{rest}");
                let value = layer(all, &name("mlp.fc11"), inner, width, shape.up_biases)?;
                let gate = layer(all, &name("mlp.fc12"), inner, width, shape.up_biases)?;
                Ok(Block {
                    qkv: linear(all, &name("attn.Wqkv"), 3 * width, width, shape.attention_biases)?,
                    output: linear(all, &name("attn.out_proj"), width, width, shape.attention_biases)?,
                    attention_norm: layer_norm(all, &name("norm1"), shape)?,
                    feed: Feed::Gated {
                        both: behind_each_other(&[value, gate])?,
                        down: linear(all, &name("mlp.fc2"), width, inner, shape.down_biases)?,
                    },
                    norm: layer_norm(all, &name("norm2"), shape)?,
                    heads,
                })
            }
        }
    }

    /// `hidden` has a row for each token, the texts one behind the other.
    fn forward(&self, hidden: &mut [f32], lengths: &[usize], rotation: Option<&Rotation>, scratch: &mut Scratch) {
        let Scratch { qkv, scores, seen, inner, gated, out, .. } = scratch;
        self.qkv.forward(hidden, qkv);
        seen.resize(hidden.len(), 0.0);
        let width = self.output.outputs();
        let (mut qkv, mut seen_rest) = (qkv.as_mut_slice(), seen.as_mut_slice());
        for length in lengths {
            let (text, others) = qkv.split_at_mut(length * 3 * width);
            let (result, rest) = seen_rest.split_at_mut(length * width);
            (qkv, seen_rest) = (others, rest);
            self.attend(text, rotation, scores, result);
        }
        self.output.forward(seen, out);
        kernels::add_all(hidden, out);
        self.attention_norm.forward(hidden);
        self.feed.forward(hidden, inner, gated, out);
        kernels::add_all(hidden, out);
        self.norm.forward(hidden);
    }

    /// What every token of a text sees in all of it, one head after the other.
    fn attend(&self, qkv: &mut [f32], rotation: Option<&Rotation>, scores: &mut Vec<f32>, seen: &mut [f32]) {
        let width = self.output.outputs();
        let (size, length) = (width / self.heads, seen.len() / width);
        if let Some(rotation) = rotation {
            let tokens = qkv.chunks_exact_mut(3 * width).enumerate();
            tokens.for_each(|(at, token)| rotation.turn(&mut token[..2 * width], at));
        }
        let rows = Rows::new(qkv, 3 * width);
        let scale = 1.0 / (size as f32).sqrt();
        for first in (0..self.heads).map(|head| head * size) {
            let (key, value) = (rows.from(width + first), rows.from(2 * width + first));
            for from in (0..length).step_by(LOOKING) {
                let looking = LOOKING.min(length - from);
                scores.resize(looking * length, 0.0);
                let query = rows.from(from * 3 * width + first);
                kernels::product_of_rows(key, query, size, scores, length, length);
                kernels::softmax(scores, length, scale);
                let end = (from + looking - 1) * width + first + size;
                let result = &mut seen[from * width + first..end];
                kernels::product(value, Rows::new(scores, length), length, result, size, width);
            }
        }
    }
}

impl Feed {
    fn forward(&self, hidden: &[f32], inner: &mut Vec<f32>, gated: &mut Vec<f32>, out: &mut Vec<f32>) {
        match self {
            Feed::Plain { up, down } => {
                up.forward(hidden, inner);
                kernels::gelu(inner);
                down.forward(inner, out);
            }
            Feed::Gated { both, down } => {
                both.forward(hidden, inner);
                kernels::gate(inner, both.outputs() / 2, gated);
                down.forward(gated, out);
            }
        }
    }
}

/// Layers of the same input as one.
fn behind_each_other(layers: &[(Tensor, Option<Tensor>)]) -> Result<Linear, String> {
    let weights: Vec<&Tensor> = layers.iter().map(|(weight, _)| weight).collect();
    let biases: Vec<&Tensor> = layers.iter().filter_map(|(_, bias)| bias.as_ref()).collect();
    let together = || {
        let bias = if biases.is_empty() { None } else { Some(Tensor::cat(&biases, 0)?) };
        Linear::new(&Tensor::cat(&weights, 0)?, bias.as_ref())
    };
    together().map_err(|e| e.to_string())
}

/// The weights of a layer, and its bias where it has one.
fn layer(
    all: &mut Tensors,
    name: &str,
    out: usize,
    inputs: usize,
    biased: bool,
) -> Result<(Tensor, Option<Tensor>), String> {
    let weight = take(all, &format!("{name}.weight"), &[out, inputs])?;
    let bias = if biased { Some(take(all, &format!("{name}.bias"), &[out])?) } else { None };
    Ok((weight, bias))
}

fn linear(all: &mut Tensors, name: &str, out: usize, inputs: usize, biased: bool) -> Result<Linear, String> {
    behind_each_other(&[layer(all, name, out, inputs, biased)?])
}

fn layer_norm(all: &mut Tensors, name: &str, shape: &Shape) -> Result<LayerNorm, String> {
    let size = [shape.width];
    let weight = take(all, &format!("{name}.weight"), &size)?;
    let bias = take(all, &format!("{name}.bias"), &size)?;
    LayerNorm::new(&weight, &bias, shape.epsilon).map_err(|e| e.to_string())
}
