//! An index that is measured from outside: a line on standard input says what to do, an object on standard output what came of
//! it. Several such programs are asked in turn, so that what disturbs the machine disturbs all of them.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

/// The hits of a search.
pub const K: usize = 10;

/// Vectors of one length behind each other.
pub struct Vectors {
    pub dimension: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// From a file of 32-bit floats, lowest byte first.
    pub fn read(path: &Path, dimension: usize) -> Vectors {
        let bytes = std::fs::read(path).unwrap();
        let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        assert!(!values.is_empty() && values.len().is_multiple_of(dimension), "{} is no such file", path.display());
        Vectors { dimension, values }
    }

    /// Such a file, whole or not at all.
    pub fn write(path: &Path, vectors: impl IntoIterator<Item = Vec<f32>>) {
        let bytes: Vec<u8> = vectors.into_iter().flatten().flat_map(f32::to_le_bytes).collect();
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
        file.write_all(&bytes).unwrap();
        file.persist(path).unwrap();
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimension)
    }
}

pub trait Index: Sized {
    /// Makes an index of these vectors, whose ids are their places. On return they are found, and on the disk.
    fn upload(dir: &Path, vectors: &Vectors) -> Self;

    /// What more can be done so that searches are as fast as they get.
    fn settle(&mut self) {}

    /// Lets go of it.
    fn close(self) {}

    /// Opens what was uploaded.
    fn open(dir: &Path, vectors: &Vectors) -> Self;

    /// The ids of the best [`K`], with more effort when the number is larger.
    fn search(&self, question: &[f32], effort: usize) -> Vec<u64>;
}

/// Answers until standard input ends.
pub fn serve<I: Index>(vectors: &Path, questions: &Path, dimension: usize) {
    let (vectors, questions) = (Vectors::read(vectors, dimension), Vectors::read(questions, dimension));
    let mut kept: Option<(tempfile::TempDir, I)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["upload"] => {
                drop(kept.take());
                let dir = tempfile::tempdir().unwrap();
                let (ms, index) = milliseconds(|| I::upload(dir.path(), &vectors));
                kept = Some((dir, index));
                json!({ "seconds": ms / 1000.0 })
            }
            ["settle"] => {
                let (_, index) = kept.as_mut().expect("an upload before");
                json!({ "seconds": milliseconds(|| index.settle()).0 / 1000.0 })
            }
            ["reopen"] => {
                let (dir, index) = kept.take().expect("an upload before");
                index.close();
                let (ms, index) = milliseconds(|| I::open(dir.path(), &vectors));
                let question = questions.iter().next().expect("a question");
                let (first_ms, _) = milliseconds(|| index.search(question, 0));
                kept = Some((dir, index));
                json!({ "ms": ms, "first_ms": first_ms })
            }
            ["search", effort] => {
                let (_, index) = kept.as_ref().expect("an upload before");
                search(index, &questions, effort.parse().unwrap())
            }
            ["truth"] => {
                json!({ "found": questions.iter().map(|asked| one_by_one(&vectors, asked)).collect::<Vec<_>>() })
            }
            ["bandwidth"] => json!({ "gb_s": bandwidth() }),
            _ => panic!("{line:?} is not understood"),
        };
        println!("{answer}");
        std::io::stdout().flush().unwrap();
    }
}

fn search(index: &impl Index, questions: &Vectors, effort: usize) -> Value {
    let (mut times, mut found) = (Vec::new(), Vec::new());
    for question in questions.iter() {
        let (ms, ids) = milliseconds(|| index.search(question, effort));
        times.push(ms);
        found.push(ids);
    }
    times.sort_by(f64::total_cmp);
    json!({ "p50_ms": times[times.len() / 2], "p99_ms": times[times.len() * 99 / 100], "found": found })
}

/// The best by comparing with every vector, in 64 bits, equal scores by id.
fn one_by_one(vectors: &Vectors, question: &[f32]) -> Vec<u64> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let mut all: Vec<(f64, u64)> =
        vectors.iter().zip(0..).map(|(vector, id)| (dot(vector, question) / dot(vector, vector).sqrt(), id)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.into_iter().take(K).map(|(_, id)| id).collect()
}

/// How fast one thread reads memory, in gigabytes a second.
fn bandwidth() -> f64 {
    let words = vec![1u64; 32 << 20];
    let best = (0..5).map(|_| {
        milliseconds(|| std::hint::black_box(words.chunks(8).map(|line| line.iter().sum::<u64>()).sum::<u64>())).0
    });
    words.len() as f64 * 8.0 / 1e6 / best.fold(f64::INFINITY, f64::min)
}

pub fn milliseconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed().as_secs_f64() * 1000.0, value)
}
