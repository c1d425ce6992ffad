//! The fiduciary pledge: asked for, issued, carried, withdrawn.
//!
//! A [`Pledge`] is a text that only its hash travels of. Who wants to pledge it signs a [`PledgeRequest`] to an issuer;
//! the issuer, which keeps the text, issues a `FiduciaryPledgeVC` with KwaaiNet's claims `pledgeName` and `pledgeHash`;
//! the subject accepts and carries it, so that peers see it. Its badge is [`Score::is_pledged`].
//!
//! Who takes the pledge back signs a [`PledgeWithdrawal`], which holds the credential itself: so the issuer can see that
//! it revokes its own credential at the wish of its subject, and whoever else reads it forgets the credential at once
//! and takes it no more.

use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::credential::{Credential, CredentialSummary, CredentialType};
use super::score::Score;
use super::statement::{self, Reader, refused};
use super::{TrustGraph, damaged, json, proof, trusts};
use crate::identity::{Did, Signer};
use crate::store::existing;
use crate::{Error, ErrorCode, Result};

const REQUEST: &str = "PledgeRequest";
const WITHDRAWAL: &str = "PledgeWithdrawal";

/// Identifier of a withdrawn credential → the withdrawal as JSON text.
const WITHDRAWALS: TableDefinition<&str, &str> = TableDefinition::new("trust.withdrawals");

/// The name that a pledge has unless another one is given; it is KwaaiNet's.
pub const PLEDGE_NAME: &str = "GliaNet Fiduciary Pledge v1";

/// An issuer answers a request for so long. An older one may have been withdrawn since, or never been meant any more.
pub const PLEDGE_REQUEST_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The rule for whose sake a pledge is refused that was withdrawn.
const WITHDRAWN: &str = "withdrawn";

const MAX_NAME: usize = 200;
const MAX_REQUEST: usize = 4096;
const MAX_WITHDRAWAL: usize = 32 * 1024;

/// A text that is pledged, known by its name and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pledge {
    name: String,
    hash: [u8; 32],
}

impl Pledge {
    /// The pledge of a text under KwaaiNet's name, [`PLEDGE_NAME`]. Its hash is the SHA-256 of the text's bytes as they
    /// are: another line ending is another text.
    ///
    /// # Errors
    /// `invalid_argument` for an empty text.
    pub fn of_text(text: &str) -> Result<Pledge> {
        Pledge::named(PLEDGE_NAME, text)
    }

    /// The pledge of a text under a name of one's own.
    ///
    /// # Errors
    /// `invalid_argument` for an empty text, or a name that is empty, longer than 200 bytes or has control characters.
    pub fn named(name: &str, text: &str) -> Result<Pledge> {
        if text.is_empty() {
            return Err(Error::invalid_argument("an empty text pledges nothing").with_remedy("give the whole text"));
        }
        if !is_name(name) {
            return Err(Error::invalid_argument(format!("{name:.60?} cannot be the name of a pledge"))
                .with_remedy(format!("use at most {MAX_NAME} bytes without control characters")));
        }
        Ok(Pledge { name: name.to_owned(), hash: Sha256::digest(text.as_bytes()).into() })
    }

    /// The pledge that a credential is about.
    ///
    /// # Errors
    /// `invalid_argument` with the rule `kind` for another type than `FiduciaryPledgeVC`, or `claims` when its
    /// `pledgeHash` is not 64 lower-case hexadecimal digits, or its `pledgeName` no name.
    pub fn of_credential(credential: &Credential) -> Result<Pledge> {
        if credential.kind() != Some(CredentialType::FiduciaryPledge) {
            return Err(refused(ErrorCode::InvalidArgument, "kind", "the credential is no FiduciaryPledgeVC"));
        }
        let claim = |name: &str| credential.claims().and_then(|claims| claims.get(name)).and_then(Value::as_str);
        let name = claim("pledgeName").filter(|name| is_name(name));
        match (name, claim("pledgeHash").and_then(json::unhex)) {
            (Some(name), Some(hash)) => Ok(Pledge { name: name.to_owned(), hash }),
            _ => Err(refused(
                ErrorCode::InvalidArgument,
                "claims",
                "the credential does not say which text was pledged, by pledgeName and pledgeHash",
            )),
        }
    }

    /// The name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The SHA-256 of the text.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether this is the pledge of exactly this text.
    pub fn is_of(&self, text: &str) -> bool {
        self.hash[..] == Sha256::digest(text.as_bytes())[..]
    }

    fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("pledgeName".into(), self.name.as_str().into());
        claims.insert("pledgeHash".into(), json::hex(&self.hash).into());
        claims
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// A signed wish to pledge a text, addressed to one issuer.
#[derive(Debug, Clone, PartialEq)]
pub struct PledgeRequest {
    /// Who wants to pledge, and signed this.
    pub pledger: Did,
    /// Who is asked for the credential.
    pub issuer: Did,
    /// What is pledged.
    pub pledge: Pledge,
    /// When it was asked for, to the second.
    pub requested: Timestamp,
    json: String,
}

impl PledgeRequest {
    async fn sign(signer: &dyn Signer, issuer: Did, pledge: &Pledge, now: Timestamp) -> Result<PledgeRequest> {
        let (pledger, requested) = (signer.did(), proof::whole_seconds(now)?);
        let mut members = pledge.claims();
        members.insert("pledger".into(), pledger.to_string().into());
        members.insert("issuer".into(), issuer.to_string().into());
        members.insert("requested".into(), requested.to_string().into());
        let json = statement::sign(REQUEST, members, signer).await?;
        Ok(PledgeRequest { pledger, issuer, pledge: pledge.clone(), requested, json })
    }

    /// Reads a request and checks its form and its signature.
    ///
    /// # Errors
    /// `invalid_argument` or `resource_exhausted` with the rule `form`; `corrupt_data` with the rule `signature`;
    /// `unsupported` for another version.
    pub fn read(text: &str) -> Result<PledgeRequest> {
        let (mut reader, pledger) = Reader::open(REQUEST, text, MAX_REQUEST, "pledger")?;
        let name = reader.text("pledgeName")?;
        if !is_name(&name) {
            return Err(reader.malformed("pledgeName"));
        }
        let request = PledgeRequest {
            pledger,
            issuer: reader.did("issuer")?,
            pledge: Pledge { name, hash: reader.bytes("pledgeHash")? },
            requested: reader.time("requested")?,
            json: text.to_owned(),
        };
        reader.end()?;
        Ok(request)
    }

    /// The request as it goes to the issuer.
    pub fn to_json(&self) -> &str {
        &self.json
    }
}

/// A subject's signed word that it takes its pledge back.
#[derive(Debug, Clone, PartialEq)]
pub struct PledgeWithdrawal {
    /// Who pledged and takes it back: the subject of the credential, and signed this.
    pub pledger: Did,
    /// The credential that is withdrawn. Its proof has been checked.
    pub credential: Credential,
    /// When it was withdrawn, to the second.
    pub withdrawn: Timestamp,
    json: String,
}

impl PledgeWithdrawal {
    async fn sign(signer: &dyn Signer, credential: Credential, now: Timestamp) -> Result<PledgeWithdrawal> {
        let (pledger, withdrawn) = (signer.did(), proof::whole_seconds(now)?);
        let mut members = Map::new();
        members.insert("pledger".into(), pledger.to_string().into());
        members.insert("credential".into(), Value::Object(credential.document().clone()));
        members.insert("withdrawn".into(), withdrawn.to_string().into());
        let json = statement::sign(WITHDRAWAL, members, signer).await?;
        if json.len() > MAX_WITHDRAWAL {
            return Err(Error::resource_exhausted("the credential is too long to be part of a withdrawal")
                .with("limit", MAX_WITHDRAWAL)
                .with_remedy("remove the credential, and ask its issuer to revoke it"));
        }
        Ok(PledgeWithdrawal { pledger, credential, withdrawn, json })
    }

    /// Reads a withdrawal: its form, its signature, the proof of the credential in it, and that the subject signed.
    ///
    /// # Errors
    /// Those of [`PledgeRequest::read`] and [`Credential::verify`]; `invalid_argument` with the rule `kind` for a
    /// credential of another type, `corrupt_data` with the rule `subject` when somebody else than its subject signed.
    pub fn read(text: &str, now: Timestamp) -> Result<PledgeWithdrawal> {
        PledgeWithdrawal::parse(text)?.verified(now)
    }

    /// The withdrawal without a look at the proof of its credential, as the store may read it again.
    fn parse(text: &str) -> Result<PledgeWithdrawal> {
        let (mut reader, pledger) = Reader::open(WITHDRAWAL, text, MAX_WITHDRAWAL, "pledger")?;
        let document = reader.take("credential")?;
        let withdrawn = reader.time("withdrawn")?;
        reader.end()?;
        let credential = Credential::parse(&document.to_string())?;
        Ok(PledgeWithdrawal { pledger, credential, withdrawn, json: text.to_owned() })
    }

