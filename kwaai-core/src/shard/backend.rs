//! The seam between what a span of blocks is and the code that computes it.
//!
//! Hosts, generations and probes know these traits alone. `candle` computes in f32, whatever the weights are written in: it
//! is the reference, and the code that trains. `ggml` computes with the weights as a GGUF file has them, with the kernels of
//! llama.cpp, and is there with the feature of that name.

mod candle;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub(super) use candle::{CandleEnds, CandleSpan};

use super::wire::Hidden;
use crate::{Error, Result};

/// The code that computes blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Backend {
    /// Everything in f32, by candle.
    Candle,
    /// Quantised weights as they are written, by ggml, which llama.cpp is built on. Needs the feature `ggml`.
    Ggml,
}

impl Backend {
    /// Those that this version knows.
    pub(super) const ALL: [Backend; 2] = [Backend::Candle, Backend::Ggml];

    /// `candle` or `ggml`.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Candle => "candle",
            Backend::Ggml => "ggml",
        }
    }

    /// The backend of that name, if this version knows it.
    pub fn named(name: &str) -> Option<Backend> {
        Backend::ALL.into_iter().find(|backend| backend.name() == name)
    }
}

/// What ggml is to keep to. candle has one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Arithmetic {
    /// As llama.cpp computes by itself. What a token becomes depends, in its last bits, on how many tokens are
    /// computed together with it; steps of the same lengths always give the same bits.
    #[default]
    Fastest,
    /// What a token becomes depends on the tokens before it alone, however they were cut into steps. Attention is products
    /// and a softmax in place of flash attention, and weights are multiplied with one token at a time, so that a prompt is
    /// read hardly faster than an answer is written.
    Invariant,
}

/// Whether tokens of several texts are computed in one go when they come at the same time, with ggml. It reads the weights once
/// for all of them: eight texts together came 1.7 to 3.1 times as fast as one after the other (`make bench-shard`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Batching {
    /// Where a token has the same bits beside others as alone, which is tried with the weights when they are loaded. So it is
    /// with Q8_0 and Q4_0 on x86-64, and an answer is the same however busy the machine is.
    #[default]
    Exact,
    /// Wherever it is faster. An answer then depends, in its last bits, on what else is computed at the time, and one that
    /// goes on at another host after a failure may go on otherwise.
    Always,
    /// Each text by itself.
    Never,
}

/// How a model's blocks are computed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compute {
    /// What computes. By itself: ggml for quantised weights, where it is there, and candle for all else.
    pub backend: Option<Backend>,
    /// Threads for one step, with ggml. By itself: one for each core that this process may use.
    pub threads: Option<NonZeroUsize>,
    /// What ggml keeps to.
    pub arithmetic: Arithmetic,
    /// What several texts at once share.
    pub batching: Batching,
}

impl Compute {
    /// What computes weights that are quantised, or are not.
    ///
    /// # Errors
    /// `unsupported` for a backend that this build does not have.
    pub(super) fn choose(&self, quantised: bool) -> Result<Backend> {
        let has_ggml = cfg!(feature = "ggml");
        match self.backend {
            Some(Backend::Ggml) if !has_ggml => Err(without_ggml()),
            Some(backend) => Ok(backend),
            None if quantised && has_ggml => Ok(Backend::Ggml),
            None => Ok(Backend::Candle),
        }
    }
}

/// What asking for ggml is answered with where it is not.
pub(super) fn without_ggml() -> Error {
    Error::unsupported("this build computes without ggml")
        .with_remedy("build kwaai-core with its feature ggml, or leave the choice of the backend to it")
}

/// A run of consecutive blocks, ready to compute.
pub trait BlockSpan: fmt::Debug + Send + Sync {
    /// What computes.
    fn backend(&self) -> Backend;

    /// The numbers of the blocks held.
    fn range(&self) -> Range<usize>;

    /// Bytes that one block keeps for one token.
    fn cache_bytes_per_token(&self) -> usize;

    /// Of how many texts it computes single tokens in one go, when as many threads ask for it at once.
    fn together(&self) -> usize {
        1
    }

    /// For how many tokens a text takes memory at most that is begun for so many.
    fn room(&self, tokens: usize) -> usize {
        tokens
    }

    /// Begins a text of at most `max_tokens` tokens on some of the blocks. Memory is taken when the first tokens come.
    ///
    /// # Errors
    /// `internal` for blocks that are not held, or none.
    fn open(self: Arc<Self>, blocks: Range<usize>, max_tokens: usize) -> Result<Box<dyn SpanState>>;
}

/// One text on its way through some blocks: the keys and values of the tokens that were read.
pub trait SpanState: Send {
    /// How many tokens were read.
    fn length(&self) -> usize;

    /// Bytes of memory taken for them, and for others that may follow.
    fn bytes(&self) -> usize;

    /// Forgets all but the first `length` tokens. The memory stays taken.
    fn truncate(&mut self, length: usize);

    /// Computes the next tokens of the text: one state after the other, as they go into the first block, to those that come
    /// out of the last. Blocks the thread. After an error the text is as it was.
    ///
    /// # Errors
    /// `cancelled` once `cancel` has come; `invalid_argument` for states that are not of the model's length, and for more
    /// tokens than the text was begun for.
    fn forward(&mut self, hidden: Vec<f32>, cancel: &CancellationToken) -> Result<Vec<f32>>;
}

/// What stands before the first and after the last block.
pub trait ModelEnds: fmt::Debug + Send + Sync {
    /// The states of tokens, one after the other. The ids are within the vocabulary.
    fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>>;

    /// The logits that follow from each state, row by row. Blocks the thread.
    fn logits(&self, hidden: Vec<f32>) -> Result<Vec<Vec<f32>>>;
}

/// Runs hidden states through blocks; the one way in which both a host and the caller's own machine compute.
///
/// # Errors
/// Those of [`SpanState::forward`]; `corrupt_data` for states that are not finite, after which the text is as it was.
pub(super) fn compute(state: &mut dyn SpanState, hidden: Hidden, cancel: &CancellationToken) -> Result<Vec<f32>> {
    let position = state.length();
    let values = state.forward(hidden.values, cancel)?;
    if values.iter().any(|value| !value.is_finite()) {
        state.truncate(position);
        return Err(Error::corrupt_data("the blocks computed states that are not finite"));
    }
    Ok(values)
}
