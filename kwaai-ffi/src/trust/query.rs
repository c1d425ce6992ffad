//! What others may learn of this node's scores, and what they say of theirs.

use std::collections::BTreeMap;

use kwaai_core::Error;
use kwaai_core::trust::{self, Disclosure, Disclosures, Tier, TrustAnswer};
use serde::Serialize;

use super::TrustGraph;
use crate::{CancelToken, Result, rt};

/// The names of the levels, the least first.
const LEVELS: [(&str, Disclosure); 5] = [
    ("nothing", Disclosure::Nothing),
    ("threshold", Disclosure::Threshold),
    ("tier", Disclosure::Tier),
    ("value", Disclosure::Value),
    ("experience", Disclosure::Experience),
];

/// A peer's signed opinion on somebody, which was checked.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct TrustStatement {
    /// The DID of who says it.
    pub responder: String,
    /// The DID of whom it was made for.
    pub asker: String,
    /// The DID of whom it is about.
    pub about: String,
    /// `unknown`, `at_least`, `tier` or `score`.
    pub answer: String,
    /// With `at_least`, whether the minimum that was asked for is reached.
    pub holds: Option<bool>,
    /// With `tier` and `score`, the tier.
    pub tier: Option<String>,
    /// With `score`, the score from 0 to 1.
    pub value: Option<f64>,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// When it ends, RFC 3339.
    pub expires_at: String,
}

impl TrustGraph {
    /// How much an asker of each tier may learn: `nothing`, `threshold`, `tier`, `value` or `experience`.
    pub async fn disclosures(&self, cancel: CancelToken) -> Result<BTreeMap<&'static str, &'static str>> {
        let graph = self.handle.get()?;
        let disclosures = rt::blocking(&cancel, move || graph.disclosures()).await?;
        Ok(Tier::ALL.into_iter().map(|tier| (tier.as_str(), named(disclosures.to(tier)))).collect())
    }

    /// Replaces how much askers may learn, durably: from each tier on at least its level. Without any, they learn nothing.
    pub async fn set_disclosures(&self, disclosures: BTreeMap<String, String>, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        let disclosures = disclosures.iter().try_fold(Disclosures::default(), |chosen, (tier, level)| {
            Ok::<_, Error>(chosen.with(tier.parse()?, leveled(level)?))
        })?;
        rt::blocking(&cancel, move || graph.set_disclosures(&disclosures)).await
    }
}

fn named(level: Disclosure) -> &'static str {
    LEVELS.into_iter().find(|(_, known)| *known == level).map_or("nothing", |(name, _)| name)
}

fn leveled(text: &str) -> kwaai_core::Result<Disclosure> {
    LEVELS.into_iter().find(|(name, _)| *name == text).map(|(_, level)| level).ok_or_else(|| {
        let known = LEVELS.map(|(name, _)| name).join(", ");
        Error::invalid_argument(format!("{text:.60?} is no level of disclosure; levels are {known}"))
    })
}

impl From<trust::TrustStatement> for TrustStatement {
    fn from(statement: trust::TrustStatement) -> TrustStatement {
        let (answer, holds, tier, value) = match statement.answer {
            TrustAnswer::Unknown => ("unknown", None, None, None),
            TrustAnswer::AtLeast { holds, .. } => ("at_least", Some(holds), None, None),
            TrustAnswer::Tier(tier) => ("tier", None, Some(tier), None),
            TrustAnswer::Score { value, tier } => ("score", None, Some(tier), Some(value)),
        };
        TrustStatement {
            responder: statement.responder.to_string(),
            asker: statement.asker.to_string(),
            about: statement.about.to_string(),
            answer: answer.into(),
            holds,
            tier: tier.map(|tier| tier.to_string()),
            value,
            made_at: statement.made.to_string(),
            expires_at: statement.expires.to_string(),
        }
    }
}
