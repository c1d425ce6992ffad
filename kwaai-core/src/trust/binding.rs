//! The link between a node and its person or organisation.
//!
//! A link is proven by a pair of `BindingVC`s, one from each side, both signed, in force and not withdrawn:
//!
//! | Issuer | Subject | `linkedIdentity` | `linkType` |
//! |---|---|---|---|
//! | the person or organisation | the node | the person or organisation | `PersonBinding`, `OrganisationBinding`, `PasskeyBinding` |
//! | the node | the person or organisation | the node | `NodeBinding` |
//!
//! Each says of its subject: it is linked to me. The issuer's own key is what proves a side, so a `linkedIdentity` that is
//! not the issuer proves nothing, whoever vouches for it; and neither side can claim the other alone. A binding needs no
//! trusted issuer: trust decides what the linked identity's credentials are worth, not whether the link exists.
//!
//! **The score follows the link** from the identity to the node: for the credential part of a node's score, credentials
//! whose subject is its person or organisation count as if they were about the node. Two limits keep that from being
//! multiplied. A node follows one person and one organisation; where it has proven links to several, the oldest. And an
//! identity lends its standing to its [`MAX_NODES_PER_IDENTITY`] oldest nodes, so that one good name is not an army.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use jiff::Timestamp;

use super::TrustGraph;
use super::claims::{BindingClaims, Claims, LinkType};
use super::credential::{Credential, Validity};
use super::score::facts::{FactsTable, Keys};
use super::status_list::{Status, StatusLists};
use crate::identity::Did;
use crate::{Error, Result};

/// The most nodes that one person or organisation lends its standing to.
pub const MAX_NODES_PER_IDENTITY: usize = 8;

/// A link between a node and a person or organisation that both keys prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The node.
    pub node: Did,
    /// The person or organisation.
    pub identity: Did,
    /// What the identity is: never [`LinkType::Node`].
    pub link_type: LinkType,
    /// Since when both sides hold.
    pub since: Timestamp,
}

impl TrustGraph {
    /// Issues this identity's side of a link with `subject`. `link_type` says what this identity is: a node says
    /// [`LinkType::Node`] to its person, a person says [`LinkType::Person`] to a node. The link is proven where both sides
    /// are kept; see [`TrustGraph::bindings`].
    ///
    /// # Errors
    /// `invalid_argument` for a link to itself; as [`TrustGraph::issue`].
    pub async fn issue_binding(
        &self,
        subject: Did,
        link_type: LinkType,
        valid_for: Option<Duration>,
    ) -> Result<Credential> {
        if subject == self.did() {
            return Err(Error::invalid_argument("an identity is not linked to itself"));
        }
        let claims = Claims::Binding(BindingClaims { linked_identity: self.did(), link_type });
        self.issue_claims(subject, claims, valid_for).await
    }

    /// The links of a node, or of a person or organisation, that both keys prove by credentials that this node keeps: oldest
    /// first.
    pub fn bindings(&self, did: &Did) -> Result<Vec<Binding>> {
        self.with_links(|links| links.of(did))
    }

    /// The identities whose credentials count for a node too; see [`Links::followed`].
    pub(super) fn bound_identities(&self, node: &Did) -> Result<Vec<Did>> {
        self.with_links(|links| links.followed(node))
    }

    fn with_links<T>(&self, work: impl FnOnce(&mut Links<'_>) -> Result<T>) -> Result<T> {
        let now = self.clock.now();
        self.store.read(|transaction| {
            let table = self.wallet.facts(transaction)?;
            let mut lists = StatusLists::open(transaction, self.did(), now)?;
            work(&mut Links { table: &table, lists: &mut lists, keys: &mut Keys::default(), now })
        })
    }
}

/// The links as one view of the database shows them at one instant. Proofs were checked when the credentials were kept.
pub(super) struct Links<'view> {
    pub(super) table: &'view FactsTable,
    pub(super) lists: &'view mut StatusLists,
    pub(super) keys: &'view mut Keys,
    pub(super) now: Timestamp,
}

