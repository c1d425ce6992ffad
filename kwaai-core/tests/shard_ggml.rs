//! Blocks by ggml: against the same blocks in f32, against llama.cpp whole, split against whole, taken back and read again.
//!
//! `make ggml` runs this; what it needs is compiled for some minutes.

#[path = "support/llama_cpp.rs"]
mod llama_cpp;
#[path = "support/quantised.rs"]
mod quantised;
mod shard_support;
#[path = "support/gguf.rs"]
mod written;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kwaai_core::llm::GenerateRequest;
use kwaai_core::shard::wire::Hidden;
use kwaai_core::shard::{
    Arithmetic, Backend, Blocks, Compute, EngineOptions, LoadOptions, Model, Route, ShardEngine, SpanState,
};
use kwaai_core::{Error, ErrorCode};
use llama_cpp::LlamaCpp;
use quantised::{BLOCKS, CONTEXT, ENCODINGS, FAMILIES, HIDDEN, text};
use shard_support::answers::{answered, asked, forgetful};
use shard_support::{AllBut, TcpNode, Town};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use written::{File, Meta};

const THREADS: usize = 2;

fn compute(backend: Backend, arithmetic: Arithmetic) -> Compute {
    Compute { backend: Some(backend), threads: NonZeroUsize::new(THREADS), arithmetic, ..Compute::default() }
}

fn written(file: &File) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("random.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    (dir, path)
}

async fn load(path: &Path, blocks: Blocks, backend: Backend, arithmetic: Arithmetic) -> Result<Model, Error> {
    ShardEngine::local().load(path, LoadOptions { blocks, compute: compute(backend, arithmetic) }).await
}

async fn by_ggml(path: &Path) -> Model {
    load(path, Blocks::All, Backend::Ggml, Arithmetic::Fastest).await.unwrap()
}

fn step(state: &mut dyn SpanState, hidden: Vec<f32>) -> Result<Vec<f32>, Error> {
    state.forward(hidden, &CancellationToken::new())
}

/// The logits of the next tokens of a text.
fn read(model: &Model, state: &mut dyn SpanState, tokens: &[u32]) -> Vec<Vec<f32>> {
    let hidden = model.embed(tokens).unwrap();
    let values = step(state, hidden.values).unwrap();
    model.head(Hidden { tokens: hidden.tokens, size: hidden.size, values }).unwrap()
}

fn bits(rows: &[Vec<f32>]) -> Vec<u32> {
    rows.iter().flatten().map(|value| value.to_bits()).collect()
}

