//! What a machine is measured to serve, where its blocks go in a swarm, and how fast a model answers.

mod shard_support;
#[path = "support/gguf.rs"]
mod written;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::ErrorCode;
use kwaai_core::net::Peers;
use kwaai_core::shard::{
    Amount, Backend, BenchmarkOptions, Blocks, CalibrateOptions, Calibration, Offer, Route, ShardEngine,
};
use shard_support::{AllBut, TcpNode, Town, config, tensors, write_model};
use written::File;

const BLOCKS: usize = 6;
/// Bytes of the weights of one block in f32, and of what four sessions of 512 tokens keep for it.
const CACHE: u64 = 2 * 2 * 6 * 4 * 512 * 4;

fn weights() -> u64 {
    let of_block = tensors(&config(BLOCKS, 4, 2, 6, true));
    let values = of_block.iter().filter(|(name, _)| name.starts_with("model.layers.0."));
    values.map(|(_, shape)| shape.iter().product::<usize>() as u64 * 4).sum()
}

fn model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 5, &config(BLOCKS, 4, 2, 6, true));
    dir
}

async fn calibrated(dir: &Path, memory_bytes: u64) -> Calibration {
    let options = CalibrateOptions { memory_bytes: Some(memory_bytes), ..CalibrateOptions::default() };
    ShardEngine::local().calibrate(dir, options).await.unwrap()
}

async fn host(town: &Arc<Town>, seed: u8, but: AllBut) -> (Arc<TcpNode>, ShardEngine) {
    let node = TcpNode::start(town, seed).await;
    let engine = ShardEngine::over(node.clone(), Arc::new(but));
    (node, engine)
}

