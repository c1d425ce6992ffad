//! Answers that were given before, for questions that ask the same.
//!
//! An answer is given again when nothing changed: the knowledge base (its generation), the language model, every option and the turns
//! before. The question must be the same word for word, but for case, spaces and the sign at its end; or else so near in meaning that
//! only its wording differs, with the same names, numbers and negations in the same order, since a question about somebody else is near as well. Answers stay in
//! memory.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::llm::Text;
use crate::rag::Rag;
use crate::rag::answer::{Answer, AskOptions};
use crate::rag::ingest::{blocking, embed};
use crate::rag::terms::Term;
use crate::vector::dot;
use crate::{Error, Result};

/// Words that turn a question around, or into another one.
const TURNS: &[&str] = &[
    "not",
    "no",
    "never",
    "without",
    "except",
    "before",
    "after",
    "first",
    "last",
    "more",
    "less",
    "most",
    "least",
    "minimum",
    "maximum",
    "highest",
    "lowest",
    "above",
    "below",
    "increase",
    "decrease",
    "start",
    "end",
    "nicht",
    "kein",
    "keine",
    "nie",
    "ohne",
    "außer",
    "vor",
    "nach",
    "erste",
    "letzte",
    "mehr",
    "weniger",
    "höchste",
    "niedrigste",
    "über",
    "unter",
];

/// Which answers are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheOptions {
    /// Kept at most; the one that was not asked for the longest goes first.
    pub answers: usize,
    /// An older answer is not given again, in milliseconds.
    pub ttl_ms: u64,
    /// The least cosine of two questions that ask the same in other words; 1 or more keeps to the wording.
    pub similarity: f32,
}

impl Default for CacheOptions {
    fn default() -> CacheOptions {
        CacheOptions { answers: 500, ttl_ms: 24 * 60 * 60 * 1000, similarity: 0.95 }
    }
}

impl CacheOptions {
    pub(super) fn check(&self) -> Result<()> {
        if self.answers == 0 || self.ttl_ms == 0 || self.similarity.is_nan() || self.similarity <= 0.0 {
            return Err(Error::invalid_argument(
                "a cache keeps at least one answer, for some time, for a similarity above 0",
            )
            .with_remedy("leave the cache out to keep none"));
        }
        Ok(())
    }
}

/// What became of the answers that were kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheStats {
    /// Answers that are kept now.
    pub answers: usize,
    /// Questions that were answered from them.
    pub hits: u64,
    /// Those of them that were worded otherwise.
    pub similar: u64,
    /// Questions that were not.
    pub misses: u64,
    /// Answers that were too old, or of a knowledge base that changed since.
    pub outdated: u64,
}

/// A question as answers are kept by.
pub(super) struct Asked {
    /// Everything that must be equal: options, turns, model, generation.
    setting: String,
    /// In small letters, with one space between words and without the signs at the end.
    words: String,
    /// Names, numbers and turns, in their order.
    marks: Vec<String>,
    pub vector: Option<Vec<f32>>,
}

impl Asked {
    pub fn new(terms: &[Term], text: &str, setting: String) -> Asked {
        let marked = |term: &&Term| {
            let word = &text[term.range.clone()];
            let name = word.starts_with(|first: char| first.is_uppercase() || first.is_ascii_digit());
            let contracted = term.text == "t" || word.ends_with("n't") || word.ends_with("n’t");
            (term.name || name) && !term.common || contracted || TURNS.contains(&word.to_lowercase().as_str())
        };
        let folded = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        Asked {
            setting,
            marks: terms.iter().filter(marked).map(|term| text[term.range.clone()].to_lowercase()).collect(),
            words: folded.trim_end_matches(['?', '!', '.', ' ']).to_owned(),
            vector: None,
        }
    }

    /// The setting of a question.
    pub fn setting(generation: u64, model: Option<&str>, options: &AskOptions) -> Result<String> {
        let text = serde_json::to_vec(&(generation, model, options))
            .map_err(|error| Error::internal("options could not be written down").with_source(error))?;
        // The turns before may be long.
        Ok(HEXLOWER.encode(&Sha256::digest(text)))
    }
}

/// What is known of a question before it is asked.
pub(super) enum Remembered {
    Answer(Box<Answer>),
    /// Under what its answer is to be kept.
    Not(Asked, u64),
}

struct Kept {
    asked: Asked,
    answer: Answer,
    generation: u64,
    at_ms: i64,
}

/// The answers of one knowledge base.
pub(super) struct Cache {
    options: CacheOptions,
    kept: Mutex<(VecDeque<Kept>, CacheStats)>,
}

