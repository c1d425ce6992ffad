//! Proofs on JSON documents: W3C Data Integrity 1.0 with the suite `eddsa-jcs-2022` (Data Integrity EdDSA
//! Cryptosuites 1.0 §3.3).
//!
//! What is signed are 64 bytes: the SHA-256 of the canonical proof configuration, then the SHA-256 of the canonical
//! document. So every byte of the document and of the proof counts, the signature itself excepted.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::json;
use crate::identity::{Did, Signer};
use crate::{Error, Result};

const TYPE: &str = "DataIntegrityProof";
const CRYPTOSUITE: &str = "eddsa-jcs-2022";
const PURPOSE: &str = "assertionMethod";

/// 64 bytes never need more characters of base58 than this; base58 decoding is quadratic, so longer text is not decoded.
const MAX_PROOF_VALUE: usize = 88;

/// What a checked proof says.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The identity whose key signed.
    pub signer: Did,
    /// What was signed: the document without its proof, with exactly the contexts that the signature covers.
    pub document: Map<String, Value>,
    /// When the proof says that it was made.
    pub created: Option<Timestamp>,
    /// The instant from which on the proof no longer holds.
    pub expires: Option<Timestamp>,
}

/// Adds a proof to a document that has none. `created` is written to the second.
///
/// # Errors
/// `invalid_argument` when the document has a proof already, or has no canonical form; what the signer answers.
pub async fn sign(
    document: &Map<String, Value>,
    signer: &dyn Signer,
    created: Timestamp,
) -> Result<Map<String, Value>> {
    if document.contains_key("proof") {
        return Err(Error::invalid_argument("the document carries a proof already"));
    }
    let mut proof = Map::new();
    proof.insert("type".into(), TYPE.into());
    proof.insert("cryptosuite".into(), CRYPTOSUITE.into());
    proof.insert("created".into(), whole_seconds(created)?.to_string().into());
    proof.insert("verificationMethod".into(), signer.did().verification_method().into());
    proof.insert("proofPurpose".into(), PURPOSE.into());
    if let Some(context) = document.get("@context") {
        proof.insert("@context".into(), context.clone());
    }
    let signature = signer.sign(&hash_data(document, &proof)?).await?;
    proof.insert("proofValue".into(), format!("z{}", bs58::encode(signature).into_string()).into());
    let mut secured = document.clone();
    secured.insert("proof".into(), Value::Object(proof));
    Ok(secured)
}

/// Checks the one proof of a document. `now` decides only whether the proof has expired; dates inside the document
/// are the caller's business, and so is whether the signer is the one who should have signed.
///
/// When the proof carries contexts, the document's must begin with the same (§3.3.2 step 4); contexts appended behind
/// them are not signed and are left out of [`Verified::document`].
///
/// # Errors
/// `invalid_argument` when the proof is missing, malformed, made for another purpose, or expired; `unsupported` for another
/// suite, another kind of key, or several proofs; `corrupt_data` when document and signature do not belong together.
pub fn verify(secured: &Map<String, Value>, now: Timestamp) -> Result<Verified> {
    let mut document = secured.clone();
    let mut config = match document.remove("proof") {
        Some(Value::Object(proof)) => proof,
        Some(Value::Array(_)) => {
            return Err(Error::unsupported("the document carries a set of proofs; one proof is expected"));
        }
        Some(_) => return Err(Error::invalid_argument("the document's proof is not an object")),
        None => return Err(Error::invalid_argument("the document carries no proof")),
    };
    expect(&config, "type", TYPE)?;
    expect(&config, "cryptosuite", CRYPTOSUITE)?;
    if text(&config, "proofPurpose")? != PURPOSE {
        return Err(Error::invalid_argument(format!("the proof's purpose is not {PURPOSE}")));
    }
    if config.contains_key("previousProof") {
        return Err(Error::unsupported("the proof belongs to a chain; one proof is expected"));
    }
    let created = date_member(&config, "created")?;
    let expires = date_member(&config, "expires")?;
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        return Err(Error::invalid_argument(format!("the proof expired at {expires}")));
    }
    let signer = signer_of(text(&config, "verificationMethod")?)?;
    let signature = signature_of(text(&config, "proofValue")?)?;
    config.remove("proofValue");

    if let Some(signed) = config.get("@context") {
        let carried = document.get("@context").map(as_list).unwrap_or_default();
        if !carried.starts_with(as_list(signed)) {
            return Err(Error::corrupt_data("the document's contexts are not those that were signed"));
        }
        document.insert("@context".into(), signed.clone());
    }
    if !signer.verify(&hash_data(&document, &config)?, &signature) {
        return Err(Error::corrupt_data("the signature does not belong to this document and this key")
            .with("signer", signer)
            .with_remedy("ask the issuer for an unchanged copy"));
    }
    Ok(Verified { signer, document, created, expires })
}

