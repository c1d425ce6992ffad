//! How fast a model answers on the way that an answer would take now.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::generate::{PREFILL, blocking, last_row, read};
use super::model::Model;
use super::path::Path;
use super::probe::token;
use super::wire::Hidden;
use super::{Route, ShardEngine};
use crate::llm::{Hop, HostWishes};
use crate::{Error, Result};

/// What a benchmark measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchmarkOptions {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer before those that count.
    pub warm_up: u32,
    /// Tokens of the answer that count.
    pub steps: u32,
    /// Answers at the same time, for the throughput.
    pub sessions: u32,
    /// What the prompt is drawn from.
    pub seed: u64,
}

impl Default for BenchmarkOptions {
    fn default() -> BenchmarkOptions {
        BenchmarkOptions { prompt_tokens: 128, warm_up: 5, steps: 20, sessions: 1, seed: 1 }
    }
}

/// More answers at the same time are no measurement but a load.
const MOST_SESSIONS: u32 = 64;

/// What a benchmark found.
#[derive(Debug, Clone, PartialEq)]
pub struct Benchmark {
    /// Tokens of the prompt in a second, from its first token to the states of its last.
    pub prefill_tokens_per_second: f64,
    /// Tokens of the answer in a second, in a single one.
    pub decode_tokens_per_second: f64,
    /// Milliseconds until the first token: finding a path, reading the prompt and choosing.
    pub first_token_ms: f64,
    /// Tokens in a second of all answers at the same time together; that of the single one where there is one.
    pub throughput_tokens_per_second: f64,
    /// How many answers these were.
    pub sessions: u32,
    /// Where the blocks of the single answer were computed, and how long one token took there.
    pub path: Vec<Hop>,
}

impl ShardEngine {
    /// Measures how fast a model answers, on the path that a generation would take now: a prompt of random tokens is read, and
    /// the likeliest token is chosen each time, whatever it is. A first answer warms up what is warmed up once and does not count.
    ///
    /// # Errors
    /// `invalid_argument` for no tokens or steps, more than the model's context, or no sessions or more than 64; those of
    /// [`generate`](Self::generate).
    pub async fn benchmark(&self, model: &Model, options: BenchmarkOptions, route: Route) -> Result<Benchmark> {
        let tokens = checked(model, &options)?;
        let prompt: Vec<u32> =
            (0..options.prompt_tokens).map(|place| token(options.seed, place, model.config().vocab_size)).collect();
        let cancel = CancellationToken::new();
        let _stop_when_dropped = cancel.clone().drop_guard();
        let answer = || Answer { engine: self, model, route, tokens, prompt: &prompt, cancel: &cancel };
        let mut first = answer().begin().await?;
        let warm = answer().go_on(&mut first, options.warm_up).await;
        self.close(first.path).await;
        warm?;
        let mut single = answer().begin().await?;
        let decode = async {
            answer().go_on(&mut single, options.warm_up).await?;
            let start = Instant::now();
            answer().go_on(&mut single, options.steps).await?;
            Ok::<_, Error>(start.elapsed())
        };
        let decode = decode.await;
        let path = single.path.hops(options.prompt_tokens.div_ceil(PREFILL as u32) as usize);
        let (prefill, first_token) = (single.prefill, single.first_token);
        self.close(single.path).await;
        let decode_tokens_per_second = f64::from(options.steps) / seconds(decode?);
        let throughput_tokens_per_second = match options.sessions {
            1 => decode_tokens_per_second,
            sessions => f64::from(sessions * options.steps) / seconds(together(answer, &options).await?),
        };
        Ok(Benchmark {
            prefill_tokens_per_second: f64::from(options.prompt_tokens) / seconds(prefill),
            decode_tokens_per_second,
            first_token_ms: seconds(first_token) * 1000.0,
            throughput_tokens_per_second,
            sessions: options.sessions,
            path,
        })
    }
}

fn checked(model: &Model, options: &BenchmarkOptions) -> Result<usize> {
    let context = model.config().max_context as u64;
    let tokens = u64::from(options.prompt_tokens) + u64::from(options.warm_up) + u64::from(options.steps);
    if options.prompt_tokens == 0 || options.steps == 0 || tokens > context {
        return Err(Error::invalid_argument(format!(
            "{} tokens are read and {} + {} written, where there is at least one of each that counts and {context} fit the model",
            options.prompt_tokens, options.warm_up, options.steps
        ))
        .with("max_context", context));
    }
    if !(1..=MOST_SESSIONS).contains(&options.sessions) {
        let message = format!("{} sessions, where 1 to {MOST_SESSIONS} are measured", options.sessions);
        return Err(Error::invalid_argument(message));
    }
    Ok(tokens as usize)
}

/// How long all sessions take for their steps, once each has read its prompt.
async fn together<'a>(answer: impl Fn() -> Answer<'a>, options: &BenchmarkOptions) -> Result<Duration> {
    let mut sessions = Vec::new();
    let mut failed = None;
    let beginning = (0..options.sessions).map(|_| {
        let answer = answer();
        async move { answer.begin().await }
    });
    for begun in futures::future::join_all(beginning).await {
        match begun {
            Ok(session) => sessions.push(session),
            Err(error) => failed = Some(error),
        }
    }
    let start = Instant::now();
    if failed.is_none() {
        let all = sessions.iter_mut().map(|session| {
            let answer = answer();
            async move { answer.go_on(session, options.steps).await }
        });
        failed = futures::future::try_join_all(all).await.err();
    }
    let took = start.elapsed();
    let engine = answer().engine;
    futures::future::join_all(sessions.into_iter().map(|session| engine.close(session.path))).await;
    failed.map_or(Ok(took), Err)
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64().max(1e-9)
}

/// What an answer is made with.
struct Answer<'a> {
    engine: &'a ShardEngine,
    model: &'a Model,
    route: Route,
    tokens: usize,
    prompt: &'a [u32],
    cancel: &'a CancellationToken,
}

/// An answer of which the first token is chosen.
struct Begun {
    path: Path,
    next: u32,
    prefill: Duration,
    first_token: Duration,
}

impl Answer<'_> {
    async fn begin(&self) -> Result<Begun> {
        let start = Instant::now();
        let mut path = self.engine.path(self.model, self.route, self.tokens, &HostWishes::default()).await?;
        match self.begin_on(&mut path, start).await {
            Ok((next, prefill, first_token)) => Ok(Begun { path, next, prefill, first_token }),
            Err(error) => {
                self.engine.close(path).await;
                Err(error)
            }
        }
    }

    async fn begin_on(&self, path: &mut Path, start: Instant) -> Result<(u32, Duration, Duration)> {
        let reading = Instant::now();
        let last = read(self.model, path, self.prompt, self.cancel).await?;
        let prefill = reading.elapsed();
        Ok((self.likeliest(last).await?, prefill, start.elapsed()))
    }

    async fn go_on(&self, begun: &mut Begun, steps: u32) -> Result<()> {
        for _ in 0..steps {
            let hidden = read(self.model, &mut begun.path, &[begun.next], self.cancel).await?;
            begun.next = self.likeliest(hidden).await?;
        }
        Ok(())
    }

    async fn likeliest(&self, hidden: Hidden) -> Result<u32> {
        let model = self.model.clone();
        let rows = blocking(move || model.head(last_row(hidden))).await??;
        let row = rows.into_iter().next().unwrap_or_default();
        let best = (0u32..).zip(row).max_by(|(_, one), (_, other)| one.total_cmp(other));
        best.map(|(token, _)| token).ok_or_else(|| Error::internal("a model without tokens chose one"))
    }
}
