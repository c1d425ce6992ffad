//! The interface for Kotlin and Swift, called the way their futures are: on an executor that knows nothing of tokio.
#![cfg(all(feature = "uniffi", feature = "testing"))]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::executor::block_on;
use futures::{FutureExt, pin_mut};
use kwaai_core::ErrorCode;
use kwaai_ffi::KwaaiError;
use kwaai_ffi::mobile::*;

fn code<T>(result: Result<T, NativeError>) -> String {
    match result {
        Ok(_) => "no error".to_string(),
        Err(NativeError::Failed { code, .. }) => code,
    }
}

fn node(seed: Option<i64>) -> NodeOptions {
    NodeOptions {
        preset: Some("ephemeral".into()),
        name: Some("mobile".into()),
        data_dir: None,
        identity_key: None,
        listen: Some(Vec::new()),
        bootstrap: None,
        mdns: None,
        hivemind: None,
        trusted_relays: None,
        relay: None,
        relay_limits: None,
        announce_addr: None,
        public_ip: None,
        public_port: None,
        force_private: None,
        identify_min_confirmations: None,
        identify_timeout_ms: None,
        upnp: None,
        peer_cache: None,
        limits: None,
        seed,
        clock: None,
    }
}

fn rag(own_embedder: Option<Arc<NativeEmbedder>>) -> RagOptions {
    RagOptions {
        embedder: own_embedder.is_none().then(|| "none".to_string()),
        embedding_endpoint: None,
        own_embedder,
        endpoint: None,
        writer: None,
        chunking: None,
        language: None,
        readers: Vec::new(),
        cache: None,
        data_dir: None,
    }
}

/// Waits until the other side has done its part.
fn wait_for(done: &AtomicBool) {
    let began = Instant::now();
    while !done.load(Ordering::Acquire) {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing happened in ten seconds");
        std::thread::yield_now();
    }
}

#[test]
fn futures_may_be_polled_without_tokio() {
    let node = block_on(NativeNode::start(node(Some(1)), None)).expect("it starts");
    let info = block_on(node.info(None)).expect("it runs");
    assert_eq!(info.did, node.did());
    block_on(node.shutdown(None, None)).expect("it stops");
    assert_eq!(code(block_on(node.info(None))), "closed");
    assert_eq!(node.name(), "mobile");
    assert_eq!(node.trust().did(), info.did);
}

#[test]
fn negative_and_huge_numbers_are_refused_before_anything_starts() {
    assert_eq!(code(block_on(NativeNode::start(node(Some(-1)), None))), "invalid_argument");
    let graph = block_on(NativeTrustGraph::open(None, None, Some(3), None, None)).expect("it opens");
    let did = graph.did();
    assert_eq!(
        code(block_on(graph.issue("UptimeVC".into(), did, "{}".into(), Some(-5), false, None))),
        "invalid_argument"
    );
    assert_eq!(code(graph.advance_clock(-1)), "invalid_argument");
    let stream = numbers(3, 3, false).expect("it opens");
    assert_eq!(code(block_on(stream.next_batch(-1, None))), "invalid_argument");
    assert_eq!(code(block_on(stream.next_batch(0, None))), "invalid_argument");
    assert_eq!(code(numbers(i64::MAX, 3, false)), "invalid_argument");
}

#[test]
fn an_error_crosses_in_both_directions_without_loss() {
    for code in ErrorCode::ALL {
        let native = block_on(provoke_error(i64::from(code.number()), None)).expect_err("it always fails");
        let there = KwaaiError::from(native.clone());
        assert_eq!(there.code, *code);
        assert_eq!(there.context["detail"], "on demand");
        assert_eq!(there.cause.as_deref(), Some("the cause beneath"));
        let NativeError::Failed { number, retryable, reason, .. } = native;
        assert_eq!((number, retryable), (i32::from(there.number), there.retryable));
        assert_eq!(reason, there.message);
    }
    let unknown = NativeError::Failed {
        code: "from the future".into(),
        number: 99,
        reason: "x".into(),
        context: Default::default(),
        retryable: true,
        beneath: None,
    };
    assert_eq!(KwaaiError::from(unknown).code, ErrorCode::Internal);
}

