//! The local index, as it is measured beside others.

use std::path::Path;

use kwaai_core::store::Store;
use kwaai_core::vector::{IndexOptions, Precision, Search, VectorIndex};

use crate::served::{Index, K, Vectors};

/// By how much effort a search makes.
const PRECISIONS: [Precision; 2] = [Precision::Fast, Precision::Exact];

pub struct Local(VectorIndex);

impl Local {
    fn make(dir: &Path, vectors: &Vectors) -> VectorIndex {
        let store = Store::open(dir).unwrap();
        VectorIndex::open(&store, "bench", vectors.dimension, IndexOptions::default()).unwrap()
    }
}

impl Index for Local {
    fn upload(dir: &Path, vectors: &Vectors) -> Local {
        let index = Local::make(dir, vectors);
        index.upsert((0..).zip(vectors.iter().map(<[f32]>::to_vec)).collect()).unwrap();
        Local(index)
    }

    fn open(dir: &Path, vectors: &Vectors) -> Local {
        Local(Local::make(dir, vectors))
    }

    fn search(&self, question: &[f32], effort: usize) -> Vec<u64> {
        let search = Search { precision: PRECISIONS[effort.min(1)], ..Search::best(K) };
        self.0.search(question, &search).unwrap().into_iter().map(|hit| hit.id).collect()
    }
}
