//! What a host does with a session, spoken to frame by frame: epochs, deadlines, beats, and refusals that say when to come again.

use std::sync::Arc;
use std::time::Duration;

use kwaai_core::ErrorCode;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{PeerStream, Peers};
use kwaai_core::shard::wire::{Frame, Hidden, PROTOCOL, Precision, SessionId};
use kwaai_core::shard::{EngineOptions, ServeLimits, ShardEngine};
use tokio::sync::oneshot;

use super::shard_support::{AllBut, TcpNode, Town};
use super::swarm::small_model;

const SIZE: u32 = 24;

/// A host of two blocks.
struct Host {
    engine: ShardEngine,
    model: String,
    peer: PeerId,
    town: Arc<Town>,
    _dir: tempfile::TempDir,
}

impl Host {
    async fn start(limits: ServeLimits) -> Host {
        let dir = tempfile::tempdir().unwrap();
        small_model(dir.path());
        let town = Arc::new(Town::default());
        let node = TcpNode::start(&town, 1).await;
        let options = EngineOptions { limits, ..EngineOptions::default() };
        let engine = ShardEngine::new(Some((node.clone(), Arc::new(AllBut::default()))), options);
        let model = engine.serve(dir.path(), 0..2).await.unwrap().model;
        Host { engine, model, peer: node.local_peer(), town, _dir: dir }
    }

    async fn caller(&self, seed: u8) -> PeerStream {
        let node = TcpNode::start(&self.town, seed).await;
        node.open_stream(self.peer, PROTOCOL, Duration::from_secs(5)).await.unwrap()
    }

    async fn session(&self, stream: &mut PeerStream) -> SessionId {
        let open = Frame::Open { model: self.model.clone(), blocks: 0..2, max_tokens: 40 };
        match ask(stream, open).await {
            Frame::Opened { session, .. } => session,
            other => panic!("{other:?}"),
        }
    }
}

fn states(first: u32, tokens: u32) -> Hidden {
    let values = (0..tokens * SIZE).map(|i| (i as f32 * 0.37 + first as f32).sin()).collect();
    Hidden { tokens, size: SIZE, values }
}

fn step(session: SessionId, epoch: u32, number: u64, position: u32, hidden: Hidden) -> Frame {
    let (blocks, deadline_ms, precision) = (0..2, 60_000, Precision::F32);
    Frame::Step { session, epoch, step: number, position, blocks, deadline_ms, precision, hidden }
}

async fn ask(stream: &mut PeerStream, frame: Frame) -> Frame {
    frame.write(stream).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut PeerStream) -> Frame {
    loop {
        match Frame::read(stream, 1 << 20).await.unwrap().unwrap() {
            Frame::Working { .. } => {}
            answer => return answer,
        }
    }
}

fn output(frame: Frame) -> Hidden {
    match frame {
        Frame::Output { hidden, .. } => hidden,
        other => panic!("{other:?}"),
    }
}

