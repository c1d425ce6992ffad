//! The computation of blocks and of the head, as graphs of ggml.
//!
//! The weights have the names that Hugging Face transformers gives them. Every shape follows from the configuration, which
//! the weights were compared with.

use std::ops::Range;

use super::ffi::{Builder, Node, Rotation, Window};
use crate::Result;
use crate::shard::backend::Arithmetic;
use crate::shard::config::{ModelConfig, RopeScaling};

/// Keys and values are kept in f16.
pub const KEPT: usize = 2;
pub const DIVISORS: &str = "rope divisors";
pub const EMBEDDING: &str = "model.embed_tokens.weight";
pub const NORM: &str = "model.norm.weight";
pub const HEAD: &str = "lm_head.weight";

/// What a graph needs to know of a model.
#[derive(Debug, Clone)]
pub struct Shape {
    pub hidden: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub eps: f32,
    pub rotation: Rotation,
    /// The window, and which blocks of the model have it.
    pub window: Option<(usize, Vec<bool>)>,
}

impl Shape {
    /// `pairs`: whether the rows of query and key are in the order for a rotation of neighbours.
    pub fn new(config: &ModelConfig, pairs: bool) -> Shape {
        let scale = match config.rope_scaling {
            RopeScaling::Linear { factor } => 1.0 / factor,
            _ => 1.0,
        };
        Shape {
            hidden: config.hidden_size,
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            eps: config.rms_norm_eps as f32,
            rotation: Rotation {
                dimensions: config.head_dim,
                halves: !pairs,
                base: config.rope_theta,
                scale,
                original_context: config.max_context,
            },
            window: config.sliding_window.as_ref().map(|window| (window.tokens, window.blocks.clone())),
        }
    }

    /// Length of the key, or the value, of one token.
    pub fn kv_size(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    fn is_windowed(&self, block: usize) -> bool {
        self.window.as_ref().is_some_and(|(_, blocks)| blocks.get(block) == Some(&true))
    }

    /// Which masks the blocks of a range look at: that of the whole text, that of the window.
    pub fn masks(&self, blocks: &Range<usize>) -> (bool, bool) {
        (blocks.clone().any(|block| !self.is_windowed(block)), blocks.clone().any(|block| self.is_windowed(block)))
    }
}

/// A step of a text: so many tokens, looking at the first `length` rows of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub tokens: usize,
    pub length: usize,
}

/// How many nodes the graph of so many blocks and texts has at most.
pub fn nodes(blocks: usize, texts: usize) -> usize {
    (56 + 24 * texts) * blocks + 32
}

/// States before the first block to those after the last, of one or several texts with a memory each. Inputs: the states of
/// all, their positions, then of each text its rows and the masks that the blocks look at.
pub fn blocks<'g>(
    builder: &'g Builder,
    shape: &Shape,
    blocks: Range<usize>,
    steps: &[Step],
    arithmetic: Arithmetic,
) -> Result<Node<'g>> {
    let (whole, windowed) = shape.masks(&blocks);
    let tokens = steps.iter().map(|step| step.tokens).sum();
    let mut x = builder.input_f32(&[shape.hidden, tokens])?;
    let positions = builder.input_i32(&[tokens])?;
    let mut texts = Vec::with_capacity(steps.len());
    let mut start = 0;
    for step in steps {
        let mask = |wanted: bool| {
            wanted
                .then(|| match arithmetic {
                    Arithmetic::Fastest => builder.input_f16(&[step.length, step.tokens]),
                    Arithmetic::Invariant => builder.input_f32(&[step.length, step.tokens]),
                })
                .transpose()
        };
        let rows = builder.input_i64(&[step.tokens])?;
        texts.push(Text { step: *step, start, rows, masks: [mask(whole)?, mask(windowed)?] });
        start += step.tokens;
    }
    let room = match texts.len() {
        1 => None,
        _ => Some(builder.room(&[shape.heads * shape.head_dim, tokens])?),
    };
    let divisors = builder.find(DIVISORS);
    let of_all = Shared { builder, shape, tokens, arithmetic, positions, texts, divisors, room };
    for (place, block) in blocks.enumerate() {
        x = of_all.block(x, block, place)?;
    }
    Ok(x)
}

