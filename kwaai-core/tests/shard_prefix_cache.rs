//! Texts that are kept for answers that begin alike: they are not read again, and nothing in the answers says so.

mod shard_support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kwaai_core::llm::{GenerateRequest, HostWishes, Usage};
use kwaai_core::net::Peers;
use kwaai_core::shard::{
    Blocks, EngineOptions, HostPolicy, LoadOptions, Model, PrefixCache, Route, ServeLimits, ShardEngine,
};
use kwaai_core::trust::Minimum;
use kwaai_core::{Error, ErrorCode, Result};
use libp2p::PeerId;
use proptest::prelude::*;
use shard_support::answers::{Said, answered, asked, expected, forgetful, read, text};
use shard_support::{AllBut, TcpNode, Town, config, of_family, write_model};
use tokio::sync::Notify;

/// What was said, and what it cost.
type Answer = (Said, Usage);

fn kept(tokens: &[u32], max_tokens: u32) -> GenerateRequest {
    let hosts = HostWishes { keep_tokens: Some(512), ..HostWishes::default() };
    GenerateRequest { hosts, ..asked(tokens, max_tokens) }
}

async fn answer(engine: &ShardEngine, model: &Model, request: GenerateRequest, route: Route) -> Answer {
    let answer = answered(engine, model, request, route).await;
    (answer.said, answer.usage)
}

fn cache(prefix_cache: PrefixCache) -> EngineOptions {
    EngineOptions { prefix_cache, ..EngineOptions::default() }
}

async fn whole(engine: &ShardEngine, dir: &Path) -> Model {
    engine.load(dir, LoadOptions::default()).await.unwrap()
}

/// Hosts of a model of four blocks, two each, and a caller.
struct Swarm {
    nodes: Vec<Arc<TcpNode>>,
    hosts: [ShardEngine; 2],
    app: ShardEngine,
    model: Model,
    dir: tempfile::TempDir,
}

impl Swarm {
    async fn start(policy: Arc<dyn HostPolicy>, options: EngineOptions) -> Swarm {
        Swarm::limited(policy, options, ServeLimits::default()).await
    }

