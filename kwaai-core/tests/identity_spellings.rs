//! One key under all its names: every spelling is read as the key, and what is none is refused with the rule.

use kwaai_core::ErrorCode;
use kwaai_core::identity::{
    Did, DidText, Keypair, MAX_DID_BYTES, Multiaddr, PeerId, Relation, Spelling, peer_id, verification_key,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MULTIKEY: &str = "z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";
const OTHER: &str = "z6MkiaMbhXHNA4eJVCCj8dbzKzTgYDKf6crKgHVHid1F1WCT";
const X25519: &str = "z6LShs9GGnqk85isEBzzshkuVWrVKsRp24GnDuHk8QWkARMW";
const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
const RSA_PEER: &str = "QmaeANgBs1DTSxWSrPPtobgQuxW8XTfsS4ydbK4rCHzqxG";

fn key() -> Did {
    format!("did:key:{MULTIKEY}").parse().unwrap()
}

fn addresses() -> Vec<Multiaddr> {
    let peer = key().to_peer_id().unwrap();
    vec![
        "/ip4/192.0.2.7/tcp/4001".parse().unwrap(),
        format!("/dns4/node.example/udp/4001/quic-v1/p2p/{peer}").parse().unwrap(),
        format!("/ip4/198.51.100.1/tcp/4001/p2p/{RSA_PEER}/p2p-circuit").parse().unwrap(),
    ]
}

/// The text of a `did:peer:4` of any JSON text.
fn peer_4(document: &str) -> String {
    let encoded = format!("z{}", bs58::encode([&[0x80, 0x04], document.as_bytes()].concat()).into_string());
    let hash = bs58::encode([&[0x12, 0x20], Sha256::digest(&encoded).as_slice()].concat()).into_string();
    format!("did:peer:4z{hash}:{encoded}")
}

fn peer_2_service(json: &str) -> String {
    format!("did:peer:2.V{MULTIKEY}.S{}", multibase::Base::Base64Url.encode(json))
}

/// What a refused text is told: its code and the rule.
fn refusal(text: &str) -> (ErrorCode, String) {
    let error = text.parse::<DidText>().err().unwrap_or_else(|| panic!("{text} was read"));
    (error.code(), error.context()["rule"].clone())
}

fn key_refusal(url: &str, relation: Relation) -> (ErrorCode, String) {
    let error = verification_key(url, relation).err().unwrap_or_else(|| panic!("{url} was resolved"));
    (error.code(), error.context()["rule"].clone())
}

#[test]
fn every_spelling_that_is_written_is_read_as_the_same_key() {
    let did = key();
    let spelt = [
        did.to_text().unwrap(),
        did.to_peer_0().unwrap(),
        did.to_peer_2(&[]).unwrap(),
        did.to_peer_2(&addresses()).unwrap(),
        did.to_peer_4(&[]).unwrap(),
        did.to_peer_4(&addresses()).unwrap(),
        did.to_kwaainet().unwrap(),
    ];
    for text in &spelt {
        assert_eq!(text.did().unwrap(), did, "{text}");
        assert_eq!(Did::parse_any(text.as_str()).unwrap().to_string(), format!("did:key:{MULTIKEY}"));
        assert_eq!(peer_id::parse_any(text.as_str()).unwrap(), did.to_peer_id().unwrap());
        assert_eq!(text.document().unwrap().id(), text.as_str());
    }
    assert_eq!(format!("did:key:1:{MULTIKEY}").parse::<Did>().unwrap(), did);
}

#[test]
fn the_texts_that_are_written_are_these() {
    let did = key();
    let address: Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
    let two = did.to_peer_2(std::slice::from_ref(&address)).unwrap();
    let service = r##"{"id":"#libp2p","s":{"multiaddrs":["/ip4/192.0.2.7/tcp/4001"]},"t":"Libp2pNode"}"##;
    let service = multibase::Base::Base64Url.encode(service);
    let agreement = "z6LSrEnPXPcLyNLKJPhdJ1eWqyYKARWket5BbiN1rjdUsQ9b";
    assert_eq!(two.as_str(), format!("did:peer:2.V{MULTIKEY}.A{MULTIKEY}.E{agreement}.S{service}"));
    assert_eq!(did.to_peer_3(&[address]).unwrap().as_str(), two.short_form().unwrap().as_str());
    let four = did.to_peer_4(&[]).unwrap();
    assert_eq!(four.short_form().unwrap().as_str(), "did:peer:4zQmb2kvunDabHruzX3idCKCxH8SfGswCTgdLhuAPkJEoRnY");
    let document = did.to_text().unwrap().document().unwrap();
    assert_eq!(
        document.to_json(),
        json!({
            "@context": ["https://www.w3.org/ns/did/v1.1"],
            "alsoKnownAs": [format!("did:peer:0{MULTIKEY}"), format!("did:peer:{PEER}")],
            "assertionMethod": [format!("did:key:{MULTIKEY}#{MULTIKEY}")],
            "authentication": [format!("did:key:{MULTIKEY}#{MULTIKEY}")],
            "capabilityDelegation": [format!("did:key:{MULTIKEY}#{MULTIKEY}")],
            "capabilityInvocation": [format!("did:key:{MULTIKEY}#{MULTIKEY}")],
            "id": format!("did:key:{MULTIKEY}"),
            "keyAgreement": [format!("did:key:{MULTIKEY}#{agreement}")],
            "verificationMethod": [
                {
                    "controller": format!("did:key:{MULTIKEY}"),
                    "id": format!("did:key:{MULTIKEY}#{MULTIKEY}"),
                    "publicKeyMultibase": MULTIKEY,
                    "type": "Multikey",
                },
                {
                    "controller": format!("did:key:{MULTIKEY}"),
                    "id": format!("did:key:{MULTIKEY}#{agreement}"),
                    "publicKeyMultibase": agreement,
                    "type": "Multikey",
                },
            ],
        })
        .to_string()
    );
}

#[test]
fn dial_addresses_travel_inside_a_did() {
    let did = key();
    for text in [did.to_peer_2(&addresses()).unwrap(), did.to_peer_4(&addresses()).unwrap()] {
        assert_eq!(text.as_str().parse::<DidText>().unwrap().addresses().unwrap(), addresses());
        let document = text.document().unwrap();
        assert_eq!(document.as_map()["service"][0]["serviceEndpoint"]["multiaddrs"][0], "/ip4/192.0.2.7/tcp/4001");
    }
    assert_eq!(did.to_peer_2(&[]).unwrap().addresses().unwrap(), []);
    assert_eq!(did.to_text().unwrap().addresses().unwrap(), []);

    let of_another: Multiaddr = format!("/ip4/192.0.2.7/tcp/4001/p2p/{RSA_PEER}").parse().unwrap();
    assert_eq!(did.to_peer_2(&[of_another]).unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(did.to_peer_4(&[Multiaddr::empty()]).unwrap_err().code(), ErrorCode::InvalidArgument);
    let many = vec![addresses()[0].clone(); 17];
    assert_eq!(did.to_peer_2(&many).unwrap_err().code(), ErrorCode::ResourceExhausted);

    for (endpoint, code) in [
        (json!({"multiaddrs": [format!("/ip4/192.0.2.7/tcp/1/p2p/{RSA_PEER}")]}), ErrorCode::InvalidArgument),
        (json!({"multiaddrs": ["192.0.2.7:4001"]}), ErrorCode::InvalidArgument),
        (json!({"multiaddrs": [""]}), ErrorCode::InvalidArgument),
        (json!({"multiaddrs": [7]}), ErrorCode::InvalidArgument),
        (json!({"multiaddrs": "/ip4/192.0.2.7/tcp/1"}), ErrorCode::InvalidArgument),
        (json!("/ip4/192.0.2.7/tcp/1"), ErrorCode::InvalidArgument),
        (json!({"multiaddrs": vec!["/ip4/192.0.2.7/tcp/1"; 17]}), ErrorCode::ResourceExhausted),
    ] {
        let text = peer_2_service(&json!({"id": "#libp2p", "t": "Libp2pNode", "s": endpoint}).to_string());
        assert_eq!(text.parse::<DidText>().unwrap().addresses().unwrap_err().code(), code, "{endpoint}");
    }
}

#[test]
fn a_verification_method_is_found_only_under_its_relation_and_its_own_fragment() {
    let did = key();
    let signing = [
        Relation::Authentication,
        Relation::AssertionMethod,
        Relation::CapabilityInvocation,
        Relation::CapabilityDelegation,
    ];
    let kwaainet = did.to_kwaainet().unwrap();
    let four = did.to_peer_4(&[]).unwrap();
    for url in [
        did.verification_method(),
        format!("did:peer:0{MULTIKEY}#{MULTIKEY}"),
        format!("{kwaainet}#key-1"),
        format!("{four}#key-1"),
    ] {
        for relation in signing {
            assert_eq!(verification_key(&url, relation).unwrap(), did, "{url}");
        }
        let invalid = (ErrorCode::InvalidArgument, "invalidRelationshipForVerificationMethod".to_string());
        assert_eq!(key_refusal(&url, Relation::KeyAgreement), invalid, "{url}");
    }
    let two = did.to_peer_2(&[]).unwrap();
    for (number, relation) in [(1, Relation::Authentication), (2, Relation::AssertionMethod)] {
        let url = format!("{two}#key-{number}");
        assert_eq!(verification_key(&url, relation).unwrap(), did);
        for other in Relation::ALL.into_iter().filter(|other| *other != relation) {
            assert_eq!(key_refusal(&url, other).0, ErrorCode::InvalidArgument, "{number} {other}");
        }
    }
    // Listed under key agreement, and no key that signs.
    let agreement = (ErrorCode::Unsupported, "unsupportedPublicKeyType".to_string());
    assert_eq!(key_refusal(&format!("{two}#key-3"), Relation::KeyAgreement), agreement);

    let wrong = (ErrorCode::InvalidArgument, "invalidDidUrl".to_string());
    for url in [
        did.to_string(),
        format!("{did}#"),
        format!("{did}#key-1"),
        format!("{did}#{OTHER}"),
        format!("{did}##{MULTIKEY}"),
        format!("did:peer:0{MULTIKEY}#{}", &MULTIKEY[1..]),
        format!("{kwaainet}#key-2"),
        format!("{kwaainet}#key-01"),
        format!("{kwaainet}#key-1#key-1"),
        format!("{two}#key-4"),
        "#key-1".to_string(),
        String::new(),
    ] {
        let refused = key_refusal(&url, Relation::AssertionMethod);
        if url == "#key-1" {
            assert_eq!(refused.1, "invalidDid");
        } else if url == format!("{kwaainet}#key-2") {
            assert_eq!(refused.1, "invalidRelationshipForVerificationMethod");
        } else {
            assert_eq!(refused, wrong, "{url}");
        }
    }
    for url in
        [format!("{did}?versionId=1#{MULTIKEY}"), format!("{did}/path#{MULTIKEY}"), format!("{did};x#{MULTIKEY}")]
    {
        assert_eq!(key_refusal(&url, Relation::AssertionMethod), (ErrorCode::InvalidArgument, "invalidDid".into()));
    }
    for short in [two.short_form().unwrap(), four.short_form().unwrap()] {
        let refused = key_refusal(&format!("{short}#key-1"), Relation::Authentication);
        assert_eq!(refused, (ErrorCode::Unsupported, "notFound".into()));
    }
    let endless = format!("{did}#{}", "x".repeat(10_000));
    assert_eq!(key_refusal(&endless, Relation::AssertionMethod).0, ErrorCode::ResourceExhausted);
}

#[test]
fn a_did_with_another_key_beside_mine_is_not_my_identity() {
    let p256 = "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv";
    for elements in [
        format!(".A{MULTIKEY}.V{OTHER}"),
        format!(".V{MULTIKEY}.V{OTHER}"),
        format!(".V{MULTIKEY}.A{MULTIKEY}.I{OTHER}"),
        format!(".V{MULTIKEY}.D{OTHER}"),
        format!(".V{MULTIKEY}.A{p256}"),
        format!(".V{p256}"),
        format!(".I{MULTIKEY}.D{MULTIKEY}"),
        format!(".E{X25519}"),
    ] {
        let text: DidText = format!("did:peer:2{elements}").parse().unwrap();
        assert_eq!(text.did().unwrap_err().code(), ErrorCode::Unsupported, "{elements}");
        assert_eq!(text.as_str().parse::<Did>().unwrap_err().code(), ErrorCode::Unsupported);
    }
    let method = |id: &str, key: &str| json!({"id": id, "type": "Multikey", "publicKeyMultibase": key});
    let foreign = json!({"id": "#k", "type": "Multikey", "publicKeyMultibase": MULTIKEY, "controller": "did:key:z6Mk"});
    for document in [
        json!({
            "verificationMethod": [method("#a", MULTIKEY), method("#b", OTHER)],
            "authentication": ["#a"],
            "assertionMethod": ["#b"],
        }),
        json!({"authentication": [method("#a", MULTIKEY)], "capabilityInvocation": [method("#b", OTHER)]}),
        json!({"authentication": [foreign]}),
        json!({"authentication": [method("#a", MULTIKEY), "did:key:z6MkiaMb#z6MkiaMb"]}),
        json!({"authentication": ["#nowhere"]}),
        json!({"authentication": [{"id": "#a", "type": "JsonWebKey2020", "publicKeyJwk": {}}]}),
        json!({"verificationMethod": [method("#a", MULTIKEY)]}),
    ] {
        let text: DidText = peer_4(&document.to_string()).parse().unwrap();
        assert_eq!(text.did().unwrap_err().code(), ErrorCode::Unsupported, "{document}");
    }
    // The same key twice is one key, and an agreement key of anybody is no identity.
    let fine = format!("did:peer:2.V{MULTIKEY}.A{MULTIKEY}.I{MULTIKEY}.E{X25519}");
    assert_eq!(fine.parse::<Did>().unwrap(), key());
    let embedded = json!({"authentication": [method("#a", MULTIKEY)], "assertionMethod": ["#a"]});
    assert_eq!(peer_4(&embedded.to_string()).parse::<Did>().unwrap(), key());
}

#[test]
fn a_hashed_peer_id_is_a_peer_without_a_key() {
    let peer: PeerId = RSA_PEER.parse().unwrap();
    let text: DidText = format!("did:peer:{RSA_PEER}").parse().unwrap();
    assert_eq!((text.spelling(), text.peer_id()), (Spelling::KwaaiNet, Some(peer)));
    assert_eq!(peer_id::parse_any(text.as_str()).unwrap(), peer);
    for error in [
        text.did().unwrap_err(),
        text.document().unwrap_err(),
        Did::from_peer_id(&peer).unwrap_err(),
        Did::parse_any(RSA_PEER).unwrap_err(),
        verification_key(&format!("{text}#key-1"), Relation::AssertionMethod).unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::Unsupported);
        assert!(error.message().contains("carries no key"), "{error}");
    }
    // Not even the hash of the very same key: the connection of an Ed25519 peer never shows a hashed PeerId.
    let protobuf = key().to_peer_id().unwrap().as_ref().digest().to_vec();
    let hashed = PeerId::from_bytes(&[&[0x12, 0x20], Sha256::digest(protobuf).as_slice()].concat()).unwrap();
    assert_ne!(hashed, key().to_peer_id().unwrap());
    assert_eq!(Did::from_peer_id(&hashed).unwrap_err().code(), ErrorCode::Unsupported);
}

#[test]
fn malformed_identifiers_are_told_which_rule_they_break() {
    let invalid = |rule: &str| (ErrorCode::InvalidArgument, rule.to_string());
    let did = invalid("invalidDid");
    let document = invalid("invalidDidDocument");
    let with_prefix = |prefix: [u8; 2], length: usize| {
        format!("did:key:z{}", bs58::encode([&prefix[..], &vec![2; length]].concat()).into_string())
    };
    let mut cases: Vec<(String, (ErrorCode, String))> = vec![
        (String::new(), did.clone()),
        ("did".into(), did.clone()),
        ("did:".into(), did.clone()),
        ("did:key".into(), did.clone()),
        ("did:peer".into(), did.clone()),
        ("did:peer:".into(), did.clone()),
        ("did::x".into(), did.clone()),
        ("did:Web:x".into(), did.clone()),
        (format!("DID:KEY:{MULTIKEY}"), did.clone()),
        (format!(" did:key:{MULTIKEY}"), did.clone()),
        (format!("did:key:{MULTIKEY} "), did.clone()),
        (format!("did:key:{MULTIKEY}#{MULTIKEY}"), did.clone()),
        (format!("did:key:0:{MULTIKEY}"), did.clone()),
        (format!("did:key:1.1:{MULTIKEY}"), did.clone()),
        (format!("did:key:-1:{MULTIKEY}"), did.clone()),
        (format!("did:key:+1:{MULTIKEY}"), did.clone()),
        (format!("did:key::{MULTIKEY}"), did.clone()),
        (format!("did:key:1:1:{MULTIKEY}"), did.clone()),
        (format!("did:key:9999999999:{MULTIKEY}"), did.clone()),
        ("did:key:z6Mk0OIl".into(), did.clone()),
        (format!("did:key:f{}", "ed01".repeat(9)), did.clone()),
        ("did:key:z".into(), invalid("invalidPublicKeyLength")),
        ("did:key:z1".into(), invalid("invalidPublicKeyLength")),
        (with_prefix([0xed, 0x01], 31), invalid("invalidPublicKeyLength")),
        (with_prefix([0xed, 0x01], 33), invalid("invalidPublicKeyLength")),
        (with_prefix([0xec, 0x01], 0), invalid("invalidPublicKeyLength")),
        (with_prefix([0x80, 0x24], 65), invalid("invalidPublicKeyLength")),
        (with_prefix([0x85, 0x24], 0), invalid("invalidPublicKeyLength")),
        (format!("did:key:z{}", "2".repeat(2000)), invalid("invalidPublicKeyLength")),
        // No point has this y (RFC 8032 §5.1.3).
        (with_prefix([0xed, 0x01], 32), invalid("invalidPublicKey")),
        (
            format!("did:key:z{}", bs58::encode([&[0x80, 0x24, 0x04][..], &[7; 32]].concat()).into_string()),
            invalid("invalidPublicKey"),
        ),
        (with_prefix([0x99, 0x01], 32), invalid("unsupportedPublicKeyType")),
        ("did:web:example.org".into(), (ErrorCode::Unsupported, "methodNotSupported".into())),
        ("did:keri:x".into(), (ErrorCode::Unsupported, "methodNotSupported".into())),
        (format!("did:key:z{}", "1".repeat(MAX_DID_BYTES)), (ErrorCode::ResourceExhausted, "invalidDid".into())),
        (format!("did:peer:5{MULTIKEY}"), did.clone()),
        ("did:peer:5z".into(), did.clone()),
        ("did:peer:0".into(), did.clone()),
        (format!("did:peer:0{}", &MULTIKEY[1..]), did.clone()),
        (format!("did:peer:{MULTIKEY}"), did.clone()),
        ("did:peer:bafzaajaiaejcbv22taayfmikw7kux7wtzfsaooqo4fzphwvgems26aq2nd3qoui2".into(), did.clone()),
        ("did:peer:12D3KooW".into(), did.clone()),
        ("did:peer:Qm".into(), did.clone()),
        (format!("did:peer:{}", "1".repeat(200)), did.clone()),
        (format!("did:peer:1{MULTIKEY}"), did.clone()),
        (format!("did:peer:3{MULTIKEY}"), did.clone()),
        (format!("did:peer:4{MULTIKEY}"), did.clone()),
        (format!("did:peer:3z{}", "1".repeat(3000)), did.clone()),
        ("did:peer:2".into(), did.clone()),
        ("did:peer:2.".into(), did.clone()),
        ("did:peer:2..".into(), did.clone()),
        (format!("did:peer:2{MULTIKEY}"), did.clone()),
        (format!("did:peer:2.V{MULTIKEY}."), did.clone()),
        (format!("did:peer:2.X{MULTIKEY}"), did.clone()),
        (format!("did:peer:2.é{MULTIKEY}"), did.clone()),
        ("did:peer:2.V".into(), did.clone()),
        (format!("did:peer:2.V{}", &MULTIKEY[1..]), did.clone()),
        (format!("did:peer:2.V{X25519}"), invalid("invalidRelationshipForVerificationMethod")),
        (format!("did:peer:2.E{MULTIKEY}"), invalid("invalidRelationshipForVerificationMethod")),
        (
            format!("did:peer:2{}", format!(".V{MULTIKEY}").repeat(33)),
            (ErrorCode::ResourceExhausted, "invalidDid".into()),
        ),
        (format!("did:peer:2.V{MULTIKEY}.S"), did.clone()),
        (format!("did:peer:2.V{MULTIKEY}.Se30="), did.clone()),
        (format!("did:peer:2.V{MULTIKEY}.Se31"), did.clone()),
        (peer_2_service("{}"), document.clone()),
        (peer_2_service("[]"), did.clone()),
        (peer_2_service(r#"[{"t":"dm","s":"x"}]"#), did.clone()),
        (peer_2_service(r#"{"t":"dm","s":"x"}x"#), did.clone()),
        (peer_2_service(r#"{"t":"dm","t":"dm","s":"x"}"#), did.clone()),
        (peer_2_service(r#"{"t":"dm","type":"other","s":"x"}"#), did.clone()),
        (peer_2_service(r#"{"t":"dm","s":{"a":[],"accept":[]}}"#), did.clone()),
        (peer_2_service(r#"{"t":"dm"}"#), document.clone()),
        (peer_2_service(r#"{"t":7,"s":"x"}"#), document.clone()),
        (peer_2_service(r#"{"t":"","s":"x"}"#), document.clone()),
        (peer_2_service(r#"{"t":"dm","s":7}"#), document.clone()),
        (peer_2_service(r#"{"id":"did:x#y","t":"dm","s":"x"}"#), did.clone()),
        (peer_2_service(r##"{"id":"#","t":"dm","s":"x"}"##), did.clone()),
        (peer_2_service(r#"{"id":7,"t":"dm","s":"x"}"#), did.clone()),
        (peer_2_service(r##"{"id":"#key-1","t":"dm","s":"x"}"##), document.clone()),
        (
            format!(
                "{0}{1}",
                peer_2_service(r#"{"t":"dm","s":"x"}"#),
                ".SeyJpZCI6IiNzZXJ2aWNlIiwidCI6ImRtIiwicyI6IngifQ"
            ),
            document.clone(),
        ),
        (
            peer_2_service(&format!(r#"{{"t":"dm","s":{{"x":{}{}}}}}"#, "[".repeat(40), "]".repeat(40))),
            (ErrorCode::ResourceExhausted, "invalidDid".into()),
        ),
        (peer_4(""), did.clone()),
        (peer_4("{}"), document.clone()),
        (peer_4("[]"), document.clone()),
        (peer_4(r#"{"a":1,"a":1}"#), did.clone()),
        (peer_4(r##"{"id":"#x"}"##), document.clone()),
        (peer_4(r#"{"alsoKnownAs":"x"}"#), document.clone()),
        (peer_4(r#"{"alsoKnownAs":[1]}"#), document.clone()),
        (peer_4(r#"{"authentication":"x"}"#), document.clone()),
        (peer_4(r#"{"authentication":[1]}"#), document.clone()),
        (peer_4(r##"{"verificationMethod":["#x"]}"##), document.clone()),
        (peer_4(r#"{"verificationMethod":[{"type":"Multikey"}]}"#), did.clone()),
        (peer_4(r#"{"verificationMethod":[{"id":"x","type":"Multikey"}]}"#), did.clone()),
        (peer_4(r##"{"verificationMethod":[{"id":"#x"}]}"##), document.clone()),
        (peer_4(r##"{"service":[{"id":"#x","type":"y"}]}"##), document.clone()),
        (
            peer_4(r##"{"verificationMethod":[{"id":"#x","type":"y"}],"authentication":[{"id":"#x","type":"z"}]}"##),
            document.clone(),
        ),
        (
            peer_4(&json!({"authentication": vec!["#x"; 65]}).to_string()),
            (ErrorCode::ResourceExhausted, "invalidDidDocument".into()),
        ),
    ];
    let long = peer_4(r##"{"authentication":["#x"]}"##);
    let (hash, encoded) = long.rsplit_once(':').unwrap();
    cases.push((format!("{hash}:"), did.clone()));
    cases.push((format!("{hash}:{}", &encoded[1..]), did.clone()));
    cases.push((format!("{hash}:{encoded}1"), (ErrorCode::CorruptData, "invalidDid".into())));
    cases.push((format!("{long}:z"), (ErrorCode::CorruptData, "invalidDid".into())));
    for (text, expected) in &cases {
        assert_eq!(refusal(text), *expected, "{text:.200}");
        assert!(text.parse::<Did>().is_err());
    }
}

#[test]
fn a_refusal_repeats_no_more_than_a_line_of_what_was_wrong() {
    for text in
        ["x".repeat(1_000_000), format!("did:peer:2.S{}", "A".repeat(4000)), format!("did:{}:", "a".repeat(4000))]
    {
        assert!(text.parse::<DidText>().unwrap_err().to_string().len() < 300);
        assert!(peer_id::parse(&text).unwrap_err().to_string().len() < 300);
    }
}

#[test]
fn services_of_a_did_peer_2_are_abbreviated_and_numbered() {
    let plain = json!({"t": "dm", "s": {"uri": "x:y", "a": ["b"], "r": [{"t": "dm", "n": [[{"s": 1}]]}]}});
    let named = json!({"id": "#mine", "type": ["a", "b"], "serviceEndpoint": "x:y"});
    let encode = |service: &Value| multibase::Base::Base64Url.encode(service.to_string());
    let text = format!("did:peer:2.S{}.S{}.V{MULTIKEY}.S{}", encode(&plain), encode(&named), encode(&plain));
    let services = text.parse::<DidText>().unwrap().services();
    let ids: Vec<&str> = services.iter().map(|service| service.id()).collect();
    assert_eq!(ids, ["#service", "#mine", "#service-1"]);
    assert_eq!(
        Value::Object(services[0].as_map().clone()),
        json!({
            "id": "#service",
            "type": "DIDCommMessaging",
            "serviceEndpoint": {
                "uri": "x:y",
                "accept": ["b"],
                "routingKeys": [{"type": "DIDCommMessaging", "n": [[{"serviceEndpoint": 1}]]}],
            },
        })
    );
    assert!(services[1].is_of_type("b") && !services[1].is_of_type("dm"));
}

proptest! {
    #[test]
    fn any_key_is_the_same_under_every_name(seed in any::<[u8; 32]>(), port in any::<u16>()) {
        let did = Keypair::from_seed(seed).did().unwrap();
        let peer = did.to_peer_id().unwrap();
        let address: Multiaddr = format!("/ip4/192.0.2.1/udp/{port}/quic-v1/p2p/{peer}").parse().unwrap();
        let names = [
            did.to_string(),
            did.to_peer_0().unwrap().to_string(),
            did.to_peer_2(std::slice::from_ref(&address)).unwrap().to_string(),
            did.to_peer_4(std::slice::from_ref(&address)).unwrap().to_string(),
            did.to_kwaainet().unwrap().to_string(),
            peer.to_string(),
            peer_id::to_cid(&peer),
        ];
        prop_assert!(names[4].starts_with("did:peer:12D3KooW"));
        for name in &names {
            prop_assert_eq!(Did::parse_any(name).unwrap(), did);
            prop_assert_eq!(peer_id::parse_any(name).unwrap(), peer);
        }
        prop_assert_eq!(names[2].parse::<DidText>().unwrap().addresses().unwrap(), vec![address]);
    }
}
