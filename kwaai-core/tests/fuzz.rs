//! Whatever bytes come from a peer or a file: they are read, or refused with an error. `make fuzz` runs many more cases.

#[allow(dead_code)]
#[path = "support/embedders.rs"]
mod embedders;
#[path = "support/gguf.rs"]
mod written;

use std::sync::LazyLock;

use kwaai_core::ErrorCode;
use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Did, DidText, Keypair, Multikey, Relation, peer_id, verification_key};
use kwaai_core::llm::hub::{Description, ModelId};
use kwaai_core::llm::{BertEmbedder, Embedder, RemoteEmbedder, RemoteEmbedderConfig, Text};
use kwaai_core::net::hivemind::{Answer, Call};
use kwaai_core::net::wire::{Opening, Reply, Request};
use kwaai_core::rag::chunk::{Chunking, split};
use kwaai_core::rag::document::{self, Limits};
use kwaai_core::rag::{KnowledgeCapability, ProvenHit, check_citations};
use kwaai_core::shard::serve::read_info;
use kwaai_core::shard::wire::{Frame, Hidden, Precision};
use kwaai_core::shard::{LoadOptions, ModelConfig, ShardEngine};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    Askers, Bitstring, Credential, CredentialFilter, CredentialType, Disclosure, Disclosures, LegacyCredential,
    LegacyProof, Minimum, Observation, Outcome, Pledge, PledgeRequest, PledgeWithdrawal, Policy, Probe, StatusListUrl,
    Tier, TrustGraph, TrustQuestion, TrustStatement, TrustWord, WordRequest, json, proof, read_attestations,
    verify_presentation,
};
use proptest::prelude::*;
use serde_json::Value;

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

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());
static GGUF: LazyLock<Vec<u8>> = LazyLock::new(|| written::File::model("llama").bytes());

/// A file whose changes are in its head or at the beginning of its tensors, where they mean something.
fn broken_head(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let tensors = valid.len() - 12_000;
    let rest = valid[tensors..].to_vec();
    broken(valid[..tensors].to_vec()).prop_map(move |head| [head, rest.clone()].concat())
}

fn request() -> Vec<u8> {
    let request = Request { method: "kwaainet.message".into(), deadline_ms: 1000, body: vec![7; 40].into() };
    request.encode().unwrap().to_vec()
}

fn frame() -> Vec<u8> {
    Frame::Open { model: "llama-2x32-0123456789abcdef".into(), blocks: 0..2, max_tokens: 5 }.encode().unwrap()[4..]
        .to_vec()
}

/// A step, which is the richest frame of a caller, and a refusal, which is the richest of a host.
fn frames() -> [Vec<u8>; 2] {
    let hidden = Hidden { tokens: 2, size: 2, values: vec![0.5, -1.0, 2.0, 3.5] };
    let (session, precision) = ([7; 16], Precision::F16);
    let (position, blocks, deadline_ms) = (9, 1..3, 1000);
    let step = Frame::Step { session, epoch: 1, step: 4, position, blocks, deadline_ms, precision, hidden };
    let (code, message) = (ErrorCode::Busy, "later".to_string());
    let refused = Frame::Refused { code, position: Some(9), retry_after_ms: Some(50), message };
    [step, refused].map(|frame| frame.encode().unwrap()[4..].to_vec())
}

fn foreign_call() -> Vec<u8> {
    let call = Call { id: [3; 16], peer: vec![1, 2], method: "/kwaai/storage/1.0.0".into(), data: vec![7; 40] };
    // The frame without its length.
    call.encode()[1..].to_vec()
}

fn credential() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let trust = kwaai_core::TrustGraph::open_dir(dir.path()).unwrap();
    let subject = Keypair::from_seed([3; 32]).did().unwrap();
    let kind = kwaai_core::trust::CredentialType::Uptime;
    runtime.block_on(trust.issue(kind, subject, serde_json::Map::new(), None)).unwrap().to_json()
}

