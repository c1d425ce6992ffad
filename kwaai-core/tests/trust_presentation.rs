//! Presentations: a holder shows credentials to one audience, and nobody else can use them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kwaai_core::ErrorCode;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::proof::{self, ProofOptions, ProofPurpose};
use kwaai_core::trust::{
    CredentialFilter, CredentialType, MAX_PRESENTED, PRESENTATION_LIFETIME, TrustGraph, verify_presentation,
};
use serde_json::{Map, Value, json};

const DAY: Duration = Duration::from_secs(86_400);
const CHALLENGE: &str = "b7f1c2d0-6d0e-4a4b-8f55-2a1f0d9c7e31";

/// Several nodes on one clock. Node `n` has the key of the seed `[n; 32]`; node 1 is the audience.
struct World {
    clock: ManualClock,
}

impl World {
    fn new() -> World {
        World { clock: ManualClock::at("2026-06-01T10:30:00Z".parse().unwrap()) }
    }

    fn node(&self, seed: u8) -> TrustGraph {
        let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
        TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(self.clock.clone())).unwrap()
    }

    /// A node that holds an uptime credential about itself from node 2, for a day, and one about node 9.
    async fn holder(&self) -> TrustGraph {
        let (holder, issuer) = (self.node(3), self.node(2));
        for subject in [holder.did(), did(9)] {
            let credential = issuer.issue(CredentialType::Uptime, subject, Map::new(), Some(DAY)).await.unwrap();
            holder.import_credential(&credential.to_json()).await.unwrap();
        }
        holder
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn audience() -> String {
    did(1).to_string()
}

fn about(subject: Did) -> CredentialFilter {
    CredentialFilter { subject: Some(subject), ..CredentialFilter::default() }
}

async fn present(holder: &TrustGraph) -> Map<String, Value> {
    let presentation = holder.present(&audience(), CHALLENGE, &CredentialFilter::default()).await.unwrap();
    presentation.document().clone()
}

/// Code and rule of the refusal that the audience gives.
fn refusal(document: &Map<String, Value>, now: Timestamp) -> (ErrorCode, String) {
    let text = Value::Object(document.clone()).to_string();
    let error = verify_presentation(&text, &audience(), CHALLENGE, now).unwrap_err();
    (error.code(), error.context().get("rule").cloned().unwrap_or_default())
}

/// The document under another proof of node `seed`.
async fn signed(mut document: Map<String, Value>, seed: u8, options: &ProofOptions) -> Map<String, Value> {
    document.remove("proof");
    proof::add(&document, &*Keypair::from_seed([seed; 32]).signer().unwrap(), options).await.unwrap()
}

fn options(now: Timestamp) -> ProofOptions {
    ProofOptions {
        domain: Some(audience()),
        challenge: Some(CHALLENGE.into()),
        ..ProofOptions::new(ProofPurpose::Authentication, now)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audience_learns_who_the_holder_is_and_what_is_said_about_it() {
    let world = World::new();
    let holder = world.holder().await;
    let presentation = holder.present(&audience(), CHALLENGE, &CredentialFilter::default()).await.unwrap();
    let shown = world.node(1).verify_presentation(&presentation.to_json(), &audience(), CHALLENGE).unwrap();
    assert_eq!((shown.holder, shown.credentials.len(), shown.about_others.len()), (did(3), 1, 0));
    assert_eq!((shown.credentials[0].subject(), shown.credentials[0].issuer()), (Some(did(3)), did(2)));
    assert_eq!(shown.expires, world.now() + PRESENTATION_LIFETIME);
    assert_eq!(presentation.to_string(), presentation.to_json());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_about_somebody_else_are_told_apart() {
    let world = World::new();
    let holder = world.holder().await;
    let presentation = holder.present(&audience(), CHALLENGE, &about(did(9))).await.unwrap().to_json();
    let shown = world.node(1).verify_presentation(&presentation, &audience(), CHALLENGE).unwrap();
    assert_eq!((shown.credentials.len(), shown.about_others.len()), (0, 1));
    assert_eq!(shown.about_others[0].subject(), Some(did(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_holds_now_is_presented() {
    let world = World::new();
    let holder = world.holder().await;
    world.clock.advance(DAY + Duration::from_secs(1));
    let document = present(&holder).await;
    assert_eq!(document["verifiableCredential"], json!([]), "who the holder is can be shown without a credential");
    let text = Value::Object(document).to_string();
    assert_eq!(verify_presentation(&text, &audience(), CHALLENGE, world.now()).unwrap().holder, did(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presentation_is_worth_nothing_to_another_audience_for_another_challenge_or_later() {
    let world = World::new();
    let holder = world.holder().await;
    let text = Value::Object(present(&holder).await).to_string();
    let refusal = |audience: &str, challenge: &str, now| {
        let error = verify_presentation(&text, audience, challenge, now).unwrap_err();
        (error.code(), error.context()["rule"].clone())
    };
    let now = world.now();
    assert_eq!(refusal(&did(4).to_string(), CHALLENGE, now), (ErrorCode::PermissionDenied, "domain".into()));
    assert_eq!(refusal(&audience(), "another", now), (ErrorCode::PermissionDenied, "challenge".into()));
    let end = now + PRESENTATION_LIFETIME;
    assert_eq!(refusal(&audience(), CHALLENGE, end), (ErrorCode::InvalidArgument, "dates".into()));
    let early = now - Duration::from_secs(301);
    assert_eq!(refusal(&audience(), CHALLENGE, early), (ErrorCode::InvalidArgument, "dates".into()));
    assert_eq!(refusal("", CHALLENGE, now), (ErrorCode::InvalidArgument, "domain".into()));
    assert_eq!(refusal(&audience(), "", now), (ErrorCode::InvalidArgument, "challenge".into()));
    for (audience, challenge) in [("", CHALLENGE), ("somebody", ""), ("x".repeat(1025).as_str(), CHALLENGE)] {
        let refused = holder.present(audience, challenge, &CredentialFilter::default()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    }
    verify_presentation(&text, &audience(), CHALLENGE, end - Duration::from_secs(1)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_lacks_what_a_presentation_needs_is_refused() {
    let world = World::new();
    let document = present(&world.holder().await).await;
    let (now, denied, invalid) = (world.now(), ErrorCode::PermissionDenied, ErrorCode::InvalidArgument);
    let cases = [
        (ProofOptions { domain: None, ..options(now) }, denied, "domain"),
        (ProofOptions { challenge: None, ..options(now) }, denied, "challenge"),
        (ProofOptions { purpose: ProofPurpose::AssertionMethod, ..options(now) }, invalid, "proof-purpose"),
        (options(now - PRESENTATION_LIFETIME), invalid, "dates"),
    ];
    for (options, code, rule) in cases {
        let changed = signed(document.clone(), 3, &options).await;
        assert_eq!(refusal(&changed, now), (code, rule.into()), "{options:?}");
    }
    let stolen = signed(document.clone(), 4, &options(now)).await;
    assert_eq!(refusal(&stolen, now), (ErrorCode::CorruptData, "controller".into()), "another's presentation");
    let mut unsigned = document;
    unsigned.remove("proof");
    assert_eq!(refusal(&unsigned, now), (invalid, "proof".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_credential_that_does_not_hold_fails_the_presentation() {
    let world = World::new();
    let document = present(&world.holder().await).await;
    let now = world.now();
    type Change = fn(&mut Value);
    let cases: [(Change, ErrorCode, &str); 6] = [
        (|credential| credential["credentialSubject"]["more"] = 1.into(), ErrorCode::CorruptData, "id"),
        (
            |credential| credential["proof"]["created"] = "2026-06-01T10:29:00Z".into(),
            ErrorCode::CorruptData,
            "signature",
        ),
        (|credential| credential["validUntil"] = "2026-05-01T00:00:00Z".into(), ErrorCode::InvalidArgument, "dates"),
        (|credential| drop(credential.as_object_mut().unwrap().remove("proof")), ErrorCode::InvalidArgument, "proof"),
        (|credential| *credential = "an envelope".into(), ErrorCode::InvalidArgument, "json"),
        (|credential| credential["long"] = "x".repeat(65_536).into(), ErrorCode::ResourceExhausted, "size"),
    ];
    for (change, code, rule) in cases {
        let mut changed = document.clone();
        change(&mut changed["verifiableCredential"][0]);
        let changed = signed(changed, 3, &options(now)).await;
        assert_eq!(refusal(&changed, now), (code, rule.into()));
        let text = Value::Object(changed).to_string();
        let error = verify_presentation(&text, &audience(), CHALLENGE, now).unwrap_err();
        assert_eq!(error.context()["credential"], "0");
    }
    let long_ago = World { clock: ManualClock::at("2025-06-01T10:30:00Z".parse().unwrap()) };
    let expired = present(&long_ago.holder().await).await["verifiableCredential"].clone();
    let mut changed = document;
    changed["verifiableCredential"].as_array_mut().unwrap().extend(expired.as_array().unwrap().clone());
    let changed = signed(changed, 3, &options(now)).await;
    let error = verify_presentation(&Value::Object(changed).to_string(), &audience(), CHALLENGE, now).unwrap_err();
    assert_eq!((error.context()["rule"].as_str(), error.context()["credential"].as_str()), ("dates", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_no_presentation_are_refused_even_when_well_signed() {
    let world = World::new();
    let document = present(&world.holder().await).await;
    let now = world.now();
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    let many = vec![document["verifiableCredential"][0].clone(); MAX_PRESENTED + 1];
    let cases = [
        ("@context", json!(["https://example.org/other"]), ErrorCode::InvalidArgument, "context"),
        ("@context", json!(["https://www.w3.org/2018/credentials/v1"]), ErrorCode::Unsupported, "version"),
        (
            "@context",
            json!(["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/2018/credentials/v1"]),
            ErrorCode::InvalidArgument,
            "version",
        ),
        ("type", json!(["VerifiableCredential"]), ErrorCode::InvalidArgument, "type"),
        ("holder", Value::Null, ErrorCode::InvalidArgument, "holder"),
        ("holder", json!("https://example.org"), ErrorCode::Unsupported, "holder"),
        ("holder", json!({"id": did(4).to_string()}), ErrorCode::CorruptData, "controller"),
        ("verifiableCredential", json!(many), ErrorCode::ResourceExhausted, "size"),
        ("verifiableCredential", json!(5), ErrorCode::InvalidArgument, "json"),
        ("more", deep, ErrorCode::ResourceExhausted, "depth"),
        ("more", json!("x".repeat(1024 * 1024)), ErrorCode::ResourceExhausted, "size"),
        ("more", json!(u64::MAX), ErrorCode::InvalidArgument, "integer-range"),
    ];
    for (name, value, code, rule) in cases {
        let mut changed = document.clone();
        changed.insert(name.into(), value);
        let changed = signed(changed, 3, &options(now)).await;
        assert_eq!(refusal(&changed, now), (code, rule.into()), "{name} {rule}");
    }
    let mut appended = document.clone();
    appended["@context"].as_array_mut().unwrap().push("https://attacker.example/terms".into());
    assert_eq!(refusal(&appended, now), (ErrorCode::CorruptData, "context".into()));
    let mut single = document;
    single["verifiableCredential"] = single["verifiableCredential"][0].clone();
    let single = signed(single, 3, &options(now)).await;
    let text = Value::Object(single).to_string();
    assert_eq!(verify_presentation(&text, &audience(), CHALLENGE, now).unwrap().credentials.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_credentials_than_a_presentation_holds_are_not_signed() {
    let world = World::new();
    let (holder, issuer) = (world.node(3), world.node(2));
    for number in 0..17 {
        let claims = json!({"number": number, "long": "x".repeat(63 * 1024)}).as_object().unwrap().clone();
        let credential = issuer.issue(CredentialType::Uptime, did(3), claims, None).await.unwrap();
        holder.import_credential(&credential.to_json()).await.unwrap();
    }
    let refused = holder.present(&audience(), CHALLENGE, &CredentialFilter::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.context()["rule"].as_str()), (ErrorCode::ResourceExhausted, "size"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presentation_is_written_as_it_was_from_the_beginning() {
    let world = World::new();
    let mut written = Value::Object(present(&world.holder().await).await);
    written.sort_all_objects();
    assert_eq!(written.to_string(), GOLDEN);
}

const GOLDEN: &str = r#"{"@context":["https://www.w3.org/ns/credentials/v2"],"holder":"did:key:z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2","proof":{"@context":["https://www.w3.org/ns/credentials/v2"],"challenge":"b7f1c2d0-6d0e-4a4b-8f55-2a1f0d9c7e31","created":"2026-06-01T10:30:00Z","cryptosuite":"eddsa-jcs-2022","domain":"did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX","expires":"2026-06-01T10:35:00Z","proofPurpose":"authentication","proofValue":"zfeeAAJbPUDzYVXsSyGviHE4ycoc9xA3Wy7z6hyBAsUtkuowYx5Pw9MQvadDf3mw2PaGQ4aw13q3qLVJHSZ1CinW","type":"DataIntegrityProof","verificationMethod":"did:key:z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2#z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2"},"type":["VerifiablePresentation"],"verifiableCredential":[{"@context":["https://www.w3.org/ns/credentials/v2","https://www.w3.org/ns/credentials/undefined-terms/v2"],"credentialSubject":{"id":"did:key:z6MkvRXNYcE7MMduynWTgeKbDaT1iijDSC8pZqXZc8rHPrf2"},"id":"urn:kwaai:vc:bc1ef54df8a69b38fdf58eb1a45fee30a482dfe0d21afca4e9e99e5b20d3e8aa","issuer":"did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH","proof":{"@context":["https://www.w3.org/ns/credentials/v2","https://www.w3.org/ns/credentials/undefined-terms/v2"],"created":"2026-06-01T10:30:00Z","cryptosuite":"eddsa-jcs-2022","proofPurpose":"assertionMethod","proofValue":"z5KMwBbjNG6n36Goe9G9JJFnxzsHyR28stTfc1pqjNfcsH6SfC6jrSbusS6Se5SbetCstwMoEcpthUHwUJ9JB83uV","type":"DataIntegrityProof","verificationMethod":"did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH#z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH"},"type":["VerifiableCredential","UptimeVC"],"validFrom":"2026-06-01T10:30:00Z","validUntil":"2026-06-02T10:30:00Z"}]}"#;