/// One side of a link that holds: who says it, what they are, and since when.
type Held = (Did, LinkType, Timestamp);

impl Links<'_> {
    fn of(&mut self, did: &Did) -> Result<Vec<Binding>> {
        let mut found = Vec::new();
        // Each identity is looked up once, however often it signed.
        let mut answers: BTreeMap<Did, Vec<Held>> = BTreeMap::new();
        for (other, said, since) in self.sides(did)? {
            let answered = match answers.entry(other) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(free) => free.insert(self.sides(&other)?),
            };
            for (_, answered, since_then) in answered.iter().copied().filter(|(from, ..)| from == did) {
                let since = since.max(since_then);
                // Each side names what its issuer is. Two nodes, or two people, make no link.
                match (said, answered) {
                    (LinkType::Node, LinkType::Node) => {}
                    (LinkType::Node, kind) => {
                        found.push(Binding { node: other, identity: *did, link_type: kind, since });
                    }
                    (kind, LinkType::Node) => {
                        found.push(Binding { node: *did, identity: other, link_type: kind, since });
                    }
                    _ => {}
                }
            }
        }
        // Of several credentials for one link the oldest pair counts.
        found.sort_by_key(|link| (link.node, link.identity, link.link_type, link.since));
        found.dedup_by_key(|link| (link.node, link.identity, link.link_type));
        found.sort_by_key(|link| (link.since, link.node, link.identity, link.link_type));
        Ok(found)
    }

    /// The identities whose credentials count for a node too: at most one person and one organisation.
    pub(super) fn followed(&mut self, node: &Did) -> Result<Vec<Did>> {
        let mut followed = Vec::new();
        let links: Vec<Binding> = self.of(node)?.into_iter().filter(|link| link.node == *node).collect();
        let organisation = |link: &&Binding| link.link_type == LinkType::Organisation;
        let person = |link: &&Binding| link.link_type != LinkType::Organisation;
        for link in [links.iter().find(person), links.iter().find(organisation)].into_iter().flatten() {
            let mut nodes: Vec<Did> = Vec::new();
            for other in self.of(&link.identity)?.into_iter().filter(|other| other.identity == link.identity) {
                if !nodes.contains(&other.node) {
                    nodes.push(other.node);
                }
            }
            if nodes.iter().take(MAX_NODES_PER_IDENTITY).any(|lent| lent == node) && !followed.contains(&link.identity)
            {
                followed.push(link.identity);
            }
        }
        Ok(followed)
    }

    /// Who says that `subject` is linked to them. What may have been withdrawn unseen is not followed.
    fn sides(&mut self, subject: &Did) -> Result<Vec<Held>> {
        let mut sides = Vec::new();
        for facts in self.table.about(subject.public_key())? {
            let (Some(link), Some(since)) = (facts.link, facts.valid_from) else { continue };
            let expired = facts.proof_until.is_some_and(|until| until <= self.now);
            if expired || facts.validity(self.now) != Validity::InForce {
                continue;
            }
            let issuer = self.keys.did(&facts.issuer)?;
            let stands = match (facts.revocable, facts.status.is_empty()) {
                (false, _) => true,
                (true, true) => false,
                (true, false) => matches!(self.lists.status(&issuer, &facts.status)?, Status::Clear { .. }),
            };
            if stands {
                sides.push((issuer, link, since));
            }
        }
        Ok(sides)
    }
}

/// What the issuer of a credential is to its subject, where the credential is one side of a link.
pub(super) fn link_type(credential: &Credential) -> Option<LinkType> {
    let Ok(Some(Claims::Binding(claims))) = Claims::read(credential) else { return None };
    let issuer = credential.issuer();
    (claims.linked_identity == issuer && credential.subject().is_some_and(|subject| subject != issuer))
        .then_some(claims.link_type)
}

/// One side of a link, as its credential says it.
pub(super) struct Side {
    pub(super) subject: Did,
    /// What the issuer is.
    pub(super) link_type: LinkType,
}

