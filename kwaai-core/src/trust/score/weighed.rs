//! The credentials about one peer as they weigh, and what they add up to.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::super::credential::CredentialType;
use super::facts::Facts;
use super::{Reason, UNITS, in_points, units};
use crate::identity::Did;

/// One credential, weighed.
pub(super) struct Weighed<'row> {
    pub(super) facts: &'row Facts,
    pub(super) issuer: Did,
    pub(super) age_days: u64,
    pub(super) factor: f64,
    pub(super) share: f64,
    /// What it adds, in units.
    pub(super) amount: i64,
    pub(super) verdict: Verdict<Word>,
    /// It counts, or a better one of its type does.
    pub(super) sound: bool,
    /// Why it counts half.
    pub(super) doubt: Option<String>,
}

/// What counts, or why it does not.
pub(super) type Verdict<T> = std::result::Result<T, Cow<'static, str>>;

/// What the credentials that count add up to.
pub(super) struct Sum {
    pub(super) credentials: i64,
    pub(super) endorsements: i64,
}

/// Whose word a credential is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// An issuer's that this node named for the type.
    Named,
    /// An endorsement by somebody else.
    Peer,
}

impl Word {
    fn why(self) -> &'static str {
        match self {
            Word::Named => "its proof holds, and this node trusts its issuer for this type",
            Word::Peer => "its proof holds, and its issuer has a score of its own",
        }
    }
}

/// Lets of each type the best count, and fills what is left for endorsements with those of peers; orders them for people.
pub(super) fn settle(weighed: &mut [Weighed<'_>]) -> Sum {
    let by_peer = |one: &Weighed| matches!(one.verdict, Ok(Word::Peer));
    weighed.sort_by(|a, b| {
        b.verdict
            .is_ok()
            .cmp(&a.verdict.is_ok())
            .then(by_peer(a).cmp(&by_peer(b)))
            .then(b.amount.cmp(&a.amount))
            .then(a.facts.id.cmp(&b.facts.id))
    });
    let mut best: Vec<CredentialType> = Vec::new();
    let mut endorsers: BTreeSet<Did> = BTreeSet::new();
    let mut sum = Sum { credentials: 0, endorsements: 0 };
    let full = units(CredentialType::PeerEndorsement, 0);
    for one in weighed.iter_mut().filter(|one| one.verdict.is_ok()) {
        let Some(kind) = one.facts.kind else { continue };
        if by_peer(one) {
            if !endorsers.insert(one.issuer) {
                one.verdict = Err("its issuer endorses this peer already".into());
            } else if sum.endorsements >= full {
                one.verdict = Err("endorsements add no more than 0.05 together".into());
            } else {
                one.amount = one.amount.min(full - sum.endorsements);
                sum.endorsements += one.amount;
            }
        } else if best.contains(&kind) {
            one.verdict = Err("a better credential of this type counts already".into());
        } else {
            best.push(kind);
            let part =
                if kind == CredentialType::PeerEndorsement { &mut sum.endorsements } else { &mut sum.credentials };
            *part += one.amount;
        }
    }
    sum.credentials = (sum.credentials + sum.endorsements).min(UNITS);
    weighed.sort_by(|a, b| b.verdict.is_ok().cmp(&a.verdict.is_ok()).then(b.amount.cmp(&a.amount)));
    sum
}

impl Weighed<'_> {
    pub(super) fn into_reason(self) -> Reason {
        let counted = self.verdict.is_ok();
        Reason {
            credential_id: self.facts.credential_id(),
            kind: self.facts.kind,
            issuer: self.issuer,
            weight: self.facts.kind.map_or(0.0, CredentialType::weight),
            age_days: self.age_days,
            factor: self.factor,
            share: self.share,
            contribution: in_points(self.amount),
            counted,
            why: match (self.verdict, self.doubt) {
                (Ok(word), Some(doubt)) => format!("{}; it counts half, because {doubt}", word.why()).into(),
                (Ok(word), None) => word.why().into(),
                (Err(why), _) => why,
            },
        }
    }
}