/// States after the last block to logits.
pub fn head<'g>(builder: &'g Builder, shape: &Shape, tokens: usize, arithmetic: Arithmetic) -> Result<Node<'g>> {
    let x = builder.input_f32(&[shape.hidden, tokens])?;
    let normed = builder.mul(builder.rms_norm(x, shape.eps)?, builder.weight(NORM)?)?;
    product(builder, builder.weight(HEAD)?, normed, tokens, arithmetic)
}

/// States times a matrix. Several at once go through other kernels than a single one, which add up in another order. In the
/// third dimension each state is a product of its own.
fn product<'g>(
    builder: &'g Builder,
    matrix: Node<'g>,
    x: Node<'g>,
    tokens: usize,
    arithmetic: Arithmetic,
) -> Result<Node<'g>> {
    if arithmetic == Arithmetic::Fastest {
        return builder.mul_mat(matrix, x);
    }
    let each = builder.reshape_3d(x, x.sizes()[0], 1, tokens)?;
    let product = builder.mul_mat(matrix, each)?;
    builder.reshape_2d(product, product.sizes()[0], tokens)
}

/// One text among those of a graph.
struct Text<'g> {
    step: Step,
    /// The first of its tokens among those of all texts.
    start: usize,
    rows: Node<'g>,
    masks: [Option<Node<'g>>; 2],
}

struct Shared<'g, 's> {
    builder: &'g Builder,
    shape: &'s Shape,
    tokens: usize,
    arithmetic: Arithmetic,
    positions: Node<'g>,
    texts: Vec<Text<'g>>,
    divisors: Option<Node<'g>>,
    /// Where the attention of several texts goes, each its part.
    room: Option<Node<'g>>,
}

