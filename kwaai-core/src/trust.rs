//! Who may do what: credentials, scores, tiers and the policy that turns them into permission.
//!
//! A [`TrustGraph`] keeps credentials that others signed, the issuers that this node trusts, and the minimum tier of
//! each purpose. Nobody is trusted at first: a score rises above zero only once this node trusts an issuer and holds one
//! of its credentials.

mod askers;
mod attestation;
mod binding;
mod claim_test;
mod claims;
mod credential;
mod dtg;
mod endorsement;
mod exchange;
mod experience;
mod issuer;
pub mod json;
mod legacy;
mod pledge;
mod policy;
mod presentation;
pub mod proof;
pub mod propagation;
mod query;
mod reputation;
mod rule;
mod score;
mod shown;
mod sighting;
pub(crate) mod statement;
mod status_list;
mod succession;
mod threshold;
mod wallet;
mod word;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libp2p::PeerId;
use redb::{ReadTransaction, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::blocking::blocking;
use crate::clock::{Clock, SystemClock};
use crate::identity::{Did, Keypair, Signer};
use crate::store::{Store, existing};
use crate::{Error, Result};
pub(crate) use claim_test::check_tolerance;
use reputation::Ledger;
use wallet::Wallet;

pub use askers::{Askers, QUESTIONS_PER_HOUR};
pub use attestation::{
    Attestation, CredentialDigest, LegacyAttestation, MAX_ANNOUNCED, MAX_ATTESTATIONS, read_attestations,
};
pub use binding::{Binding, MAX_NODES_PER_IDENTITY};
pub use claim_test::{
    ClaimTest, DEFAULT_TOLERANCE, MAX_PROBE_BYTES, MAX_TESTS, Measurement, PROBE_LIFETIME, Probe, Verdict,
};
pub use claims::{
    AttendeeClaims, BindingClaims, Claims, EndorsementClaims, LinkType, MAX_CHECKS, MAX_CLAIM_TEXT, PledgeClaims,
    ThroughputClaims, UptimeClaims, VerifiedNodeClaims, Window,
};
pub use credential::{CREDENTIALS_V1, CREDENTIALS_V2, Credential, CredentialSummary, CredentialType, Validity};
pub use dtg::{DTG_CONTEXT, DtgCredential, DtgShape};
pub use endorsement::{ENDORSEMENT_BUDGET, MAX_ENDORSED, answer_for, endorsed_score, worth};
pub use exchange::STATEMENT_LIFETIME;
pub use experience::{EXPERIENCE_HALF_LIFE_DAYS, Evidence, Experience, Observation, Outcome};
pub use issuer::{IssuerPreset, TrustedIssuer};
pub use legacy::{LegacyCredential, LegacyProof, MAX_LEGACY_BYTES, MAX_ORDERED_CLAIMS, Reissue};
pub use pledge::{PLEDGE_NAME, PLEDGE_REQUEST_LIFETIME, Pledge, PledgeRequest, PledgeWithdrawal};
pub use policy::{Gate, Minimum, Points, Policy, Purpose, Tier};
pub use presentation::{
    MAX_PRESENTATION_BYTES, MAX_PRESENTED, PRESENTATION_LIFETIME, VerifiablePresentation, VerifiedPresentation,
    verify_presentation,
};
pub use query::{Disclosure, Disclosures, MAX_STATEMENT_BYTES, TrustAnswer, TrustQuestion, TrustStatement};
pub use reputation::{
    DEFAULT_ALPHA, FLUSH_AFTER, FLUSH_COUNT, GlobalTrust, MAX_EXPERIENCED, MAX_PER_RECOMMENDER, MAX_RECOMMENDATIONS,
    MIN_ALPHA, Recommendation, Reputation,
};
pub use rule::Rule;
pub use score::{Blend, HYSTERESIS, PRIOR_ANSWERS, Reason, Score, ScoreParts, WARNING, blend, formula};
pub use shown::MAX_SHOWN_ENDORSEMENTS;
pub use sighting::{MAX_SIGHTING_DAYS, Sightings};
pub use status_list::{
    Bitstring, DEFAULT_TTL, KeptStatusList, MAX_STATUS_LIST_BYTES, MIN_STATUS_ENTRIES, Status, StatusListUrl,
    StatusPurpose, UNKNOWN_STATUS_SHARE, WantedStatusList,
};
pub use threshold::Thresholds;
pub use wallet::{CredentialFilter, ImportedBundle, MAX_BUNDLE_BYTES, MAX_PASSPHRASE, MAX_PER_SUBJECT, WalletState};
pub use word::{MAX_WORD_BYTES, MAX_WORD_REQUEST_BYTES, Seen, TakenWord, TrustWord, WordRequest};

/// Issuer → the names of the types it is trusted for, as a JSON array.
const ISSUERS: TableDefinition<&str, &str> = TableDefinition::new("trust.issuers");

/// Name of a setting → its value as JSON.
const SETTINGS: TableDefinition<&str, &str> = TableDefinition::new("trust.settings");
const POLICY: &str = "policy";

/// The name of the key file in the directory of a trust graph.
pub const KEY_FILE: &str = "identity.key";

/// What this node knows about the trustworthiness of others. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct TrustGraph {
    store: Store,
    wallet: Wallet,
    ledger: Arc<Ledger>,
    signer: Arc<dyn Signer>,
    clock: Arc<dyn Clock>,
}

