//! What an audit found.

use kwaai_core::vpk;
use serde::Serialize;

/// How an attack went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct AuditFinding {
    /// `known_pairs`, `dictionary`, `scale`, `reuse` or `membership`.
    pub attack: String,
    /// How often it was tried; 0 where there was nothing to guess.
    pub trials: usize,
    /// How often it succeeded.
    pub hits: usize,
    /// How often a try succeeds by luck, from 0 to 1.
    pub chance: f64,
}

/// What a host could learn from what it keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct HostAudit {
    /// Which host.
    pub host: String,
    /// How many bytes it handed out that were looked at.
    pub bytes: usize,
    /// Each attack.
    pub findings: Vec<AuditFinding>,
}

/// What the hosts of a collection could learn from what they keep.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct AuditReport {
    /// How the vectors are hidden: `plain`, `seal` or `split`.
    pub privacy: String,
    /// How many vectors were looked at.
    pub vectors: usize,
    /// Each host that handed out what it keeps.
    pub hosts: Vec<HostAudit>,
    /// The same attacks against copies that must fall to them.
    pub control: Vec<AuditFinding>,
    /// Whether they did. If not, the rest says nothing.
    pub meaningful: bool,
    /// Whether no attack on a host succeeded more than three times as often as by luck.
    pub hidden: bool,
}

impl From<vpk::AuditReport> for AuditReport {
    fn from(report: vpk::AuditReport) -> AuditReport {
        let (meaningful, hidden) = (report.is_meaningful(), report.is_hidden());
        let host = |host: vpk::HostAudit| HostAudit {
            host: host.host.to_string(),
            bytes: host.bytes,
            findings: findings(host.findings),
        };
        AuditReport {
            privacy: report.mode.to_string(),
            vectors: report.vectors,
            hosts: report.hosts.into_iter().map(host).collect(),
            control: findings(report.control),
            meaningful,
            hidden,
        }
    }
}

fn findings(all: Vec<vpk::Finding>) -> Vec<AuditFinding> {
    let finding = |one: vpk::Finding| AuditFinding {
        attack: one.attack.to_string(),
        trials: one.trials,
        hits: one.hits,
        chance: one.chance,
    };
    all.into_iter().map(finding).collect()
}
