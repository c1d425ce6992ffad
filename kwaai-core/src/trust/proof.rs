//! Proofs on JSON documents: W3C Data Integrity 1.0 with the suite `eddsa-jcs-2022` (Data Integrity EdDSA
//! Cryptosuites 1.0 §3.3).
//!
//! What is signed are 64 bytes: the SHA-256 of the canonical proof configuration, then the SHA-256 of the canonical
//! document. So every byte of the document and of the proof counts, the signature itself excepted.
//!
//! With the feature `rdfc`, `eddsa-rdfc-2022` (§3.2) and `Ed25519Signature2020` (§3.4) of others are checked too. They sign the
//! document as RDF, in contexts that are pinned here.
//!
//! A document may carry several proofs, beside each other or building on each other; see [`verify`].

mod date;
#[cfg(feature = "rdfc")]
mod rdf;
mod set;
mod suite;

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::rule::Rule;
use crate::identity::{Did, Signer};
use crate::{Error, Result};
use set::ProofSet;

pub(super) use date::{date_time, whole_seconds};
#[cfg(feature = "rdfc")]
pub use rdf::canonical as canonical_rdf;
pub use set::MAX_PROOFS;
#[cfg(feature = "rdfc")]
pub use suite::hash_rdf;
pub use suite::{Suite, hash_data};

/// How far the clock of another machine may be ahead of this one's before its dates count as lying in the future.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// What a proof is made for, and so what its key must be allowed to do (Data Integrity 1.0 §2.1, `proofPurpose`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProofPurpose {
    /// To say that the document is true, as a credential's issuer does.
    AssertionMethod,
    /// To show who one is, as the holder of a presentation does.
    Authentication,
}

impl ProofPurpose {
    /// The purpose's name in a proof.
    pub fn as_str(self) -> &'static str {
        match self {
            ProofPurpose::AssertionMethod => "assertionMethod",
            ProofPurpose::Authentication => "authentication",
        }
    }
}

impl fmt::Display for ProofPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a new proof says.
#[derive(Debug, Clone)]
pub struct ProofOptions {
    /// What it is made for.
    pub purpose: ProofPurpose,
    /// When it is made. Written to the second.
    pub created: Timestamp,
    /// The instant from which on it no longer holds. Written to the second.
    pub expires: Option<Timestamp>,
    /// An identifier, by which a later proof can build on this one: a URL such as `urn:uuid:…`.
    pub id: Option<String>,
    /// The identifiers of the proofs on the document that this one covers as well.
    pub previous: Vec<String>,
    /// Whom it is made for.
    pub domain: Option<String>,
    /// The text that it answers, chosen by whom it is made for.
    pub challenge: Option<String>,
}

impl ProofOptions {
    /// A proof for the purpose that says nothing more than when it was made.
    pub fn new(purpose: ProofPurpose, created: Timestamp) -> ProofOptions {
        ProofOptions { purpose, created, expires: None, id: None, previous: Vec::new(), domain: None, challenge: None }
    }
}

/// What every proof of a document must say to be accepted.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// What it must have been made for.
    pub purpose: ProofPurpose,
    /// The present: a proof made later, or expired by now, does not hold.
    pub now: Timestamp,
    /// Whom it must have been made for, unless that does not matter.
    pub domain: Option<&'a str>,
    /// What it must answer, unless that does not matter.
    pub challenge: Option<&'a str>,
}

impl Expected<'_> {
    /// A proof by which somebody asserts the document, for anybody.
    pub fn assertion(now: Timestamp) -> Expected<'static> {
        Expected { purpose: ProofPurpose::AssertionMethod, now, domain: None, challenge: None }
    }
}

/// What a checked proof says.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The identity whose key signed.
    pub signer: Did,
    /// How it was signed.
    pub suite: Suite,
    /// What was signed: the document without its proofs, with exactly the contexts that the signature covers.
    pub document: Map<String, Value>,
    /// The proof's identifier.
    pub id: Option<String>,
    /// When the proof says that it was made.
    pub created: Option<Timestamp>,
    /// The instant from which on the proof no longer holds.
    pub expires: Option<Timestamp>,
}

