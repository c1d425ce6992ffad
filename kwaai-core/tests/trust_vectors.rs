//! The published vectors of what credentials stand on: JCS, Ed25519, did:key, Data Integrity, KwaaiNet's formula.

use std::path::PathBuf;

use jiff::Timestamp;
use kwaai_core::ErrorCode;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::trust::proof::{Expected, ProofOptions, ProofPurpose, Suite};
use kwaai_core::trust::{Credential, CredentialType, Tier, formula, json, proof};
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

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

#[test]
fn canonical_json_is_rfc_8785s_byte_for_byte() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("jcs-rfc8785/testdata");
    let names = ["arrays", "french", "structures", "unicode", "values", "weird"];
    for name in names {
        let input = json::parse(&read(folder.join(format!("input/{name}.json")))).unwrap();
        let canonical = json::canonical(&input).unwrap();
        assert_eq!(canonical, unhex(&read(folder.join(format!("outhex/{name}.txt")))), "{name}");
        assert_eq!(canonical, read(folder.join(format!("output/{name}.json"))).trim_end().as_bytes(), "{name}");
        let again = json::canonical(&serde_json::from_slice::<Value>(&canonical).unwrap()).unwrap();
        assert_eq!(again, canonical, "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.join("input")).unwrap().count(), names.len());
}

#[tokio::test]
async fn the_w3c_vector_of_eddsa_jcs_2022_is_reproduced_with_every_intermediate() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("vc-di-eddsa/TestVectors");
    let jcs = |name: &str| folder.join("eddsa-jcs-2022").join(name);
    let document = object(folder.join("unsigned.json"));
    let config = object(jcs("proofConfigJCS.json"));
    let signed = object(jcs("signedJCS.json"));

    assert_eq!(json::canonical(&document).unwrap(), read(jcs("canonDocJCS.txt")).into_bytes());
    assert_eq!(json::canonical(&config).unwrap(), read(jcs("proofCanonJCS.txt")).into_bytes());
    let hashes = proof::hash_data(&document, &config).unwrap();
    assert_eq!(hashes[..32].to_vec(), unhex(&read(jcs("proofHashJCS.txt"))));
    assert_eq!(hashes[32..].to_vec(), unhex(&read(jcs("docHashJCS.txt"))));
    assert_eq!(hashes.to_vec(), unhex(&read(jcs("combinedHashJCS.txt"))));

    let keys = value(folder.join("keyPair.json"));
    let secret = bs58::decode(&text(&keys, "privateKeyMultibase")[1..]).into_vec().unwrap();
    assert_eq!(secret[..2], [0x80, 0x26]);
    let signer = Keypair::from_seed(secret[2..].try_into().unwrap()).signer().unwrap();
    assert_eq!(signer.did().multikey(), text(&keys, "publicKeyMultibase"));
    assert_eq!(signer.sign(&hashes).await.unwrap().to_vec(), unhex(&read(jcs("sigHexJCS.txt"))));

    let created = text(&signed["proof"], "created").parse().unwrap();
    let ours = proof::sign(&document, &*signer, created).await.unwrap();
    assert_eq!(ours, signed);
    assert_eq!(text(&ours["proof"], "proofValue"), read(jcs("sigBTC58JCS.txt")));
    assert_eq!(proof::verify(&signed, &Expected::assertion(now())).unwrap()[0].document, document);
    // Its issuer is a web address and its signer a did:key: a good proof, but no credential of that issuer.
    let error = Credential::verify(&Value::Object(signed).to_string(), now()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
}

#[test]
fn any_flipped_byte_of_the_w3c_vector_fails() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("vc-di-eddsa/TestVectors");
    let signed = value(folder.join("eddsa-jcs-2022/signedJCS.json")).to_string();
    for place in 0..signed.len() {
        let mut bytes = signed.clone().into_bytes();
        bytes[place] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let expected = Expected::assertion(now());
        let outcome = json::parse(&changed).and_then(|value| proof::verify(value.as_object().unwrap(), &expected));
        assert!(outcome.is_err(), "byte {place}: {changed}");
    }
}

/// One published example of a suite over RDF: its folder, the end of its files' names, and the document that it secures.
const OVER_RDF: [(&str, &str, &str, Suite); 3] = [
    ("eddsa-rdfc-2022", "DataInt", "unsigned.json", Suite::EddsaRdfc2022),
    ("eddsa-rdfc-2022/employ", "DataInt", "employmentAuth.json", Suite::EddsaRdfc2022),
    ("Ed25519Signature2020", "EdSig", "unsigned.json", Suite::Ed25519Signature2020),
];

