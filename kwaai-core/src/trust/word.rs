//! A node's word about others: what it saw of them by itself, told to one asker.
//!
//! An asker signs a [`WordRequest`]; the responder signs a [`TrustWord`] for that asker alone. Who may have it is decided by the
//! responder's [`Disclosures`](super::Disclosures), at the level [`Disclosure::Experience`]; to everybody else, and at first to
//! all, a node says that it saw nobody. That is the same word as that of a node which indeed saw nobody.
//!
//! A word contains what its author saw itself and never what others told it, so that nothing is counted twice on its way. It says
//! nothing of the author and nothing of the asker. What it weighs at the asker is decided there: as much as it
//! [agrees](super::propagation::recommender_weights) with what the asker saw.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::TrustGraph;
use super::askers::Askers;
use super::exchange::{Answered, Asked};
use super::experience::Evidence;
use super::query::Disclosure;
use super::reputation::{MAX_PER_RECOMMENDER, MAX_WEIGHT};
use super::statement::{self, Reader, refused};
use crate::blocking::blocking;
use crate::identity::{Did, Signer};
use crate::{Error, ErrorCode, Result};

const REQUEST: &str = "TrustWordRequest";
const WORD: &str = "TrustWord";

/// The longest request for a word, in bytes of JSON text.
pub const MAX_WORD_REQUEST_BYTES: usize = 4096;

/// The longest word, in bytes of JSON text; [`MAX_PER_RECOMMENDER`] peers fit.
pub const MAX_WORD_BYTES: usize = 128 * 1024;

/// A signed request to one responder for its word.
#[derive(Debug, Clone, PartialEq)]
pub struct WordRequest {
    asked: Asked,
    json: String,
}

/// What a node saw of one peer by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The peer.
    pub peer: Did,
    /// The weights of good and of bad answers when the word was made, in thousandths.
    pub evidence: Evidence,
}

/// What a node says that it saw of others, signed for one asker.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustWord {
    answered: Answered,
    seen: Vec<Seen>,
    json: String,
}

/// What was taken of a peer's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakenWord {
    /// Whose word it is.
    pub recommender: Did,
    /// About how many peers it was taken. None when the peer saw nobody or does not say.
    pub count: usize,
    /// When it was said.
    pub at: Timestamp,
}

impl WordRequest {
    /// Reads a request and checks its form and its signature.
    ///
    /// # Errors
    /// `invalid_argument` or `resource_exhausted` with the rule `form`; `corrupt_data` with the rule `signature`;
    /// `unsupported` for another version.
    pub fn read(text: &str) -> Result<WordRequest> {
        let (mut reader, asker) = Reader::open(REQUEST, text, MAX_WORD_REQUEST_BYTES, "asker")?;
        let asked = Asked::read(&mut reader, asker)?;
        reader.end()?;
        Ok(WordRequest { asked, json: text.to_owned() })
    }

    /// Who asks, and signed it.
    pub fn asker(&self) -> Did {
        self.asked.asker
    }

    /// Who is asked.
    pub fn responder(&self) -> Did {
        self.asked.responder
    }

    /// The request as it goes to the responder.
    pub fn to_json(&self) -> &str {
        &self.json
    }
}

impl TrustWord {
    async fn sign(signer: &dyn Signer, asked: &Asked, seen: Vec<Seen>, now: Timestamp) -> Result<TrustWord> {
        let answered = Answered::to(asked, now)?;
        let mut members = answered.members();
        members.insert("seen".into(), seen.iter().map(Seen::written).collect());
        let json = statement::sign(WORD, members, signer).await?;
        Ok(TrustWord { answered, seen, json })
    }

    /// Reads a word and checks its form, its signature and what it says, but not whether it answers a request.
    ///
    /// # Errors
    /// Those of [`WordRequest::read`]; with the broken `rule`, `resource_exhausted` for more than [`MAX_PER_RECOMMENDER`]
    /// peers (`count`), `invalid_argument` for a `weight` that lies not from 0 to 10^9, for a peer that stands there twice
    /// (`duplicate`), and for the author or the asker among the peers (`subject`).
    pub fn read(text: &str) -> Result<TrustWord> {
        let (mut reader, responder) = Reader::open(WORD, text, MAX_WORD_BYTES, "responder")?;
        let answered = Answered::read(&mut reader, responder)?;
        let Value::Array(entries) = reader.take("seen")? else { return Err(reader.malformed("seen")) };
        if entries.len() > MAX_PER_RECOMMENDER {
            let why = format!("a word about {} peers; {MAX_PER_RECOMMENDER} are the limit", entries.len());
            return Err(refused(ErrorCode::ResourceExhausted, "count", why).with("limit", MAX_PER_RECOMMENDER));
        }
        let mut named = BTreeSet::from([answered.responder, answered.asker]);
        let mut seen = Vec::with_capacity(entries.len());
        for entry in entries {
            let one = Seen::read(entry).ok_or_else(|| reader.malformed("seen"))?;
            if one.peer == answered.responder || one.peer == answered.asker {
                let why = "a word is about others, not about who says it or who asked";
                return Err(refused(ErrorCode::InvalidArgument, "subject", why));
            }
            if [one.evidence.good, one.evidence.bad].iter().any(|weight| !(0.0..=MAX_WEIGHT).contains(weight)) {
                let why = format!("the weights of {} lie not from 0 to 10^9", one.peer);
                return Err(refused(ErrorCode::InvalidArgument, "weight", why));
            }
            if !named.insert(one.peer) {
                return Err(refused(
                    ErrorCode::InvalidArgument,
                    "duplicate",
                    format!("{} stands there twice", one.peer),
                ));
            }
            seen.push(one);
        }
        reader.end()?;
        Ok(TrustWord { answered, seen, json: text.to_owned() })
    }

