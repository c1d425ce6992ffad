//! The credentials that KwaaiNet's own software wrote, to be read and never to be counted.
//!
//! Their shape is that of data model 1.1. Their proof is called `Ed25519Signature2020` and is not that suite: it is a
//! signature over the compact JSON text with the members in the order of a struct, and the claims in the order of a hash
//! map, which is lost once the text has been stored and read again. So a proof is tried on every order of up to
//! [`MAX_ORDERED_CLAIMS`] claims. Options of the proof, and members that the struct does not have, are under no signature.
//!
//! Two more things hold here that KwaaiNet does not check: the key that signed must be the issuer's, and nothing unsigned
//! may stand beside what was signed.
//!
//! Even a proof that holds does not make a credential count: there is no way from a [`LegacyCredential`] into the wallet or
//! a score. Its issuer can say the same again in the present form, with [`LegacyCredential::reissue`].

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use libp2p::PeerId;
use serde_json::{Map, Value};

use super::credential::CredentialType;
use super::rule::Rule;
use super::{json, proof};
use crate::identity::Did;
use crate::{Error, Result};

/// The longest legacy credential that is read, in bytes.
pub const MAX_LEGACY_BYTES: usize = 16 * 1024;

/// The most claims whose orders are tried: 6 have 720.
pub const MAX_ORDERED_CLAIMS: usize = 6;

const CREDENTIALS_V1: &str = "https://www.w3.org/2018/credentials/v1";

/// The names that the signed text has before the subject, in its order.
const SIGNED: [&str; 6] = ["@context", "id", "type", "issuer", "issuanceDate", "expirationDate"];

/// A PeerId has 52 characters or fewer; base58 decoding is quadratic, so longer text is not decoded.
const MAX_PEER_ID: usize = 64;

/// A credential in KwaaiNet's form, with the verdict on its proof.
#[derive(Debug, Clone, PartialEq)]
pub struct LegacyCredential {
    /// KwaaiNet's type: of several, the first.
    pub kind: Option<CredentialType>,
    /// Every type that it names.
    pub types: Vec<String>,
    /// The issuer's DID as it is written.
    pub issuer: String,
    /// The subject's DID as it is written.
    pub subject: String,
    /// When it was issued, by its own account.
    pub issued: Timestamp,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
    /// What it says about its subject, without the subject's `id`.
    pub claims: Map<String, Value>,
    /// Whether its issuer signed this.
    pub proof: LegacyProof,
}

/// Whether the issuer of a legacy credential signed what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegacyProof {
    /// The issuer's key signed it, with its claims in some order.
    Verified {
        /// The issuer.
        signer: Did,
    },
    /// Nobody can tell.
    Unverifiable {
        /// The reason, in a short phrase.
        why: String,
    },
}

/// What an issuer needs to issue a legacy credential again: the arguments of [`TrustGraph::issue`](super::TrustGraph::issue).
#[derive(Debug, Clone, PartialEq)]
pub struct Reissue {
    /// The type.
    pub kind: CredentialType,
    /// The subject, as the same key in a did:key.
    pub subject: Did,
    /// The claims.
    pub claims: Map<String, Value>,
    /// When the old credential ends.
    pub valid_until: Option<Timestamp>,
}

impl LegacyCredential {
    /// Reads a credential in KwaaiNet's form and tries its proof.
    ///
    /// # Errors
    /// `invalid_argument` when it is malformed or of another form; `resource_exhausted` when it is longer than
    /// [`MAX_LEGACY_BYTES`] or nested too deeply. The context names the [`Rule`](super::Rule). A proof that does not hold is no error: see
    /// [`proof`](LegacyCredential::proof).
    pub fn read(text: &str) -> Result<LegacyCredential> {
        if text.len() > MAX_LEGACY_BYTES {
            let why = format!("the legacy credential has {} bytes, {MAX_LEGACY_BYTES} are the limit", text.len());
            return Err(Rule::Size.exceeded(MAX_LEGACY_BYTES, why));
        }
        let Value::Object(mut document) = json::parse_as_spelt(text)? else {
            return Err(malformed(Rule::Json, "is no JSON object"));
        };
        let secured = document.remove("proof");
        let context = strings(&document, "@context", Rule::Context)?;
        if context.first().map(String::as_str) != Some(CREDENTIALS_V1) {
            return Err(malformed(Rule::Context, &format!("does not begin with the context {CREDENTIALS_V1}"))
                .with_remedy("a credential of data model 2.0 is imported, not read as a legacy one"));
        }
        let types = strings(&document, "type", Rule::Type)?;
        if types.first().map(String::as_str) != Some("VerifiableCredential") {
            return Err(malformed(Rule::Type, "is not of the type VerifiableCredential"));
        }
        if document.get("id").is_some_and(|id| !id.is_string()) {
            return Err(malformed(Rule::Id, "has an id that is no text"));
        }
        let Some(Value::Object(mut claims)) = document.get("credentialSubject").cloned() else {
            return Err(malformed(Rule::Subject, "has no single credentialSubject"));
        };
        let Some(Value::String(subject)) = claims.remove("id") else {
            return Err(malformed(Rule::Subject, "has a subject without an id"));
        };
        let issued = document.get("issuanceDate").ok_or_else(|| malformed(Rule::Dates, "has no issuanceDate"))?;
        let expires = document.get("expirationDate").map(|date| proof::date_time("expirationDate", date));
        let issuer = document.get("issuer").and_then(Value::as_str);
        let mut credential = LegacyCredential {
            kind: types.iter().find_map(|name| name.parse().ok()),
            issuer: issuer.ok_or_else(|| malformed(Rule::Issuer, "has no textual issuer"))?.to_owned(),
            issued: proof::date_time("issuanceDate", issued)?,
            expires: expires.transpose()?,
            types,
            subject,
            claims,
            proof: LegacyProof::Unverifiable { why: String::new() },
        };
        credential.proof = match credential.signer(&document, secured.as_ref()) {
            Ok(signer) => LegacyProof::Verified { signer },
            Err(why) => LegacyProof::Unverifiable { why },
        };
        Ok(credential)
    }

