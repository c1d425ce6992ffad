//! The figures of `make bench-shard`: blocks by ggml beside llama.cpp whole, in one process, on the same file, step by step in
//! turn. Prints one JSON object for each encoding.
//!
//! `shard FOLDER RUNS STEPS PREFILL THREADS ENCODING…`; the models are written into the folder unless they are there.

#[path = "../tests/support/llama_cpp.rs"]
mod llama_cpp;
#[path = "../tests/support/gguf.rs"]
mod written;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use half::f16;
use kwaai_core::shard::wire::Hidden;
use kwaai_core::shard::{Arithmetic, Backend, Blocks, Compute, LoadOptions, Model, ShardEngine, SpanState};
use llama_cpp::LlamaCpp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use written::{File, Meta, Tensor};

/// The shape of a Llama 3.2 of 1 B parameters.
const HIDDEN: usize = 2048;
const INNER: usize = 8192;
const BLOCKS: usize = 16;
const HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 64;
const VOCABULARY: usize = 128_256;
const CONTEXT: usize = 2048;
/// The first steps of each engine fetch pages and build graphs.
const WARM: usize = 3;
/// How deep the text is for the price of invariant arithmetic.
const DEPTH: usize = 1024;

/// Bytes that a quantised matrix might have, the same again and again: none of the engines looks for repetition.
struct Pool {
    kind: u32,
    values: usize,
    block: usize,
    bytes: Vec<u8>,
    next: usize,
}

impl Pool {
    fn new(kind: u32) -> Pool {
        let (values, block) = match kind {
            8 => (32, 34),
            2 => (32, 18),
            12 => (256, 144),
            other => panic!("no models of type {other} are written"),
        };
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let half = |value: f32| f16::from_f32(value).to_le_bytes();
        // Values with a root mean square of 0.02, the spread with which such models begin.
        let bytes = (0..65_521).flat_map(|_| {
            let mut bytes: Vec<u8> = (0..block).map(|_| random()).collect();
            match kind {
                8 => bytes[..2].copy_from_slice(&half(0.02 / 74.0)),
                2 => bytes[..2].copy_from_slice(&half(0.02 / 4.6)),
                _ => {
                    bytes[..2].copy_from_slice(&half(0.02 / 4.6 / 32.0));
                    bytes[2..4].copy_from_slice(&half(7.5 * 0.02 / 4.6 / 32.0));
                    bytes[4..16].copy_from_slice(&[0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0, 0, 0, 0]);
                }
            }
            bytes
        });
        Pool { kind, values, block, bytes: bytes.collect(), next: 0 }
    }

    fn matrix(&mut self, name: String, rows: usize, columns: usize) -> Tensor {
        let size = rows * columns / self.values * self.block;
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            let from = &self.bytes[self.next..];
            let count = from.len().min(size - bytes.len());
            bytes.extend(&from[..count]);
            self.next = (self.next + count) % self.bytes.len();
        }
        Tensor { name, shape: vec![rows as u64, columns as u64], kind: self.kind, offset: None, bytes }
    }
}

