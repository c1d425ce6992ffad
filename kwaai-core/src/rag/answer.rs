//! Answers that quote their sources, or say that there is none.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::Sender;
use crate::llm::{ChatMessage, Embedder, LanguageModel, Role, Text};
use crate::rag::document::Format;
use crate::rag::evidence::{Evidence, Wanted};
use crate::rag::filter::Metadata;
use crate::rag::generate::{self, Outcome, Sources};
use crate::rag::ingest::{blocking, embed};
use crate::rag::retrieval::{Hit, Mode, SearchOptions};
use crate::rag::sentence::sentences;
use crate::rag::store::{KnowledgeStore, Passage, Surroundings};
use crate::rag::terms::Term;
use crate::rag::verify::{Verifier, without_footnotes};
use crate::vector::dot;
use crate::{Error, Result};

/// What an answer says when nothing supports one.
pub const REFUSAL: &str = "This is not in your documents.";

/// Sentences are looked for in this many of the first passages.
const READ: usize = 5;
/// So many passages together may hold what the question is about.
const JOINT: usize = 3;
/// How far the first stands out is told from so many, or as many as are considered.
const LED: usize = 8;
/// The longest question, in bytes.
pub(super) const LONGEST_QUESTION: usize = 32 << 10;
/// An answer quotes at most this many sentences.
const QUOTES: usize = 3;
/// A further sentence is quoted when it supports the answer at least this much as well as the best.
const ALSO: f64 = 0.8;
/// How much meaning counts against words where there is both.
const MEANING: f64 = 0.75;

/// A question with fewer words that tell a topic is about the one before.
const TELLING: usize = 3;

/// A row of a table reads worse than a sentence that says the same.
const ROW: f64 = 0.9;

/// How to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskOptions {
    /// How many passages are considered; at least 1.
    pub k: usize,
    /// How they are found.
    pub mode: Mode,
    /// Whether documents gain that the question or a passage names ([`SearchOptions::links`](crate::rag::SearchOptions::links)).
    pub links: bool,
    /// The documents to look in, by their ids; empty for all.
    pub documents: Vec<String>,
    /// As [`SearchOptions::since_ms`].
    pub since_ms: Option<i64>,
    /// As [`SearchOptions::before_ms`].
    pub before_ms: Option<i64>,
    /// As [`SearchOptions::formats`].
    pub formats: Vec<Format>,
    /// As [`SearchOptions::names`].
    pub names: Vec<String>,
    /// As [`SearchOptions::metadata`].
    pub metadata: Metadata,
    /// So many passages of the same document before and after each that was found are given to the language model with it, and are
    /// part of the source that it cites; 8 at most. What one source says already is not said again by the next, and what does not fit in
    /// `max_context_tokens` is left out. Whether there is an answer is decided without them, and quotes are made without them.
    pub neighbours: usize,
    /// As [`SearchOptions::wordings`](crate::rag::SearchOptions::wordings).
    pub wordings: usize,
    /// As [`SearchOptions::hypothesis`](crate::rag::SearchOptions::hypothesis).
    pub hypothesis: f64,
    /// As [`SearchOptions::rerank`](crate::rag::SearchOptions::rerank).
    pub rerank: usize,
    /// The least [support](Evidence::support) that is answered, 0 to 1: higher refuses more.
    pub min_support: f64,
    /// The share of questions without an answer in the documents that may get one all the same, 0 to 1. It takes the place of
    /// `min_support`, and needs [`Rag::calibrate`](crate::rag::Rag::calibrate).
    pub max_unsupported: Option<f64>,
    /// The longest generated answer, in tokens.
    pub max_tokens: u32,
    /// How much a language model is given to read, in estimated tokens: passages by rank, and up to a quarter earlier turns.
    pub max_context_tokens: usize,
    /// The turns before the question, the earliest first. A question that says too little by itself is looked for together with the
    /// one before.
    pub history: Vec<ChatMessage>,
}

impl Default for AskOptions {
    fn default() -> AskOptions {
        AskOptions {
            k: 8,
            mode: Mode::Hybrid,
            links: true,
            documents: Vec::new(),
            since_ms: None,
            before_ms: None,
            formats: Vec::new(),
            names: Vec::new(),
            metadata: Metadata::new(),
            neighbours: 0,
            wordings: 0,
            hypothesis: 0.0,
            rerank: 0,
            min_support: 0.5,
            max_unsupported: None,
            max_tokens: 400,
            max_context_tokens: 3_000,
            history: Vec::new(),
        }
    }
}

