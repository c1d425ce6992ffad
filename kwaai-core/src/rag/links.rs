//! From a passage to the documents that it names.
//!
//! Some questions have their answer in a document that shares no word with them: it is named by a passage that does.
//! Documents that the question names, or that one of the best passages names or links to, get a part of what speaks for the passage,
//! the more the better the naming sentence fits the question. Nothing is asked of a model.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Result;
use crate::rag::document::Link;
use crate::rag::evidence::Wanted;
use crate::rag::names::{self, NameKind, Namer};
use crate::rag::sentence::sentences;
use crate::rag::store::{KnowledgeStore, Passage};

/// So many of the best passages are read for names.
const SEEDS: usize = 5;
/// So much of a question is read for names, in bytes.
const READ: usize = 4_000;
/// A name that more documents have leads nowhere.
const NAMESAKES: usize = 8;
/// Of a document that is named so many of its passages are looked at.
const LOOKED_AT: usize = 32;
/// Of a document that is named its best passages of this number gain.
const GAINING: usize = 2;
/// What a document gains that the question names, in parts of the best score.
const ASKED_FOR: f64 = 0.35;
/// What a document gains that a passage names, in parts of the passage's score: where the sentence has none of the question's
/// other words, and what each share of them adds.
const NAMED: f64 = 0.09;
const FITTING: f64 = 0.6;
/// How much less a name counts that is only what a text begins with.
const LEAD: f64 = 0.5;

/// The weights that passages gain, and the name that led to each.
pub(super) type Gains = BTreeMap<u64, (f64, String)>;

/// Tells the scores of passages.
pub(super) type Score<'s> = dyn FnMut(&[u64]) -> Result<BTreeMap<u64, f64>> + 's;

/// The documents that a name leads to.
struct Called {
    name: String,
    /// Their first passages.
    firsts: Vec<u64>,
    weight: f64,
}

/// A name that was found, and what it is worth.
struct Lead {
    called: Called,
    weight: f64,
    /// The document that it stands in; `None` for the question.
    from: Option<String>,
}

/// What passages gain by being named. `best` are the best passages with their scores, `score` tells that of others.
pub(super) fn gains(
    knowledge: &KnowledgeStore,
    question: &str,
    best: &[(u64, f64)],
    allowed: &dyn Fn(u64) -> bool,
    score: &mut Score<'_>,
) -> Result<Gains> {
    let mut gains = Gains::new();
    let Some(top) = best.first().map(|(_, score)| score.max(0.0)) else { return Ok(gains) };
    let analyzer = knowledge.lexical.analyzer();
    let wanted = Wanted::new(&analyzer.terms(question), |terms| knowledge.lexical.frequencies(terms.iter().copied()))?;
    let namer = Namer::new();
    let mut seeds: Vec<(u64, f64)> = best.iter().take(SEEDS).copied().collect();
    let question = &question[..question.floor_char_boundary(READ)];
    let asked = namer.candidates(question).find(|name| called(knowledge, name))?;
    let asked =
        asked.into_iter().map(|(_, called)| Lead { weight: ASKED_FOR * top * called.weight, called, from: None });
    for (chunk, score) in follow(knowledge, asked.collect(), allowed, score, &mut gains)? {
        if !seeds.iter().any(|(seed, _)| *seed == chunk) {
            seeds.push((chunk, score));
        }
    }
    let ids: Vec<u64> = seeds.iter().map(|(chunk, _)| *chunk).collect();
    let passages: BTreeMap<u64, Passage> = knowledge.passages(&ids)?.into_iter().collect();
    let mut leads = Vec::new();
    for (chunk, own) in seeds {
        let Some(passage) = passages.get(&chunk) else { continue };
        let sentences = sentences(&passage.text);
        let around = analyzer.terms(names::title(&passage.name, &passage.text, passage.context.as_deref()));
        let mut named = namer.candidates(&passage.text).find(|name| called(knowledge, name))?;
        let written = namer.targets(&passage.text);
        for (range, target) in written.into_iter().chain(pointed_at(&namer, passage)) {
            named.extend(called(knowledge, &target)?.map(|called| (range, called)));
        }
        for (range, called) in named {
            let sentence = sentences.iter().find(|sentence| sentence.range.contains(&range.start));
            let sentence = sentence.map_or(range.clone(), |sentence| sentence.range.clone());
            let mut terms = analyzer.terms(&passage.text[sentence.clone()]);
            // What is named is not what the sentence says about it.
            terms.retain(|term| !range.contains(&(sentence.start + term.range.start)));
            let fitting = wanted.coverage(terms.iter().chain(&around), []);
            let weight = own.max(0.0) * (NAMED + FITTING * fitting) * called.weight;
            leads.push(Lead { called, weight, from: Some(passage.document.clone()) });
        }
    }
    follow(knowledge, leads, allowed, score, &mut gains)?;
    Ok(gains)
}

/// What a passage of a page points at, by its name, and where in the passage it does.
fn pointed_at(namer: &Namer, passage: &Passage) -> Vec<(Range<usize>, String)> {
    let inside = |at: usize| at.saturating_sub(passage.range.start).min(passage.text.len());
    let named = |link: &Link| Some((inside(link.0)..inside(link.1), namer.target(&link.2)?));
    passage.places.links.iter().filter_map(named).collect()
}

/// The documents that are called so.
fn called(knowledge: &KnowledgeStore, name: &str) -> Result<Option<Called>> {
    for (kind, weight) in [(NameKind::Title, 1.0), (NameKind::Lead, LEAD)] {
        let firsts = knowledge.lexical.called(name, kind, NAMESAKES)?;
        if !firsts.is_empty() && firsts.len() <= NAMESAKES {
            // Who has a name in common with others is meant less likely.
            let weight = weight / (firsts.len() as f64).sqrt();
            return Ok(Some(Called { name: name.to_owned(), firsts, weight }));
        }
    }
    Ok(None)
}

/// Gives the best passages of the documents that were named what they gain, and tells them with their scores.
fn follow(
    knowledge: &KnowledgeStore,
    leads: Vec<Lead>,
    allowed: &dyn Fn(u64) -> bool,
    score: &mut Score<'_>,
    gains: &mut Gains,
) -> Result<Vec<(u64, f64)>> {
    // The documents, with the strongest of what leads to each.
    let mut documents: BTreeMap<String, (f64, String)> = BTreeMap::new();
    for lead in leads {
        for (_, first) in knowledge.passages(&lead.called.firsts)? {
            let strongest = documents.get(&first.document).map_or(0.0, |(weight, _)| *weight);
            if lead.from.as_ref() != Some(&first.document) && lead.weight > strongest {
                documents.insert(first.document, (lead.weight, lead.called.name.clone()));
            }
        }
    }
    let mut chunks: BTreeMap<&String, Vec<u64>> = BTreeMap::new();
    for document in documents.keys() {
        let mut own = knowledge.chunks_of(document)?;
        own.retain(|chunk| allowed(*chunk));
        own.truncate(LOOKED_AT);
        chunks.insert(document, own);
    }
    let all: Vec<u64> = chunks.values().flatten().copied().collect();
    let scores = score(&all)?;
    let mut given = Vec::new();
    for (document, own) in chunks {
        let mut scored: Vec<(u64, f64)> =
            own.iter().filter_map(|chunk| scores.get(chunk).map(|score| (*chunk, *score))).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scored.truncate(GAINING);
        for (chunk, _) in &scored {
            let gain = gains.entry(*chunk).or_insert((0.0, String::new()));
            if documents[document].0 > gain.0 {
                *gain = documents[document].clone();
            }
        }
        given.extend(scored);
    }
    Ok(given)
}
