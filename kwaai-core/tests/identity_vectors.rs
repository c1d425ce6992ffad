//! The published vectors of identifiers: did:key, did:peer, PeerIds, multibase.

use std::path::PathBuf;

use kwaai_core::ErrorCode;
use kwaai_core::identity::{
    Did, DidDocument, DidText, KeyKind, Keypair, Multikey, PeerId, Relation, Spelling, peer_id, verification_key,
};
use kwaai_core::trust::json;
use serde_json::{Map, Value};

#[path = "support/shared.rs"]
mod shared;

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn value(path: PathBuf) -> Value {
    serde_json::from_str(&read(path)).unwrap()
}

fn object(path: PathBuf) -> Map<String, Value> {
    value(path).as_object().unwrap().clone()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn did(value: &str) -> DidText {
    value.parse().unwrap_or_else(|error| panic!("{error:?} {value}"))
}

fn as_value(document: &DidDocument) -> Value {
    let value = serde_json::from_str(&document.to_json()).unwrap();
    assert_eq!(value, Value::Object(document.as_map().clone()));
    value
}

#[test]
fn the_published_did_keys_of_ed25519_give_their_keys_and_relations() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = object(vectors.join("did-key/ed25519-x25519.json"));
    for (name, case) in &cases {
        let ours = Keypair::from_seed(unhex(text(case, "seed")).try_into().unwrap()).did().unwrap();
        assert_eq!(ours.to_string(), *name);
        assert_eq!(did(name).did().unwrap(), ours);
        let document = did(name).document().unwrap();
        let published = &case["didDocument"];
        assert_eq!(document.id(), text(published, "id"));
        // The vectors write the key in base58 or as a JSON Web Key.
        let raw = |pair: &Value| match pair.get("publicKeyBase58").and_then(Value::as_str) {
            Some(base58) => bs58::decode(base58).into_vec().unwrap(),
            None => multibase::Base::Base64Url.decode(text(&pair["publicKeyJwk"], "x")).unwrap(),
        };
        for (method, theirs) in ["verificationKeyPair", "keyAgreementKeyPair"].iter().enumerate() {
            let ours = &document.as_map()["verificationMethod"][method];
            let id = text(&case[theirs], "id");
            assert_eq!(text(ours, "id"), format!("{name}{}", id.trim_start_matches(name.as_str())));
            assert_eq!(text(ours, "controller"), text(&case[theirs], "controller"));
            let key = Multikey::parse(text(ours, "publicKeyMultibase")).unwrap();
            assert_eq!(key.bytes(), raw(&case[theirs]), "{name} {theirs}");
        }
        for relation in Relation::ALL {
            assert_eq!(document.as_map()[relation.as_str()], published[relation.as_str()], "{relation}");
        }
    }
    assert_eq!(cases.len(), 5);
}

#[test]
fn every_published_did_key_of_another_kind_is_recognised_and_refused_by_its_kind() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("did-key");
    let mut seen = Vec::new();
    for (name, beginnings) in [
        ("x25519", &[("z6LS", KeyKind::X25519)][..]),
        ("secp256k1", &[("zQ3s", KeyKind::Secp256k1)]),
        ("nist-curves", &[("zDn", KeyKind::P256), ("z82", KeyKind::P384), ("z2J9", KeyKind::P521)]),
        ("rsa", &[("z4MX", KeyKind::Rsa), ("zgg", KeyKind::Rsa)]),
        ("bls12381", &[("zUC7", KeyKind::Bls12381G2), ("z5Tc", KeyKind::Bls12381G1G2)]),
    ] {
        let mut cases = object(folder.join(format!("{name}.json")));
        if name == "x25519" {
            cases = cases["didDocument"].as_object().unwrap().clone();
        }
        for key in cases.keys() {
            let multikey = Multikey::parse(key.strip_prefix("did:key:").unwrap()).unwrap();
            let kind = beginnings.iter().find(|(beginning, _)| key[8..].starts_with(beginning)).unwrap().1;
            assert_eq!(multikey.kind(), kind, "{key}");
            assert_eq!(format!("did:key:{multikey}"), *key);
            assert_eq!(did(key).to_string(), *key);
            let error = key.parse::<Did>().unwrap_err();
            assert_eq!(error.code(), ErrorCode::Unsupported, "{key}");
            assert_eq!(error.context()["rule"], "unsupportedPublicKeyType");
            assert_eq!(error.context()["kind"], kind.as_str());
            seen.push(kind);
        }
    }
    assert_eq!(seen.len(), 4 + 6 + 7 + 2 + 6);
}

