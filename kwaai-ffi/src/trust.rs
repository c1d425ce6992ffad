//! Who may do what, as an object.

mod binding;
mod claim_test;
mod dtg;
mod legacy;
mod pledge;
mod presentation;
mod propagation;
mod query;
mod reputation;
mod sighting;
mod status;
mod threshold;
mod wallet;
mod word;

use std::collections::BTreeMap;
use std::fmt;

use kwaai_core::Error;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{self, CredentialFilter, CredentialType, KEY_FILE, Policy, Purpose};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use binding::IdentityBinding;
pub use claim_test::{ClaimTest, TestOptions};
pub use dtg::DtgCredential;
pub use legacy::LegacyCredential;
pub use pledge::PledgeWithdrawal;
pub use presentation::VerifiedPresentation;
pub use propagation::{GlobalTrust, Propagation};
pub use query::TrustStatement;
pub use reputation::{Measured, Reputation};
pub use sighting::{Rate, Sightings};
pub use status::{KeptStatusList, Status, StatusRefresh, WantedStatusList};
pub use wallet::{ImportedCredentials, RefusedCredential};
pub use word::TakenWord;

use crate::clock::{SetClock, check_seed, seeded};
use crate::handle::Handle;
use crate::provide::Signer;
use crate::{CancelToken, Result, rt, validate};

/// Credentials, trusted issuers, scores and minimum tiers.
pub struct TrustGraph {
    handle: Handle<trust::TrustGraph>,
    did: String,
    clock: SetClock,
    /// Whether it belongs to a node, and so ends with that.
    of_node: bool,
}

/// How a trust graph is opened; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustOptions {
    /// Where it is kept; in memory unless set.
    pub dir: Option<String>,
    /// For tests: the identity is made from this number, and is no secret. Only in memory.
    pub seed: Option<u64>,
    /// For tests: a clock that stands at this instant, RFC 3339, until [`TrustGraph::advance_clock`] moves it.
    pub clock: Option<String>,
}

/// What a credential says, without claims and proof.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct CredentialSummary {
    /// Its identifier, made from its content.
    pub id: String,
    /// KwaaiNet's type, when it has one.
    pub r#type: Option<String>,
    /// Every type that it names.
    pub types: Vec<String>,
    /// The DID of who signed it.
    pub issuer: String,
    /// The DID of whom it is about.
    pub subject: Option<String>,
    /// From when on it holds, RFC 3339.
    pub valid_from: Option<String>,
    /// Until when it holds, RFC 3339.
    pub valid_until: Option<String>,
}

/// A whole credential.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Credential {
    /// What it says in short.
    #[serde(flatten)]
    pub summary: CredentialSummary,
    /// What it says about its subject.
    pub claims: Map<String, Value>,
    /// The signed document as text, to be given to others.
    pub json: String,
}

/// How far a peer is trusted.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Score {
    /// From 0 to 1.
    pub value: f64,
    /// `unknown`, `known`, `verified` or `trusted`.
    pub tier: String,
    /// The arithmetic, a line for each credential about the peer.
    pub reasons: Vec<Reason>,
}

/// What one credential adds to a score, or why it adds nothing.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Reason {
    /// The credential's identifier.
    pub credential_id: String,
    /// KwaaiNet's type, when it has one.
    pub r#type: Option<String>,
    /// Who signed it.
    pub issuer: String,
    /// The weight of its type.
    pub weight: f64,
    /// Its age in whole days.
    pub age_days: u64,
    /// 0.5^(age_days / 365).
    pub factor: f64,
    /// weight × factor.
    pub contribution: f64,
    /// Whether it counts.
    pub counted: bool,
    /// Why it counts or does not.
    pub why: String,
}

/// An issuer that this node trusts, and for what.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct TrustedIssuer {
    /// The issuer.
    pub did: String,
    /// The types for which its credentials count.
    pub types: Vec<String>,
}