#[test]
fn every_intermediate_value_of_the_w3cs_suites_over_rdf_is_reproduced() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let all = vectors.join("vc-di-eddsa/TestVectors");
    for (folder, end, unsigned, suite) in OVER_RDF {
        let folder = all.join(folder);
        let text = |name: &str| std::fs::read_to_string(folder.join(format!("{name}{end}.txt"))).unwrap();
        let signed = object(folder.join(format!("signed{end}.json")));
        let mut document = signed.clone();
        let mut config = document.remove("proof").unwrap().as_object().unwrap().clone();
        config.remove("proofValue");
        if suite == Suite::EddsaRdfc2022 {
            assert_eq!(document, object(all.join(unsigned)));
        }
        assert_eq!(proof::canonical_rdf(&document).unwrap(), text("canonDoc"));
        let mut read_in_contexts = config.clone();
        read_in_contexts.insert("@context".into(), document["@context"].clone());
        assert_eq!(read_in_contexts, object(folder.join(format!("proofConfig{end}.json"))));
        assert_eq!(proof::canonical_rdf(&read_in_contexts).unwrap(), text("proofCanon"));
        let hashes = hex(&proof::hash_rdf(&document, &config).unwrap());
        assert_eq!(hashes, text("combinedHash").trim());
        assert_eq!(hashes, text("proofHash").trim().to_owned() + text("docHash").trim());
        let verified = proof::verify(&signed, &Expected::assertion(now())).unwrap();
        assert_eq!((verified.len(), verified[0].suite), (1, suite));
    }
}

#[test]
fn the_w3cs_sets_and_chains_over_rdf_hold() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("vc-di-eddsa/TestVectors/proof-set-chain");
    for (name, proofs) in [("ProofSet1", 1), ("ProofSet2", 2), ("ProofChain1", 3), ("ProofChain2", 4)] {
        let signed = object(folder.join(format!("signed{name}.json")));
        let verified = proof::verify(&signed, &Expected::assertion(now())).unwrap();
        assert_eq!(verified.len(), proofs, "{name}");
    }
}

fn rename(members: &mut Map<String, Value>, name: &str, other: &str) {
    let value = members.remove(name).unwrap_or("free".into());
    members.insert(other.into(), value);
}

#[test]
fn any_change_of_a_document_that_is_signed_as_rdf_fails() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("vc-di-eddsa/TestVectors");
    for (place, end, _, _) in OVER_RDF {
        let signed = object(folder.join(place).join(format!("signed{end}.json")));
        let text = Value::Object(signed.clone()).to_string();
        let refused = |changed: &str| {
            json::parse(changed)
                .and_then(|value| match value {
                    Value::Object(document) => proof::verify(&document, &Expected::assertion(now())).map(drop),
                    _ => Ok(()),
                })
                .is_err()
        };
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(refused(&changed), "byte {place}: {changed}");
            }
        }
        type Change = fn(&mut Map<String, Value>);
        let changes: [Change; 21] = [
            |document| drop(document.insert("undefined thing".into(), "free".into())),
            |document| drop(document.insert("@index".into(), "free".into())),
            |document| drop(document.insert("@graph".into(), serde_json::json!([{"name": "free"}]))),
            |document| drop(document.insert("@reverse".into(), serde_json::json!({"name": {"id": "urn:x"}}))),
            |document| drop(document.insert("evidence".into(), Value::Null)),
            |document| drop(document.insert("evidence".into(), serde_json::json!([]))),
            |document| drop(document.insert("evidence".into(), serde_json::json!({"id": "no iri at all"}))),
            |document| drop(document.insert("evidence".into(), serde_json::json!({"@context": {}, "name": "free"}))),
            |document| drop(document.insert("validUntil".into(), "2030-01-01T00:00:00Z".into())),
            |document| drop(document.insert("name".into(), serde_json::json!({"@value": "x", "@direction": "ltr"}))),
            |document| document["credentialSubject"]["id"] = "urn:somebody-else".into(),
            |document| drop(document["type"].as_array_mut().unwrap().pop()),
            |document| document["@context"].as_array_mut().unwrap().push(serde_json::json!({"name": "urn:other"})),
            |document| document["@context"].as_array_mut().unwrap().push("https://attacker.example/terms".into()),
            // The same in RDF, and another thing for who reads JSON.
            |document| rename(document, "issuer", "https://www.w3.org/2018/credentials#issuer"),
            |document| rename(document, "validFrom", "https://www.w3.org/2018/credentials#validFrom"),
            |document| rename(document, "id", "@id"),
            |document| rename(document, "type", "@type"),
            |document| rename(document["credentialSubject"].as_object_mut().unwrap(), "id", "@id"),
            |document| {
                rename(document["proof"].as_object_mut().unwrap(), "created", "http://purl.org/dc/terms/created")
            },
            |document| {
                let types = document["type"].as_array_mut().unwrap();
                types.push(types[0].clone());
            },
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(refused(&Value::Object(changed).to_string()), "{end}: change {at}");
        }
    }
}

