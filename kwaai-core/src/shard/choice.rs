//! Choosing the next token: by the sampler, within the format, with the probabilities that were asked for.

use super::constraint::Constraint;
use super::model::Model;
use super::sampler::{Sampler, logprobs};
use super::tokens::Tokens;
use crate::llm::{ChosenToken, GenerateRequest, OutputFormat, TokenLogprob};
use crate::{Error, Result};

/// More of the likeliest tokens than this are a list of the vocabulary.
const MOST_TOP: u32 = 256;

/// Chooses the tokens of one generation.
pub(super) struct Chooser {
    sampler: Sampler,
    constraint: Option<Constraint>,
    top_logprobs: Option<usize>,
}

/// A token that was chosen.
pub(super) struct Choice {
    pub token: u32,
    pub chosen: Option<ChosenToken>,
    /// Whether the format is complete, and nothing can follow.
    pub last: bool,
}

impl Chooser {
    /// # Errors
    /// `invalid_argument` for a setting outside of its range, a token that the model does not have, or a format that cannot be
    /// followed.
    pub fn new(
        model: &Model,
        request: &GenerateRequest,
        prompt: &[u32],
        format: Option<&OutputFormat>,
    ) -> Result<Chooser> {
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
        let constraint = format.map(|format| Constraint::new(model.vocabulary()?, format)).transpose()?;
        Ok(Chooser { sampler, constraint, top_logprobs: request.top_logprobs.map(|top| top as usize) })
    }

    /// The token after those that were chosen before; blocks the thread.
    pub fn choose(&mut self, tokens: &Tokens, ends: &[u32], logits: &[f32]) -> Result<Choice> {
        let (token, last) = match &mut self.constraint {
            None => (self.sampler.pick(logits)?, false),
            Some(constraint) => {
                let allowed = constraint.allowed()?;
                let token = self.sampler.pick_of(logits, |id| allowed.is_allowed(id))?;
                (token, !ends.contains(&token) && constraint.take(token)?)
            }
        };
        let chosen = self.top_logprobs.map(|top| {
            let (logprob, top) = logprobs(logits, token, top);
            let named = |(id, logprob)| {
                let bytes = tokens.bytes(id);
                TokenLogprob { text: tokens.name_of(id), bytes, logprob }
            };
            ChosenToken { chosen: named((token, logprob)), top: top.into_iter().map(named).collect() }
        });
        Ok(Choice { token, chosen, last })
    }
}