    /// Who says it, and signed it.
    pub fn responder(&self) -> Did {
        self.answered.responder
    }

    /// For whom it was made.
    pub fn asker(&self) -> Did {
        self.answered.asker
    }

    /// When it was made, to the second.
    pub fn made(&self) -> Timestamp {
        self.answered.made
    }

    /// What its author saw, the most evidence first.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// The word as it was signed.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    /// Checks that this answers `request` and holds at `now`.
    ///
    /// # Errors
    /// With the broken `rule`: `corrupt_data` for another `responder`, `audience` or `nonce`; `invalid_argument` when it has
    /// `expired`, comes from the future (`not_yet`) or claims a `lifetime` of more than ten minutes.
    pub fn check(&self, request: &WordRequest, now: Timestamp) -> Result<()> {
        self.answered.check(&request.asked, now)
    }
}

impl Seen {
    fn written(&self) -> Value {
        let mut members = Map::new();
        members.insert("peer".into(), self.peer.to_string().into());
        members.insert("good".into(), self.evidence.good.into());
        members.insert("bad".into(), self.evidence.bad.into());
        Value::Object(members)
    }

    fn read(written: Value) -> Option<Seen> {
        let Value::Object(mut members) = written else { return None };
        let (peer, good, bad) = (members.remove("peer")?, members.remove("good")?, members.remove("bad")?);
        let evidence = Evidence { good: good.as_f64()?, bad: bad.as_f64()? };
        let peer = peer.as_str()?.parse().ok()?;
        members.is_empty().then_some(Seen { peer, evidence })
    }
}

impl TrustGraph {
    /// Signs a request to `responder` for its word. `nonce` must be 16 random bytes.
    ///
    /// # Errors
    /// `invalid_argument` when it goes to this node itself; what the signer answers.
    pub async fn request_word(&self, responder: Did, nonce: [u8; 16]) -> Result<WordRequest> {
        if responder == self.did() {
            return Err(Error::invalid_argument("a node does not ask itself for its word").with("argument", "peer"));
        }
        let asked = Asked::new(self.did(), responder, nonce, self.clock.now())?;
        let json = statement::sign(REQUEST, asked.members(), &*self.signer).await?;
        Ok(WordRequest { asked, json })
    }

    /// Answers a request with this node's word, within what [`Disclosures`](super::Disclosures) allow: the peers of whom its own
    /// experience says most, at most [`MAX_PER_RECOMMENDER`]. `caller` is who the connection says is asking, where a
    /// connection says so.
    ///
    /// # Errors
    /// Those of [`WordRequest::read`]; with the broken `rule`, `permission_denied` when the `asker` is not the caller,
    /// `invalid_argument` when another node is asked (`audience`), or not just now (`expired`, `not_yet`); `busy` for an
    /// asker with too many questions.
    pub async fn answer_word(&self, askers: &Askers, caller: Option<Did>, request: &str) -> Result<TrustWord> {
        let now = self.clock.now();
        let WordRequest { asked, .. } = WordRequest::read(request)?;
        asked.check(self.did(), caller, now)?;
        askers.admit(asked.asker, now)?;
        let graph = self.clone();
        let seen = blocking(move || graph.permitted_word(asked.asker, now)).await?;
        TrustWord::sign(&*self.signer, &asked, seen, now).await
    }

    /// Takes what came back on a request: the word replaces the recommendations of its author that are no newer. A word that
    /// names nobody changes nothing, because a peer that may not say more answers so too.
    ///
    /// # Errors
    /// Those of [`TrustWord::read`] and [`TrustWord::check`]; failures of the disk when a batch is due.
    pub fn take_word(&self, request: &WordRequest, text: &str) -> Result<TakenWord> {
        let word = TrustWord::read(text)?;
        let now = self.clock.now();
        word.check(request, now)?;
        let count = self.ledger.take_word(word.responder(), &word.seen, word.made(), now)?;
        Ok(TakenWord { recommender: word.responder(), count, at: word.made() })
    }

    fn permitted_word(&self, asker: Did, now: Timestamp) -> Result<Vec<Seen>> {
        // Gathered before the level is looked at, so that a refusal takes as long as an answer.
        let seen = self.ledger.seen(&[asker, self.did()], now);
        let level = self.disclosures()?.to(self.score(&asker)?.tier);
        Ok(if level >= Disclosure::Experience { seen } else { Vec::new() })
    }
}
