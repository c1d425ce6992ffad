//! Attacks on what the hosts of one's own collection keep, by someone who knows half of its vectors and guesses at the rest.
//!
//! Each attack but the dictionary is a series of guesses, one of eight candidates each, so that chance is an eighth; the
//! dictionary looks for bytes, which chance does not put there. Every attack also runs against a copy of the same vectors that must
//! fall to it, for an attack that never succeeds shows nothing.
//!
//! That no attack succeeds is no proof: it shows that these do not. What a mode rests on is in its
//! [`Leakage`](super::Leakage).

mod attack;
mod control;
mod evidence;

use std::fmt;

use super::{HostName, Mode};
use crate::{Error, Result};
use attack::Rows;
pub(super) use evidence::{Evidence, HostView, Known};

/// The fewest sealed vectors on which guesses say something.
const LEAST: usize = 128;

/// The most that are looked at.
pub(super) const MOST: usize = 2048;

/// What an attacker tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Attack {
    /// Which document a stored row is, after the rotation that fits known pairs best (orthogonal Procrustes, Schönemann 1966).
    KnownPairs,
    /// Known vectors and texts as bytes, in everything that the host keeps.
    Dictionary,
    /// Which of eight stored rows was the longest vector.
    Scale,
    /// Which two documents a difference of stored rows belongs to, as it would if two were masked alike.
    Reuse,
    /// Which of eight documents is stored at all, after the same rotation.
    Membership,
}

impl Attack {
    /// Every attack.
    pub const ALL: [Attack; 5] =
        [Attack::KnownPairs, Attack::Dictionary, Attack::Scale, Attack::Reuse, Attack::Membership];

    /// Its name: `known_pairs`, `dictionary`, `scale`, `reuse` or `membership`.
    pub fn as_str(self) -> &'static str {
        match self {
            Attack::KnownPairs => "known_pairs",
            Attack::Dictionary => "dictionary",
            Attack::Scale => "scale",
            Attack::Reuse => "reuse",
            Attack::Membership => "membership",
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an attack went.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// The attack.
    pub attack: Attack,
    /// How often it was tried. 0 where there was nothing to guess, such as vectors that are all equally long.
    pub trials: usize,
    /// How often it succeeded.
    pub hits: usize,
    /// How often a try succeeds by luck, from 0 to 1.
    pub chance: f64,
}

impl Finding {
    /// The part of the tries that succeeded, from 0 to 1.
    pub fn share(&self) -> f64 {
        if self.trials == 0 { 0.0 } else { self.hits as f64 / self.trials as f64 }
    }

    /// Whether it succeeded at most three times as often as by luck.
    pub fn is_at_chance(&self) -> bool {
        self.share() <= 3.0 * self.chance
    }
}

/// What a host could learn from what it keeps.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HostAudit {
    /// Which host.
    pub host: HostName,
    /// How many bytes it handed out that were looked at.
    pub bytes: usize,
    /// Each attack.
    pub findings: Vec<Finding>,
}

/// What the hosts of a collection could learn from what they keep.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditReport {
    /// How the vectors are hidden.
    pub mode: Mode,
    /// How many vectors were looked at.
    pub vectors: usize,
    /// Each host that handed out what it keeps.
    pub hosts: Vec<HostAudit>,
    /// The same attacks against copies that must fall to them: rotated, in the clear, or masked twice alike.
    pub control: Vec<Finding>,
}

impl AuditReport {
    /// Whether the attacks succeed where they must, nine times of ten or more. If not, the rest says nothing.
    pub fn is_meaningful(&self) -> bool {
        self.control.iter().all(|finding| finding.trials == 0 || finding.share() >= 0.9)
    }

    /// Whether no attack on any host succeeded more than three times as often as by luck.
    pub fn is_hidden(&self) -> bool {
        self.hosts.iter().flat_map(|host| &host.findings).all(Finding::is_at_chance)
    }
}

/// Runs every attack on every host's view, and on the copies.
pub(super) fn run(evidence: &Evidence) -> Result<AuditReport> {
    let known = &evidence.known;
    if known.vectors.len() < LEAST {
        return Err(Error::invalid_argument(format!(
            "an audit needs {LEAST} sealed vectors, and there are {}",
            known.vectors.len()
        ))
        .with("needed", LEAST)
        .with("found", known.vectors.len())
        .with_remedy("put more in, and flush"));
    }
    let mut hosts = Vec::with_capacity(evidence.hosts.len());
    for view in &evidence.hosts {
        let rows = Rows::seen(&view.rows, evidence.prime);
        let mut findings = attack::guesses(&rows, known, &rows)?;
        findings.insert(1, attack::dictionary(&view.bytes, known));
        let bytes = view.bytes.iter().map(Vec::len).sum();
        hosts.push(HostAudit { host: view.host, bytes, findings });
    }
    let rotated = control::rotated(known);
    let mut control = attack::guesses(&rotated, known, &control::masked_alike(known, evidence.prime))?;
    control.insert(1, attack::dictionary(&control::clear(known), known));
    Ok(AuditReport { mode: evidence.mode, vectors: known.vectors.len(), hosts, control })
}