#[test]
fn nodes_that_nothing_tells_apart_are_not_compared_without_end() {
    let alike: Vec<Value> = (0..40).map(|_| serde_json::json!({"name": "one of many"})).collect();
    let context = "https://www.w3.org/ns/credentials/v2";
    let document = serde_json::json!({"@context": context, "type": "VerifiableCredential", "evidence": alike});
    let error = proof::canonical_rdf(document.as_object().unwrap()).unwrap_err();
    assert_eq!((error.code(), &*error.context()["rule"]), (ErrorCode::ResourceExhausted, "size"));
}

/// The W3C publishes sets and chains with a suite over RDF only. The same documents, keys, dates and identifiers are signed here
/// with `eddsa-jcs-2022`, and checked to have the published structure.
#[tokio::test]
async fn the_w3cs_sets_and_chains_are_rebuilt_with_eddsa_jcs_2022() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("vc-di-eddsa/TestVectors/proof-set-chain");
    let keys = value(folder.join("multiKeyPairs.json"));
    let published = object(folder.join("signedProofChain2.json"));
    let mut document = object(folder.join("unsigned.json"));
    for (at, published) in published["proof"].as_array().unwrap().iter().enumerate() {
        let pair = &keys[format!("keyPair{}", at + 1)];
        let secret = bs58::decode(&text(pair, "privateKeyMultibase")[1..]).into_vec().unwrap();
        let signer = Keypair::from_seed(secret[2..].try_into().unwrap()).signer().unwrap();
        let previous = match published.get("previousProof") {
            Some(Value::Array(ids)) => ids.iter().map(|id| id.as_str().unwrap().to_string()).collect(),
            Some(id) => vec![id.as_str().unwrap().to_string()],
            None => Vec::new(),
        };
        let options = ProofOptions {
            id: published.get("id").map(|id| id.as_str().unwrap().to_string()),
            previous,
            ..ProofOptions::new(ProofPurpose::AssertionMethod, text(published, "created").parse().unwrap())
        };
        document = proof::add(&document, &*signer, &options).await.unwrap();
        let mut ours = document["proof"].as_array().map_or(&document["proof"], |proofs| &proofs[at]).clone();
        let (ours, mut theirs) = (ours.as_object_mut().unwrap(), published.as_object().unwrap().clone());
        assert_eq!(ours.remove("@context"), Some(document["@context"].clone()));
        ours["proofValue"] = theirs["proofValue"].clone();
        theirs["cryptosuite"] = "eddsa-jcs-2022".into();
        assert_eq!(*ours, theirs);
    }
    let proofs = proof::verify(&document, &Expected::assertion(now())).unwrap();
    assert_eq!(proofs.len(), 4);
    // What the third and the fourth proof cover besides the document are the published references, not all earlier proofs.
    for (at, temporary) in [(2, "proofChainTempDoc1.json"), (3, "proofChainTempDoc2.json")] {
        let mut covered = document.clone();
        let wanted = value(folder.join(temporary));
        let ids: Vec<&Value> = wanted["proof"].as_array().unwrap().iter().map(|proof| &proof["id"]).collect();
        covered["proof"].as_array_mut().unwrap().retain(|proof| ids.contains(&&proof["id"]));
        let mut config = document["proof"][at].as_object().unwrap().clone();
        let value = config.remove("proofValue").unwrap();
        let signature = bs58::decode(&value.as_str().unwrap()[1..]).into_vec().unwrap().try_into().unwrap();
        assert!(proofs[at].signer.verify(&proof::hash_data(&covered, &config).unwrap(), &signature), "{temporary}");
    }
}

#[test]
fn credentials_of_another_library_verify_and_keep_every_member() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("digitalbazaar-interop/signed.json"));
    let mut verified = 0;
    for case in cases["cases"].as_array().unwrap() {
        let credential = Credential::verify(&case["signed"].to_string(), now());
        if text(case, "cryptosuite") == "eddsa-jcs-2022" {
            let credential = credential.unwrap();
            assert_eq!(Value::Object(credential.document().clone()), case["signed"]);
            assert_eq!(credential.issuer().verification_method(), text(&cases, "verificationMethod"));
            assert_eq!(credential.is_revocable(), case["signed"].get("credentialStatus").is_some());
            verified += 1;
        } else {
            assert_eq!(credential.unwrap_err().code(), ErrorCode::Unsupported);
        }
    }
    assert_eq!(verified, 4);
}