/// A question, its answer, the request of a pledge, its withdrawal, a probe, a request for a word and the word, each signed by who
/// should.
fn statements() -> [String; 7] {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = dirs.each_ref().map(|dir| TrustGraph::open_dir(dir.path()).unwrap());
    runtime.block_on(async {
        let about = Keypair::from_seed([3; 32]).did().unwrap();
        let minimum = Some(Minimum::score(0.5).unwrap());
        let question = one.question(other.did(), about, minimum, [7; 16]).await.unwrap();
        let statement = other.answer(&Askers::default(), None, question.to_json()).await.unwrap();
        let pledge = Pledge::of_text("a text").unwrap();
        let request = one.request_pledge(other.did(), &pledge).await.unwrap();
        let credential = other.issue_pledge(request.to_json(), &pledge, None).await.unwrap();
        one.accept_pledge(&credential.to_json(), &pledge).await.unwrap();
        let withdrawal = one.withdraw_pledge(credential.id()).await.unwrap();
        let observed = serde_json::json!({
            "upShare": 1, "observedFrom": "2026-05-01T00:00:00Z", "observedUntil": "2026-05-31T00:00:00Z", "samples": 9,
        });
        let (kind, claims) = (CredentialType::Uptime, observed.as_object().unwrap().clone());
        let uptime = one.issue(kind, other.did(), claims, None).await.unwrap();
        one.import_credential(&uptime.to_json()).await.unwrap();
        let probe = one.begin_test(uptime.id(), 7).await.unwrap();
        let asked = one.request_word(other.did(), [7; 16]).await.unwrap();
        other.set_disclosures(&Disclosures::default().with(Tier::Unknown, Disclosure::Experience)).unwrap();
        other.record(&about, Observation::new(Outcome::Good, jiff::Timestamp::MAX)).unwrap();
        let word = other.answer_word(&Askers::default(), None, asked.to_json()).await.unwrap();
        let (request, withdrawal, probe) = (request.to_json(), withdrawal.to_json(), probe.to_json());
        [question.to_json(), statement.to_json(), request, withdrawal, probe, asked.to_json(), word.to_json()]
            .map(String::from)
    })
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

proptest! {
    #[test]
    fn fuzz_whatever_a_model_writes_about_its_sources_is_checked(
        text in "(\\[[0-9]{1,3}(, ?[0-9])?\\]|“|”|\"|«|»|„|‘|’|'|``|''|\n> |`|…|\\.\\.\\.|The key is small|argv\\[[0-9]\\]|It was lost in 1,234|-?[0-9.,' kM½²]{1,6}|[a-zé東ﬁ\u{ad} .?\n]{1,9}|\\]\\(a\\)| ){0,40}",
        sources in prop::collection::vec("(The key is small\\. |It was lost in 1234\\. |argv\\[[0-9]\\]|[a-z ]{0,20}){0,4}", 0..4),
    ) {
        let texts: Vec<&str> = sources.iter().map(String::as_str).collect();
        for fault in check_citations(&text, &texts) {
            prop_assert!(text.get(fault.span.clone()).is_some(), "{fault:?}");
            prop_assert!(fault.found_in.is_none_or(|number| (1..=texts.len()).contains(&number)), "{fault:?}");
        }
    }

    #[test]
    fn fuzz_what_stands_in_a_source_word_by_word_may_cite_it(
        sources in prop::collection::vec(prop::collection::vec("[a-z]{1,6}|[0-9]{1,5}", 8..60), 1..6),
        number in any::<prop::sample::Index>(), start in any::<prop::sample::Index>(), length in 1usize..30, quoted in any::<bool>(),
    ) {
        let number = number.index(sources.len());
        let words = &sources[number];
        let start = start.index(words.len());
        let said = words[start..(start + length).min(words.len())].join(" ");
        let text = if quoted { format!("“{said}” [{}]", number + 1) } else { format!("{said} [{}].", number + 1) };
        let texts: Vec<String> = sources.iter().map(|words| words.join(" ")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        prop_assert_eq!(check_citations(&text, &texts), Vec::new(), "{}", text);
    }

    #[test]
    fn fuzz_a_changed_question_about_trust_is_refused(bytes in broken(statements()[0].clone().into_bytes())) {
        // What is read after a change says the same: only white space or the order of members can have changed.
        if let Ok(question) = TrustQuestion::read(&text_of(&bytes)) {
            prop_assert_eq!((question.nonce, question.at_least), ([7; 16], Some(Minimum::score(0.5).unwrap())));
        }
    }

    #[test]
    fn fuzz_a_changed_statement_about_trust_is_refused(bytes in broken(statements()[1].clone().into_bytes())) {
        if let Ok(statement) = TrustStatement::read(&text_of(&bytes)) {
            prop_assert_eq!(statement.nonce, [7; 16]);
        }
    }

    #[test]
    fn fuzz_a_changed_request_for_a_word_is_refused(bytes in broken(statements()[5].clone().into_bytes())) {
        if let Ok(request) = WordRequest::read(&text_of(&bytes)) {
            let members = json::parse(request.to_json()).unwrap();
            prop_assert_eq!(&members["nonce"], &Value::from("07".repeat(16)));
        }
    }

    #[test]
    fn fuzz_a_changed_word_is_refused(bytes in broken(statements()[6].clone().into_bytes())) {
        if let Ok(word) = TrustWord::read(&text_of(&bytes)) {
            prop_assert_eq!((word.seen().len(), word.seen()[0].evidence.good), (1, 1.0));
        }
    }

    #[test]
    fn fuzz_a_changed_capability_for_a_knowledge_base_is_refused(bytes in broken(KNOWLEDGE_CAPABILITY.into())) {
        if let Ok(capability) = KnowledgeCapability::read(&text_of(&bytes)) {
            prop_assert_eq!(capability.as_str().trim(), KNOWLEDGE_CAPABILITY);
        }
    }

    #[test]
    fn fuzz_a_passage_of_a_peer_is_proven_or_refused(bytes in broken(PROVEN_HIT.into())) {
        if let Ok(ProvenHit { hit, provenance }) = serde_json::from_slice(&bytes)
            && provenance.check(&hit).is_ok()
        {
            prop_assert_eq!(hit.text, "Rosen blühen.");
        }
    }

    #[test]
    fn fuzz_an_answer_of_a_peer_is_read_or_refused(bytes in broken(answer_of_a_peer())) {
        let capability = KnowledgeCapability::read(KNOWLEDGE_CAPABILITY).unwrap();
        if let Ok(found) = capability.read_answer(&bytes, 2) {
            prop_assert!(found.len() <= 1);
        }
    }

    #[test]
    fn fuzz_a_changed_request_of_a_pledge_is_refused(bytes in broken(statements()[2].clone().into_bytes())) {
        if let Ok(request) = PledgeRequest::read(&text_of(&bytes)) {
            prop_assert!(request.pledge.is_of("a text"));
        }
    }

    #[test]
    fn fuzz_a_changed_withdrawal_of_a_pledge_is_refused(bytes in broken(statements()[3].clone().into_bytes())) {
        let now = "2100-01-01T00:00:00Z".parse().unwrap();
        if let Ok(withdrawal) = PledgeWithdrawal::read(&text_of(&bytes), now) {
            prop_assert!(Pledge::of_credential(&withdrawal.credential).unwrap().is_of("a text"));
        }
    }

    #[test]
    fn fuzz_a_changed_probe_of_a_claim_is_refused(bytes in broken(statements()[4].clone().into_bytes())) {
        if let Ok(probe) = Probe::read(&text_of(&bytes)) {
            prop_assert_eq!(probe.seed, 7);
        }
    }

    #[test]
    fn fuzz_json_that_is_read_has_one_canonical_form(bytes in broken(JSON_LD.as_bytes().to_vec())) {
        if let Ok(value) = json::parse(&text_of(&bytes)) {
            let canonical = json::canonical(&value).unwrap();
            let text = std::str::from_utf8(&canonical).unwrap();
            // Strings may grow by their escapes, past what is read.
            if text.len() <= json::MAX_DOCUMENT_BYTES {
                let again = json::parse(text).unwrap();
                prop_assert_eq!(json::canonical(&again).unwrap(), canonical);
            }
        }
    }

    #[test]
    fn fuzz_a_multibase_key_is_read_as_it_is_written_or_refused(text in "z6Mk[1-9A-HJ-NP-Za-km-z]{44}|[a-zA-Z][ -~]{0,80}|.{0,80}") {
        if let Ok(key) = Multikey::parse(&text) {
            prop_assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn fuzz_rdf_is_made_of_a_document_or_it_is_refused(bytes in broken(JSON_LD.as_bytes().to_vec())) {
        if let Ok(Value::Object(document)) = json::parse(&text_of(&bytes))
            && let Ok(lines) = proof::canonical_rdf(&document)
        {
            prop_assert!(lines.lines().is_sorted());
        }
    }

    #[test]
    fn fuzz_the_attestations_of_a_record_are_read_or_refused(bytes in broken(ATTESTATION.as_bytes().to_vec())) {
        let announcer = Keypair::from_seed([5; 32]).did().unwrap();
        let record = serde_json::Value::Array(vec![text_of(&bytes).into()]);
        let read = read_attestations(&record, &announcer, "2026-06-01T00:00:00Z".parse().unwrap()).unwrap();
        prop_assert_eq!(read.len(), 1);
    }

    #[test]
    fn fuzz_what_a_host_announces_is_read_or_refused(bytes in broken(ANNOUNCEMENT.as_bytes().to_vec())) {
        let _ = read_info(&bytes);
    }

    #[test]
    fn fuzz_a_stored_policy_is_read_or_refused(bytes in broken(br#"{"minimum":{"message":"verified","use_blocks":0.55}}"#.to_vec())) {
        if let Ok(policy) = serde_json::from_slice::<Policy>(&bytes) {
            let again = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(serde_json::from_str::<Policy>(&again).unwrap(), policy);
        }
    }
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
    fn fuzz_a_call_on_a_stream_of_others_is_decoded_or_refused(bytes in broken(foreign_call())) {
        if let Ok(call) = Call::decode(&bytes) {
            prop_assert!(call.data.len() <= bytes.len());
        }
        let _ = Answer::decode(&bytes);
    }

    #[test]
    fn fuzz_an_opening_frame_is_decoded_or_refused(bytes in broken(b"\x03abc".to_vec())) {
        let _ = Opening::decode(&bytes);
    }

    #[test]
    fn fuzz_a_frame_of_a_block_host_is_decoded_or_refused(
        bytes in prop_oneof![broken(frame()), broken(frames()[0].clone()), broken(frames()[1].clone())],
    ) {
        if let Ok(frame) = Frame::decode(&bytes) {
            prop_assert_eq!(&frame.encode().unwrap()[4..], &bytes[..]);
        }
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
    fn fuzz_a_gguf_file_is_read_or_refused(bytes in broken_head(GGUF.clone())) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        let engine = ShardEngine::local();
        if let Err(error) = RUNTIME.block_on(engine.load(&path, LoadOptions::default())) {
            prop_assert_ne!(error.code(), kwaai_core::ErrorCode::Internal, "{}", error);
            prop_assert!(error.context().contains_key("file"), "{}", error);
        }
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
}

fn legacy() -> Vec<String> {
    let golden: Vec<serde_json::Value> = serde_json::from_str(include_str!("golden/legacy.json")).unwrap();
    golden.iter().map(|case| case["credential"].as_str().unwrap().to_owned()).collect()
}

proptest! {
    #[test]
    fn fuzz_a_status_list_is_expanded_or_refused(bytes in broken(Bitstring::new().encode().unwrap().into_bytes())) {
        if let Ok(bits) = Bitstring::decode(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(bits.get(bits.entries()).is_err());
            prop_assert_eq!(Bitstring::decode(&bits.encode().unwrap()).unwrap(), bits);
        }
    }

    #[test]
    fn fuzz_the_name_of_a_status_list_is_read_as_it_is_written(text in "urn:kwaai:status:z6Mk[1-9A-HJ-NP-Za-km-z]{44}:(revocation|suspension|x):[0-9]{1,11}|.{0,80}") {
        if let Ok(url) = text.parse::<StatusListUrl>() {
            prop_assert_eq!(url.to_string(), text);
        }
    }

    #[test]
    fn fuzz_a_changed_legacy_credential_never_verifies_as_another(which in 0usize..5, bytes in broken(legacy()[0].clone().into_bytes()), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = LegacyCredential::read(&String::from_utf8_lossy(&bytes));
        let original = LegacyCredential::read(&legacy()[which]).unwrap();
        let mut changed = legacy()[which].clone().into_bytes();
        let place = place.index(changed.len());
        changed[place] = byte;
        if let Ok(read) = LegacyCredential::read(&String::from_utf8_lossy(&changed))
            && let LegacyProof::Verified { .. } = read.proof
        {
            // The options of its proof are under no signature; what it says is.
            prop_assert_eq!(read, original);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_a_document_of_any_bytes_is_read_or_refused(bytes in broken(PDF.to_vec()), name in "x\\.(pdf|docx|txt|md|csv)") {
        check_document(&name, &bytes)?;
    }
}

/// Every reader of text gets the sources of all of them, since a file may not be what its name says.
fn written_documents() -> impl Strategy<Value = Vec<u8>> {
    let sources = [
        "# One\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```sh\n# no\n```\nTwo\n===\nText. More text.\n",
        "=====\nGuide\n=====\n\nInstall\n-------\nText.\n",
        "<!doctype html><title>T</title><h1>A</h1><ul><li>one<li>two</ul><table><tr><th>n<th>m<tr><td>1<td>2</table><script>x<y</script><pre>a\n b</pre>",
        "name;born\n\"Ada; L\";1815\n\"the \"\"first\"\"\nprogram\";1843\n",
        r#"{"a":{"b":[1,2.5,{"c":null}],"two words":"x\\ny"},"d":[[1],[]],"e":true}"#,
        "--- # one\na: &x {b: [1, 2]}\nc: *x\nd: |\n  text\n---\n- 1\n- e: ~\n",
        "[a]\nb = [1, 2.5]\nc = 1979-05-27T07:32:00Z\n[[d]]\ne = { f = \"g\" }\n",
        "/// Doc.\npub fn main() {\n    run();\n}\n\nclass A:\n    def b(self):\n        pass\n",
    ];
    prop::sample::select(sources.to_vec()).prop_flat_map(|source| broken(source.as_bytes().to_vec()))
}

proptest! {
    #[test]
    fn fuzz_a_written_document_is_read_or_refused(
        bytes in written_documents(), name in "x\\.(md|rst|html|csv|tsv|json|jsonl|yaml|toml|rs|doc|log)",
    ) {
        check_document(&name, &bytes)?;
    }
}

/// What is read has places inside its text, and chunks that slice back to it.
fn check_document(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(document) = document::read(name, bytes, &Limits::default()) else { return Ok(()) };
    for section in &document.sections {
        prop_assert!(document.text.get(section.range.clone()).is_some());
    }
    for chunk in split(&document, &Chunking { size: 40, overlap: 10, min: 5, ..Chunking::default() }).unwrap() {
        prop_assert_eq!(document.text.get(chunk.range.clone()), chunk.text(&document).ok());
        prop_assert_eq!(document.locator(&chunk.range), chunk.locator);
    }
    Ok(())
}

const MODEL: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":32,"intermediate_size":64,
"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":100,"max_position_embeddings":64,
"rms_norm_eps":1e-5,"rope_theta":10000.0,"tie_word_embeddings":true,"hidden_act":"silu","eos_token_id":[1,2]}"#;

const PDF: &[u8] = include_bytes!("../../examples/data/field-note.pdf");

/// Every spelling of one key, and a `did:peer:2` and `did:peer:4` with a service.
fn spellings() -> Vec<String> {
    let did = Keypair::from_seed([5; 32]).did().unwrap();
    let address = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
    let addresses = std::slice::from_ref(&address);
    let texts = [
        did.to_text(),
        did.to_peer_0(),
        did.to_peer_2(addresses),
        did.to_peer_3(addresses),
        did.to_peer_4(addresses),
        did.to_kwaainet(),
    ];
    let peer = did.to_peer_id().unwrap();
    let mut texts: Vec<String> = texts.into_iter().map(|text| text.unwrap().to_string()).collect();
    texts.extend([peer.to_string(), peer_id::to_cid(&peer), format!("did:peer:1z{}", &texts[3][11..])]);
    texts
}

/// The text of a `did:peer:4` whose document is any text, with a hash that fits.
fn peer_4(document: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let encoded = format!("z{}", bs58::encode([&[0x80, 0x04], document].concat()).into_string());
    let hash = bs58::encode([&[0x12, 0x20], Sha256::digest(&encoded).as_slice()].concat()).into_string();
    format!("did:peer:4z{hash}:{encoded}")
}

const DID_SERVICE: &str = r##"{"id":"#libp2p","t":"Libp2pNode","s":{"multiaddrs":["/ip4/192.0.2.7/tcp/4001"]}}"##;

const DID_DOCUMENT: &str = r##"{"verificationMethod":[{"id":"#key-1","type":"Multikey",
"publicKeyMultibase":"z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw"}],"authentication":["#key-1"],
"assertionMethod":["#key-1"],"service":[{"id":"#s","type":"Libp2pNode","serviceEndpoint":{"multiaddrs":[]}}]}"##;

/// What holds of any text that is read as a DID.
fn check_did(text: &str) -> Result<(), TestCaseError> {
    let Ok(did) = text.parse::<DidText>() else { return Ok(()) };
    prop_assert_eq!(did.as_str(), text);
    let _ = did.addresses();
    if let Some(short) = did.short_form() {
        prop_assert_eq!(short.as_str().parse::<DidText>().unwrap().spelling(), short.spelling());
        let document = did.short_document().unwrap();
        prop_assert_eq!(document.id(), short.as_str());
    }
    let Ok(document) = did.document() else { return Ok(()) };
    prop_assert_eq!(document.id(), text);
    for relation in Relation::ALL {
        let _ = verification_key(&format!("{text}#key-1"), relation);
    }
    if let Ok(key) = did.did() {
        prop_assert_eq!(Did::parse_any(text).unwrap(), key);
        prop_assert_eq!(key.to_string().parse::<Did>().unwrap(), key);
    }
    Ok(())
}

proptest! {
    #[test]
    fn fuzz_a_changed_spelling_is_read_or_refused(
        bytes in prop::sample::select(spellings()).prop_flat_map(|text| broken(text.into_bytes()))
    ) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        check_did(&text)?;
        if let Ok(did) = Did::parse_any(&text) {
            prop_assert_eq!(peer_id::parse_any(&text).unwrap(), did.to_peer_id().unwrap());
        }
    }

    #[test]
    fn fuzz_a_service_of_a_did_peer_2_is_read_or_refused(bytes in broken(DID_SERVICE.as_bytes().to_vec())) {
        let service = multibase::Base::Base64Url.encode(bytes);
        check_did(&format!("did:peer:2.Vz6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw.S{service}"))?;
    }

    #[test]
    fn fuzz_a_document_of_a_did_peer_4_is_read_or_refused(bytes in broken(DID_DOCUMENT.as_bytes().to_vec())) {
        check_did(&peer_4(&bytes))?;
    }

    #[test]
    fn fuzz_a_did_of_any_elements_is_read_or_refused(
        text in "did:(key|peer):[0-4Q]?(z|\\.|:|m)?[.:#AEVIDSz1-9a-f]{0,120}"
    ) {
        check_did(&text)?;
    }
}
const JSON_LD: &str = r#"{"@context":["https://www.w3.org/ns/credentials/v2","https://www.w3.org/ns/credentials/examples/v2"],"type":["VerifiableCredential","UptimeVC"],"issuer":"did:key:z6Mk","validFrom":"2026-06-01T00:00:00Z","credentialSubject":{"id":"urn:x","more":[1,2.5,true,{"name":"y"},{"name":"z"}]},"evidence":{"type":"Test"}}"#;

const ATTESTATION: &str = r#"{"@context":["https://www.w3.org/2018/credentials/v1","https://kwaai.ai/credentials/v1"],
"type":["VerifiableCredential","SummitAttendeeVC"],"issuer":"did:peer:12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
"issuanceDate":"2026-03-15T10:00:00.123456789Z","credentialSubject":{"id":"did:key:z6Mk","eventName":"Summit"}}"#;

const KNOWLEDGE_CAPABILITY: &str = include_str!("golden/knowledge_capability.json").trim_ascii_end();
const PROVEN_HIT: &str = include_str!("golden/knowledge_proven_hit.json").trim_ascii_end();

fn answer_of_a_peer() -> Vec<u8> {
    let statistics = r#"{"passages":3,"words":9,"frequencies":[]}"#;
    format!(r#"{{"hits":[{PROVEN_HIT}],"statistics":{statistics}}}"#).into_bytes()
}

const ANNOUNCEMENT: &str = r#"{"version":1,"spans":[{"model":"m","start":0,"end":2}],
"credentials":["urn:kwaai:vc:abababababababababababababababababababababababababababababababab"]}"#;

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
fn fuzz_a_changed_presentation_is_refused(bytes in broken(presentation().into_bytes())) {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if let Ok(shown) = verify_presentation(&text, "audience", "challenge", PRESENTED.parse().unwrap()) {
        prop_assert_eq!(shown.credentials.len(), 1);
    }
}}

/// The files of an embedding model whose bytes say how it is computed.
const EMBEDDER_FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "config_sentence_transformers.json",
];

