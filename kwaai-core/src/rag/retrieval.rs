//! Finding passages: by words, by meaning, and both fused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::rag::document::Format;
use crate::rag::elsewhere::Cosines;
use crate::rag::filter::{Metadata, Within, check_metadata, patterns};
use crate::rag::lexical::{Found, Wanted};
use crate::rag::links::{self, Gains};
use crate::rag::store::{KnowledgeStore, Passage};
use crate::vector::{MAX_HITS, Metric, Search, dot};
use crate::{Error, Result};

/// Each side contributes at least this many passages to the fusion.
const POOL: usize = 50;
/// How many passages are looked at for each that is asked for, where they are to differ.
pub(super) const WIDER: usize = 4;

/// How passages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By their words: BM25.
    Lexical,
    /// By their meaning: the cosine of embeddings.
    Dense,
    /// Both: a weighted sum of the cosine and of the BM25 score in parts of the highest that the question allows. The weight is
    /// [calibrated](SearchOptions::dense_weight) for each knowledge base.
    #[default]
    Hybrid,
}

/// How to search.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchOptions {
    /// How passages are found.
    pub mode: Mode,
    /// Whether documents gain that the question, or a passage found, calls by their names: finds what answers a question in two
    /// steps. No model is asked.
    pub links: bool,
    /// The documents to look in, by their ids; empty for all.
    pub documents: Vec<String>,
    /// Only what was ingested then or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only what was ingested before, in milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// Only documents that were read as one of these; empty for all.
    pub formats: Vec<Format>,
    /// Only documents whose names fit one of these patterns, such as `reports/2024/*.pdf`; empty for all. `*` stands for any characters
    /// but slashes, `**` for slashes too (`**/` also for nothing), `?` for one character, `[a-z]` and `[!a-z]` for one of a class, and a
    /// backslash takes the meaning of what follows. 64 patterns of 1024 bytes at most.
    pub names: Vec<String>,
    /// Only documents that have these values under these keys of their [metadata](crate::rag::IngestOptions::metadata); empty for all.
    pub metadata: Metadata,
    /// So many passages of the same document before and after each hit are told with it, in [`Hit::around`]; 0 for none, 8 at most.
    pub neighbours: usize,
    /// Whether to tell how long each stage took, in [`SearchResult::timings`].
    pub timed: bool,
    /// How much hits are to differ from one another, 0 to 1: maximal marginal relevance (Carbonell and Goldstein, 1998).
    pub diversity: f64,
    /// How much meaning counts in a hybrid search against words, 0 to 1. What the knowledge base found out from its own passages
    /// when it is not set.
    pub dense_weight: Option<f64>,
    /// So many other wordings of the text, by the language model, are looked for as well; the means of their scores count. 8 at most.
    pub wordings: usize,
    /// How much a passage counts that the language model makes up, as one that answers the text, 0 to 1 (HyDE): its words, and its
    /// embedding mixed with the text's.
    pub hypothesis: f64,
    /// So many of the passages found are put in order by the language model, of which `k` remain; 0 leaves them. 100 at most.
    pub rerank: usize,
}

/// The most wordings, and the most passages that are put in order.
const MOST_WORDINGS: usize = 8;
const MOST_RANKED: usize = 100;
/// The most passages on either side of a hit.
const MOST_NEIGHBOURS: usize = 8;

impl From<Mode> for SearchOptions {
    fn from(mode: Mode) -> SearchOptions {
        SearchOptions { mode, ..SearchOptions::default() }
    }
}