/// The least that a purpose asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(untagged)]
pub enum Minimum {
    /// At least the tier of this name.
    Tier(String),
    /// At least this score, from 0 to 1.
    Score(f64),
}

/// Which credentials are wanted; every part may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// About this subject, a DID or a PeerId.
    pub subject: Option<String>,
    /// From this issuer.
    pub issuer: Option<String>,
    /// Of this type.
    pub r#type: Option<String>,
}

impl TrustGraph {
    /// The facet of a node.
    pub(crate) fn of_node(graph: trust::TrustGraph, clock: SetClock) -> TrustGraph {
        TrustGraph::over(graph, clock, true)
    }

    fn over(graph: trust::TrustGraph, clock: SetClock, of_node: bool) -> TrustGraph {
        let did = graph.did().to_string();
        TrustGraph { handle: Handle::new("trust graph", graph), did, clock, of_node }
    }

    /// Lets go of the graph when its node ends.
    pub(crate) fn close(&self) {
        self.handle.close();
    }

    /// A trust graph alone, without a network: in a directory, or without one in memory. It signs with the key of its
    /// directory, with a new one in memory, or through a signer of the app.
    pub async fn open(options: TrustOptions, signer: Option<Signer>, cancel: CancelToken) -> Result<TrustGraph> {
        let dir = options.dir.map(|dir| validate::path("directory", &dir)).transpose()?;
        check_seed(options.seed, dir.is_some())?;
        if signer.is_some() && options.seed.is_some() {
            return Err(Error::invalid_argument("a trust graph has one identity, of a seed or of a signer").into());
        }
        let clock = SetClock::new(options.clock.as_deref())?;
        let core_clock = clock.core();
        let open = move || {
            let store = dir.as_deref().map_or_else(Store::in_memory, Store::open)?;
            let signer = match (signer, &dir) {
                (Some(own), _) => own.0,
                (None, Some(dir)) => Keypair::load_or_generate(&dir.join(KEY_FILE))?.signer()?,
                (None, None) => options.seed.map_or_else(Keypair::generate, seeded).signer()?,
            };
            trust::TrustGraph::open(store, signer, core_clock)
        };
        let graph = rt::blocking(&cancel, open).await?;
        Ok(TrustGraph::over(graph, clock, false))
    }

    /// For tests: moves the clock that it was opened with, or that of its node.
    ///
    /// # Errors
    /// `unsupported` for one that goes by the machine's clock.
    pub fn advance_clock(&self, by_ms: u64) -> Result<()> {
        self.handle.get()?;
        self.clock.advance(by_ms)
    }

    /// Whether it can be used: not shut down, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// The identity that signs what it issues, also after the end.
    pub fn did(&self) -> &str {
        &self.did
    }

    /// Issues a credential about a subject. `claims` is a JSON object. The credential is returned and not kept. Only a
    /// `revocable` one can be withdrawn later.
    pub async fn issue(
        &self,
        kind: String,
        subject: String,
        claims: String,
        valid_for_ms: Option<u64>,
        revocable: bool,
        cancel: CancelToken,
    ) -> Result<Credential> {
        let graph = self.handle.get()?;
        let kind: CredentialType = kind.parse()?;
        let subject = validate::did(&subject)?;
        let claims: Map<String, Value> = validate::json("claims", &claims)?;
        let valid_for = valid_for_ms.map(std::time::Duration::from_millis);
        let issue = async move {
            match revocable {
                true => graph.issue_revocable(kind, subject, claims, valid_for).await,
                false => graph.issue(kind, subject, claims, valid_for).await,
            }
        };
        rt::run(&cancel, issue).await.map(Credential::from)
    }