fn model(folder: &Path, encoding: &str) -> PathBuf {
    let path = folder.join(format!("llama-1b-{}.gguf", encoding.to_lowercase()));
    if path.exists() {
        return path;
    }
    let kind = match encoding {
        "Q8_0" => 8,
        "Q4_0" => 2,
        "Q4_K" => 12,
        other => panic!("no models in {other} are measured"),
    };
    let mut pool = Pool::new(kind);
    let ones = |name: String| Tensor {
        name,
        shape: vec![HIDDEN as u64],
        kind: 0,
        offset: None,
        bytes: 1f32.to_le_bytes().repeat(HIDDEN),
    };
    let mut tensors =
        vec![pool.matrix("token_embd.weight".into(), VOCABULARY, HIDDEN), ones("output_norm.weight".into())];
    for block in 0..BLOCKS {
        for (name, rows, columns) in [
            ("attn_q", HEADS * HEAD_DIM, HIDDEN),
            ("attn_k", KV_HEADS * HEAD_DIM, HIDDEN),
            ("attn_v", KV_HEADS * HEAD_DIM, HIDDEN),
            ("attn_output", HIDDEN, HEADS * HEAD_DIM),
            ("ffn_gate", INNER, HIDDEN),
            ("ffn_up", INNER, HIDDEN),
            ("ffn_down", HIDDEN, INNER),
        ] {
            tensors.push(pool.matrix(format!("blk.{block}.{name}.weight"), rows, columns));
        }
        tensors.push(ones(format!("blk.{block}.attn_norm.weight")));
        tensors.push(ones(format!("blk.{block}.ffn_norm.weight")));
    }
    let text = |key: &str, text: &str| (key.to_string(), Meta::text(text));
    let mut metadata = vec![text("general.architecture", "llama"), text("tokenizer.ggml.model", "none")];
    for (key, value) in [
        ("block_count", BLOCKS),
        ("context_length", CONTEXT),
        ("embedding_length", HIDDEN),
        ("feed_forward_length", INNER),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", KV_HEADS),
        ("rope.dimension_count", HEAD_DIM),
        ("vocab_size", VOCABULARY),
    ] {
        metadata.push((format!("llama.{key}"), Meta::U32(value as u32)));
    }
    metadata.push(("llama.attention.layer_norm_rms_epsilon".into(), Meta::F32(1e-5)));
    metadata.push(("llama.rope.freq_base".into(), Meta::F32(500_000.0)));
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(&path, File { version: 3, metadata, tensors }.bytes()).unwrap();
    path
}

/// One of ours: spans one after the other, and the ends.
struct Ours {
    parts: Vec<Model>,
    states: Vec<Box<dyn SpanState>>,
}

impl Ours {
    async fn load(path: &Path, boundaries: &[u32], threads: usize, arithmetic: Arithmetic) -> Ours {
        let compute = Compute { backend: Some(Backend::Ggml), threads: NonZeroUsize::new(threads), arithmetic };
        let mut parts = Vec::new();
        let engine = ShardEngine::local();
        for pair in boundaries.windows(2) {
            let options = LoadOptions { blocks: Blocks::Span(pair[0]..pair[1]), compute: compute.clone() };
            parts.push(engine.load(path, options).await.unwrap());
        }
        let states = parts.iter().map(|part| part.begin(CONTEXT).unwrap()).collect();
        Ours { parts, states }
    }

    /// The logits after the last of the tokens.
    fn read(&mut self, tokens: &[u32]) -> Vec<f32> {
        let mut hidden = self.parts[0].embed(tokens).unwrap();
        for state in &mut self.states {
            hidden.values = state.forward(hidden.values, &CancellationToken::new()).unwrap();
        }
        let values = hidden.values.split_off(hidden.values.len() - HIDDEN);
        self.parts[0].head(Hidden { tokens: 1, size: HIDDEN as u32, values }).unwrap().remove(0)
    }