impl SearchOptions {
    /// Refuses shares that are none, and filters that mean nothing.
    pub(super) fn check(&self) -> Result<()> {
        let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::invalid_argument(format!("{name} must be between 0 and 1")).with("argument", name)),
        };
        share("diversity", self.diversity)?;
        share("hypothesis", self.hypothesis)?;
        patterns(&self.names)?;
        check_metadata(&self.metadata)?;
        for (name, value, most) in [
            ("wordings", self.wordings, MOST_WORDINGS),
            ("rerank", self.rerank, MOST_RANKED),
            ("neighbours", self.neighbours, MOST_NEIGHBOURS),
        ] {
            if value > most {
                return Err(Error::invalid_argument(format!("{name} is at most {most}")).with("argument", name));
            }
        }
        self.dense_weight.map_or(Ok(()), |weight| share("dense_weight", weight))
    }

    /// Whether a language model is needed.
    pub(super) fn asks_a_model(&self) -> bool {
        self.wordings > 0 || self.hypothesis > 0.0 || self.rerank > 0
    }

    /// Whether it looks in a part of the documents.
    pub(super) fn is_filter(&self) -> bool {
        !self.documents.is_empty()
            || self.since_ms.is_some()
            || self.before_ms.is_some()
            || !self.formats.is_empty()
            || !self.names.is_empty()
            || !self.metadata.is_empty()
    }
}

/// The place of a passage in one of the two searches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// From 1.
    pub rank: usize,
    /// The BM25 score, or the cosine.
    pub score: f32,
}

/// A passage found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The id of its document.
    pub document_id: String,
    /// The name of its document.
    pub document: String,
    /// Its id: 16 hexadecimal digits.
    pub chunk_id: String,
    /// Its text.
    pub text: String,
    /// The bytes of the document's text ([`Rag::document_text`](crate::rag::Rag::document_text)) that it covers.
    pub span: Range<usize>,
    /// Where it stands in the document, for people: `page 3`, or a heading.
    pub section: Option<String>,
    /// Where it stands as exactly as the format allows: `page 12`, `Installation > Linux, table 3`, `rows 7-9`, `lines 10-24`.
    pub locator: Option<String>,
    /// What the hits are ordered by: the BM25 score, the cosine, or the fused score. Comparable within one search only.
    pub score: f64,
    /// Its place in the search by words, unless it was not among the first.
    pub lexical: Option<Rank>,
    /// Its place in the search by meaning, unless it was not among the first.
    pub dense: Option<Rank>,
    /// The name, in the question or in another passage, that led to its document.
    #[serde(default)]
    pub via: Option<String>,
    /// What the app said about its document.
    #[serde(default)]
    pub metadata: Metadata,
    /// The passage with those around it, where [`SearchOptions::neighbours`] asks for them.
    #[serde(default)]
    pub around: Option<Around>,
}

/// A passage with those of the same document around it, as one piece of the document in which nothing comes twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// The text.
    pub text: String,
    /// The bytes of the document's text that it covers.
    pub span: Range<usize>,
    /// Where it stands in the document.
    pub locator: Option<String>,
}

/// How long the stages of a search took, in milliseconds. Words and meaning are looked for side by side, so that they may take more
/// together than the whole.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Finding passages by their words.
    pub words_ms: f64,
    /// Embedding the text, and finding the vectors near to it.
    pub meaning_ms: f64,
    /// Bringing the two together, reading the passages, and seeing to it that they differ.
    pub fusing_ms: f64,
    /// Following names.
    pub links_ms: f64,
    /// Waiting for the language model: wordings, a made-up passage, an order.
    pub model_ms: f64,
    /// All of it, with what no other stage has: which documents to look in, and what stands around the hits.
    pub total_ms: f64,
}

/// The milliseconds since a moment.
pub(super) fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1000.0
}

/// What a search found, and how it searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// Best first; equal scores in the order of their ids.
    pub hits: Vec<Hit>,
    /// The mode that was used.
    pub mode: Mode,
    /// Why it is not the mode that was asked for.
    pub note: Option<String>,
    /// How long it took, where [`SearchOptions::timed`] asks for it; else the same question has the same bytes for an answer.
    #[serde(default)]
    pub timings: Option<Timings>,
}

