//! Tiers, and which tier each purpose asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::score::Score;
use crate::{Error, Result};

/// The units of 10^-15 in one whole point of score.
const UNITS: f64 = 1e15;

/// The digits of a score that is written as text; no score needs more.
const MAX_NUMBER: usize = 24;

/// How far this node trusts a peer. The thresholds are KwaaiNet's: 0.10, 0.40 and 0.70.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// A score below 0.10.
    #[default]
    Unknown,
    /// A score of at least 0.10.
    Known,
    /// A score of at least 0.40.
    Verified,
    /// A score of at least 0.70.
    Trusted,
}

impl Tier {
    /// Every tier, lowest first.
    pub const ALL: [Tier; 4] = [Tier::Unknown, Tier::Known, Tier::Verified, Tier::Trusted];

    /// The tier's fixed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Unknown => "unknown",
            Tier::Known => "known",
            Tier::Verified => "verified",
            Tier::Trusted => "trusted",
        }
    }

    /// The lowest score of this tier, from 0 to 1.
    pub fn threshold(self) -> f64 {
        f64::from(self.threshold_in_hundredths()) / 100.0
    }

    /// The highest tier that a score reaches. Scores are compared in whole units of 10^-15, so that rounding in the last
    /// binary digit does not keep one from its threshold.
    pub fn of(score: f64) -> Tier {
        let units = in_units(score);
        let reached = |tier: &Tier| units >= f64::from(tier.threshold_in_hundredths()) * UNITS / 100.0;
        Tier::ALL.into_iter().rev().find(reached).unwrap_or_default()
    }

    /// The threshold as an exact number, in hundredths.
    fn threshold_in_hundredths(self) -> u32 {
        match self {
            Tier::Unknown => 0,
            Tier::Known => 10,
            Tier::Verified => 40,
            Tier::Trusted => 70,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = Error;

    fn from_str(text: &str) -> Result<Tier> {
        Tier::ALL.into_iter().find(|tier| tier.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Error::invalid_argument(format!("{text:?} is no tier; tiers are unknown, known, verified, trusted"))
        })
    }
}

/// The least that a purpose asks for: a tier, or a score of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Minimum {
    /// At least this tier.
    Tier(Tier),
    /// At least this score.
    Score(Points),
}

impl Minimum {
    /// At least a score from 0 to 1.
    ///
    /// # Errors
    /// `invalid_argument` for a number that is no score.
    pub fn score(value: f64) -> Result<Minimum> {
        Points::of(value).map(Minimum::Score)
    }

    /// The lowest score that suffices, from 0 to 1.
    pub fn threshold(self) -> f64 {
        match self {
            Minimum::Tier(tier) => tier.threshold(),
            Minimum::Score(points) => points.value(),
        }
    }

    /// Whether everybody suffices, also somebody of whom nothing is known.
    pub fn is_open(self) -> bool {
        matches!(self, Minimum::Tier(Tier::Unknown) | Minimum::Score(Points(0)))
    }

    /// Whether a peer that stands so suffices.
    pub fn is_met_by(self, score: &Score) -> bool {
        match self {
            Minimum::Tier(tier) => score.tier >= tier,
            Minimum::Score(points) => in_units(score.lower_bound) >= points.0 as f64,
        }
    }
}

impl From<Tier> for Minimum {
    fn from(tier: Tier) -> Minimum {
        Minimum::Tier(tier)
    }
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Minimum::Tier(tier) => tier.fmt(f),
            Minimum::Score(points) => points.value().fmt(f),
        }
    }
}

impl FromStr for Minimum {
    type Err = Error;

    /// Reads the name of a tier, or a score from 0 to 1 in decimal digits.
    fn from_str(text: &str) -> Result<Minimum> {
        let digits = text.len() <= MAX_NUMBER && text.starts_with(|c: char| c.is_ascii_digit());
        match text.parse() {
            Ok(value) if digits => Minimum::score(value),
            _ => text.parse().map(Minimum::Tier).map_err(|_| {
                Error::invalid_argument(format!("{text:.60?} is no minimum"))
                    .with_remedy("name a tier (unknown, known, verified, trusted) or a score from 0 to 1")
            }),
        }
    }
}

