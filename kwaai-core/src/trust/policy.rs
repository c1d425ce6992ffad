//! Tiers, and which tier each purpose asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

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
        let units = (score * 1e15).round();
        let reached = |tier: &Tier| units >= f64::from(tier.threshold_in_hundredths()) * 1e13;
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

/// What a peer wants to do, or what this node wants of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// What every node answers anybody: its own credentials, which blocks it serves.
    Open,
    /// A peer sends this node a message.
    Message,
    /// A peer computes on the model blocks that this node serves.
    ServeBlocks,
    /// This node computes on the model blocks that a peer serves.
    UseBlocks,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Purpose; 4] = [Purpose::Open, Purpose::Message, Purpose::ServeBlocks, Purpose::UseBlocks];

    /// The purpose's fixed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Open => "open",
            Purpose::Message => "message",
            Purpose::ServeBlocks => "serve_blocks",
            Purpose::UseBlocks => "use_blocks",
        }
    }
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

/// The lowest tier that each purpose asks for.
///
/// The default lets anybody send a message, and computes for and with peers that are at least known: somebody whom this
/// node trusts vouches for them. A purpose that is not named keeps its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    minimum: BTreeMap<Purpose, Tier>,
}

impl Policy {
    /// The lowest tier that may, or that is used for, `purpose`.
    pub fn minimum(&self, purpose: Purpose) -> Tier {
        self.minimum.get(&purpose).copied().unwrap_or(match purpose {
            Purpose::Open | Purpose::Message => Tier::Unknown,
            Purpose::ServeBlocks | Purpose::UseBlocks => Tier::Known,
        })
    }

    /// This policy with another minimum for `purpose`.
    ///
    /// # Errors
    /// `invalid_argument` for [`Purpose::Open`] and anything but [`Tier::Unknown`]: strangers could then no longer show the
    /// credentials that make them known.
    pub fn with_minimum(mut self, purpose: Purpose, tier: Tier) -> Result<Policy> {
        if purpose == Purpose::Open && tier != Tier::Unknown {
            return Err(Error::invalid_argument("what is open to everybody cannot ask for a tier")
                .with_remedy("set the minimum of another purpose"));
        }
        self.minimum.insert(purpose, tier);
        Ok(self)
    }
}

/// Decides at the place where a call arrives.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Lets the caller in, or answers `permission_denied` with the tier that it has and the one it needs.
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()>;
}