/// The 64 bytes that are signed: SHA-256 of the proof configuration, then SHA-256 of the document, each in canonical
/// form (§3.3.4). `config` is the proof without its `proofValue`.
pub fn hash_data(document: &Map<String, Value>, config: &Map<String, Value>) -> Result<[u8; 64]> {
    let mut hashes = [0; 64];
    hashes[..32].copy_from_slice(&json::digest(config)?);
    hashes[32..].copy_from_slice(&json::digest(document)?);
    Ok(hashes)
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str> {
    object
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::invalid_argument(format!("the proof has no {name}, or it is no text")))
}

fn expect(config: &Map<String, Value>, name: &str, wanted: &str) -> Result<()> {
    match text(config, name)? {
        found if found == wanted => Ok(()),
        found => Err(Error::unsupported(format!("the proof's {name} is {found:.60?}; only {wanted} is checked here"))),
    }
}

/// The did:key behind a verification method, whose fragment must name the same key (did:key §3.1.2).
fn signer_of(method: &str) -> Result<Did> {
    let (did, _) = method
        .split_once('#')
        .ok_or_else(|| Error::invalid_argument("the proof's verificationMethod names no key of its controller"))?;
    if !did.starts_with("did:key:") {
        return Err(Error::unsupported("the proof's verificationMethod is not a did:key"));
    }
    let did: Did = did.parse()?;
    if did.verification_method() != method {
        return Err(Error::invalid_argument(
            "the proof's verificationMethod names a key that its did:key does not have",
        ));
    }
    Ok(did)
}

fn signature_of(value: &str) -> Result<[u8; 64]> {
    let invalid = || Error::invalid_argument("the proofValue is not 64 bytes in base58btc");
    let encoded = value.strip_prefix('z').filter(|encoded| encoded.len() <= MAX_PROOF_VALUE).ok_or_else(invalid)?;
    let bytes = bs58::decode(encoded).into_vec().map_err(|_| invalid())?;
    bytes.try_into().map_err(|_| invalid())
}

fn as_list(context: &Value) -> &[Value] {
    match context {
        Value::Array(list) => list,
        single => std::slice::from_ref(single),
    }
}

fn date_member(object: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>> {
    match object.get(name) {
        None => Ok(None),
        Some(value) => date_time(name, value).map(Some),
    }
}

/// Reads an XML Schema `dateTimeStamp` (XML Schema 1.1 part 2 §3.4.28): a four-digit year, a zone, nothing else.
pub(super) fn date_time(name: &str, value: &Value) -> Result<Timestamp> {
    let invalid = || {
        Error::invalid_argument(format!("{name} is not an instant such as 2026-01-31T12:00:00Z"))
            .with_remedy("write date, time and time zone as XML Schema's dateTimeStamp")
    };
    let text = value.as_str().filter(|text| is_date_time(text.as_bytes())).ok_or_else(invalid)?;
    text.parse().map_err(|_| invalid())
}

fn is_date_time(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                sign => byte == sign,
            })
    };
    let Some((head, mut tail)) = text.split_at_checked(SHAPE.len()) else { return false };
    // A leap second is no value of XML Schema, and would be read as the second before it.
    if !fits(head, SHAPE) || head.ends_with(b":60") {
        return false;
    }
    if let Some(fraction) = tail.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        tail = &fraction[digits..];
    }
    tail == b"Z" || fits(tail, b"+00:00") || fits(tail, b"-00:00")
}

