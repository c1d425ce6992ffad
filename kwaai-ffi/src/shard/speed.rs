//! How much of a model fits a machine, and how fast it is.

use kwaai_core::llm::Hop;
use kwaai_core::shard;
use serde::{Deserialize, Serialize};

/// What blocks are sized for; what is left out is as the core has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalibrateOptions {
    /// Bytes that blocks may take with what their sessions keep; what is free without a reserve unless set.
    pub memory_bytes: Option<u64>,
    /// Sessions at the same time for which there is to be room; 4 unless set.
    pub sessions: Option<u32>,
    /// Tokens of each; 4,096 unless set, or the model's context where that is shorter.
    pub tokens: Option<u32>,
}

/// How many blocks of a model this machine can serve, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct BlockCalibration {
    /// The model's id.
    pub model: String,
    /// How many blocks the model has.
    pub blocks: u32,
    /// What computes them: `candle` or `ggml`.
    pub backend: String,
    /// The processor by its maker's name, where the system says it.
    pub processor: Option<String>,
    /// Cores that this process may run on.
    pub cores: u32,
    /// Bytes that blocks may take with what their sessions keep.
    pub memory_bytes: u64,
    /// Bytes that were left out of that; 0 where the memory was given.
    pub reserve_bytes: u64,
    /// Bytes that the weights of the largest block take in memory.
    pub weight_bytes: u64,
    /// Bytes that all sessions together keep for one block.
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

/// What a benchmark of a model measures; what is left out is as the core has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BenchmarkSettings {
    /// Tokens of the prompt; 128 unless set.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer before those that count; 5 unless set.
    pub warm_up: Option<u32>,
    /// Tokens of the answer that count; 20 unless set.
    pub steps: Option<u32>,
    /// Answers at the same time, for the throughput; 1 unless set.
    pub sessions: Option<u32>,
    /// What the prompt is drawn from; 1 unless set.
    pub seed: Option<u64>,
    /// `local` or `peers`; without it the model runs here when all its blocks are here.
    pub route: Option<String>,
}

/// How fast a model answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct ModelBenchmark {
    /// Tokens of the prompt in a second.
    pub prefill_tokens_per_second: f64,
    /// Tokens of the answer in a second, in a single one.
    pub decode_tokens_per_second: f64,
    /// Milliseconds until the first token.
    pub first_token_ms: f64,
    /// Tokens in a second of all answers at the same time together.
    pub throughput_tokens_per_second: f64,
    /// How many answers these were.
    pub sessions: u32,
    /// Where the blocks were computed, in order, and how long one token took there.
    pub path: Vec<Hop>,
}

impl CalibrateOptions {
    pub(super) fn into_core(self) -> shard::CalibrateOptions {
        let usual = shard::CalibrateOptions::default();
        shard::CalibrateOptions {
            memory_bytes: self.memory_bytes,
            sessions: self.sessions.unwrap_or(usual.sessions),
            tokens: self.tokens,
        }
    }
}

impl BenchmarkSettings {
    pub(super) fn into_core(self) -> shard::BenchmarkOptions {
        let usual = shard::BenchmarkOptions::default();
        shard::BenchmarkOptions {
            prompt_tokens: self.prompt_tokens.unwrap_or(usual.prompt_tokens),
            warm_up: self.warm_up.unwrap_or(usual.warm_up),
            steps: self.steps.unwrap_or(usual.steps),
            sessions: self.sessions.unwrap_or(usual.sessions),
            seed: self.seed.unwrap_or(usual.seed),
        }
    }
}

impl From<shard::Calibration> for BlockCalibration {
    fn from(found: shard::Calibration) -> BlockCalibration {
        BlockCalibration {
            model: found.model,
            blocks: found.blocks,
            backend: found.backend.name().to_owned(),
            processor: found.processor,
            cores: found.cores,
            memory_bytes: found.memory_bytes,
            reserve_bytes: found.reserve_bytes,
            weight_bytes: found.weight_bytes,
            cache_bytes: found.cache_bytes,
            fitting: found.fitting,
            recommended: found.recommended,
            block_ms: found.block_ms,
            block_prefill_tokens_per_second: found.block_prefill_tokens_per_second,
            decode_tokens_per_second: found.decode_tokens_per_second,
            prefill_tokens_per_second: found.prefill_tokens_per_second,
        }
    }
}

impl From<shard::Benchmark> for ModelBenchmark {
    fn from(found: shard::Benchmark) -> ModelBenchmark {
        ModelBenchmark {
            prefill_tokens_per_second: found.prefill_tokens_per_second,
            decode_tokens_per_second: found.decode_tokens_per_second,
            first_token_ms: found.first_token_ms,
            throughput_tokens_per_second: found.throughput_tokens_per_second,
            sessions: found.sessions,
            path: found.path,
        }
    }
}
