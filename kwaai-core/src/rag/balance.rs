//! How much meaning counts against words in a knowledge base, found out from its own passages.
//!
//! A sentence is taken out of a passage, and the rest of the passage is looked for by the sentence, among all others. The
//! weight with which a sum of both searches finds it best is what the knowledge base's language and embedder are good for: on
//! XQuAD, all-MiniLM-L6-v2 gets more weight in English than in German, which it was not trained on. People ask with more of a
//! document's rare words than its sentences have, so that words are taken to count more where sentences do not say.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::llm::{Embedder, Text};
use crate::rag::ingest::{blocking, embed};
use crate::rag::sentence::sentences;
use crate::rag::store::{KnowledgeStore, Passage};
use crate::vector::{Search, dot};

/// How much a cosine counts against a whole BM25 score, the choices.
const CHOICES: [f64; 9] = [0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0];
/// What is likely before anything was tried: about this much, and some factors more or less (the deviation of its logarithm).
const USUAL: f64 = 0.25;
const SPREAD: f64 = 0.8;
/// By how much more the mean reciprocal rank makes a choice e times as likely.
const TELLING: f64 = 0.015;
/// The passages that are tried, and one in how many.
const TRIALS: usize = 64;
const ONE_IN: u64 = 8;
/// Fewer trials tell nothing.
const FEWEST: usize = 16;
/// How many of each search are compared with the passage that is looked for.
const RIVALS: usize = 50;
/// Sentences of another length, in bytes, are no good questions.
const LENGTH: std::ops::RangeInclusive<usize> = 40..=300;

/// What was found out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Balance {
    /// How much meaning counts, 0 to 1; words count the rest.
    pub dense_weight: f64,
    /// How many passages there were.
    pub passages: u64,
    /// How many of them were tried; 0 where it is taken on trust.
    pub trials: usize,
}

impl Default for Balance {
    fn default() -> Balance {
        Balance { dense_weight: share(0.4), passages: 0, trials: 0 }
    }
}

/// A sentence, the passage that it was taken out of, and the rest.
pub(super) struct Trial {
    chunk: u64,
    pub sentence: String,
    rest: String,
}

/// Sentences to try a knowledge base with.
pub(super) fn trials(knowledge: &KnowledgeStore) -> Result<Vec<Trial>> {
    knowledge.sample(TRIALS, trial)
}

/// Finds it out, unless it was found out when there were about as many passages: more than half and less than twice as many.
pub(super) async fn keep(knowledge: Arc<KnowledgeStore>, embedder: &dyn Embedder) -> Result<()> {
    let store = knowledge.clone();
    let due = blocking(move || {
        let passages = store.sizes()?.vectors;
        let before = store.balance()?.map_or(0, |balance| balance.passages);
        let grown = passages >= before.saturating_mul(2) || passages.saturating_mul(2) <= before;
        Ok((grown && passages / ONE_IN >= FEWEST as u64).then_some(passages))
    });
    let Some(passages) = due.await? else { return Ok(()) };
    let store = knowledge.clone();
    let most = TRIALS.min((passages / ONE_IN) as usize);
    let trials = blocking(move || store.sample(most, trial)).await?;
    let mut weight = Balance::default().dense_weight;
    let count = if trials.len() < FEWEST { 0 } else { trials.len() };
    if count > 0 {
        let sentences = trials.iter().map(|trial| Text::Query(trial.sentence.clone())).collect();
        let sentences = embed(embedder, sentences).await?;
        let rests = embed(embedder, trials.iter().map(|trial| Text::Document(trial.rest.clone())).collect()).await?;
        let store = knowledge.clone();
        weight = blocking(move || weigh(&store, &trials, &sentences, &rests)).await?;
    }
    let balance = Balance { dense_weight: weight, passages, trials: count };
    blocking(move || knowledge.set_balance(&balance)).await
}

fn trial(chunk: u64, passage: Passage) -> Option<Trial> {
    let all = sentences(&passage.text);
    let good: Vec<_> = all.iter().filter(|found| !found.heading && LENGTH.contains(&found.range.len())).collect();
    if all.len() < 2 || good.is_empty() {
        return None;
    }
    // The id is no measure of anything, so it chooses.
    let chosen = good[(chunk % good.len() as u64) as usize].range.clone();
    let sentence = passage.text[chosen.clone()].to_owned();
    let rest = Passage { text: format!("{}{}", &passage.text[..chosen.start], &passage.text[chosen.end..]), ..passage };
    Some(Trial { chunk, sentence, rest: rest.indexed() })
}

fn weigh(knowledge: &KnowledgeStore, trials: &[Trial], sentences: &[Vec<f32>], rests: &[Vec<f32>]) -> Result<f64> {
    let Some(vectors) = &knowledge.vectors else { return Ok(Balance::default().dense_weight) };
    let mut reciprocal = [0.0; CHOICES.len()];
    for (trial, (sentence, rest)) in trials.iter().zip(sentences.iter().zip(rests)) {
        let wanted = knowledge.lexical.wanted(&trial.sentence);
        let found = knowledge.lexical.search(&wanted, RIVALS, None)?;
        let near = vectors.search(sentence, &Search::best(RIVALS))?;
        let mut rivals: BTreeMap<u64, (f32, f32)> = BTreeMap::new();
        let chunks: Vec<u64> =
            found.ranking.iter().map(|(chunk, _)| *chunk).chain(near.iter().map(|near| near.id)).collect();
        for (chunk, score) in knowledge.lexical.scores(&wanted, &chunks)? {
            rivals.insert(chunk, (score, 0.0));
        }
        for (chunk, score) in vectors.scores(sentence, &chunks)? {
            rivals.entry(chunk).or_default().1 = score;
        }
        rivals.remove(&trial.chunk);
        let own = (knowledge.lexical.score_of(&wanted, &trial.rest)?, f64::from(dot(sentence, rest)));
        let sum = |words: f64, meaning: f64, choice: f64| words / found.highest + choice * meaning;
        for (choice, total) in CHOICES.iter().zip(&mut reciprocal) {
            let own = sum(own.0, own.1, *choice);
            let better = |rival: &&(f32, f32)| sum(f64::from(rival.0), f64::from(rival.1), *choice) > own;
            *total += 1.0 / (1.0 + rivals.values().filter(better).count() as f64);
        }
    }
    Ok(share(settled(&reciprocal.map(|total| total / trials.len() as f64))))
}

/// How much a cosine is to count, from how well each choice did for sentences: the mean of what is likely then.
fn settled(reciprocal: &[f64; CHOICES.len()]) -> f64 {
    let best = reciprocal.iter().copied().fold(0.0, f64::max);
    let (mut sum, mut total) = (0.0, 0.0);
    for (choice, rank) in CHOICES.iter().zip(reciprocal) {
        let away = (choice / USUAL).ln() / SPREAD;
        let likely = ((rank - best) / TELLING - away * away / 2.0).exp();
        sum += likely * choice.ln();
        total += likely;
    }
    (sum / total).exp()
}

/// The part of two that something has which counts so much against 1.
fn share(against_one: f64) -> f64 {
    against_one / (1.0 + against_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_sentences_much_better_decides_and_what_makes_no_difference_stays_usual() {
        let flat = settled(&[0.4; CHOICES.len()]);
        assert!((0.2..0.35).contains(&flat), "{flat}");
        let better_at = |place: usize| {
            let mut ranks = [0.4; CHOICES.len()];
            ranks[place] = 0.7;
            settled(&ranks)
        };
        assert!((better_at(7) - CHOICES[7]).abs() < 0.01 && (better_at(0) - CHOICES[0]).abs() < 0.01);
    }
}