    fn verified(self, now: Timestamp) -> Result<PledgeWithdrawal> {
        let credential = self.credential.verified(now)?;
        if credential.kind() != Some(CredentialType::FiduciaryPledge) {
            return Err(refused(ErrorCode::InvalidArgument, "kind", "what is withdrawn is no FiduciaryPledgeVC"));
        }
        if credential.subject() != Some(self.pledger) {
            return Err(refused(
                ErrorCode::CorruptData,
                "subject",
                "somebody else than its subject withdraws the pledge",
            )
            .with("pledger", self.pledger));
        }
        Ok(PledgeWithdrawal { credential, ..self })
    }

    /// The withdrawal as it goes to the issuer and to peers.
    pub fn to_json(&self) -> &str {
        &self.json
    }
}

impl Score {
    /// The badge: whether a fiduciary pledge of this peer counts, because it is verified, in force and from an issuer
    /// that this node trusts for it.
    pub fn is_pledged(&self) -> bool {
        self.reasons.iter().any(|reason| reason.counted && reason.kind == Some(CredentialType::FiduciaryPledge))
    }
}

impl TrustGraph {
    /// Asks `issuer` to certify that this node pledges a text. The request is returned, to be given to the issuer.
    ///
    /// # Errors
    /// `invalid_argument` when this node would be its own issuer, which counts for nothing; what the signer answers.
    pub async fn request_pledge(&self, issuer: Did, pledge: &Pledge) -> Result<PledgeRequest> {
        if issuer == self.did() {
            return Err(Error::invalid_argument("a pledge that its own subject certifies counts for nothing")
                .with_remedy("name the issuer that keeps the pledges"));
        }
        PledgeRequest::sign(&*self.signer, issuer, pledge, self.clock.now()).await
    }

    /// Issues the credential that a request asks for, when it asks for exactly this pledge. It is returned and not kept, and
    /// this node can [revoke](TrustGraph::revoke) it. Until a reader has the [status lists](TrustGraph::status_list) that it
    /// names, it counts half there; a pledger that keeps them hands them out with the credential.
    ///
    /// # Errors
    /// Those of [`PledgeRequest::read`]; `invalid_argument` with the rule `audience` when another issuer is asked,
    /// `pledge` for another text or name, `not_yet` or `expired` for a request from the future or older than
    /// [`PLEDGE_REQUEST_LIFETIME`]; those of [`TrustGraph::issue`].
    pub async fn issue_pledge(
        &self,
        request: &str,
        pledge: &Pledge,
        valid_for: Option<Duration>,
    ) -> Result<Credential> {
        let (request, now) = (PledgeRequest::read(request)?, self.clock.now());
        let oldest = PLEDGE_REQUEST_LIFETIME.as_secs() as i64;
        for (holds, rule, why) in [
            (request.issuer == self.did(), "audience", "the request goes to another issuer"),
            (request.pledge == *pledge, "pledge", "the request is to pledge another text"),
            (statement::is_past(request.requested, now), "not_yet", "the request comes from the future"),
            (!statement::is_older(request.requested, oldest, now), "expired", "the request is too old"),
        ] {
            if !holds {
                return Err(refused(ErrorCode::InvalidArgument, rule, why).with("pledger", request.pledger));
            }
        }
        let (kind, claims) = (CredentialType::FiduciaryPledge, request.pledge.claims());
        self.issue_revocable(kind, request.pledger, claims, valid_for).await
    }

    /// Takes a pledge credential that an issuer made for this node, and carries it from now on: peers who ask are shown it.
    ///
    /// # Errors
    /// Those of [`TrustGraph::import_credential`]; `invalid_argument` with the rule `kind`, `claims`, `subject` or `pledge`
    /// when it is no credential of this pledge by this node.
    pub async fn accept_pledge(&self, json: &str, pledge: &Pledge) -> Result<CredentialSummary> {
        let credential = self.verify(json)?;
        let certified = Pledge::of_credential(&credential)?;
        if credential.subject() != Some(self.did()) {
            return Err(refused(ErrorCode::InvalidArgument, "subject", "the credential is about somebody else"));
        }
        if certified != *pledge {
            return Err(refused(ErrorCode::InvalidArgument, "pledge", "the credential is about another pledge"));
        }
        self.import_credential(json).await
    }

    /// Takes back a pledge that this node carries: it is shown to nobody any more, and taken from nobody again. The
    /// withdrawal is kept and returned: give it to the issuer, so that it revokes the credential, and to peers.
    ///
    /// # Errors
    /// `not_found` when this node keeps no credential with this identifier; `invalid_argument` with the rule `kind` or
    /// `subject` when it is no pledge of this node; what the signer answers.
    pub async fn withdraw_pledge(&self, credential_id: &str) -> Result<PledgeWithdrawal> {
        let credential = self.credential(credential_id)?;
        if credential.kind() != Some(CredentialType::FiduciaryPledge) {
            return Err(refused(ErrorCode::InvalidArgument, "kind", "the credential is no FiduciaryPledgeVC"));
        }
        if credential.subject() != Some(self.did()) {
            return Err(refused(ErrorCode::InvalidArgument, "subject", "somebody else's pledge cannot be withdrawn"));
        }
        let withdrawal = PledgeWithdrawal::sign(&*self.signer, credential, self.clock.now()).await?;
        self.forget_withdrawn(&withdrawal).await?;
        Ok(withdrawal)
    }