    /// What its issuer needs to say the same again in the present form. It does so with its own key, so whether the old proof
    /// holds does not matter to it: it knows what it stands for.
    ///
    /// # Errors
    /// `unsupported` when the credential is of none of KwaaiNet's types, or its subject's DID carries no Ed25519 key.
    pub fn reissue(&self) -> Result<Reissue> {
        let kind =
            self.kind.ok_or_else(|| Error::unsupported("the legacy credential is of none of KwaaiNet's types"))?;
        let subject = key_of(&self.subject).ok_or_else(|| {
            Error::unsupported(format!("the legacy credential's subject {:.80?} carries no Ed25519 key", self.subject))
        })?;
        Ok(Reissue { kind, subject, claims: self.claims.clone(), valid_until: self.expires })
    }

    /// The issuer, when its key signed this; otherwise the reason.
    fn signer(&self, document: &Map<String, Value>, secured: Option<&Value>) -> std::result::Result<Did, String> {
        let unsigned = document.keys().find(|name| !SIGNED.contains(&name.as_str()) && *name != "credentialSubject");
        if let Some(name) = unsigned {
            return Err(format!("its member {name:.60?} is under no signature of this form"));
        }
        let secured = match secured {
            Some(Value::Object(secured)) => secured,
            Some(_) => return Err("its proof is no object".into()),
            None => return Err("it carries no proof".into()),
        };
        let text = |name: &str| {
            secured
                .get(name)
                .and_then(Value::as_str)
                .ok_or_else(|| format!("its proof has no {name}, or it is no text"))
        };
        if text("type")? != "Ed25519Signature2020" || text("proofPurpose")? != "assertionMethod" {
            return Err("its proof is of another kind".into());
        }
        let issuer = key_of(&self.issuer).ok_or("its issuer's DID carries no Ed25519 key")?;
        let (method, _) = text("verificationMethod")?.split_once('#').ok_or("its proof names no key")?;
        if key_of(method) != Some(issuer) {
            return Err("its proof was made with another key than its issuer's".into());
        }
        let signature = URL_SAFE_NO_PAD.decode(text("proofValue")?).ok().and_then(|bytes| bytes.try_into().ok());
        let signature: [u8; 64] = signature.ok_or("its proofValue is not 64 bytes in base64url")?;
        if self.claims.len() > MAX_ORDERED_CLAIMS {
            return Err(format!("it has {} claims; orders of {MAX_ORDERED_CLAIMS} are tried", self.claims.len()));
        }
        let mut head = String::from("{");
        for name in SIGNED {
            if let Some(value) = document.get(name) {
                head.push_str(&format!("{}:{},", Value::from(name), compact(value)));
            }
        }
        head.push_str(&format!("\"credentialSubject\":{{\"id\":{}", Value::from(self.subject.as_str())));
        let mut claims: Vec<String> = self
            .claims
            .iter()
            .map(|(name, value)| format!(",{}:{}", Value::from(name.as_str()), compact(value)))
            .collect();
        let signed = any_order(&mut claims, &mut |claims| {
            let text = [head.as_str(), &claims.concat(), "}}"].concat();
            issuer.verify(text.as_bytes(), &signature)
        });
        if signed { Ok(issuer) } else { Err("its signature fits no order of its claims".into()) }
    }
}

/// Whether some order of the parts fits (Heap's algorithm).
fn any_order(parts: &mut [String], fits: &mut impl FnMut(&[String]) -> bool) -> bool {
    fn go(parts: &mut [String], end: usize, fits: &mut impl FnMut(&[String]) -> bool) -> bool {
        if end <= 1 {
            return fits(parts);
        }
        for at in 0..end {
            if go(parts, end - 1, fits) {
                return true;
            }
            parts.swap(if end.is_multiple_of(2) { at } else { 0 }, end - 1);
        }
        false
    }
    let end = parts.len();
    go(parts, end, fits)
}

/// Compact JSON with the members of objects in the order of their names, as KwaaiNet's reader keeps them inside a claim.
fn compact(value: &Value) -> String {
    match value {
        Value::Array(list) => format!("[{}]", list.iter().map(compact).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            let members =
                members.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), compact(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// The Ed25519 key behind a did:key, or behind KwaaiNet's own `did:peer:` with a PeerId.
fn key_of(did: &str) -> Option<Did> {
    match did.strip_prefix("did:peer:") {
        Some(peer) if peer.len() <= MAX_PEER_ID => Did::from_peer_id(&peer.parse::<PeerId>().ok()?).ok(),
        Some(_) => None,
        None => did.parse().ok(),
    }
}

fn strings(document: &Map<String, Value>, name: &str, rule: Rule) -> Result<Vec<String>> {
    let listed = document.get(name).and_then(Value::as_array);
    listed
        .and_then(|list| list.iter().map(|text| text.as_str().map(String::from)).collect())
        .ok_or_else(|| malformed(rule, &format!("has no {name} that is a list of texts")))
}

fn malformed(rule: Rule, why: &str) -> Error {
    rule.invalid(format!("the legacy credential {why}"))
}
