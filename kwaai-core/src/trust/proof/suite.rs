//! The cryptosuites that are checked here: what their signatures cover, and how those are written.

use std::fmt;

use serde_json::{Map, Value};

use crate::trust::json;
use crate::trust::rule::Rule;
use crate::{Error, Result};

const DATA_INTEGRITY: &str = "DataIntegrityProof";
const EDDSA_JCS: &str = "eddsa-jcs-2022";
const EDDSA_RDFC: &str = "eddsa-rdfc-2022";
const ED25519_2020: &str = "Ed25519Signature2020";

/// Whether this build checks proofs over RDF.
const RDFC: bool = cfg!(feature = "rdfc");

/// 64 bytes never need more characters of base58 than this; base58 decoding is quadratic, so longer text is not decoded.
const MAX_PROOF_VALUE: usize = 88;

/// How a document is brought into the form that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// `eddsa-jcs-2022`: canonical JSON (Data Integrity EdDSA Cryptosuites 1.0 §3.3). What this library issues.
    EddsaJcs2022,
    /// `eddsa-rdfc-2022`: canonical RDF (§3.2). Checked with the feature `rdfc`, and not made here.
    EddsaRdfc2022,
    /// `Ed25519Signature2020`, its predecessor (Data Integrity EdDSA Cryptosuites 1.0 §3.4). Checked with the feature `rdfc`,
    /// and not made here.
    Ed25519Signature2020,
}

impl Suite {
    /// The suite's name, as it stands in a proof.
    pub fn as_str(self) -> &'static str {
        match self {
            Suite::EddsaJcs2022 => EDDSA_JCS,
            Suite::EddsaRdfc2022 => EDDSA_RDFC,
            Suite::Ed25519Signature2020 => ED25519_2020,
        }
    }

    /// The suite that a proof names.
    pub(super) fn of(proof: &Map<String, Value>) -> Result<Suite> {
        let name = |member: &str| {
            proof
                .get(member)
                .and_then(Value::as_str)
                .ok_or_else(|| Rule::Cryptosuite.invalid(format!("the proof has no {member}, or it is no text")))
        };
        match name("type")? {
            DATA_INTEGRITY => match name("cryptosuite")? {
                EDDSA_JCS => Ok(Suite::EddsaJcs2022),
                EDDSA_RDFC if RDFC => Ok(Suite::EddsaRdfc2022),
                EDDSA_RDFC => Err(left_out("cryptosuite", EDDSA_RDFC)),
                other => Err(unchecked("cryptosuite", other)),
            },
            ED25519_2020 if proof.contains_key("cryptosuite") => {
                Err(Rule::Cryptosuite.invalid(format!("a proof of the type {ED25519_2020} has no cryptosuite")))
            }
            ED25519_2020 if RDFC => Ok(Suite::Ed25519Signature2020),
            ED25519_2020 => Err(left_out("type", ED25519_2020)),
            other => Err(unchecked("type", other)),
        }
    }

    /// Writes the name of the suite that is issued into a proof.
    pub(super) fn name_in(proof: &mut Map<String, Value>) {
        proof.insert("type".into(), DATA_INTEGRITY.into());
        proof.insert("cryptosuite".into(), EDDSA_JCS.into());
    }

    /// The 64 bytes that are signed, and the contexts that the signature covers where these are not all of the document's.
    pub(super) fn hash(self, document: &mut Map<String, Value>, config: &Map<String, Value>) -> Result<[u8; 64]> {
        take_signed_contexts(document, config)?;
        match self {
            Suite::EddsaJcs2022 => hash_data(document, config),
            Suite::EddsaRdfc2022 | Suite::Ed25519Signature2020 => hash_rdf(document, config),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn unchecked(member: &str, found: &str) -> Error {
    Rule::Cryptosuite.unsupported(format!("the proof's {member} is {found:.60?}, which is not checked here"))
}

fn left_out(member: &str, found: &str) -> Error {
    unchecked(member, found).with_remedy("build kwaai-core with its feature `rdfc`")
}

/// The 64 bytes that `eddsa-jcs-2022` signs: SHA-256 of the proof configuration, then SHA-256 of the document, each in
/// canonical form (§3.3.4). `config` is the proof without its `proofValue`.
pub fn hash_data(document: &Map<String, Value>, config: &Map<String, Value>) -> Result<[u8; 64]> {
    let mut hashes = [0; 64];
    hashes[..32].copy_from_slice(&json::digest(config)?);
    hashes[32..].copy_from_slice(&json::digest(document)?);
    Ok(hashes)
}

/// The 64 bytes that the suites over RDF sign: SHA-256 of the canonical N-Quads of the proof configuration, which is read
/// in the document's contexts, then of those of the document (§3.2.4).
#[cfg(feature = "rdfc")]
pub fn hash_rdf(document: &Map<String, Value>, config: &Map<String, Value>) -> Result<[u8; 64]> {
    use sha2::{Digest, Sha256};
    let mut config = config.clone();
    config.extend(document.get("@context").map(|contexts| ("@context".to_owned(), contexts.clone())));
    let mut hashes = [0; 64];
    hashes[..32].copy_from_slice(&Sha256::digest(super::rdf::canonical(&config)?));
    hashes[32..].copy_from_slice(&Sha256::digest(super::rdf::canonical(document)?));
    Ok(hashes)
}

#[cfg(not(feature = "rdfc"))]
fn hash_rdf(_: &Map<String, Value>, _: &Map<String, Value>) -> Result<[u8; 64]> {
    Err(left_out("cryptosuite", EDDSA_RDFC))
}

/// When the proof carries contexts, the document's must begin with the same; only those were signed (§3.3.2 step 4).
fn take_signed_contexts(document: &mut Map<String, Value>, config: &Map<String, Value>) -> Result<()> {
    let Some(signed) = config.get("@context") else { return Ok(()) };
    let carried = document.get("@context").map(as_list).unwrap_or_default();
    if !carried.starts_with(as_list(signed)) {
        return Err(Rule::Context.corrupt("the document's contexts are not those that were signed"));
    }
    document.insert("@context".into(), signed.clone());
    Ok(())
}

fn as_list(context: &Value) -> &[Value] {
    match context {
        Value::Array(list) => list,
        single => std::slice::from_ref(single),
    }
}

/// The text of a signature in a proof.
pub(super) fn write_signature(signature: [u8; 64]) -> String {
    format!("z{}", bs58::encode(signature).into_string())
}

pub(super) fn read_signature(value: Option<&Value>) -> Result<[u8; 64]> {
    let invalid = || Rule::Signature.invalid("the proofValue is not 64 bytes in base58btc");
    let text = value.and_then(Value::as_str).ok_or_else(invalid)?;
    let encoded = text.strip_prefix('z').filter(|encoded| encoded.len() <= MAX_PROOF_VALUE).ok_or_else(invalid)?;
    let bytes = bs58::decode(encoded).into_vec().map_err(|_| invalid())?;
    bytes.try_into().map_err(|_| invalid())
}