    /// Reads the withdrawal of a pledge that this node issued, and returns the credential: what it has to revoke.
    ///
    /// # Errors
    /// Those of [`PledgeWithdrawal::read`]; `invalid_argument` with the rule `issuer` when another node issued it.
    pub fn pledge_to_revoke(&self, withdrawal: &str) -> Result<Credential> {
        let withdrawal = PledgeWithdrawal::read(withdrawal, self.clock.now())?;
        if withdrawal.credential.issuer() != self.did() {
            return Err(refused(ErrorCode::InvalidArgument, "issuer", "another node issued the withdrawn pledge"));
        }
        Ok(withdrawal.credential)
    }

    /// Takes note that somebody withdrew its pledge: the credential is forgotten, and taken no more. Only what this node
    /// keeps, or what it would count, is remembered; the others are checked and passed over.
    ///
    /// # Errors
    /// Those of [`PledgeWithdrawal::read`].
    pub async fn import_withdrawal(&self, json: &str) -> Result<PledgeWithdrawal> {
        let withdrawal = PledgeWithdrawal::read(json, self.clock.now())?;
        let counts = trusts(&self.trusted_types()?, &withdrawal.credential.issuer(), CredentialType::FiduciaryPledge);
        if counts || self.credential(withdrawal.credential.id()).is_ok() {
            self.forget_withdrawn(&withdrawal).await?;
        }
        Ok(withdrawal)
    }

    /// The withdrawals that this node knows, its own and others', in the order of their credentials' identifiers.
    pub fn withdrawals(&self) -> Result<Vec<PledgeWithdrawal>> {
        let texts = self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(WITHDRAWALS))? else { return Ok(Vec::new()) };
            table.iter()?.map(|entry| Ok(entry?.1.value().to_owned())).collect::<Result<Vec<String>>>()
        })?;
        // The proof held when the withdrawal was taken; that it may have expired since does not undo it.
        texts.iter().map(|text| PledgeWithdrawal::parse(text).map_err(|error| damaged("a withdrawal", error))).collect()
    }

    /// Whether a credential was withdrawn by its subject.
    pub(super) fn is_withdrawn(&self, id: &str) -> Result<bool> {
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(WITHDRAWALS))? else { return Ok(false) };
            Ok(table.get(id)?.is_some())
        })
    }

    /// Remembers a withdrawal and forgets its credential, in one step. A locked wallet forgets it when it is unlocked.
    async fn forget_withdrawn(&self, withdrawal: &PledgeWithdrawal) -> Result<()> {
        let (id, text) = (withdrawal.credential.id().to_owned(), withdrawal.json.clone());
        let wallet = self.wallet.clone();
        self.store
            .write_async(move |transaction| {
                transaction.open_table(WITHDRAWALS)?.insert(id.as_str(), text.as_str())?;
                match wallet.forget(transaction, &id) {
                    Err(error) if error.code() == ErrorCode::PermissionDenied => Ok(()),
                    forgotten => forgotten.map(drop),
                }
            })
            .await
    }

    /// Forgets the credentials whose withdrawals came while the wallet was locked.
    pub(super) async fn forget_all_withdrawn(&self) -> Result<()> {
        let wallet = self.wallet.clone();
        self.store
            .write_async(move |transaction| {
                let withdrawals = transaction.open_table(WITHDRAWALS)?;
                for entry in withdrawals.iter()? {
                    wallet.forget(transaction, entry?.0.value())?;
                }
                Ok(())
            })
            .await
    }
}

/// Refuses, in the transaction that would keep it, a credential that its subject withdrew.
pub(super) fn refuse_withdrawn(transaction: &WriteTransaction, id: &str) -> Result<()> {
    match transaction.open_table(WITHDRAWALS)?.get(id)? {
        Some(_) => Err(refused(ErrorCode::InvalidArgument, WITHDRAWN, "its subject withdrew the pledge")
            .with_remedy("ask for the pledge again")),
        None => Ok(()),
    }
}

/// Whether this is why a credential was refused.
pub(super) fn is_withdrawal(error: &Error) -> bool {
    error.context().get("rule").is_some_and(|rule| rule == WITHDRAWN)
}
