//! How fast passages are embedded, as a share of how fast this machine multiplies matrices.

use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};
use serde_json::json;

/// Multiplications for each token in the linear layers of all-MiniLM-L6-v2: six layers of four of 384 by 384, and two of 384 by 1536.
const PER_TOKEN: f64 = 6.0 * (4.0 * 384.0 * 384.0 + 2.0 * 384.0 * 1536.0);
const PASSAGES: usize = 2_000;
/// As many as an ingestion embeds between two looks at progress.
const AT_ONCE: usize = 64;
const ROUNDS: usize = 3;

/// `texts` is a JSON array.
pub async fn run(texts: &Path) {
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts).unwrap()).unwrap();
    let texts: Vec<Text> = texts.into_iter().take(PASSAGES).map(Text::Document).collect();
    let weights = model_cache::find_all_minilm().unwrap().expect("all-MiniLM-L6-v2 is in the model cache");
    let bert = BertEmbedder::open(weights).await.unwrap();
    let tokens = bert.count_tokens(&texts);
    let (mut limit, mut done) = (0.0_f64, 0.0_f64);
    // The best of several rounds in turn, so that what else the machine does meets both.
    for _ in 0..ROUNDS {
        limit = limit.max(multiplications());
        let began = Instant::now();
        for batch in texts.chunks(AT_ONCE) {
            bert.embed(batch.to_vec()).await.unwrap();
        }
        done = done.max(PER_TOKEN * tokens as f64 / began.elapsed().as_secs_f64());
    }
    let passages = done / PER_TOKEN / tokens as f64 * texts.len() as f64;
    println!(
        "{}",
        json!({"embedding": {"passages": texts.len(), "tokens": tokens, "per_second": passages, "share": done / limit,
            "gflops": 2.0 * done / 1e9, "limit_gflops": 2.0 * limit / 1e9}})
    );
}

/// Multiplications a second of the largest layer over as many rows as a batch of long passages has.
fn multiplications() -> f64 {
    let (rows, inner, columns) = (4096, 384, 1536);
    let device = Device::Cpu;
    let left = Tensor::randn(0_f32, 1.0, (rows, inner), &device).unwrap();
    let right = Tensor::randn(0_f32, 1.0, (inner, columns), &device).unwrap();
    let mut best = 0.0_f64;
    for _ in 0..10 {
        let began = Instant::now();
        std::hint::black_box(left.matmul(&right).unwrap());
        best = best.max((rows * inner * columns) as f64 / began.elapsed().as_secs_f64());
    }
    best
}