/// Adds an assertion to a document that has no proof. `created` is written to the second.
///
/// # Errors
/// `invalid_argument` when the document has a proof already, or has no canonical form; what the signer answers.
pub async fn sign(
    document: &Map<String, Value>,
    signer: &dyn Signer,
    created: Timestamp,
) -> Result<Map<String, Value>> {
    if document.contains_key("proof") {
        return Err(Rule::Proof
            .invalid("the document carries a proof already")
            .with_remedy("add another proof to the set instead"));
    }
    add(document, signer, &ProofOptions::new(ProofPurpose::AssertionMethod, created)).await
}

/// Adds a proof to a document, beside those that it has. With `previous` it covers these too and makes a chain (Data
/// Integrity 1.0 §4.5). The proofs that stand there are not checked.
///
/// # Errors
/// `invalid_argument` when the document's proofs are malformed, when one that is to be built on is missing, when the
/// identifier is taken, or when the document has no canonical form; `resource_exhausted` when it has [`MAX_PROOFS`]
/// already; what the signer answers.
pub async fn add(
    document: &Map<String, Value>,
    signer: &dyn Signer,
    options: &ProofOptions,
) -> Result<Map<String, Value>> {
    let mut unsecured = document.clone();
    let standing = unsecured.remove("proof");
    let mut proof = Map::new();
    Suite::name_in(&mut proof);
    let text = |member: &Option<String>| member.clone().map(Value::String);
    let previous = match options.previous.as_slice() {
        [] => None,
        [only] => Some(only.clone().into()),
        several => Some(several.to_vec().into()),
    };
    let members = [
        ("id", text(&options.id)),
        ("created", Some(whole_seconds(options.created)?.to_string().into())),
        ("expires", options.expires.map(whole_seconds).transpose()?.map(|expires| expires.to_string().into())),
        ("verificationMethod", Some(signer.did().verification_method().into())),
        ("proofPurpose", Some(options.purpose.as_str().into())),
        ("previousProof", previous),
        ("domain", text(&options.domain)),
        ("challenge", text(&options.challenge)),
        ("@context", document.get("@context").cloned()),
    ];
    proof.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
    if !options.previous.is_empty() {
        let covered = ProofSet::read(standing.as_ref())?.find(&options.previous)?;
        unsecured.insert("proof".into(), covered.into_iter().cloned().map(Value::Object).collect());
    }
    let signature = signer.sign(&hash_data(&unsecured, &proof)?).await?;
    proof.insert("proofValue".into(), suite::write_signature(signature).into());
    let proof = Value::Object(proof);
    let proofs = match standing {
        None => proof,
        Some(Value::Array(mut list)) => {
            list.push(proof);
            Value::Array(list)
        }
        Some(single) => Value::Array(vec![single, proof]),
    };
    ProofSet::read(Some(&proofs))?;
    let mut secured = document.clone();
    secured.insert("proof".into(), proofs);
    Ok(secured)
}