impl AskOptions {
    /// How to search for what answers.
    pub(super) fn search(&self) -> SearchOptions {
        SearchOptions {
            mode: self.mode,
            links: self.links,
            documents: self.documents.clone(),
            since_ms: self.since_ms,
            before_ms: self.before_ms,
            formats: self.formats.clone(),
            names: self.names.clone(),
            metadata: self.metadata.clone(),
            neighbours: self.neighbours,
            wordings: self.wordings,
            hypothesis: self.hypothesis,
            rerank: self.rerank,
            ..SearchOptions::default()
        }
    }
}

/// What `[n]` in an answer stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// The number in the brackets, from 1.
    pub number: usize,
    /// The id of the document.
    pub document_id: String,
    /// The name of the document.
    pub document: String,
    /// The id of the passage.
    pub chunk_id: String,
    /// Where it stands in the document, for people: `page 3`, or a heading.
    pub section: Option<String>,
    /// Where the cited bytes stand, as exactly as the format allows: `page 12`, `Installation > Linux, table 3`, `row 7`.
    pub locator: Option<String>,
    /// The bytes of the document's text that are cited.
    pub span: Range<usize>,
    /// Those bytes: a sentence where the answer quotes; where a model wrote it the passage, with those around it that the model was
    /// given.
    pub quote: String,
}

/// An answer, or the refusal of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The text, with `[n]` after what a source supports.
    pub text: String,
    /// The sources, by number.
    pub citations: Vec<Citation>,
    /// Whether the documents support no answer; the text is then [`REFUSAL`] and the reason.
    pub refused: bool,
    /// Why it was refused, why it is not the answer of the language model, or why it is not all that the model began.
    pub why: Option<String>,
    /// How well the documents support an answer, 0 to 1.
    pub support: f64,
    /// What the decision was made from.
    pub evidence: Evidence,
    /// How the passages were found.
    pub mode: Mode,
    /// Why they were not found in the mode that was asked for.
    pub note: Option<String>,
    /// The language model that wrote the text; `None` for quotes and refusals.
    pub model: Option<String>,
}

impl Answer {
    /// Whether the language model had more to say.
    pub(crate) fn is_cut(&self) -> bool {
        !self.refused && self.model.is_some() && self.why.is_some()
    }

    /// The numbers that the text cites, and the bytes of their brackets: not those that the documents have themselves.
    pub(crate) fn marks(&self) -> Vec<(usize, Range<usize>)> {
        let last = self.citations.iter().map(|citation| citation.number).max().unwrap_or(0);
        let mut quotes = vec![""; last];
        for citation in &self.citations {
            quotes[citation.number - 1] = &citation.quote;
        }
        Verifier::new(&quotes).citations(&self.text)
    }
}

/// What asking yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AskEvent {
    /// A piece of the answer.
    Text {
        /// The text.
        text: String,
    },
    /// What came so far does not count: what the model cited does not stand there. The answer follows anew.
    Retracted {
        /// Why.
        why: String,
    },
    /// The whole answer and its sources.
    Done {
        /// The answer.
        answer: Box<Answer>,
    },
}

/// A sentence of a passage that was found, and how well it supports an answer.
struct Quote {
    hit: usize,
    range: Range<usize>,
    score: f64,
}

/// What was read to answer a question.
pub(super) struct Reading {
    pub evidence: Evidence,
    quotes: Vec<Quote>,
}

/// The parts of a knowledge base that answering needs.
pub(super) struct Reader {
    pub knowledge: Arc<KnowledgeStore>,
    pub embedder: Option<Arc<dyn Embedder>>,
}

/// A sentence before it is compared.
struct Draft {
    hit: usize,
    range: Range<usize>,
    quotable: bool,
    coverage: f64,
}

