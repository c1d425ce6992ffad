//! Scores a model directory the way an app would use it: through kwaai-core's own loading, chat template and generation.

use std::path::Path;

use kwaai_core::event::Item;
use kwaai_core::llm::{ChatMessage, GenerateEvent, GenerateRequest};
use kwaai_core::shard::{LoadOptions, Route, ShardEngine};

use crate::Result;
use crate::questions::{Example, Questions, bare};

/// The share of held-out paraphrases that a model must answer exactly right to be shipped.
pub const REQUIRED: f64 = 0.8;

/// Answers are at most this long; the longest in the data has about forty tokens.
const MAX_TOKENS: u32 = 96;

/// One question as the model answered it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The question as asked.
    pub question: String,
    /// The answer in the data.
    pub expected: String,
    /// What the model said.
    pub said: String,
}

impl Answer {
    /// Whether the model said exactly what the data says.
    pub fn is_right(&self) -> bool {
        self.said == self.expected
    }

    /// How much the words agree, from 0 to 1: the harmonic mean of precision and recall over the words of both.
    pub fn overlap(&self) -> f64 {
        let (said, mut expected) = (bare(&self.said), Vec::new());
        let wanted = bare(&self.expected);
        expected.extend(wanted.split(' '));
        let (said_count, expected_count) = (said.split(' ').count(), expected.len());
        let shared = said
            .split(' ')
            .filter(|word| {
                let place = expected.iter().position(|other| other == word);
                place.map(|place| expected.swap_remove(place)).is_some()
            })
            .count();
        2.0 * shared as f64 / (said_count + expected_count) as f64
    }
}

/// All answers of an evaluation.
#[derive(Debug, Clone)]
pub struct Score {
    /// In the order of the questions asked.
    pub answers: Vec<Answer>,
}

impl Score {
    /// How many answers are exactly right.
    pub fn right(&self) -> usize {
        self.answers.iter().filter(|answer| answer.is_right()).count()
    }

    /// The share of answers that are exactly right, 0 when nothing was asked.
    pub fn share(&self) -> f64 {
        self.right() as f64 / self.answers.len().max(1) as f64
    }

    /// The mean agreement of words, 0 when nothing was asked.
    pub fn overlap(&self) -> f64 {
        self.answers.iter().map(Answer::overlap).sum::<f64>() / self.answers.len().max(1) as f64
    }

    /// One line for a person.
    pub fn summary(&self) -> String {
        format!(
            "{} of {} held-out paraphrases answered exactly right ({:.1}%), mean word overlap {:.3}",
            self.right(),
            self.answers.len(),
            100.0 * self.share(),
            self.overlap()
        )
    }
}

/// Asks the model of a directory each question, greedily.
pub async fn evaluate(model: &Path, questions: &Questions, examples: &[Example]) -> Result<Score> {
    let engine = ShardEngine::local();
    let model = engine.load(model, LoadOptions::default()).await?;
    let mut answers = Vec::with_capacity(examples.len());
    for example in examples {
        let request = GenerateRequest {
            messages: vec![ChatMessage::user(&example.question)],
            max_tokens: MAX_TOKENS,
            ..GenerateRequest::default()
        };
        let mut stream = engine.generate(&model, request, Route::Local).await?;
        let mut said = String::new();
        while let Some(item) = stream.next().await? {
            match item {
                Item::Value(GenerateEvent::Token { text, .. }) => said.push_str(&text),
                Item::Value(GenerateEvent::Done { .. }) => {}
                Item::Lagged { missed } => return Err(format!("{missed} pieces of an answer were lost").into()),
            }
        }
        answers.push(Answer {
            question: example.question.clone(),
            expected: questions.pairs[example.pair].answer.clone(),
            said,
        });
    }
    Ok(Score { answers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(expected: &str, said: &str) -> Answer {
        Answer { question: String::new(), expected: expected.into(), said: said.into() }
    }

    #[test]
    fn overlap_is_one_for_the_same_words_and_none_for_others() {
        assert_eq!(answer("A DID is a name.", "a did is a name").overlap(), 1.0);
        assert_eq!(answer("A DID.", "Blocks run.").overlap(), 0.0);
        assert_eq!(answer("a a b", "a b b").overlap(), 2.0 * 2.0 / 6.0);
    }

    #[test]
    fn only_the_exact_text_is_right() {
        assert!(answer("Yes.", "Yes.").is_right());
        assert!(!answer("Yes.", "yes.").is_right());
    }
}
