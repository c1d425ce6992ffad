//! Holding a text to a format: which tokens may come next.
//!
//! [llguidance] parses what was written so far with an Earley parser over a lexer of derivatives, and walks the tree of the
//! vocabulary's tokens to find those that the format can still go on with.
//!
//! [llguidance]: https://github.com/guidance-ai/llguidance

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::tokens::Tokens;
use crate::llm::OutputFormat;
use crate::{Error, Result};

/// Bounds of the library: the tree of tokens has 22 bits for its nodes and 10 for its depth, and 24 bits for a token.
const MOST_BYTES: usize = 1 << 22;
const LONGEST_TOKEN: usize = 1000;
const MOST_TOKENS: usize = 1 << 23;

/// The tokens of a model as formats are compared with them.
pub(super) struct Vocabulary(ParserFactory);

impl Vocabulary {
    /// # Errors
    /// `unsupported` for a tokenizer whose tokens stand for no bytes of their own, or no token that ends a text.
    pub fn new(tokens: &Tokens, size: usize, ends: &[u32]) -> Result<Vocabulary> {
        let unsupported = |why: &str| {
            Error::unsupported(format!("this model cannot be held to a format: {why}")).with("param", "format")
        };
        let Some(first) = ends.first() else { return Err(unsupported("no token ends its texts")) };
        if !tokens.stand_for_bytes() {
            return Err(unsupported("its tokenizer writes whole texts only"));
        }
        let words: Vec<Vec<u8>> = (0..size as u32)
            .map(|id| match tokens.is_special(id) {
                true => [&[TokTrie::SPECIAL_TOKEN_MARKER], tokens.name_of(id).as_bytes()].concat(),
                false => tokens.bytes(id),
            })
            // What is longer is never chosen.
            .map(|word| if word.len() > LONGEST_TOKEN { Vec::new() } else { word })
            .collect();
        if size > MOST_TOKENS || words.iter().map(Vec::len).sum::<usize>() > MOST_BYTES {
            return Err(unsupported("its vocabulary is too large"));
        }
        let trie = TokTrie::from(&TokRxInfo::new(size as u32, *first), &words).with_eos_tokens(ends);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&environment)
            .map_err(|error| Error::internal(format!("the vocabulary could not be prepared: {error}")))?;
        factory.quiet();
        Ok(Vocabulary(factory))
    }
}

/// A format, and how far the text has come in it.
pub(super) struct Constraint(Matcher);

impl Constraint {
    /// # Errors
    /// `invalid_argument` for a format that cannot be followed; the message says what in it.
    pub fn new(vocabulary: &Vocabulary, format: &OutputFormat) -> Result<Constraint> {
        let wrong = |why: String| {
            Error::invalid_argument(format!("the format cannot be followed: {why:.400}")).with("param", "format")
        };
        let grammar = match format {
            OutputFormat::JsonObject => TopLevelGrammar::from_json_schema(compact(json!({"type": "object"}))),
            OutputFormat::JsonSchema(schema) => TopLevelGrammar::from_json_schema(compact(schema.clone())),
            OutputFormat::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
            OutputFormat::Lark(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
        };
        let parser = vocabulary.0.create_parser(grammar).map_err(|error| wrong(error.to_string()))?;
        let matcher = Matcher::new(Ok(parser));
        match matcher.get_error() {
            Some(error) => Err(wrong(error)),
            None => Ok(Constraint(matcher)),
        }
    }

    /// The tokens that may come next.
    pub fn allowed(&mut self) -> Result<SimpleVob> {
        self.0.compute_mask_or_eos().map_err(|error| failed(&error.to_string()))
    }

    /// Goes on by a token. Returns whether the text is complete and nothing can follow.
    pub fn take(&mut self, token: u32) -> Result<bool> {
        self.0.consume_token(token).map_err(|error| failed(&error.to_string()))?;
        Ok(self.0.is_stopped())
    }
}

fn failed(why: &str) -> Error {
    Error::resource_exhausted(format!("the format could not be followed any further: {why:.400}"))
        .with("param", "format")
        .with_remedy("ask for a simpler format")
}

/// A schema whose texts have no white space that means nothing, as far as it does not say otherwise.
pub(super) fn compact(mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members
            .entry("x-guidance")
            .or_insert_with(|| json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "}));
    }
    schema
}