    fn truncate(&mut self, length: usize) {
        self.states.iter_mut().for_each(|state| state.truncate(length));
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed().as_secs_f64(), value)
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The most bytes a second that all threads together read, of several attempts.
fn bandwidth(threads: usize) -> f64 {
    let values: Vec<u64> = (0..(1u64 << 30) / 8).collect();
    let attempt = |_| {
        let share = values.len() / threads;
        let (seconds, sum) = timed(|| {
            std::thread::scope(|scope| {
                let running: Vec<_> = values
                    .chunks(share)
                    .map(|part| scope.spawn(move || part.iter().fold(0u64, |sum, value| sum.wrapping_add(*value))))
                    .collect();
                running.into_iter().fold(0u64, |sum, thread| sum.wrapping_add(thread.join().unwrap()))
            })
        });
        std::hint::black_box(sum);
        (values.len() * 8) as f64 / seconds
    };
    (0..5).map(attempt).fold(0.0, f64::max)
}

async fn measure(path: &Path, encoding: &str, runs: usize, steps: usize, prefill: usize, threads: usize) -> Value {
    let before = bandwidth(threads);
    let mut judge = LlamaCpp::load(path, CONTEXT as u32, threads as i32);
    let blocks = BLOCKS as u32;
    let mut whole = Ours::load(path, &[0, blocks], threads, Arithmetic::Fastest).await;
    let mut halves = Ours::load(path, &[0, blocks / 2, blocks], threads, Arithmetic::Fastest).await;
    let mut invariant = Ours::load(path, &[0, blocks], threads, Arithmetic::Invariant).await;
    let prompt: Vec<u32> = (0..prefill.max(DEPTH) as u32).map(|place| (3 + place * 37) % VOCABULARY as u32).collect();
    let mut equal = true;
    let mut prefills = [Vec::new(), Vec::new(), Vec::new()];
    for run in 0..=runs {
        (judge.truncate(0), whole.truncate(0), halves.truncate(0));
        let (seconds, theirs) = timed(|| judge.read(&prompt[..prefill], false).remove(0));
        let (ours, logits) = timed(|| whole.read(&prompt[..prefill]));
        let (in_two, logits_in_two) = timed(|| halves.read(&prompt[..prefill]));
        equal &= theirs == logits && theirs == logits_in_two;
        if run > 0 {
            prefills.iter_mut().zip([seconds, ours, in_two]).for_each(|(times, time)| times.push(time));
        }
    }
    let mut decodes = [Vec::new(), Vec::new(), Vec::new()];
    let mut token = 7;
    for step in 0..WARM + steps {
        let (seconds, theirs) = timed(|| judge.read(&[token], false).remove(0));
        let (ours, logits) = timed(|| whole.read(&[token]));
        let (in_two, logits_in_two) = timed(|| halves.read(&[token]));
        equal &= theirs == logits && theirs == logits_in_two;
        token = (0..VOCABULARY).max_by(|one, other| theirs[*one].total_cmp(&theirs[*other])).unwrap() as u32;
        if step >= WARM {
            decodes.iter_mut().zip([seconds, ours, in_two]).for_each(|(times, time)| times.push(time));
        }
    }
    (whole.truncate(0), invariant.truncate(0));
    for chunk in prompt[..DEPTH].chunks(prefill) {
        (whole.read(chunk), invariant.read(chunk));
    }
    let mut deep = [Vec::new(), Vec::new()];
    for step in 0..WARM + steps {
        let (flash, _) = timed(|| whole.read(&[token]));
        let (seconds, _) = timed(|| invariant.read(&[token]));
        if step >= WARM {
            deep.iter_mut().zip([flash, seconds]).for_each(|(times, time)| times.push(time));
        }
    }
    let rate = |tokens: usize, times: &[f64]| tokens as f64 / median(times);
    let names = ["llama_cpp", "span", "two_spans"];
    let rates = |tokens: usize, times: &[Vec<f64>; 3]| -> Value {
        names.iter().zip(times).map(|(name, times)| (name.to_string(), json!(rate(tokens, times)))).collect()
    };
    let spread = |times: &[f64]| {
        let (least, most) = times.iter().fold((f64::MAX, 0f64), |(a, b), time| (a.min(*time), b.max(*time)));
        (most - least) / median(times)
    };
    json!({
        "encoding": encoding,
        "bit_equal": equal,
        "weights": std::fs::metadata(path).unwrap().len(),
        "bandwidth": before.max(bandwidth(threads)),
        "threads": threads,
        "prefill": rates(prefill, &prefills),
        "prefill_spread": spread(&prefills[1]),
        "decode": rates(1, &decodes),
        "decode_spread": spread(&decodes[1]),
        "deep_flash": rate(1, &deep[0]),
        "deep_invariant": rate(1, &deep[1]),
    })
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let number = |place: usize| arguments[place].parse::<usize>().unwrap();
    let (folder, runs, steps, prefill, threads) =
        (Path::new(&arguments[0]), number(1), number(2), number(3), number(4));
    for encoding in &arguments[5..] {
        let path = model(folder, encoding);
        println!("{}", measure(&path, encoding, runs, steps, prefill, threads).await);
    }
}