/// Checks every proof of a document and returns what each says, in their order. One that does not hold fails the whole
/// document. Dates inside the document are the caller's business, and so is whether the signers are those who should
/// have signed.
///
/// Of several proofs each is checked against the document without any proof (a set); one that names others as
/// `previousProof` is checked against the document with exactly those (a chain). So nobody can change or exchange a
/// proof that another builds on; one that nothing builds on can be taken away unseen.
///
/// When a proof carries contexts, the document's must begin with the same (§3.3.2 step 4); contexts appended behind
/// them are not signed and are left out of [`Verified::document`].
///
/// # Errors
/// `invalid_argument` when a proof is missing, malformed, made for another purpose, from the future, or expired, or when it
/// builds on one that is missing or on itself; `permission_denied` when it was made for another audience or answers another
/// challenge; `unsupported` for another suite or another kind of key; `resource_exhausted` for more than [`MAX_PROOFS`];
/// `corrupt_data` when document and signature do not belong together. The context names the [`Rule`].
pub fn verify(secured: &Map<String, Value>, expected: &Expected<'_>) -> Result<Vec<Verified>> {
    let document = || -> Map<String, Value> {
        let members = secured.iter().filter(|(name, _)| *name != "proof");
        members.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    ProofSet::read(secured.get("proof"))?
        .iter()
        .map(|(proof, previous)| verify_one(document(), proof, previous, expected))
        .collect()
}

fn verify_one(
    mut document: Map<String, Value>,
    proof: &Map<String, Value>,
    previous: Vec<Value>,
    expected: &Expected<'_>,
) -> Result<Verified> {
    let suite = Suite::of(proof)?;
    let (created, expires) = check_dates(proof, expected.now)?;
    check_purpose(proof, expected)?;
    let signer = key_of(proof)?;
    let signature = suite::read_signature(proof.get("proofValue"))?;
    let mut config = proof.clone();
    config.remove("proofValue");
    if !previous.is_empty() {
        document.insert("proof".into(), Value::Array(previous));
    }
    if !signer.verify(&suite.hash(&mut document, &config)?, &signature) {
        return Err(Rule::Signature
            .corrupt("the signature does not belong to this document and this key")
            .with("signer", signer)
            .with_remedy("ask the issuer for an unchanged copy"));
    }
    document.remove("proof");
    let id = proof.get("id").and_then(Value::as_str).map(String::from);
    Ok(Verified { signer, suite, document, id, created, expires })
}

/// Reads both dates of a proof, which must lie around the present.
fn check_dates(proof: &Map<String, Value>, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let date = |name: &str| proof.get(name).map(|value| date_time(name, value)).transpose();
    let (created, expires) = (date("created")?, date("expires")?);
    if let Some(created) = created.filter(|created| is_future(*created, now)) {
        return Err(Rule::Dates.invalid(format!("the proof was made in the future, at {created}")));
    }
    if let Some(expires) = expires.filter(|expires| *expires <= now) {
        return Err(Rule::Dates.invalid(format!("the proof expired at {expires}")));
    }
    Ok((created, expires))
}

/// Whether an instant lies so far ahead that no inaccurate clock explains it.
pub(super) fn is_future(instant: Timestamp, now: Timestamp) -> bool {
    now.checked_add(MAX_CLOCK_SKEW).is_ok_and(|latest| instant > latest)
}

fn check_purpose(proof: &Map<String, Value>, expected: &Expected<'_>) -> Result<()> {
    let purpose = expected.purpose;
    if proof.get("proofPurpose").and_then(Value::as_str) != Some(purpose.as_str()) {
        return Err(Rule::ProofPurpose.invalid(format!("the proof's purpose is not {purpose}")));
    }
    let named = |name: &str, wanted: Option<&str>| match (proof.get(name), wanted) {
        (_, None) => true,
        (Some(Value::String(text)), Some(wanted)) => text == wanted,
        (Some(Value::Array(list)), Some(wanted)) => list.iter().any(|text| text == wanted),
        _ => false,
    };
    if !named("domain", expected.domain) {
        return Err(refused(Rule::Domain, "the proof was made for another audience"));
    }
    if !named("challenge", expected.challenge) {
        return Err(refused(Rule::Challenge, "the proof does not answer the challenge"));
    }
    Ok(())
}

fn refused(rule: Rule, message: &str) -> Error {
    Error::permission_denied(message).with("rule", rule)
}

/// The did:key behind a proof's verification method. Its fragment must name the same key, which a did:key lists for
/// both purposes (did:key §3.1.2).
fn key_of(proof: &Map<String, Value>) -> Result<Did> {
    let rule = Rule::VerificationMethod;
    let method = proof
        .get("verificationMethod")
        .and_then(Value::as_str)
        .ok_or_else(|| rule.invalid("the proof has no verificationMethod, or it is no text"))?;
    let (did, _) = method
        .split_once('#')
        .ok_or_else(|| rule.invalid("the proof's verificationMethod names no key of its controller"))?;
    if !did.starts_with("did:key:") {
        return Err(rule.unsupported("the proof's verificationMethod is not a did:key"));
    }
    let did: Did = did.parse().map_err(|error: Error| error.with("rule", rule))?;
    if did.verification_method() != method {
        return Err(rule.invalid("the proof's verificationMethod names a key that its did:key does not have"));
    }
    Ok(did)
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

    fn options(id: Option<&str>, previous: &[&str]) -> ProofOptions {
        ProofOptions {
            id: id.map(String::from),
            previous: previous.iter().map(|id| id.to_string()).collect(),
            ..ProofOptions::new(ProofPurpose::AssertionMethod, now())
        }
    }

    fn check(secured: &Map<String, Value>) -> Result<Vec<Verified>> {
        verify(secured, &Expected::assertion(now()))
    }

    fn refusal(secured: &Map<String, Value>) -> (ErrorCode, String) {
        let error = check(secured).unwrap_err();
        (error.code(), error.context()["rule"].clone())
    }

    fn node(seed: u8) -> Keypair {
        Keypair::from_seed([seed; 32])
    }

    async fn signed(text: &str) -> Map<String, Value> {
        sign(&object(text), &*node(7).signer().unwrap(), now()).await.unwrap()
    }

    /// Proofs of three keys: two beside each other, and one that builds on both.
    async fn chained() -> Map<String, Value> {
        let mut document = object(r#"{"@context":["a","b"],"x":1}"#);
        for (seed, id, previous) in [(1, "urn:1", &[][..]), (2, "urn:2", &[]), (3, "urn:3", &["urn:1", "urn:2"])] {
            let signer = node(seed).signer().unwrap();
            document = add(&document, &*signer, &options(Some(id), previous)).await.unwrap();
        }
        document
    }

    #[tokio::test]
    async fn a_document_verifies_and_a_changed_one_does_not() {
        let secured = signed(r#"{"@context":["a","b"],"x":[1,{"y":"z"}]}"#).await;
        let verified = &check(&secured).unwrap()[0];
        assert_eq!((verified.signer, verified.suite), (node(7).did().unwrap(), Suite::EddsaJcs2022));
        let document = Value::Object(verified.document.clone());
        assert_eq!(document, serde_json::json!({"@context":["a","b"],"x":[1,{"y":"z"}]}));
        assert_eq!((verified.created, verified.expires, &verified.id), (Some(now()), None, &None));
        type Change = fn(&mut Map<String, Value>);
        let changes: [(&str, Change); 10] = [
            ("signature", |map| map["x"] = 1.into()),
            ("signature", |map| drop(map.insert("more".into(), Value::Null))),
            ("context", |map| map["@context"] = serde_json::json!(["b", "a"])),
            ("context", |map| map["@context"] = serde_json::json!(["a"])),
            ("context", |map| map["@context"] = serde_json::json!(["x", "a", "b"])),
            ("context", |map| drop(map.remove("@context"))),
            ("signature", |map| map["proof"]["created"] = "2026-06-01T00:00:01Z".into()),
            ("signature", |map| map["proof"]["expires"] = "2027-06-01T00:00:01Z".into()),
            ("signature", |map| map["proof"]["domain"] = "elsewhere".into()),
            ("signature", |map| map["proof"]["@context"] = serde_json::json!(["a"])),
        ];
        for (rule, change) in changes {
            let mut changed = secured.clone();
            change(&mut changed);
            assert_eq!(refusal(&changed), (ErrorCode::CorruptData, rule.to_string()), "{changed:?}");
        }
    }

    #[tokio::test]
    async fn an_appended_context_is_left_out_of_what_was_signed() {
        let mut secured = signed(r#"{"@context":"a"}"#).await;
        secured["@context"] = serde_json::json!(["a", "injected"]);
        assert_eq!(check(&secured).unwrap()[0].document["@context"], "a");
    }

    #[tokio::test]
    async fn every_proof_of_a_set_is_checked_against_the_document_alone() {
        let mut document = object(r#"{"@context":"a","x":1}"#);
        for seed in [1, 2, 3] {
            document = add(&document, &*node(seed).signer().unwrap(), &options(None, &[])).await.unwrap();
        }
        let signers: Vec<Did> = check(&document).unwrap().iter().map(|verified| verified.signer).collect();
        assert_eq!(signers, [1, 2, 3].map(|seed| node(seed).did().unwrap()));
        let mut turned = document.clone();
        turned["proof"].as_array_mut().unwrap().reverse();
        assert_eq!(check(&turned).unwrap().len(), 3, "the members of a set have no order");
        for at in 0..3 {
            let mut changed = document.clone();
            changed["proof"][at]["proofValue"] = document["proof"][(at + 1) % 3]["proofValue"].clone();
            assert_eq!(refusal(&changed), (ErrorCode::CorruptData, "signature".into()), "one bad proof fails all");
        }
        let mut twice = document.clone();
        let first = twice["proof"][0].clone();
        twice["proof"].as_array_mut().unwrap().push(first);
        assert_eq!(refusal(&twice), (ErrorCode::InvalidArgument, "proof".into()));
    }

    #[tokio::test]
    async fn a_chained_proof_covers_the_proofs_that_it_builds_on() {
        let document = chained().await;
        let verified = check(&document).unwrap();
        assert_eq!(verified.len(), 3);
        assert_eq!(verified[2].id.as_deref(), Some("urn:3"));
        assert!(verified.iter().all(|verified| !verified.document.contains_key("proof")));

        let mut exchanged = document.clone();
        exchanged.remove("proof");
        let another = ProofOptions { expires: Some(now() + MAX_CLOCK_SKEW), ..options(Some("urn:1"), &[]) };
        let exchanged = add(&exchanged, &*node(1).signer().unwrap(), &another).await.unwrap();
        check(&exchanged).unwrap();
        let mut changed = document.clone();
        changed["proof"][0] = exchanged["proof"].clone();
        assert_eq!(refusal(&changed), (ErrorCode::CorruptData, "signature".into()), "a good proof in another's place");

        let mut unchained = document.clone();
        unchained["proof"][2].as_object_mut().unwrap().remove("previousProof");
        assert_eq!(refusal(&unchained), (ErrorCode::CorruptData, "signature".into()));
    }

    #[tokio::test]
    async fn proofs_that_build_on_nothing_or_on_themselves_are_refused_before_any_signature_is_checked() {
        let document = chained().await;
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 9] = [
            ("a missing one", |proofs| proofs[2]["previousProof"][0] = "urn:9".into()),
            ("one taken away", |proofs| drop(proofs.as_array_mut().unwrap().remove(1))),
            ("itself", |proofs| proofs[0]["previousProof"] = "urn:1".into()),
            ("a circle of two", |proofs| proofs[0]["previousProof"] = "urn:3".into()),
            ("the same twice", |proofs| proofs[2]["previousProof"][1] = "urn:1".into()),
            ("no identifier", |proofs| proofs[2]["previousProof"] = 5.into()),
            ("a list with none", |proofs| proofs[2]["previousProof"] = serde_json::json!([])),
            ("a list of others", |proofs| proofs[2]["previousProof"][0] = Value::Null),
            ("two of one name", |proofs| proofs[1]["id"] = "urn:1".into()),
        ];
        for (what, change) in cases {
            let mut changed = document.clone();
            change(&mut changed["proof"]);
            assert_eq!(refusal(&changed), (ErrorCode::InvalidArgument, "previous-proof".into()), "{what}");
        }
        let mut many = document.clone();
        many["proof"] = vec![document["proof"][0].clone(); MAX_PROOFS + 1].into();
        assert_eq!(refusal(&many), (ErrorCode::ResourceExhausted, "size".into()));
        for (proofs, rule) in [(serde_json::json!([]), "proof"), (serde_json::json!([5]), "proof"), (5.into(), "proof")]
        {
            let mut changed = document.clone();
            changed["proof"] = proofs;
            assert_eq!(refusal(&changed), (ErrorCode::InvalidArgument, rule.into()));
        }
        let signer = node(4).signer().unwrap();
        for (id, previous) in [(None, &["urn:9"][..]), (Some("urn:1"), &[])] {
            let refused = add(&document, &*signer, &options(id, previous)).await.unwrap_err();
            assert_eq!(refused.context()["rule"], "previous-proof");
        }
    }

    #[tokio::test]
    async fn proofs_of_another_kind_are_refused_with_the_reason() {
        let secured = signed(r#"{"x":1}"#).await;
        let key = node(7).did().unwrap();
        let cases: [(&str, Value, ErrorCode, Rule); 18] = [
            ("type", "Ed25519Signature2018".into(), ErrorCode::Unsupported, Rule::Cryptosuite),
            ("type", Value::Null, ErrorCode::InvalidArgument, Rule::Cryptosuite),
            ("cryptosuite", "ecdsa-jcs-2019".into(), ErrorCode::Unsupported, Rule::Cryptosuite),
            ("cryptosuite", Value::Null, ErrorCode::InvalidArgument, Rule::Cryptosuite),
            ("proofPurpose", "authentication".into(), ErrorCode::InvalidArgument, Rule::ProofPurpose),
            ("proofPurpose", Value::Null, ErrorCode::InvalidArgument, Rule::ProofPurpose),
            ("previousProof", "urn:x".into(), ErrorCode::InvalidArgument, Rule::PreviousProof),
            ("created", "yesterday".into(), ErrorCode::InvalidArgument, Rule::Dates),
            ("created", 5.into(), ErrorCode::InvalidArgument, Rule::Dates),
            ("created", "2026-06-01T00:05:01Z".into(), ErrorCode::InvalidArgument, Rule::Dates),
            ("expires", "2026-06-01T00:00:00Z".into(), ErrorCode::InvalidArgument, Rule::Dates),
            ("verificationMethod", format!("{key}#key-1").into(), ErrorCode::InvalidArgument, Rule::VerificationMethod),
            ("verificationMethod", key.to_string().into(), ErrorCode::InvalidArgument, Rule::VerificationMethod),
            ("verificationMethod", "did:web:kwaai.ai#key".into(), ErrorCode::Unsupported, Rule::VerificationMethod),
            ("verificationMethod", "did:key:z6Mk#z6Mk".into(), ErrorCode::InvalidArgument, Rule::VerificationMethod),
            ("proofValue", "uAAAA".into(), ErrorCode::InvalidArgument, Rule::Signature),
            ("proofValue", format!("z{}", "1".repeat(100_000)).into(), ErrorCode::InvalidArgument, Rule::Signature),
            ("proofValue", format!("z{}", "1".repeat(64)).into(), ErrorCode::CorruptData, Rule::Signature),
        ];
        for (name, value, code, rule) in cases {
            let mut changed = secured.clone();
            changed["proof"][name] = value;
            assert_eq!(refusal(&changed), (code, rule.to_string()), "{name} {}", changed["proof"][name]);
        }
        let signer = node(7).signer().unwrap();
        assert_eq!(sign(&secured, &*signer, now()).await.unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(refusal(&object(r#"{"x":1}"#)), (ErrorCode::InvalidArgument, "proof".into()));
    }

    #[tokio::test]
    async fn a_proof_for_somebody_else_or_another_challenge_is_refused() {
        let options = ProofOptions {
            domain: Some("did:key:audience".into()),
            challenge: Some("one".into()),
            ..ProofOptions::new(ProofPurpose::Authentication, now())
        };
        let secured = add(&object(r#"{"x":1}"#), &*node(7).signer().unwrap(), &options).await.unwrap();
        let purpose = ProofPurpose::Authentication;
        let check = |domain, challenge| {
            verify(&secured, &Expected { purpose, now: now(), domain, challenge }).map_err(|error| {
                assert_eq!(error.code(), ErrorCode::PermissionDenied);
                error.context()["rule"].clone()
            })
        };
        assert_eq!(check(Some("did:key:audience"), Some("one")).unwrap().len(), 1);
        assert_eq!(check(None, None).unwrap().len(), 1);
        assert_eq!(check(Some("did:key:other"), Some("one")).unwrap_err(), "domain");
        assert_eq!(check(Some("did:key:audience"), Some("two")).unwrap_err(), "challenge");
    }
}
