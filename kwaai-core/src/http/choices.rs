//! Several generations at the same time, and their answer as a stream of events.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, SelectAll, unfold};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::meter::Generating;
use super::reply::{Body, Failure, event, response};
use crate::event::Item;
use crate::llm::{
    ChosenToken, FinishReason, GenerateEvent, GenerateRequest, Hop, LanguageModel, TokenLogprob, ToolCall, Usage,
};
use crate::{Error, Result};

/// Generations that run side by side. Dropping them stops the work behind them.
pub(super) struct Choices {
    events: SelectAll<BoxStream<'static, (usize, Result<Item<GenerateEvent>>)>>,
    first: Option<(usize, Result<GenerateEvent>)>,
    open: usize,
    /// How many choices each text has.
    each: usize,
    pub usage: Usage,
    pub path: Vec<Hop>,
    turn: Generating,
}

/// How a choice ended.
#[derive(Default)]
pub(super) struct End {
    pub reason: &'static str,
    pub tool_calls: Vec<ToolCall>,
}

/// A choice from its beginning to its end.
#[derive(Default)]
pub(super) struct Whole {
    pub text: String,
    pub tokens: Vec<ChosenToken>,
    pub end: End,
}

/// What a choice yields.
pub(super) enum Said {
    Piece(GenerateEvent),
    End(End),
}

impl Choices {
    /// The rest of all `count` choices at once.
    pub async fn whole(&mut self, count: usize) -> std::result::Result<Vec<Whole>, Failure> {
        let mut all: Vec<Whole> = std::iter::repeat_with(Whole::default).take(count).collect();
        while let Some(next) = self.next().await {
            match next? {
                (index, Said::Piece(GenerateEvent::Token { text, tokens })) => {
                    all[index].text.push_str(&text);
                    all[index].tokens.extend(tokens);
                }
                (_, Said::Piece(GenerateEvent::Done { .. })) => {}
                (index, Said::End(end)) => all[index].end = end,
            }
        }
        Ok(all)
    }

    /// Starts `each` generations of every request, which differ by their seeds alone, and waits for the first word: what fails
    /// before it still has a status of its own.
    pub async fn start(
        model: &Arc<dyn LanguageModel>,
        requests: Vec<GenerateRequest>,
        each: u32,
        turn: Generating,
    ) -> std::result::Result<Choices, Failure> {
        let mut events = SelectAll::new();
        let mut open = 0;
        for request in requests {
            for choice in 0..each {
                let seed = request.seed.wrapping_add(choice.into());
                let stream = model.generate(GenerateRequest { seed, ..request.clone() }).await?;
                let index = open;
                events.push(stream.map(move |item| (index, item)).boxed());
                open += 1;
            }
        }
        let (usage, path, each) = (Usage::default(), Vec::new(), each as usize);
        let mut choices = Choices { events, first: None, open, each, usage, path, turn };
        match choices.pull().await {
            Some((_, Err(error))) => Err(error.into()),
            first => {
                choices.first = first;
                Ok(choices)
            }
        }
    }

    /// The next piece of any choice, or its end; `None` after the end of all.
    pub async fn next(&mut self) -> Option<Result<(usize, Said)>> {
        let next = match self.first.take() {
            Some(first) => first,
            None => self.pull().await?,
        };
        Some(next.1.map(|said| (next.0, self.note(next.0, said))))
    }

    fn note(&mut self, index: usize, said: GenerateEvent) -> Said {
        let GenerateEvent::Done { finish_reason, usage, path, tool_calls } = said else { return Said::Piece(said) };
        self.open -= 1;
        // The choices of one text read it once, as far as its reader is concerned.
        if index.is_multiple_of(self.each) {
            self.usage.prompt_tokens = self.usage.prompt_tokens.saturating_add(usage.prompt_tokens);
            self.usage.cached_tokens = self.usage.cached_tokens.saturating_add(usage.cached_tokens);
        }
        self.usage.completion_tokens = self.usage.completion_tokens.saturating_add(usage.completion_tokens);
        self.turn.count(&usage);
        self.path = path;
        let reason = match finish_reason {
            _ if !tool_calls.is_empty() => "tool_calls",
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        };
        Said::End(End { reason, tool_calls })
    }

    async fn pull(&mut self) -> Option<(usize, Result<GenerateEvent>)> {
        match self.events.next().await {
            Some((index, Ok(Item::Value(event)))) => Some((index, Ok(event))),
            Some((index, Ok(Item::Lagged { missed }))) => {
                let lost = Error::internal("pieces of the answer were lost").with("missed", missed);
                Some((index, Err(lost)))
            }
            Some((index, Err(error))) => Some((index, Err(error))),
            None if self.open > 0 => Some((0, Err(Error::internal("the model ended without saying why")))),
            None => None,
        }
    }

    pub fn usage(&self) -> Value {
        let Usage { prompt_tokens, completion_tokens, cached_tokens } = self.usage;
        json!({
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": u64::from(prompt_tokens) + u64::from(completion_tokens),
            "prompt_tokens_details": {"cached_tokens": cached_tokens},
        })
    }
}

/// Writes the events of a stream.
pub(super) trait Writer: Send + 'static {
    /// What stands before the first word of all choices.
    fn begin(&mut self) -> Vec<Value>;
    fn said(&mut self, index: usize, said: Said) -> Vec<Value>;
    /// After the last word; with what it cost if that was asked for.
    fn end(&mut self, choices: &Choices) -> Option<Value>;
}

/// Answers with a stream. It ends with `[DONE]`, or without it after an event that has the error.
pub(super) fn streamed(choices: Choices, mut writer: impl Writer) -> Response<Body> {
    let queue: VecDeque<Bytes> = writer.begin().iter().map(event).collect();
    let state = (choices, writer, queue, false);
    let frames = unfold(state, |(mut choices, mut writer, mut queue, mut ended)| async move {
        loop {
            if let Some(bytes) = queue.pop_front() {
                return Some((Ok(Frame::data(bytes)), (choices, writer, queue, ended)));
            }
            if ended {
                return None;
            }
            match choices.next().await {
                Some(Ok((index, said))) => queue.extend(writer.said(index, said).iter().map(event)),
                Some(Err(error)) => {
                    tracing::debug!(code = %error.code(), "an answer broke off");
                    queue.push_back(event(&Failure::from(error).envelope()));
                    ended = true;
                }
                None => {
                    queue.extend(writer.end(&choices).iter().map(event));
                    queue.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
                    ended = true;
                }
            }
        }
    });
    response(StatusCode::OK, "text/event-stream", StreamBody::new(frames).boxed_unsync())
}

/// JSON has no infinity; OpenAI writes this for what is impossible.
pub(super) fn logprob(token: &TokenLogprob) -> f32 {
    token.logprob.max(-9999.0)
}

pub(super) fn path(hops: &[Hop]) -> Option<Value> {
    (!hops.is_empty()).then(|| json!({"path": hops}))
}