#[test]
fn seven_spellings_of_a_key_are_one_identity() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("did-peer/ed25519-identifier-forms.json"));
    let cases = cases["keys"].as_array().unwrap();
    for case in cases {
        let key: [u8; 32] = unhex(text(case, "publicKeyHex")).try_into().unwrap();
        let ours = Did::from_public_key(key).unwrap();
        let peer = ours.to_peer_id().unwrap();
        assert_eq!(peer.as_ref().digest(), unhex(text(case, "libp2pPublicKeyProtobuf")));
        for name in ["peerId", "peerIdCid", "did:key", "did:peer:0", "seedForm"] {
            assert_eq!(Did::parse_any(text(case, name)).unwrap(), ours, "{name}");
            assert_eq!(peer_id::parse_any(text(case, name)).unwrap(), peer, "{name}");
        }
        assert_eq!(peer.to_string(), text(case, "peerId"));
        assert_eq!(peer_id::to_cid(&peer), text(case, "peerIdCid"));
        assert_eq!(ours.multikey(), text(case, "publicKeyMultibase"));
        assert_eq!(ours.to_text().unwrap().as_str(), text(case, "did:key"));
        assert_eq!(ours.to_peer_0().unwrap().as_str(), text(case, "did:peer:0"));
        assert_eq!(ours.to_kwaainet().unwrap().as_str(), text(case, "seedForm"));
        let method = text(case, "did:key_verificationMethod");
        assert_eq!(verification_key(method, Relation::AssertionMethod).unwrap(), ours);
        let kwaainet = format!("{}#key-1", text(case, "seedForm"));
        assert_eq!(verification_key(&kwaainet, Relation::AssertionMethod).unwrap(), ours);
    }
    assert_eq!(cases.len(), 6);
}

#[test]
fn the_did_peers_of_the_specification_are_read_and_resolved_as_it_says() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("did-peer/peer-did-spec-examples.json"));

    let zero = did(text(&cases["numalgo0"], "did"));
    assert_eq!(zero.spelling(), Spelling::Peer0);
    assert_eq!(zero.did().unwrap().to_string(), text(&cases["numalgo0"], "equivalent_did_key"));
    assert_eq!(zero.did().unwrap().to_peer_0().unwrap().as_str(), zero.as_str());

    let one = did(text(&cases["numalgo1"], "did"));
    assert_eq!(one.spelling(), Spelling::Peer1);
    assert_eq!(one.did().unwrap_err().code(), ErrorCode::Unsupported);

    let two = did(text(&cases["numalgo2"], "did"));
    assert_eq!(two.spelling(), Spelling::Peer2);
    assert_eq!(as_value(&two.document().unwrap()), cases["numalgo2"]["didDocument"]);
    assert_eq!(two.short_form().unwrap().as_str(), text(&cases["numalgo2"], "numalgo3"));
    assert_eq!(two.did().unwrap().multikey(), "z6Mkj3PUd1WjvaDhNZhhhXQdz5UnZXmS7ehtx8bsPpD47kKc");
    assert_eq!(two.services().len(), 2);
    assert!(two.services()[0].is_of_type("DIDCommMessaging"));

    let several = did(text(&cases["numalgo3"], "from"));
    assert_eq!(several.short_form().unwrap().as_str(), text(&cases["numalgo3"], "did"));
    // Two keys for authentication: nothing says which of them is the identity.
    assert_eq!(several.did().unwrap_err().code(), ErrorCode::Unsupported);
    let second = format!("{several}#key-2");
    let key = verification_key(&second, Relation::Authentication).unwrap();
    assert_eq!(key.multikey(), "z6MkqRYqQiSgvZQdnBytw86Qbs2ZWUkGv22od935YF4s8M7V");

    let three = did(text(&cases["numalgo3"], "did"));
    assert_eq!(three.spelling(), Spelling::Peer3);
    assert_eq!(three.did().unwrap_err().code(), ErrorCode::Unsupported);

    let four = &cases["numalgo4"];
    let long = did(text(four, "longForm"));
    assert_eq!(long.spelling(), Spelling::Peer4Long);
    assert_eq!(as_value(&long.document().unwrap()), four["resolvedLong"]);
    assert_eq!(as_value(&long.short_document().unwrap()), four["resolvedShort"]);
    assert_eq!(long.short_form().unwrap().as_str(), text(four, "shortForm"));
    assert_eq!(long.did().unwrap().multikey(), "z6MkrCD1csqtgdj8sjrsu8jxcbeyP6m7LiK87NzhfWqio5yr");
    let method = format!("{long}#6MkrCD1c");
    assert_eq!(verification_key(&method, Relation::CapabilityDelegation).unwrap(), long.did().unwrap());
    let short = did(text(four, "shortForm"));
    assert_eq!(short.spelling(), Spelling::Peer4Short);
    let error = short.did().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    assert!(error.to_string().contains("long form"), "{error}");

    for text in [&cases["numalgo2"]["did"], &cases["numalgo3"]["from"], &four["longForm"]] {
        assert_eq!(did(text.as_str().unwrap()).to_string(), *text);
    }
}

