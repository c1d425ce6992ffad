//! What private knowledge costs, one JSON object for each case. `vpk [VECTORS [DIMENSION]]`; 50,000 × 384 by
//! default. The first two cases run on one thread, where the time of a host of `split` is that of one. The third is five
//! hosts on loopback sockets.
//!
//! `vpk nodes VECTORS DIMENSION` is each mode at one host and at several, as near as loopback and as far as other continents.
//!
//! `vpk embed TEXTS VECTORS` writes the vectors of texts that are given as a JSON array, `vpk random COUNT DIMENSION SEED VECTORS`
//! random ones, and `vpk index VECTORS QUESTIONS DIMENSION` is the local index over them, which is told on standard input what to do.

mod embed;
mod index;
mod nodes;
mod served;
#[path = "../../tests/support/slow_line.rs"]
mod slow_line;

use kwaai_core::vpk::seal::{SealHost, SealOwner};
use kwaai_core::vpk::split::SplitOwner;
use kwaai_core::vpk::{CollectionKey, FieldHost, Host, Metric, Owner, Step};
use serde_json::{Value, json};
use served::{Vectors, milliseconds};

const QUESTIONS: usize = 20;
const SEGMENT: usize = 8192;

/// Xorshift: the same vectors on every run.
struct Random(u64);

impl Random {
    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / (1u32 << 24) as f32 - 0.5
        };
        (0..dimension).map(|_| next() + next() + next()).collect()
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn best(scores: impl IntoIterator<Item = f64>) -> Vec<usize> {
    let mut ranked: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.into_iter().take(10).map(|(place, _)| place).collect()
}

fn measure(owner: &dyn Owner, mut hosts: Vec<Box<dyn Host>>, corpus: &[Vec<f32>], dimension: usize) -> Value {
    let vectors: Vec<Vec<i32>> =
        corpus.iter().map(|vector| owner.quantizer().quantize(vector).unwrap().values).collect();
    let session = owner.session().unwrap();
    hosts.iter_mut().zip(&session).for_each(|(host, keys)| host.admit(keys).unwrap());
    let (seal_ms, uploads) =
        milliseconds(|| vectors.chunks(SEGMENT).map(|batch| owner.seal(batch).unwrap()).collect::<Vec<_>>());
    let upload: usize = uploads.iter().map(|upload| upload.parts[0].len()).sum();
    let (store_ms, ()) = milliseconds(|| {
        for upload in &uploads {
            hosts.iter_mut().zip(&upload.parts).for_each(|(host, part)| host.store(part).unwrap());
        }
    });
    let segments: Vec<_> = uploads.into_iter().map(|upload| upload.stamp).collect();
    let lengths: Vec<f64> =
        corpus.iter().map(|v| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()).collect();
    let (mut ask, mut answer, mut open) = (Vec::new(), Vec::new(), Vec::new());
    let (mut query_bytes, mut reply_bytes, mut found, mut wrong) = (0, 0, 0, 0);
    let mut random = Random(77);
    for _ in 0..QUESTIONS {
        let vector = random.vector(dimension);
        let whole = owner.quantizer().quantize(&vector).unwrap().values;
        let (ms, mut question) = milliseconds(|| owner.ask(&whole, &segments).unwrap());
        ask.push(ms);
        query_bytes = question.parts[0].len();
        let mut opening = 0.0;
        for (number, host) in hosts.iter().enumerate() {
            let (ms, reply) = milliseconds(|| host.answer(&question.parts[number]).unwrap());
            answer.push(ms);
            reply_bytes = reply.len();
            let (ms, step) = milliseconds(|| question.opening.offer(number, &reply).unwrap());
            opening += ms;
            if let Step::Done(scores) = step {
                let scores = scores.exact.concat();
                let exact = vectors
                    .iter()
                    .map(|row| row.iter().zip(&whole).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>());
                wrong += scores.iter().zip(exact).filter(|(ours, exact)| **ours != *exact).count();
                let cosine = corpus.iter().zip(&lengths).map(|(row, length)| {
                    row.iter().zip(&vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / length
                });
                let truth = best(cosine);
                found += best(scores.iter().map(|score| *score as f64)).iter().filter(|at| truth.contains(at)).count();
                break;
            }
        }
        open.push(opening);
    }
    json!({
        "mode": owner.mode().as_str(), "vectors": corpus.len(), "dimension": dimension, "hosts": hosts.len(),
        "host_ms": median(answer), "ask_ms": median(ask), "open_ms": median(open), "seal_ms": seal_ms,
        "store_ms": store_ms / hosts.len() as f64, "upload_bytes": upload, "session_bytes": session[0].len(),
        "query_bytes": query_bytes, "reply_bytes": reply_bytes, "wrong_scores": wrong,
        "recall_at_10": found as f64 / (10 * QUESTIONS) as f64,
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["embed", texts, vectors] => embed::embed(texts.as_ref(), vectors.as_ref()),
        ["random", count, dimension, seed, vectors] => {
            let [count, dimension, seed] = [count, dimension, seed].map(|number| number.parse().unwrap());
            let mut random = Random(seed as u64);
            Vectors::write(vectors.as_ref(), (0..count).map(|_| random.vector(dimension)));
        }
        ["index", vectors, questions, dimension] => {
            served::serve::<index::Local>(vectors.as_ref(), questions.as_ref(), dimension.parse().unwrap());
        }
        ["nodes", count, dimension] => {
            let (count, dimension) = (count.parse().unwrap(), dimension.parse().unwrap());
            runtime().block_on(nodes::near_and_far(&corpus(count, dimension), dimension, |row| println!("{row}")));
        }
        _ => private_search(&arguments),
    }
}

fn corpus(count: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut random = Random(42);
    (0..count).map(|_| random.vector(dimension)).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn private_search(arguments: &[&str]) {
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let count = numbers.first().copied().unwrap_or(50_000);
    let dimension = numbers.get(1).copied().unwrap_or(384);
    let corpus = corpus(count, dimension);
    let key = CollectionKey::generate().unwrap();

    let owner = SealOwner::new(&key, dimension, Metric::Cosine).unwrap();
    println!("{}", measure(&owner, vec![Box::new(SealHost::new(dimension).unwrap())], &corpus, dimension));
    let owner = SplitOwner::new(&key, dimension, Metric::Cosine, 3, 1).unwrap();
    let hosts = (0..3).map(|_| -> Box<dyn Host> { Box::new(FieldHost::split(dimension).unwrap()) }).collect();
    println!("{}", measure(&owner, hosts, &corpus, dimension));
    println!("{}", runtime().block_on(nodes::one_late_and_one_lying(&corpus, dimension)));
}
