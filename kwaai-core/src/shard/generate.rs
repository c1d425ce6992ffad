//! Runs tokens through a path of blocks, and a generation through its tokens.

use tokio_util::sync::CancellationToken;

use super::model::Model;
use super::path::Path;
use super::sampler::Sampler;
use super::tokens::StopTexts;
use super::wire::Hidden;
use crate::event::Sender;
use crate::llm::{FinishReason, GenerateEvent, Usage};
use crate::{Error, Result};

/// A prompt is read in steps of this many tokens, on every route alike: results are bit-identical only between passes of
/// equal shape.
pub(super) const PREFILL: usize = 128;

/// The logits of every token of a text, row by row.
pub(super) async fn logits(
    model: &Model,
    path: &mut Path,
    tokens: &[u32],
    cancel: &CancellationToken,
) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::with_capacity(tokens.len());
    for chunk in tokens.chunks(PREFILL) {
        let hidden = read(model, path, chunk, cancel).await?;
        let model = model.clone();
        rows.extend(blocking(move || model.head(hidden)).await??);
    }
    Ok(rows)
}

async fn read(model: &Model, path: &mut Path, tokens: &[u32], cancel: &CancellationToken) -> Result<Hidden> {
    let (embedding, tokens) = (model.clone(), tokens.to_vec());
    let hidden = blocking(move || embedding.embed(&tokens)).await??;
    path.step(hidden, cancel).await
}

/// One generation, ready to run.
pub(super) struct Generation {
    pub model: Model,
    pub prompt: Vec<u32>,
    pub max_new: usize,
    pub sampler: Sampler,
    pub stops: StopTexts,
}

impl Generation {
    /// Generates into `events` until the model ends its turn, a stop text or a limit comes. What was sent before an
    /// error stays with the reader.
    pub async fn run(mut self, path: &mut Path, events: &Sender<GenerateEvent>) -> Result<()> {
        let cancel = events.cancellation();
        let show = |text: String| {
            if !text.is_empty() {
                events.send(GenerateEvent::Token { text });
            }
        };
        let prefill = self.prompt.len().div_ceil(PREFILL);
        let mut decoder = self.model.tokens()?.decoder();
        let mut next = std::mem::take(&mut self.prompt);
        let mut usage = Usage { prompt_tokens: next.len() as u32, completion_tokens: 0 };
        let finish_reason = loop {
            let mut last = None;
            for chunk in next.chunks(PREFILL) {
                last = match read(&self.model, path, chunk, &cancel).await {
                    Ok(hidden) => Some(hidden),
                    Err(error) => {
                        // What was held back is part of the text so far.
                        let (text, stopped) = self.stops.push(&decoder.finish()?);
                        show(text);
                        if !stopped {
                            show(self.stops.finish());
                        }
                        return Err(error
                            .with("prompt_tokens", usage.prompt_tokens)
                            .with("completion_tokens", usage.completion_tokens));
                    }
                };
            }
            let Some(hidden) = last else {
                return Err(Error::invalid_argument("the prompt has no tokens"));
            };
            let (model, mut sampler) = (self.model.clone(), self.sampler);
            let (token, sampler) = blocking(move || {
                let row = model.head(last_row(hidden)).map(|mut rows| rows.pop().unwrap_or_default());
                (row.and_then(|row| sampler.pick(&row)), sampler)
            })
            .await?;
            let token = token?;
            self.sampler = sampler;
            if self.model.end_of_text().contains(&token) {
                break FinishReason::Stop;
            }
            usage.completion_tokens += 1;
            let (text, stopped) = self.stops.push(&decoder.push(token)?);
            show(text);
            if stopped {
                return self.done(path, events, prefill, FinishReason::Stop, usage);
            }
            if usage.completion_tokens as usize == self.max_new {
                break FinishReason::Length;
            }
            next = vec![token];
        };
        // What was held back is text after all, unless it completes a stop text at the last moment.
        let (text, stopped) = self.stops.push(&decoder.finish()?);
        show(text);
        if !stopped {
            show(self.stops.finish());
        }
        self.done(path, events, prefill, if stopped { FinishReason::Stop } else { finish_reason }, usage)
    }

    fn done(
        &self,
        path: &Path,
        events: &Sender<GenerateEvent>,
        prefill: usize,
        finish_reason: FinishReason,
        usage: Usage,
    ) -> Result<()> {
        events.send(GenerateEvent::Done { finish_reason, usage, path: path.hops(prefill) });
        Ok(())
    }
}

fn last_row(mut hidden: Hidden) -> Hidden {
    let values = hidden.values.split_off(hidden.values.len() - hidden.size as usize);
    Hidden { tokens: 1, size: hidden.size, values }
}

/// Computes on a thread that may be busy for long, so that the runtime's workers never are.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a computation ended unexpectedly").with_source(error))
}