fn refusal(frame: Frame) -> (ErrorCode, Option<u32>, Option<u32>) {
    match frame {
        Frame::Refused { code, position, retry_after_ms, .. } => (code, position, retry_after_ms),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_drained_takes_no_session_and_answers_those_it_has_to_their_end() {
    let host = Host::start(ServeLimits::default()).await;
    let mut caller = host.caller(2).await;
    let session = host.session(&mut caller).await;
    output(ask(&mut caller, step(session, 0, 1, 0, states(0, 5))).await);
    let (engine, model) = (host.engine.clone(), host.model.clone());
    let draining = tokio::spawn(async move { engine.drain(&model, Duration::from_secs(3600)).await });
    while !host.engine.served().is_empty() {
        tokio::task::yield_now().await;
    }
    let open = Frame::Open { model: host.model.clone(), blocks: 0..2, max_tokens: 40 };
    assert_eq!(refusal(ask(&mut host.caller(3).await, open).await).0, ErrorCode::NotFound);
    output(ask(&mut caller, step(session, 0, 2, 5, states(5, 1))).await);
    assert!(!draining.is_finished());
    Frame::Close { session }.write(&mut caller).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), draining).await.expect("the last session ended").unwrap().unwrap();
    assert_eq!(host.engine.open_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlasts_the_grace_ends_with_its_blocks() {
    let host = Host::start(ServeLimits::default()).await;
    let mut caller = host.caller(2).await;
    let session = host.session(&mut caller).await;
    output(ask(&mut caller, step(session, 0, 1, 0, states(0, 5))).await);
    host.engine.drain(&host.model, Duration::from_millis(20)).await.unwrap();
    assert_eq!((host.engine.open_sessions(), host.engine.served().len()), (0, 0));
    let unknown = host.engine.drain(&host.model, Duration::ZERO).await.unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_taken_back_reads_on_as_if_it_had_never_read_further() {
    let host = Host::start(ServeLimits::default()).await;
    let mut caller = host.caller(2).await;
    let (one, other) = (host.session(&mut caller).await, host.session(&mut caller).await);
    for session in [one, other] {
        output(ask(&mut caller, step(session, 0, 1, 0, states(0, 5))).await);
    }
    output(ask(&mut caller, step(one, 0, 2, 5, states(900, 4))).await);
    let back = Frame::Truncate { session: one, epoch: 1, position: 5 };
    let done = Frame::Truncated { session: one, epoch: 1, position: 5 };
    assert_eq!(ask(&mut caller, back.clone()).await, done);
    assert_eq!(ask(&mut caller, back.clone()).await, done, "once more changes nothing");
    let after = output(ask(&mut caller, step(one, 1, 3, 5, states(5, 3))).await);
    let never = output(ask(&mut caller, step(other, 0, 2, 5, states(5, 3))).await);
    assert_eq!(after, never);

    // What was on its way before is too late, and so is a second taking back that did not come second.
    let late = refusal(ask(&mut caller, step(one, 0, 2, 5, states(900, 4))).await);
    assert_eq!(late, (ErrorCode::Conflict, Some(8), None));
    let of_the_epoch_before = refusal(ask(&mut caller, step(one, 0, 4, 8, states(8, 1))).await);
    assert_eq!(of_the_epoch_before, (ErrorCode::Conflict, Some(8), None));
    for (epoch, position) in [(1, 5), (2, 9), (3, 5), (0, 8)] {
        let wrong = Frame::Truncate { session: one, epoch, position };
        assert_eq!(refusal(ask(&mut caller, wrong).await), (ErrorCode::Conflict, Some(8), None), "{epoch} {position}");
    }
    output(ask(&mut caller, step(one, 1, 4, 8, states(8, 1))).await);
    let mut stranger = host.caller(3).await;
    let theirs = Frame::Truncate { session: one, epoch: 2, position: 0 };
    assert_eq!(refusal(ask(&mut stranger, theirs).await).0, ErrorCode::NotFound);
    output(ask(&mut caller, step(one, 1, 5, 9, states(9, 1))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_answered_before_a_session_was_taken_back_is_not_answered_from_memory() {
    let host = Host::start(ServeLimits::default()).await;
    let mut caller = host.caller(2).await;
    let session = host.session(&mut caller).await;
    output(ask(&mut caller, step(session, 0, 1, 0, states(0, 2))).await);
    ask(&mut caller, Frame::Truncate { session, epoch: 1, position: 0 }).await;
    assert_eq!(refusal(ask(&mut caller, step(session, 1, 1, 0, states(0, 2))).await).0, ErrorCode::Conflict);
    output(ask(&mut caller, step(session, 1, 2, 0, states(3, 2))).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_read_nothing_ends_with_its_stream_and_another_does_not() {
    let host = Host::start(ServeLimits::default()).await;
    let mut caller = host.caller(2).await;
    host.session(&mut caller).await;
    let read = host.session(&mut caller).await;
    output(ask(&mut caller, step(read, 0, 1, 0, states(0, 2))).await);
    assert_eq!(host.engine.open_sessions(), 2);
    drop(caller);
    while host.engine.open_sessions() > 1 {
        tokio::task::yield_now().await;
    }
    let mut again = host.caller(2).await;
    output(ask(&mut again, step(read, 0, 2, 2, states(2, 1))).await);
}

/// Runs work on a runtime whose only thread for computing is taken until `release` is used or dropped.
fn while_nothing_is_computed<W: Future<Output = ()>>(
    limits: ServeLimits,
    work: impl FnOnce(Host, oneshot::Sender<()>) -> W,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let host = Host::start(limits).await;
        let (release, released) = oneshot::channel();
        tokio::task::spawn_blocking(move || released.blocking_recv().ok());
        work(host, release).await;
    });
}

#[test]
fn a_host_says_that_it_works_until_it_answers() {
    while_nothing_is_computed(ServeLimits::default(), |host, release| async move {
        let mut caller = host.caller(2).await;
        let session = host.session(&mut caller).await;
        step(session, 0, 1, 0, states(0, 2)).write(&mut caller).await.unwrap();
        for _ in 0..2 {
            let beat = Frame::read(&mut caller, 1 << 20).await.unwrap();
            assert_eq!(beat, Some(Frame::Working { session, step: 1 }));
        }
        release.send(()).unwrap();
        output(answer(&mut caller).await);
    });
}

#[test]
fn a_step_whose_deadline_passes_is_not_computed_and_leaves_the_session_as_it_was() {
    while_nothing_is_computed(ServeLimits::default(), |host, release| async move {
        let mut caller = host.caller(2).await;
        let session = host.session(&mut caller).await;
        let Frame::Step { session, epoch, step, position, blocks, precision, hidden, .. } =
            step(session, 0, 1, 0, states(0, 2))
        else {
            panic!()
        };
        let with = |deadline_ms| {
            let (blocks, hidden) = (blocks.clone(), hidden.clone());
            Frame::Step { session, epoch, step, position, blocks, deadline_ms, precision, hidden }
        };
        assert_eq!(refusal(ask(&mut caller, with(50)).await).0, ErrorCode::Timeout);
        release.send(()).unwrap();
        // The thread takes the steps in their order: the one that came too late is over when this one is computed.
        output(ask(&mut caller, with(60_000)).await);
        assert_eq!(host.engine.served_block_tokens(), 2 * 2, "the step that came too late was not computed");
    });
}

#[test]
fn a_host_with_all_hands_full_says_when_to_come_again() {
    let limits = ServeLimits { parallel_steps: 1, waiting_steps: 1, ..ServeLimits::default() };
    while_nothing_is_computed(limits, |host, release| async move {
        let mut callers = Vec::new();
        for seed in 2..5 {
            let mut caller = host.caller(seed).await;
            let session = host.session(&mut caller).await;
            callers.push((caller, session));
        }
        let mut answers = Vec::new();
        for (caller, session) in &mut callers {
            step(*session, 0, 1, 0, states(0, 2)).write(caller).await.unwrap();
        }
        // One holds the place, one waits, and whoever is third is sent away; the order is theirs.
        let refused = {
            let reading = callers.iter_mut().map(|(caller, _)| Box::pin(answer(caller)));
            let (first, at, _) = futures::future::select_all(reading).await;
            (refusal(first), at)
        };
        let ((code, _, retry_after_ms), at) = refused;
        assert_eq!(code, ErrorCode::Busy);
        assert!(retry_after_ms.is_some_and(|millis| millis >= 50), "{retry_after_ms:?}");
        release.send(()).unwrap();
        let (mut sent_away, session) = callers.remove(at);
        for (caller, _) in &mut callers {
            answers.push(output(answer(caller).await));
        }
        answers.push(output(ask(&mut sent_away, step(session, 0, 1, 0, states(0, 2))).await));
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    });
}
