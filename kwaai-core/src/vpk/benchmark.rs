//! What private vectors cost on this machine and at these hosts: how well they are found, how fast, and with how many bytes.
//!
//! The vectors are random and the same for the same seed. What is found is compared with an exact search on this machine, never
//! with another index. Each row is measured at collections that the benchmark makes, and deletes again, whatever becomes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Map;

use super::collection::{Collection, CollectionConfig, Item};
use super::random::Uniform;
use super::split::MAX_HOSTS;
use super::{HostName, MAX_DIMENSION, Metric, Mode, Placement, Vpk};
use crate::blocking::blocking;
use crate::event::{self, Sender, Stream};
use crate::vector::dot;
use crate::{Error, Result};

/// What the names of its collections begin with; no other collection's does.
pub(super) const PREFIX: &str = "kwaainet.benchmark.";

/// How many neighbours are looked for.
const NEIGHBOURS: usize = 10;
/// The most sizes in one run, vectors in one size, numbers in all vectors, and questions.
const MAX_SIZES: usize = 8;
const MAX_VECTORS: usize = 100_000;
const MAX_NUMBERS: usize = 40_000_000;
const MAX_QUESTIONS: usize = 1000;
/// Vectors that go in with one call.
const BATCH: usize = 1000;
/// Steps that nobody has read yet; there are at most 2 · 8 · 7 of them.
const EVENTS: usize = 128;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkConfig {
    /// How many vectors: a row of each kind for each size.
    pub sizes: Vec<usize>,
    /// How many coordinates each vector has.
    pub dimension: usize,
    /// How they are hidden. Where none is named, all that are possible with so many hosts.
    pub modes: Vec<Mode>,
    /// Who keeps them. Each mode is measured at the first of them, and at all of them; [`Mode::Split`], which needs three, at all
    /// of them alone. Without any only the search on this machine is measured.
    pub hosts: Vec<HostName>,
    /// How many questions are asked for each row.
    pub questions: usize,
    /// What vectors and questions are made from.
    pub seed: u64,
}

impl Default for BenchmarkConfig {
    fn default() -> BenchmarkConfig {
        let (modes, hosts) = Default::default();
        BenchmarkConfig { sizes: vec![1000, 10_000], dimension: 384, modes, hosts, questions: 100, seed: 1 }
    }
}

/// How far a benchmark is.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkStep {
    /// How many rows are measured.
    pub done: usize,
    /// How many rows there will be.
    pub of: usize,
    /// What was measured, or is being measured now, for people.
    pub about: String,
    /// The row, when it is measured; `None` when its measurement begins.
    pub row: Option<BenchmarkRow>,
}

/// What was measured of one kind of search.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchmarkRow {
    /// How the vectors were hidden; `None` for the exact search on this machine, in one thread.
    pub mode: Option<Mode>,
    /// How many hosts kept them; 0 on this machine.
    pub hosts: usize,
    /// How many there were.
    pub vectors: usize,
    /// How many coordinates each had.
    pub dimension: usize,
    /// Which part of the ten nearest was found, from 0 to 1, on average.
    pub recall: f64,
    /// How long half of the searches took at most.
    pub p50: Duration,
    /// How long all but one in a hundred took at most.
    pub p99: Duration,
    /// How long it took until all vectors were on the owner's disk, from which moment on they are found; 0 on this machine.
    pub durable: Duration,
    /// How long it took until the hosts had all of them and answered the first question; 0 on this machine.
    pub searchable: Duration,
    /// The bytes of a question to each host.
    pub question_bytes: usize,
    /// The bytes of each host's reply.
    pub reply_bytes: usize,
}

/// A row that is to be measured: where, unless on this machine.
struct Plan {
    vectors: usize,
    at: Option<(Mode, Vec<HostName>)>,
}

/// What everything is measured with. The vectors have length 1.
struct Corpus {
    dimension: usize,
    vectors: Vec<f32>,
    questions: Vec<f32>,
}

impl Vpk {
    /// Measures searches on this machine, at one host and at several, and says of each how good and how dear it is. Dropping the
    /// stream, or cancelling it, ends the benchmark; what it made is deleted then as well, and what a run before it had to leave behind.
    ///
    /// # Errors
    /// `invalid_argument` for sizes beyond 100,000 vectors, 40 million numbers or 1,000 questions, and modes that these hosts cannot
    /// do; `busy` while another benchmark of this node runs. The stream ends with the error of a host that does not take or answer
    /// what it should, or cannot be told to delete it.
    pub fn benchmark(&self, config: BenchmarkConfig) -> Result<Stream<BenchmarkStep>> {
        let plans = plans(&config)?;
        let turn = self.benchmarking().try_lock_owned();
        let turn = turn.map_err(|_| Error::busy("another benchmark is running").with_remedy("wait for its end"))?;
        let (events, stream) = event::channel(EVENTS);
        let vpk = self.clone();
        tokio::spawn(async move {
            let cancel = events.cancellation();
            let run = async {
                vpk.forget_benchmarks().await?;
                vpk.run(config, plans, &events).await
            };
            let outcome = cancel.run_until_cancelled(run).await;
            let deleted = vpk.forget_benchmarks().await;
            events.finish(outcome.unwrap_or_else(|| Err(Error::cancelled("the benchmark was cancelled"))).and(deleted));
            drop(turn);
        });
        Ok(stream)
    }

