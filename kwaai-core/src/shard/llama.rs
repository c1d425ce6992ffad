//! The forward pass of Llama and of the families that are built like it, in the two parts that may live on different machines: a span of blocks, and
//! the ends (token embedding, final normalisation, output head).

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use candle_nn::{Linear, Module, VarBuilder};
use tokio_util::sync::CancellationToken;

use super::block::{Block, RmsNorm, Rope, WEIGHT_INIT};
use super::cache::SpanCache;
use super::config::ModelConfig;

/// A run of consecutive blocks.
#[derive(Debug, Clone)]
pub struct Span {
    rope: Rope,
    first: usize,
    blocks: Vec<Block>,
}

impl Span {
    /// Reads the blocks of `range`; `weights` stands at the root of the model's names.
    pub fn new(config: &ModelConfig, range: Range<usize>, weights: &VarBuilder) -> Result<Span> {
        if range.start > range.end || range.end > config.blocks {
            bail!("blocks {}..{} of a model with {} blocks", range.start, range.end, config.blocks);
        }
        let layers = weights.pp("model.layers");
        let blocks =
            range.clone().map(|number| Block::new(config, number, layers.pp(number))).collect::<Result<_>>()?;
        Ok(Span { rope: Rope::new(config), first: range.start, blocks })
    }

    /// The numbers of the blocks held.
    pub fn range(&self) -> Range<usize> {
        self.first..self.first + self.blocks.len()
    }

    /// Runs all blocks over whole texts, `[batch, tokens, hidden]`, without a cache; differentiable.
    pub fn forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let positions = self.rope.positions(0, hidden.dim(1)?, hidden)?;
        self.blocks.iter().try_fold(hidden.clone(), |x, block| block.forward(&x, &positions, None))
    }

    /// Runs the blocks of `range`, which the span holds, over the next tokens of one text (`[1, tokens, hidden]`). The
    /// cache has one entry for each block of `range`; after an error it is as it was before. `cancel` is looked at
    /// before each block.
    pub fn step(
        &self,
        range: Range<usize>,
        hidden: &Tensor,
        cache: &mut SpanCache,
        cancel: &CancellationToken,
    ) -> Result<Tensor> {
        let held = self.range();
        if range.start < held.start || range.end > held.end || range.len() != cache.blocks.len() {
            bail!("blocks {range:?} with a cache of {} cannot run on blocks {held:?}", cache.blocks.len());
        }
        let position = cache.length();
        let positions = self.rope.positions(position, hidden.dim(1)?, hidden)?;
        let blocks = &self.blocks[range.start - self.first..range.end - self.first];
        let result = blocks.iter().zip(&mut cache.blocks).try_fold(hidden.clone(), |x, (block, cache)| {
            if cancel.is_cancelled() {
                bail!("cancelled");
            }
            block.forward(&x, &positions, Some(cache))
        });
        if result.is_err() {
            cache.truncate(position);
        }
        result
    }
}

/// What stands before the first and after the last block.
#[derive(Debug, Clone)]
pub struct Ends {
    embedding: Tensor,
    norm: RmsNorm,
    head: Linear,
}

impl Ends {
    /// Reads embedding, final normalisation and head; `weights` stands at the root of the model's names. A tied head is
    /// the embedding itself.
    pub fn new(config: &ModelConfig, weights: &VarBuilder) -> Result<Ends> {
        let shape = (config.vocab_size, config.hidden_size);
        let embedding = weights.pp("model.embed_tokens").get_with_hints(shape, "weight", WEIGHT_INIT)?;
        let head = match config.tied_head {
            true => embedding.clone(),
            false => weights.pp("lm_head").get_with_hints(shape, "weight", WEIGHT_INIT)?,
        };
        let norm = RmsNorm::new(config.hidden_size, config.rms_norm_eps, weights.pp("model.norm"))?;
        Ok(Ends { embedding, norm, head: Linear::new(head, None) })
    }

    /// Token ids `[batch, tokens]` (u32) to hidden states `[batch, tokens, hidden]`.
    pub fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, count) = tokens.dims2()?;
        self.embedding.index_select(&tokens.flatten_all()?, 0)?.reshape((batch, count, self.embedding.dim(1)?))
    }

    /// Hidden states after the last block, `[batch, tokens, hidden]`, to logits `[batch, tokens, vocabulary]`.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(&self.norm.forward(hidden)?)
    }
}

/// A whole model in one place, for training and for reference.
#[derive(Debug, Clone)]
pub struct Llama {
    /// Embedding, final normalisation and head.
    pub ends: Ends,
    /// All blocks.
    pub span: Span,
}

impl Llama {
    /// Reads (or, over a `VarMap`, initialises) all weights.
    pub fn new(config: &ModelConfig, weights: &VarBuilder) -> Result<Llama> {
        Ok(Llama { ends: Ends::new(config, weights)?, span: Span::new(config, 0..config.blocks, weights)? })
    }

    /// Token ids `[batch, tokens]` (u32) to logits `[batch, tokens, vocabulary]`, differentiable, without a cache.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        self.ends.logits(&self.span.forward(&self.ends.embed(tokens)?)?)
    }
}
