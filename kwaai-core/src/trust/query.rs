//! Asking others how far they trust somebody, within what they allow.
//!
//! An asker signs a [`TrustQuestion`] to one responder about one subject; the responder signs a [`TrustStatement`] for
//! that asker alone, which repeats the nonce and ends after ten minutes. What it says is limited by the responder's
//! [`Disclosures`]: at first nothing.
//!
//! The answer `unknown` has three reasons that look the same: nothing that counts is known about the subject, this
//! asker may not know, or it has asked too much about this subject. What else an asker learns is this. Any other answer
//! says that something is known, also the answer that a score does not reach a threshold. At the level
//! [`Disclosure::Threshold`] one question is answered for each subject and day, so that no asker closes in on a score
//! by repeated questions; several askers together can. How long the answer takes does not depend on the level.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::askers::Askers;
use super::exchange::{Answered, Asked};
use super::policy::{Minimum, Points, Tier};
use super::score::Score;
use super::statement::{self, Reader, refused};
use super::{SETTINGS, TrustGraph, encode, setting};
use crate::identity::{Did, Signer};
use crate::{Error, ErrorCode, Result};

const QUESTION: &str = "TrustQuestion";
const STATEMENT: &str = "TrustStatement";
const DISCLOSURES: &str = "disclosures";

/// The longest question and the longest statement, in bytes of JSON text.
pub const MAX_STATEMENT_BYTES: usize = 4096;

/// How much an asker may learn. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Disclosure {
    /// Nothing: every answer is `unknown`.
    #[default]
    Nothing,
    /// Whether the score reaches one threshold of the asker's choice, for each subject and day.
    Threshold,
    /// The tier.
    Tier,
    /// The score.
    Value,
    /// What this node saw of others by itself: its [word](super::TrustWord), with which the asker weighs them.
    Experience,
}

/// Who may learn how much: for each tier of an asker the level from that tier on. Nobody may learn anything at first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Disclosures {
    from: BTreeMap<Tier, Disclosure>,
}

impl Disclosures {
    /// These, but askers of `tier` and above learn at least `level`.
    pub fn with(mut self, tier: Tier, level: Disclosure) -> Disclosures {
        self.from.insert(tier, level);
        self
    }

    /// How much an asker of this tier may learn.
    pub fn to(&self, tier: Tier) -> Disclosure {
        self.from.range(..=tier).map(|(_, level)| *level).max().unwrap_or_default()
    }

    /// Whether nobody may learn anything.
    pub fn are_off(&self) -> bool {
        self.to(Tier::Trusted) == Disclosure::Nothing
    }
}

/// A signed question to one responder.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustQuestion {
    /// Who asks, and signed it.
    pub asker: Did,
    /// Who is asked.
    pub responder: Did,
    /// Whom the question is about.
    pub about: Did,
    /// With a minimum the question is whether the subject reaches it; without, where the subject stands.
    pub at_least: Option<Minimum>,
    /// 16 bytes that the answer repeats.
    pub nonce: [u8; 16],
    /// When it was asked, to the second.
    pub asked: Timestamp,
    json: String,
}

/// What a responder says about a subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TrustAnswer {
    /// Nothing that counts is known, or the asker may not know.
    Unknown,
    /// Whether the subject reaches the minimum that was asked for.
    AtLeast {
        /// The minimum of the question.
        minimum: Minimum,
        /// Whether the subject reaches it.
        holds: bool,
    },
    /// The subject's tier.
    Tier(Tier),
    /// The subject's score, from 0 to 1, and the tier.
    Score {
        /// From 0 to 1.
        value: f64,
        /// The tier that the responder gives it.
        tier: Tier,
    },
}

/// A signed answer for one asker. It is the responder's opinion, and what it weighs is for the asker to decide.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustStatement {
    /// Who says it, and signed it.
    pub responder: Did,
    /// For whom it was made.
    pub asker: Did,
    /// Whom it is about.
    pub about: Did,
    /// What it says.
    pub answer: TrustAnswer,
    /// The nonce of the question.
    pub nonce: [u8; 16],
    /// When it was made, to the second.
    pub made: Timestamp,
    /// The instant from which on it no longer holds.
    pub expires: Timestamp,
    json: String,
}

impl TrustQuestion {
    /// Signs a question; see [`TrustGraph::question`].
    async fn sign(
        signer: &dyn Signer,
        responder: Did,
        about: Did,
        at_least: Option<Minimum>,
        nonce: [u8; 16],
        now: Timestamp,
    ) -> Result<TrustQuestion> {
        let envelope = Asked::new(signer.did(), responder, nonce, now)?;
        let mut members = envelope.members();
        members.insert("about".into(), about.to_string().into());
        if let Some(minimum) = at_least {
            members.insert("atLeast".into(), json!(minimum));
        }
        let Asked { asker, asked, .. } = envelope;
        let json = statement::sign(QUESTION, members, signer).await?;
        Ok(TrustQuestion { asker, responder, about, at_least, nonce, asked, json })
    }

