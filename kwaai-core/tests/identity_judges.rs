//! Other implementations judge our did:peer, and ours judges theirs: PyPI `did-peer-2` and `did-peer-4`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kwaai_core::identity::{Did, DidText, Keypair, Multiaddr, Relation, verification_key};
use serde_json::{Value, json};

const ROUNDS: u8 = 20;

/// The Python of the checkout with the judges in it, or `None`, with the reason printed, where they are not installed.
fn judge() -> Option<PathBuf> {
    let python = std::env::current_dir().unwrap().join("../.venv/bin/python");
    let installed = Command::new(&python)
        .args(["-c", "import did_peer_2, did_peer_4"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !installed {
        println!("skipped: the Python judges of did:peer are not installed; run `.ci/setup --test`");
        return None;
    }
    Some(python)
}

fn ask(python: &Path, request: &Value) -> Value {
    let mut judge = Command::new(python)
        .arg(std::env::current_dir().unwrap().join("../tests/judges/did_peer/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    judge.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success(), "the judge failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn key(round: u8) -> Did {
    Keypair::from_seed([round.wrapping_mul(41).wrapping_add(3); 32]).did().unwrap()
}

fn addresses(round: u8) -> Vec<Multiaddr> {
    let peer = key(round).to_peer_id().unwrap();
    let all = [
        format!("/ip4/192.0.2.{round}/tcp/4001"),
        format!("/ip6/2001:db8::{round:x}/udp/4001/quic-v1/p2p/{peer}"),
        format!("/dns4/node-{round}.example/tcp/443/tls/ws"),
    ];
    all.iter().take(round as usize % 4).map(|text| text.parse().unwrap()).collect()
}

#[test]
fn another_implementation_resolves_our_did_peers_to_the_same_documents() {
    let Some(python) = judge() else { return };
    let ours: Vec<DidText> = (0..ROUNDS)
        .flat_map(|round| {
            let addresses = addresses(round);
            [key(round).to_peer_2(&addresses).unwrap(), key(round).to_peer_4(&addresses).unwrap()]
        })
        .collect();
    let texts: Vec<&str> = ours.iter().map(DidText::as_str).collect();
    let answer = ask(&python, &json!({"resolve": texts, "write2": [], "write4": []}));
    let resolved = answer["resolved"].as_array().unwrap();
    assert_eq!(resolved.len(), ours.len());
    for (text, theirs) in ours.iter().zip(resolved) {
        assert_eq!(serde_json::to_value(text.document().unwrap()).unwrap(), theirs["document"], "{text}");
        assert_eq!(text.short_form().unwrap().as_str(), theirs["short"], "{text}");
        assert_eq!(serde_json::to_value(text.short_document().unwrap()).unwrap(), theirs["short_document"], "{text}");
    }
}

#[test]
fn both_refuse_a_did_peer_4_that_was_changed() {
    let Some(python) = judge() else { return };
    let original = key(3).to_peer_4(&addresses(3)).unwrap().to_string();
    let places = ("did:peer:4z".len()..original.len()).step_by(7);
    let changed: Vec<String> = places
        .map(|place| {
            let mut bytes = original.clone().into_bytes();
            bytes[place] = if bytes[place] == b'x' { b'y' } else { b'x' };
            String::from_utf8(bytes).unwrap()
        })
        .collect();
    let answer = ask(&python, &json!({"resolve": changed, "write2": [], "write4": []}));
    for (text, theirs) in changed.iter().zip(answer["resolved"].as_array().unwrap()) {
        assert_eq!((text.parse::<DidText>().is_err(), theirs.is_null()), (true, true), "{text}");
    }
    assert!(changed.len() > 100);
}

#[test]
fn we_resolve_the_did_peers_of_another_implementation_to_the_same_documents() {
    let Some(python) = judge() else { return };
    let agreement = "z6LSg8zQom395jKLrGiBNruB9MM6V8PWuf2FpEy4uRFiqQBR";
    let service = json!({
        "type": "DIDCommMessaging",
        "serviceEndpoint": {"uri": "https://example.org/é", "accept": ["didcomm/v2"], "routingKeys": [{"type": "x"}]},
        "priority": 1.5,
    });
    let named =
        json!({"id": "#libp2p", "type": "Libp2pNode", "serviceEndpoint": {"multiaddrs": ["/ip4/192.0.2.1/tcp/1"]}});
    let mut write2 = Vec::new();
    let mut write4 = Vec::new();
    for round in 0..ROUNDS {
        let multikey = key(round).multikey();
        let codes = ["V", "A", "I", "D"];
        let mut keys: Vec<Value> =
            codes.iter().take(1 + round as usize % 4).map(|code| json!([code, multikey])).collect();
        keys.push(json!(["E", agreement]));
        keys.rotate_left(round as usize % 3);
        write2.push(json!({"keys": keys, "services": [service, named, service]}));
        write4.push(json!({
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "alsoKnownAs": ["https://example.org/node"],
            "verificationMethod": [{"id": "#one", "type": "Multikey", "publicKeyMultibase": multikey}],
            "authentication": ["#one"],
            "assertionMethod": [{"id": "#two", "type": "Ed25519VerificationKey2020", "publicKeyMultibase": multikey}],
            "keyAgreement": [{"id": "#three", "type": "Multikey", "publicKeyMultibase": agreement}],
            "service": [named],
        }));
    }
    let written = ask(&python, &json!({"resolve": [], "write2": write2, "write4": write4}));
    let list = |name: &str| written[name].as_array().unwrap().clone();
    let texts: Vec<Value> = list("written2").into_iter().chain(list("written4")).collect();
    let answer = ask(&python, &json!({"resolve": texts, "write2": [], "write4": []}));
    for (index, (text, theirs)) in texts.iter().zip(answer["resolved"].as_array().unwrap()).enumerate() {
        let text: DidText = text.as_str().unwrap().parse().unwrap();
        assert_eq!(serde_json::to_value(text.document().unwrap()).unwrap(), theirs["document"], "{text}");
        assert_eq!(serde_json::to_value(text.short_document().unwrap()).unwrap(), theirs["short_document"]);
        assert_eq!(text.short_form().unwrap().as_str(), theirs["short"]);
        assert_eq!(text.did().unwrap(), key(index as u8 % ROUNDS));
        assert_eq!(text.addresses().unwrap().len(), 1);
    }
    assert_eq!(texts.len(), 2 * ROUNDS as usize);
    let embedded = format!("{}#two", texts[ROUNDS as usize].as_str().unwrap());
    assert_eq!(verification_key(&embedded, Relation::AssertionMethod).unwrap(), key(0));
    assert!(verification_key(&embedded, Relation::Authentication).is_err());
}
