//! Blocks and ends in f32, through candle.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use tokio_util::sync::CancellationToken;

use super::{Backend, BlockSpan, ModelEnds, SpanState};
use crate::shard::cache::SpanCache;
use crate::shard::config::ModelConfig;
use crate::shard::llama::{Ends, Span};
use crate::{Error, Result};

/// A span with what its callers ask about it.
#[derive(Debug)]
pub(in crate::shard) struct CandleSpan {
    span: Span,
    hidden: usize,
    cache_bytes_per_token: usize,
}

impl CandleSpan {
    pub fn new(config: &ModelConfig, span: Span) -> CandleSpan {
        CandleSpan { span, hidden: config.hidden_size, cache_bytes_per_token: config.cache_bytes_per_token() }
    }
}

impl BlockSpan for CandleSpan {
    fn backend(&self) -> Backend {
        Backend::Candle
    }

    fn range(&self) -> Range<usize> {
        self.span.range()
    }

    fn cache_bytes_per_token(&self) -> usize {
        self.cache_bytes_per_token
    }

    fn open(self: Arc<Self>, blocks: Range<usize>, max_tokens: usize) -> Result<Box<dyn SpanState>> {
        let cache = SpanCache::new(blocks.len(), max_tokens);
        Ok(Box::new(CandleState { span: self, blocks, cache }))
    }
}

struct CandleState {
    span: Arc<CandleSpan>,
    blocks: Range<usize>,
    cache: SpanCache,
}

impl SpanState for CandleState {
    fn length(&self) -> usize {
        self.cache.length()
    }

    fn bytes(&self) -> usize {
        self.cache.bytes()
    }

    fn truncate(&mut self, length: usize) {
        self.cache.truncate(length);
    }

    fn forward(&mut self, hidden: Vec<f32>, cancel: &CancellationToken) -> Result<Vec<f32>> {
        let shape = (1, hidden.len() / self.span.hidden, self.span.hidden);
        let output = Tensor::from_vec(hidden, shape, &Device::Cpu)
            .and_then(|hidden| self.span.span.step(self.blocks.clone(), &hidden, &mut self.cache, cancel))
            .and_then(|output| output.flatten_all()?.to_vec1::<f32>());
        output.map_err(|error| match cancel.is_cancelled() {
            true => Error::cancelled("the step was cancelled"),
            false => Error::internal("the blocks could not be computed").with_source(error),
        })
    }
}

/// Embedding and head in f32.
#[derive(Debug)]
pub(in crate::shard) struct CandleEnds {
    ends: Ends,
    hidden: usize,
}

impl CandleEnds {
    pub fn new(config: &ModelConfig, ends: Ends) -> CandleEnds {
        CandleEnds { ends, hidden: config.hidden_size }
    }
}

impl ModelEnds for CandleEnds {
    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>> {
        let values = Tensor::from_slice(tokens, (1, tokens.len()), &Device::Cpu)
            .and_then(|tokens| self.ends.embed(&tokens)?.flatten_all()?.to_vec1::<f32>());
        values.map_err(|error| Error::internal("tokens could not be embedded").with_source(error))
    }

    fn logits(&self, hidden: Vec<f32>) -> Result<Vec<Vec<f32>>> {
        let shape = (1, hidden.len() / self.hidden, self.hidden);
        let logits = Tensor::from_vec(hidden, shape, &Device::Cpu)
            .and_then(|hidden| self.ends.logits(&hidden)?.squeeze(0)?.to_vec2::<f32>());
        logits.map_err(|error| Error::internal("logits could not be computed").with_source(error))
    }
}