/// One ranking of several: the mean of what a passage has in each, and the lowest of those that it is not in.
pub(super) fn merged(rankings: Vec<Vec<Hit>>) -> Vec<Hit> {
    let count = rankings.len() as f64;
    let lowest: Vec<f64> = rankings.iter().map(|hits| hits.last().map_or(0.0, |hit| hit.score)).collect();
    let floor: f64 = lowest.iter().sum();
    let mut all: BTreeMap<String, Hit> = BTreeMap::new();
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (hits, lowest) in rankings.into_iter().zip(&lowest) {
        for hit in hits {
            *sums.entry(hit.chunk_id.clone()).or_insert(floor) += hit.score - lowest;
            all.entry(hit.chunk_id.clone()).or_insert(hit);
        }
    }
    let mut hits: Vec<Hit> = all.into_values().map(|hit| Hit { score: sums[&hit.chunk_id] / count, ..hit }).collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.chunk_id.cmp(&b.chunk_id)));
    hits
}

/// The hits with the scores that a text alone gives them in either search.
pub(super) fn rescored(
    knowledge: &KnowledgeStore,
    text: &str,
    vector: Option<&[f32]>,
    cosines: Option<&Cosines>,
    hits: Vec<Hit>,
) -> Result<Vec<Hit>> {
    let ids: Vec<u64> = hits.iter().map(chunk).collect();
    let words = knowledge.lexical.scores(&knowledge.lexical.wanted(text), &ids)?;
    let near: BTreeMap<u64, f32> = match (cosines, &knowledge.vectors, vector) {
        (Some(cosines), ..) => cosines.of(&ids).into_iter().collect(),
        (_, Some(vectors), Some(vector)) => vectors.scores(vector, &ids)?.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    let with = |rank: Option<Rank>, score: Option<&f32>| rank.and_then(|rank| Some(Rank { score: *score?, ..rank }));
    let hit = |hit: Hit| {
        let id = chunk(&hit);
        Hit { lexical: with(hit.lexical, words.get(&id)), dense: with(hit.dense, near.get(&id)), ..hit }
    };
    Ok(hits.into_iter().map(hit).collect())
}

/// How many passages either side is asked for.
pub(super) fn pool(k: usize) -> usize {
    k.saturating_mul(4).clamp(POOL, MAX_HITS)
}

/// A question, as far as the two searches have come with it.
pub(super) struct Query {
    pub text: String,
    /// The words that are looked for.
    pub wanted: Wanted,
    pub k: usize,
    pub options: SearchOptions,
    /// What to look in; `None` for everything.
    pub within: Option<Arc<Within>>,
    /// What a search by words found.
    pub words: Found,
    /// Its embedding, where meaning counts.
    pub vector: Option<Vec<f32>>,
    /// Its cosines, where the vectors are elsewhere.
    pub cosines: Option<Arc<Cosines>>,
}

/// What the two searches say about passages.
struct Scores<'q> {
    knowledge: &'q KnowledgeStore,
    query: &'q Query,
    lexical: BTreeMap<u64, f32>,
    dense: BTreeMap<u64, f32>,
    /// How much a cosine counts against a whole BM25 score.
    weight: f64,
    /// The lowest cosine that was found: what is not embedded is taken for no nearer.
    lowest: f32,
}

impl Scores<'_> {
    /// Looks up what is not known yet of these passages.
    fn complete(&mut self, chunks: &[u64]) -> Result<()> {
        let missing = |known: &BTreeMap<u64, f32>| -> Vec<u64> {
            chunks.iter().copied().filter(|chunk| !known.contains_key(chunk)).collect()
        };
        if self.query.options.mode != Mode::Dense {
            let more = self.knowledge.lexical.scores(&self.query.wanted, &missing(&self.lexical))?;
            self.lexical.extend(more);
        }
        match (&self.query.cosines, &self.knowledge.vectors, &self.query.vector) {
            (Some(cosines), ..) => self.dense.extend(cosines.of(&missing(&self.dense))),
            (_, Some(vectors), Some(vector)) => self.dense.extend(vectors.scores(vector, &missing(&self.dense))?),
            _ => {}
        }
        Ok(())
    }

    fn of(&self, chunk: u64) -> f64 {
        let words = || f64::from(self.lexical.get(&chunk).copied().unwrap_or(0.0));
        let meaning = || cosine(self.knowledge, self.dense.get(&chunk).copied().unwrap_or(self.lowest));
        match self.query.options.mode {
            Mode::Lexical if self.query.options.links => words() / self.query.words.highest,
            Mode::Lexical => words(),
            Mode::Dense => meaning(),
            Mode::Hybrid => (1.0 - self.weight) * words() / self.query.words.highest + self.weight * meaning(),
        }
    }
}

