//! The credentials that nodes show each other about themselves, and what is kept of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::binding::side;
use super::claims::LinkType;
use super::credential::{Credential, CredentialSummary, CredentialType, Validity};
use super::status_list::Status;
use super::succession::Successions;
use super::{CredentialFilter, MAX_PER_SUBJECT, TrustGraph, trusts};
use crate::blocking::blocking;
use crate::identity::Did;
use crate::{ErrorCode, Result};

/// So many endorsements of a peer by issuers that this node does not name are kept of what it shows.
pub const MAX_SHOWN_ENDORSEMENTS: usize = 16;

/// So many of the identities that a peer shows a link with are followed: its person and its organisation, and the next ones while
/// these change.
const MAX_SHOWN_LINKS: usize = 4;

/// So many credentials of one issuer are kept for one side of a link, those included that ended or were withdrawn.
const MAX_KEPT_SIDES: usize = 4;

impl TrustGraph {
    /// What this node shows to peers who ask, as JSON texts: the credentials about itself, under its key and those before it in its
    /// history, that hold now. Where it is
    /// [linked](TrustGraph::bindings) to a person or an organisation, its own side of the link as well, and what is kept about them
    /// of KwaaiNet's types, so that a reader's score can follow the link; their links to other nodes, what peers say of them, and
    /// credentials of other types stay here.
    pub fn presentable(&self) -> Result<Vec<String>> {
        let (now, own) = (self.clock.now(), self.did());
        let about = |subject: Did| {
            self.wallet.list(&CredentialFilter { subject: Some(subject), ..CredentialFilter::default() })
        };
        let keys = self.store.read(|transaction| Successions::open(transaction)?.held_by(&own))?;
        let mut shown = Vec::new();
        let mut identities = BTreeSet::new();
        for key in &keys {
            shown.extend(about(*key)?);
            identities.extend(self.bound_identities(key)?);
        }
        for identity in identities {
            shown.extend(about(identity)?.into_iter().filter(|credential| match credential.kind() {
                Some(CredentialType::Binding) => keys.contains(&credential.issuer()),
                // Nothing about a person is shown that no score could count.
                kind => kind.is_some_and(|kind| kind != CredentialType::PeerEndorsement),
            }));
        }
        let mut texts = Vec::with_capacity(shown.len());
        for credential in shown {
            let holds = credential.summary().validity(now) == Validity::InForce && credential.check_proof(now).is_ok();
            if holds && !matches!(self.status(&credential)?, Status::Revoked | Status::Suspended) {
                texts.push(credential.to_json());
            }
        }
        Ok(texts)
    }

