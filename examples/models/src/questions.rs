//! The questions and answers the model learns, and which paraphrases it never sees while it learns.

use std::path::Path;

use serde::Deserialize;

use crate::Result;
use crate::random::Random;

/// One paraphrase in this many is held out.
pub const HELD_OUT_EVERY: usize = 5;

/// Which paraphrases are held out does not depend on the seed of a training, so that trainings compare.
const HELD_OUT_SEED: u64 = 1;

/// A question, its only answer, and other ways to ask it.
#[derive(Debug, Clone, Deserialize)]
pub struct Pair {
    /// The question in its plainest words.
    pub question: String,
    /// One or two sentences.
    pub answer: String,
    /// The same question in other words.
    pub paraphrases: Vec<String>,
}

/// One way to ask, and the number of the pair that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The question as asked.
    pub question: String,
    /// Index into [`Questions::pairs`].
    pub pair: usize,
}

/// All pairs, split.
#[derive(Debug, Clone)]
pub struct Questions {
    /// Every pair, in the order of the file.
    pub pairs: Vec<Pair>,
    /// What the model learns from: every question, and the paraphrases not held out.
    pub training: Vec<Example>,
    /// A fifth of all paraphrases.
    pub held_out: Vec<Example>,
}

impl Questions {
    /// The pairs that come with this program.
    pub fn built_in() -> Result<Questions> {
        Questions::parse(include_str!("../data/questions.jsonl"))
    }

    /// Reads a file with one JSON object per line.
    pub fn read(path: &Path) -> Result<Questions> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Questions::parse(&text)
    }

    /// Reads one JSON object per line.
    pub fn parse(text: &str) -> Result<Questions> {
        let mut pairs: Vec<Pair> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            pairs.push(serde_json::from_str(line).map_err(|error| format!("question line {}: {error}", number + 1))?);
        }
        Ok(Questions::split(pairs))
    }

    /// Spreads the held-out paraphrases evenly: each pair gives a fifth of its own, the remainders carried over.
    fn split(pairs: Vec<Pair>) -> Questions {
        let mut random = Random::new(HELD_OUT_SEED);
        let (mut training, mut held_out, mut seen) = (Vec::new(), Vec::new(), 0);
        for (number, pair) in pairs.iter().enumerate() {
            let quota = (seen + pair.paraphrases.len()) / HELD_OUT_EVERY - seen / HELD_OUT_EVERY;
            seen += pair.paraphrases.len();
            let mut paraphrases = pair.paraphrases.clone();
            random.shuffle(&mut paraphrases);
            let kept = paraphrases.split_off(quota);
            held_out.extend(paraphrases.into_iter().map(|question| Example { question, pair: number }));
            let asked = std::iter::once(pair.question.clone()).chain(kept);
            training.extend(asked.map(|question| Example { question, pair: number }));
        }
        Questions { pairs, training, held_out }
    }
}

/// A question without what carries no meaning here: case, punctuation, spaces.
pub fn bare(question: &str) -> String {
    let words: Vec<String> =
        question.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    words.join(" ")
}
