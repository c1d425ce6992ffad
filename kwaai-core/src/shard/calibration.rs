//! How many blocks of a model this machine can serve, and how fast: measured on the model's first blocks, never read off its name.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::ShardEngine;
use super::backend::{Backend, BlockSpan, Compute, SpanState, compute};
use super::generate::{PREFILL, blocking};
use super::machine::Machine;
use super::model::Files;
use super::part::Part;
use super::path::median;
use super::wire::Hidden;
use crate::llm::hub;
use crate::{Error, Result};

/// Of the memory that is free, a quarter is left to the rest of the machine and to what a step computes in, and no more than this.
const MOST_RESERVED: u64 = 1 << 30;
/// Sessions are given room for so many tokens, unless the model's context ends before.
const TOKENS: u32 = 4096;
const SESSIONS: u32 = 4;
/// The first steps of a span fetch pages and build graphs.
const WARM: usize = 3;
const STEPS: usize = 9;
const PROMPTS: usize = 3;
/// Blocks up to this many bytes together are measured at once: what a step costs beside its blocks then shows.
const MEASURED_BYTES: u64 = 256 << 20;
const MOST_MEASURED: u32 = 8;
/// Of what other blocks would push out of the processor's caches, so much is imitated: more than caches hold.
const MOST_PUSHED: u64 = 128 << 20;
const CACHE_LINE: usize = 64;

/// What blocks are sized for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrateOptions {
    /// Bytes that blocks may take with what their sessions keep. By itself: what is free on this machine, or what a limit on this
    /// process leaves where that is less, without a reserve of a quarter and at most 1 GiB.
    pub memory_bytes: Option<u64>,
    /// Sessions at the same time for which there is to be room.
    pub sessions: u32,
    /// Tokens of each. By itself: 4,096, or the model's context where that is shorter.
    pub tokens: Option<u32>,
}

impl Default for CalibrateOptions {
    fn default() -> CalibrateOptions {
        CalibrateOptions { memory_bytes: None, sessions: SESSIONS, tokens: None }
    }
}

/// How many blocks of a model this machine can serve, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The model's id.
    pub model: String,
    /// How many blocks the model has.
    pub blocks: u32,
    /// What computes them.
    pub backend: Backend,
    /// The processor by its maker's name, where the system says it.
    pub processor: Option<String>,
    /// Cores that this process may run on.
    pub cores: u32,
    /// Bytes that blocks may take with what their sessions keep.
    pub memory_bytes: u64,
    /// Bytes that were left out of that; 0 where the memory was given.
    pub reserve_bytes: u64,
    /// Bytes that the weights of one block take in memory as this backend holds them, of the largest block.
    pub weight_bytes: u64,
    /// Bytes of keys and values that all sessions together keep for one block.
    pub cache_bytes: u64,
    /// How many blocks of this size fit, however many the model has.
    pub fitting: u32,
    /// How many to serve: those that fit, and no more than the model has.
    pub recommended: u32,
    /// Milliseconds that one block takes for the next token of a text.
    pub block_ms: f64,
    /// Tokens of prompts that one block reads in a second.
    pub block_prefill_tokens_per_second: f64,
    /// Tokens in a second that the recommended blocks are expected to compute, one after the other in one text.
    pub decode_tokens_per_second: f64,
    /// Tokens of prompts in a second that the recommended blocks are expected to read.
    pub prefill_tokens_per_second: f64,
}

/// What a number of blocks takes in memory, before anything is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    memory: u64,
    reserve: u64,
    weights: u64,
    cache: u64,
}

impl Size {
    /// The size of the largest block, of which at least one fits.
    fn of(files: &Files, options: &CalibrateOptions, machine: &Machine, compute_by: &Compute) -> Result<Size> {
        let context = files.config.max_context as u32;
        let tokens = options.tokens.unwrap_or_else(|| TOKENS.min(context));
        if options.sessions == 0 || !(1..=context).contains(&tokens) {
            return Err(Error::invalid_argument(format!(
                "{} sessions of {tokens} tokens, where there is at least one and 1 to {context} tokens fit the model",
                options.sessions
            )));
        }
        let (memory, reserve) = memory(options, machine)?;
        let weights = files.block_bytes(compute_by)?.into_iter().max().unwrap_or_default();
        let kept = files.cache_bytes_per_token(compute_by)? as u64;
        let cache = kept.saturating_mul(tokens.into()).saturating_mul(options.sessions.into());
        let size = Size { memory, reserve, weights, cache };
        if size.fitting() == 0 { Err(too_small(size)) } else { Ok(size) }
    }

    fn block(self) -> u64 {
        self.weights.saturating_add(self.cache).max(1)
    }

    fn fitting(self) -> u32 {
        u32::try_from(self.memory / self.block()).unwrap_or(u32::MAX)
    }
}