impl Reader {
    /// Reads the first passages and weighs what they say about the question.
    ///
    /// `lead` is how far the first of all that were found stands out.
    pub async fn read(
        &self,
        question: &str,
        question_vector: Option<&[f32]>,
        hits: &[Hit],
        lead: f64,
    ) -> Result<Reading> {
        let knowledge = self.knowledge.clone();
        let (text, passages) = (question.to_owned(), hits.to_vec());
        let (drafts, mut evidence) = blocking(move || weigh_words(&knowledge, &text, &passages)).await?;
        evidence.lexical_lead = lead;
        let mut cosines: Vec<Option<f32>> = vec![None; drafts.len()];
        if let (Some(embedder), Some(vector)) = (&self.embedder, question_vector) {
            let texts = drafts.iter().map(|draft| Text::Document(hits[draft.hit].text[draft.range.clone()].to_owned()));
            let vectors = embed(embedder.as_ref(), texts.collect()).await?;
            cosines = vectors.iter().map(|sentence| Some(dot(vector, sentence))).collect();
            weigh_meaning(&mut evidence, hits, &cosines);
        }
        let mut quotes: Vec<Quote> = drafts
            .into_iter()
            .zip(cosines)
            .filter(|(draft, _)| draft.quotable)
            .map(|(draft, cosine)| {
                let support = match cosine {
                    Some(cosine) => MEANING * f64::from(cosine) + (1.0 - MEANING) * draft.coverage,
                    // Among equals the better passage wins.
                    None => draft.coverage - 0.02 * draft.hit as f64,
                };
                let row = hits[draft.hit].text[draft.range.clone()].contains(" | ");
                let score = if row { support * ROW } else { support };
                Quote { hit: draft.hit, range: draft.range, score }
            })
            .collect();
        quotes.sort_by(|a, b| {
            b.score.total_cmp(&a.score).then(a.hit.cmp(&b.hit)).then(a.range.start.cmp(&b.range.start))
        });
        Ok(Reading { evidence, quotes })
    }
}

fn weigh_words(knowledge: &KnowledgeStore, question: &str, hits: &[Hit]) -> Result<(Vec<Draft>, Evidence)> {
    let analyzer = knowledge.lexical.analyzer();
    let asked = analyzer.terms(question);
    let wanted = Wanted::new(&asked, |terms| knowledge.lexical.frequencies(terms.iter().copied()))?;
    let mut evidence = Evidence { unknown: wanted.unknown, ..Evidence::default() };
    let mut drafts: Vec<Draft> = Vec::new();
    let mut together: Vec<Term> = Vec::new();
    for (place, hit) in hits.iter().take(READ).enumerate() {
        let terms = analyzer.terms(&hit.text);
        let heading = hit.section.as_deref().map(|section| analyzer.terms(section)).unwrap_or_default();
        evidence.passage_coverage = evidence.passage_coverage.max(wanted.coverage(&terms, &heading));
        if place < JOINT {
            together.extend(terms.iter().chain(&heading).cloned());
        }
        let mut before: Vec<Term> = heading.clone();
        for sentence in sentences(&hit.text) {
            let inside = |term: &&Term| sentence.range.contains(&term.range.start);
            let own: Vec<Term> = terms.iter().filter(inside).cloned().collect();
            let coverage = wanted.coverage(&own, before.iter().chain(&heading));
            let start = hit.span.start + sentence.range.start;
            let span = start..start + sentence.range.len();
            // Passages overlap, so the same sentence may come twice.
            let again = drafts.iter().any(|other| {
                let from = hits[other.hit].span.start + other.range.start;
                hits[other.hit].document_id == hit.document_id
                    && from < span.end
                    && span.start < from + other.range.len()
            });
            // A question and what announces a list say what an answer is about, not what it is.
            let announces = hit.text[sentence.range.clone()].ends_with(['?', ':']);
            let quotable = !sentence.heading && !announces && own.len() >= 3;
            if quotable {
                evidence.sentence_coverage = evidence.sentence_coverage.max(coverage);
            }
            if !again {
                drafts.push(Draft { hit: place, range: sentence.range.clone(), quotable, coverage });
            }
            before = own;
        }
    }
    evidence.joint_coverage = wanted.coverage(&together, []);
    evidence.matched = evidence.passage_coverage * wanted.total();
    Ok((drafts, evidence))
}

/// How far the first passage by words stands out against the fifth, in parts of its score, among the first of all that were found:
/// however many of them are read.
pub(super) fn lead(found: &[Hit], k: usize) -> f64 {
    let first = found.iter().take(k.max(LED)).filter_map(|hit| hit.lexical);
    let mut by_words: Vec<f32> = first.map(|rank| rank.score).collect();
    by_words.sort_by(|a, b| b.total_cmp(a));
    let fifth = by_words.get(4).copied().unwrap_or(0.0);
    by_words.first().filter(|first| **first > 0.0).map_or(0.0, |first| f64::from((first - fifth) / first))
}

