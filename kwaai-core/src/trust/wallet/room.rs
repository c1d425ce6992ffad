//! Room for one more credential about a subject.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{ReadableTable, WriteTransaction};

use super::super::credential::{Credential, CredentialType, Validity};
use super::{MAX_PER_SUBJECT, SUBJECTS, kept, remove};
use crate::identity::Did;
use crate::vault::Key;
use crate::{Error, Result};

/// Makes room where a subject has its number already: what ended goes, and what its issuer has renewed by a newer one of the type.
/// The sides of links are counted apart from what issuers say, since others decide how many there are.
///
/// # Errors
/// `resource_exhausted` when none of them can go.
pub(super) fn make(
    transaction: &WriteTransaction,
    key: Option<&Key>,
    new: &Credential,
    subject: &Did,
    now: Timestamp,
) -> Result<()> {
    let ids = about(transaction, subject)?;
    if ids.len() < MAX_PER_SUBJECT || ids.iter().any(|id| id == new.id()) {
        return Ok(());
    }
    let mut all = Vec::with_capacity(ids.len());
    for id in &ids {
        all.extend(kept(transaction, key, id)?);
    }
    let is_link = |credential: &Credential| credential.kind() == Some(CredentialType::Binding);
    all.retain(|credential| is_link(credential) == is_link(new));
    let over = (all.len() + 1).saturating_sub(MAX_PER_SUBJECT);
    let mut free: Vec<&Credential> = all.iter().filter(|credential| has_ended(credential, now)).collect();
    free.sort_by_key(|credential| credential.summary().valid_until);
    if free.len() < over {
        let mut renewed = renewed(all.iter().filter(|credential| !has_ended(credential, now)), new);
        renewed.sort_by_key(|credential| credential.summary().valid_from);
        free.extend(renewed);
    }
    if free.len() < over {
        return Err(Error::resource_exhausted(format!(
            "this node keeps {MAX_PER_SUBJECT} credentials about {subject} already, all of which hold"
        ))
        .with("limit", MAX_PER_SUBJECT)
        .with_remedy("remove some of them first"));
    }
    free.into_iter().take(over).try_for_each(|credential| remove(transaction, key, credential.id()).map(drop))
}

fn has_ended(credential: &Credential, now: Timestamp) -> bool {
    credential.summary().validity(now) == Validity::Expired
        || credential.proof_until().is_some_and(|until| until <= now)
}

/// Those that a newer one of the same issuer and type follows, `new` among the newer ones.
fn renewed<'all>(all: impl Iterator<Item = &'all Credential> + Clone, new: &'all Credential) -> Vec<&'all Credential> {
    let of = |credential: &Credential| credential.kind().map(|kind| (credential.issuer(), kind));
    let mut newest: BTreeMap<_, Option<Timestamp>> = BTreeMap::new();
    for (line, from) in all.clone().chain([new]).filter_map(|one| Some((of(one)?, one.summary().valid_from))) {
        let held = newest.entry(line).or_default();
        *held = (*held).max(from);
    }
    let follows = |credential: &&Credential| {
        of(credential)
            .is_some_and(|line| newest.get(&line).is_some_and(|newest| *newest > credential.summary().valid_from))
    };
    all.filter(follows).collect()
}

fn about(transaction: &WriteTransaction, subject: &Did) -> Result<Vec<String>> {
    let subject = subject.to_string();
    let table = transaction.open_table(SUBJECTS)?;
    // DIDs are ASCII and end where the tuple's first part ends, so these bounds hold every identifier.
    let rows = table.range((subject.as_str(), "")..(subject.as_str(), "\u{10ffff}"))?;
    rows.map(|row| Ok(row?.0.value().1.to_owned())).collect()
}