impl ShardEngine {
    /// Finds how many blocks of a model, given as for [`load`](Self::load), this machine can serve, and measures how fast the
    /// first of them are computed: the median of several steps after some that do not count. It takes a few seconds, the memory of these
    /// blocks and all cores; what runs beside it makes it slower than it could be.
    ///
    /// # Errors
    /// Those of [`load`](Self::load) without the ones of tokenizers; `resource_exhausted` with `needed_bytes` when not even one block
    /// fits; `invalid_argument` for no sessions, no tokens, or more than the model's context; `unsupported` on a system that does not say
    /// how much memory is free, unless that is given.
    pub async fn calibrate(&self, model: impl AsRef<Path>, options: CalibrateOptions) -> Result<Calibration> {
        let cancel = CancellationToken::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let path = self.locate(model.as_ref(), Some(Part::HEADS.chosen())).await?;
        let model = hub::pinned(model.as_ref(), &path);
        let engine = self.clone();
        let measured = blocking(move || measured(&engine, &engine.files(&path)?, &options)).await??;
        let path = self.locate(&model, Some(Part { blocks: Some(0..measured), ends: false }.chosen())).await?;
        let engine = self.clone();
        blocking(move || calibrated(&engine, &engine.files(&path)?, &options, measured, &cancel)).await?
    }
}

/// How many blocks are loaded to be measured.
fn measured(engine: &ShardEngine, files: &Files, options: &CalibrateOptions) -> Result<u32> {
    let size = Size::of(files, options, &Machine::here(), &engine.0.compute)?;
    let recommended = size.fitting().min(files.config.blocks as u32);
    let together = u32::try_from(MEASURED_BYTES / size.weights.max(1)).unwrap_or(u32::MAX);
    Ok(together.clamp(1, MOST_MEASURED).min(recommended))
}

fn calibrated(
    engine: &ShardEngine,
    files: &Files,
    options: &CalibrateOptions,
    measured: u32,
    cancel: &CancellationToken,
) -> Result<Calibration> {
    let machine = Machine::here();
    let compute_by = &engine.0.compute;
    let (config, blocks) = (&files.config, files.config.blocks as u32);
    let size = Size::of(files, options, &machine, compute_by)?;
    let recommended = size.fitting().min(blocks);
    let measured = measured.min(recommended);
    let span = files.load_span(&(0..measured), compute_by)?;
    let speed = Speed::of(&span, config.hidden_size, config.max_context, recommended, size.weights, cancel)?;
    Ok(Calibration {
        model: files.id.clone(),
        blocks,
        backend: span.backend(),
        processor: machine.processor,
        cores: machine.cores,
        memory_bytes: size.memory,
        reserve_bytes: size.reserve,
        weight_bytes: size.weights,
        cache_bytes: size.cache,
        fitting: size.fitting(),
        recommended,
        block_ms: speed.decode.block * 1000.0,
        block_prefill_tokens_per_second: speed.prompt as f64 / speed.prefill.block,
        decode_tokens_per_second: 1.0 / speed.decode.of(recommended),
        prefill_tokens_per_second: speed.prompt as f64 / speed.prefill.of(recommended),
    })
}

/// How many blocks to serve, and how many bytes their sessions keep; nothing is measured.
///
/// # Errors
/// Those of [`ShardEngine::calibrate`].
pub(super) fn sized(files: &Files, options: &CalibrateOptions, compute_by: &Compute) -> Result<(u32, u64)> {
    let size = Size::of(files, options, &Machine::here(), compute_by)?;
    let count = size.fitting().min(files.config.blocks as u32);
    Ok((count, size.cache.saturating_mul(count.into())))
}

/// What blocks may take, and what is left out of it.
fn memory(options: &CalibrateOptions, machine: &Machine) -> Result<(u64, u64)> {
    if let Some(given) = options.memory_bytes {
        return Ok((given, 0));
    }
    let free = machine.memory.ok_or_else(|| {
        Error::unsupported("this system does not say how much memory is free").with_remedy("give memory_bytes")
    })?;
    let reserve = (free / 4).min(MOST_RESERVED);
    Ok((free - reserve, reserve))
}

fn too_small(size: Size) -> Error {
    Error::resource_exhausted(format!(
        "one block takes {} bytes, {} of them for what its sessions keep, and blocks may take {}",
        size.block(),
        size.cache,
        size.memory
    ))
    .with("needed_bytes", size.block())
    .with("memory_bytes", size.memory)
    .with_remedy("make room for a block, have fewer or shorter sessions, or use a model with smaller blocks")
}

/// Seconds that a step takes: for each block, and beside them.
#[derive(Debug, Clone, Copy)]
struct Cost {
    block: f64,
    beside: f64,
}

impl Cost {
    /// From the time of one block and of several.
    fn of_times(one: f64, several: f64, blocks: u32) -> Cost {
        let whole = several / f64::from(blocks);
        if blocks == 1 {
            return Cost { block: whole, beside: 0.0 };
        }
        // Whatever was in the way of the measurement, a block costs something and so does the rest.
        let block = ((several - one) / f64::from(blocks - 1)).clamp(whole / 2.0, whole);
        Cost { block, beside: several - block * f64::from(blocks) }
    }