    /// Reads a question and checks its form and its signature.
    ///
    /// # Errors
    /// `invalid_argument` or `resource_exhausted` with the rule `form`; `corrupt_data` with the rule `signature`;
    /// `unsupported` for another version.
    pub fn read(text: &str) -> Result<TrustQuestion> {
        let (mut reader, asker) = Reader::open(QUESTION, text, MAX_STATEMENT_BYTES, "asker")?;
        let Asked { asker, responder, nonce, asked } = Asked::read(&mut reader, asker)?;
        let (about, at_least) = (reader.did("about")?, reader.optional("atLeast")?);
        let question = TrustQuestion { asker, responder, about, at_least, nonce, asked, json: text.to_owned() };
        reader.end()?;
        Ok(question)
    }

    /// The question as it goes to the responder.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    fn envelope(&self) -> Asked {
        Asked { asker: self.asker, responder: self.responder, nonce: self.nonce, asked: self.asked }
    }
}

impl TrustStatement {
    async fn sign(
        signer: &dyn Signer,
        question: &TrustQuestion,
        answer: TrustAnswer,
        now: Timestamp,
    ) -> Result<TrustStatement> {
        let envelope = Answered::to(&question.envelope(), now)?;
        let mut members = envelope.members();
        members.insert("about".into(), question.about.to_string().into());
        members.insert("answer".into(), answer.written());
        let json = statement::sign(STATEMENT, members, signer).await?;
        Ok(TrustStatement::of(envelope, question.about, answer, json))
    }

    /// Reads a statement and checks its form and its signature, but not whether it answers a question.
    ///
    /// # Errors
    /// As [`TrustQuestion::read`].
    pub fn read(text: &str) -> Result<TrustStatement> {
        let (mut reader, responder) = Reader::open(STATEMENT, text, MAX_STATEMENT_BYTES, "responder")?;
        let envelope = Answered::read(&mut reader, responder)?;
        let about = reader.did("about")?;
        let written = reader.take("answer")?;
        let answer = TrustAnswer::read(written).ok_or_else(|| reader.malformed("answer"))?;
        reader.end()?;
        Ok(TrustStatement::of(envelope, about, answer, text.to_owned()))
    }

    /// Checks that this answers `question` and holds at `now`.
    ///
    /// # Errors
    /// With the broken `rule`: `corrupt_data` for another `responder`, `audience`, `subject`, `nonce` or kind of `answer`;
    /// `invalid_argument` when it has `expired`, comes from the future (`not_yet`) or claims a `lifetime` of more than ten minutes.
    pub fn check(&self, question: &TrustQuestion, now: Timestamp) -> Result<()> {
        let fits = match (question.at_least, self.answer) {
            (_, TrustAnswer::Unknown) => true,
            (Some(asked), TrustAnswer::AtLeast { minimum, .. }) => asked == minimum,
            (None, TrustAnswer::Tier(_) | TrustAnswer::Score { .. }) => true,
            _ => false,
        };
        self.envelope().check(&question.envelope(), now)?;
        for (holds, rule, why) in [
            (self.about == question.about, "subject", "the statement is about somebody else"),
            (fits, "answer", "the statement answers something that was not asked"),
        ] {
            if !holds {
                return Err(refused(ErrorCode::CorruptData, rule, why).with("responder", self.responder));
            }
        }
        Ok(())
    }

    /// The statement as it was signed.
    pub fn to_json(&self) -> &str {
        &self.json
    }

    fn of(envelope: Answered, about: Did, answer: TrustAnswer, json: String) -> TrustStatement {
        let Answered { responder, asker, nonce, made, expires } = envelope;
        TrustStatement { responder, asker, about, answer, nonce, made, expires, json }
    }

    fn envelope(&self) -> Answered {
        Answered {
            responder: self.responder,
            asker: self.asker,
            nonce: self.nonce,
            made: self.made,
            expires: self.expires,
        }
    }
}

impl TrustAnswer {
    fn written(self) -> Value {
        match self {
            TrustAnswer::Unknown => "unknown".into(),
            TrustAnswer::AtLeast { minimum, holds } => json!({"atLeast": minimum, "holds": holds}),
            TrustAnswer::Tier(tier) => json!({"tier": tier}),
            TrustAnswer::Score { value, tier } => json!({"score": value, "tier": tier}),
        }
    }