fn weigh_meaning(evidence: &mut Evidence, hits: &[Hit], cosines: &[Option<f32>]) {
    let mut near: Vec<&Hit> = hits.iter().filter(|hit| hit.dense.is_some()).collect();
    let score = |hit: &Hit| hit.dense.map_or(-1.0, |rank| rank.score);
    near.sort_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| a.chunk_id.cmp(&b.chunk_id)));
    let Some(first) = near.first() else { return };
    evidence.nearest_passage = Some(score(first));
    evidence.nearest_sentence = cosines.iter().flatten().copied().reduce(f32::max).or(evidence.nearest_passage);
    evidence.agreement = first.lexical.is_some_and(|rank| rank.rank <= 3);
}

/// When there is support enough.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Threshold {
    /// From so much on.
    AtLeast(f64),
    /// Above so much, so that this share of what has none is answered at most; with `None` nothing is.
    Calibrated { above: Option<f64>, tolerated: f64 },
}

impl Threshold {
    fn allows(self, support: f64) -> bool {
        match self {
            Threshold::AtLeast(least) => support >= least,
            Threshold::Calibrated { above, .. } => above.is_some_and(|above| support > above),
        }
    }

    fn told(self) -> String {
        match self {
            Threshold::AtLeast(least) => format!("asked for {least:.2}"),
            Threshold::Calibrated { above: Some(above), tolerated } => {
                format!("more than {above:.2} is needed where {tolerated} of what has none may be answered")
            }
            Threshold::Calibrated { above: None, tolerated } => {
                format!("too few questions were calibrated with to tolerate {tolerated}")
            }
        }
    }
}

/// Everything that is known when the answer is to be written.
pub(super) struct Question {
    pub text: String,
    /// What was looked for: the question, with the one before where it says too little.
    pub search: String,
    pub vector: Option<Vec<f32>>,
    pub options: AskOptions,
    /// The support above which there is an answer; none where everything is refused.
    pub threshold: Threshold,
    pub hits: Vec<Hit>,
    pub mode: Mode,
    pub note: Option<String>,
    pub reader: Reader,
    pub reading: Reading,
    pub model: Option<Arc<dyn LanguageModel>>,
    /// The passages of the hits by their ids, to tell where a sentence of them stands.
    pub passages: BTreeMap<String, Passage>,
    /// What stands around each hit, where a model is to read it.
    pub around: Vec<Option<Surroundings>>,
}

impl Question {
    /// Writes the text of the answer into the stream, and returns the answer.
    pub async fn answer(self, events: &Sender<AskEvent>) -> Result<Answer> {
        let support = if self.hits.is_empty() { 0.0 } else { self.reading.evidence.support() };
        if let Some(why) = self.refusal(support) {
            return self.done(events, format!("{REFUSAL} {why}"), Vec::new(), support, (true, Some(why)), None);
        }
        let mut why = None;
        if let Some(model) = &self.model {
            let found = Sources { hits: &self.hits, around: &self.around };
            match generate::answer(model.as_ref(), &self.text, found, &self.options, events).await? {
                Outcome::Cited { text, citations, cited, cut } => {
                    let name = Some(model.name());
                    let own = {
                        let lead = self.reading.evidence.lexical_lead;
                        let reading = self.reader.read(&self.search, self.vector.as_deref(), &cited, lead).await?;
                        reading.evidence.support()
                    };
                    if self.threshold.allows(own) {
                        return self.finish(text, citations, support, (false, cut), name);
                    }
                    let why = format!(
                        "What the language model cites does not support an answer (support {own:.2}, {}).",
                        self.threshold.told()
                    );
                    events.send(AskEvent::Retracted { why: why.clone() });
                    return self.done(events, format!("{REFUSAL} {why}"), Vec::new(), own, (true, Some(why)), name);
                }
                Outcome::Refused => {
                    let why = Some("The language model found no answer in the sources.".to_owned());
                    let name = Some(model.name());
                    return self.finish(REFUSAL.to_owned(), Vec::new(), support, (true, why), name);
                }
                Outcome::Unusable { why: reason } => {
                    events.send(AskEvent::Retracted { why: reason.clone() });
                    why = Some(reason);
                }
            }
        }
        let (text, citations) = self.quote();
        self.done(events, text, citations, support, (false, why), None)
    }

    fn refusal(&self, support: f64) -> Option<String> {
        if self.hits.is_empty() || self.reading.quotes.is_empty() {
            return Some("Nothing in them was found for this question.".to_owned());
        }
        if self.threshold.allows(support) {
            return None;
        }
        Some(format!(
            "The nearest passage is in {}, but it does not support an answer (support {support:.2}, {}).",
            self.hits[0].document,
            self.threshold.told()
        ))
    }

