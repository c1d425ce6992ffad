//! What the tokens of a generation say: pieces of text, the tokens behind them, and calls of functions.

use super::calls::{CallWatch, Format};
use super::tokens::{Decoder, StopTexts, Tokens};
use crate::Result;
use crate::llm::{ChosenToken, GenerateEvent, GenerateRequest, ToolCall};

/// Turns tokens into events.
pub(super) struct Speech {
    decoder: Decoder,
    stops: StopTexts,
    calls: Option<CallWatch>,
    /// Tokens whose text is still held back.
    pending: Vec<ChosenToken>,
}

impl Speech {
    /// For one generation; `format` is how the model writes calls, if it may make any.
    pub fn new(tokens: &Tokens, request: &GenerateRequest, format: Option<Format>) -> Speech {
        Speech {
            decoder: tokens.decoder(),
            stops: StopTexts::new(&request.stop),
            calls: format.map(|format| CallWatch::new(format, &request.tools)),
            pending: Vec::new(),
        }
    }

    /// The next token. Returns what can be shown now, and whether a stop text came, before which the text ends.
    pub fn push(&mut self, token: u32, chosen: Option<ChosenToken>) -> Result<(Option<GenerateEvent>, bool)> {
        self.pending.extend(chosen);
        let (text, stopped) = self.stops.push(&self.decoder.push(token)?);
        Ok((self.show(text), stopped))
    }

    /// The end, after a stop text or by itself: what was held back is text after all, unless it completes a stop text at the
    /// last moment. Returns what can be shown, whether a stop text came, and the calls of functions.
    pub fn finish(&mut self, mut stopped: bool) -> Result<(Vec<GenerateEvent>, bool, Vec<ToolCall>)> {
        let mut events = Vec::new();
        if !stopped {
            let (text, at_last) = self.stops.push(&self.decoder.finish()?);
            events.extend(self.show(text));
            stopped = at_last;
        }
        if !stopped {
            let rest = self.stops.finish();
            events.extend(self.show(rest));
        }
        let mut calls = Vec::new();
        if let Some(watch) = self.calls.take() {
            let (rest, found) = watch.finish();
            calls = found;
            events.extend(self.event(rest));
        }
        // Tokens that have no text of their own, such as special ones, and came last.
        if !stopped && !self.pending.is_empty() {
            events.push(GenerateEvent::Token { text: String::new(), tokens: std::mem::take(&mut self.pending) });
        }
        Ok((events, stopped, calls))
    }

    fn show(&mut self, text: String) -> Option<GenerateEvent> {
        let text = match &mut self.calls {
            Some(watch) => watch.push(&text),
            None => text,
        };
        self.event(text)
    }

    fn event(&mut self, text: String) -> Option<GenerateEvent> {
        (!text.is_empty()).then(|| GenerateEvent::Token { text, tokens: std::mem::take(&mut self.pending) })
    }
}