fn embedder_folder(case: usize) -> tempfile::TempDir {
    let (golden, dir) = (embedders::golden(), tempfile::tempdir().unwrap());
    embedders::write_model(&golden, &golden["cases"][case], dir.path());
    dir
}

proptest! {
#[test]
fn fuzz_a_changed_folder_of_an_embedding_model_is_read_or_refused(
    (case, name, bytes) in (1usize..3, prop::sample::select(&EMBEDDER_FILES[..])).prop_flat_map(|(case, name)| {
        let valid = std::fs::read(embedder_folder(case).path().join(name)).unwrap_or_default();
        (Just(case), Just(name), broken(valid))
    })
) {
    let dir = embedder_folder(case);
    std::fs::write(dir.path().join(name), bytes).unwrap();
    match RUNTIME.block_on(BertEmbedder::open(dir.path())) {
        Ok(embedder) => {
            let texts = vec![Text::Query("the ferry".into()), Text::Document("leaves : from".into())];
            match RUNTIME.block_on(embedder.embed(texts)) {
                Ok(vectors) => prop_assert!(vectors.iter().all(|vector| vector.len() == embedder.dimension())),
                Err(error) => prop_assert_eq!(error.code(), ErrorCode::CorruptData, "{:?}", error),
            }
        }
        Err(error) => {
            prop_assert!(matches!(error.code(), ErrorCode::CorruptData | ErrorCode::Unsupported), "{error:?}");
        }
    }
}}

