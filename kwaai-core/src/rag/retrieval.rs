//! Finding passages: by words, by meaning, and both fused.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::rag::store::{KnowledgeStore, Passage};

/// The constant of reciprocal rank fusion: how little the first ranks stand out.
const FUSION: f64 = 60.0;
/// Each side contributes at least this many passages to the fusion.
const POOL: usize = 50;

/// How passages are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By their words: BM25.
    Lexical,
    /// By their meaning: the cosine of embeddings.
    Dense,
    /// Both, fused by reciprocal rank.
    #[default]
    Hybrid,
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

/// The passages of one search in its order, with their scores.
pub(super) type Ranking = Vec<(u64, f32)>;

/// How many passages either side is asked for.
pub(super) fn pool(k: usize) -> usize {
    k.saturating_mul(4).max(POOL)
}

/// The fused ranking: every passage of either ranking with the sum of `1 / (60 + rank)`.
pub(super) fn fuse(lexical: &Ranking, dense: &Ranking) -> Vec<(u64, f64)> {
    let mut sums: BTreeMap<u64, f64> = BTreeMap::new();
    for ranking in [lexical, dense] {
        for (place, (chunk, _)) in ranking.iter().enumerate() {
            *sums.entry(*chunk).or_default() += 1.0 / (FUSION + place as f64 + 1.0);
        }
    }
    let mut fused: Vec<(u64, f64)> = sums.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

/// The best `k` of both rankings as hits. Reads the store, so it blocks.
pub(super) fn hits(
    knowledge: &KnowledgeStore,
    mode: Mode,
    lexical: &Ranking,
    dense: &Ranking,
    k: usize,
) -> Result<Vec<Hit>> {
    let scored = |ranking: &Ranking| ranking.iter().map(|(chunk, score)| (*chunk, f64::from(*score))).collect();
    let ordered: Vec<(u64, f64)> = match mode {
        Mode::Lexical => scored(lexical),
        Mode::Dense => scored(dense),
        Mode::Hybrid => fuse(lexical, dense),
    };
    let places = |ranking: &Ranking| -> BTreeMap<u64, Rank> {
        let ranks = ranking.iter().enumerate();
        ranks.map(|(place, (chunk, score))| (*chunk, Rank { rank: place + 1, score: *score })).collect()
    };
    let (lexical, dense) = (places(lexical), places(dense));
    let ids: Vec<u64> = ordered.iter().map(|(chunk, _)| *chunk).collect();
    // A passage that was deleted since the indexes were asked is passed over.
    let passages: BTreeMap<u64, Passage> = knowledge.passages(&ids)?.into_iter().collect();
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
        })
    };
    Ok(ordered.iter().filter_map(hit).take(k).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_that_both_searches_find_beats_the_first_of_either() {
        let lexical = vec![(1, 9.0), (2, 8.0)];
        let dense = vec![(3, 0.9), (2, 0.8)];
        assert_eq!(fuse(&lexical, &dense)[0].0, 2);
    }

    #[test]
    fn equal_scores_are_ordered_by_id() {
        let order: Vec<u64> = fuse(&vec![(9, 1.0)], &vec![(4, 1.0)]).into_iter().map(|(chunk, _)| chunk).collect();
        assert_eq!(order, [4, 9]);
    }
}