/// A score of the vector index as a cosine; vectors of length 1 are meant.
fn cosine(knowledge: &KnowledgeStore, score: f32) -> f64 {
    let score = f64::from(score);
    match knowledge.vectors.as_ref().map(|vectors| vectors.metric()) {
        Some(Metric::Euclidean) => 1.0 - score * score / 2.0,
        _ => score,
    }
}

/// The best passages, and how long each stage of finding them took. Reads the store, so it blocks.
pub(super) fn hits(knowledge: &KnowledgeStore, query: &Query) -> Result<(Vec<Hit>, Timings)> {
    let started = Instant::now();
    let mut timings = Timings::default();
    let Query { k, options, within, .. } = query;
    let pool = pool(*k);
    let allowed = |chunk: u64| within.as_ref().is_none_or(|within| within.chunks.contains(&chunk));
    let near = match (&query.cosines, &knowledge.vectors, &query.vector) {
        (Some(cosines), ..) => cosines.nearest(knowledge, pool, allowed)?,
        (_, Some(vectors), Some(vector)) => {
            let filter: Option<&(dyn Fn(u64) -> bool + Sync)> = if within.is_some() { Some(&allowed) } else { None };
            let near = vectors.search(vector, &Search { filter, ..Search::best(pool) })?;
            timings.meaning_ms = ms_since(started);
            near
        }
        _ => Vec::new(),
    };
    let places = |ranking: Vec<(u64, f32)>| -> BTreeMap<u64, Rank> {
        let ranks = ranking.into_iter().enumerate();
        ranks.map(|(place, (chunk, score))| (chunk, Rank { rank: place + 1, score })).collect()
    };
    let lowest = near.last().map_or(0.0, |neighbour| neighbour.score);
    let dense = places(near.into_iter().map(|neighbour| (neighbour.id, neighbour.score)).collect());
    let lexical = places(query.words.ranking.clone());
    let known = |places: &BTreeMap<u64, Rank>| places.iter().map(|(chunk, place)| (*chunk, place.score)).collect();
    let mut scores = Scores {
        knowledge,
        query,
        lexical: known(&lexical),
        dense: known(&dense),
        weight: match (options.mode, options.dense_weight) {
            (Mode::Hybrid, None) => knowledge.dense_weight()?,
            (_, weight) => weight.unwrap_or_default(),
        },
        lowest,
    };
    let mut chunks: Vec<u64> = lexical.keys().chain(dense.keys()).copied().collect();
    chunks.sort_unstable();
    chunks.dedup();
    scores.complete(&chunks)?;
    let mut ordered: Vec<(u64, f64)> = chunks.iter().map(|chunk| (*chunk, scores.of(*chunk))).collect();
    sort(&mut ordered);
    let mut gains = Gains::new();
    if options.links {
        let started = Instant::now();
        gains = links::gains(knowledge, &query.text, &ordered, &allowed, &mut |chunks: &[u64]| {
            scores.complete(chunks)?;
            Ok(chunks.iter().map(|chunk| (*chunk, scores.of(*chunk))).collect())
        })?;
        let known: BTreeSet<u64> = chunks.into_iter().collect();
        ordered.extend(gains.keys().filter(|chunk| !known.contains(chunk)).map(|chunk| (*chunk, scores.of(*chunk))));
        for (chunk, score) in &mut ordered {
            *score += gains.get(chunk).map_or(0.0, |(gain, _)| *gain);
        }
        sort(&mut ordered);
        timings.links_ms = ms_since(started);
    }
    ordered.truncate(pool);
    let ids: Vec<u64> = ordered.iter().map(|(chunk, _)| *chunk).collect();
    // A passage that was deleted since the indexes were asked is passed over.
    let passages: BTreeMap<u64, Passage> = knowledge.passages(&ids)?.into_iter().collect();
    ordered.retain(|(chunk, _)| passages.contains_key(chunk));
    ordered.truncate(*k);
    let described = knowledge.metadata(passages.values().map(|passage| passage.document.as_str()))?;
    let hit = |(chunk, score): &(u64, f64)| {
        let passage = passages.get(chunk)?.clone();
        let locator = passage.locator(&passage.range);
        let metadata = described.get(&passage.document).cloned().unwrap_or_default();
        Some(Hit {
            document_id: passage.document,
            document: passage.name,
            chunk_id: format!("{chunk:016x}"),
            text: passage.text,
            span: passage.range,
            section: passage.section,
            locator,
            score: *score,
            lexical: lexical.get(chunk).copied(),
            dense: dense.get(chunk).copied(),
            via: gains.get(chunk).map(|(_, name)| name.clone()),
            metadata,
            around: None,
        })
    };
    let hits = ordered.iter().filter_map(hit).collect();
    timings.fusing_ms = ms_since(started) - timings.meaning_ms - timings.links_ms;
    Ok((hits, timings))
}

