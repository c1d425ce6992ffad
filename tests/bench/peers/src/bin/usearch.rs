//! `usearch`, with its own defaults for building.

use std::path::Path;

use kwaainet_bench_peers::{BREADTHS, Index, K, Vectors};
use usearch::{IndexOptions, MetricKind, ScalarKind};

struct Usearch(usearch::Index);

fn make(dimensions: usize) -> usearch::Index {
    let options =
        IndexOptions { dimensions, metric: MetricKind::Cos, quantization: ScalarKind::F32, ..IndexOptions::default() };
    usearch::Index::new(&options).unwrap()
}

const FILE: &str = "index";

impl Index for Usearch {
    fn upload(dir: &Path, vectors: &Vectors) -> Usearch {
        let index = make(vectors.dimension);
        let threads = std::thread::available_parallelism().unwrap().get();
        index.reserve_capacity_and_threads(vectors.iter().len(), threads).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let index = &index;
                scope.spawn(move || {
                    for (id, vector) in vectors.iter().enumerate().skip(thread).step_by(threads) {
                        index.add(id as u64, vector).unwrap();
                    }
                });
            }
        });
        index.save(dir.join(FILE).to_str().unwrap()).unwrap();
        kwaainet_bench_peers::sync(dir);
        Usearch(index)
    }

    fn open(dir: &Path, vectors: &Vectors) -> Usearch {
        let index = make(vectors.dimension);
        index.load(dir.join(FILE).to_str().unwrap()).unwrap();
        Usearch(index)
    }

    fn search(&self, question: &[f32], effort: usize) -> Vec<u64> {
        self.0.change_expansion_search(BREADTHS[effort]);
        self.0.search(question, K).unwrap().keys
    }
}

fn main() {
    kwaainet_bench_peers::main::<Usearch>();
}
