//! What words are worth over several knowledge bases together.

use serde::{Deserialize, Serialize};

use crate::rag::lexical::{B, K1, Wanted, rarity};

/// What a knowledge base tells about its words, so that passages of several can be compared.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statistics {
    /// How many passages it holds.
    pub passages: u64,
    /// How many words they have together.
    pub words: u64,
    /// In how many passages each of the terms stands that were asked for.
    pub frequencies: Vec<u64>,
}

impl Statistics {
    /// Takes another knowledge base in. More passages with a term than passages are not believed.
    pub fn add(&mut self, other: &Statistics) {
        self.passages = self.passages.saturating_add(other.passages);
        self.words = self.words.saturating_add(other.words);
        for (sum, frequency) in self.frequencies.iter_mut().zip(&other.frequencies) {
            *sum = sum.saturating_add((*frequency).min(other.passages));
        }
    }

    /// The BM25 score of a text with these terms, in parts of the highest that there could be.
    pub fn score(&self, wanted: &Wanted, own: &Wanted) -> f64 {
        let passages = self.passages as f64;
        let average = (self.words as f64 / passages.max(1.0)).max(1.0);
        let norm = K1 * (1.0 - B + B * own.values().sum::<f64>() / average);
        let (mut score, mut highest) = (0.0, 0.0);
        for ((term, weight), frequency) in wanted.iter().zip(&self.frequencies) {
            let worth = weight * rarity(passages, *frequency as f64) * (K1 + 1.0);
            highest += worth;
            let times = own.get(term).copied().unwrap_or(0.0);
            score += worth * times / (times + norm);
        }
        if highest > 0.0 { score / highest } else { 0.0 }
    }
}