impl TrustGraph {
    /// The trust graph in a node's database, signing with the node's key.
    ///
    /// # Errors
    /// `corrupt_data` when the stored policy or issuers cannot be read.
    pub fn open(store: Store, signer: Arc<dyn Signer>, clock: Arc<dyn Clock>) -> Result<TrustGraph> {
        let ledger = store.shared(|| Ledger::open(store.clone()))?;
        let graph = TrustGraph { wallet: Wallet::new(store.clone())?, ledger, store, signer, clock };
        graph.policy()?;
        graph.issuers()?;
        graph.wallet.complete_facts(graph.clock.now())?;
        Ok(graph)
    }

    /// A trust graph alone, without a network, in a directory that is made when it is missing. Its key is the directory's
    /// `identity.key`, which is made when it is missing too.
    ///
    /// # Errors
    /// `busy` when the directory is in use; `corrupt_data` when its database or key is damaged; `unsupported` when its
    /// key is not Ed25519 or a newer version wrote it.
    pub fn open_dir(dir: &Path) -> Result<TrustGraph> {
        let store = Store::open(dir)?;
        let signer = Keypair::load_or_generate(&dir.join(KEY_FILE))?.signer()?;
        TrustGraph::open(store, signer, Arc::new(SystemClock))
    }

    /// This node's identity: the issuer of what it issues.
    pub fn did(&self) -> Did {
        self.signer.did()
    }

    /// What signs for this node, for the rooms that make statements of their own.
    pub(crate) fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// Issues a credential about `subject`, signed by this node and valid from now on. `valid_for` is cut to whole seconds;
    /// without it the type's [default](CredentialType::default_lifetime) holds. The credential is returned and not
    /// kept: give it to its subject, or import it here.
    ///
    /// # Errors
    /// `invalid_argument` when a claim is called `id` or begins with `@`, or an integer in it lies beyond 2^53;
    /// `resource_exhausted` when the claims are too long or nested too deeply; what the signer answers.
    pub async fn issue(
        &self,
        kind: CredentialType,
        subject: Did,
        claims: Map<String, Value>,
        valid_for: Option<Duration>,
    ) -> Result<Credential> {
        Credential::issue(&*self.signer, kind, subject, claims, valid_for, None, self.clock.now()).await
    }

    /// Reads a credential and checks its form and its proof; see [`Credential::verify`].
    pub fn verify(&self, json: &str) -> Result<Credential> {
        Credential::verify(json, self.clock.now())
    }

    /// Verifies a credential, then keeps it. Importing it again changes nothing; the same content under another proof
    /// replaces the kept one when it holds longer, or as long and was made later by its issuer, or has all the proofs of the
    /// other and more.
    ///
    /// # Errors
    /// As [`TrustGraph::verify`]; `resource_exhausted` when [`MAX_PER_SUBJECT`] credentials about its subject are kept, none of which
    /// ended or was renewed;
    /// `invalid_argument` with the rule `withdrawn` for a pledge that its subject [withdrew](PledgeWithdrawal).
    pub async fn import_credential(&self, json: &str) -> Result<CredentialSummary> {
        let (graph, text) = (self.clone(), json.to_owned());
        let credential = blocking(move || graph.verify(&text)).await?;
        self.wallet.keep(&credential, self.clock.now()).await?;
        Ok(credential.summary().clone())
    }

