//! KwaaiNet's types of credentials, with what each weighs and how long it holds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const DAY: u64 = 24 * 60 * 60;

/// The name that KwaaiNet's documents give a [`CredentialType::SummitAttendee`]; its code writes `SummitAttendeeVC`.
const EVENT_ATTENDEE: &str = "EventAttendeeVC";

/// What a credential of KwaaiNet says about its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CredentialType {
    /// The subject signed the GliaNet Fiduciary Pledge.
    #[serde(rename = "FiduciaryPledgeVC")]
    FiduciaryPledge,
    /// The subject passed the checks of node onboarding.
    #[serde(rename = "VerifiedNodeVC")]
    VerifiedNode,
    /// The subject was up for a share of the days observed.
    #[serde(rename = "UptimeVC")]
    Uptime,
    /// The subject reached about the throughput that it announces.
    #[serde(rename = "ThroughputVC")]
    Throughput,
    /// The subject attended a Kwaai Personal AI Summit. `EventAttendeeVC` is read as this type too.
    #[serde(rename = "SummitAttendeeVC", alias = "EventAttendeeVC")]
    SummitAttendee,
    /// The issuer had good dealings with the subject.
    #[serde(rename = "PeerEndorsementVC")]
    PeerEndorsement,
    /// The subject is linked to the issuer: one half of the tie between a node and its person or organisation. It weighs
    /// nothing by itself.
    #[serde(rename = "BindingVC")]
    Binding,
}

impl CredentialType {
    /// Every type, heaviest first.
    pub const ALL: [CredentialType; 7] = [
        CredentialType::FiduciaryPledge,
        CredentialType::VerifiedNode,
        CredentialType::Uptime,
        CredentialType::Throughput,
        CredentialType::SummitAttendee,
        CredentialType::PeerEndorsement,
        CredentialType::Binding,
    ];

    /// The types that can add to a score, heaviest first. Their weights are 1 together.
    pub const WEIGHED: [CredentialType; 6] = [
        CredentialType::FiduciaryPledge,
        CredentialType::VerifiedNode,
        CredentialType::Uptime,
        CredentialType::Throughput,
        CredentialType::SummitAttendee,
        CredentialType::PeerEndorsement,
    ];

    /// The type's name in a credential's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            CredentialType::FiduciaryPledge => "FiduciaryPledgeVC",
            CredentialType::VerifiedNode => "VerifiedNodeVC",
            CredentialType::Uptime => "UptimeVC",
            CredentialType::Throughput => "ThroughputVC",
            CredentialType::SummitAttendee => "SummitAttendeeVC",
            CredentialType::PeerEndorsement => "PeerEndorsementVC",
            CredentialType::Binding => "BindingVC",
        }
    }

    /// What a fresh credential of this type adds to a score: KwaaiNet's weight, a share of 1.
    pub fn weight(self) -> f64 {
        f64::from(self.weight_in_thousandths()) / 1000.0
    }

    /// The weight as an exact number, in thousandths.
    pub(in crate::trust) fn weight_in_thousandths(self) -> u32 {
        match self {
            CredentialType::FiduciaryPledge => 300,
            CredentialType::VerifiedNode | CredentialType::Uptime => 200,
            CredentialType::Throughput => 150,
            CredentialType::SummitAttendee => 100,
            CredentialType::PeerEndorsement => 50,
            CredentialType::Binding => 0,
        }
    }

    /// How long a credential of this type holds when its issuer does not say: KwaaiNet's 730 days for a summit, 90 days
    /// for an endorsement, and no end for the others.
    pub fn default_lifetime(self) -> Option<Duration> {
        match self {
            CredentialType::SummitAttendee => Some(Duration::from_secs(730 * DAY)),
            CredentialType::PeerEndorsement => Some(Duration::from_secs(90 * DAY)),
            _ => None,
        }
    }
}

impl fmt::Display for CredentialType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CredentialType {
    type Err = Error;

    fn from_str(text: &str) -> Result<CredentialType> {
        if text == EVENT_ATTENDEE {
            return Ok(CredentialType::SummitAttendee);
        }
        CredentialType::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = CredentialType::ALL.map(CredentialType::as_str).join(", ");
            Error::invalid_argument(format!("{text:.60?} is no credential type; the types are {known}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weighed_types_are_those_of_all_that_weigh_something() {
        let weighed: Vec<_> = CredentialType::ALL.into_iter().filter(|kind| kind.weight() > 0.0).collect();
        assert_eq!(weighed, CredentialType::WEIGHED);
        assert_eq!(CredentialType::WEIGHED.iter().map(|kind| kind.weight_in_thousandths()).sum::<u32>(), 1000);
    }

    #[test]
    fn every_name_is_read_as_it_is_written_and_the_event_attendee_as_the_summits() {
        for kind in CredentialType::ALL {
            assert_eq!(kind.as_str().parse::<CredentialType>().unwrap(), kind);
            let json = format!("\"{kind}\"");
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            assert_eq!(serde_json::from_str::<CredentialType>(&json).unwrap(), kind);
        }
        assert_eq!(EVENT_ATTENDEE.parse::<CredentialType>().unwrap(), CredentialType::SummitAttendee);
        let quoted = format!("\"{EVENT_ATTENDEE}\"");
        assert_eq!(serde_json::from_str::<CredentialType>(&quoted).unwrap(), CredentialType::SummitAttendee);
        assert!("MemberVC".parse::<CredentialType>().is_err());
    }
}
