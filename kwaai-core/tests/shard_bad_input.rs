//! Broken model directories, hostile frames, and sessions of others.

mod shard_support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::llm::{ChatMessage, GenerateRequest};
use kwaai_core::net::{PeerStream, Peers};
use kwaai_core::shard::wire::{Frame, Hidden, PROTOCOL, Precision, SMALL_FRAME, SessionId};
use kwaai_core::shard::{Blocks, LoadOptions, Route, ServeLimits, ShardEngine};
use kwaai_core::shard::{EngineOptions, Model};
use kwaai_core::{Error, ErrorCode};
use shard_support::{AllBut, TcpNode, Town, config, of_family, tensors, write_model, write_tensors};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn load(dir: &Path) -> Result<Model, Error> {
    ShardEngine::local().load(dir, LoadOptions::default()).await
}

fn small() -> serde_json::Value {
    config(2, 4, 2, 6, false)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tensor_is_named_with_its_shape() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 1, &small());
    let mut left = tensors(&small());
    left.retain(|(name, _)| name != "model.layers.1.mlp.up_proj.weight");
    write_tensors(&dir.path().join("model.safetensors"), 1, &left);
    let error = load(dir.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData);
    assert_eq!(error.context()["tensor"], "model.layers.1.mlp.up_proj.weight");
    assert_eq!(error.context()["expected"], "[36, 24]");
    assert!(error.context().contains_key("remedy") && error.context().contains_key("file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_shape_is_named_with_both_shapes() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 1, &small());
    let mut wrong = tensors(&small());
    wrong.iter_mut().filter(|(name, _)| name.ends_with("0.self_attn.k_proj.weight")).for_each(|(_, shape)| {
        shape.reverse();
    });
    write_tensors(&dir.path().join("model.safetensors"), 1, &wrong);
    let error = load(dir.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData);
    assert_eq!((&*error.context()["expected"], &*error.context()["found"]), ("[12, 24]", "[24, 12]"));
    assert!(error.context()["file"].ends_with("model.safetensors"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_anywhere_is_corrupt_and_named() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 1, &small());
    let path = dir.path().join("model.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 7, 8, 100, 2000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = load(dir.path()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData, "{length} bytes: {error}");
        assert!(error.context()["file"].ends_with("model.safetensors"));
    }
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&path, lying).unwrap();
    assert_eq!(load(dir.path()).await.unwrap_err().code(), ErrorCode::CorruptData);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(load(dir.path()).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_with_more_tensors_than_its_configuration_asks_for_is_of_another_family() {
    for family in ["qwen2", "qwen3"] {
        let dir = tempfile::tempdir().unwrap();
        let mut mislabelled = of_family(family, 2);
        write_model(dir.path(), 1, &mislabelled);
        load(dir.path()).await.unwrap();
        mislabelled["model_type"] = "mistral".into();
        std::fs::write(dir.path().join("config.json"), mislabelled.to_string()).unwrap();
        let error = load(dir.path()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unsupported);
        assert!(error.context()["tensor"].starts_with("model.layers.0.self_attn.k_"), "{error}");
        assert!(error.context()["file"].ends_with("model.safetensors"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_that_is_not_finite_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 1, &small());
    let path = dir.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(load(dir.path()).await.unwrap_err().code(), ErrorCode::CorruptData);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_names_its_files_and_none_outside_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 1, &small());
    let index = |file: &str| {
        let map: serde_json::Map<String, serde_json::Value> =
            tensors(&small()).into_iter().map(|(name, _)| (name, file.into())).collect();
        let text = serde_json::json!({"weight_map": map}).to_string();
        std::fs::write(dir.path().join("model.safetensors.index.json"), text).unwrap();
    };
    index("model.safetensors");
    load(dir.path()).await.unwrap();
    index("part-2.safetensors");
    let error = load(dir.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.context()["file"].ends_with("part-2.safetensors"));
    index("../elsewhere.safetensors");
    assert_eq!(load(dir.path()).await.unwrap_err().code(), ErrorCode::CorruptData);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_follows_the_weights_and_not_the_name_of_the_directory() {
    let root = tempfile::tempdir().unwrap();
    write_model(&root.path().join("a"), 1, &small());
    write_model(&root.path().join("b"), 1, &small());
    write_model(&root.path().join("c"), 2, &small());
    let id = async |name: &str| load(&root.path().join(name)).await.unwrap().id().to_string();
    assert_eq!(id("a").await, id("b").await);
    assert_ne!(id("a").await, id("c").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_are_refused_before_anything_is_computed() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 1, &small());
    let engine = ShardEngine::local();
    let model = engine.load(dir.path(), LoadOptions::default()).await.unwrap();
    let refused = async |request: GenerateRequest| {
        engine.generate(&model, request, Route::Local).await.map(|_| ()).unwrap_err().code()
    };
    let hello = || vec![ChatMessage::user("hello")];
    let long = vec![ChatMessage::user("long ".repeat(200))];
    let default = GenerateRequest::default;
    assert_eq!(refused(default()).await, ErrorCode::InvalidArgument);
    assert_eq!(refused(GenerateRequest { messages: long, ..default() }).await, ErrorCode::InvalidArgument);
    assert_eq!(
        refused(GenerateRequest { messages: hello(), max_tokens: 0, ..default() }).await,
        ErrorCode::InvalidArgument
    );
    assert_eq!(
        refused(GenerateRequest { messages: hello(), temperature: -1.0, ..default() }).await,
        ErrorCode::InvalidArgument
    );
    assert_eq!(engine.logits(&model, &[262], Route::Local).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(engine.logits(&model, &[], Route::Local).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(engine.logits(&model, &[1], Route::Peers).await.unwrap_err().code(), ErrorCode::Unsupported);
    let part = engine.load(dir.path(), Blocks::Span(0..1)).await.unwrap();
    assert_eq!(part.held_blocks(), Some(0..1));
    assert_eq!(engine.logits(&part, &[1], Route::Local).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    let beyond = engine.load(dir.path(), Blocks::Span(1..3)).await.unwrap_err();
    assert_eq!(beyond.code(), ErrorCode::InvalidArgument);
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    let mute = engine.load(dir.path(), LoadOptions::default()).await.unwrap();
    let error = engine.chat(&mute, hello(), Route::Local).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
}

/// A host of two blocks, spoken to frame by frame.
struct Host {
    engine: ShardEngine,
    model: String,
    peer: PeerId,
    town: Arc<Town>,
    clock: ManualClock,
    _dir: tempfile::TempDir,
    _node: Arc<TcpNode>,
}

impl Host {
    async fn start(limits: ServeLimits) -> Host {
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), 1, &small());
        let town = Arc::new(Town::default());
        let node = TcpNode::start(&town, 1).await;
        let clock = ManualClock::at(jiff::Timestamp::UNIX_EPOCH);
        let options = EngineOptions { limits, clock: Arc::new(clock.clone()), ..EngineOptions::default() };
        let engine = ShardEngine::new(Some((node.clone(), Arc::new(AllBut::default()))), options);
        let model = engine.serve(dir.path(), 0..2).await.unwrap().model;
        Host { engine, model, peer: node.local_peer(), town, clock, _dir: dir, _node: node }
    }

    async fn caller(&self, seed: u8) -> PeerStream {
        let node = TcpNode::start(&self.town, seed).await;
        node.open_stream(self.peer, PROTOCOL, Duration::from_secs(5)).await.unwrap()
    }

    fn open(&self, max_tokens: u32) -> Frame {
        Frame::Open { model: self.model.clone(), blocks: 0..2, max_tokens }
    }
}

fn step(session: SessionId, step: u64, position: u32, tokens: u32) -> Frame {
    let values = (0..tokens * 24).map(|i| (i as f32 * 0.37 + position as f32).sin()).collect();
    let hidden = Hidden { tokens, size: 24, values };
    plain(session, step, position, 0..2, hidden)
}

fn plain(session: SessionId, step: u64, position: u32, blocks: std::ops::Range<u32>, hidden: Hidden) -> Frame {
    let (epoch, deadline_ms, precision) = (0, 60_000, Precision::F32);
    Frame::Step { session, epoch, step, position, blocks, deadline_ms, precision, hidden }
}

async fn ask(stream: &mut PeerStream, frame: Frame) -> Frame {
    frame.write(stream).await.unwrap();
    loop {
        match Frame::read(stream, 1 << 20).await.unwrap().unwrap() {
            Frame::Working { .. } => {}
            answer => return answer,
        }
    }
}

async fn opened(stream: &mut PeerStream, open: Frame) -> SessionId {
    match ask(stream, open).await {
        Frame::Opened { session, hidden: 24, .. } => session,
        other => panic!("{other:?}"),
    }
}

fn refusal(frame: Frame) -> (ErrorCode, Option<u32>) {
    match frame {
        Frame::Refused { code, position, .. } => (code, position),
        other => panic!("{other:?}"),
    }
}

/// After how many milliseconds a busy host is to be asked again.
fn busy(frame: Frame) -> u32 {
    match frame {
        Frame::Refused { code: ErrorCode::Busy, retry_after_ms: Some(millis), .. } => millis,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_answers_its_caller_alone() {
    let host = Host::start(ServeLimits::default()).await;
    let (mut owner, mut other) = (host.caller(2).await, host.caller(3).await);
    let session = opened(&mut owner, host.open(10)).await;
    assert_eq!(refusal(ask(&mut other, step(session, 1, 0, 1)).await).0, ErrorCode::NotFound);
    Frame::Close { session }.write(&mut other).await.unwrap();
    // The answer to a second step shows that the frame before it was read.
    assert_eq!(refusal(ask(&mut other, step(session, 1, 0, 1)).await).0, ErrorCode::NotFound);
    assert!(matches!(ask(&mut owner, step(session, 1, 0, 1)).await, Frame::Output { position: 1, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_position_is_refused_with_the_hosts_own_and_changes_nothing() {
    let host = Host::start(ServeLimits::default()).await;
    let mut caller = host.caller(2).await;
    let (one, two) = (opened(&mut caller, host.open(10)).await, opened(&mut caller, host.open(10)).await);
    ask(&mut caller, step(one, 1, 0, 3)).await;
    ask(&mut caller, step(two, 1, 0, 3)).await;
    for (number, position) in [(2, 0), (2, 2), (2, 4), (1, 3), (0, 3)] {
        let answer = refusal(ask(&mut caller, step(one, number, position, 1)).await);
        assert_eq!(answer, (ErrorCode::Conflict, Some(3)), "step {number} at {position}");
    }
    let Frame::Output { hidden: after_refusals, .. } = ask(&mut caller, step(one, 2, 3, 1)).await else { panic!() };
    let Frame::Output { hidden: undisturbed, .. } = ask(&mut caller, step(two, 2, 3, 1)).await else { panic!() };
    assert_eq!(after_refusals, undisturbed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_step_is_answered_from_memory_on_a_new_stream_too() {
    let host = Host::start(ServeLimits::default()).await;
    let caller = TcpNode::start(&host.town, 2).await;
    let stream = async || caller.open_stream(host.peer, PROTOCOL, Duration::from_secs(5)).await.unwrap();
    let mut first = stream().await;
    let session = opened(&mut first, host.open(10)).await;
    let answer = ask(&mut first, step(session, 1, 0, 2)).await;
    drop(first);
    let mut second = stream().await;
    assert_eq!(ask(&mut second, step(session, 1, 0, 2)).await, answer);
    assert!(matches!(ask(&mut second, step(session, 2, 2, 1)).await, Frame::Output { position: 3, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_and_shapes_other_than_the_sessions_are_refused() {
    let host = Host::start(ServeLimits { step_tokens: 4, ..ServeLimits::default() }).await;
    let mut caller = host.caller(2).await;
    let session = opened(&mut caller, host.open(6)).await;
    let Frame::Step { session, step: number, position, hidden, .. } = step(session, 1, 0, 1) else { panic!() };
    let other_blocks = plain(session, number, position, 0..1, hidden);
    assert_eq!(refusal(ask(&mut caller, other_blocks).await).0, ErrorCode::InvalidArgument);
    assert_eq!(refusal(ask(&mut caller, step(session, 1, 0, 5)).await).0, ErrorCode::InvalidArgument);
    let hidden = Hidden { tokens: 1, size: 23, values: vec![0.5; 23] };
    let narrow = plain(session, 1, 0, 0..2, hidden);
    assert_eq!(refusal(ask(&mut caller, narrow).await).0, ErrorCode::InvalidArgument);
    ask(&mut caller, step(session, 1, 0, 4)).await;
    assert_eq!(refusal(ask(&mut caller, step(session, 2, 4, 3)).await).0, ErrorCode::ResourceExhausted);
    for (start, end) in [(0, 3), (1, 1), (2, 1), (0, u32::MAX)] {
        let blocks = start..end;
        let open = Frame::Open { model: host.model.clone(), blocks, max_tokens: 1 };
        let code = refusal(ask(&mut caller, open).await).0;
        assert!(matches!(code, ErrorCode::NotFound | ErrorCode::InvalidArgument));
    }
    assert_eq!(refusal(ask(&mut caller, host.open(u32::MAX)).await).0, ErrorCode::InvalidArgument);
    assert_eq!(refusal(ask(&mut caller, host.open(0)).await).0, ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_limited_in_number_and_memory_and_expire_when_idle() {
    // One token of two blocks takes 2 x 96 bytes.
    let limits = ServeLimits {
        sessions: 3,
        sessions_per_caller: 2,
        cache_bytes: 100 * 192,
        idle: Duration::from_secs(60),
        ..ServeLimits::default()
    };
    let host = Host::start(limits).await;
    let (mut one, mut two) = (host.caller(2).await, host.caller(3).await);
    assert_eq!(refusal(ask(&mut one, host.open(101)).await).0, ErrorCode::ResourceExhausted);
    let session = opened(&mut one, host.open(60)).await;
    assert_eq!(busy(ask(&mut two, host.open(41)).await), 5000);
    opened(&mut one, host.open(10)).await;
    assert_eq!(busy(ask(&mut one, host.open(10)).await), 5000);
    opened(&mut two, host.open(10)).await;
    assert_eq!(busy(ask(&mut two, host.open(10)).await), 5000);
    host.clock.advance(Duration::from_secs(59));
    assert_eq!(busy(ask(&mut two, host.open(10)).await), 1000, "in a second the others expire");
    ask(&mut one, step(session, 1, 0, 1)).await;
    host.clock.advance(Duration::from_secs(2));
    assert_eq!(host.engine.open_sessions(), 1, "only the session that was used a moment ago is left");
    host.clock.advance(Duration::from_secs(60));
    assert_eq!(refusal(ask(&mut one, step(session, 2, 1, 1)).await).0, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_frames_cut_the_stream_and_leave_the_host_as_it_was() {
    let host = Host::start(ServeLimits::default()).await;
    let good = step([0; 16], 1, 0, 1).encode().unwrap();
    let mut unknown_kind = good.clone();
    unknown_kind[4] = 99;
    let mut not_finite = good.clone();
    let end = not_finite.len();
    not_finite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let hostile: [Vec<u8>; 6] = [
        vec![0xff; 64],
        vec![0, 0, 0, 0],
        u32::to_le_bytes(1 << 30).to_vec(),
        unknown_kind,
        not_finite,
        [&u32::to_le_bytes(4000)[..], &vec![1; 4000]].concat(),
    ];
    for bytes in hostile {
        let mut stream = host.caller(4).await;
        // The host may have cut the stream before all was written.
        let _ = stream.write_all(&bytes).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "a broken frame is no reason to answer");
    }
    let mut caller = host.caller(2).await;
    let session = opened(&mut caller, host.open(5)).await;
    assert!(matches!(ask(&mut caller, step(session, 1, 0, 1)).await, Frame::Output { .. }));
    let from_a_host = Frame::Opened { session, hidden: 24, max_step_tokens: 1 };
    assert_eq!(refusal(ask(&mut caller, from_a_host).await).0, ErrorCode::InvalidArgument);
    assert!(Keypair::from_seed([1; 32]).peer_id() == host.peer && SMALL_FRAME < 1 << 20);
}