    /// The best sentences, each followed by its number.
    fn quote(&self) -> (String, Vec<Citation>) {
        let best = self.reading.quotes.first().map_or(0.0, |quote| quote.score);
        let mut chosen: Vec<&Quote> =
            self.reading.quotes.iter().filter(|quote| quote.score >= best * ALSO).take(QUOTES).collect();
        // The best passage first; inside a passage as its author wrote it.
        let lead = chosen.first().map_or(0, |quote| quote.hit);
        chosen.sort_by_key(|quote| (quote.hit != lead, quote.hit, quote.range.start));
        let mut text = String::new();
        let mut citations = Vec::new();
        for (index, quote) in chosen.into_iter().enumerate() {
            let hit = &self.hits[quote.hit];
            // A footnote of the document's would look like a source of ours.
            let said = without_footnotes(&hit.text[quote.range.clone()], &hit.text);
            let words: Vec<&str> = said.split_whitespace().collect();
            if index > 0 {
                text.push(' ');
            }
            text.push_str(&words.join(" "));
            text.push_str(&format!(" [{}]", index + 1));
            let span = hit.span.start + quote.range.start..hit.span.start + quote.range.end;
            citations.push(Citation::new(index + 1, hit, span, &hit.text[quote.range.clone()]));
        }
        (text, citations)
    }

    fn done(
        self,
        events: &Sender<AskEvent>,
        text: String,
        citations: Vec<Citation>,
        support: f64,
        verdict: (bool, Option<String>),
        model: Option<String>,
    ) -> Result<Answer> {
        events.send(AskEvent::Text { text: text.clone() });
        self.finish(text, citations, support, verdict, model)
    }

    fn finish(
        self,
        text: String,
        mut citations: Vec<Citation>,
        support: f64,
        (refused, why): (bool, Option<String>),
        model: Option<String>,
    ) -> Result<Answer> {
        for citation in &mut citations {
            let inside = |passage: &&Passage| {
                passage.range.start <= citation.span.start && citation.span.end <= passage.range.end
            };
            if let Some(passage) = self.passages.get(&citation.chunk_id).filter(inside) {
                citation.locator = passage.locator(&citation.span);
                citation.section = passage.heading(&citation.span);
            }
        }
        let (evidence, mode, note) = (self.reading.evidence, self.mode, self.note);
        let answer = Answer { text, citations, refused, why, support, evidence, mode, note, model };
        Ok(answer)
    }
}

impl Citation {
    pub(super) fn new(number: usize, hit: &Hit, span: Range<usize>, quote: &str) -> Citation {
        Citation {
            number,
            document_id: hit.document_id.clone(),
            document: hit.document.clone(),
            chunk_id: hit.chunk_id.clone(),
            section: hit.section.clone(),
            locator: hit.locator.clone(),
            span,
            quote: quote.to_owned(),
        }
    }
}

/// What to look for: a question, together with the one before where it has no words of its own to be found by.
pub(super) fn searched(knowledge: &KnowledgeStore, question: &str, history: &[ChatMessage]) -> String {
    let before = history.iter().rev().find(|turn| turn.role == Role::User);
    let telling = knowledge.lexical.analyzer().terms(question).iter().filter(|term| !term.common).count();
    match before {
        Some(before) if telling < TELLING => {
            let room = LONGEST_QUESTION.saturating_sub(question.len() + 1);
            format!("{}\n{question}", &before.content[..before.content.floor_char_boundary(room)])
        }
        _ => question.to_owned(),
    }
}

/// Refuses options that make no sense.
pub(super) fn check(question: &str, options: &AskOptions) -> Result<()> {
    if question.trim().is_empty() {
        return Err(Error::invalid_argument("the question is empty"));
    }
    if question.len() > LONGEST_QUESTION {
        return Err(Error::invalid_argument(format!("a question has at most {LONGEST_QUESTION} bytes")));
    }
    if options.k == 0 {
        return Err(Error::invalid_argument("an answer needs at least one passage: k must be 1 or more"));
    }
    if !(0.0..=1.0).contains(&options.min_support) {
        return Err(Error::invalid_argument("min_support must be between 0 and 1"));
    }
    if options.max_tokens == 0 {
        return Err(Error::invalid_argument("max_tokens must be at least 1").with("argument", "max_tokens"));
    }
    if options.max_unsupported.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return Err(Error::invalid_argument("max_unsupported must be between 0 and 1"));
    }
    options.search().check()
}
