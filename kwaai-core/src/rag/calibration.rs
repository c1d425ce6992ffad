//! When to refuse, from questions whose answers are known to be there or not.
//!
//! Split conformal prediction (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Angelopoulos and Bates,
//! arXiv 2107.07511): of the questions that the documents do not answer, at most the tolerated share gets an answer, on average and
//! for whatever model, as long as the questions that are asked are like those that were calibrated with. What is compared is the
//! [support](super::Evidence::support).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::rag::answer::AskOptions;
use crate::rag::balance;
use crate::rag::ingest::blocking;
use crate::rag::retrieval::Hit;
use crate::rag::{Rag, no_document};
use crate::{Error, Result};

/// A question whose answer is known to stand in documents, or in none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalibrationQuestion {
    /// The question.
    pub question: String,
    /// The ids of the documents that answer it; none where nothing does. With them out of sight the question becomes one that is not
    /// answered, which is the hard kind: the topic is left.
    #[serde(default)]
    pub documents: Vec<String>,
}

/// The support of questions that are known to be answered, and of others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Calibration {
    /// Of those that the documents answer, in ascending order.
    pub answerable: Vec<f64>,
    /// Of those that they do not, in ascending order.
    pub unanswerable: Vec<f64>,
    /// Whether the questions were made of the documents' own sentences. What holds for those holds for people's questions only as
    /// far as these are alike.
    pub from_passages: bool,
    /// The generation of the knowledge base that it was made with.
    pub generation: u64,
}

impl Calibration {
    /// From the supports of questions that are answered and of such that are not, in any order.
    ///
    /// # Errors
    /// `invalid_argument` for a support that is not between 0 and 1.
    pub fn new(mut answerable: Vec<f64>, mut unanswerable: Vec<f64>) -> Result<Calibration> {
        if !answerable.iter().chain(&unanswerable).all(|support| (0.0..=1.0).contains(support)) {
            return Err(Error::invalid_argument("a support is between 0 and 1"));
        }
        answerable.sort_by(f64::total_cmp);
        unanswerable.sort_by(f64::total_cmp);
        Ok(Calibration { answerable, unanswerable, from_passages: false, generation: 0 })
    }

    /// The support above which a question is answered, when at most the share `alpha` of the unanswerable ones may be; `None` when so
    /// few were calibrated with that all must be refused.
    ///
    /// # Errors
    /// `invalid_argument` for a share that is not between 0 and 1.
    pub fn threshold(&self, alpha: f64) -> Result<Option<f64>> {
        if !(0.0..=1.0).contains(&alpha) {
            return Err(Error::invalid_argument("the share of unsupported answers is between 0 and 1"));
        }
        let count = self.unanswerable.len();
        // A hair less, so that what is whole in decimals is not rounded up: 0.9 of 10.
        let rank = ((count + 1) as f64 * (1.0 - alpha) - 1e-9).ceil().max(0.0) as usize;
        Ok(match rank {
            0 => Some(-1.0),
            rank => self.unanswerable.get(rank - 1).copied(),
        })
    }

    /// The share of the answerable questions that get an answer when `alpha` is tolerated.
    ///
    /// # Errors
    /// `invalid_argument` for a share that is not between 0 and 1.
    pub fn answered(&self, alpha: f64) -> Result<f64> {
        let Some(threshold) = self.threshold(alpha)? else { return Ok(0.0) };
        let answered = self.answerable.iter().filter(|support| **support > threshold).count();
        Ok(answered as f64 / self.answerable.len().max(1) as f64)
    }

    /// How often an answerable question has more support than an unanswerable one, equals counting half: the area under the ROC
    /// curve. `None` without one of either.
    pub fn auroc(&self) -> Option<f64> {
        let pairs = self.answerable.len() * self.unanswerable.len();
        let mut won = 0.0;
        for support in &self.answerable {
            let below = self.unanswerable.partition_point(|other| other < support);
            let equal = self.unanswerable.partition_point(|other| other <= support) - below;
            won += below as f64 + equal as f64 / 2.0;
        }
        (pairs > 0).then(|| won / pairs as f64)
    }
}

