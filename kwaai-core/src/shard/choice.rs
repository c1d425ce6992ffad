//! Choosing the next token: by the sampler, within the format, with the probabilities that were asked for.

use super::model::Model;
use super::sampler::{Sampler, logprobs};
use super::tokens::Tokens;
use crate::llm::{ChosenToken, GenerateRequest, TokenLogprob};
use crate::{Error, Result};

/// More of the likeliest tokens than this are a list of the vocabulary.
const MOST_TOP: u32 = 256;

/// Chooses the tokens of one generation.
pub(super) struct Chooser {
    sampler: Sampler,
    top_logprobs: Option<usize>,
}

/// A token that was chosen.
pub(super) struct Choice {
    pub token: u32,
    pub chosen: Option<ChosenToken>,
}

impl Chooser {
    /// # Errors
    /// `invalid_argument` for a setting outside of its range or a token that the model does not have.
    pub fn new(model: &Model, request: &GenerateRequest, prompt: &[u32]) -> Result<Chooser> {
        let vocabulary = model.config().vocab_size;
        if let Some(token) = request.logit_bias.keys().find(|token| **token as usize >= vocabulary) {
            let message = format!("logit_bias has the token {token}; the model has {vocabulary}");
            return Err(Error::invalid_argument(message).with("param", "logit_bias"));
        }
        if let Some(top) = request.top_logprobs.filter(|top| *top > MOST_TOP) {
            let message = format!("top_logprobs is {top}; it is at most {MOST_TOP}");
            return Err(Error::invalid_argument(message).with("param", "top_logprobs"));
        }
        let mut sampler = Sampler::new(request)?;
        sampler.read(prompt);
        Ok(Chooser { sampler, top_logprobs: request.top_logprobs.map(|top| top as usize) })
    }

    /// The token after those that were chosen before; blocks the thread.
    pub fn choose(&mut self, tokens: &Tokens, logits: &[f32]) -> Result<Choice> {
        let token = self.sampler.pick(logits)?;
        let chosen = self.top_logprobs.map(|top| {
            let (logprob, top) = logprobs(logits, token, top);
            let named = |(id, logprob)| {
                let bytes = tokens.bytes(id);
                TokenLogprob { text: tokens.name_of(id), bytes, logprob }
            };
            ChosenToken { chosen: named((token, logprob)), top: top.into_iter().map(named).collect() }
        });
        Ok(Choice { token, chosen })
    }
}