/// The instant without its fraction of a second.
pub(super) fn whole_seconds(instant: Timestamp) -> Result<Timestamp> {
    Timestamp::from_second(instant.as_nanosecond().div_euclid(1_000_000_000) as i64)
        .map_err(|error| Error::invalid_argument("the clock shows a date that cannot be written").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::identity::Keypair;

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    async fn signed(text: &str) -> Map<String, Value> {
        sign(&object(text), &*Keypair::from_seed([7; 32]).signer().unwrap(), now()).await.unwrap()
    }

    #[tokio::test]
    async fn a_document_verifies_and_a_changed_one_does_not() {
        let secured = signed(r#"{"@context":["a","b"],"x":[1,{"y":"z"}]}"#).await;
        let verified = verify(&secured, now()).unwrap();
        assert_eq!(verified.signer, Keypair::from_seed([7; 32]).did().unwrap());
        assert_eq!(Value::Object(verified.document), serde_json::json!({"@context":["a","b"],"x":[1,{"y":"z"}]}));
        assert_eq!(verified.created, Some(now()));
        let changes: [fn(&mut Map<String, Value>); 10] = [
            |map| map["x"] = 1.into(),
            |map| drop(map.insert("more".into(), Value::Null)),
            |map| map["@context"] = serde_json::json!(["b", "a"]),
            |map| map["@context"] = serde_json::json!(["a"]),
            |map| map["@context"] = serde_json::json!(["x", "a", "b"]),
            |map| drop(map.remove("@context")),
            |map| map["proof"]["created"] = "2026-06-01T00:00:01Z".into(),
            |map| map["proof"]["expires"] = "2027-06-01T00:00:01Z".into(),
            |map| map["proof"]["domain"] = "elsewhere".into(),
            |map| map["proof"]["@context"] = serde_json::json!(["a"]),
        ];
        for change in changes {
            let mut changed = secured.clone();
            change(&mut changed);
            assert_eq!(verify(&changed, now()).unwrap_err().code(), ErrorCode::CorruptData, "{changed:?}");
        }
    }

    #[tokio::test]
    async fn an_appended_context_is_left_out_of_what_was_signed() {
        let mut secured = signed(r#"{"@context":"a"}"#).await;
        secured["@context"] = serde_json::json!(["a", "injected"]);
        assert_eq!(verify(&secured, now()).unwrap().document["@context"], "a");
    }

    #[tokio::test]
    async fn proofs_of_another_kind_are_refused_with_the_reason() {
        let secured = signed(r#"{"x":1}"#).await;
        let key = Keypair::from_seed([7; 32]).did().unwrap();
        let cases: [(&str, Value, ErrorCode); 16] = [
            ("type", "Ed25519Signature2020".into(), ErrorCode::Unsupported),
            ("cryptosuite", "eddsa-rdfc-2022".into(), ErrorCode::Unsupported),
            ("cryptosuite", Value::Null, ErrorCode::InvalidArgument),
            ("proofPurpose", "authentication".into(), ErrorCode::InvalidArgument),
            ("previousProof", "urn:x".into(), ErrorCode::Unsupported),
            ("created", "yesterday".into(), ErrorCode::InvalidArgument),
            ("created", 5.into(), ErrorCode::InvalidArgument),
            ("expires", "2026-06-01T00:00:00Z".into(), ErrorCode::InvalidArgument),
            ("verificationMethod", format!("{key}#key-1").into(), ErrorCode::InvalidArgument),
            ("verificationMethod", key.to_string().into(), ErrorCode::InvalidArgument),
            ("verificationMethod", "did:web:kwaai.ai#key".into(), ErrorCode::Unsupported),
            ("verificationMethod", "did:key:z6Mk#z6Mk".into(), ErrorCode::InvalidArgument),
            ("proofValue", "z".into(), ErrorCode::InvalidArgument),
            ("proofValue", "uAAAA".into(), ErrorCode::InvalidArgument),
            ("proofValue", format!("z{}", "1".repeat(100_000)).into(), ErrorCode::InvalidArgument),
            ("proofValue", format!("z{}", "1".repeat(64)).into(), ErrorCode::CorruptData),
        ];
        for (name, value, code) in cases {
            let mut changed = secured.clone();
            changed["proof"][name] = value;
            assert_eq!(verify(&changed, now()).unwrap_err().code(), code, "{name} {}", changed["proof"][name]);
        }
        let mut several = secured.clone();
        several["proof"] = Value::Array(vec![secured["proof"].clone(), secured["proof"].clone()]);
        assert_eq!(verify(&several, now()).unwrap_err().code(), ErrorCode::Unsupported);
        let signer = Keypair::from_seed([7; 32]).signer().unwrap();
        assert_eq!(sign(&secured, &*signer, now()).await.unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(verify(&object(r#"{"x":1}"#), now()).unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn only_an_xml_schema_instant_with_its_zone_is_a_date() {
        let read = |text: &str| date_time("created", &text.into());
        for text in ["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123+02:00", "0001-01-01T00:00:00-05:30"] {
            read(text).unwrap();
        }
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:60Z",
            "2026-02-30T12:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00z",
            "2026-01-31T12:00:00Z[UTC]",
            "+002026-01-31T12:00:00Z",
        ] {
            assert_eq!(read(text).unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
        }
    }
}