impl<'g> Shared<'g, '_> {
    fn norm(&self, x: Node<'g>, name: &str) -> Result<Node<'g>> {
        self.builder.mul(self.builder.rms_norm(x, self.shape.eps)?, self.builder.weight(name)?)
    }

    fn linear(&self, x: Node<'g>, name: &str) -> Result<Node<'g>> {
        let matrix = self.builder.weight(&format!("{name}.weight"))?;
        let product = product(self.builder, matrix, x, self.tokens, self.arithmetic)?;
        match self.builder.find(&format!("{name}.bias")) {
            Some(bias) => self.builder.add(product, bias),
            None => Ok(product),
        }
    }

    fn block(&self, x: Node<'g>, block: usize, place: usize) -> Result<Node<'g>> {
        let named = |name: &str| format!("model.layers.{block}.{name}");
        let normed = self.norm(x, &named("input_layernorm.weight"))?;
        let mixed = self.attend(normed, block, place)?;
        let x = self.builder.add(self.linear(mixed, &named("self_attn.o_proj"))?, x)?;
        let normed = self.norm(x, &named("post_attention_layernorm.weight"))?;
        let up = self.linear(normed, &named("mlp.up_proj"))?;
        let gate = self.linear(normed, &named("mlp.gate_proj"))?;
        let inner = self.builder.swiglu(gate, up)?;
        self.builder.add(self.linear(inner, &named("mlp.down_proj"))?, x)
    }

    fn attend(&self, x: Node<'g>, block: usize, place: usize) -> Result<Node<'g>> {
        let Shared { builder, shape, tokens, .. } = self;
        let named = |name: &str| format!("model.layers.{block}.self_attn.{name}");
        let heads = |name: &str, count: usize| {
            builder.reshape_3d(self.linear(x, &named(name))?, shape.head_dim, count, *tokens)
        };
        let rotated = |name: &str, norm: &str, count: usize| {
            let mut of_heads = heads(name, count)?;
            if builder.find(&named(norm)).is_some() {
                of_heads = self.norm(of_heads, &named(norm))?;
            }
            builder.rotate(of_heads, self.positions, self.divisors, shape.rotation)
        };
        let query = rotated("q_proj", "q_norm.weight", shape.heads)?;
        let key = rotated("k_proj", "k_norm.weight", shape.kv_heads)?;
        let value = heads("v_proj", shape.kv_heads)?;
        let mut mixed = None;
        for (number, text) in self.texts.iter().enumerate() {
            let own = |x: Node<'g>, heads: usize| self.of_text(x, heads, text);
            // What is kept is written before attention reads it: it reads the memory itself, so that nothing else says so.
            for (memory, new) in [(builder.keys(number, place)?, key), (builder.values(number, place)?, value)] {
                let row = builder.reshape_2d(own(new, shape.kv_heads)?, shape.kv_size(), text.step.tokens)?;
                builder.compute(builder.set_rows(memory, row, text.rows)?);
            }
            let kept = |memory: Node<'g>| {
                let window = Window {
                    sizes: [shape.head_dim, shape.kv_heads, text.step.length],
                    steps: [shape.head_dim * KEPT, shape.kv_size() * KEPT],
                    start: 0,
                };
                builder.exchange(builder.view(memory, window)?)
            };
            let (keys, values) = (kept(builder.keys(number, place)?)?, kept(builder.values(number, place)?)?);
            let mask = text.masks[usize::from(shape.is_windowed(block))];
            let mask = mask.ok_or_else(|| crate::Error::internal("a block has no mask"))?;
            let of_text = self.mix(own(query, shape.heads)?, keys, values, mask, text.step)?;
            match self.room {
                Some(room) => {
                    builder.compute_into(of_text, room, text.start * shape.heads * shape.head_dim)?;
                    mixed = Some(room);
                }
                None => mixed = Some(of_text),
            }
        }
        let mixed = mixed.ok_or_else(|| crate::Error::internal("a graph has no text"))?;
        builder.reshape_2d(mixed, shape.heads * shape.head_dim, *tokens)
    }

    /// The part of one text, `[head_dim, heads, tokens]`.
    fn of_text(&self, x: Node<'g>, heads: usize, text: &Text<'g>) -> Result<Node<'g>> {
        if self.texts.len() == 1 {
            return Ok(x);
        }
        let head_dim = self.shape.head_dim;
        let steps = [head_dim * size_of::<f32>(), heads * head_dim * size_of::<f32>()];
        let window = Window { sizes: [head_dim, heads, text.step.tokens], steps, start: text.start * steps[1] };
        self.builder.view(x, window)
    }

    /// What the tokens of a text take over from those that they see: of each token its heads, one after the other.
    fn mix(&self, query: Node<'g>, keys: Node<'g>, values: Node<'g>, mask: Node<'g>, step: Step) -> Result<Node<'g>> {
        let Shared { builder, shape, .. } = self;
        let scale = 1.0 / (shape.head_dim as f32).sqrt();
        let size = shape.heads * shape.head_dim;
        match self.arithmetic {
            Arithmetic::Fastest => builder.flash_attention(builder.exchange(query)?, keys, values, mask, scale),
            Arithmetic::Invariant => {
                // As in `product`; one head of keys and values is there for all tokens of its query heads.
                let all = step.tokens * shape.heads;
                let query = builder.continuous_3d(builder.exchange(query)?, shape.head_dim, 1, all)?;
                let scores =
                    builder.reshape_3d(builder.mul_mat(keys, query)?, step.length, step.tokens, shape.heads)?;
                let shares = builder.reshape_3d(builder.soft_max(scores, mask, scale)?, step.length, 1, all)?;
                let mixed = builder.mul_mat(builder.transposed(values)?, shares)?;
                let mixed = builder.reshape_3d(mixed, shape.head_dim, step.tokens, shape.heads)?;
                builder.continuous_3d(builder.exchange(mixed)?, size, step.tokens, 1)
            }
        }
    }
}