#[test]
fn dropping_a_future_and_cancelling_a_token_both_end_the_call() {
    let hanging = || live_handles().get("hang").copied().unwrap_or_default();
    {
        let waiting = wait_forever(None);
        pin_mut!(waiting);
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(hanging(), 1);
    }
    let began = Instant::now();
    while hanging() > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "the call goes on");
        std::thread::yield_now();
    }
    let cancel = NativeCancel::new();
    let waiting = wait_forever(Some(cancel.clone()));
    std::thread::spawn(move || cancel.cancel());
    assert_eq!(code(block_on(waiting)), "cancelled");
}

#[test]
fn a_batch_tells_how_many_values_are_missing() {
    let stream = numbers(10, 4, false).expect("it opens");
    let batch = block_on(stream.next_batch(100, None)).expect("it yields").expect("it has not ended");
    assert_eq!((batch.values, batch.missed), (vec![6, 7, 8, 9], 6));
    assert!(block_on(stream.next_batch(100, None)).expect("it ended well").is_none());
}

/// Sets a flag when it goes.
struct Goes(Arc<AtomicBool>);

impl Drop for Goes {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Hanging {
    started: Arc<AtomicBool>,
    dropped: Arc<AtomicBool>,
}

#[async_trait]
impl SignerCode for Hanging {
    async fn sign(&self, _: Vec<u8>) -> Result<Vec<u8>, NativeError> {
        let _goes = Goes(self.dropped.clone());
        self.started.store(true, Ordering::Release);
        std::future::pending().await
    }
}

#[test]
fn code_of_the_app_is_dropped_when_nobody_wants_its_answer() {
    let (started, dropped) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let hanging = Arc::new(Hanging { started: started.clone(), dropped: dropped.clone() });
    let did = seed_did(5).expect("every seed has one");
    let signer = NativeSigner::new(did.clone(), None, hanging).expect("it is a signer");
    let graph = block_on(NativeTrustGraph::open(None, Some(signer), None, None, None)).expect("it opens");
    let cancel = NativeCancel::new();
    let issuing = graph.issue("UptimeVC".into(), did, "{}".into(), None, false, Some(cancel.clone()));
    let canceller = std::thread::spawn(move || {
        wait_for(&started);
        cancel.cancel();
    });
    assert_eq!(code(block_on(issuing)), "cancelled");
    canceller.join().expect("it cancelled");
    wait_for(&dropped);
}

struct Broken(Mutex<Vec<Result<Vec<u8>, NativeError>>>);

#[async_trait]
impl EmbedderCode for Broken {
    async fn embed(&self, _: Vec<String>, _: bool) -> Result<Vec<u8>, NativeError> {
        self.0.lock().expect("nobody panicked").pop().expect("it is asked once for each answer")
    }
}

#[test]
fn bytes_that_are_no_vectors_are_refused() {
    let failed = |answer| {
        let broken = Arc::new(Broken(Mutex::new(vec![answer])));
        let embedder = NativeEmbedder::new("broken".into(), 2, None, broken).expect("it is an embedder");
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_string_lossy().into_owned();
        let rag = block_on(NativeRag::open(path, rag(Some(embedder)), None)).expect("it opens");
        let dense = SearchOptions {
            mode: kwaai_core::rag::Mode::Dense,
            links: false,
            find: FindOptions {
                documents: Vec::new(),
                since_ms: None,
                before_ms: None,
                formats: Vec::new(),
                names: Vec::new(),
                metadata: HashMap::new(),
                neighbours: 0,
                wordings: 0,
                hypothesis: 0.0,
                rerank: 0,
            },
            timed: false,
            diversity: 0.0,
            dense_weight: None,
        };
        let answered = code(block_on(rag.search("text".into(), 3, dense, None)));
        block_on(rag.shutdown(None)).expect("it closes");
        answered
    };
    assert_eq!(failed(Ok(vec![1, 2, 3])), "invalid_argument");
    assert_eq!(failed(Ok(vec![0; 4])), "invalid_argument");
    assert_eq!(failed(Err(KwaaiError::foreign(ErrorCode::Busy, "later".into(), None).into())), "busy");
    let sound: Vec<u8> = [0.6_f32, 0.8].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(failed(Ok(sound)), "no error");
}
