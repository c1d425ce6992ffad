//! The figures of `make bench-shard`: blocks by ggml beside llama.cpp whole, in one process, on the same file, step by step in
//! turn; texts together; hosts on this machine. Prints JSON objects.
//!
//! - `shard alone FOLDER RUNS STEPS PREFILL THREADS ENCODING…`: one text, an object for each encoding.
//! - `shard together FOLDER ROUNDS THREADS ENCODING…`: eight texts at once.
//! - `shard hosts FOLDER RUNS STEPS THREADS ENCODING`: four hosts on this machine, beside the model whole and llama.cpp.
//! - `shard way FOLDER STEPS TRANSPORT`: what the way to a host and back adds.
//! - `shard overlap FOLDER RUNS`: a prompt over four hosts that are far away and take their time.
//! - `shard memory FOLDER THREADS ENCODING`: what a model and a text take.
//!
//! Models are written into the folder unless they are there.

mod file;
mod hosts;
#[path = "../../tests/support/llama_cpp.rs"]
mod llama_cpp;
mod memory;
mod together;
mod way;
#[path = "../../tests/support/gguf.rs"]
mod written;

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use file::ONE_B;
use kwaai_core::shard::wire::Hidden;
use kwaai_core::shard::{Arithmetic, Backend, Blocks, Compute, LoadOptions, Model, ShardEngine, SpanState};
use llama_cpp::LlamaCpp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const HIDDEN: usize = ONE_B.hidden;
const BLOCKS: usize = ONE_B.blocks;
const VOCABULARY: usize = ONE_B.vocabulary;
const CONTEXT: usize = ONE_B.context;
/// The first steps of each engine fetch pages and build graphs.
const WARM: usize = 3;
/// How deep the text is for the price of invariant arithmetic.
const DEPTH: usize = 1024;

/// One of ours: spans one after the other, and the ends.
struct Ours {
    parts: Vec<Model>,
    states: Vec<Box<dyn SpanState>>,
}

impl Ours {
    async fn load(path: &Path, boundaries: &[u32], threads: usize, arithmetic: Arithmetic) -> Ours {
        let compute = Compute {
            backend: Some(Backend::Ggml),
            threads: NonZeroUsize::new(threads),
            arithmetic,
            ..Compute::default()
        };
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

fn by_ggml(threads: usize) -> Compute {
    Compute { backend: Some(Backend::Ggml), threads: NonZeroUsize::new(threads), ..Compute::default() }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|text| text != "--bench").collect();
    let number = |place: usize| arguments[place].parse::<usize>().unwrap();
    let folder = Path::new(&arguments[1]);
    match arguments[0].as_str() {
        "alone" => {
            for encoding in &arguments[6..] {
                let path = ONE_B.file(folder, encoding);
                println!("{}", measure(&path, encoding, number(2), number(3), number(4), number(5)).await);
            }
        }
        "together" => {
            for encoding in &arguments[4..] {
                let path = ONE_B.file(folder, encoding);
                println!("{}", together::measure(&path, encoding, number(2), number(3)).await);
            }
        }
        "hosts" => println!("{}", hosts::measure(folder, number(2), number(3), number(4), &arguments[5]).await),
        "way" => println!("{}", way::measure(folder, number(2), &arguments[3]).await),
        "overlap" => println!("{}", way::overlap(folder, number(2)).await),
        "memory" => println!("{}", memory::measure(folder, number(2), &arguments[3]).await),
        other => panic!("nothing named {other} is measured"),
    }
}
