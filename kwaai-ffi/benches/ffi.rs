//! What the same calls cost in Rust that `tests/bench/ffi.py` measures from Python and Node.js. Prints one JSON object.

use std::time::Instant;

use kwaai_ffi::node::NodeConfig;
use kwaai_ffi::{CancelToken, Node, Spelling, TrustGraph, from_json, rt, testing, trust::TrustOptions};

const ROWS: usize = 50_000;
const COLUMNS: usize = 384;
const TOKENS: u32 = 10_000;
const BATCH: usize = 256;
const CALLS: u32 = 1_000_000;

fn main() {
    let token = CancelToken::new();
    let cancel = token.clone();
    let graph = rt::wait(None, async move { TrustGraph::open(TrustOptions::default(), None, cancel).await });
    let graph = graph.expect("a trust graph in memory opens");
    let began = Instant::now();
    for _ in 0..CALLS {
        std::hint::black_box(graph.did());
    }
    let call_ns = began.elapsed().as_nanos() as f64 / f64::from(CALLS);

    let values: Vec<f32> = (0..ROWS * COLUMNS).map(|at| (at % 1009) as f32 / 1009.0 + 0.5).collect();
    testing::norms(&values, COLUMNS).expect("finite numbers");
    let began = Instant::now();
    std::hint::black_box(testing::norms(&values, COLUMNS).expect("finite numbers"));
    let handover_ms = began.elapsed().as_secs_f64() * 1e3;

    let read = async {
        let stream = testing::numbers(TOKENS, TOKENS as usize, false);
        let began = Instant::now();
        let mut read = 0;
        loop {
            let batch = stream.next_batch(BATCH, CancelToken::new()).await?;
            if batch.is_empty() {
                break;
            }
            read += batch.len();
        }
        assert_eq!(read, TOKENS as usize);
        Ok(began.elapsed().as_secs_f64() * 1e6 / f64::from(TOKENS))
    };
    let stream_us = rt::wait(None, read).expect("numbers come");

    let config: NodeConfig =
        from_json("", r#"{"preset": "ephemeral"}"#, Spelling::Snake).expect("a sound configuration");
    let began = Instant::now();
    let cycle = async move {
        let node = Node::start(config, CancelToken::new()).await?;
        node.shutdown(Some(0), CancelToken::new()).await
    };
    rt::wait(None, cycle).expect("a node starts and stops");
    let cycle_ms = began.elapsed().as_secs_f64() * 1e3;
    drop(graph);
    let left = testing::live_handles().values().sum::<usize>();
    println!(
        "{}",
        serde_json::json!({
            "call_ns": call_ns, "handover_ms": handover_ms, "stream_us": stream_us, "cycle_ms": cycle_ms, "left": left,
        })
    );
}