impl Cache {
    pub fn new(options: CacheOptions) -> Cache {
        Cache { options, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Kept>, CacheStats)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the same question, if it is kept; the one in other words only with a vector. `count` is set by the last look
    /// for one question, so that it counts once.
    pub fn find(&self, asked: &Asked, generation: u64, now_ms: i64, count: bool) -> Option<Answer> {
        let mut guard = self.lock();
        let (kept, stats) = &mut *guard;
        let before = kept.len();
        let young =
            |kept: &Kept| now_ms.saturating_sub(kept.at_ms) < i64::try_from(self.options.ttl_ms).unwrap_or(i64::MAX);
        kept.retain(|kept| kept.generation == generation && young(kept));
        stats.outdated += (before - kept.len()) as u64;
        let same = |kept: &&Kept| kept.asked.setting == asked.setting;
        let worded = kept.iter().filter(same).position(|kept| kept.asked.words == asked.words);
        let near = |kept: &Kept| match (&kept.asked.vector, &asked.vector) {
            (Some(a), Some(b)) if a.len() == b.len() && kept.asked.marks == asked.marks => dot(a, b),
            _ => f32::NEG_INFINITY,
        };
        let found = match worded {
            Some(_) => kept.iter().position(|kept| same(&kept) && kept.asked.words == asked.words),
            None => {
                let nearest = (0..kept.len())
                    .filter(|at| same(&&kept[*at]))
                    .max_by(|a, b| near(&kept[*a]).total_cmp(&near(&kept[*b])));
                nearest.filter(|at| near(&kept[*at]) >= self.options.similarity)
            }
        };
        let Some(at) = found else {
            stats.misses += u64::from(count);
            return None;
        };
        stats.hits += 1;
        stats.similar += u64::from(worded.is_none());
        let used = kept.remove(at)?;
        let answer = used.answer.clone();
        kept.push_back(used);
        Some(answer)
    }

    pub fn keep(&self, asked: Asked, answer: Answer, generation: u64, now_ms: i64) {
        let mut guard = self.lock();
        let kept = &mut guard.0;
        kept.retain(|kept| kept.asked.setting != asked.setting || kept.asked.words != asked.words);
        kept.push_back(Kept { asked, answer, generation, at_ms: now_ms });
        while kept.len() > self.options.answers {
            kept.pop_front();
        }
    }

    /// Whether questions are compared by what they mean.
    pub fn compares_meaning(&self) -> bool {
        self.options.similarity < 1.0
    }

    pub fn clear(&self) {
        self.lock().0.clear();
    }

    pub fn stats(&self) -> CacheStats {
        let guard = self.lock();
        CacheStats { answers: guard.0.len(), ..guard.1 }
    }
}

impl Rag {
    /// The answer to the same question, if there is one that still holds.
    pub(super) async fn remembered(
        &self,
        cache: &Cache,
        text: &str,
        options: &AskOptions,
    ) -> Result<Option<Remembered>> {
        let knowledge = self.knowledge()?;
        let (model, now) =
            (self.inner.config.language_model.as_ref().map(|model| model.name()), self.inner.config.clock.now());
        let (question, of) = (text.to_owned(), options.clone());
        let keys = blocking(move || {
            let generation = knowledge.sizes()?.generation;
            // Until the indexes have followed, what is found is older than the generation.
            if knowledge.lexical.generation() != Some(generation) {
                return Ok(None);
            }
            let terms = knowledge.lexical.analyzer().terms(&question);
            let setting = Asked::setting(generation, model.as_deref(), &of)?;
            Ok(Some((Asked::new(&terms, &question, setting), generation)))
        });
        let Some((mut asked, generation)) = keys.await? else { return Ok(None) };
        let embedder = self.inner.config.embedder.as_ref().filter(|_| cache.compares_meaning());
        let now = now.as_millisecond();
        if let Some(answer) = cache.find(&asked, generation, now, embedder.is_none()) {
            return Ok(Some(Remembered::Answer(Box::new(answer))));
        }
        if let Some(embedder) = embedder {
            asked.vector = embed(embedder.as_ref(), vec![Text::Query(text.to_owned())]).await?.pop();
            if let Some(answer) = cache.find(&asked, generation, now, true) {
                return Ok(Some(Remembered::Answer(Box::new(answer))));
            }
        }
        Ok(Some(Remembered::Not(asked, generation)))
    }

    /// What became of the answers that [`RagConfig::cache`](super::RagConfig::cache) keeps; nothing without one.
    pub fn cache_stats(&self) -> CacheStats {
        self.inner.cache.as_ref().map(|cache| cache.stats()).unwrap_or_default()
    }

    /// Forgets the answers that were kept.
    pub fn cache_clear(&self) {
        if let Some(cache) = &self.inner.cache {
            cache.clear();
        }
    }
}
