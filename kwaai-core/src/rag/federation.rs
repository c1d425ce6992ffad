//! One search over several knowledge bases: this node's own, and those of peers who share them.
//!
//! Scores of different knowledge bases say nothing about each other: a word is rare in one and common in another, and two embedders measure
//! in two ways. So what each finds is scored anew here, with one embedder and with what the words are worth in all of them together. No
//! score of a peer counts. A peer can leave passages out, write some that say what is asked for, and, by its counts, shift what a word is
//! worth.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::llm::{Embedder, Text};
use crate::rag::balance::Balance;
use crate::rag::ingest::embed;
use crate::rag::sharing::{Answered, MAX_TERMS, ProvenHit, SharedKnowledge, Shares};
use crate::rag::statistics::Statistics;
use crate::rag::terms::{Analyzer, Language};
use crate::rag::{Mode, Rag, SearchOptions};
use crate::vector::dot;
use crate::{Error, Result};

/// The most passages that a federated search finds.
const MAX_K: usize = 64;
/// How long a peer may take unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A knowledge base of a federation.
#[derive(Clone)]
pub enum Member {
    /// One of this node's own, under a name.
    Own(String, Rag),
    /// One that a peer shares.
    Shared(SharedKnowledge),
}

impl Member {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Member::Own(name, _) => name,
            Member::Shared(shared) => shared.name(),
        }
    }
}

/// How a federated search works.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FederatedOptions {
    /// How passages are found and scored.
    pub mode: Mode,
    /// Whether documents gain that the text, or a passage found in the same knowledge base, calls by their names.
    pub links: bool,
    /// How much meaning counts against words in a hybrid search, 0 to 1; 0.29 unless told otherwise.
    pub dense_weight: Option<f64>,
    /// How many milliseconds a peer may take; 10,000 unless told otherwise.
    pub timeout_ms: u64,
}

impl Default for FederatedOptions {
    fn default() -> FederatedOptions {
        let timeout_ms = TIMEOUT.as_millis() as u64;
        FederatedOptions { mode: Mode::default(), links: false, dense_weight: None, timeout_ms }
    }
}

/// A passage, where it was found, and what proves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederatedHit {
    /// The name of the knowledge base.
    pub member: String,
    /// The names of others that hold the same text.
    pub also: Vec<String>,
    /// The passage with its provenance. Its `score` is the one of this search; its ranks are those in its own knowledge base.
    #[serde(flatten)]
    pub found: ProvenHit,
}

/// A knowledge base that was not searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFailure {
    /// Its name.
    pub member: String,
    /// The code of the error, for example `unreachable`.
    pub code: String,
    /// What went wrong and what can be done.
    pub message: String,
}

/// What a federated search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FederatedResult {
    /// Best first; equal scores in the order of the members, then of the passages' ids.
    pub hits: Vec<FederatedHit>,
    /// The knowledge bases that were not searched, in their order.
    pub failures: Vec<MemberFailure>,
    /// How passages were scored.
    pub mode: Mode,
}

/// Several knowledge bases that are searched together.
#[derive(Clone)]
pub struct Federation {
    members: Vec<Member>,
    embedder: Option<Arc<dyn Embedder>>,
    language: Language,
    shares: Arc<Shares>,
}

impl Federation {
    pub(crate) fn new(
        members: Vec<Member>,
        embedder: Option<Arc<dyn Embedder>>,
        language: Language,
        shares: Arc<Shares>,
    ) -> Result<Federation> {
        let names: BTreeSet<&str> = members.iter().map(Member::name).collect();
        if members.is_empty() || names.len() != members.len() {
            return Err(Error::invalid_argument("a federation needs knowledge bases, each of another name"));
        }
        Ok(Federation { members, embedder, language, shares })
    }

