//! KwaaiNet's score: the sum of weight × 0.5^(age in days / 365) over the credentials that count, at most 1.
//!
//! A credential counts when its proof holds, its type has a weight, this node trusts its issuer for that type, its
//! subject did not issue it, it is in force, and its issuer did not withdraw it. One whose withdrawal cannot be looked up
//! counts half. Of several credentials of one type only the best counts, whoever issued them: twenty endorsements weigh as
//! much as one.
//!
//! Age is counted in whole days of 86 400 seconds since `validFrom`. Sums are kept in whole units of 10^-15, so that
//! 0.30 + 0.20 + 0.20 is 0.70 and not a little less, and a tier does not depend on the order of addition.

use std::fmt;

use jiff::Timestamp;

use super::credential::{Credential, CredentialType, Validity};
use super::policy::Tier;
use super::status_list::{Status, UNKNOWN_STATUS_SHARE};
use crate::identity::Did;

/// One whole point of score.
const UNITS: i64 = 1_000_000_000_000_000;
const UNITS_PER_THOUSANDTH: f64 = 1e12;
const HALF_LIFE_DAYS: f64 = 365.0;
const SECONDS_PER_DAY: i64 = 86_400;

/// How far this node trusts a peer, with the arithmetic behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// From 0 to 1.
    pub value: f64,
    /// The tier that the value reaches.
    pub tier: Tier,
    /// Every credential about the peer: those that count first, the heaviest first.
    pub reasons: Vec<Reason>,
}

/// What one credential adds to a score, or why it adds nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// The credential's identifier in the wallet.
    pub credential_id: String,
    /// KwaaiNet's type, when it has one.
    pub kind: Option<CredentialType>,
    /// Who issued it.
    pub issuer: Did,
    /// The weight of its type; 0 without a type.
    pub weight: f64,
    /// Whole days since `validFrom`; 0 when that lies ahead or is missing.
    pub age_days: u64,
    /// 0.5^(age_days / 365).
    pub factor: f64,
    /// weight × factor, or [half](super::UNKNOWN_STATUS_SHARE) of it while its status is unknown: what it adds if it counts.
    pub contribution: f64,
    /// Whether it counts.
    pub counted: bool,
    /// Why it counts or does not, in a short phrase.
    pub why: String,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} = {}", self.value, self.tier)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.map_or("another type", CredentialType::as_str);
        write!(
            f,
            "{kind}: {:.2} × 0.5^({}/365) = {:.4}, {}: {}",
            self.weight,
            self.age_days,
            self.contribution,
            if self.counted { "counted" } else { "not counted" },
            self.why
        )
    }
}

/// KwaaiNet's formula alone: the score of credentials of these types and ages in whole days, all of which count.
pub fn formula(credentials: impl IntoIterator<Item = (CredentialType, u64)>) -> f64 {
    let sum = credentials.into_iter().fold(0i64, |sum, (kind, age_days)| sum.saturating_add(units(kind, age_days)));
    in_points(sum.min(UNITS))
}

/// The score of the credentials about one peer and the identities that it is linked to, who are its `circle`, each with
/// its status. `trusts` says whether this node trusts an issuer for a type.
pub(super) fn score(
    credentials: &[(Credential, Status)],
    circle: &[Did],
    now: Timestamp,
    trusts: impl Fn(&Did, CredentialType) -> bool,
) -> Score {
    let mut weighed: Vec<(i64, Reason)> =
        credentials.iter().map(|(one, status)| weigh(one, status, circle, now, &trusts)).collect();
    weighed.sort_by(|(units_a, a), (units_b, b)| {
        b.counted.cmp(&a.counted).then(units_b.cmp(units_a)).then(a.credential_id.cmp(&b.credential_id))
    });
    let mut best: Vec<CredentialType> = Vec::new();
    for (_, reason) in weighed.iter_mut().filter(|(_, reason)| reason.counted) {
        match reason.kind {
            Some(kind) if !best.contains(&kind) => best.push(kind),
            _ => {
                reason.counted = false;
                reason.why = "a better credential of this type counts already".into();
            }
        }
    }
    weighed.sort_by_key(|(_, reason)| !reason.counted);
    let sum: i64 = weighed.iter().filter(|(_, reason)| reason.counted).map(|(units, _)| units).sum();
    let value = in_points(sum.min(UNITS));
    Score { value, tier: Tier::of(value), reasons: weighed.into_iter().map(|(_, reason)| reason).collect() }
}

