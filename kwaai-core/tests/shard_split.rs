//! A model in blocks over peers, through TCP sockets and the wire codec, against the same model whole.

mod shard_support;

use std::sync::Arc;

use async_trait::async_trait;
use kwaai_core::event::{Item, Stream};
use kwaai_core::llm::{
    ChatMessage, FinishReason, GenerateEvent, GenerateRequest, Hop, HostWishes, LanguageModel, OutputFormat, Prompt,
    Usage,
};
use kwaai_core::net::Peers;
use kwaai_core::shard::{Blocks, HostPolicy, LoadOptions, Model, Route, ShardEngine};
use kwaai_core::trust::{Minimum, Tier};
use kwaai_core::{Error, ErrorCode, Result};
use libp2p::PeerId;
use serde_json::json;
use shard_support::{AllBut, TcpNode, Town, config, of_family, write_model};

fn engine(node: &Arc<TcpNode>) -> ShardEngine {
    ShardEngine::over(node.clone(), Arc::new(AllBut::default()))
}

fn text(length: usize) -> Vec<u32> {
    (0..length).map(|i| (i * i * 7 + 3 * i) as u32 % 256).collect()
}

fn bits(rows: &[Vec<f32>]) -> Vec<u32> {
    rows.iter().flatten().map(|value| value.to_bits()).collect()
}

async fn without_blocks(engine: &ShardEngine, dir: &std::path::Path) -> Model {
    engine.load(dir, Blocks::None).await.unwrap()
}

async fn read(mut stream: Stream<GenerateEvent>) -> (String, FinishReason, Usage, Vec<Hop>) {
    let mut text = String::new();
    while let Some(item) = stream.next().await.unwrap() {
        match item {
            Item::Value(GenerateEvent::Token { text: piece, .. }) => text.push_str(&piece),
            Item::Value(GenerateEvent::Done { finish_reason, usage, path, .. }) => {
                assert_eq!(stream.next().await.unwrap(), None, "nothing comes after the end");
                return (text, finish_reason, usage, path);
            }
            Item::Lagged { .. } => panic!("no token may be lost"),
        }
    }
    panic!("the stream ended without saying why");
}