    /// Checks a credential's form and proof, and says what it says. It is not kept.
    pub async fn verify(&self, json: String, cancel: CancelToken) -> Result<Credential> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.verify(&json)).await.map(Credential::from)
    }

    /// Verifies a credential, then keeps it. What breaks a rule is refused, with the `rule` in the error.
    pub async fn import_credential(&self, json: String, cancel: CancelToken) -> Result<CredentialSummary> {
        let graph = self.handle.get()?;
        let kept = rt::run(&cancel, async move { graph.import_credential(&json).await }).await?;
        Ok(CredentialSummary::from(&kept))
    }

    /// The credentials that are kept and fit the filter, in the order of their identifiers.
    pub async fn credentials(&self, filter: Filter, cancel: CancelToken) -> Result<Vec<CredentialSummary>> {
        let graph = self.handle.get()?;
        let filter = filter.read()?;
        let found = rt::blocking(&cancel, move || graph.credentials(&filter)).await?;
        Ok(found.iter().map(CredentialSummary::from).collect())
    }

    /// One kept credential with its claims and its proof.
    pub async fn credential(&self, id: String, cancel: CancelToken) -> Result<Credential> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.credential(&id)).await.map(Credential::from)
    }

    /// Forgets a credential.
    pub async fn remove_credential(&self, id: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        rt::blocking(&cancel, move || graph.remove_credential(&id)).await
    }

    /// The issuers that this node trusts.
    pub async fn issuers(&self, cancel: CancelToken) -> Result<Vec<TrustedIssuer>> {
        let graph = self.handle.get()?;
        let issuers = rt::blocking(&cancel, move || graph.issuers()).await?;
        Ok(issuers
            .into_iter()
            .map(|issuer| TrustedIssuer {
                did: issuer.did.to_string(),
                types: issuer.types.iter().map(ToString::to_string).collect(),
            })
            .collect())
    }

    /// Trusts an issuer for exactly these types from now on.
    pub async fn trust_issuer(&self, did: String, types: Vec<String>, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        let did = validate::did(&did)?;
        let types = types.iter().map(|name| name.parse()).collect::<kwaai_core::Result<Vec<CredentialType>>>()?;
        rt::blocking(&cancel, move || graph.trust_issuer(did, &types)).await
    }

    /// Trusts an issuer no longer.
    pub async fn distrust_issuer(&self, did: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        let did = validate::did(&did)?;
        rt::blocking(&cancel, move || graph.distrust_issuer(&did)).await
    }

    /// How far this node trusts a peer, with the arithmetic.
    pub async fn score(&self, peer: String, cancel: CancelToken) -> Result<Score> {
        let graph = self.handle.get()?;
        let peer = validate::did(&peer)?;
        rt::blocking(&cancel, move || graph.score(&peer)).await.map(Score::from)
    }

    /// How far this node trusts several peers, in their order and from one view of what it knows.
    pub async fn scores(&self, peers: Vec<String>, cancel: CancelToken) -> Result<Vec<Score>> {
        let graph = self.handle.get()?;
        let peers: Vec<Did> = peers.iter().map(|peer| validate::did(peer)).collect::<Result<_>>()?;
        let scores = rt::blocking(&cancel, move || graph.scores(&peers)).await?;
        Ok(scores.into_iter().map(Score::from).collect())
    }

    /// The minimum of each purpose.
    pub async fn policy(&self, cancel: CancelToken) -> Result<BTreeMap<&'static str, Minimum>> {
        let graph = self.handle.get()?;
        let policy = rt::blocking(&cancel, move || graph.policy()).await?;
        let minimum = |purpose: Purpose| (purpose.as_str(), policy.minimum(purpose).into());
        Ok(Purpose::ALL.into_iter().map(minimum).collect())
    }

    /// Replaces the minimum of each purpose, durably. A purpose that is left out gets its default.
    pub async fn set_policy(&self, minimum: BTreeMap<String, Minimum>, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        let policy = minimum.iter().try_fold(Policy::default(), |policy, (purpose, minimum)| {
            policy.with_minimum(purpose.parse()?, minimum.read()?)
        })?;
        rt::blocking(&cancel, move || graph.set_policy(policy)).await
    }

    /// Checks that a peer reaches the minimum tier of a purpose.
    ///
    /// # Errors
    /// `untrusted_peer` with the tier that it has and the one that it needs.
    pub async fn require(&self, peer: String, purpose: String, cancel: CancelToken) -> Result<()> {
        let graph = self.handle.get()?;
        let (peer, purpose) = (validate::did(&peer)?, purpose.parse::<Purpose>()?);
        rt::blocking(&cancel, move || graph.require(&peer, purpose)).await
    }

    /// Lets go of the directory. The trust graph of a node stays open with the node.
    pub fn shutdown(&self) {
        if !self.of_node {
            self.close();
        }
    }
}