const EMBEDDINGS: [&str; 2] = [
    r#"{"object":"list","data":[{"object":"embedding","index":1,"embedding":[0.25,-1]},{"index":0,"embedding":[3,4e-2]}],"model":"m"}"#,
    r#"{"model":"m","embeddings":[[0.25,-1],[3,4e-2]],"total_duration":14143917,"prompt_eval_count":8}"#,
];

/// A server that gives one request these bytes for an answer.
async fn answering(body: Vec<u8>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        // The body is a single line, and the last thing in it a brace.
        while !request.ends_with(b"}") {
            request.push(socket.read_u8().await.unwrap());
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        socket.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    });
    address
}

proptest! {
#[test]
fn fuzz_a_changed_answer_of_an_embedding_endpoint_gives_unit_vectors_or_an_error(
    (api, bytes) in (0usize..2).prop_flat_map(|api| (Just(api), broken(EMBEDDINGS[api].as_bytes().to_vec())))
) {
    let result = RUNTIME.block_on(async {
        let address = answering(bytes).await;
        let config = [RemoteEmbedderConfig::openai, RemoteEmbedderConfig::ollama][api](address, "m");
        let config = RemoteEmbedderConfig { dimension: Some(2), retries: 0, ..config };
        RemoteEmbedder::open(config).await.unwrap().embed(vec![Text::Plain("a".into()), Text::Plain("b".into())]).await
    });
    match result {
        Ok(vectors) => {
            prop_assert_eq!(vectors.len(), 2);
            let long = |vector: &Vec<f32>| vector.iter().map(|value| value * value).sum::<f32>();
            prop_assert!(vectors.iter().all(|vector| vector.len() == 2 && (long(vector) - 1.0).abs() < 1e-5));
        }
        Err(error) => {
            prop_assert!(matches!(error.code(), ErrorCode::CorruptData | ErrorCode::Conflict), "{error:?}");
        }
    }
}}