fn request(max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        messages: vec![ChatMessage::user("What is a block?")],
        max_tokens,
        temperature: 1.0,
        seed: 11,
        ..GenerateRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn split_at_every_boundary_the_logits_are_bit_identical() {
    // Blocks, heads, key/value heads, length of a head, tied head: grouped in every way, and heads that do not add up to
    // the hidden size of 24.
    let shapes =
        [(1, 4, 4, 6, true), (2, 4, 2, 10, false), (3, 6, 1, 4, true), (5, 3, 3, 8, false), (4, 6, 2, 14, false)]
            .map(|(blocks, heads, kv_heads, head_dim, tied)| config(blocks, heads, kv_heads, head_dim, tied));
    let families = ["mistral", "qwen2", "qwen3"].map(|family| of_family(family, 3));
    for shape in shapes.into_iter().chain(families) {
        let blocks = shape["num_hidden_layers"].as_u64().unwrap();
        let dir = tempfile::tempdir().unwrap();
        write_model(dir.path(), blocks, &shape);
        let whole_engine = ShardEngine::local();
        let whole = whole_engine.load(dir.path(), LoadOptions::default()).await.unwrap();
        // Longer than one step of the prefill, so that the caches are used.
        let tokens = text(150);
        let expected = whole_engine.logits(&whole, &tokens, Route::Local).await.unwrap();
        let blocks = blocks as u32;
        for boundary in 0..=blocks {
            let town = Arc::new(Town::default());
            let (first, second, caller) =
                (TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await);
            let (one, two, app) = (engine(&first), engine(&second), engine(&caller));
            if boundary > 0 {
                one.serve(dir.path(), 0..boundary).await.unwrap();
            }
            if boundary < blocks {
                two.serve(dir.path(), boundary..blocks).await.unwrap();
            }
            let model = without_blocks(&app, dir.path()).await;
            let logits = app.logits(&model, &tokens, Route::Peers).await.unwrap();
            assert!(bits(&logits) == bits(&expected), "{blocks} blocks split at {boundary}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_hosts_run_every_block_once_and_generate_the_same_text() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 9, &config(4, 4, 2, 6, true));
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await];
    let (one, two, app) = (engine(&nodes[0]), engine(&nodes[1]), engine(&nodes[2]));
    one.serve(dir.path(), 0..3).await.unwrap();
    two.serve(dir.path(), 1..4).await.unwrap();

    let model = without_blocks(&app, dir.path()).await;
    assert_eq!(app.coverage(&model).await.unwrap().counts(), [1, 2, 2, 1]);
    let split = read(app.generate(&model, request(40), Route::Peers).await.unwrap()).await;
    let whole = app.load(dir.path(), LoadOptions::default()).await.unwrap();
    let local = read(app.generate(&whole, request(40), Route::Local).await.unwrap()).await;
    assert_eq!((&split.0, split.1, split.2), (&local.0, local.1, local.2));
    assert!(split.2.completion_tokens > 5, "the text is long enough to mean something");

    let path: Vec<(Option<String>, u32, u32)> =
        split.3.iter().map(|hop| (hop.peer.clone(), hop.start_block, hop.end_block)).collect();
    let name = |node: &TcpNode| Some(node.local_peer().to_string());
    assert_eq!(path, [(name(&nodes[0]), 0, 3), (name(&nodes[1]), 3, 4)]);
    assert!(split.3.iter().all(|hop| hop.ms > 0.0));
    assert_eq!(local.3.iter().map(|hop| (hop.peer.clone(), hop.end_block)).collect::<Vec<_>>(), [(None, 4)]);
}

/// The first is trusted, the others are known.
struct OneTrusted(PeerId);

#[async_trait]
impl HostPolicy for OneTrusted {
    async fn usable(&self, peer: PeerId, least: Option<Minimum>) -> Result<()> {
        let tier = if peer == self.0 { Tier::Trusted } else { Tier::Known };
        match least {
            Some(Minimum::Tier(least)) if tier < least => {
                Err(Error::untrusted_peer("stands too low").with("peer", peer))
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_computed_by_hosts_as_it_wishes_them_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 9, &config(2, 4, 2, 6, true));
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await];
    let (one, two) = (engine(&nodes[0]), engine(&nodes[1]));
    let app = ShardEngine::over(nodes[2].clone(), Arc::new(OneTrusted(nodes[0].local_peer())));
    one.serve(dir.path(), 0..2).await.unwrap();
    two.serve(dir.path(), 0..2).await.unwrap();
    let model = without_blocks(&app, dir.path()).await;
    let asked = |hosts: HostWishes| GenerateRequest { hosts, ..request(8) };
    let trusted = HostWishes { min_tier: Some(Tier::Trusted.into()), ..HostWishes::default() };
    let answer = read(app.generate(&model, asked(trusted), Route::Peers).await.unwrap()).await;
    assert_eq!(answer.3[0].peer, Some(nodes[0].local_peer().to_string()));
    let plan = app.plan_for(&model, 20, &trusted).await.unwrap();
    assert_eq!(plan.hops[0].backup, [], "nobody else stands so high");

    let slow = HostWishes { max_token_ms: Some(1e-6), ..HostWishes::default() };
    let error = app.generate(&model, asked(slow), Route::Peers).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert!(error.context().contains_key("expected_ms"), "{error:?}");
    let patient = HostWishes { max_token_ms: Some(1e6), ..HostWishes::default() };
    read(app.generate(&model, asked(patient), Route::Peers).await.unwrap()).await;
    for ms in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let wrong = HostWishes { max_token_ms: Some(ms), ..HostWishes::default() };
        let error = app.generate(&model, asked(wrong), Route::Peers).await.err().unwrap();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{ms}");
    }

    nodes[0].vanish();
    let error = app.generate(&model, asked(trusted), Route::Peers).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::UntrustedPeer, "the other one has the blocks and stands too low: {error:?}");
    read(app.generate(&model, request(8), Route::Peers).await.unwrap()).await;
    // Whoever computes here itself has the host that it trusts most.
    let whole = app.load(dir.path(), LoadOptions::default()).await.unwrap();
    read(app.generate(&whole, asked(trusted), Route::Local).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_on_a_route_is_a_language_model() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 2, &config(2, 2, 1, 12, true));
    let engine = ShardEngine::local();
    let model = engine.load(dir.path(), LoadOptions::default()).await.unwrap();
    let language_model: Arc<dyn LanguageModel> = Arc::new(engine.language_model(&model, Route::Local));
    assert_eq!(language_model.name(), model.id());
    let (_, reason, usage, _) = read(language_model.generate(request(3)).await.unwrap()).await;
    assert!(usage.completion_tokens <= 3 && usage.prompt_tokens > 10);
    assert!(reason == FinishReason::Length || usage.completion_tokens < 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_held_to_its_format_here_and_over_hosts_alike() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 5, &config(2, 4, 2, 6, true));
    let town = Arc::new(Town::default());
    let (host, caller) = (TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await);
    let (host, app) = (engine(&host), engine(&caller));
    host.serve(dir.path(), 0..2).await.unwrap();
    let ends = without_blocks(&app, dir.path()).await;
    let whole = app.load(dir.path(), LoadOptions::default()).await.unwrap();
    let schema = json!({"type": "object", "required": ["b", "a"], "additionalProperties": false,
        "properties": {"b": {"enum": ["x", "y\"z"]}, "a": {"type": "integer", "minimum": -5, "maximum": 5}}});
    let object = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        let number = value["a"].as_i64().unwrap();
        (-5..=5).contains(&number) && ["x", "y\"z"].contains(&value["b"].as_str().unwrap())
    };
    let word = |text: &str| text.len() == 4 && text.bytes().all(|byte| (b'a'..=b'f').contains(&byte));
    let sentence = |text: &str| text == "yes, it is" || text == "no, it is not";
    let grammar = "start: yes | no\nyes: \"yes\" \", it is\"\nno: \"no\" \", it is not\"\n";
    type Fits<'a> = &'a dyn Fn(&str) -> bool;
    let cases: [(OutputFormat, Fits); 3] = [
        (OutputFormat::JsonSchema(schema), &object),
        (OutputFormat::Regex("[a-f]{4}".into()), &word),
        (OutputFormat::Lark(grammar.into()), &sentence),
    ];
    for (format, fits) in cases {
        for seed in 0..5 {
            let request = GenerateRequest { format: Some(format.clone()), seed, ..request(200) };
            let local = read(app.generate(&whole, request.clone(), Route::Local).await.unwrap()).await;
            assert!(fits(&local.0), "{format:?}: {}", local.0);
            assert_eq!(local.1, FinishReason::Stop);
            let split = read(app.generate(&ends, request, Route::Peers).await.unwrap()).await;
            assert_eq!((&split.0, split.1, split.2), (&local.0, local.1, local.2));
        }
    }
    // A limit ends it early, and a text that is continued is held to its format too.
    let format = Some(OutputFormat::Regex("(ab)+".into()));
    let prompt = Some(Prompt::Text("abc".into()));
    let short = GenerateRequest { format, prompt, messages: Vec::new(), ..request(7) };
    let (text, reason, ..) = read(app.generate(&whole, short, Route::Local).await.unwrap()).await;
    assert!(reason == FinishReason::Stop && text.len().is_multiple_of(2) || text == "abababa", "{text}");
    for wrong in [
        OutputFormat::Regex("(".into()),
        OutputFormat::Lark("start: nothing".into()),
        OutputFormat::JsonSchema(json!({"$ref": "#/nowhere"})),
        OutputFormat::JsonSchema(json!({"type": "string", "minLength": 9, "maxLength": 3})),
    ] {
        let request = GenerateRequest { format: Some(wrong.clone()), ..request(7) };
        let error = app.generate(&whole, request, Route::Local).await.err().unwrap();
        assert_eq!((error.code(), &*error.context()["param"]), (ErrorCode::InvalidArgument, "format"), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_below_the_minimum_tier_is_not_used_and_the_gap_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 4, &config(3, 4, 2, 6, true));
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await];
    let stranger = nodes[1].local_peer();
    engine(&nodes[0]).serve(dir.path(), 0..1).await.unwrap();
    engine(&nodes[1]).serve(dir.path(), 0..3).await.unwrap();
    let app = ShardEngine::over(nodes[2].clone(), Arc::new(AllBut(vec![stranger])));
    let model = without_blocks(&app, dir.path()).await;
    let error = app.generate(&model, request(4), Route::Peers).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UntrustedPeer);
    assert_eq!(error.context()["gap"], "1..3");
    let coverage = app.coverage(&model).await.unwrap();
    let view = coverage.hosts.iter().find(|host| host.peer == stranger).unwrap();
    assert_eq!(view.refused.as_ref().unwrap().code(), ErrorCode::UntrustedPeer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_in_the_middle_gives_a_typed_error_after_the_text_so_far() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 6, &config(2, 4, 2, 6, true));
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await];
    engine(&nodes[0]).serve(dir.path(), 0..1).await.unwrap();
    engine(&nodes[1]).serve(dir.path(), 1..2).await.unwrap();
    let app = engine(&nodes[2]);
    let model = without_blocks(&app, dir.path()).await;
    let mut stream = app.generate(&model, request(400), Route::Peers).await.unwrap();
    assert!(matches!(stream.next().await.unwrap(), Some(Item::Value(GenerateEvent::Token { .. }))));
    nodes[1].vanish();
    let error = loop {
        match stream.next().await {
            Ok(Some(Item::Value(GenerateEvent::Token { .. }))) => {}
            Ok(other) => panic!("the generation cannot have ended well: {other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert_eq!(error.context()["peer"], nodes[1].local_peer().to_string());
    assert_eq!(error.context()["blocks"], "1..2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_text_ends_the_answer_and_sessions_are_closed_after_it() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 8, &config(2, 4, 2, 6, false));
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await];
    let (host, app) = (engine(&nodes[0]), engine(&nodes[1]));
    let offer = host.serve(dir.path(), 0..2).await.unwrap();
    let model = without_blocks(&app, dir.path()).await;
    assert_eq!(offer.model, model.id());
    let (text, ..) = read(app.generate(&model, request(60), Route::Peers).await.unwrap()).await;
    let stop: String = text.chars().skip(4).take(3).collect();
    let stopped = GenerateRequest { stop: vec![stop.clone()], ..request(60) };
    let (shorter, reason, ..) = read(app.generate(&model, stopped, Route::Peers).await.unwrap()).await;
    assert_eq!(reason, FinishReason::Stop);
    assert_eq!(shorter, text[..text.find(&stop).unwrap()]);

    // The last thing on each stream is a close; the count falls to zero as soon as the host has read them.
    while host.open_sessions() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.served(), std::slice::from_ref(&offer));
    host.stop_serving(&offer.model).await.unwrap();
    assert_eq!(host.served(), []);
    let error = app.logits(&model, &[1], Route::Peers).await.err().unwrap();
    assert_eq!(error.context()["gap"], "0..2");
}