/// A score from 0 to 1, kept in whole units of 10^-15 as scores are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Points(u64);

impl Points {
    /// The points of a score.
    ///
    /// # Errors
    /// `invalid_argument` unless it is a number from 0 to 1.
    pub fn of(score: f64) -> Result<Points> {
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::invalid_argument(format!("a score lies between 0 and 1, and {score} does not")));
        }
        Ok(Points(in_units(score) as u64))
    }

    /// From 0 to 1.
    pub fn value(self) -> f64 {
        self.0 as f64 / UNITS
    }
}

impl TryFrom<f64> for Points {
    type Error = Error;

    fn try_from(score: f64) -> Result<Points> {
        Points::of(score)
    }
}

impl From<Points> for f64 {
    fn from(points: Points) -> f64 {
        points.value()
    }
}

fn in_units(score: f64) -> f64 {
    (score * UNITS).round()
}

macro_rules! purposes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $tier:ident;)+) => {
        /// What a peer wants to do, or what this node wants of a peer.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Purpose { $($(#[$doc])* #[serde(rename = $text)] $variant,)+ }

        impl Purpose {
            /// Every purpose.
            pub const ALL: [Purpose; [$($text),+].len()] = [$(Purpose::$variant),+];

            /// The purpose's fixed name.
            pub fn as_str(self) -> &'static str {
                match self { $(Purpose::$variant => $text,)+ }
            }

            /// The tier that the purpose asks for unless the policy says otherwise.
            pub fn default_minimum(self) -> Tier {
                match self { $(Purpose::$variant => Tier::$tier,)+ }
            }
        }
    };
}

// A purpose is one line here, and stands here only when something enforces it.
purposes! {
    /// What every node answers anybody: its own credentials, which blocks it serves.
    Open = "open", Unknown;
    /// A peer sends this node a message.
    Message = "message", Unknown;
    /// A peer computes on the model blocks that this node serves.
    ServeBlocks = "serve_blocks", Known;
    /// This node computes on the model blocks that a peer serves.
    UseBlocks = "use_blocks", Known;
    /// A peer keeps private knowledge at this node.
    StoreVectors = "store_vectors", Known;
    /// A peer searches a knowledge base for which it has a capability.
    SearchKnowledge = "search_knowledge", Unknown;
    /// A peer is reached through this node as its relay, or reaches others through it.
    Relay = "relay", Unknown;
    /// The same with a full share of the relay, which others leave to such peers.
    RelayFreely = "relay_freely", Known;
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = Error;

    fn from_str(text: &str) -> Result<Purpose> {
        Purpose::ALL.into_iter().find(|purpose| purpose.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let known = Purpose::ALL.map(Purpose::as_str).join(", ");
            Error::invalid_argument(format!("{text:.60?} is no purpose; purposes are {known}"))
        })
    }
}

/// The least that each purpose asks for.
///
/// The default lets anybody send a message, and computes for and with peers that are at least known: somebody whom this
/// node trusts vouches for them. A purpose that is not named keeps its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    minimum: BTreeMap<Purpose, Minimum>,
}

impl Policy {
    /// The least that suffices for `purpose`.
    pub fn minimum(&self, purpose: Purpose) -> Minimum {
        self.minimum.get(&purpose).copied().unwrap_or(Minimum::Tier(purpose.default_minimum()))
    }

    /// This policy with another minimum for `purpose`, a [`Tier`] or a [`Minimum::score`].
    ///
    /// # Errors
    /// `invalid_argument` for [`Purpose::Open`] and anything but what everybody meets: strangers could then no longer show
    /// the credentials that make them known.
    pub fn with_minimum(mut self, purpose: Purpose, minimum: impl Into<Minimum>) -> Result<Policy> {
        let minimum = minimum.into();
        if purpose == Purpose::Open && !minimum.is_open() {
            return Err(Error::invalid_argument("what is open to everybody cannot ask for a tier")
                .with_remedy("set the minimum of another purpose"));
        }
        self.minimum.insert(purpose, minimum);
        Ok(self)
    }
}

