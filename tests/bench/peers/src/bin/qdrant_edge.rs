//! `qdrant-edge`, with its own defaults. What was uploaded is found by comparing until its graph is built, which is timed by itself.

use std::path::Path;

use kwaainet_bench_peers::{BREADTHS, Index, K, Vectors};
use qdrant_edge::{
    DEFAULT_VECTOR_NAME, Distance, EdgeConfigBuilder, EdgeShard, EdgeVectorParamsBuilder, NamedQuery, PointId,
    PointInsertOperations, PointOperations, PointStructPersisted, QueryEnum, SearchParams, SearchRequest,
    UpdateOperation, VectorStructPersisted,
};

/// Points of one operation.
const BATCH: usize = 5_000;

struct Qdrant(EdgeShard);

impl Index for Qdrant {
    fn upload(dir: &Path, vectors: &Vectors) -> Qdrant {
        let vector = EdgeVectorParamsBuilder::new(vectors.dimension, Distance::Cosine).build();
        let shard = EdgeShard::new(dir, EdgeConfigBuilder::new().vector(DEFAULT_VECTOR_NAME, vector).build()).unwrap();
        let points: Vec<PointStructPersisted> = vectors
            .iter()
            .zip(0..)
            .map(|(vector, id)| PointStructPersisted {
                id: PointId::NumId(id),
                vector: VectorStructPersisted::Single(vector.to_vec()),
                payload: None,
            })
            .collect();
        for batch in points.chunks(BATCH) {
            let points = PointInsertOperations::PointsList(batch.to_vec());
            shard.update(UpdateOperation::PointOperation(PointOperations::UpsertPoints(points))).unwrap();
        }
        shard.flush().unwrap();
        Qdrant(shard)
    }

    fn settle(&mut self) {
        self.0.optimize().unwrap();
        self.0.flush().unwrap();
    }

    fn open(dir: &Path, _: &Vectors) -> Qdrant {
        Qdrant(EdgeShard::load(dir, None).unwrap())
    }

    fn search(&self, question: &[f32], effort: usize) -> Vec<u64> {
        let query = QueryEnum::Nearest(NamedQuery::default_dense(question.to_vec()));
        let params = SearchParams { hnsw_ef: Some(BREADTHS[effort]), ..SearchParams::default() };
        let found = self.0.search(SearchRequest { params: Some(params), ..SearchRequest::new(query, K) }).unwrap();
        let id = |id| match id {
            PointId::NumId(id) => id,
            PointId::Uuid(id) => panic!("{id} was not put in"),
        };
        found.into_iter().map(|point| id(point.id)).collect()
    }
}

fn main() {
    kwaainet_bench_peers::main::<Qdrant>();
}
