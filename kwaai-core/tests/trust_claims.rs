//! What credentials say, typed: written, read back, and refused when it is out of its range.

use std::sync::Arc;

use jiff::civil::date;
use kwaai_core::ErrorCode;
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    AttendeeClaims, BindingClaims, Claims, Credential, CredentialFilter, CredentialType, DTG_CONTEXT, DtgCredential,
    DtgShape, EndorsementClaims, LinkType, MAX_CHECKS, MAX_CLAIM_TEXT, PledgeClaims, ThroughputClaims, Tier,
    TrustGraph, UptimeClaims, VerifiedNodeClaims, Window, proof,
};
use serde_json::{Map, Value, json};

const NOW: &str = "2026-06-01T10:30:00Z";

fn node(seed: u8) -> TrustGraph {
    let clock: ManualClock = NOW.parse().unwrap();
    let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
    TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(clock)).unwrap()
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

fn window() -> Window {
    Window {
        from: "2026-05-01T00:00:00Z".parse().unwrap(),
        until: "2026-05-31T12:00:00.5Z".parse().unwrap(),
        samples: 8640,
    }
}

fn one_of_each() -> Vec<Claims> {
    vec![
        Claims::FiduciaryPledge(PledgeClaims {
            pledge_hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into(),
            pledge_name: "GliaNet Fiduciary Pledge v1".into(),
        }),
        Claims::VerifiedNode(VerifiedNodeClaims {
            checks: vec!["reachable".into(), "version".into()],
            node_version: None,
        }),
        Claims::Uptime(UptimeClaims { window: window(), up_share: 0.995 }),
        Claims::Throughput(ThroughputClaims { window: window(), model: "llama-8b".into(), tokens_per_second: 12.5 }),
        Claims::SummitAttendee(AttendeeClaims {
            event_name: "Kwaai Personal AI Summit 2026".into(),
            event_date: date(2026, 3, 15),
        }),
        Claims::PeerEndorsement(EndorsementClaims { interaction_count: 42 }),
        Claims::Binding(BindingClaims { linked_identity: did(2), link_type: LinkType::Person }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_issued_with_its_claims_and_read_back() {
    let (issuer, reader) = (node(2), node(1));
    let said = one_of_each();
    assert_eq!(said.iter().map(Claims::kind).collect::<Vec<_>>(), CredentialType::ALL);
    for claims in said {
        let credential = issuer.issue_claims(did(3), claims.clone(), None).await.unwrap();
        assert_eq!((credential.kind(), credential.subject()), (Some(claims.kind()), Some(did(3))));
        let again = reader.verify(&credential.to_json()).unwrap();
        assert_eq!(Claims::read(&again).unwrap(), Some(claims));
    }
}

#[test]
fn the_names_of_claims_are_kwaainets_where_it_has_them() {
    let names = |which: usize| {
        let mut names: Vec<String> = one_of_each()[which].to_map().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(0), ["pledgeHash", "pledgeName"]);
    assert_eq!(names(4), ["eventDate", "eventName"]);
    assert_eq!(names(5), ["interactionCount"]);
    assert_eq!(names(6), ["linkType", "linkedIdentity"]);
    assert_eq!(one_of_each()[4].to_map()["eventDate"], "2026-03-15");
    assert_eq!(one_of_each()[2].to_map()["observedUntil"], "2026-05-31T12:00:00.5Z");
}

#[test]
fn a_claim_of_another_json_type_or_out_of_its_range_is_refused_by_name() {
    let long = "x".repeat(MAX_CLAIM_TEXT + 1);
    let cases = [
        (0, "pledgeHash", json!("")),
        (0, "pledgeName", json!(long)),
        (1, "checks", json!([])),
        (1, "checks", json!("reachable")),
        (1, "checks", json!(vec!["x"; MAX_CHECKS + 1])),
        (1, "nodeVersion", json!(1)),
        (2, "upShare", json!(1.0001)),
        (2, "upShare", json!(-0.1)),
        (2, "upShare", json!("1")),
        (2, "samples", json!(0)),
        (2, "samples", json!(1.5)),
        (2, "observedFrom", json!("2026-05-01")),
        (2, "observedUntil", json!("2026-05-01T00:00:00Z")),
        (3, "tokensPerSecond", json!(0)),
        (3, "tokensPerSecond", json!(1e10)),
        (3, "model", json!(["llama"])),
        (4, "eventDate", json!("2026-02-30")),
        (4, "eventDate", json!("2026-03-15T00:00:00Z")),
        (4, "eventDate", json!("20260315")),
        (5, "interactionCount", json!(-1)),
        (5, "interactionCount", json!(9_007_199_254_740_992u64)),
        (6, "linkedIdentity", json!("did:web:kwaai.ai")),
        (6, "linkType", json!("FamilyBinding")),
    ];
    for (which, name, value) in cases {
        let good = &one_of_each()[which];
        let mut map = good.to_map();
        map.insert(name.into(), value.clone());
        let error = Claims::of(good.kind(), &map).unwrap_err();
        assert_eq!((error.code(), error.context()["claim"].as_str()), (ErrorCode::InvalidArgument, name), "{value}");
        map.remove(name);
        if name != "nodeVersion" {
            let error = Claims::of(good.kind(), &map).unwrap_err();
            assert!(error.to_string().contains("is missing"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_read_is_not_issued() {
    let issuer = node(2);
    for share in [1.5, f64::NAN] {
        let claims = Claims::Uptime(UptimeClaims { window: window(), up_share: share });
        let error = issuer.issue_claims(did(3), claims, None).await.unwrap_err();
        assert_eq!((error.code(), error.context()["claim"].as_str()), (ErrorCode::InvalidArgument, "upShare"));
    }
    let backwards = Window { from: window().until, until: window().from, samples: 1 };
    let claims = Claims::Uptime(UptimeClaims { window: backwards, up_share: 1.0 });
    assert!(issuer.issue_claims(did(3), claims, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_says_only_its_type_has_no_typed_claims_and_one_that_says_more_keeps_it() {
    let issuer = node(2);
    let bare = issuer.issue(CredentialType::Uptime, did(3), Map::new(), None).await.unwrap();
    assert_eq!(Claims::read(&bare).unwrap(), None);
    let mut map = one_of_each()[5].to_map();
    map.insert("region".into(), "north".into());
    let more = issuer.issue(CredentialType::PeerEndorsement, did(3), map, None).await.unwrap();
    assert_eq!(Claims::read(&more).unwrap().as_ref(), one_of_each().get(5));
    assert_eq!(more.claims().unwrap()["region"], "north");
    let half = issuer.issue(
        CredentialType::SummitAttendee,
        did(3),
        json!({"eventName": "x"}).as_object().unwrap().clone(),
        None,
    );
    assert_eq!(Claims::read(&half.await.unwrap()).unwrap_err().context()["claim"], "eventDate");
}

/// A credential with these types, signed by node 2 about node 3.
async fn of_types(types: &[&str]) -> String {
    let document = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": types,
        "issuer": did(2).to_string(),
        "validFrom": NOW,
        "credentialSubject": {"id": did(3).to_string(), "eventName": "A summit", "eventDate": "2026-03-15"},
    });
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let signed = proof::sign(document.as_object().unwrap(), &*signer, NOW.parse().unwrap()).await.unwrap();
    Value::Object(signed).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_attendee_counts_as_a_summit_attendee_and_once() {
    let reader = node(1);
    reader.trust_issuer(did(2), &[CredentialType::SummitAttendee]).unwrap();
    for types in [
        vec!["VerifiableCredential", "EventAttendeeVC"],
        vec!["VerifiableCredential", "SummitAttendeeVC", "EventAttendeeVC"],
    ] {
        let summary = reader.import_credential(&of_types(&types).await).await.unwrap();
        assert_eq!(summary.kind, Some(CredentialType::SummitAttendee));
        assert_eq!(summary.types, types, "the signed name is kept");
        let kept = reader.credential(&summary.id).unwrap();
        assert_eq!(Claims::read(&kept).unwrap().unwrap().kind(), CredentialType::SummitAttendee);
    }
    let score = reader.score(&did(3)).unwrap();
    assert_eq!((score.value, score.tier), (0.1, Tier::Known));
    let filter = CredentialFilter { kind: Some(CredentialType::SummitAttendee), ..CredentialFilter::default() };
    assert_eq!(reader.credentials(&filter).unwrap().len(), 2);
    let both = of_types(&["VerifiableCredential", "EventAttendeeVC", "UptimeVC"]).await;
    assert_eq!(reader.verify(&both).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_weighs_nothing_and_says_so() {
    let (issuer, reader) = (node(2), node(1));
    let binding: Credential = issuer.issue_claims(did(3), one_of_each().remove(6), None).await.unwrap();
    reader.import_credential(&binding.to_json()).await.unwrap();
    reader.trust_issuer(did(2), &CredentialType::ALL).unwrap();
    let score = reader.score(&did(3)).unwrap();
    assert_eq!(score.value, 0.0);
    assert!(!score.reasons[0].counted);
    assert_eq!(score.reasons[0].why, "its type has no weight");
}

/// A credential in a shape of the Decentralized Trust Graph, signed by node 2 about node 3.
async fn dtg(types: &[&str], contexts: Value, claims: Value) -> Credential {
    let mut subject = claims.as_object().unwrap().clone();
    subject.insert("id".into(), did(3).to_string().into());
    let types: Vec<&str> = std::iter::once("VerifiableCredential").chain(types.iter().copied()).collect();
    let document = json!({
        "@context": contexts,
        "type": types,
        "issuer": did(2).to_string(),
        "validFrom": NOW,
        "credentialSubject": subject,
    });
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let signed = proof::sign(document.as_object().unwrap(), &*signer, NOW.parse().unwrap()).await.unwrap();
    node(1).verify(&Value::Object(signed).to_string()).unwrap()
}

fn contexts() -> Value {
    json!(["https://www.w3.org/ns/credentials/v2", DTG_CONTEXT])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_four_shapes_of_the_trust_graph_are_read() {
    let membership = dtg(&["DTGCredential", "MembershipCredential"], contexts(), json!({})).await;
    let read = DtgCredential::read(&membership).unwrap().unwrap();
    assert_eq!((read.shape, read.issuer, read.subject), (DtgShape::Membership, did(2), did(3)));
    let relationship = dtg(&["DTGCredential", "RelationshipCredential"], contexts(), json!({})).await;
    assert_eq!(DtgCredential::read(&relationship).unwrap().unwrap().shape, DtgShape::Relationship);
    let said = json!({"endorsement": {"type": "SkillEndorsement", "competencyLevel": "expert"}});
    let endorsement = dtg(&["DTGCredential", "EndorsementCredential"], contexts(), said).await;
    let read = DtgCredential::read(&endorsement).unwrap().unwrap();
    assert_eq!((read.shape, &read.endorsement["type"]), (DtgShape::Endorsement, &json!("SkillEndorsement")));
    let said = json!({"digest": "zQm", "witnessContext": {"event": "A summit", "method": "in person", "other": 1}});
    let witness = dtg(&["DTGCredential", "WitnessCredential"], contexts(), said).await;
    let read = DtgCredential::read(&witness).unwrap().unwrap();
    assert_eq!((read.shape, read.digest.as_deref()), (DtgShape::Witness, Some("zQm")));
    assert_eq!(Value::Object(read.witnessed), json!({"event": "A summit", "method": "in person"}));
    let plain = node(2).issue(CredentialType::Uptime, did(3), Map::new(), None).await.unwrap();
    assert_eq!(DtgCredential::read(&plain).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shape_without_what_belongs_to_it_is_refused() {
    let cases = [
        (vec!["DTGCredential", "MembershipCredential"], json!(["https://www.w3.org/ns/credentials/v2"]), json!({})),
        (vec!["DTGCredential", "MembershipCredential", "WitnessCredential"], contexts(), json!({})),
        (vec!["DTGCredential", "EndorsementCredential"], contexts(), json!({})),
        (vec!["DTGCredential", "EndorsementCredential"], contexts(), json!({"endorsement": "good"})),
        (vec!["DTGCredential", "WitnessCredential"], contexts(), json!({"digest": 5})),
        (vec!["DTGCredential", "WitnessCredential"], contexts(), json!({"witnessContext": "x"})),
        (vec!["DTGCredential", "WitnessCredential"], contexts(), json!({"witnessContext": {"event": 1}})),
    ];
    for (types, contexts, claims) in cases {
        let credential = dtg(&types, contexts, claims).await;
        assert_eq!(DtgCredential::read(&credential).unwrap_err().code(), ErrorCode::InvalidArgument, "{credential}");
    }
    let other = dtg(&["DTGCredential", "PersonaCredential"], contexts(), json!({})).await;
    assert_eq!(DtgCredential::read(&other).unwrap_err().code(), ErrorCode::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shape_counts_only_as_the_type_of_kwaainet_that_stands_beside_it() {
    let reader = node(1);
    reader.trust_issuer(did(2), &CredentialType::ALL).unwrap();
    let said = json!({"endorsement": {"type": "Warning"}, "interactionCount": 3});
    let alone = dtg(&["DTGCredential", "EndorsementCredential"], contexts(), said.clone()).await;
    reader.import_credential(&alone.to_json()).await.unwrap();
    assert_eq!(reader.score(&did(3)).unwrap().value, 0.0);
    let both = dtg(&["DTGCredential", "EndorsementCredential", "PeerEndorsementVC"], contexts(), said).await;
    reader.import_credential(&both.to_json()).await.unwrap();
    assert_eq!(reader.score(&did(3)).unwrap().value, 0.05);
    let shapes = CredentialType::ALL.map(DtgShape::of);
    use DtgShape::{Endorsement, Membership, Relationship, Witness};
    let expected =
        [None, Some(Membership), Some(Witness), Some(Witness), Some(Membership), Some(Endorsement), Some(Relationship)];
    assert_eq!(shapes, expected);
}

/// A credential with these claims, signed by node 2 without asking this library whether they can be meant.
async fn signed(kind: CredentialType, claims: Value) -> String {
    let mut subject = claims.as_object().unwrap().clone();
    subject.insert("id".into(), did(3).to_string().into());
    let document = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2"],
        "type": ["VerifiableCredential", kind.as_str()],
        "issuer": did(2).to_string(),
        "validFrom": "2026-06-01T00:00:00Z",
        "credentialSubject": subject,
    });
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let signed = proof::sign(document.as_object().unwrap(), &*signer, NOW.parse().unwrap()).await.unwrap();
    Value::Object(signed).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_cannot_be_meant_are_refused_by_name_however_well_they_are_signed() {
    let (may, june, july) = ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z");
    let (reader, issuer) = (node(1), node(2));
    for (kind, claim, claims) in [
        (CredentialType::FiduciaryPledge, "pledgeHash", json!({"pledgeHash": 5, "pledgeName": "x"})),
        (CredentialType::FiduciaryPledge, "pledgeName", json!({"pledgeName": ""})),
        (CredentialType::VerifiedNode, "checks", json!({"checks": []})),
        (CredentialType::VerifiedNode, "checks", json!({"checks": [["nested"]]})),
        (CredentialType::VerifiedNode, "nodeVersion", json!({"nodeVersion": null})),
        (CredentialType::Uptime, "upShare", json!({"upShare": 1.01})),
        (CredentialType::Uptime, "upShare", json!({"upShare": "0.99"})),
        (CredentialType::Uptime, "samples", json!({"upShare": 0.9, "samples": 0})),
        (CredentialType::Uptime, "observedUntil", json!({"observedFrom": june, "observedUntil": may})),
        (CredentialType::Uptime, "observedUntil", json!({"observedFrom": may, "observedUntil": july})),
        (CredentialType::Uptime, "observedFrom", json!({"observedFrom": "2026-05-01"})),
        (CredentialType::Uptime, "observedUntil", json!({"observedUntil": july})),
        (CredentialType::Throughput, "observedFrom", json!({"observedFrom": july, "tokensPerSecond": 3})),
        (CredentialType::Throughput, "tokensPerSecond", json!({"tokensPerSecond": -3})),
        (CredentialType::Throughput, "tokensPerSecond", json!({"tokensPerSecond": 1e300})),
        (CredentialType::Throughput, "model", json!({"model": {"name": "m"}})),
        (CredentialType::SummitAttendee, "eventDate", json!({"eventDate": "never"})),
        (CredentialType::SummitAttendee, "eventDate", json!({"eventDate": "2026-02-30"})),
        (CredentialType::SummitAttendee, "eventName", json!({"eventName": "x".repeat(MAX_CLAIM_TEXT + 1)})),
        (CredentialType::PeerEndorsement, "interactionCount", json!({"interactionCount": -1})),
        (CredentialType::PeerEndorsement, "interactionCount", json!({"interactionCount": 1.5})),
        (CredentialType::Binding, "linkedIdentity", json!({"linkedIdentity": "did:key:zz"})),
        (CredentialType::Binding, "linkType", json!({"linkType": "Friend"})),
    ] {
        let text = signed(kind, claims.clone()).await;
        let issued = issuer.issue(kind, did(3), claims.as_object().unwrap().clone(), None).await.map(drop);
        for refused in [reader.import_credential(&text).await.map(drop), reader.verify(&text).map(drop), issued] {
            let error = refused.unwrap_err();
            let context = error.context();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{claims}");
            assert_eq!((&*context["rule"], &*context["claim"]), ("claims", claim), "{claims}");
        }
        assert!(reader.import_presented(&did(3), &[text]).await.unwrap().is_empty());
    }
    // Other names are the issuer's own business, and a type may say nothing.
    for claims in [json!({}), json!({"tier": -1, "when": "never"}), json!({"pledgeName": "x"})] {
        reader.import_credential(&signed(CredentialType::FiduciaryPledge, claims).await).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kwaainets_issuers_write_is_not_refused() {
    // A passkey's did:key, of an elliptic curve that is not read here, and a day with an hour.
    let passkey = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
    let (reader, issuer) = (node(1), node(2));
    for (kind, claims) in [
        (CredentialType::FiduciaryPledge, json!({"pledgeHash": "ab", "pledgeName": "GliaNet Fiduciary Pledge v1"})),
        (CredentialType::SummitAttendee, json!({"eventName": "A summit", "eventDate": "2026-03-15"})),
        (CredentialType::SummitAttendee, json!({"eventName": "A summit", "eventDate": "2026-03-15T00:00:00Z"})),
        (CredentialType::PeerEndorsement, json!({"interactionCount": 0})),
        (CredentialType::Binding, json!({"linkedIdentity": passkey, "linkType": "PasskeyBinding"})),
    ] {
        reader.import_credential(&signed(kind, claims.clone()).await).await.unwrap();
        issuer.issue(kind, did(3), claims.as_object().unwrap().clone(), None).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_a_credential_or_a_key_is_refused_by_its_rule() {
    let text = signed(CredentialType::PeerEndorsement, json!({"interactionCount": 3})).await;
    let whole: Value = serde_json::from_str(&text).unwrap();
    let subject = whole["credentialSubject"].clone();
    let rule = |text: &str| {
        let error = node(1).verify(text).unwrap_err();
        (error.code(), error.context().get("rule").cloned().unwrap_or_default())
    };
    for (member, value, expected) in [
        ("credentialSubject", json!([[subject]]), "subject"),
        ("credentialSubject", json!([]), "subject"),
        ("credentialSubject", json!([null]), "subject"),
        ("credentialSubject", json!({"id": ["did:key:x"]}), "subject"),
        ("type", json!([]), "type"),
        ("type", json!([["VerifiableCredential"]]), "type"),
        ("issuer", json!([did(2).to_string()]), "issuer"),
        // A Cyrillic letter where a Latin one stands.
        ("issuer", json!(did(2).to_string().replace("key", "k\u{435}y")), "issuer"),
        ("validFrom", json!("2026-05-31T23:59:60Z"), "dates"),
        ("validFrom", json!("2026-06-01T00:00:00+25:00"), "dates"),
        ("validFrom", json!(["2026-06-01T00:00:00Z"]), "dates"),
        ("proof", json!([]), "proof"),
        ("proof", json!([[whole["proof"].clone()]]), "proof"),
    ] {
        let mut other = whole.clone();
        other[member] = value.clone();
        assert_eq!(&*rule(&other.to_string()).1, expected, "{member}: {value}");
    }
    for (number, expected) in [("9007199254740993", "integer-range"), ("1e400", "json"), ("-0.5e", "json")] {
        let huge = text.replace("\"interactionCount\":3", &format!("\"interactionCount\":{number}"));
        assert_ne!(huge, text);
        assert_eq!(&*rule(&huge).1, expected, "{number}");
    }
    let twice = text.replacen("\"interactionCount\":3", "\"interactionCount\":3,\"interaction\\u0043ount\":4", 1);
    assert_eq!(&*rule(&twice).1, "duplicate-key");
    // A claim under a name that only looks like the right one is another claim, and one without meaning here.
    let lookalike = signed(CredentialType::PeerEndorsement, json!({"int\u{435}ractionCount": -1})).await;
    node(1).verify(&lookalike).unwrap();
    assert_eq!(&*rule(&lookalike.replace("int\u{435}ractionCount", "interactionCount")).1, "signature");
}