    async fn run(&self, config: BenchmarkConfig, plans: Vec<Plan>, events: &Sender<BenchmarkStep>) -> Result<()> {
        let most = config.sizes.iter().copied().max().unwrap_or_default();
        let (dimension, questions, seed) = (config.dimension, config.questions, config.seed);
        let corpus = Arc::new(blocking(move || Corpus::new(seed, dimension, most, questions)).await?);
        let of = plans.len();
        let mut exact: Option<(usize, Arc<Vec<Vec<u64>>>)> = None;
        for (done, plan) in plans.into_iter().enumerate() {
            let about = plan.about();
            events.send(BenchmarkStep { done, of, about: about.clone(), row: None });
            let row = match (&plan.at, &exact) {
                (Some((mode, hosts)), Some((vectors, nearest))) if *vectors == plan.vectors => {
                    self.measure(done, *mode, hosts, plan.vectors, &corpus, nearest).await?
                }
                _ => {
                    let (here, vectors) = (corpus.clone(), plan.vectors);
                    let (nearest, row) = blocking(move || Ok(here.measure(vectors))).await?;
                    exact = Some((vectors, Arc::new(nearest)));
                    row
                }
            };
            events.send(BenchmarkStep { done: done + 1, of, about, row: Some(row) });
        }
        Ok(())
    }

    async fn measure(
        &self,
        number: usize,
        mode: Mode,
        hosts: &[HostName],
        vectors: usize,
        corpus: &Corpus,
        exact: &[Vec<u64>],
    ) -> Result<BenchmarkRow> {
        let collection = self.make_for_benchmark(&format!("{PREFIX}{number}"), mode, hosts, corpus.dimension).await?;
        let began = Instant::now();
        for start in (0..vectors).step_by(BATCH) {
            let ids = start..(start + BATCH).min(vectors);
            let items = ids.map(|id| Item::new(id as u64, corpus.vector(id).to_vec())).collect();
            collection.upsert(items).await?;
        }
        let durable = began.elapsed();
        collection.flush().await?;
        ask(&collection, corpus.question(0)).await?;
        let searchable = began.elapsed();
        let (mut times, mut recall) = (Vec::with_capacity(exact.len()), 0.0);
        for (at, nearest) in exact.iter().enumerate() {
            let began = Instant::now();
            let found = ask(&collection, corpus.question(at)).await?;
            times.push(began.elapsed());
            recall += recalled(nearest, &found) / exact.len() as f64;
        }
        let (question_bytes, reply_bytes) = collection.sizes();
        collection.destroy().await?;
        let (p50, p99) = percentiles(times);
        let (mode, dimension) = (Some(mode), corpus.dimension);
        let hosts = hosts.len();
        Ok(BenchmarkRow {
            mode,
            hosts,
            vectors,
            dimension,
            recall,
            p50,
            p99,
            durable,
            searchable,
            question_bytes,
            reply_bytes,
        })
    }

    async fn make_for_benchmark(
        &self,
        name: &str,
        mode: Mode,
        hosts: &[HostName],
        dimension: usize,
    ) -> Result<Collection> {
        let (hosts, colluding) = (hosts.to_vec(), usize::from(mode == Mode::Split));
        let placement = Placement::default();
        let metric = Metric::Cosine;
        self.make(name, CollectionConfig { mode, dimension, metric, hosts, colluding, placement }).await
    }

    /// Deletes what a benchmark has made, here and at the hosts.
    async fn forget_benchmarks(&self) -> Result<()> {
        let mut failed = Ok(());
        for name in self.collections().await?.iter().filter(|name| name.starts_with(PREFIX)) {
            if let Err(error) = self.destroy(name).await {
                failed =
                    Err(error.with_remedy("destroy the collection when its hosts can be reached").with("name", name));
            }
        }
        failed
    }
}

impl Plan {
    fn about(&self) -> String {
        let Plan { vectors, at } = self;
        match at {
            None => format!("{vectors} vectors on this machine"),
            Some((mode, hosts)) if hosts.len() == 1 => format!("{vectors} vectors under {mode} at one host"),
            Some((mode, hosts)) => format!("{vectors} vectors under {mode} at {} hosts", hosts.len()),
        }
    }
}