    /// The credentials that this node keeps and that fit the filter, in the order of their identifiers.
    pub fn credentials(&self, filter: &CredentialFilter) -> Result<Vec<CredentialSummary>> {
        Ok(self.wallet.list(filter)?.iter().map(|credential| credential.summary().clone()).collect())
    }

    /// One kept credential with its claims and its proof.
    ///
    /// # Errors
    /// `not_found` when this node keeps none with this identifier.
    pub fn credential(&self, id: &str) -> Result<Credential> {
        self.wallet.get(id)
    }

    /// Forgets a credential.
    ///
    /// # Errors
    /// `not_found` when this node keeps none with this identifier.
    pub fn remove_credential(&self, id: &str) -> Result<()> {
        self.wallet.remove(id)
    }

    /// The issuers that this node trusts, in the order of their DIDs' text. None at first.
    pub fn issuers(&self) -> Result<Vec<TrustedIssuer>> {
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(ISSUERS))? else { return Ok(Vec::new()) };
            table
                .iter()?
                .map(|entry| {
                    let (did, types) = entry?;
                    let did = did.value().parse().map_err(|error| damaged("an issuer", error))?;
                    Ok(TrustedIssuer { did, types: decode("an issuer", types.value())? })
                })
                .collect()
        })
    }

    /// Trusts an issuer for exactly these types from now on, whatever it was trusted for before.
    ///
    /// # Errors
    /// `invalid_argument` without a type: to end the trust, call [`distrust_issuer`](TrustGraph::distrust_issuer).
    pub fn trust_issuer(&self, did: Did, types: &[CredentialType]) -> Result<()> {
        if types.is_empty() {
            return Err(Error::invalid_argument("an issuer is trusted for at least one type")
                .with_remedy("name the types, or distrust the issuer"));
        }
        let wanted: Vec<CredentialType> = CredentialType::ALL.into_iter().filter(|kind| types.contains(kind)).collect();
        let text = encode(&wanted)?;
        self.store.write(|transaction| {
            transaction.open_table(ISSUERS)?.insert(did.to_string().as_str(), text.as_str())?;
            Ok(())
        })
    }

    /// Trusts the issuer that KwaaiNet names for a role, for the types of that role.
    ///
    /// # Errors
    /// `unsupported` as long as the role has published no DID; see [`IssuerPreset::did`].
    pub fn trust_preset(&self, preset: IssuerPreset) -> Result<()> {
        self.trust_issuer(preset.did()?, preset.types())
    }

    /// Trusts an issuer no longer. Its credentials are kept, and count no more.
    ///
    /// # Errors
    /// `not_found` when this node did not trust it.
    pub fn distrust_issuer(&self, did: &Did) -> Result<()> {
        self.store.write(|transaction| match transaction.open_table(ISSUERS)?.remove(did.to_string().as_str())? {
            Some(_) => Ok(()),
            None => Err(Error::not_found(format!("this node does not trust {did} as an issuer"))),
        })
    }

    /// How far this node trusts a peer, with the arithmetic of every credential that it keeps about it, and about the
    /// person and the organisation that it is [linked](TrustGraph::bindings) to, of its own experience and of what others
    /// say. A node scores itself by the same rules.
    ///
    /// # Errors
    /// `permission_denied` when the wallet is locked.
    pub fn score(&self, peer: &Did) -> Result<Score> {
        let mut scores = self.scores(std::slice::from_ref(peer))?;
        scores.pop().ok_or_else(|| Error::internal("a peer has no score"))
    }

    /// The minimum of each purpose.
    pub fn policy(&self) -> Result<Policy> {
        self.store.read(|transaction| Ok(setting(transaction, POLICY)?.unwrap_or_default()))
    }

    /// Replaces the minimum of each purpose, durably.
    pub fn set_policy(&self, policy: Policy) -> Result<()> {
        let text = encode(&policy)?;
        self.store.write(|transaction| {
            transaction.open_table(SETTINGS)?.insert(POLICY, text.as_str())?;
            Ok(())
        })
    }

    /// Checks, before this node uses a peer, that it is trusted enough.
    ///
    /// # Errors
    /// `untrusted_peer` with the peer's `tier` and `score`, and what the purpose asks for as `needed`.
    pub fn require(&self, peer: &Did, purpose: Purpose) -> Result<()> {
        self.require_also(peer, purpose, None)
    }

    /// [`require`](Self::require), and that the peer reaches another minimum as well.
    ///
    /// # Errors
    /// As there; `needed` is the minimum that it does not reach.
    pub fn require_also(&self, peer: &Did, purpose: Purpose, also: Option<Minimum>) -> Result<()> {
        self.check(Some(peer), purpose, also)?.map_or(Ok(()), |shortfall| {
            let Shortfall { held, score, needed } = shortfall;
            Err(Error::untrusted_peer(format!("{peer} is {held} ({score:.4}), {purpose} asks for {needed}"))
                .with("peer", peer)
                .with("tier", held)
                .with("score", score)
                .with("needed", needed)
                .with("purpose", purpose)
                .with_remedy("import credentials about it, trust their issuers, or lower the minimum tier"))
        })
    }

    fn check(&self, peer: Option<&Did>, purpose: Purpose, also: Option<Minimum>) -> Result<Option<Shortfall>> {
        let minima = [Some(self.policy()?.minimum(purpose)), also].into_iter().flatten();
        let mut minima = minima.filter(|needed| !needed.is_open()).peekable();
        if minima.peek().is_none() {
            return Ok(None);
        }
        let score = peer.map(|peer| self.score(peer)).transpose()?;
        let missed = minima.find(|needed| !score.as_ref().is_some_and(|score| needed.is_met_by(score)));
        Ok(missed.map(|needed| match score {
            Some(score) => Shortfall { held: score.tier, score: score.value, needed },
            None => Shortfall { held: Tier::Unknown, score: 0.0, needed },
        }))
    }

    fn trusted_types(&self) -> Result<BTreeMap<Did, Vec<CredentialType>>> {
        Ok(self.issuers()?.into_iter().map(|issuer| (issuer.did, issuer.types)).collect())
    }
}

