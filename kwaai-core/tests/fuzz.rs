//! Whatever bytes come from a peer or a file: they are read, or refused with an error. `make fuzz` runs many more cases.

use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::net::wire::{Opening, Reply, Request};
use kwaai_core::rag::document::{self, Limits};
use kwaai_core::shard::ModelConfig;
use kwaai_core::shard::wire::Frame;
use kwaai_core::store::Store;
use kwaai_core::trust::{Credential, CredentialFilter, verify_presentation};
use proptest::prelude::*;

/// Any bytes, and valid ones with some of them changed, cut or repeated, which come much further.
fn broken(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let mutated = (changes, any::<prop::sample::Index>(), 0usize..3).prop_map(move |(changes, cut, kind)| {
        let mut bytes = valid.clone();
        if bytes.is_empty() {
            return bytes;
        }
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let cut = cut.index(bytes.len());
        match kind {
            0 => bytes.truncate(cut),
            1 => bytes.extend_from_within(cut..),
            _ => {}
        }
        bytes
    });
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..512), 3 => mutated]
}

fn request() -> Vec<u8> {
    let request = Request { method: "kwaainet.message".into(), deadline_ms: 1000, body: vec![7; 40].into() };
    request.encode().unwrap().to_vec()
}

fn frame() -> Vec<u8> {
    Frame::Open { model: "llama-2x32-0123456789abcdef".into(), blocks: 0..2, max_tokens: 5 }.encode().unwrap()
}

fn credential() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let trust = kwaai_core::TrustGraph::open_dir(dir.path()).unwrap();
    let subject = Keypair::from_seed([3; 32]).did().unwrap();
    let kind = kwaai_core::trust::CredentialType::Uptime;
    runtime.block_on(trust.issue(kind, subject, serde_json::Map::new(), None)).unwrap().to_json()
}

const PRESENTED: &str = "2026-06-01T10:30:00Z";

fn presentation() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let signer = Keypair::from_seed([3; 32]).signer().unwrap();
    let clock = std::sync::Arc::new(ManualClock::at(PRESENTED.parse().unwrap()));
    let trust = kwaai_core::TrustGraph::open(Store::in_memory().unwrap(), signer, clock).unwrap();
    let kind = kwaai_core::trust::CredentialType::Uptime;
    let own = runtime.block_on(trust.issue(kind, trust.did(), serde_json::Map::new(), None)).unwrap();
    runtime.block_on(trust.import_credential(&own.to_json())).unwrap();
    runtime.block_on(trust.present("audience", "challenge", &CredentialFilter::default())).unwrap().to_json()
}

proptest! {
    #[test]
    fn fuzz_a_request_frame_is_decoded_or_refused(bytes in broken(request())) {
        if let Ok(request) = Request::decode(&bytes) {
            prop_assert_eq!(Request::decode(&request.encode().unwrap()).unwrap(), request);
        }
    }

    #[test]
    fn fuzz_a_reply_frame_is_decoded_or_refused(bytes in broken(vec![0, 0, 0, 0, 0, 3, 1, 2, 3])) {
        let _ = Reply::decode(&bytes);
    }

    #[test]
    fn fuzz_an_opening_frame_is_decoded_or_refused(bytes in broken(b"\x03abc".to_vec())) {
        let _ = Opening::decode(&bytes);
    }

    #[test]
    fn fuzz_a_frame_of_a_block_host_is_decoded_or_refused(bytes in broken(frame())) {
        let _ = Frame::decode(&bytes);
    }

    #[test]
    fn fuzz_a_did_is_read_as_it_is_written_or_refused(text in "did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{0,60}|.{0,80}") {
        if let Ok(did) = text.parse::<Did>() {
            prop_assert_eq!(did.to_string(), text);
        }
    }

    #[test]
    fn fuzz_a_key_file_is_read_or_refused(bytes in broken(vec![8, 1, 18, 64])) {
        let _ = Keypair::from_protobuf(&bytes);
    }

    #[test]
    fn fuzz_a_model_configuration_is_read_or_refused(bytes in broken(MODEL.as_bytes().to_vec())) {
        let _ = ModelConfig::parse(&bytes);
    }

    #[test]
    fn fuzz_a_changed_credential_is_refused(bytes in broken(credential().into_bytes())) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let now = "2100-01-01T00:00:00Z".parse().unwrap();
        if let Ok(credential) = Credential::verify(&text, now) {
            // What verifies after a change says the same: only white space or the order of members can have changed.
            prop_assert_eq!(credential.kind(), Some(kwaai_core::trust::CredentialType::Uptime));
        }
    }

    #[test]
    fn fuzz_a_changed_presentation_is_refused(bytes in broken(presentation().into_bytes())) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(shown) = verify_presentation(&text, "audience", "challenge", PRESENTED.parse().unwrap()) {
            prop_assert_eq!(shown.credentials.len(), 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_a_document_of_any_bytes_is_read_or_refused(bytes in broken(PDF.to_vec()), name in "x\\.(pdf|docx|txt|md|csv)") {
        if let Ok(document) = document::read(&name, &bytes, &Limits::default()) {
            for section in &document.sections {
                prop_assert!(document.text.get(section.range.clone()).is_some());
            }
        }
    }
}

const MODEL: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":32,"intermediate_size":64,
"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,"max_position_embeddings":64,
"rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":true,"hidden_act":"silu","eos_token_id":[1,2]}"#;

const PDF: &[u8] = include_bytes!("../../examples/data/field-note.pdf");