#[tokio::test]
async fn signatures_of_rfc_8032_are_made_and_checked() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("ed25519/rfc8032-7.1.json"));
    for case in cases["vectors"].as_array().unwrap() {
        let pair = Keypair::from_seed(unhex(text(case, "secretKey")).try_into().unwrap());
        let (message, expected) = (unhex(text(case, "message")), unhex(text(case, "signature")));
        let signer = pair.signer().unwrap();
        assert_eq!(signer.did().public_key().to_vec(), unhex(text(case, "publicKey")));
        let signature = signer.sign(&message).await.unwrap();
        assert_eq!(signature.to_vec(), expected, "{}", text(case, "name"));
        assert!(signer.did().verify(&message, &signature));
    }
}

#[test]
fn wycheproofs_verdicts_on_ed25519_are_ours() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let all = value(vectors.join("ed25519/wycheproof_ed25519_test.json"));
    let mut judged = 0;
    for group in all["testGroups"].as_array().unwrap() {
        let key: [u8; 32] = unhex(text(&group["publicKey"], "pk")).try_into().unwrap();
        let did = Did::from_public_key(key).unwrap();
        for case in group["tests"].as_array().unwrap() {
            let signature: Result<[u8; 64], _> = unhex(text(case, "sig")).try_into();
            let accepted = signature.is_ok_and(|signature| did.verify(&unhex(text(case, "msg")), &signature));
            assert_eq!(accepted, text(case, "result") == "valid", "case {}", case["tcId"]);
            judged += 1;
        }
    }
    assert_eq!(judged, all["numberOfTests"].as_u64().unwrap());
}

#[test]
fn disputed_ed25519_edge_cases_get_the_strict_verdict() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let cases = value(vectors.join("ed25519/speccheck-15.json"));
    let verdicts: String = cases
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let key: [u8; 32] = unhex(text(case, "pub_key")).try_into().unwrap();
            let signature: [u8; 64] = unhex(text(case, "signature")).try_into().unwrap();
            let accepted =
                Did::from_public_key(key).is_ok_and(|did| did.verify(&unhex(text(case, "message")), &signature));
            if accepted { 'T' } else { 'F' }
        })
        .collect();
    // Small orders and non-canonical encodings fall; a key of mixed order with an otherwise sound signature stands.
    assert_eq!(verdicts, "FFFFFFTFFFFFFFF");
}

#[test]
fn did_keys_of_ed25519_seeds_are_the_published_ones_and_other_keys_are_refused() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let folder = vectors.join("did-key");
    let ed25519 = object(folder.join("ed25519-x25519.json"));
    for (did, case) in &ed25519 {
        let ours = Keypair::from_seed(unhex(text(case, "seed")).try_into().unwrap()).did().unwrap();
        assert_eq!(ours.to_string(), *did);
        assert_eq!(did.parse::<Did>().unwrap(), ours);
        assert_eq!(ours.verification_method(), format!("{did}#{}", ours.multikey()));
    }
    assert!(!ed25519.is_empty());
    for name in ["x25519", "secp256k1", "nist-curves", "rsa", "bls12381"] {
        for did in object(folder.join(format!("{name}.json"))).keys().filter(|key| key.starts_with("did:key:")) {
            assert_eq!(did.parse::<Did>().unwrap_err().code(), ErrorCode::Unsupported, "{did}");
        }
    }
}

#[test]
fn kwaainets_decay_and_scores_are_reproduced() {
    let Some(vectors) = shared::shared("vectors") else { return };
    let table = value(vectors.join("trust-score/seed-formula.json"));
    for kind in CredentialType::ALL {
        assert_eq!(kind.weight(), table["weights"][kind.as_str()].as_f64().unwrap());
    }
    for tier in [Tier::Known, Tier::Verified, Tier::Trusted] {
        let name = format!("{tier:?}");
        assert_eq!(tier.threshold(), table["thresholds"][name].as_f64().unwrap());
    }
    for row in table["decay"].as_array().unwrap() {
        let decayed = formula([(CredentialType::FiduciaryPledge, row["age_days"].as_u64().unwrap())]);
        let expected = 0.3 * row["decay"].as_f64().unwrap();
        assert!((decayed - expected).abs() < 1e-12, "{row}");
    }
    for row in table["scores"].as_array().unwrap() {
        let credentials =
            row["credentials"].as_array().unwrap().iter().map(|credential| {
                (text(credential, "type").parse().unwrap(), credential["age_days"].as_u64().unwrap())
            });
        let score = formula(credentials);
        assert!((score - row["score"].as_f64().unwrap()).abs() < 1e-12, "{row}");
        assert_eq!(format!("{:?}", Tier::of(score)), text(row, "tier"), "{row}");
    }
}
