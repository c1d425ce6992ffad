//! SE7: several texts at once, each on a thread of its own, as sessions come, beside as many sequences of llama.cpp.

use std::path::Path;
use std::sync::Barrier;

use kwaai_core::shard::wire::Hidden;
use kwaai_core::shard::{Batching, Compute, LoadOptions, Model, ShardEngine, SpanState};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::llama_cpp::LlamaCpp;
use crate::{CONTEXT, HIDDEN, VOCABULARY, by_ggml, median, timed};

const TEXTS: usize = 8;
const PROMPT: usize = 64;
/// Tokens of each text in one measurement.
const STEPS: usize = 24;

fn token(text: usize, place: usize) -> u32 {
    ((3 + text * 1009 + place * 37) % VOCABULARY) as u32
}

/// The logits after the last of the tokens.
fn read(model: &Model, state: &mut dyn SpanState, tokens: &[u32]) -> Vec<f32> {
    let hidden = model.embed(tokens).unwrap();
    let mut values = state.forward(hidden.values, &CancellationToken::new()).unwrap();
    let values = values.split_off(values.len() - HIDDEN);
    model.head(Hidden { tokens: 1, size: HIDDEN as u32, values }).unwrap().remove(0)
}

/// Where our own batches are not those of the whole text to the bit, they are so only by the user's choice.
pub async fn measure(path: &Path, encoding: &str, rounds: usize, threads: usize) -> Value {
    let batching = if encoding == "Q4_K" { Batching::Always } else { Batching::Exact };
    let compute = Compute { batching, ..by_ggml(threads) };
    let model = ShardEngine::local().load(path, LoadOptions { compute, ..LoadOptions::default() }).await.unwrap();
    let mut judge = LlamaCpp::load_for(path, CONTEXT as u32 / 4, threads as i32, TEXTS as u32);
    let mut states: Vec<_> = (0..=TEXTS).map(|_| model.begin(CONTEXT / 4).unwrap()).collect();
    for (text, state) in states.iter_mut().enumerate() {
        let prompt: Vec<u32> = (0..PROMPT).map(|place| token(text % TEXTS, place)).collect();
        read(&model, state.as_mut(), &prompt);
        if text < TEXTS {
            judge.read_of(text, &prompt, false);
        }
    }
    let mut alone = states.pop().unwrap();
    let (mut ours, mut theirs, mut one, mut equal) = (Vec::new(), Vec::new(), Vec::new(), true);
    for round in 0..=rounds {
        let places: Vec<usize> = (0..STEPS).map(|step| PROMPT + round * STEPS + step).collect();
        let (seconds, last) = timed(|| {
            let step = |place: &usize| judge.read_each(&(0..TEXTS).map(|text| token(text, *place)).collect::<Vec<_>>());
            places.iter().map(step).last().unwrap()
        });
        theirs.push(seconds);
        let begin = Barrier::new(TEXTS + 1);
        let rows = std::thread::scope(|scope| {
            let running: Vec<_> = states
                .iter_mut()
                .enumerate()
                .map(|(text, state)| {
                    let (model, begin, places) = (&model, &begin, &places);
                    scope.spawn(move || {
                        begin.wait();
                        places.iter().map(|place| read(model, state.as_mut(), &[token(text, *place)])).last().unwrap()
                    })
                })
                .collect();
            begin.wait();
            let (seconds, rows) =
                timed(|| running.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>());
            ours.push(seconds);
            rows
        });
        equal &= rows == last;
        let (seconds, row) =
            timed(|| places.iter().map(|place| read(&model, alone.as_mut(), &[token(0, *place)])).last().unwrap());
        equal &= row == last[0];
        one.push(seconds);
    }
    let rate = |texts: usize, times: &[f64]| (texts * STEPS) as f64 / median(&times[1..]);
    json!({
        "encoding": encoding,
        "batching": format!("{batching:?}"),
        "bit_equal": equal,
        "texts": TEXTS,
        "together": rate(TEXTS, &ours),
        "llama_cpp": rate(TEXTS, &theirs),
        "alone": rate(1, &one),
    })
}
