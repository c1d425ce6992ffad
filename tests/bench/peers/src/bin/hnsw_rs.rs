//! `hnsw_rs`: 16 neighbours, 200 candidates while building, as its own examples for vectors of this length have it.

use std::path::Path;

use anndists::dist::{DistDot, distances::l2_normalize};
use hnsw_rs::prelude::{AnnT as _, Hnsw, HnswIo};
use kwaainet_bench_peers::{BREADTHS, Index, K, Vectors};

const NEIGHBOURS: usize = 16;
const LAYERS: usize = 16;
const BREADTH_OF_CONSTRUCTION: usize = 200;
const NAME: &str = "index";

struct HnswRs(Hnsw<'static, f32, DistDot>);

fn unit(vector: &[f32]) -> Vec<f32> {
    let mut vector = vector.to_vec();
    l2_normalize(&mut vector);
    vector
}

impl Index for HnswRs {
    fn upload(dir: &Path, vectors: &Vectors) -> HnswRs {
        let all: Vec<Vec<f32>> = vectors.iter().map(unit).collect();
        let mut index = Hnsw::new(NEIGHBOURS, all.len(), LAYERS, BREADTH_OF_CONSTRUCTION, DistDot {});
        let rows: Vec<(&Vec<f32>, usize)> = all.iter().zip(0..).collect();
        index.parallel_insert(&rows);
        index.set_searching_mode(true);
        index.file_dump(dir, NAME).unwrap();
        kwaainet_bench_peers::sync(dir);
        HnswRs(index)
    }

    fn open(dir: &Path, _: &Vectors) -> HnswRs {
        // What is loaded borrows from its loader.
        let loader = Box::leak(Box::new(HnswIo::new(dir, NAME)));
        let mut index: Hnsw<'static, f32, DistDot> = loader.load_hnsw().unwrap();
        index.set_searching_mode(true);
        HnswRs(index)
    }

    fn search(&self, question: &[f32], effort: usize) -> Vec<u64> {
        let found = self.0.search(&unit(question), K, BREADTHS[effort]);
        found.into_iter().map(|neighbour| neighbour.d_id as u64).collect()
    }
}

fn main() {
    kwaainet_bench_peers::main::<HnswRs>();
}