/// The side of a link that a credential is while it is in force; its proof and its status are not looked at.
pub(super) fn side(credential: &Credential, now: Timestamp) -> Option<Side> {
    let (subject, link_type) = (credential.subject()?, link_type(credential)?);
    let summary = credential.summary();
    (summary.valid_from.is_some() && summary.validity(now) == Validity::InForce).then_some(Side { subject, link_type })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ErrorCode;
    use crate::clock::{Clock, ManualClock};
    use crate::identity::Keypair;
    use crate::store::Store;
    use crate::trust::{CredentialType, proof};

    const NODE: u8 = 3;
    const PERSON: u8 = 4;
    const DAY: Duration = Duration::from_secs(86_400);

    struct World {
        clock: ManualClock,
        reader: TrustGraph,
    }

    impl World {
        fn new() -> World {
            let clock: ManualClock = "2026-06-01T00:00:00Z".parse().unwrap();
            World { reader: graph(1, &clock), clock }
        }

        /// The side of `from` in a link with `to`, kept by the reader.
        async fn say(&self, from: u8, to: u8, link_type: LinkType) -> String {
            let credential = graph(from, &self.clock).issue_binding(did(to), link_type, Some(DAY)).await.unwrap();
            self.reader.import_credential(&credential.to_json()).await.unwrap().id
        }

        async fn link(&self, node: u8, identity: u8, link_type: LinkType) {
            self.say(identity, node, link_type).await;
            self.say(node, identity, LinkType::Node).await;
        }

        fn bound(&self, node: u8) -> Vec<Did> {
            self.reader.bound_identities(&did(node)).unwrap()
        }
    }

    fn graph(seed: u8, clock: &ManualClock) -> TrustGraph {
        let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
        TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock.clone())).unwrap()
    }

    fn did(seed: u8) -> Did {
        Keypair::from_seed([seed; 32]).did().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_link_is_proven_by_both_keys_and_by_neither_alone() {
        let world = World::new();
        world.say(PERSON, NODE, LinkType::Person).await;
        assert!(world.reader.bindings(&did(NODE)).unwrap().is_empty(), "a person claims a node");
        world.clock.advance(Duration::from_secs(60));
        let answer = world.say(NODE, PERSON, LinkType::Node).await;
        let since = "2026-06-01T00:01:00Z".parse().unwrap();
        let link = Binding { node: did(NODE), identity: did(PERSON), link_type: LinkType::Person, since };
        assert_eq!(world.reader.bindings(&did(NODE)).unwrap(), std::slice::from_ref(&link));
        assert_eq!(world.reader.bindings(&did(PERSON)).unwrap(), [link], "seen from either end");
        assert_eq!((world.bound(NODE), world.bound(PERSON)), (vec![did(PERSON)], vec![]), "it leads one way");
        world.reader.remove_credential(&answer).unwrap();
        assert!(world.bound(NODE).is_empty());
        let itself = graph(NODE, &world.clock).issue_binding(did(NODE), LinkType::Person, None).await;
        assert_eq!(itself.unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_nodes_or_two_people_make_no_link() {
        let world = World::new();
        world.link(NODE, PERSON, LinkType::Node).await;
        world.say(5, 6, LinkType::Person).await;
        world.say(6, 5, LinkType::Person).await;
        for seed in [NODE, PERSON, 5, 6] {
            assert!(world.reader.bindings(&did(seed)).unwrap().is_empty(), "{seed}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_identity_that_somebody_else_vouches_for_is_not_linked() {
        let world = World::new();
        world.say(NODE, PERSON, LinkType::Node).await;
        let claims = Claims::Binding(BindingClaims { linked_identity: did(PERSON), link_type: LinkType::Person });
        let server = graph(9, &world.clock).issue_claims(did(NODE), claims, None).await.unwrap();
        world.reader.trust_issuer(did(9), &CredentialType::ALL).unwrap();
        world.reader.import_credential(&server.to_json()).await.unwrap();
        assert!(world.reader.bindings(&did(NODE)).unwrap().is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_link_ends_with_either_side() {
        let world = World::new();
        world.link(NODE, PERSON, LinkType::Organisation).await;
        assert_eq!(world.bound(NODE), [did(PERSON)]);
        world.clock.advance(DAY + Duration::from_secs(1));
        assert!(world.bound(NODE).is_empty(), "both have expired");

        let person = graph(PERSON, &world.clock);
        let claims = Claims::Binding(BindingClaims { linked_identity: did(PERSON), link_type: LinkType::Person });
        let side = person.issue_revocable(CredentialType::Binding, did(NODE), claims.to_map(), None).await.unwrap();
        person.import_credential(&side.to_json()).await.unwrap();
        let answer = graph(NODE, &world.clock).issue_binding(did(PERSON), LinkType::Node, None).await.unwrap();
        person.import_credential(&answer.to_json()).await.unwrap();
        assert_eq!(person.bound_identities(&did(NODE)).unwrap(), [did(PERSON)]);
        person.revoke(side.id()).unwrap();
        assert!(person.bound_identities(&did(NODE)).unwrap().is_empty(), "one was revoked");
        world.reader.import_credential(&side.to_json()).await.unwrap();
        world.reader.import_credential(&answer.to_json()).await.unwrap();
        assert!(world.bound(NODE).is_empty(), "what may be revoked unseen is not followed");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_follows_one_person_and_one_organisation_the_oldest() {
        let world = World::new();
        for (identity, link_type) in
            [(5, LinkType::Person), (6, LinkType::Passkey), (7, LinkType::Organisation), (8, LinkType::Organisation)]
        {
            world.link(NODE, identity, link_type).await;
            world.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(world.reader.bindings(&did(NODE)).unwrap().len(), 4);
        assert_eq!(world.bound(NODE), [did(5), did(7)]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_identity_lends_its_standing_to_its_oldest_nodes_alone() {
        let world = World::new();
        let nodes: Vec<u8> = (20..).take(MAX_NODES_PER_IDENTITY + 1).collect();
        for node in &nodes {
            world.link(*node, PERSON, LinkType::Person).await;
            world.clock.advance(Duration::from_secs(1));
        }
        let (last, oldest) = nodes.split_last().unwrap();
        for node in oldest {
            assert_eq!(world.bound(*node), [did(PERSON)], "{node}");
        }
        assert!(world.bound(*last).is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_score_follows_the_link_and_what_the_circle_says_of_itself_does_not_count() {
        let world = World::new();
        let issuer = graph(9, &world.clock);
        world.reader.trust_issuer(did(9), &[CredentialType::FiduciaryPledge]).unwrap();
        world.reader.trust_issuer(did(NODE), &[CredentialType::VerifiedNode]).unwrap();
        for (from, kind) in
            [(&issuer, CredentialType::FiduciaryPledge), (&graph(NODE, &world.clock), CredentialType::VerifiedNode)]
        {
            let credential = from.issue(kind, did(PERSON), serde_json::Map::new(), None).await.unwrap();
            world.reader.import_credential(&credential.to_json()).await.unwrap();
        }
        let score = |seed| world.reader.score(&did(seed)).unwrap();
        assert_eq!((score(NODE).value, score(PERSON).value), (0.0, 0.5));
        world.link(NODE, PERSON, LinkType::Person).await;
        assert_eq!(score(NODE).value, 0.3, "the pledge of its person, without its own word for them: {}", score(NODE));
        assert_eq!(score(PERSON).value, 0.5, "the link does not lead back");
        let own = score(NODE).reasons.into_iter().find(|reason| reason.kind == Some(CredentialType::VerifiedNode));
        assert_eq!(own.unwrap().why, "the peer issued it");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_side_that_was_tampered_with_is_not_kept_at_all() {
        let world = World::new();
        let side = graph(PERSON, &world.clock).issue_binding(did(NODE), LinkType::Person, None).await.unwrap();
        let mut document = side.document().clone();
        document.remove("proof");
        document.remove("id");
        let stranger = Keypair::from_seed([9; 32]).signer().unwrap();
        let forged = proof::sign(&document, &*stranger, world.clock.now()).await.unwrap();
        let refused = world.reader.import_credential(&serde_json::Value::Object(forged).to_string()).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::CorruptData);
    }
}