/// Where a peer stands, and the more that a purpose asks for.
struct Shortfall {
    held: Tier,
    score: f64,
    needed: Minimum,
}

#[async_trait]
impl Gate for TrustGraph {
    /// Lets a caller in that reaches the minimum. A caller whose PeerId carries no key, as those of RSA keys, cannot be
    /// the subject of a credential and is unknown.
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()> {
        if self.policy()?.minimum(purpose).is_open() {
            return Ok(());
        }
        let (graph, did) = (self.clone(), Did::from_peer_id(&caller).ok());
        // A score reads the database, and may wait for one that is being written down.
        let shortfall = blocking(move || graph.check(did.as_ref(), purpose, None)).await?;
        shortfall.map_or(Ok(()), |shortfall| {
            Err(Error::permission_denied(format!(
                "{purpose} asks for {}; the caller is {}",
                shortfall.needed, shortfall.held
            ))
            .with("tier", shortfall.held)
            .with("needed", shortfall.needed)
            .with("purpose", purpose)
            .with_remedy("present credentials from issuers that this node trusts"))
        })
    }
}

fn trusts(trusted: &BTreeMap<Did, Vec<CredentialType>>, issuer: &Did, kind: CredentialType) -> bool {
    trusted.get(issuer).is_some_and(|types| types.contains(&kind))
}

fn setting<T: DeserializeOwned>(transaction: &ReadTransaction, name: &str) -> Result<Option<T>> {
    let Some(table) = existing(transaction.open_table(SETTINGS))? else { return Ok(None) };
    table.get(name)?.map(|text| decode(name, text.value())).transpose()
}

fn encode(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal("a setting cannot be written").with_source(error))
}

fn decode<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| damaged(what, error))
}

fn damaged(what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::corrupt_data(format!("the stored trust settings are damaged: {what} cannot be read"))
        .with_remedy("restore the data directory from a backup")
        .with_source(error)
}