    async fn limited(policy: Arc<dyn HostPolicy>, options: EngineOptions, limits: ServeLimits) -> Swarm {
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), 3, &config(4, 4, 2, 6, true));
        let town = Arc::new(Town::default());
        let mut nodes = Vec::new();
        for seed in 1..=3 {
            nodes.push(TcpNode::start(&town, seed).await);
        }
        let host = |node: &Arc<TcpNode>| {
            let options = EngineOptions { limits: limits.clone(), ..EngineOptions::default() };
            ShardEngine::new(Some((node.clone(), Arc::new(AllBut::default()))), options)
        };
        let hosts = [host(&nodes[0]), host(&nodes[1])];
        hosts[0].serve(dir.path(), 0..2).await.unwrap();
        hosts[1].serve(dir.path(), 2..4).await.unwrap();
        let app = ShardEngine::new(Some((nodes[2].clone(), policy)), options);
        let model = app.load(dir.path(), Blocks::None).await.unwrap();
        Swarm { nodes, hosts, app, model, dir }
    }

    async fn ask(&self, request: GenerateRequest) -> Answer {
        answer(&self.app, &self.model, request, Route::Peers).await
    }

    async fn expected(&self, tokens: &[u32], max_tokens: u32) -> Said {
        expected(self.dir.path(), tokens, max_tokens).await
    }

    fn sessions(&self) -> [usize; 2] {
        self.hosts.each_ref().map(ShardEngine::open_sessions)
    }

    fn computed(&self) -> u64 {
        self.hosts.iter().map(ShardEngine::served_block_tokens).sum()
    }

    async fn until_sessions(&self, expected: [usize; 2]) {
        let there = async {
            while self.sessions() != expected {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), there).await;
        assert!(waited.is_ok(), "{:?} sessions are open", self.sessions());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_on_without_being_read_again_and_with_the_same_answers() {
    for config in [config(3, 4, 2, 6, true), of_family("mistral", 3), of_family("qwen2", 3), of_family("qwen3", 3)] {
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), 3, &config);
        let (keeping, forgetful) = (ShardEngine::local(), forgetful());
        let (own, other) = (whole(&keeping, dir.path()).await, whole(&forgetful, dir.path()).await);
        let mut tokens = text(140, 0);
        for (turn, cached) in [0, 128, 256, 256].into_iter().enumerate() {
            let ask = |length| asked(&tokens, length);
            let (said, usage) = answer(&keeping, &own, ask(20), Route::Local).await;
            let (expected, anew) = answer(&forgetful, &other, ask(20), Route::Local).await;
            assert_eq!((usage.cached_tokens, anew.cached_tokens), (cached, 0), "turn {turn}");
            assert_eq!(usage.prompt_tokens as usize, tokens.len());
            assert_eq!(said, expected, "turn {turn}");
            // What was said, and the next question.
            tokens.extend(said.iter().filter_map(|(bytes, _)| Some(u32::from(*bytes.first()?))));
            tokens.extend(text(if turn == 0 { 140 } else { 10 }, turn));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_again_reads_the_end_of_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(2, 4, 2, 6, true));
    let engine = ShardEngine::local();
    let model = whole(&engine, dir.path()).await;
    for (length, cached) in [(127, 0), (128, 0), (129, 128), (256, 128), (257, 256)] {
        let tokens = text(length, length);
        let ask = || answer(&engine, &model, asked(&tokens, 5), Route::Local);
        let first = ask().await;
        let again = ask().await;
        assert_eq!((first.1.cached_tokens, again.1.cached_tokens), (0, cached), "{length} tokens");
        assert_eq!(first.0, again.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_questions_put_no_long_one_out() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(2, 4, 2, 6, true));
    let engine = ShardEngine::local();
    let model = whole(&engine, dir.path()).await;
    let long = text(200, 1);
    answer(&engine, &model, asked(&long, 3), Route::Local).await;
    for number in 0..6 {
        answer(&engine, &model, asked(&text(20, number), 3), Route::Local).await;
    }
    assert_eq!(answer(&engine, &model, asked(&long, 3), Route::Local).await.1.cached_tokens, 128);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_compute_only_what_is_new_where_a_path_is_kept() {
    let swarm = Swarm::start(Arc::new(AllBut::default()), EngineOptions::default()).await;
    let first = text(300, 1);
    let (said, usage) = swarm.ask(kept(&first, 6)).await;
    assert_eq!((&said, usage.cached_tokens), (&swarm.expected(&first, 6).await, 0));
    assert_eq!(swarm.sessions(), [1, 1], "the path is kept");
    let before = swarm.computed();
    let second = [&first[..], &text(50, 2)].concat();
    let (said, usage) = swarm.ask(kept(&second, 6)).await;
    assert_eq!((said, usage.cached_tokens), (swarm.expected(&second, 6).await, 256));
    // The last token of an answer is not read.
    assert_eq!(swarm.computed() - before, 4 * (350 - 256 + 5));
    // A question of its own would take from this one what it has.
    let other = text(200, 3);
    assert_eq!(swarm.ask(kept(&other, 6)).await.0, swarm.expected(&other, 6).await);
    assert_eq!(swarm.sessions(), [2, 2]);
    assert_eq!(swarm.ask(kept(&second, 6)).await.1.cached_tokens, 256);
    // Whoever does not wish it neither keeps anything nor takes what is kept.
    assert_eq!(swarm.ask(asked(&second, 6)).await.1.cached_tokens, 0);
    swarm.until_sessions([2, 2]).await;
    swarm.app.reset_prefix_cache().await;
    swarm.until_sessions([0, 0]).await;
    assert_eq!(swarm.ask(kept(&second, 6)).await.1.cached_tokens, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_serves_another_conversation_once_there_are_as_many_as_may_be() {
    let options = cache(PrefixCache { texts: 2, ..PrefixCache::default() });
    let swarm = Swarm::start(Arc::new(AllBut::default()), options).await;
    for (number, sessions) in [1, 2, 2, 2].into_iter().enumerate() {
        let tokens = text(150, number);
        let (said, usage) = swarm.ask(kept(&tokens, 4)).await;
        assert_eq!((said, usage.cached_tokens), (swarm.expected(&tokens, 4).await, 0));
        assert_eq!(swarm.sessions(), [sessions, sessions], "conversation {number}");
    }
    assert_eq!(swarm.ask(kept(&text(150, 3), 4)).await.1.cached_tokens, 128, "the latest are there");
    // One that needs more room than the path has cannot go on there.
    let long = [text(150, 3), text(300, 0)].concat();
    let small = HostWishes { keep_tokens: Some(160), ..HostWishes::default() };
    for (tokens, cached) in [(text(150, 3), 0), (text(150, 3), 128), (long, 0)] {
        let ask = GenerateRequest { hosts: small, ..asked(&tokens, 4) };
        let (said, usage) = swarm.ask(ask).await;
        assert_eq!((said, usage.cached_tokens), (swarm.expected(&tokens, 4).await, cached));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_forgotten_the_text_is_given_all_of_it_again() {
    let swarm = Swarm::start(Arc::new(AllBut::default()), EngineOptions::default()).await;
    let tokens = text(200, 1);
    let expected = swarm.expected(&tokens, 6).await;
    assert_eq!(swarm.ask(kept(&tokens, 6)).await.0, expected);
    let model = swarm.hosts[1].served()[0].model.clone();
    swarm.hosts[1].stop_serving(&model).await.unwrap();
    swarm.hosts[1].serve(swarm.dir.path(), 2..4).await.unwrap();
    assert_eq!(swarm.sessions(), [1, 0]);
    let (said, usage) = swarm.ask(kept(&tokens, 6)).await;
    assert_eq!((said, usage.cached_tokens), (expected.clone(), 0));
    swarm.until_sessions([1, 1]).await;
    // One that is gone altogether leaves a gap, named as for any answer.
    swarm.nodes[1].vanish();
    let error = swarm.app.generate(&swarm.model, kept(&tokens, 6), Route::Peers).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_fails_on_a_kept_path_is_replaced_as_on_any_other() {
    let swarm = Swarm::start(Arc::new(AllBut::default()), EngineOptions::default()).await;
    let tokens = text(300, 1);
    swarm.ask(kept(&tokens, 6)).await;
    let town_mate = swarm.hosts[0].clone();
    town_mate.serve(swarm.dir.path(), 2..4).await.unwrap();
    let more = [&tokens[..], &text(20, 2)].concat();
    let stream = swarm.app.generate(&swarm.model, kept(&more, 30), Route::Peers).await.unwrap();
    let answer = read(stream, async |_| swarm.nodes[1].vanish()).await.unwrap();
    assert_eq!((answer.said, answer.usage.cached_tokens), (swarm.expected(&more, 30).await, 256));
}

/// Allows everybody, until it is told otherwise.
#[derive(Default)]
struct Revoking(Mutex<BTreeSet<Vec<u8>>>);

#[async_trait]
impl HostPolicy for Revoking {
    async fn usable(&self, peer: PeerId, _: Option<Minimum>) -> Result<()> {
        match self.0.lock().unwrap().contains(&peer.to_bytes()) {
            true => Err(Error::untrusted_peer("stands too low by now").with("peer", peer)),
            false => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_no_longer_trusted_reads_nothing_more_however_well_it_remembers() {
    let policy = Arc::new(Revoking::default());
    let swarm = Swarm::start(policy.clone(), EngineOptions::default()).await;
    let tokens = text(200, 1);
    swarm.ask(kept(&tokens, 4)).await;
    let before = swarm.computed();
    policy.0.lock().unwrap().insert(swarm.nodes[0].local_peer().to_bytes());
    let error = swarm.app.generate(&swarm.model, kept(&tokens, 4), Route::Peers).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::UntrustedPeer, "{error:?}");
    assert_eq!(swarm.computed(), before);
    swarm.until_sessions([0, 0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_comes_back_to_is_forgotten() {
    let options = cache(PrefixCache { idle: Duration::from_secs(3), ..PrefixCache::default() });
    let swarm = Swarm::start(Arc::new(AllBut::default()), options).await;
    swarm.ask(kept(&text(200, 1), 4)).await;
    assert_eq!(swarm.sessions(), [1, 1]);
    swarm.until_sessions([0, 0]).await;
    let none = cache(PrefixCache { texts: 0, ..PrefixCache::default() });
    let swarm = Swarm::start(Arc::new(AllBut::default()), none).await;
    swarm.ask(kept(&text(200, 1), 4)).await;
    swarm.until_sessions([0, 0]).await;
    assert_eq!(swarm.ask(kept(&text(200, 1), 4)).await.1.cached_tokens, 0);
    let small = cache(PrefixCache { bytes: 1000, ..PrefixCache::default() });
    let swarm = Swarm::start(Arc::new(AllBut::default()), small).await;
    swarm.ask(kept(&text(200, 1), 4)).await;
    swarm.until_sessions([0, 0]).await;
    assert_eq!(swarm.ask(kept(&text(200, 1), 4)).await.1.cached_tokens, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_grew_beyond_what_may_be_kept_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(2, 4, 2, 6, true));
    // Keys and values of two blocks, two heads and six numbers in f32, of 256 tokens and of 512.
    let bytes = 2 * 2 * 2 * 6 * 4 * 300;
    let engine = ShardEngine::new(None, cache(PrefixCache { bytes, ..PrefixCache::default() }));
    let model = whole(&engine, dir.path()).await;
    let tokens = text(200, 1);
    let ask = async |length| answer(&engine, &model, asked(&tokens, length), Route::Local).await.1.cached_tokens;
    assert_eq!([ask(4).await, ask(4).await, ask(200).await, ask(4).await], [0, 128, 128, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_makes_room_for_an_answer_that_has_no_other() {
    // A session of 512 tokens on two blocks, and not a second one.
    let limits = ServeLimits { cache_bytes: 512 * 2 * 2 * 2 * 6 * 4 + 1000, ..ServeLimits::default() };
    let swarm = Swarm::limited(Arc::new(AllBut::default()), EngineOptions::default(), limits).await;
    let (first, second) = (text(200, 1), text(180, 2));
    swarm.ask(kept(&first, 4)).await;
    assert_eq!(swarm.ask(asked(&second, 4)).await.0, swarm.expected(&second, 4).await);
    swarm.until_sessions([0, 0]).await;
    for tokens in [&first, &second, &first] {
        assert_eq!(swarm.ask(kept(tokens, 4)).await.0, swarm.expected(tokens, 4).await);
        swarm.until_sessions([1, 1]).await;
    }
    // A host that has forgotten is given the text anew in the room that it had.
    let model = swarm.hosts[1].served()[0].model.clone();
    swarm.hosts[1].stop_serving(&model).await.unwrap();
    swarm.hosts[1].serve(swarm.dir.path(), 2..4).await.unwrap();
    assert_eq!(
        swarm.ask(kept(&first, 4)).await,
        (swarm.expected(&first, 4).await, Usage { prompt_tokens: 200, completion_tokens: 4, cached_tokens: 0 })
    );
}

/// Holds whoever asks about a host, once it is told to.
#[derive(Default)]
struct Holding {
    held: AtomicBool,
    asked: Notify,
    go_on: Notify,
}

#[async_trait]
impl HostPolicy for Holding {
    async fn usable(&self, _: PeerId, _: Option<Minimum>) -> Result<()> {
        if self.held.load(Ordering::SeqCst) {
            self.asked.notify_one();
            self.go_on.notified().await;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_broken_off_while_blocks_were_missing_leaves_nothing_to_go_on_from() {
    let policy = Arc::new(Holding::default());
    let swarm = Swarm::start(policy.clone(), EngineOptions::default()).await;
    let tokens = text(200, 1);
    let mut stream = swarm.app.generate(&swarm.model, kept(&tokens, 200), Route::Peers).await.unwrap();
    stream.next().await.unwrap();
    policy.held.store(true, Ordering::SeqCst);
    swarm.nodes[1].vanish();
    // Others are looked for in the place of the one that is gone.
    policy.asked.notified().await;
    stream.cancel();
    while let Ok(Some(_)) = stream.next().await {}
    policy.held.store(false, Ordering::SeqCst);
    policy.go_on.notify_waiters();
    swarm.hosts[0].serve(swarm.dir.path(), 2..4).await.unwrap();
    let (said, usage) = swarm.ask(kept(&tokens, 6)).await;
    assert_eq!((said, usage.cached_tokens), (swarm.expected(&tokens, 6).await, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_broken_off_leaves_what_was_read_of_its_question() {
    let swarm = Swarm::start(Arc::new(AllBut::default()), EngineOptions::default()).await;
    let dir = swarm.dir.path();
    let engine = ShardEngine::local();
    let model = whole(&engine, dir).await;
    let tokens = text(300, 1);
    for _ in 0..3 {
        for (engine, model, route) in [(&engine, &model, Route::Local), (&swarm.app, &swarm.model, Route::Peers)] {
            let mut stream = engine.generate(model, kept(&tokens, 200), route).await.unwrap();
            stream.next().await.unwrap();
            stream.cancel();
            while let Ok(Some(_)) = stream.next().await {}
            // Whether it was within a step then is left to chance; the next answer is right in any case.
            let (said, usage) = answer(engine, model, kept(&tokens, 6), route).await;
            assert_eq!(said, swarm.expected(&tokens, 6).await);
            assert!([0, 256].contains(&usage.cached_tokens), "{usage:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_may_not_be_kept_for_no_tokens() {
    let swarm = Swarm::start(Arc::new(AllBut::default()), EngineOptions::default()).await;
    let hosts = HostWishes { keep_tokens: Some(0), ..HostWishes::default() };
    let wrong = GenerateRequest { hosts, ..asked(&text(10, 1), 4) };
    let error = swarm.app.generate(&swarm.model, wrong, Route::Peers).await.err().unwrap();
    assert_eq!((error.code(), error.context()["param"].as_str()), (ErrorCode::InvalidArgument, "keep_tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_dropped_takes_its_texts_along() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(2, 4, 2, 6, true));
    let engine = ShardEngine::local();
    let tokens = text(200, 1);
    let model = whole(&engine, dir.path()).await;
    answer(&engine, &model, asked(&tokens, 4), Route::Local).await;
    drop(model);
    let model = whole(&engine, dir.path()).await;
    assert_eq!(answer(&engine, &model, asked(&tokens, 4), Route::Local).await.1.cached_tokens, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_whatever_was_asked_before_answers_are_the_same(
        questions in proptest::collection::vec((0usize..3, 1usize..330, 0usize..3, 1usize..120, 1u32..6, any::<bool>()), 2..8),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let options = cache(PrefixCache { texts: 2, ..PrefixCache::default() });
            let swarm = Swarm::start(Arc::new(AllBut::default()), options.clone()).await;
            let engine = ShardEngine::new(None, options);
            let model = whole(&engine, swarm.dir.path()).await;
            for (begin, length, end, more, max_tokens, together) in questions {
                let tokens = [text(length, begin), text(more, 10 + end)].concat();
                let here = answer(&engine, &model, asked(&tokens, max_tokens), Route::Local);
                let there = swarm.ask(kept(&tokens, max_tokens));
                let expected = swarm.expected(&tokens, max_tokens).await;
                if together {
                    // Two at once: at most one of them goes on with what is kept.
                    let (one, other) = tokio::join!(there, swarm.ask(kept(&tokens, max_tokens)));
                    assert_eq!((&one.0, &other.0), (&expected, &expected));
                } else {
                    assert_eq!(there.await.0, expected);
                }
                assert_eq!(here.await.0, expected);
            }
        });
    }
}