    /// Keeps, of the credentials that a peer presented, those that can count here. These are, about this very peer, under its key
    /// and those before it in its history: what issuers say that this node trusts for the type, at most
    /// [`MAX_SHOWN_ENDORSEMENTS`] endorsements by others who are Known here themselves, and the two sides of its links to a person
    /// or an organisation of whom a trusted issuer says something; and that. The others are passed over, because a peer may show
    /// anything to anybody, and keys cost nothing; and so is everything under a key that was replaced.
    ///
    /// # Errors
    /// Only failures of this node itself, such as a full disk.
    pub async fn import_presented(&self, peer: &Did, presented: &[String]) -> Result<Vec<CredentialSummary>> {
        let (graph, peer) = (self.clone(), *peer);
        let presented: Vec<String> = presented.iter().take(2 * MAX_PER_SUBJECT).cloned().collect();
        let fitting = blocking(move || graph.fitting(&peer, &presented)).await?;
        let mut kept = Vec::new();
        let mut full: BTreeSet<Did> = BTreeSet::new();
        for credential in &fitting {
            let Some(subject) = credential.subject().filter(|subject| !full.contains(subject)) else { continue };
            match self.wallet.keep(credential).await {
                Ok(()) => kept.push(credential.summary().clone()),
                Err(error) if error.code() == ErrorCode::ResourceExhausted && error.context().contains_key("limit") => {
                    full.insert(subject);
                }
                Err(error) if error.context().get("rule").is_some_and(|rule| rule == "withdrawn") => {}
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    /// Those of the presented credentials that hold and can count.
    fn fitting(&self, peer: &Did, presented: &[String]) -> Result<Vec<Credential>> {
        let trusted = self.trusted_types()?;
        let mut sound: Vec<Credential> = Vec::new();
        for text in presented {
            if let Ok(credential) = self.verify(text)
                && !self.is_withdrawn(credential.id())?
            {
                sound.push(credential);
            }
        }
        let keys = self.store.read(|transaction| Successions::open(transaction)?.held_by(peer))?;
        let now = self.clock.now();
        let mut links = self.links_of(&keys, now)?;
        let known: BTreeSet<Did> = links.iter().map(|(issuer, _)| *issuer).filter(|did| !keys.contains(did)).collect();
        let mut linked = linked(&keys, &sound, now, &known);
        self.retain_vouched(&mut linked, &sound, &trusted)?;
        for identity in &linked {
            links.extend(self.links_of(&[*identity], now)?.into_iter().filter(|(issuer, _)| keys.contains(issuer)));
        }
        let mut strangers =
            self.endorsements_by_others(&keys, |issuer| trusts(&trusted, issuer, CredentialType::PeerEndorsement))?;
        let endorsers = sound.iter().filter(|one| one.kind() == Some(CredentialType::PeerEndorsement));
        let endorsers = self.known(endorsers.map(Credential::issuer).collect())?;
        sound.retain(|credential| {
            let (Some(kind), Some(subject), issuer) = (credential.kind(), credential.subject(), credential.issuer())
            else {
                return false;
            };
            let by_trusted = trusts(&trusted, &issuer, kind);
            match kind {
                // One for each side: more would say nothing more, and take the place of what others say.
                CredentialType::Binding => {
                    let ours = keys.contains(&subject) && linked.contains(&issuer);
                    let theirs = keys.contains(&issuer) && linked.contains(&subject);
                    (ours || theirs) && side(credential, now).is_some() && links.insert((issuer, subject))
                }
                CredentialType::PeerEndorsement
                    if keys.contains(&subject) && !by_trusted && !keys.contains(&issuer) =>
                {
                    strangers.contains(credential.id())
                        || (endorsers.contains(&issuer)
                            && strangers.len() < MAX_SHOWN_ENDORSEMENTS
                            && strangers.insert(credential.id().to_owned()))
                }
                _ => by_trusted && (keys.contains(&subject) || linked.contains(&subject)),
            }
        });
        Ok(sound)
    }

    /// Leaves those identities of whom a trusted issuer says something that counts, among what is shown or what is kept. A link
    /// with another would lend nothing.
    fn retain_vouched(
        &self,
        identities: &mut BTreeSet<Did>,
        shown: &[Credential],
        trusted: &BTreeMap<Did, Vec<CredentialType>>,
    ) -> Result<()> {
        let vouches = |credential: &Credential| {
            let kind = credential
                .kind()
                .filter(|kind| *kind != CredentialType::PeerEndorsement && kind.weight_in_thousandths() > 0);
            kind.is_some_and(|kind| trusts(trusted, &credential.issuer(), kind))
        };
        let by_shown: BTreeSet<Did> =
            shown.iter().filter(|credential| vouches(credential)).filter_map(Credential::subject).collect();
        let mut vouched = BTreeSet::new();
        for identity in identities.iter() {
            let kept =
                || self.wallet.list(&CredentialFilter { subject: Some(*identity), ..CredentialFilter::default() });
            if by_shown.contains(identity) || kept()?.iter().any(vouches) {
                vouched.insert(*identity);
            }
        }
        *identities = vouched;
        Ok(())
    }

    /// Whose links to these subjects need no further credential: one that is in force and was not withdrawn is kept, or so many
    /// that did not last that a further one would only take room.
    fn links_of(&self, subjects: &[Did], now: Timestamp) -> Result<BTreeSet<(Did, Did)>> {
        let mut kept: BTreeMap<(Did, Did), usize> = BTreeMap::new();
        for subject in subjects {
            let filter = CredentialFilter {
                subject: Some(*subject),
                kind: Some(CredentialType::Binding),
                ..CredentialFilter::default()
            };
            for credential in self.wallet.list(&filter)? {
                let lasts = side(&credential, now).is_some()
                    && !matches!(self.status(&credential)?, Status::Revoked | Status::Suspended);
                let count = kept.entry((credential.issuer(), *subject)).or_default();
                *count += if lasts { MAX_KEPT_SIDES } else { 1 };
            }
        }
        Ok(kept.into_iter().filter(|(_, count)| *count >= MAX_KEPT_SIDES).map(|(link, _)| link).collect())
    }

    /// The kept endorsements of a peer, under whatever key, by issuers that are not `named`.
    fn endorsements_by_others(&self, keys: &[Did], named: impl Fn(&Did) -> bool) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for key in keys {
            let filter = CredentialFilter {
                subject: Some(*key),
                kind: Some(CredentialType::PeerEndorsement),
                ..CredentialFilter::default()
            };
            let kept = self.wallet.list(&filter)?;
            found.extend(kept.iter().filter(|kept| !named(&kept.issuer())).map(|kept| kept.id().to_owned()));
        }
        Ok(found)
    }
}

/// Whom a peer shows both sides of a link with, the oldest first: those that are `known` already, and others as long as there is
/// room.
fn linked(keys: &[Did], shown: &[Credential], now: Timestamp, known: &BTreeSet<Did>) -> BTreeSet<Did> {
    let by_node = |credential: &&Credential| keys.contains(&credential.issuer());
    let answered: BTreeSet<Did> = shown
        .iter()
        .filter(by_node)
        .filter_map(|credential| side(credential, now).filter(|side| side.link_type == LinkType::Node))
        .map(|side| side.subject)
        .collect();
    let proves = |credential: &&Credential| {
        side(credential, now).is_some_and(|side| keys.contains(&side.subject) && side.link_type != LinkType::Node)
            && answered.contains(&credential.issuer())
    };
    let mut both: Vec<_> = shown
        .iter()
        .filter(proves)
        .map(|credential| (!known.contains(&credential.issuer()), credential.summary().valid_from, credential.issuer()))
        .collect();
    both.sort();
    let mut room = MAX_SHOWN_LINKS.saturating_sub(known.len());
    let mut found = BTreeSet::new();
    for (new, _, issuer) in both {
        if !found.contains(&issuer) && (!new || room > 0) {
            room = room.saturating_sub(usize::from(new));
            found.insert(issuer);
        }
    }
    found
}