    /// The knowledge bases.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The `k` best passages of all knowledge bases, 64 at most, of twice as many from each. One that cannot be searched is named,
    /// and the others are; a text that stands in several counts once.
    ///
    /// # Errors
    /// `invalid_argument` for a share that is not between 0 and 1 and for a `k` above 64; `unsupported` for [`Mode::Dense`] without an
    /// embedder; what the embedder reports; the error of the first knowledge base when none could be searched.
    pub async fn search(&self, text: &str, k: usize, options: FederatedOptions) -> Result<FederatedResult> {
        if k > MAX_K {
            return Err(
                Error::invalid_argument(format!("a federated search has at most {MAX_K} hits")).with("argument", "k")
            );
        }
        let mode = match (options.mode, &self.embedder) {
            (Mode::Dense, None) => {
                return Err(Error::unsupported("this federation has no embedder")
                    .with_remedy("make it with one, or search by words"));
            }
            (Mode::Hybrid, None) => Mode::Lexical,
            (mode, _) => mode,
        };
        SearchOptions { dense_weight: options.dense_weight, ..mode.into() }.check()?;
        let analyzer = Analyzer::new(self.language);
        let wanted = analyzer.counted(text);
        // What is best in all of them need not be among the first of its own.
        let wider = (2 * k).min(MAX_K);
        let searched = futures::future::join_all(
            self.members
                .iter()
                .map(|member| self.ask(member, text, wider, mode, &options, wanted.keys().cloned().collect())),
        );
        let (mut failures, mut first): (Vec<(usize, MemberFailure)>, _) = (Vec::new(), None);
        let mut fail = |place: usize, error: &Error| {
            let (member, code) = (self.members[place].name().to_owned(), error.code().to_string());
            failures.push((place, MemberFailure { member, code, message: error.to_string() }));
        };
        let mut statistics = Statistics { frequencies: vec![0; wanted.len()], ..Statistics::default() };
        let mut found: Vec<(usize, ProvenHit)> = Vec::new();
        for (place, answered) in searched.await.into_iter().enumerate() {
            match answered {
                Ok(answered) => {
                    statistics.add(&answered.statistics);
                    found.extend(answered.hits.into_iter().map(|hit| (place, hit)));
                }
                Err(error) => {
                    fail(place, &error);
                    first = first.or(Some(error));
                }
            }
        }
        let mut cosines = Vec::with_capacity(found.len());
        if let Some(embedder) = self.embedder.as_ref().filter(|_| mode != Mode::Lexical && !text.trim().is_empty()) {
            // An embedder of the app is told once for all texts of a call which kind they are.
            let of_text = embed(embedder.as_ref(), vec![Text::Query(text.to_owned())]).await?;
            for place in 0..self.members.len() {
                let own: Vec<&str> =
                    found.iter().filter(|(of, _)| *of == place).map(|(_, found)| found.hit.text.as_str()).collect();
                // What one knowledge base holds is nothing that the others should fail by.
                match cosines_of(embedder.as_ref(), &of_text[0], &own).await {
                    Ok(own) => cosines.extend(own),
                    Err(error) => {
                        fail(place, &error);
                        first = first.or(Some(error));
                        found.retain(|(of, _)| *of != place);
                    }
                }
            }
        } else {
            cosines.resize(found.len(), 0.0);
        }
        if let Some(error) = first.filter(|_| failures.len() == self.members.len()) {
            return Err(error);
        }
        failures.sort_by_key(|(place, _)| *place);
        let failures = failures.into_iter().map(|(_, failure)| failure).collect();
        let weight = match mode {
            Mode::Lexical => 0.0,
            Mode::Dense => 1.0,
            Mode::Hybrid => options.dense_weight.unwrap_or(Balance::default().dense_weight),
        };
        for ((_, ProvenHit { hit, .. }), cosine) in found.iter_mut().zip(cosines) {
            let words = statistics.score(&wanted, &analyzer.counted(&hit.text));
            hit.score = (1.0 - weight) * words + weight * cosine;
        }
        found.sort_by(|(a_place, a), (b_place, b)| {
            let by_score = b.hit.score.total_cmp(&a.hit.score);
            by_score.then(a_place.cmp(b_place)).then_with(|| a.hit.chunk_id.cmp(&b.hit.chunk_id))
        });
        let mut hits: Vec<FederatedHit> = Vec::new();
        for (place, found) in found {
            let member = self.members[place].name();
            match hits.iter_mut().find(|known| known.found.hit.text == found.hit.text) {
                Some(known) if known.member != member && !known.also.iter().any(|also| also == member) => {
                    known.also.push(member.to_owned());
                }
                Some(_) => {}
                None => hits.push(FederatedHit { member: member.to_owned(), also: Vec::new(), found }),
            }
        }
        hits.truncate(k);
        Ok(FederatedResult { hits, failures, mode })
    }

    async fn ask(
        &self,
        member: &Member,
        text: &str,
        k: usize,
        mode: Mode,
        options: &FederatedOptions,
        terms: Vec<String>,
    ) -> Result<Answered> {
        match member {
            Member::Shared(shared) => {
                let timeout = Duration::from_millis(options.timeout_ms);
                let all = terms.len();
                let asked = terms.into_iter().take(MAX_TERMS).collect();
                let mut answered = shared.ask(text, k, mode, options.links, asked, timeout).await?;
                // What was not asked for counts as a word that stands nowhere.
                answered.statistics.frequencies.resize(all, 0);
                Ok(answered)
            }
            Member::Own(_, base) => {
                let mode = if base.embeds() { mode } else { Mode::Lexical };
                let search = SearchOptions { links: options.links, ..mode.into() };
                let hits = base.search(text, k, search).await?.hits;
                Ok(Answered { hits: self.shares.prove(base, hits).await?, statistics: base.statistics(terms).await? })
            }
        }
    }
}

/// How near passages are to a text.
async fn cosines_of(embedder: &dyn Embedder, of_text: &[f32], passages: &[&str]) -> Result<Vec<f64>> {
    if passages.is_empty() {
        return Ok(Vec::new());
    }
    let texts = passages.iter().map(|passage| Text::Document((*passage).to_owned())).collect();
    let vectors = embed(embedder, texts).await?;
    Ok(vectors.iter().map(|vector| f64::from(dot(of_text, vector))).collect())
}