fn plans(config: &BenchmarkConfig) -> Result<Vec<Plan>> {
    let BenchmarkConfig { sizes, dimension, modes, hosts, questions, .. } = config;
    let refused = |message: String| Err(Error::invalid_argument(message));
    if sizes.is_empty() || sizes.len() > MAX_SIZES {
        return refused(format!("a benchmark has 1 to {MAX_SIZES} sizes"));
    }
    if !(1..=MAX_DIMENSION).contains(dimension) {
        return refused(format!("vectors have 1 to {MAX_DIMENSION} dimensions"));
    }
    let most = MAX_VECTORS.min(MAX_NUMBERS / dimension);
    if let Some(size) = sizes.iter().find(|size| !(1..=most).contains(*size)) {
        return refused(format!("a benchmark has 1 to {most} vectors of {dimension} dimensions, not {size}"));
    }
    if !(1..=MAX_QUESTIONS).contains(questions) {
        return refused(format!("a benchmark asks 1 to {MAX_QUESTIONS} questions"));
    }
    if hosts.len() > MAX_HOSTS || hosts.iter().collect::<BTreeSet<_>>().len() < hosts.len() {
        return refused(format!("a benchmark has at most {MAX_HOSTS} hosts, each once"));
    }
    let needed = |mode: &Mode| if *mode == Mode::Split { 3 } else { 1 };
    if let Some(mode) = modes.iter().find(|mode| needed(mode) > hosts.len()) {
        return refused(format!("{mode} needs at least {} hosts", needed(mode)));
    }
    let every = [Mode::Plain, Mode::Seal, Mode::Split];
    let modes =
        every.iter().filter(|mode| if modes.is_empty() { needed(mode) <= hosts.len() } else { modes.contains(mode) });
    let modes: Vec<Mode> = modes.copied().collect();
    let mut plans = Vec::new();
    for vectors in sizes.iter().copied().collect::<BTreeSet<_>>() {
        plans.push(Plan { vectors, at: None });
        let counts = BTreeSet::from([1, hosts.len()]);
        for (count, mode) in counts.iter().flat_map(|count| modes.iter().map(move |mode| (*count, *mode))) {
            if count >= needed(&mode) {
                plans.push(Plan { vectors, at: Some((mode, hosts[..count].to_vec())) });
            }
        }
    }
    Ok(plans)
}

impl Corpus {
    fn new(seed: u64, dimension: usize, vectors: usize, questions: usize) -> Result<Corpus> {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let rows = |nonce: u8, count: usize| -> Result<Vec<f32>> {
            let mut numbers = Uniform::keyed(&key, &[nonce; 24], 1 << 24);
            let mut rows = Vec::with_capacity(count * dimension);
            for _ in 0..count {
                let start = rows.len();
                for _ in 0..dimension {
                    rows.push(numbers.next()? as f32 / (1 << 23) as f32 - 1.0);
                }
                let length = rows[start..].iter().map(|number| number * number).sum::<f32>().sqrt();
                // A vector of zeros has no direction.
                match length > 0.0 {
                    true => rows[start..].iter_mut().for_each(|number| *number /= length),
                    false => rows[start] = 1.0,
                }
            }
            Ok(rows)
        };
        Ok(Corpus { dimension, vectors: rows(1, vectors)?, questions: rows(2, questions)? })
    }

    fn vector(&self, id: usize) -> &[f32] {
        &self.vectors[id * self.dimension..][..self.dimension]
    }

    fn question(&self, at: usize) -> &[f32] {
        &self.questions[at * self.dimension..][..self.dimension]
    }

    /// The nearest of the first so many vectors to each question, and what finding them took.
    fn measure(&self, vectors: usize) -> (Vec<Vec<u64>>, BenchmarkRow) {
        let (mut times, mut nearest) = (Vec::new(), Vec::new());
        for question in self.questions.chunks_exact(self.dimension) {
            let began = Instant::now();
            let rows = self.vectors.chunks_exact(self.dimension).take(vectors);
            let mut scored: Vec<(f32, u64)> = rows.zip(0..).map(|(row, id)| (dot(row, question), id)).collect();
            let order = |a: &(f32, u64), b: &(f32, u64)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            if scored.len() > NEIGHBOURS {
                scored.select_nth_unstable_by(NEIGHBOURS, order);
                scored.truncate(NEIGHBOURS);
            }
            scored.sort_unstable_by(order);
            times.push(began.elapsed());
            nearest.push(scored.into_iter().map(|(_, id)| id).collect());
        }
        let (p50, p99) = percentiles(times);
        let row = BenchmarkRow {
            mode: None,
            hosts: 0,
            vectors,
            dimension: self.dimension,
            recall: 1.0,
            p50,
            p99,
            durable: Duration::ZERO,
            searchable: Duration::ZERO,
            question_bytes: 0,
            reply_bytes: 0,
        };
        (nearest, row)
    }
}