fn run(offer: &Offer) -> (u32, u32) {
    (offer.start, offer.end)
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_sized_by_the_tensors_of_the_model_and_half_the_memory_has_room_for_half_of_them() {
    let dir = model();
    let block = weights() + CACHE;
    let whole = calibrated(dir.path(), 4 * block).await;
    assert_eq!((whole.weight_bytes, whole.cache_bytes, whole.backend), (weights(), CACHE, Backend::Candle));
    assert_eq!((whole.blocks, whole.fitting, whole.recommended, whole.reserve_bytes), (6, 4, 4, 0));
    assert!(whole.block_ms > 0.0 && whole.decode_tokens_per_second > 0.0 && whole.prefill_tokens_per_second > 0.0);
    assert!(whole.cores > 0);
    assert_eq!(calibrated(dir.path(), 2 * block).await.recommended, 2);
    let more = calibrated(dir.path(), 20 * block).await;
    assert_eq!((more.fitting, more.recommended), (20, 6), "no more than the model has");
    let by_itself = ShardEngine::local().calibrate(dir.path(), CalibrateOptions::default()).await.unwrap();
    assert!(by_itself.reserve_bytes > 0 && by_itself.memory_bytes > by_itself.reserve_bytes, "{by_itself:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_without_room_for_a_block_is_told_how_much_one_takes() {
    let dir = model();
    let folder = dir.path();
    let of = |options| async move { ShardEngine::local().calibrate(folder, options).await.unwrap_err() };
    let usual = CalibrateOptions::default();
    let small = of(CalibrateOptions { memory_bytes: Some(weights() + CACHE - 1), ..usual }).await;
    assert_eq!(small.code(), ErrorCode::ResourceExhausted);
    assert_eq!(small.context()["needed_bytes"], (weights() + CACHE).to_string());
    for options in [CalibrateOptions { sessions: 0, ..usual }, CalibrateOptions { tokens: Some(513), ..usual }] {
        assert_eq!(of(options).await.code(), ErrorCode::InvalidArgument);
    }
    let missing = ShardEngine::local().calibrate("/nowhere", usual).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_that_are_not_read_cannot_be_sized() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let five_bits = File::model("llama").changed("blk.0.ffn_up.weight", |tensor| tensor.kind = 13);
    std::fs::write(&path, five_bits.bytes()).unwrap();
    let refused = ShardEngine::local().calibrate(&path, CalibrateOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Unsupported, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_without_a_place_fill_the_gaps_of_the_swarm() {
    let (dir, town) = (model(), Arc::new(Town::default()));
    let mut served = Vec::new();
    let mut hosts = Vec::new();
    for seed in 1..=4 {
        let (node, engine) = host(&town, seed, AllBut::default()).await;
        served.push(run(&engine.serve(dir.path(), Amount::Count(2)).await.unwrap()));
        hosts.push((node, engine));
    }
    assert_eq!(served, [(0, 2), (2, 4), (4, 6), (0, 2)]);
    let again = hosts[0].1.serve(dir.path(), Amount::Count(2)).await.unwrap();
    assert_eq!(run(&again), (2, 4), "what this node has counts as well");
    for count in [0, 7] {
        let refused = hosts[0].1.serve(dir.path(), Amount::Count(count)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_used_decides_only_between_equal_places() {
    let (dir, town) = (model(), Arc::new(Town::default()));
    let (liar, claims) = host(&town, 1, AllBut::default()).await;
    claims.serve(dir.path(), 0..4).await.unwrap();
    let (_honest, one) = host(&town, 2, AllBut(vec![liar.local_peer()])).await;
    assert_eq!(run(&one.serve(dir.path(), Amount::Count(2)).await.unwrap()), (4, 6));
    // Now the last blocks are known to be there, whatever the liar says of the first.
    let (_other, two) = host(&town, 3, AllBut(vec![liar.local_peer()])).await;
    assert_eq!(run(&two.serve(dir.path(), Amount::Count(4)).await.unwrap()), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_blocks_as_fit_are_served_with_the_memory_that_their_sessions_were_sized_for() {
    let (dir, town) = (model(), Arc::new(Town::default()));
    let (_node, engine) = host(&town, 1, AllBut::default()).await;
    let fitting = |blocks: u64| Amount::Fitting { memory_bytes: Some(blocks * (weights() + CACHE)) };
    assert_eq!(run(&engine.serve(dir.path(), fitting(3)).await.unwrap()), (0, 3));
    let (_caller, caller) = host(&town, 2, AllBut::default()).await;
    let ends = caller.load(dir.path(), Blocks::None).await.unwrap();
    assert_eq!(caller.coverage(&ends).await.unwrap().hosts[0].room_bytes, Some(3 * CACHE));
    let small = engine.serve(dir.path(), fitting(0)).await.unwrap_err();
    assert_eq!(small.code(), ErrorCode::ResourceExhausted);
    engine.stop_serving(ends.id()).await.unwrap();
    engine.serve(dir.path(), 0..6).await.unwrap();
    assert_eq!(caller.coverage(&ends).await.unwrap().hosts[0].room_bytes, Some(1 << 30), "a run that was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_run_moves_when_that_helps_and_then_stays() {
    let (dir, town) = (model(), Arc::new(Town::default()));
    let (_fixed, fixed) = host(&town, 1, AllBut::default()).await;
    let (_chosen, chosen) = host(&town, 2, AllBut::default()).await;
    assert_eq!(run(&chosen.serve(dir.path(), Amount::Count(3)).await.unwrap()), (0, 3));
    assert!(chosen.rebalance(Duration::ZERO).await.unwrap().is_empty(), "alone nothing helps");
    fixed.serve(dir.path(), 0..3).await.unwrap();
    assert!(fixed.rebalance(Duration::ZERO).await.unwrap().is_empty(), "a run that was asked for stays");
    let moved = chosen.rebalance(Duration::ZERO).await.unwrap();
    assert_eq!(moved.iter().map(|(from, to)| (run(from), run(to))).collect::<Vec<_>>(), [((0, 3), (3, 6))]);
    assert_eq!(chosen.served().iter().map(run).collect::<Vec<_>>(), [(3, 6)]);
    assert!(chosen.rebalance(Duration::ZERO).await.unwrap().is_empty());

    let (_caller, caller) = host(&town, 3, AllBut::default()).await;
    let (ends, whole) = (caller.load(dir.path(), Blocks::None).await, caller.load(dir.path(), Blocks::All).await);
    let (ends, whole) = (ends.unwrap(), whole.unwrap());
    let tokens = [1, 2, 3];
    let over = caller.logits(&ends, &tokens, Route::Peers).await.unwrap();
    assert_eq!(over, caller.logits(&whole, &tokens, Route::Local).await.unwrap());
    let fast = BenchmarkOptions { prompt_tokens: 140, warm_up: 1, steps: 3, sessions: 3, seed: 2 };
    let benchmark = caller.benchmark(&ends, fast, Route::Peers).await.unwrap();
    assert_eq!(benchmark.path.iter().map(|hop| (hop.start_block, hop.end_block)).collect::<Vec<_>>(), [(0, 3), (3, 6)]);
    let rates = [benchmark.prefill_tokens_per_second, benchmark.decode_tokens_per_second, benchmark.first_token_ms];
    assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0), "{benchmark:?}");
    assert!(benchmark.throughput_tokens_per_second > 0.0 && benchmark.sessions == 3);
    while fixed.open_sessions() + chosen.open_sessions() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_that_cannot_be_is_refused_before_it_begins() {
    let dir = model();
    let engine = ShardEngine::local();
    let model = engine.load(dir.path(), Blocks::All).await.unwrap();
    let usual = BenchmarkOptions::default();
    let single = engine.benchmark(&model, BenchmarkOptions { steps: 2, ..usual }, Route::Local).await.unwrap();
    assert_eq!(single.throughput_tokens_per_second, single.decode_tokens_per_second);
    for wrong in [
        BenchmarkOptions { steps: 0, ..usual },
        BenchmarkOptions { prompt_tokens: 0, ..usual },
        BenchmarkOptions { prompt_tokens: 488, ..usual },
        BenchmarkOptions { sessions: 0, ..usual },
        BenchmarkOptions { sessions: 65, ..usual },
    ] {
        let refused = engine.benchmark(&model, wrong, Route::Local).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{wrong:?}");
    }
    let ends = engine.load(dir.path(), Blocks::None).await.unwrap();
    for (route, code) in [(Route::Local, ErrorCode::InvalidArgument), (Route::Peers, ErrorCode::Unsupported)] {
        assert_eq!(engine.benchmark(&ends, usual, route).await.unwrap_err().code(), code);
    }
}