/// The mean of the Kullback-Leibler divergences of the rows, in nats, and how often the best token is another.
fn divergence(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> (f64, usize) {
    let log_shares = |row: &[f32]| -> Vec<f64> {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f64 = row.iter().map(|value| f64::from(value - most).exp()).sum();
        row.iter().map(|value| f64::from(value - most) - sum.ln()).collect()
    };
    let best = |row: &[f32]| (0..row.len()).max_by(|one, other| row[*one].total_cmp(&row[*other]));
    let row = |(one, other): (&Vec<f32>, &Vec<f32>)| -> f64 {
        log_shares(other).iter().zip(log_shares(one)).map(|(other, one)| other.exp() * (other - one)).sum()
    };
    let others = ours.iter().zip(theirs).filter(|(one, other)| best(one) != best(other)).count();
    (ours.iter().zip(theirs).map(row).sum::<f64>() / ours.len() as f64, others)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_family_in_every_encoding_is_close_to_what_f32_computes() {
    let tokens = text(100, 3);
    for family in FAMILIES {
        for (encoding, kind) in ENCODINGS {
            let (_dir, path) = written(&quantised::model(family, kind, 5));
            let exact = load(&path, Blocks::All, Backend::Candle, Arithmetic::Fastest).await.unwrap();
            let engine = ShardEngine::local();
            let expected = engine.logits(&exact, &tokens, Route::Local).await.unwrap();
            for arithmetic in [Arithmetic::Fastest, Arithmetic::Invariant] {
                let model = load(&path, Blocks::All, Backend::Ggml, arithmetic).await.unwrap();
                assert_eq!((model.backend(), exact.backend()), (Backend::Ggml, Backend::Candle));
                let logits = engine.logits(&model, &tokens, Route::Local).await.unwrap();
                let (divergence, others) = divergence(&logits, &expected);
                println!("{family} {encoding} {arithmetic:?}: {divergence:.1e} nats, {others} of 100 other tokens");
                // ggml keeps keys and values in f16, and rounds what it multiplies with quantised weights to 8 bits: to BF16 with
                // those. Random models amplify it.
                let allowed = match encoding {
                    "F32" | "F16" => 2e-5,
                    "BF16" => 5e-4,
                    "Q8_0" | "Q4_0" => 4e-3,
                    _ => 2.5e-2,
                };
                assert!(divergence <= allowed, "{family} {encoding} {arithmetic:?}: {divergence}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_are_those_of_llama_cpp_to_the_bit() {
    for family in FAMILIES {
        for (encoding, kind) in ENCODINGS {
            let (_dir, path) = written(&quantised::model(family, kind, 6));
            let mut judge = LlamaCpp::load(&path, CONTEXT as u32, THREADS as i32);
            let model = by_ggml(&path).await;
            let mut state = model.begin(CONTEXT).unwrap();
            let prompt = text(64, 4);
            let (ours, theirs) = (read(&model, state.as_mut(), &prompt), judge.read(&prompt, true));
            let spread = theirs.iter().flatten().fold(0f32, |most, value| most.max(value.abs()));
            assert!(spread > 1.0, "{family} {encoding}: the logits say something");
            assert!(bits(&ours) == bits(&theirs), "{family} {encoding}: {:?}", divergence(&ours, &theirs));
            for token in text(16, 5) {
                let (ours, theirs) = (read(&model, state.as_mut(), &[token]), judge.read(&[token], false));
                assert!(bits(&ours) == bits(&theirs), "{family} {encoding} at {}", state.length());
            }
            // Both take back half of it and read something else.
            (state.truncate(32), judge.truncate(32));
            let other = text(8, 6);
            let (ours, theirs) = (read(&model, state.as_mut(), &other), judge.read(&other, true));
            assert!(bits(&ours) == bits(&theirs), "{family} {encoding} after taking back");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn split_at_every_boundary_over_peers_the_logits_are_bit_identical() {
    for (family, encoding) in [("llama", "Q4_0"), ("qwen3", "Q8_0"), ("qwen2", "Q4_K"), ("mistral", "F16")] {
        let kind = ENCODINGS.iter().find(|(name, _)| *name == encoding).unwrap().1;
        let mut file = quantised::model(family, kind, 7);
        if family == "mistral" {
            file = file.with("llama.attention.sliding_window", Meta::U32(40));
        }
        let (_dir, path) = written(&file);
        let compute = compute(Backend::Ggml, Arithmetic::Fastest);
        let engine = |node: &Arc<TcpNode>| {
            let options = EngineOptions { compute: compute.clone(), ..EngineOptions::default() };
            ShardEngine::new(Some((node.clone(), Arc::new(AllBut::default()))), options)
        };
        // Longer than one step of the prefill.
        let tokens = text(150, 8);
        let whole = by_ggml(&path).await;
        let expected = ShardEngine::local().logits(&whole, &tokens, Route::Local).await.unwrap();
        for boundary in 1..BLOCKS as u32 {
            let town = Arc::new(Town::default());
            let nodes =
                [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await];
            let [one, two, app] = nodes.each_ref().map(engine);
            let offer = one.serve(&path, 0..boundary).await.unwrap();
            assert_eq!(offer.backend, Some(Backend::Ggml));
            two.serve(&path, boundary..BLOCKS as u32).await.unwrap();
            assert_eq!(two.served()[0].backend, Some(Backend::Ggml));
            let options = LoadOptions { blocks: Blocks::None, compute: compute.clone() };
            let model = app.load(&path, options).await.unwrap();
            let logits = app.logits(&model, &tokens, Route::Peers).await.unwrap();
            assert!(bits(&logits) == bits(&expected), "{family} {encoding} split at {boundary}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_and_read_again_in_the_same_steps_has_the_same_bits() {
    for (encoding, kind) in ENCODINGS {
        for arithmetic in [Arithmetic::Fastest, Arithmetic::Invariant] {
            let (_dir, path) = written(&quantised::model("llama", kind, 9));
            let model = load(&path, Blocks::All, Backend::Ggml, arithmetic).await.unwrap();
            let tokens = text(48, 10);
            let mut state = model.begin(CONTEXT).unwrap();
            read(&model, state.as_mut(), &tokens[..20]);
            let first = [read(&model, state.as_mut(), &tokens[20..40]), read(&model, state.as_mut(), &tokens[40..41])];
            read(&model, state.as_mut(), &tokens[41..]);
            state.truncate(20);
            assert_eq!(state.length(), 20);
            let again = [read(&model, state.as_mut(), &tokens[20..40]), read(&model, state.as_mut(), &tokens[40..41])];
            assert!(first.iter().zip(&again).all(|(one, other)| bits(one) == bits(other)), "{encoding} {arithmetic:?}");
            // A text of its own, with another bound, is the same text.
            let mut other = model.begin(100).unwrap();
            read(&model, other.as_mut(), &tokens[..20]);
            let elsewhere = read(&model, other.as_mut(), &tokens[20..40]);
            assert!(bits(&elsewhere) == bits(&first[0]), "{encoding} {arithmetic:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_any_length_give_the_same_bits_where_arithmetic_is_invariant() {
    for family in FAMILIES {
        for (encoding, kind) in ENCODINGS {
            let (_dir, path) = written(&quantised::model(family, kind, 11));
            let model = load(&path, Blocks::All, Backend::Ggml, Arithmetic::Invariant).await.unwrap();
            let tokens = text(40, 12);
            let mut state = model.begin(CONTEXT).unwrap();
            let at_once = bits(&read(&model, state.as_mut(), &tokens));
            for length in [1, 2, 3, 7, 20] {
                state.truncate(0);
                let rows: Vec<_> =
                    tokens.chunks(length).flat_map(|chunk| read(&model, state.as_mut(), chunk)).collect();
                assert!(bits(&rows) == at_once, "{family} {encoding} in steps of {length}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_are_none_are_refused_and_leave_the_text_as_it_was() {
    let (_dir, path) = written(&quantised::model("qwen2", 8, 13));
    let model = by_ggml(&path).await;
    let tokens = text(12, 14);
    let mut state = model.begin(10).unwrap();
    let expected = {
        let mut untouched = model.begin(10).unwrap();
        read(&model, untouched.as_mut(), &tokens[..4]);
        read(&model, untouched.as_mut(), &tokens[4..8])
    };
    read(&model, state.as_mut(), &tokens[..4]);
    let mut not_finite = model.embed(&tokens[4..6]).unwrap().values;
    not_finite[HIDDEN] = f32::NAN;
    let too_long = model.embed(&tokens[4..11]).unwrap().values;
    for (name, hidden) in [
        ("no state", Vec::new()),
        ("half a state", vec![0.0; HIDDEN / 2]),
        ("a state and a half", vec![0.0; HIDDEN + HIDDEN / 2]),
        ("not finite", not_finite),
        ("infinite", vec![f32::INFINITY; HIDDEN]),
        ("more tokens than were asked for", too_long),
    ] {
        let error = step(state.as_mut(), hidden).unwrap_err();
        assert_eq!((error.code(), state.length()), (ErrorCode::InvalidArgument, 4), "{name}: {error}");
    }
    // Finite, and as large as can be: whatever comes out, nothing of it stays.
    let _ = step(state.as_mut(), vec![f32::MAX; HIDDEN]);
    state.truncate(4);
    assert!(bits(&read(&model, state.as_mut(), &tokens[4..8])) == bits(&expected));
    for tokens in [0, CONTEXT + 1] {
        assert_eq!(model.begin(tokens).map(|_| ()).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    let ends = load(&path, Blocks::None, Backend::Ggml, Arithmetic::Fastest).await.unwrap();
    assert_eq!(ends.begin(1).map(|_| ()).unwrap_err().code(), ErrorCode::InvalidArgument);
    let short = Hidden { tokens: 1, size: HIDDEN as u32, values: vec![0.0; 3] };
    assert_eq!(ends.head(short).unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(ends.embed(&[9_999]).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_ggml_would_end_the_process_over_are_refused_by_what_is_wrong() {
    let model = || quantised::model("llama", 8, 15);
    let cases = [
        ("a matrix transposed", model().changed("blk.1.ffn_up.weight", |tensor| tensor.shape.reverse()), "up_proj"),
        (
            "a norm too short",
            model().changed("blk.2.attn_norm.weight", |tensor| {
                (tensor.shape, tensor.bytes) = (vec![8], vec![0; 32]);
            }),
            "input_layernorm",
        ),
        (
            "a vector as matrix",
            model().changed("blk.0.attn_norm.weight", |tensor| tensor.shape = vec![1, 256]),
            "input_layernorm",
        ),
        (
            "a matrix as cube",
            model().changed("blk.0.attn_q.weight", |tensor| tensor.shape = vec![2, 128, 256]),
            "q_proj",
        ),
        (
            "a norm in F64",
            model().changed("blk.0.attn_norm.weight", |tensor| {
                (tensor.kind, tensor.bytes) = (28, vec![0; 8 * HIDDEN]);
            }),
            "input_layernorm",
        ),
        ("a matrix in Q5_K", model().changed("blk.0.attn_q.weight", |tensor| tensor.kind = 13), "q_proj"),
    ];
    for (name, file, tensor) in cases {
        let (_dir, path) = written(&file);
        let error = load(&path, Blocks::All, Backend::Ggml, Arithmetic::Fastest).await.unwrap_err();
        assert!(matches!(error.code(), ErrorCode::CorruptData | ErrorCode::Unsupported), "{name}: {error}");
        assert!(error.context()["tensor"].contains(tensor), "{name}: {error}");
    }
    let mut missing = model();
    missing.tensors.retain(|tensor| tensor.name != "blk.1.attn_v.weight");
    let (_dir, path) = written(&missing);
    let error = load(&path, Blocks::All, Backend::Ggml, Arithmetic::Fastest).await.unwrap_err();
    assert_eq!(error.context()["tensor"], "model.layers.1.self_attn.v_proj.weight");
    // Norms and biases in other encodings than F32 are fine: they are read to f32 first.
    let half = model().changed("blk.1.attn_norm.weight", |tensor| {
        let values: Vec<f32> =
            tensor.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
        tensor.bytes = values.iter().flat_map(|value| half::f16::from_f32(*value).to_le_bytes()).collect();
        tensor.kind = 1;
    });
    let (_dir, path) = written(&half);
    let engine = ShardEngine::local();
    let exact = load(&path, Blocks::All, Backend::Candle, Arithmetic::Fastest).await.unwrap();
    let expected = engine.logits(&exact, &text(20, 1), Route::Local).await.unwrap();
    let logits = engine.logits(&by_ggml(&path).await, &text(20, 1), Route::Local).await.unwrap();
    assert!(divergence(&logits, &expected).0 < 4e-3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_hides_what_lies_before_it() {
    let file = quantised::model("mistral", 0, 16);
    let windowed = file.clone().with("llama.attention.sliding_window", Meta::U32(17));
    let mut logits = Vec::new();
    for (file, backend) in [(&file, Backend::Ggml), (&windowed, Backend::Ggml), (&windowed, Backend::Candle)] {
        let (_dir, path) = written(file);
        let model = load(&path, Blocks::All, backend, Arithmetic::Invariant).await.unwrap();
        logits.push(ShardEngine::local().logits(&model, &text(150, 17), Route::Local).await.unwrap());
    }
    assert!(bits(&logits[0][..17]) == bits(&logits[1][..17]));
    assert!(divergence(&logits[0][17..], &logits[1][17..]).0 > 1e-2, "the window is felt");
    assert!(divergence(&logits[1], &logits[2]).0 < 1e-4, "{:?}", divergence(&logits[1], &logits[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_step_ends_between_two_operations_and_changes_nothing() {
    let (_dir, path) = written(&quantised::model("llama", 2, 18));
    let model = by_ggml(&path).await;
    let tokens = text(140, 19);
    let mut untouched = model.begin(CONTEXT).unwrap();
    let expected = [read(&model, untouched.as_mut(), &tokens[..10]), read(&model, untouched.as_mut(), &tokens[10..])];
    let mut state = model.begin(CONTEXT).unwrap();
    let before = CancellationToken::new();
    before.cancel();
    let hidden = model.embed(&tokens[..10]).unwrap().values;
    assert_eq!(state.forward(hidden, &before).unwrap_err().code(), ErrorCode::Cancelled);
    assert!(bits(&read(&model, state.as_mut(), &tokens[..10])) == bits(&expected[0]));
    // While it computes, from another thread; whichever comes first, the text goes on as if nothing had been.
    for _ in 0..20 {
        let hidden = model.embed(&tokens[10..]).unwrap().values;
        let during = CancellationToken::new();
        let result = std::thread::scope(|scope| {
            scope.spawn(|| during.cancel());
            state.forward(hidden, &during)
        });
        match result {
            Err(error) => assert_eq!(error.code(), ErrorCode::Cancelled),
            Ok(_) => state.truncate(10),
        }
        assert_eq!(state.length(), 10);
    }
    assert!(bits(&read(&model, state.as_mut(), &tokens[10..])) == bits(&expected[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_in_turn_and_side_by_side_do_not_touch_each_other() {
    let (_dir, path) = written(&quantised::model("qwen3", 12, 20));
    let model = by_ggml(&path).await;
    let texts = [text(60, 21), text(90, 22)];
    let alone = texts.each_ref().map(|tokens| {
        let mut state = model.begin(CONTEXT).unwrap();
        tokens.chunks(30).map(|chunk| read(&model, state.as_mut(), chunk)).collect::<Vec<_>>()
    });
    let together = std::thread::scope(|scope| {
        let running = texts.each_ref().map(|tokens| {
            scope.spawn(|| {
                let mut state = model.begin(CONTEXT).unwrap();
                tokens.chunks(30).map(|chunk| read(&model, state.as_mut(), chunk)).collect::<Vec<_>>()
            })
        });
        running.map(|thread| thread.join().unwrap())
    });
    for (one, other) in alone.iter().flatten().zip(together.iter().flatten()) {
        assert!(bits(one) == bits(other));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quantised_files_run_on_ggml_by_themselves_and_others_on_candle() {
    for (encoding, kind) in ENCODINGS {
        let (_dir, path) = written(&quantised::model("llama", kind, 23));
        let model = ShardEngine::local().load(&path, LoadOptions::default()).await.unwrap();
        let expected = if encoding.starts_with('Q') { Backend::Ggml } else { Backend::Candle };
        assert_eq!(model.backend(), expected, "{encoding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_takes_memory_as_it_grows_and_nothing_in_it_tells() {
    for (encoding, kind) in ENCODINGS {
        let (_dir, path) = written(&quantised::model("mistral", kind, 9));
        let model = by_ggml(&path).await;
        let tokens = text(440, 12);
        let mut judge = LlamaCpp::load(&path, CONTEXT as u32, THREADS as i32);
        let mut state = model.begin(441).unwrap();
        for part in [&tokens[..128], &tokens[128..256], &tokens[256..257], &tokens[257..258], &tokens[258..440]] {
            let (ours, theirs) = (read(&model, state.as_mut(), part), judge.read(part, true));
            assert!(bits(&ours) == bits(&theirs), "{encoding}");
        }
        state.truncate(130);
        judge.truncate(130);
        let (ours, theirs) = (read(&model, state.as_mut(), &tokens[130..300]), judge.read(&tokens[130..300], true));
        assert!(bits(&ours) == bits(&theirs), "{encoding}");
        let one_too_many = step(state.as_mut(), model.embed(&text(142, 1)).unwrap().values).unwrap_err();
        assert_eq!(one_too_many.code(), ErrorCode::InvalidArgument);
        assert_eq!(state.length(), 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_depends_neither_on_what_was_asked_before_nor_on_how_long_it_may_become() {
    for family in FAMILIES {
        for (encoding, kind) in ENCODINGS {
            let mut file = quantised::model(family, kind, 25);
            file.metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
            file.metadata.extend(written::byte_tokens_of(quantised::VOCABULARY));
            let (_dir, path) = written(&file);
            let (kept, anew) = (by_ggml(&path).await, by_ggml(&path).await);
            let engine = ShardEngine::local();
            let conversation = text(420, 3);
            for (length, cached) in [(150, 0), (300, 128), (420, 256)] {
                let ask = |max_tokens| asked(&conversation[..length], max_tokens);
                let answer = answered(&engine, &kept, ask(4), Route::Local).await;
                let expected = answered(&forgetful(), &anew, ask(70), Route::Local).await.said;
                assert_eq!(answer.usage.cached_tokens, cached, "{family} {encoding}");
                assert_eq!(answer.said, expected[..4], "{family} {encoding}, {length} tokens");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_a_host_writes_at_once_are_those_that_it_writes_one_after_the_other() {
    let mut file = quantised::model("llama", 8, 24);
    file.metadata.retain(|(key, _)| !key.starts_with("tokenizer."));
    file.metadata.extend(written::byte_tokens_of(quantised::VOCABULARY));
    let (_dir, path) = written(&file);
    let compute = compute(Backend::Ggml, Arithmetic::Fastest);
    let engine = |node: &Arc<TcpNode>| {
        let options = EngineOptions { compute: compute.clone(), ..EngineOptions::default() };
        ShardEngine::new(Some((node.clone(), Arc::new(AllBut::default()))), options)
    };
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await, TcpNode::start(&town, 3).await];
    let [one, two, app] = nodes.each_ref().map(engine);
    one.serve(&path, 0..1).await.unwrap();
    two.serve(&path, 1..BLOCKS as u32).await.unwrap();
    let model = app.load(&path, LoadOptions { blocks: Blocks::None, compute: compute.clone() }).await.unwrap();
    let answer = |number: u32| {
        let question = asked(&text(5 + 20 * number as usize, u64::from(number)), 40);
        let request = GenerateRequest { seed: number.into(), ..question };
        let (app, model) = (app.clone(), model.clone());
        async move { answered(&app, &model, request, Route::Peers).await.said }
    };
    let mut in_turn = Vec::new();
    for number in 0..8 {
        in_turn.push(answer(number).await);
    }
    assert!(in_turn.iter().all(|chosen| chosen.len() >= 30), "{:?}", in_turn.iter().map(Vec::len).collect::<Vec<_>>());
    let at_once = futures::future::join_all((0..8).map(answer)).await;
    assert_eq!(at_once, in_turn);
}
