//! The figures of `make bench-calibration`: what `ShardEngine::calibrate` expects of a run of blocks, beside what such a run does when it is
//! loaded. Prints one JSON object for each model and memory, and fails when an expectation is a quarter off.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use half::f16;
use kwaai_core::Result;
use kwaai_core::shard::{Blocks, CalibrateOptions, ShardEngine};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const PROMPT: usize = 128;
const WARM: usize = 5;
const STEPS: usize = 20;
const RUNS: usize = 3;

/// A model by its shape, smaller than caches and larger.
struct Shape {
    name: &'static str,
    hidden: usize,
    inner: usize,
    heads: usize,
    kv_heads: usize,
    blocks: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "0.5 MB a block", hidden: 96, inner: 256, heads: 4, kv_heads: 2, blocks: 8 },
    Shape { name: "13 MB a block", hidden: 512, inner: 1536, heads: 8, kv_heads: 4, blocks: 24 },
    Shape { name: "60 MB a block, as Qwen2.5 0.5B", hidden: 896, inner: 4864, heads: 14, kv_heads: 2, blocks: 12 },
];

fn write(dir: &Path, shape: &Shape) -> std::io::Result<()> {
    let (hidden, inner, head) = (shape.hidden, shape.inner, shape.hidden / shape.heads);
    let kv = shape.kv_heads * head;
    let config = json!({
        "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": shape.blocks,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "vocab_size": 256,
        "tie_word_embeddings": true, "rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "eos_token_id": 1
    });
    std::fs::write(dir.join("config.json"), config.to_string())?;
    let mut tensors = vec![("model.embed_tokens".to_string(), vec![256, hidden]), ("model.norm".into(), vec![hidden])];
    for block in 0..shape.blocks {
        for (name, tensor) in [
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
        ] {
            tensors.push((format!("model.layers.{block}.{name}"), tensor));
        }
    }
    // A thousand values again and again: how long a product takes does not depend on them.
    let value = |at: usize| f16::from_f32(((at * 7919 % 1009) as f32 / 1009.0 - 0.5) * 0.04).to_le_bytes();
    let pool: Vec<u8> = (0..1009).flat_map(value).collect();
    let data: BTreeMap<String, (Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, tensor)| {
            let bytes = 2 * tensor.iter().product::<usize>();
            let mut values = pool.repeat(bytes.div_ceil(pool.len()));
            values.truncate(bytes);
            (format!("{name}.weight"), (tensor, values))
        })
        .collect();
    let views = data.iter().map(|(name, (tensor, bytes))| {
        (name.as_str(), TensorView::new(Dtype::F16, tensor.clone(), bytes).expect("as many bytes as the shape says"))
    });
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors")).map_err(std::io::Error::other)
}

/// Tokens in a second that a loaded run of blocks computes one after the other, and of a prompt.
fn measured(model: &kwaai_core::shard::Model) -> Result<(f64, f64)> {
    let (mut decode, mut prefill) = (Vec::new(), Vec::new());
    let cancel = CancellationToken::new();
    let states = |tokens: usize| vec![0.05f32; tokens * model.config().hidden_size];
    for _ in 0..RUNS {
        let mut state = model.begin(PROMPT + WARM + STEPS)?;
        let start = Instant::now();
        state.forward(states(PROMPT), &cancel)?;
        prefill.push(PROMPT as f64 / start.elapsed().as_secs_f64());
        for _ in 0..WARM {
            state.forward(states(1), &cancel)?;
        }
        let start = Instant::now();
        for _ in 0..STEPS {
            state.forward(states(1), &cancel)?;
        }
        decode.push(STEPS as f64 / start.elapsed().as_secs_f64());
    }
    let middle = |mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[RUNS / 2]
    };
    Ok((middle(decode), middle(prefill)))
}

#[tokio::main]
async fn main() -> std::result::Result<ExitCode, Box<dyn std::error::Error>> {
    let engine = ShardEngine::local();
    let mut near = true;
    for shape in &SHAPES {
        let dir = tempfile::tempdir()?;
        write(dir.path(), shape)?;
        let whole = CalibrateOptions { memory_bytes: Some(1 << 40), sessions: 1, tokens: Some(256) };
        let size = engine.calibrate(dir.path(), whole).await?;
        for blocks in [1, shape.blocks as u64 / 2, shape.blocks as u64] {
            let memory_bytes = Some(blocks * (size.weight_bytes + size.cache_bytes));
            let expected = engine.calibrate(dir.path(), CalibrateOptions { memory_bytes, ..whole }).await?;
            let model = engine.load(dir.path(), Blocks::Span(0..expected.recommended)).await?;
            let (decode, prefill) = tokio::task::spawn_blocking(move || measured(&model)).await??;
            let ratios = [expected.decode_tokens_per_second / decode, expected.prefill_tokens_per_second / prefill];
            near &= ratios.iter().all(|ratio| (0.75..=1.25).contains(ratio));
            let round = |value: f64| (value * 1000.0).round() / 1000.0;
            let line = json!({
                "model": shape.name, "blocks": expected.recommended, "weight_bytes": expected.weight_bytes,
                "block_ms": round(expected.block_ms),
                "decode_tokens_per_second": {"expected": round(expected.decode_tokens_per_second), "measured": round(decode), "ratio": round(ratios[0])},
                "prefill_tokens_per_second": {"expected": round(expected.prefill_tokens_per_second), "measured": round(prefill), "ratio": round(ratios[1])},
                "processor": expected.processor, "cores": expected.cores,
            });
            println!("{line}");
        }
    }
    Ok(if near { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
