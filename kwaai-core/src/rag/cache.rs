//! Answers that were given before, for questions that ask the same.
//!
//! An answer is given again when nothing changed: the knowledge base (its generation), the language model, every option and the turns
//! before. The question must be the same word for word, but for case, spaces and the sign at its end; or else near in meaning, and the same
//! when what only leads to a question, articles and `do` are left out and words are brought to their stems: in the same order, since who
//! bit whom is not told by meaning, and with the same small words, since a way to Berlin is none from there. Answers stay in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::llm::Text;
use crate::rag::Rag;
use crate::rag::answer::{Answer, AskOptions};
use crate::rag::ingest::{blocking, embed};
use crate::rag::reembed::Open;
use crate::rag::terms::Term;
use crate::vector::dot;
use crate::{Error, Result};

/// Words that say nothing about what is asked, in English and German.
const SILENT: &[&str] = &[
    "the",
    "a",
    "an",
    "do",
    "does",
    "is",
    "are",
    "it",
    "that",
    "there",
    "s",
    "please",
    "tell",
    "me",
    "say",
    "exactly",
    "der",
    "die",
    "das",
    "dem",
    "den",
    "des",
    "ein",
    "eine",
    "einem",
    "einen",
    "einer",
    "eines",
    "ist",
    "sind",
    "es",
    "bitte",
    "genau",
    "denn",
    "eigentlich",
];
/// Words before a question word that may as well stand at the end: `in which file`.
const STRANDED: &[&str] = &["in", "on", "at", "from", "to", "of", "for", "with", "by", "about", "under", "into"];
const ASKING: &[&str] = &["which", "what", "who", "whom", "whose", "where", "when"];
/// Signs that end or part sentences, and tell no question from another.
const PUNCTUATION: &[char] = &[
    '.', ',', ';', ':', '!', '?', '"', '\'', '(', ')', '[', ']', '“', '”', '„', '‘', '’', '«', '»', '…', '–', '—', '-',
    '/', '`',
];

/// Which answers are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheOptions {
    /// Kept at most; the one that was not asked for the longest goes first.
    pub answers: usize,
    /// An older answer is not given again, in milliseconds.
    pub ttl_ms: u64,
    /// The least cosine of two questions that ask the same in other words, which must have the same stems in the same order as well; 1 or
    /// more keeps to the wording.
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
    /// What it asks about, in its order.
    stems: Vec<String>,
    pub vector: Option<Vec<f32>>,
}

impl Asked {
    pub fn new(terms: &[Term], text: &str, setting: String) -> Asked {
        let folded = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        Asked {
            setting,
            stems: stems(terms, text),
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

/// The stems of a question that tell it from others, and the signs that do: `C++` is not `C#`, and -5 not 5.
fn stems(terms: &[Term], text: &str) -> Vec<String> {
    let word = |term: &Term| text[term.range.clone()].to_lowercase();
    let mut stems: Vec<String> = Vec::new();
    let mut stranded = None;
    let mut at = 0;
    for (place, term) in terms.iter().enumerate() {
        stems.extend(signs(text, at..term.range.start));
        at = term.range.end;
        let word = word(term);
        let asks = |term: &Term| ASKING.contains(&text[term.range.clone()].to_lowercase().as_str());
        if place == 0 && STRANDED.contains(&word.as_str()) && terms.get(1).is_some_and(asks) {
            stranded = Some(term.text.clone());
        } else if !SILENT.contains(&word.as_str()) {
            stems.push(term.text.clone());
        }
    }
    stems.extend(stranded);
    stems.extend(signs(text, at..text.len()));
    stems
}

fn signs(text: &str, range: Range<usize>) -> Option<String> {
    let minus = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        after && before.is_none_or(char::is_whitespace)
    };
    let sign = |(at, c): &(usize, char)| {
        !c.is_whitespace() && (!PUNCTUATION.contains(c) || *c == '-' && minus(range.start + at))
    };
    let found: String = text[range.clone()].char_indices().filter(sign).map(|(_, c)| c).collect();
    Some(found).filter(|found| !found.is_empty())
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
            (Some(a), Some(b)) if a.len() == b.len() && !asked.stems.is_empty() && kept.asked.stems == asked.stems => {
                dot(a, b)
            }
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
        let Open { knowledge, embedder, .. } = self.open_now()?;
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
        let embedder = embedder.as_ref().filter(|_| cache.compares_meaning());
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