    fn of(self, blocks: u32) -> f64 {
        self.beside + self.block * f64::from(blocks)
    }
}

/// How fast blocks are.
struct Speed {
    decode: Cost,
    prefill: Cost,
    /// Tokens in the prompt that was read.
    prompt: usize,
}

impl Speed {
    fn of(
        span: &Arc<dyn BlockSpan>,
        hidden: usize,
        context: usize,
        recommended: u32,
        weights: u64,
        cancel: &CancellationToken,
    ) -> Result<Speed> {
        let prompt = PREFILL.min(context - 1).max(1);
        let measured = span.range().len() as u32;
        // Among as many blocks as are recommended, the others would have pushed these out of the processor's caches.
        let others = |blocks: u32| u64::from(recommended - blocks).saturating_mul(weights).min(MOST_PUSHED) as usize;
        let room = vec![1u8; others(1)];
        let mut runs = [Run::begin(span, 1, hidden, prompt)?, Run::begin(span, measured, hidden, prompt)?];
        let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        for round in 0..WARM + STEPS {
            for (at, blocks) in [1, measured].into_iter().enumerate() {
                let push = &room[..others(blocks)];
                if round < 1 + PROMPTS {
                    times[at][0].push(runs[at].read(prompt, 0, push, cancel)?);
                }
                times[at][1].push(runs[at].read(1, prompt.min(context - 1), push, cancel)?);
            }
        }
        let [[one_prompt, one_token], [all_prompt, all_token]] = times;
        let (of_prompts, of_tokens) = (|times: Vec<f64>| median(&times[1..]), |times: Vec<f64>| median(&times[WARM..]));
        Ok(Speed {
            decode: Cost::of_times(of_tokens(one_token), of_tokens(all_token), measured),
            prefill: Cost::of_times(of_prompts(one_prompt), of_prompts(all_prompt), measured),
            prompt,
        })
    }
}

/// A text that the first blocks of a span read again and again.
struct Run {
    state: Box<dyn SpanState>,
    hidden: usize,
}

impl Run {
    fn begin(span: &Arc<dyn BlockSpan>, blocks: u32, hidden: usize, prompt: usize) -> Result<Run> {
        let first = span.range().start;
        Ok(Run { state: span.clone().open(first..first + blocks as usize, prompt + 1)?, hidden })
    }

    /// Seconds for `tokens` tokens that follow the first `position`.
    fn read(&mut self, tokens: usize, position: usize, push: &[u8], cancel: &CancellationToken) -> Result<f64> {
        if cancel.is_cancelled() {
            return Err(Error::cancelled("the calibration was cancelled"));
        }
        self.state.truncate(position);
        black_box(push.iter().step_by(CACHE_LINE).map(|byte| u64::from(*byte)).sum::<u64>());
        let hidden = states(tokens, self.hidden);
        let start = Instant::now();
        compute(self.state.as_mut(), hidden, cancel)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// States of the size that embeddings have, all different: how long a step takes does not depend on what they are.
fn states(tokens: usize, size: usize) -> Hidden {
    let values = (0..tokens * size).map(|at| ((at * 7919 % 1013) as f32 / 1013.0 - 0.5) * 0.1).collect();
    Hidden { tokens: tokens as u32, size: size as u32, values }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quarter_of_what_is_free_and_at_most_a_gibibyte_is_left_to_others() {
        let of = |memory| memory_of(Some(memory));
        assert_eq!(of(1000).unwrap(), (750, 250));
        assert_eq!(of(64 << 30).unwrap(), (63 << 30, 1 << 30));
        assert_eq!(memory_of(None).unwrap_err().code(), crate::ErrorCode::Unsupported);
        let given = CalibrateOptions { memory_bytes: Some(5), ..CalibrateOptions::default() };
        assert_eq!(memory(&given, &Machine { processor: None, cores: 1, memory: None }).unwrap(), (5, 0));
    }

    fn memory_of(memory: Option<u64>) -> Result<(u64, u64)> {
        super::memory(&CalibrateOptions::default(), &Machine { processor: None, cores: 1, memory })
    }

    #[test]
    fn a_step_costs_its_blocks_and_what_is_beside_them() {
        let cost = Cost::of_times(3.0, 9.0, 4);
        assert_eq!((cost.block, cost.beside, cost.of(10)), (2.0, 1.0, 21.0));
        assert_eq!(Cost::of_times(3.0, 3.0, 1).of(5), 15.0);
        assert_eq!(Cost::of_times(9.0, 8.0, 4).block, 1.0, "a measurement that was in the way of another");
    }

    proptest! {
        #[test]
        fn half_the_memory_halves_the_blocks(memory in 0u64..1 << 45, weights in 1u64..1 << 33, cache in 0u64..1 << 30) {
            let of = |memory| Size { memory, reserve: 0, weights, cache }.fitting();
            prop_assert_eq!(of(memory / 2), of(memory) / 2);
        }
    }
}