/// Decides at the place where a call arrives.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Lets the caller in, or answers `permission_denied` with the tier that it has and the one it needs.
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::trust::ScoreParts;

    fn standing(value: f64) -> Score {
        let parts =
            ScoreParts { credentials: value, endorsements: 0.0, experience: None, recommended: None, standing: 1.0 };
        Score { value, lower_bound: value, expectation: value, tier: Tier::of(value), parts, reasons: Vec::new() }
    }

    #[test]
    fn a_minimum_is_a_tier_or_a_number_and_both_are_compared_in_whole_units() {
        // 0.1 + 0.2 is a little more than 0.3, and 0.8 - 0.5 a little less; both are thirty hundredths.
        let minimum = Minimum::score(0.3).unwrap();
        assert!(minimum.is_met_by(&standing(0.1 + 0.2)) && minimum.is_met_by(&standing(0.8 - 0.5)));
        assert!(!minimum.is_met_by(&standing(0.299_999_999_999_999)));
        assert_eq!(minimum, Minimum::score(0.1 + 0.2).unwrap());
        assert!(Minimum::from(Tier::Verified).is_met_by(&standing(0.4)));
        assert!(!Minimum::from(Tier::Verified).is_met_by(&standing(0.3999)));
        assert!(Minimum::score(0.0).unwrap().is_open() && Minimum::from(Tier::Unknown).is_open());
        assert!(!Minimum::score(1e-15).unwrap().is_open());
    }

    #[test]
    fn what_is_no_score_is_no_minimum() {
        for value in [f64::NAN, f64::INFINITY, -0.1, 1.0 + 1e-9, -f64::MIN_POSITIVE] {
            assert_eq!(Minimum::score(value).unwrap_err().code(), ErrorCode::InvalidArgument, "{value}");
        }
        for text in ["", "NaN", "inf", "-0.5", "1.5", "+0.5", ".5", "0,5", "enormous", "0.5 "] {
            assert_eq!(text.parse::<Minimum>().unwrap_err().code(), ErrorCode::InvalidArgument, "{text:?}");
        }
        for (text, minimum) in [("verified", Minimum::Tier(Tier::Verified)), ("0.55", Minimum::score(0.55).unwrap())] {
            assert_eq!(text.parse::<Minimum>().unwrap(), minimum);
            assert_eq!(minimum.to_string(), text);
        }
    }

    #[test]
    fn a_policy_is_written_with_names_and_numbers_and_reads_what_was_stored_before_numbers_were() {
        let policy = Policy::default()
            .with_minimum(Purpose::Message, Tier::Verified)
            .and_then(|policy| policy.with_minimum(Purpose::UseBlocks, Minimum::score(0.55)?))
            .unwrap();
        let text = r#"{"minimum":{"message":"verified","use_blocks":0.55}}"#;
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
        assert_eq!(serde_json::from_str::<Policy>(text).unwrap(), policy);
        let before: Policy =
            serde_json::from_str(r#"{"minimum":{"open":"unknown","serve_blocks":"trusted"}}"#).unwrap();
        assert_eq!(before.minimum(Purpose::ServeBlocks), Minimum::Tier(Tier::Trusted));
        assert_eq!(before.minimum(Purpose::UseBlocks), Minimum::Tier(Tier::Known));
        for text in [r#"{"minimum":{"message":1.5}}"#, r#"{"minimum":{"message":"huge"}}"#, r#"{"minimum":{"x":0.5}}"#]
        {
            assert!(serde_json::from_str::<Policy>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_open_stays_open() {
        let open = |minimum| Policy::default().with_minimum(Purpose::Open, minimum);
        open(Minimum::score(0.0).unwrap()).unwrap();
        assert_eq!(open(Minimum::score(0.2).unwrap()).unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(open(Minimum::Tier(Tier::Known)).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
}