async fn ask(collection: &Collection, question: &[f32]) -> Result<Vec<u64>> {
    let found = collection.search(question, NEIGHBOURS, &Map::new()).await?;
    Ok(found.hits.into_iter().map(|hit| hit.id).collect())
}

fn recalled(nearest: &[u64], found: &[u64]) -> f64 {
    nearest.iter().filter(|id| found.contains(id)).count() as f64 / nearest.len() as f64
}

/// The time that half of them stay within, and the one that 99 in a hundred do.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let within = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    (within(50), within(99))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn the_vectors_belong_to_the_seed_and_the_nearest_are_exact() {
        let corpus = Corpus::new(7, 20, 300, 5).unwrap();
        let again = Corpus::new(7, 20, 300, 5).unwrap();
        assert_eq!((&corpus.vectors, &corpus.questions), (&again.vectors, &again.questions));
        assert_ne!(corpus.vectors, Corpus::new(8, 20, 300, 5).unwrap().vectors);
        let (nearest, row) = corpus.measure(300);
        assert_eq!((row.recall, row.vectors, row.hosts, row.mode), (1.0, 300, 0, None));
        for (at, found) in nearest.iter().enumerate() {
            let exactly = |id: usize| -> f64 {
                let pairs = corpus.vector(id).iter().zip(corpus.question(at));
                pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let mut ids: Vec<usize> = (0..300).collect();
            ids.sort_by(|a, b| exactly(*b).total_cmp(&exactly(*a)));
            assert_eq!(*found, ids[..10].iter().map(|id| *id as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn percentiles_are_times_that_so_many_stay_within() {
        let times = |count: u64| (1..=count).rev().map(Duration::from_millis).collect();
        let of = |count| percentiles(times(count));
        assert_eq!(of(100), (Duration::from_millis(50), Duration::from_millis(99)));
        assert_eq!(of(1), (Duration::from_millis(1), Duration::from_millis(1)));
        assert_eq!(of(3), (Duration::from_millis(2), Duration::from_millis(3)));
        assert_eq!(recalled(&[1, 2, 3, 4], &[4, 2, 9]), 0.5);
    }

    #[test]
    fn absurd_sizes_are_refused_and_rows_are_planned_by_size_hosts_and_mode() {
        let hosts: Vec<HostName> = (0..3)
            .map(|seed| {
                HostName::Peer(crate::identity::Keypair::from_seed([seed; 32]).did().unwrap().to_peer_id().unwrap())
            })
            .collect();
        let base = BenchmarkConfig { sizes: vec![20, 10], hosts: hosts.clone(), ..BenchmarkConfig::default() };
        let about: Vec<String> = plans(&base).unwrap().iter().skip(1).take(5).map(Plan::about).collect();
        assert_eq!(
            about,
            [
                "10 vectors under plain at one host",
                "10 vectors under seal at one host",
                "10 vectors under plain at 3 hosts",
                "10 vectors under seal at 3 hosts",
                "10 vectors under split at 3 hosts",
            ]
        );
        assert_eq!(plans(&BenchmarkConfig { hosts: vec![], ..base.clone() }).unwrap().len(), 2);
        let one = hosts[..1].to_vec();
        for wrong in [
            BenchmarkConfig { sizes: vec![], ..base.clone() },
            BenchmarkConfig { sizes: vec![1; 9], ..base.clone() },
            BenchmarkConfig { sizes: vec![0], ..base.clone() },
            BenchmarkConfig { sizes: vec![100_001], ..base.clone() },
            BenchmarkConfig { sizes: vec![50_000], dimension: 2048, ..base.clone() },
            BenchmarkConfig { dimension: 0, ..base.clone() },
            BenchmarkConfig { dimension: 1 << 20, ..base.clone() },
            BenchmarkConfig { questions: 0, ..base.clone() },
            BenchmarkConfig { questions: 1001, ..base.clone() },
            BenchmarkConfig { hosts: [one.clone(), one.clone()].concat(), ..base.clone() },
            BenchmarkConfig { hosts: one, modes: vec![Mode::Split], ..base.clone() },
            BenchmarkConfig { hosts: vec![], modes: vec![Mode::Plain], ..base },
        ] {
            assert_eq!(plans(&wrong).err().unwrap().code(), ErrorCode::InvalidArgument, "{wrong:?}");
        }
    }
}
