//! How well what was found supports an answer.
//!
//! A refusal is decided from evidence that can be looked at, never by asking a model: how near the nearest passage and
//! the nearest sentence are in meaning, how much of the question's rare words they contain, and whether words and
//! meaning point to the same passage. The weights were fitted on the data sets named in [`Evidence::support`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rag::terms::Term;

/// What speaks for and against an answer being in the documents. Shares are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The cosine of the question and the nearest passage; `None` without an embedder.
    pub nearest_passage: Option<f32>,
    /// The cosine of the question and the nearest sentence of the first passages.
    pub nearest_sentence: Option<f32>,
    /// The largest share of the question's words, weighted by their rarity, that one passage contains.
    pub passage_coverage: f64,
    /// The same for the first three passages together.
    pub joint_coverage: f64,
    /// How much rarity the words amount to that one passage contains: about 5 for a word that one passage in a hundred
    /// contains, and as much again for each further such word.
    pub matched: f64,
    /// The share that one sentence contains; words of the one before it and of the heading count half.
    pub sentence_coverage: f64,
    /// The share of the question's words, weighted by rarity, that no document contains.
    pub unknown: f64,
    /// How far the first passage by words stands out against the fifth, in parts of its score.
    pub lexical_lead: f64,
    /// Whether the nearest passage by meaning is among the first three by words.
    pub agreement: bool,
}

impl Evidence {
    /// The likelihood that the documents answer the question, 0 to 1.
    ///
    /// The weights come from a logistic regression, rounded, with the threshold 0.5 moved towards answering. How often a question
    /// whose passages with the answer are there has more support than the same question with them out of sight, which is the hard
    /// kind, since the topic is left: the area under the ROC curve, with all-MiniLM-L6-v2 and 60 questions each, by `BENCH_EVIDENCE=60 make
    /// bench-rag` on sets that the weights were fitted on, so that other documents may do worse. In the finance reports other passages say the
    /// same.
    ///
    /// | XQuAD, English | XQuAD, German | HotpotQA | MuSiQue | State of the Union | Chat logs | Wikitexts | PubMed | Finance |
    /// |---|---|---|---|---|---|---|---|---|
    /// | 0.948 | 0.928 | 0.901 | 0.880 | 0.836 | 0.777 | 0.762 | 0.721 | 0.595 |
    pub fn support(&self) -> f64 {
        let agreement = if self.agreement { 1.0 } else { 0.0 };
        let logit = match (self.nearest_passage, self.nearest_sentence) {
            (Some(passage), Some(sentence)) => {
                -5.7 + 2.5 * f64::from(passage)
                    + 3.5 * f64::from(sentence)
                    + 2.7 * self.passage_coverage
                    + 0.75 * self.sentence_coverage
                    + 1.85 * self.lexical_lead
                    + 1.25 * agreement
                    // Words that no document has speak against an answer, unless a sentence means the same without them.
                    - 3.0 * self.unknown * (1.0 - f64::from(sentence))
            }
            _ => {
                -4.75
                    + 1.8 * self.passage_coverage
                    + 1.9 * self.sentence_coverage
                    + 2.15 * self.joint_coverage
                    + 0.085 * self.matched
                    + 2.0 * self.lexical_lead
            }
        };
        1.0 / (1.0 + (-logit).exp())
    }
}

/// How much a word that no document contains counts against one of the same rarity that some contain.
const PARAPHRASE: f64 = 0.5;

/// The words of a question that tell its topic, and how much each tells.
pub(super) struct Wanted {
    weights: BTreeMap<String, f64>,
    total: f64,
    pub unknown: f64,
}

impl Wanted {
    /// From the question's terms and a look at how many of the passages contain each.
    pub fn new<E>(
        question: &[Term],
        frequencies: impl FnOnce(&[&str]) -> Result<(Vec<u64>, u64), E>,
    ) -> Result<Wanted, E> {
        let topical: Vec<&str> = distinct(question.iter().filter(|term| !term.common));
        // A question of nothing but function words is taken as it is.
        let terms = if topical.is_empty() { distinct(question.iter()) } else { topical };
        let names: BTreeSet<String> =
            question.iter().filter(|term| term.name && !term.common).map(|term| term.text.clone()).collect();
        let (counts, passages) = frequencies(&terms)?;
        let rarity = |count: u64| (1.0 + (passages as f64 + 1.0) / (count as f64 + 0.5)).ln();
        let mut weights = BTreeMap::new();
        let mut missing = 0.0;
        for (term, count) in terms.into_iter().zip(counts) {
            let name = names.contains(term);
            // A word that no document uses may be said otherwise there, a name cannot.
            let weight = rarity(count) * if count == 0 && !name { PARAPHRASE } else { 1.0 };
            if count == 0 {
                missing += weight;
            }
            weights.insert(term.to_owned(), weight);
        }
        let total = weights.values().fold(0.0, |sum, weight| sum + weight);
        let unknown = if total > 0.0 { missing / total } else { 1.0 };
        Ok(Wanted { weights, total, unknown })
    }

    /// The rarity of all wanted words together.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The share of the wanted words that stand among these terms; those of `near` count half.
    pub fn coverage<'t>(
        &self,
        terms: impl IntoIterator<Item = &'t Term>,
        near: impl IntoIterator<Item = &'t Term>,
    ) -> f64 {
        if self.total == 0.0 {
            return 0.0;
        }
        let mut found: BTreeMap<&str, f64> = BTreeMap::new();
        for (terms, part) in [(terms.into_iter().collect::<Vec<_>>(), 1.0), (near.into_iter().collect(), 0.5)] {
            for term in terms {
                if let Some((wanted, weight)) = self.weights.get_key_value(&term.text) {
                    let share = found.entry(wanted).or_insert(0.0);
                    *share = share.max(weight * part);
                }
            }
        }
        found.values().fold(0.0, |sum, share| sum + share) / self.total
    }
}

fn distinct<'t>(terms: impl Iterator<Item = &'t Term>) -> Vec<&'t str> {
    let mut texts: Vec<&str> = terms.map(|term| term.text.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}
