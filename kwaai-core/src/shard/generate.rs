//! Runs tokens through a path of blocks, and a generation through its tokens.

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::choice::Chooser;
use super::model::Model;
use super::path::Path;
use super::speech::Speech;
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
    for hidden in read_steps(model, path, tokens, true, cancel).await? {
        let model = model.clone();
        rows.extend(blocking(move || model.head(hidden)).await??);
    }
    Ok(rows)
}

/// The next tokens of a text, from their ids to the states after the last block, of the last step.
///
/// # Errors
/// `invalid_argument` for no tokens, then those of the path.
pub(super) async fn read(model: &Model, path: &mut Path, tokens: &[u32], cancel: &CancellationToken) -> Result<Hidden> {
    let last = read_steps(model, path, tokens, false, cancel).await?.pop();
    last.ok_or_else(|| Error::invalid_argument("the prompt has no tokens"))
}

/// The states of `all` steps or of the last one.
async fn read_steps(
    model: &Model,
    path: &mut Path,
    tokens: &[u32],
    all: bool,
    cancel: &CancellationToken,
) -> Result<Vec<Hidden>> {
    let mut chunks = tokens.chunks(PREFILL);
    let embedded = || -> BoxFuture<'static, Result<Option<Hidden>>> {
        let (model, chunk) = (model.clone(), chunks.next().map(<[u32]>::to_vec));
        Box::pin(async move {
            let Some(chunk) = chunk else { return Ok(None) };
            blocking(move || model.embed(&chunk)).await?.map(Some)
        })
    };
    path.read(embedded, all, cancel).await
}

/// One generation, ready to run.
pub(super) struct Generation {
    pub model: Model,
    pub prompt: Vec<u32>,
    pub max_new: usize,
    pub chooser: Chooser,
    pub speech: Speech,
}

impl Generation {
    /// Generates into `events` until the model ends its turn, a stop text or a limit comes, and returns the last event. What was sent
    /// before an error stays with the reader. The path has read so many tokens of the prompt, in whole steps.
    pub async fn run(
        mut self,
        path: &mut Path,
        has_read: usize,
        events: &Sender<GenerateEvent>,
    ) -> Result<GenerateEvent> {
        let cancel = events.cancellation();
        let prefill = self.prompt.len().div_ceil(PREFILL);
        let mut usage =
            Usage { prompt_tokens: self.prompt.len() as u32, completion_tokens: 0, cached_tokens: has_read as u32 };
        let mut next = self.prompt.split_off(has_read);
        let finish_reason = loop {
            let hidden = match read(&self.model, path, &next, &cancel).await {
                Ok(hidden) => hidden,
                Err(error) => {
                    // What was held back is part of the text so far.
                    if let Ok((rest, ..)) = self.speech.finish(false) {
                        rest.into_iter().for_each(|event| events.send(event));
                    }
                    return Err(error
                        .with("prompt_tokens", usage.prompt_tokens)
                        .with("completion_tokens", usage.completion_tokens));
                }
            };
            let (model, mut chooser) = (self.model.clone(), self.chooser);
            let (choice, chooser) = blocking(move || {
                let row = model.head(last_row(hidden)).map(|mut rows| rows.pop().unwrap_or_default());
                (row.and_then(|row| chooser.choose(model.tokens()?, model.end_of_text(), &row)), chooser)
            })
            .await?;
            let choice = choice?;
            self.chooser = chooser;
            if self.model.end_of_text().contains(&choice.token) {
                break None;
            }
            usage.completion_tokens += 1;
            let (event, stopped) = self.speech.push(choice.token, choice.chosen)?;
            if let Some(event) = event {
                events.send(event);
            }
            if stopped {
                break Some(FinishReason::Stop);
            }
            if choice.last {
                break None;
            }
            if usage.completion_tokens as usize == self.max_new {
                break Some(FinishReason::Length);
            }
            next = vec![choice.token];
        };
        let (rest, stopped, tool_calls) = self.speech.finish(finish_reason == Some(FinishReason::Stop))?;
        for event in rest {
            events.send(event);
        }
        let finish_reason = if stopped { FinishReason::Stop } else { finish_reason.unwrap_or(FinishReason::Stop) };
        Ok(GenerateEvent::Done { finish_reason, usage, path: path.hops(prefill), tool_calls })
    }
}

/// The states of the last token.
pub(super) fn last_row(mut hidden: Hidden) -> Hidden {
    let values = hidden.values.split_off(hidden.values.len() - hidden.size as usize);
    Hidden { tokens: 1, size: hidden.size, values }
}

/// Computes on a thread that may be busy for long, so that the runtime's workers never are.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a computation ended unexpectedly").with_source(error))
}