fn weigh(
    credential: &Credential,
    status: &Status,
    circle: &[Did],
    now: Timestamp,
    trusts: &impl Fn(&Did, CredentialType) -> bool,
) -> (i64, Reason) {
    let summary = credential.summary();
    let age_days = summary.valid_from.map_or(0, |from| age_in_days(from, now));
    let whole = summary.kind.map_or(0, |kind| units(kind, age_days));
    let (amount, doubt) = match status {
        Status::Unknown { why } => {
            ((whole as f64 * UNKNOWN_STATUS_SHARE).round() as i64, format!("; it counts half, because {why}"))
        }
        _ => (whole, String::new()),
    };
    let (counted, why) = match admissible(credential, status, circle, now, trusts) {
        Ok(()) => (true, format!("its proof holds, and this node trusts its issuer for this type{doubt}")),
        Err(why) => (false, why),
    };
    let reason = Reason {
        credential_id: summary.id.clone(),
        kind: summary.kind,
        issuer: summary.issuer,
        weight: summary.kind.map_or(0.0, CredentialType::weight),
        age_days,
        factor: factor(age_days),
        contribution: in_points(amount),
        counted,
        why,
    };
    (amount, reason)
}

fn admissible(
    credential: &Credential,
    status: &Status,
    circle: &[Did],
    now: Timestamp,
    trusts: &impl Fn(&Did, CredentialType) -> bool,
) -> Result<(), String> {
    let summary = credential.summary();
    let kind = summary.kind.filter(|kind| kind.weight_in_thousandths() > 0).ok_or("its type has no weight")?;
    if summary.subject == Some(summary.issuer) {
        return Err("its subject issued it".into());
    }
    if circle.contains(&summary.issuer) {
        return Err("the peer, or whom it is linked to, issued it".into());
    }
    if !trusts(&summary.issuer, kind) {
        return Err(format!("this node does not trust its issuer for {kind}"));
    }
    let from = summary.valid_from.ok_or("it has no validFrom to count its age from")?;
    match summary.validity(now) {
        Validity::NotYet => return Err(format!("it holds only from {from} on")),
        Validity::Expired => return Err("it has expired".into()),
        Validity::InForce => {}
    }
    match status {
        Status::Revoked => return Err("its issuer revoked it".into()),
        Status::Suspended => return Err("its issuer suspended it".into()),
        Status::NotRevocable | Status::Clear { .. } | Status::Unknown { .. } => {}
    }
    credential.check_proof(now).map_err(|error| format!("its proof does not hold: {error}"))
}

fn age_in_days(from: Timestamp, now: Timestamp) -> u64 {
    // Nanoseconds of any two timestamps fit an i128; whole seconds alone would make a day of its last fraction.
    let elapsed = now.as_nanosecond() - from.as_nanosecond();
    u64::try_from(elapsed / (i128::from(SECONDS_PER_DAY) * 1_000_000_000)).unwrap_or(0)
}

fn factor(age_days: u64) -> f64 {
    0.5f64.powf(age_days as f64 / HALF_LIFE_DAYS)
}

fn units(kind: CredentialType, age_days: u64) -> i64 {
    (f64::from(kind.weight_in_thousandths()) * UNITS_PER_THOUSANDTH * factor(age_days)).round() as i64
}

fn in_points(units: i64) -> f64 {
    units as f64 / UNITS as f64
}
