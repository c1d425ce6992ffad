//! Finding passages: by words, by meaning, and both fused.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::rag::lexical::{Found, Wanted};
use crate::rag::links::{self, Gains};
use crate::rag::store::{KnowledgeStore, Passage};
use crate::vector::{MAX_HITS, Metric, Search, dot};
use crate::{Error, Result};

/// Each side contributes at least this many passages to the fusion.
const POOL: usize = 50;
/// How many passages are looked at for each that is asked for, where they are to differ.
const WIDER: usize = 4;

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

impl From<Mode> for SearchOptions {
    fn from(mode: Mode) -> SearchOptions {
        SearchOptions { mode, ..SearchOptions::default() }
    }
}

impl SearchOptions {
    /// Refuses shares that are none.
    pub(super) fn check(&self) -> Result<()> {
        let share = |name: &str, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(Error::invalid_argument(format!("{name} must be between 0 and 1")).with("argument", name)),
        };
        share("diversity", self.diversity)?;
        share("hypothesis", self.hypothesis)?;
        for (name, value, most) in [("wordings", self.wordings, MOST_WORDINGS), ("rerank", self.rerank, MOST_RANKED)] {
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
        !self.documents.is_empty() || self.since_ms.is_some() || self.before_ms.is_some()
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
    /// Where it stands as exactly as the format allows: `page 12, table 3`, `Installation > Linux`, `rows 7-9`, `lines 10-24`.
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
    hits: Vec<Hit>,
) -> Result<Vec<Hit>> {
    let id = |hit: &Hit| u64::from_str_radix(&hit.chunk_id, 16).unwrap_or_default();
    let ids: Vec<u64> = hits.iter().map(id).collect();
    let words = knowledge.lexical.scores(&knowledge.lexical.wanted(text), &ids)?;
    let near: BTreeMap<u64, f32> = match (&knowledge.vectors, vector) {
        (Some(vectors), Some(vector)) => vectors.scores(vector, &ids)?.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    let with = |rank: Option<Rank>, score: Option<&f32>| rank.and_then(|rank| Some(Rank { score: *score?, ..rank }));
    let hit = |hit: Hit| {
        let id = id(&hit);
        Hit { lexical: with(hit.lexical, words.get(&id)), dense: with(hit.dense, near.get(&id)), ..hit }
    };
    Ok(hits.into_iter().map(hit).collect())
}

/// How many passages either side is asked for.
pub(super) fn pool(k: usize, options: &SearchOptions) -> usize {
    let k = if options.diversity > 0.0 { k.saturating_mul(WIDER) } else { k };
    k.saturating_mul(4).clamp(POOL, MAX_HITS)
}

/// The documents that a search looks in which has a filter.
pub(super) fn within(knowledge: &KnowledgeStore, options: &SearchOptions) -> Result<Vec<String>> {
    let mut named = BTreeSet::new();
    for id in &options.documents {
        if knowledge.document(id)?.is_none() {
            return Err(super::no_document(id));
        }
        named.insert(id.as_str());
    }
    if options.since_ms.is_none() && options.before_ms.is_none() {
        return Ok(named.into_iter().map(str::to_owned).collect());
    }
    let mut documents = knowledge.documents()?;
    documents.retain(|document| {
        (named.is_empty() || named.contains(document.id.as_str()))
            && options.since_ms.is_none_or(|since| document.ingested_at_ms >= since)
            && options.before_ms.is_none_or(|before| document.ingested_at_ms < before)
    });
    Ok(documents.into_iter().map(|document| document.id).collect())
}

/// A question, as far as the two searches have come with it.
pub(super) struct Query {
    pub text: String,
    /// The words that are looked for.
    pub wanted: Wanted,
    pub k: usize,
    pub options: SearchOptions,
    /// The documents to look in; `None` for all.
    pub within: Option<Vec<String>>,
    /// What a search by words found.
    pub words: Found,
    /// Its embedding, where meaning counts.
    pub vector: Option<Vec<f32>>,
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
        if let (Some(vectors), Some(vector)) = (&self.knowledge.vectors, &self.query.vector) {
            self.dense.extend(vectors.scores(vector, &missing(&self.dense))?);
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

/// The best passages. Reads the store, so it blocks.
pub(super) fn hits(knowledge: &KnowledgeStore, query: &Query) -> Result<Vec<Hit>> {
    let Query { k, options, .. } = query;
    let pool = pool(*k, options);
    let within: Option<BTreeSet<u64>> = match &query.within {
        Some(documents) => {
            let mut chunks = BTreeSet::new();
            for document in documents {
                chunks.extend(knowledge.chunks_of(document)?);
            }
            Some(chunks)
        }
        None => None,
    };
    let allowed = |chunk: u64| within.as_ref().is_none_or(|chunks| chunks.contains(&chunk));
    let near = match (&knowledge.vectors, &query.vector) {
        (Some(vectors), Some(vector)) => {
            let filter: Option<&(dyn Fn(u64) -> bool + Sync)> = if within.is_some() { Some(&allowed) } else { None };
            vectors.search(vector, &Search { filter, ..Search::best(pool) })?
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
    }
    ordered.truncate(pool);
    let ids: Vec<u64> = ordered.iter().map(|(chunk, _)| *chunk).collect();
    // A passage that was deleted since the indexes were asked is passed over.
    let passages: BTreeMap<u64, Passage> = knowledge.passages(&ids)?.into_iter().collect();
    ordered.retain(|(chunk, _)| passages.contains_key(chunk));
    if options.diversity > 0.0 {
        ordered = differing(knowledge, ordered, &passages, *k, options.diversity)?;
    }
    let hit = |(chunk, score): &(u64, f64)| {
        let passage = passages.get(chunk)?.clone();
        let locator = passage.locator(&passage.range);
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
        })
    };
    Ok(ordered.iter().filter_map(hit).take(*k).collect())
}

fn sort(ordered: &mut [(u64, f64)]) {
    ordered.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

/// The `k` passages that are good and differ: each is the one whose score, less what it has in common with one chosen before, is best.
fn differing(
    knowledge: &KnowledgeStore,
    mut ordered: Vec<(u64, f64)>,
    passages: &BTreeMap<u64, Passage>,
    k: usize,
    diversity: f64,
) -> Result<Vec<(u64, f64)>> {
    ordered.truncate(k.saturating_mul(WIDER));
    let analyzer = knowledge.lexical.analyzer();
    let mut looks: Vec<(Option<Vec<f32>>, BTreeSet<String>)> = Vec::with_capacity(ordered.len());
    for (chunk, _) in &ordered {
        let vector = knowledge.vectors.as_ref().map(|vectors| vectors.get(*chunk)).transpose()?.flatten();
        let terms = analyzer.terms(&passages[chunk].text).into_iter().filter(|term| !term.common);
        looks.push((vector, terms.map(|term| term.text).collect()));
    }
    let common = |a: usize, b: usize| match (&looks[a], &looks[b]) {
        ((Some(a), _), (Some(b), _)) => f64::from(dot(a, b)),
        ((_, a), (_, b)) => a.intersection(b).count() as f64 / a.union(b).count().max(1) as f64,
    };
    let top = ordered.first().map_or(1.0, |(_, score)| score.abs().max(f64::MIN_POSITIVE));
    let mut nearest = vec![0.0_f64; ordered.len()];
    let mut left: Vec<usize> = (0..ordered.len()).collect();
    let mut chosen = Vec::new();
    while chosen.len() < k && !left.is_empty() {
        let worth = |at: usize| (1.0 - diversity) * ordered[at].1 / top - diversity * nearest[at];
        let mut best = 0;
        for place in 1..left.len() {
            if worth(left[place]) > worth(left[best]) {
                best = place;
            }
        }
        let at = left.remove(best);
        chosen.push(ordered[at]);
        for other in &left {
            nearest[*other] = nearest[*other].max(common(at, *other));
        }
    }
    Ok(chosen)
}
