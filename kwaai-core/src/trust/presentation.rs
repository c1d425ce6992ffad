//! Presentations: a holder shows credentials to one audience, in answer to its challenge (W3C Verifiable Credentials Data
//! Model 2.0 §4.13).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::credential::{self, CREDENTIALS_V2, Credential, Validity};
use super::proof::{self, Expected, ProofOptions, ProofPurpose, Verified};
use super::rule::Rule;
use super::wallet::{CredentialFilter, MAX_PER_SUBJECT};
use super::{TrustGraph, json};
use crate::Result;
use crate::identity::{Did, Signer};

/// The longest presentation that is read, in bytes of its text: what fits into one call between nodes.
pub const MAX_PRESENTATION_BYTES: usize = 1024 * 1024;

/// The most credentials in one presentation.
pub const MAX_PRESENTED: usize = MAX_PER_SUBJECT;

/// How long a presentation holds: long enough to be sent and checked, too short to be found useful later.
pub const PRESENTATION_LIFETIME: Duration = Duration::from_secs(300);

/// The longest audience or challenge, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// A credential stands two levels deep in its presentation, inside `verifiableCredential`.
const MAX_PRESENTATION_DEPTH: usize = json::MAX_DOCUMENT_DEPTH + 2;

const TYPE: &str = "VerifiablePresentation";

/// A presentation that this node made and signed.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiablePresentation {
    document: Map<String, Value>,
}

/// What a checked presentation shows.
#[derive(Debug, Clone)]
pub struct VerifiedPresentation {
    /// Who showed it, and proved to have the key.
    pub holder: Did,
    /// The credentials about the holder. All of them verified and are in force.
    pub credentials: Vec<Credential>,
    /// Those about others, or about nobody that has a did:key. They verified too, and say nothing about the holder.
    pub about_others: Vec<Credential>,
    /// The instant from which on the presentation no longer holds.
    pub expires: Timestamp,
}

impl VerifiablePresentation {
    async fn issue(
        signer: &dyn Signer,
        credentials: &[Credential],
        audience: &str,
        challenge: &str,
        now: Timestamp,
    ) -> Result<VerifiablePresentation> {
        check_names(audience, challenge)?;
        let mut document = Map::new();
        document.insert("@context".into(), serde_json::json!([CREDENTIALS_V2]));
        document.insert("type".into(), serde_json::json!([TYPE]));
        document.insert("holder".into(), signer.did().to_string().into());
        let shown = credentials.iter().map(|credential| Value::Object(credential.document().clone()));
        document.insert("verifiableCredential".into(), shown.collect());
        let expires = now.checked_add(PRESENTATION_LIFETIME).map_err(|error| {
            Rule::Dates.invalid("the presentation would end after the year 9999").with_source(error)
        })?;
        let options = ProofOptions {
            expires: Some(expires),
            domain: Some(audience.into()),
            challenge: Some(challenge.into()),
            ..ProofOptions::new(ProofPurpose::Authentication, now)
        };
        let presentation = VerifiablePresentation { document: proof::add(&document, signer, &options).await? };
        // Reading it back as its audience would catches one that is too long, and a signer with another key.
        verify_presentation(&presentation.to_json(), audience, challenge, now)?;
        Ok(presentation)
    }

    /// The whole document with its proof.
    pub fn document(&self) -> &Map<String, Value> {
        &self.document
    }

    /// The whole document with its proof, as compact JSON text.
    pub fn to_json(&self) -> String {
        json::sorted(self.document.clone())
    }
}

impl fmt::Display for VerifiablePresentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl TrustGraph {
    /// Shows the credentials that this node keeps and that fit the filter to one audience, in answer to its challenge,
    /// signed with this node's key for [`PRESENTATION_LIFETIME`]. Without a subject in the filter they are those about this
    /// node itself. Only those that hold now are shown; when there are none, the presentation proves no more than who
    /// this node is.
    ///
    /// `audience` names who will check it, best by DID; `challenge` is a text that the audience made up for this
    /// occasion and never uses again.
    ///
    /// # Errors
    /// `invalid_argument` when audience or challenge is empty or longer than 1024 bytes; `resource_exhausted` when more than
    /// [`MAX_PRESENTED`] credentials fit, or they are too long together; what the signer answers.
    pub async fn present(
        &self,
        audience: &str,
        challenge: &str,
        filter: &CredentialFilter,
    ) -> Result<VerifiablePresentation> {
        let now = self.clock.now();
        let filter = CredentialFilter { subject: Some(filter.subject.unwrap_or_else(|| self.did())), ..*filter };
        let mut shown = self.wallet.list(&filter)?;
        shown.retain(|credential| check(credential, now).is_ok());
        VerifiablePresentation::issue(&*self.signer, &shown, audience, challenge, now).await
    }