fn sort(ordered: &mut [(u64, f64)]) {
    ordered.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

/// The `k` hits that are good and differ: each is the one whose score, less what it has in common with one chosen before, is best.
/// `made` are the vectors of the hits, where those of the knowledge base are elsewhere.
pub(super) fn differing(
    knowledge: &KnowledgeStore,
    hits: Vec<Hit>,
    made: Option<BTreeMap<u64, Vec<f32>>>,
    k: usize,
    diversity: f64,
) -> Result<Vec<Hit>> {
    let analyzer = knowledge.lexical.analyzer();
    let mut looks: Vec<(Option<Vec<f32>>, BTreeSet<String>)> = Vec::with_capacity(hits.len());
    for hit in &hits {
        let vector = match &made {
            Some(made) => made.get(&chunk(hit)).cloned(),
            None => knowledge.vectors.as_ref().map(|vectors| vectors.get(chunk(hit))).transpose()?.flatten(),
        };
        let terms = analyzer.terms(&hit.text).into_iter().filter(|term| !term.common);
        looks.push((vector, terms.map(|term| term.text).collect()));
    }
    let common = |a: usize, b: usize| match (&looks[a], &looks[b]) {
        ((Some(a), _), (Some(b), _)) => f64::from(dot(a, b)),
        ((_, a), (_, b)) => a.intersection(b).count() as f64 / a.union(b).count().max(1) as f64,
    };
    let top = hits.first().map_or(1.0, |hit| hit.score.abs().max(f64::MIN_POSITIVE));
    let mut nearest = vec![0.0_f64; hits.len()];
    let mut left: Vec<usize> = (0..hits.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < k && !left.is_empty() {
        let worth = |at: usize| (1.0 - diversity) * hits[at].score / top - diversity * nearest[at];
        let mut best = 0;
        for place in 1..left.len() {
            if worth(left[place]) > worth(left[best]) {
                best = place;
            }
        }
        let at = left.remove(best);
        chosen.push(hits[at].clone());
        for other in &left {
            nearest[*other] = nearest[*other].max(common(at, *other));
        }
    }
    Ok(chosen)
}

/// The hits with what stands around them. One whose document has changed since stands alone.
pub(super) fn with_neighbours(knowledge: &KnowledgeStore, hits: Vec<Hit>, count: usize) -> Result<Vec<Hit>> {
    let around = knowledge.surroundings(&hits, count)?;
    let widened = hits.into_iter().zip(around).map(|(hit, around)| {
        let around = around.and_then(|around| around.part(around.span().clone(), hit.section.as_deref()));
        let alone = || Around { text: hit.text.clone(), span: hit.span.clone(), locator: hit.locator.clone() };
        Hit { around: Some(around.unwrap_or_else(alone)), ..hit }
    });
    Ok(widened.collect())
}

/// The number of a hit's passage.
pub(super) fn chunk(hit: &Hit) -> u64 {
    u64::from_str_radix(&hit.chunk_id, 16).unwrap_or_default()
}