#[test]
fn the_did_peers_that_the_specification_calls_invalid_are_refused() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("did-peer/peer-did-spec-examples.json"));
    let invalid = cases["invalid"].as_array().unwrap();
    for text in invalid {
        let error = text.as_str().unwrap().parse::<DidText>().unwrap_err();
        assert_eq!(
            (error.code(), error.context()["rule"].as_str()),
            (ErrorCode::InvalidArgument, "invalidDid"),
            "{text}"
        );
    }
    assert_eq!(invalid.len(), 6);
}

#[test]
fn any_changed_character_of_a_published_did_is_refused_or_another_identity() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("did-peer/peer-did-spec-examples.json"));
    for original in [text(&cases["numalgo0"], "did"), text(&cases["numalgo4"], "longForm")] {
        let key = did(original).did().unwrap();
        for place in 0..original.len() {
            let mut bytes = original.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'3' { b'4' } else { b'3' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(changed.parse::<Did>().map_or(true, |other| other != key), "place {place}");
        }
    }
}

#[test]
fn peer_ids_of_libp2p_are_read_in_both_text_forms() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("libp2p/peer-ids.json"));
    for (name, case) in cases["peerIds"].as_object().unwrap() {
        let peer = PeerId::from_bytes(&unhex(text(case, "multihash_hex"))).unwrap();
        assert_eq!(peer_id::parse(text(case, "base58")).unwrap(), peer, "{name}");
        assert_eq!(peer_id::parse(text(case, "cid_v1_base32")).unwrap(), peer, "{name}");
        assert_eq!(peer_id::to_cid(&peer), text(case, "cid_v1_base32"), "{name}");
        let kwaainet = did(&format!("did:peer:{peer}"));
        assert_eq!((kwaainet.spelling(), kwaainet.peer_id()), (Spelling::KwaaiNet, Some(peer)));
        assert_eq!(peer_id::parse_any(kwaainet.as_str()).unwrap(), peer, "{name}");
        let expected = if name == "ED25519 public key" { Ok(peer) } else { Err(ErrorCode::Unsupported) };
        let found = kwaainet.did().and_then(|did| did.to_peer_id()).map_err(|error| error.code());
        assert_eq!(found, expected, "{name}");
        // Without a key there is nothing to match by key.
        assert_eq!(Did::parse_any(&peer.to_string()).is_ok(), name == "ED25519 public key");
    }
    let examples = &cases["text_examples"];
    for name in ["cid_sha256", "base58_sha256", "base58_ed25519"] {
        let peer = peer_id::parse(text(examples, name)).unwrap();
        assert!([peer.to_string(), peer_id::to_cid(&peer)].contains(&text(examples, name).to_string()), "{name}");
    }
}

#[test]
fn a_peer_id_is_read_whatever_base_its_cid_is_in() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let peer: PeerId = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA".parse().unwrap();
    let cid = [&[1, 0x72], peer.to_bytes().as_slice()].concat();
    let published = read(vectors.join("libp2p/multibase-basic.csv"));
    for name in ["base16", "base32", "base32upper", "base36", "base58btc", "base64url"] {
        let line = published.lines().find_map(|line| line.strip_prefix(&format!("{name}, "))).unwrap();
        let (base, bytes) = multibase::decode(line.trim_matches('"')).unwrap();
        assert_eq!(bytes, b"yes mani !", "{name}");
        assert_eq!(multibase::encode(base, &bytes), line.trim_matches('"'));
        assert_eq!(peer_id::parse(&multibase::encode(base, &cid)).unwrap(), peer, "{name}");
    }
    // Text in base2 is longer than any PeerId that somebody writes.
    let long = multibase::encode(multibase::Base::Base2, &cid);
    assert_eq!(peer_id::parse(&long).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn the_document_inside_a_did_peer_4_is_the_one_that_was_put_there() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("did-peer/peer-did-spec-examples.json"));
    let long = text(&cases["numalgo4"], "longForm");
    let encoded = long.rsplit_once(":z").unwrap().1;
    let bytes = bs58::decode(encoded).into_vec().unwrap();
    let inside = json::parse(std::str::from_utf8(&bytes[2..]).unwrap()).unwrap();
    assert_eq!(inside, cases["numalgo4"]["inputDocument"]);
    assert_eq!(&bytes[2..], text(&cases["numalgo4"], "inputDocumentText").as_bytes());
}
