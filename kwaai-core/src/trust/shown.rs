//! The credentials that nodes show each other about themselves, and what is kept of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::binding::side;
use super::claims::LinkType;
use super::credential::{Credential, CredentialSummary, CredentialType, Validity};
use super::status_list::Status;
use super::succession::Successions;
use super::{CredentialFilter, MAX_PER_SUBJECT, TrustGraph, trusts};
use crate::Result;
use crate::blocking::blocking;
use crate::identity::Did;

/// So many endorsements of a peer by issuers that this node does not name are kept of what it shows.
pub const MAX_SHOWN_ENDORSEMENTS: usize = 16;

/// So many of the identities that a peer shows a link with are followed: its person and its organisation, and the next ones while
/// these change.
const MAX_SHOWN_LINKS: usize = 4;

/// So many credentials of one issuer are kept for one side of a link, those included that were withdrawn.
const MAX_KEPT_SIDES: usize = 4;

/// So many sides of links are read of what a peer shows.
const MAX_READ_SIDES: usize = 32;

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
    /// or an organisation of whom a trusted issuer says something, with that, or to any where the peer is Known itself. The others
    /// are passed over, because a peer may show anything to anybody, and keys cost nothing; and so is everything under a key that
    /// was replaced.
    ///
    /// # Errors
    /// Only failures of this node itself, such as a full disk.
    pub async fn import_presented(&self, peer: &Did, presented: &[String]) -> Result<Vec<CredentialSummary>> {
        let (graph, peer) = (self.clone(), *peer);
        let presented: Vec<String> = presented.iter().take(2 * MAX_PER_SUBJECT).cloned().collect();
        let fitting = blocking(move || graph.fitting(&peer, &presented)).await?;
        let mut kept: Vec<Option<CredentialSummary>> = fitting.iter().map(|one| Some(one.summary().clone())).collect();
        for (place, _) in self.wallet.keep_fitting(fitting, self.clock.now()).await? {
            kept[place] = None;
        }
        Ok(kept.into_iter().flatten().collect())
    }

    /// Those of the presented credentials that hold and can count.
    fn fitting(&self, peer: &Did, presented: &[String]) -> Result<Vec<Credential>> {
        let (trusted, now) = (self.trusted_types()?, self.clock.now());
        let keys = self.store.read(|transaction| Successions::open(transaction)?.held_by(peer))?;
        let mut sound = self.sound(presented, &keys, &trusted)?;
        let mut links = self.links_of(&keys, now)?;
        let known: BTreeSet<Did> = links.iter().map(|(issuer, _)| *issuer).filter(|did| !keys.contains(did)).collect();
        let mut linked = linked(&keys, &sound, now, &known);
        // Of a peer that is Known by itself a link tells who is behind it, also where it lends nothing.
        if self.known(BTreeSet::from([*peer]))?.is_empty() {
            self.retain_vouched(&mut linked, &sound, &trusted)?;
        }
        for identity in &linked {
            links.extend(self.links_of(&[*identity], now)?.into_iter().filter(|(issuer, _)| keys.contains(issuer)));
        }
        let mut endorsers =
            self.endorsers(&keys, |issuer| trusts(&trusted, issuer, CredentialType::PeerEndorsement), now)?;
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
                    endorsers.contains(&issuer)
                        || (endorsers.len() < MAX_SHOWN_ENDORSEMENTS && endorsers.insert(issuer))
                }
                _ => by_trusted && (keys.contains(&subject) || linked.contains(&subject)),
            }
        });
        Ok(sound)
    }

    /// Those of the presented credentials whose proofs hold. What could not count whatever its proof says is passed over before that,
    /// because a proof takes long to check and a stranger shows what it likes.
    fn sound(
        &self,
        presented: &[String],
        keys: &[Did],
        trusted: &BTreeMap<Did, Vec<CredentialType>>,
    ) -> Result<Vec<Credential>> {
        let mut read: Vec<(CredentialType, Did, Credential)> = Vec::new();
        for text in presented {
            if let Ok(credential) = Credential::parse(text)
                && let (Some(kind), Some(subject)) = (credential.kind(), credential.subject())
                && !self.is_withdrawn(credential.id())?
            {
                read.push((kind, subject, credential));
            }
        }
        let endorsement = |(kind, subject, _): &(CredentialType, Did, Credential)| {
            *kind == CredentialType::PeerEndorsement && keys.contains(subject)
        };
        let known = self.known(read.iter().filter(|one| endorsement(one)).map(|(.., one)| one.issuer()).collect())?;
        let mut links = 0;
        read.retain(|one| {
            let (kind, subject, credential) = one;
            let issuer = credential.issuer();
            match kind {
                CredentialType::Binding => {
                    links += 1;
                    (keys.contains(subject) || keys.contains(&issuer)) && links <= MAX_READ_SIDES
                }
                _ if trusts(trusted, &issuer, *kind) => true,
                _ => endorsement(one) && known.contains(&issuer),
            }
        });
        let now = self.clock.now();
        Ok(read.into_iter().filter_map(|(.., credential)| credential.verified(now).ok()).collect())
    }

    /// Leaves those identities of whom a trusted issuer says something that counts, among what is shown or what is kept.
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
                // What ended makes room by itself.
                if credential.summary().validity(now) == Validity::Expired {
                    continue;
                }
                let lasts = side(&credential, now).is_some()
                    && !matches!(self.status(&credential)?, Status::Revoked | Status::Suspended);
                let count = kept.entry((credential.issuer(), *subject)).or_default();
                *count += if lasts { MAX_KEPT_SIDES } else { 1 };
            }
        }
        Ok(kept.into_iter().filter(|(_, count)| *count >= MAX_KEPT_SIDES).map(|(link, _)| link).collect())
    }

    /// Whose endorsements of a peer, under whatever key, are kept and in force, those who are `named` left out.
    fn endorsers(&self, keys: &[Did], named: impl Fn(&Did) -> bool, now: Timestamp) -> Result<BTreeSet<Did>> {
        let mut found = BTreeSet::new();
        for key in keys {
            let filter = CredentialFilter {
                subject: Some(*key),
                kind: Some(CredentialType::PeerEndorsement),
                ..CredentialFilter::default()
            };
            let kept = self.wallet.list(&filter)?.into_iter();
            let holds = kept.filter(|kept| kept.summary().validity(now) == Validity::InForce);
            found.extend(holds.map(|kept| kept.issuer()).filter(|issuer| !named(issuer)));
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
