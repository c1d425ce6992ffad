//! SE9: what a model and a text take in this process.

use std::path::Path;

use kwaai_core::shard::wire::Hidden;
use kwaai_core::shard::{LoadOptions, ShardEngine};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::by_ggml;
use crate::file::ONE_B;

const PROMPT: usize = 512;
const STEPS: usize = 8;

/// Bytes of memory that are in use, those of files that are mapped among them.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() * 1024.0
}

pub async fn measure(folder: &Path, threads: usize, encoding: &str) -> Value {
    let path = ONE_B.file(folder, encoding);
    let before = resident();
    let options = LoadOptions { compute: by_ggml(threads), ..LoadOptions::default() };
    let model = ShardEngine::local().load(&path, options).await.unwrap();
    let mut state = model.begin(ONE_B.context).unwrap();
    for length in std::iter::once(PROMPT).chain(std::iter::repeat_n(1, STEPS)) {
        let tokens: Vec<u32> = (0..length).map(|place| (place * 251 % ONE_B.vocabulary) as u32).collect();
        let mut values = state.forward(model.embed(&tokens).unwrap().values, &CancellationToken::new()).unwrap();
        let values = values.split_off(values.len() - ONE_B.hidden);
        model.head(Hidden { tokens: 1, size: ONE_B.hidden as u32, values }).unwrap();
    }
    let weights = std::fs::metadata(&path).unwrap().len() as f64;
    // Keys and values of all tokens that there may be, in f16.
    let kept = (2 * 2 * ONE_B.blocks * ONE_B.kv_heads * ONE_B.head_dim * ONE_B.context) as f64;
    let taken = resident() - before;
    json!({ "encoding": encoding, "taken": taken, "weights": weights, "kept": kept, "ratio": taken / (weights + kept) })
}