const DESCRIPTION: &str = r#"{"id":"a/b","sha":"0123456789abcdef0123456789abcdef01234567","siblings":[{"rfilename":"config.json"},
{"rfilename":"1_Pooling/config.json"},{"rfilename":"model.safetensors.index.json"},{"rfilename":"b-Q4_K_M.gguf"}]}"#;
const INDEX: &str = r#"{"metadata":{"total_size":8},"weight_map":{"a":"config.json","b":"1_Pooling/config.json"}}"#;

/// Whether a name stays below the folder that it is joined to, on Windows too.
fn stays_below(name: &str) -> bool {
    let plain = |part: std::path::Component| matches!(part, std::path::Component::Normal(_));
    std::path::Path::new(name).components().all(plain) && !name.is_empty() && !name.contains(['\\', ':'])
}

proptest! {
#[test]
fn fuzz_the_id_of_a_model_is_read_as_it_is_written_and_leads_nowhere(
    text in "[ab./-]{0,9}[/@:]?[a-z0-9.-]{0,9}[/@:]?[a-z0-9./-]{0,9}[@:]?[a-zA-Z0-9._/-]{0,9}|.{0,40}"
) {
    if let Ok(id) = text.parse::<ModelId>() {
        prop_assert_eq!(id.to_string(), text);
        let folder = format!("models--{}--{}", id.owner(), id.name());
        prop_assert!(stays_below(&folder) && !folder.contains('/') && folder.matches("--").count() == 2, "{}", folder);
        prop_assert!(stays_below(id.revision()), "{}", id.revision());
    }
}

#[test]
fn fuzz_what_a_hub_says_of_a_model_names_files_below_its_folder(
    (bytes, index) in (broken(DESCRIPTION.into()), broken(INDEX.into())), name in "[a./\\\\:]{0,6}|.{0,6}"
) {
    let named = Value::from(name).to_string();
    let descriptions = [bytes, DESCRIPTION.replace("\"1_Pooling/config.json\"", &named).into_bytes()];
    for description in descriptions.iter().filter_map(|bytes| Description::read(bytes).ok()) {
        prop_assert!(description.commit.len() == 40 && stays_below(&description.commit));
        prop_assert!(description.files.iter().all(|name| stays_below(name)), "{:?}", description.files);
        for wanted in [description.wanted(None), description.wanted(Some("q4_k_m"))].into_iter().flatten().flatten() {
            prop_assert!(description.files.iter().any(|file| file == wanted));
        }
        for file in description.files_of_index(&index).into_iter().flatten() {
            prop_assert!(description.files.contains(&file));
        }
    }
}}