    fn read(written: Value) -> Option<TrustAnswer> {
        let mut members = match written {
            Value::String(text) if text == "unknown" => return Some(TrustAnswer::Unknown),
            Value::Object(members) => members,
            _ => return None,
        };
        let (minimum, holds) = (members.remove("atLeast"), members.remove("holds"));
        let (score, tier) = (members.remove("score"), members.remove("tier"));
        if !members.is_empty() {
            return None;
        }
        let tier = tier.map(|tier| serde_json::from_value(tier).ok());
        Some(match (minimum, holds, score, tier) {
            (Some(minimum), Some(Value::Bool(holds)), None, None) => {
                TrustAnswer::AtLeast { minimum: serde_json::from_value(minimum).ok()?, holds }
            }
            (None, None, None, Some(tier)) => TrustAnswer::Tier(tier?),
            (None, None, Some(score), Some(tier)) => {
                let points: Points = serde_json::from_value(score).ok()?;
                TrustAnswer::Score { value: points.value(), tier: tier? }
            }
            _ => return None,
        })
    }
}

impl TrustGraph {
    /// How much others may learn of this node's scores when they ask.
    pub fn disclosures(&self) -> Result<Disclosures> {
        self.store.read(|transaction| Ok(setting(transaction, DISCLOSURES)?.unwrap_or_default()))
    }

    /// Replaces how much others may learn, durably.
    pub fn set_disclosures(&self, disclosures: &Disclosures) -> Result<()> {
        let text = encode(disclosures)?;
        self.store.write(|transaction| {
            transaction.open_table(SETTINGS)?.insert(DISCLOSURES, text.as_str())?;
            Ok(())
        })
    }

    /// Signs a question to `responder` about somebody else. `nonce` must be 16 random bytes.
    ///
    /// # Errors
    /// `invalid_argument` when the question is about the responder, who would praise itself; what the signer answers.
    pub async fn question(
        &self,
        responder: Did,
        about: Did,
        at_least: Option<Minimum>,
        nonce: [u8; 16],
    ) -> Result<TrustQuestion> {
        if responder == about {
            return Err(Error::invalid_argument("nobody is asked how far it is to be trusted itself")
                .with_remedy("ask others about it"));
        }
        TrustQuestion::sign(&*self.signer, responder, about, at_least, nonce, self.clock.now()).await
    }

    /// Answers a question, within what [`Disclosures`] allow. `caller` is who the connection says is asking, where a
    /// connection says so.
    ///
    /// # Errors
    /// Those of [`TrustQuestion::read`]; with the broken `rule`, `permission_denied` when the `asker` is not the caller,
    /// `invalid_argument` when another node is asked (`audience`), or not just now (`expired`, `not_yet`); `busy` for an
    /// asker with too many questions.
    pub async fn answer(&self, askers: &Askers, caller: Option<Did>, question: &str) -> Result<TrustStatement> {
        let now = self.clock.now();
        let question = TrustQuestion::read(question)?;
        question.envelope().check(self.did(), caller, now)?;
        askers.admit(question.asker, now)?;
        let answer = self.permitted(askers, &question, now)?;
        TrustStatement::sign(&*self.signer, &question, answer, now).await
    }

    /// Reads what came back on a question.
    ///
    /// # Errors
    /// Those of [`TrustStatement::read`] and [`TrustStatement::check`].
    pub fn check_statement(&self, question: &TrustQuestion, text: &str) -> Result<TrustStatement> {
        let statement = TrustStatement::read(text)?;
        statement.check(question, self.clock.now())?;
        Ok(statement)
    }

    fn permitted(&self, askers: &Askers, question: &TrustQuestion, now: Timestamp) -> Result<TrustAnswer> {
        let level = self.disclosures()?.to(self.score(&question.asker)?.tier);
        // Looked at before the level is, so that a refusal takes as long as an answer.
        let score = self.score(&question.about)?;
        if score.value <= 0.0 || question.about == self.did() {
            return Ok(TrustAnswer::Unknown);
        }
        let compared =
            |minimum: Minimum, score: &Score| TrustAnswer::AtLeast { minimum, holds: minimum.is_met_by(score) };
        Ok(match (level, question.at_least) {
            (Disclosure::Value | Disclosure::Experience, None) => {
                TrustAnswer::Score { value: score.value, tier: score.tier }
            }
            (Disclosure::Value | Disclosure::Experience, Some(minimum)) => compared(minimum, &score),
            (Disclosure::Tier, None) => TrustAnswer::Tier(score.tier),
            (Disclosure::Tier, Some(minimum @ Minimum::Tier(_))) => compared(minimum, &score),
            // Numbers of one's own choice would close in on the score behind the tier.
            (Disclosure::Tier | Disclosure::Threshold, Some(minimum))
                if askers.may_compare(question.asker, question.about, minimum, now) =>
            {
                compared(minimum, &score)
            }
            _ => TrustAnswer::Unknown,
        })
    }
}