impl Rag {
    /// Learns from questions when to refuse, so that [`AskOptions::max_unsupported`] can be asked for: how well the documents support
    /// answers to questions that they answer, and to the same ones with those documents out of sight, and to such as nothing answers.
    /// Without questions some are made of sentences of the documents. `options` are those that questions are asked with later;
    /// each mode has a calibration of its own, which the next takes the place of.
    ///
    /// # Errors
    /// `invalid_argument` when there are no passages to make questions of, and for what [`ask`](Rag::ask) refuses; `not_found` for a
    /// document that is not stored; `closed` after the shutdown.
    pub async fn calibrate(&self, questions: Vec<CalibrationQuestion>, options: AskOptions) -> Result<Calibration> {
        let knowledge = self.knowledge()?;
        let options = AskOptions { max_unsupported: None, history: Vec::new(), ..options };
        let mode = self.mode(options.mode)?.0;
        let from_passages = questions.is_empty();
        let (mut answerable, mut unanswerable) = (Vec::new(), Vec::new());
        if from_passages {
            let store = knowledge.clone();
            for trial in blocking(move || balance::trials(&store)).await? {
                let says_so = |hit: &Hit| hit.text.contains(&trial.sentence);
                let with = self.evidence(&trial.sentence, options.clone(), |_| true).await?;
                let without = self.evidence(&trial.sentence, options.clone(), |hit| !says_so(hit)).await?;
                answerable.push(with.support());
                unanswerable.push(without.support());
            }
        } else {
            let stored: BTreeSet<String> = self.documents().await?.into_iter().map(|document| document.id).collect();
            let named = questions.iter().flat_map(|asked| &asked.documents).chain(&options.documents);
            if let Some(missing) = named.into_iter().find(|id| !stored.contains(*id)) {
                return Err(no_document(missing));
            }
            let within =
                if options.documents.is_empty() { stored } else { options.documents.iter().cloned().collect() };
            for asked in questions {
                if !asked.documents.is_empty() {
                    answerable.push(self.evidence(&asked.question, options.clone(), |_| true).await?.support());
                }
                let hidden: BTreeSet<&String> = asked.documents.iter().collect();
                let documents: Vec<String> = within.iter().filter(|id| !hidden.contains(id)).cloned().collect();
                if documents.is_empty() {
                    unanswerable.push(0.0);
                    continue;
                }
                // Nothing is left out of sight of a question that nothing answers.
                let documents = if hidden.is_empty() { options.documents.clone() } else { documents };
                let options = AskOptions { documents, ..options.clone() };
                unanswerable.push(self.evidence(&asked.question, options, |_| true).await?.support());
            }
        }
        if unanswerable.is_empty() {
            return Err(Error::invalid_argument("there is nothing to calibrate with")
                .with_remedy("give questions, or ingest documents first"));
        }
        let calibration = Calibration { from_passages, ..Calibration::new(answerable, unanswerable)? };
        if self.knowledge()?.collection() != knowledge.collection() {
            return Err(Error::conflict("the embedder was changed meanwhile").with_remedy("calibrate again"));
        }
        let calibration = blocking(move || {
            let calibration = Calibration { generation: knowledge.sizes()?.generation, ..calibration };
            knowledge.set_calibration(mode, &calibration)?;
            Ok(calibration)
        })
        .await?;
        // What was refused or answered before was by another threshold.
        self.cache_clear();
        Ok(calibration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_the_tolerated_share_of_what_is_not_answered_passes_on_average() {
        // Exchangeable supports: the next one is as likely to fall between any two of them.
        let alpha = 0.1;
        for count in [9, 10, 19, 40, 99] {
            let supports: Vec<f64> = (1..=count).map(|place| f64::from(place) / 100.0).collect();
            let calibration = Calibration::new(vec![1.0], supports).unwrap();
            let threshold = calibration.threshold(alpha).unwrap().unwrap();
            let above = calibration.unanswerable.iter().filter(|support| **support >= threshold).count();
            assert!(above as f64 / f64::from(count + 1) <= alpha + 1e-9, "{count}: {above}");
        }
    }

    #[test]
    fn few_questions_allow_no_answer_and_no_tolerance_neither() {
        let few = Calibration::new(vec![1.0], vec![0.1; 8]).unwrap();
        assert_eq!(few.threshold(0.1).unwrap(), None);
        assert_eq!(few.answered(0.1).unwrap(), 0.0);
        let many = Calibration::new(vec![0.5, 0.9], vec![0.1; 9]).unwrap();
        assert_eq!((many.threshold(0.1).unwrap(), many.answered(0.1).unwrap()), (Some(0.1), 1.0));
        assert_eq!(many.threshold(0.0).unwrap(), None);
        assert_eq!(many.answered(1.0).unwrap(), 1.0);
        assert!(many.threshold(1.5).is_err() && Calibration::new(vec![2.0], vec![]).is_err());
    }

    #[test]
    fn the_area_under_the_curve_counts_pairs_and_halves_equals() {
        let auroc = |a: &[f64], b: &[f64]| Calibration::new(a.to_vec(), b.to_vec()).unwrap().auroc();
        assert_eq!(auroc(&[0.9, 0.8], &[0.1, 0.8]), Some(0.875));
        assert_eq!(auroc(&[0.9], &[]), None);
    }
}