impl Filter {
    fn read(&self) -> Result<CredentialFilter> {
        Ok(CredentialFilter {
            subject: self.subject.as_deref().map(validate::did).transpose()?,
            issuer: self.issuer.as_deref().map(validate::did).transpose()?,
            kind: self.r#type.as_deref().map(str::parse).transpose()?,
        })
    }
}

impl Minimum {
    pub(crate) fn read(&self) -> kwaai_core::Result<trust::Minimum> {
        match self {
            Minimum::Tier(name) => name.parse().map(trust::Minimum::Tier),
            Minimum::Score(value) => trust::Minimum::score(*value),
        }
    }
}

impl From<trust::Minimum> for Minimum {
    fn from(minimum: trust::Minimum) -> Minimum {
        match minimum {
            trust::Minimum::Tier(tier) => Minimum::Tier(tier.to_string()),
            trust::Minimum::Score(points) => Minimum::Score(points.value()),
        }
    }
}

impl<'de> Deserialize<'de> for Minimum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Minimum, D::Error> {
        deserializer.deserialize_any(MinimumVisitor)
    }
}

/// Reads what an untagged enum would read, with an error that says what is allowed.
struct MinimumVisitor;

impl Visitor<'_> for MinimumVisitor {
    type Value = Minimum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a tier or a score from 0 to 1")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<Minimum, E> {
        Ok(Minimum::Tier(name.to_owned()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> std::result::Result<Minimum, E> {
        Ok(Minimum::Score(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> std::result::Result<Minimum, E> {
        Ok(Minimum::Score(value as f64))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> std::result::Result<Minimum, E> {
        Ok(Minimum::Score(value as f64))
    }
}

impl From<&trust::CredentialSummary> for CredentialSummary {
    fn from(summary: &trust::CredentialSummary) -> CredentialSummary {
        CredentialSummary {
            id: summary.id.clone(),
            r#type: summary.kind.map(|kind| kind.to_string()),
            types: summary.types.clone(),
            issuer: summary.issuer.to_string(),
            subject: summary.subject.as_ref().map(Did::to_string),
            valid_from: summary.valid_from.map(|at| at.to_string()),
            valid_until: summary.valid_until.map(|at| at.to_string()),
        }
    }
}

impl From<trust::Credential> for Credential {
    fn from(credential: trust::Credential) -> Credential {
        Credential {
            summary: credential.summary().into(),
            claims: credential.claims().cloned().unwrap_or_default(),
            json: credential.to_json(),
        }
    }
}

impl From<trust::Score> for Score {
    fn from(score: trust::Score) -> Score {
        Score {
            value: score.value,
            tier: score.tier.to_string(),
            reasons: score.reasons.into_iter().map(Reason::from).collect(),
        }
    }
}

impl From<trust::Reason> for Reason {
    fn from(reason: trust::Reason) -> Reason {
        Reason {
            credential_id: reason.credential_id,
            r#type: reason.kind.map(|kind| kind.to_string()),
            issuer: reason.issuer.to_string(),
            weight: reason.weight,
            age_days: reason.age_days,
            factor: reason.factor,
            contribution: reason.contribution,
            counted: reason.counted,
            why: reason.why.into_owned(),
        }
    }
}