    /// Checks a presentation that was made for `audience` in answer to `challenge`; see [`verify_presentation`].
    pub fn verify_presentation(&self, json: &str, audience: &str, challenge: &str) -> Result<VerifiedPresentation> {
        verify_presentation(json, audience, challenge, self.clock.now())
    }
}

/// Checks a presentation and every credential in it. One credential that does not verify or is not in force fails the
/// whole presentation. Whether the challenge is one that was given out, and was not answered before, is the caller's
/// business: it keeps the challenges that are open.
///
/// # Errors
/// As [`Credential::verify`] for the presentation and each credential, whose place is named in the context as `credential`;
/// `permission_denied` when the presentation was made for another audience or answers another challenge;
/// `invalid_argument` when it has expired; `corrupt_data` when someone else than its holder signed it. The context names
/// the [`Rule`].
pub fn verify_presentation(
    json: &str,
    audience: &str,
    challenge: &str,
    now: Timestamp,
) -> Result<VerifiedPresentation> {
    check_names(audience, challenge)?;
    let Value::Object(document) = json::parse_within(json, MAX_PRESENTATION_BYTES, MAX_PRESENTATION_DEPTH)? else {
        return Err(Rule::Json.invalid("a presentation is a JSON object"));
    };
    if credential::model(&document)? != credential::MODEL_2 {
        return Err(Rule::Version.unsupported("the presentation does not follow version 2.0 of the data model"));
    }
    credential::types(&document, TYPE)?;
    let holder = credential::party(&document, "holder", Rule::Holder)?;
    let shown = shown(&document)?;
    let expected =
        Expected { purpose: ProofPurpose::Authentication, now, domain: Some(audience), challenge: Some(challenge) };
    let proofs = proof::verify(&document, &expected)?;
    credential::check_contexts_signed(&document, &proofs)?;
    let own = proofs.iter().find(|proof| proof.signer == holder).ok_or_else(|| {
        Rule::Controller.corrupt("someone else than its holder signed the presentation").with("holder", holder)
    })?;
    let expires = end_of(own, now)?;
    let mut verified = VerifiedPresentation { holder, credentials: Vec::new(), about_others: Vec::new(), expires };
    for (place, document) in shown.iter().enumerate() {
        let credential = read(document)
            .and_then(|credential| check(&credential, now).map(|()| credential))
            .map_err(|error| error.with("credential", place))?;
        if credential.subject() == Some(holder) {
            verified.credentials.push(credential);
        } else {
            verified.about_others.push(credential);
        }
    }
    Ok(verified)
}

fn check_names(audience: &str, challenge: &str) -> Result<()> {
    for (name, text, rule) in [("audience", audience, Rule::Domain), ("challenge", challenge, Rule::Challenge)] {
        if text.is_empty() || text.len() > MAX_NAME_BYTES {
            return Err(rule.invalid(format!("the {name} has not 1 to {MAX_NAME_BYTES} bytes")));
        }
    }
    Ok(())
}

/// The documents that a presentation holds.
fn shown(document: &Map<String, Value>) -> Result<&[Value]> {
    let list = match document.get("verifiableCredential") {
        None => &[],
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    if list.len() > MAX_PRESENTED {
        let message = format!("the presentation holds {} credentials, {MAX_PRESENTED} are the limit", list.len());
        return Err(Rule::Size.exceeded(MAX_PRESENTED, message));
    }
    Ok(list)
}

/// Reads one credential within the limits that it would have alone.
fn read(value: &Value) -> Result<Credential> {
    json::check_depth(value, json::MAX_DOCUMENT_DEPTH)?;
    json::check_size(&value.to_string(), json::MAX_DOCUMENT_BYTES)?;
    match value {
        Value::Object(document) => Credential::read(document.clone()),
        _ => Err(Rule::Json.invalid("a credential is a JSON object")),
    }
}

/// Checks that a credential holds now.
fn check(credential: &Credential, now: Timestamp) -> Result<()> {
    match credential.summary().validity(now) {
        Validity::InForce => credential.check_proof(now),
        Validity::NotYet => Err(Rule::Dates.invalid("the credential is not yet in force")),
        Validity::Expired => Err(Rule::Dates.invalid("the credential has expired")),
    }
}

/// When the holder's proof ends. One that does not say so ends [`PRESENTATION_LIFETIME`] after it was made.
fn end_of(proof: &Verified, now: Timestamp) -> Result<Timestamp> {
    if let Some(expires) = proof.expires {
        return Ok(expires);
    }
    let created = proof.created.ok_or_else(|| Rule::Dates.invalid("the presentation does not say when it was made"))?;
    created
        .checked_add(PRESENTATION_LIFETIME)
        .ok()
        .filter(|expires| *expires > now)
        .ok_or_else(|| Rule::Dates.invalid(format!("the presentation was made too long ago, at {created}")))
}
