//! The index beside a list that is searched one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadableTable, TableDefinition};

use super::*;
use crate::ErrorCode;

const METRICS: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::Euclidean];

fn options(metric: Metric) -> IndexOptions {
    IndexOptions { metric, seal_at: usize::MAX }
}

fn random(source: &mut StdRng, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| source.random_range(-1.0f32..1.0)).collect()
}

/// What comparing with every vector finds.
fn one_by_one(kept: &BTreeMap<u64, Vec<f32>>, metric: Metric, query: &[f32], k: usize) -> Vec<Neighbour> {
    let query = metric.prepare(query.to_vec(), query.len()).unwrap();
    let score = |(id, vector): (&u64, &Vec<f32>)| {
        let vector = metric.prepare(vector.clone(), query.len()).unwrap();
        Neighbour { id: *id, score: metric.score(&query, &vector) }
    };
    let mut all: Vec<Neighbour> = kept.iter().map(score).collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    all.truncate(k);
    all
}

fn exactly(k: usize) -> Search<'static> {
    Search { precision: Precision::Exact, ..Search::best(k) }
}

#[test]
fn an_exact_search_finds_what_comparing_with_every_vector_finds() {
    let mut source = StdRng::seed_from_u64(11);
    for (metric, dimension) in METRICS.into_iter().flat_map(|metric| [1, 3, 64, 100, 384].map(|d| (metric, d))) {
        let store = Store::in_memory().unwrap();
        let index = VectorIndex::open(&store, "test", dimension, options(metric)).unwrap();
        let mut kept = BTreeMap::new();
        for id in 0..400 {
            // Lengths differ by a million, some vectors are equal, and one is nothing but one large number.
            let length = 10f32.powi(source.random_range(-3..3));
            let mut vector: Vec<f32> = random(&mut source, dimension).iter().map(|value| value * length).collect();
            match id {
                100..110 => vector = vec![0.25; dimension],
                110 => vector[dimension - 1] = 1e6,
                _ => {}
            }
            kept.insert(id, vector);
        }
        index.upsert(kept.clone().into_iter().collect()).unwrap();
        for k in [1, 10, 399, 1000] {
            for query in [random(&mut source, dimension), kept[&105].clone(), kept[&110].clone()] {
                let found = index.search(&query, &exactly(k)).unwrap();
                assert_eq!(found, one_by_one(&kept, metric, &query, k), "{metric:?} {dimension} {k}");
            }
        }
    }
}

#[test]
fn a_thousand_random_changes_leave_what_a_list_would_have() {
    let mut source = StdRng::seed_from_u64(12);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let dimension = 300;
    let open = || VectorIndex::open(&store, "test", dimension, options(Metric::Euclidean)).unwrap();
    let mut index = open();
    let mut kept: BTreeMap<u64, Vec<f32>> = BTreeMap::new();
    for step in 0..1000 {
        let count = source.random_range(1..12);
        let ids: Vec<u64> = (0..count).map(|_| source.random_range(0..600)).collect();
        let put: Vec<(u64, Vec<f32>)> = ids.iter().map(|id| (*id, random(&mut source, dimension))).collect();
        match source.random_range(0..10) {
            0..5 => {
                index.upsert(put.clone()).unwrap();
                kept.extend(put);
            }
            5..8 => {
                index.delete(&ids).unwrap();
                ids.iter().for_each(|id| drop(kept.remove(id)));
            }
            8 => {
                // Removed and put in by one change, and seen before it is applied.
                let gone: Vec<u64> = kept.keys().copied().take(5).collect();
                let staged = store.write(|transaction| index.stage(transaction, &gone, put.clone())).unwrap();
                gone.iter().for_each(|id| drop(kept.remove(id)));
                kept.extend(put);
                if step % 2 == 0 {
                    index.apply(staged);
                } else {
                    index.search(&vec![0.5; dimension], &exactly(3)).unwrap();
                }
            }
            _ => index = open(),
        }
        let query = random(&mut source, dimension);
        let found = index.search(&query, &exactly(7)).unwrap();
        if step % 5 == 0 || kept.len() < 20 {
            assert_eq!(found, one_by_one(&kept, Metric::Euclidean, &query, 7), "step {step}");
            let id = source.random_range(0..600);
            assert_eq!(index.get(id).unwrap().as_ref(), kept.get(&id), "step {step}");
        }
    }
    let found = open().search(&vec![0.0; dimension], &exactly(1000)).unwrap();
    assert_eq!(found, one_by_one(&kept, Metric::Euclidean, &vec![0.0; dimension], 1000));
}

#[test]
fn a_filter_leaves_the_best_of_those_it_allows() {
    let mut source = StdRng::seed_from_u64(13);
    let store = Store::in_memory().unwrap();
    let index = VectorIndex::open(&store, "test", 32, options(Metric::Cosine)).unwrap();
    let kept: BTreeMap<u64, Vec<f32>> = (0..2000).map(|id| (id, random(&mut source, 32))).collect();
    index.upsert(kept.clone().into_iter().collect()).unwrap();
    let allowed: std::collections::HashSet<u64> = (0..2000).filter(|id| id % 97 == 5).collect();
    let filtered: BTreeMap<u64, Vec<f32>> = kept.into_iter().filter(|(id, _)| allowed.contains(id)).collect();
    let filter = |id: u64| allowed.contains(&id);
    for precision in [Precision::Exact, Precision::Best, Precision::Fast] {
        let query = random(&mut source, 32);
        let found = index.search(&query, &Search { k: 30, precision, filter: Some(&filter) }).unwrap();
        assert_eq!(found, one_by_one(&filtered, Metric::Cosine, &query, 30), "{precision:?}");
    }
}

#[test]
fn a_fast_search_of_vectors_that_lie_in_groups_finds_nearly_all() {
    let mut source = StdRng::seed_from_u64(14);
    let store = Store::in_memory().unwrap();
    let index = VectorIndex::open(&store, "test", 384, options(Metric::Cosine)).unwrap();
    let centres: Vec<Vec<f32>> = (0..200).map(|_| random(&mut source, 384)).collect();
    let near = |source: &mut StdRng| -> Vec<f32> {
        let centre = &centres[source.random_range(0..centres.len())];
        centre.iter().map(|value| value + source.random_range(-0.5f32..0.5)).collect()
    };
    let vectors: Vec<(u64, Vec<f32>)> = (0..4000).map(|id| (id, near(&mut source))).collect();
    index.upsert(vectors).unwrap();
    let mut right = 0;
    for _ in 0..50 {
        let query = near(&mut source);
        let truth = index.search(&query, &exactly(10)).unwrap();
        let found = index.search(&query, &Search { precision: Precision::Fast, ..exactly(10) }).unwrap();
        right += found.iter().filter(|hit| truth.contains(hit)).count();
    }
    assert!(right >= 495, "{right} of 500");
}

#[test]
fn what_cannot_be_compared_is_told_by_metric() {
    let store = Store::in_memory().unwrap();
    let euclidean = VectorIndex::open(&store, "test", 2, options(Metric::Euclidean)).unwrap();
    euclidean.upsert(vec![(1, vec![0.0, 0.0]), (2, vec![3.0, 4.0])]).unwrap();
    let found = euclidean.search(&[0.0, 0.0], &exactly(2)).unwrap();
    assert_eq!(found, [Neighbour { id: 1, score: 0.0 }, Neighbour { id: 2, score: -5.0 }]);
    let error = euclidean.upsert(vec![(3, vec![2e18, 0.0])]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert_eq!(euclidean.len(), 2);
    let other = VectorIndex::open(&store, "test", 2, options(Metric::Dot)).err().unwrap();
    assert_eq!(other.code(), ErrorCode::Conflict);
}

/// The rows of every table of a small index, as they lie in the database.
fn laid_out(store: &Store) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    store
        .read(|transaction| {
            let mut lines = Vec::new();
            let indexes = transaction.open_table(TableDefinition::<&str, (u32, u8, u64)>::new("vector.indexes"))?;
            lines.extend(
                indexes
                    .iter()?
                    .map(|row| row.map(|(name, row)| format!("{} {:?}", name.value(), row.value())).unwrap()),
            );
            let places = transaction.open_table(TableDefinition::<u64, u32>::new("vector.test.places"))?;
            lines.extend(
                places
                    .iter()?
                    .map(|row| row.map(|(id, place)| format!("{} at {}", id.value(), place.value())).unwrap()),
            );
            for name in ["vector.test.rows", "vector.test.codes"] {
                let table = transaction.open_table(TableDefinition::<u32, &[u8]>::new(name))?;
                lines.extend(
                    table
                        .iter()?
                        .map(|row| row.map(|(at, bytes)| format!("{} {}", at.value(), hex(bytes.value()))).unwrap()),
                );
            }
            Ok(lines.join("\n"))
        })
        .unwrap()
}

fn small(store: &Store) -> VectorIndex {
    let index = VectorIndex::open(store, "test", 2, options(Metric::Dot)).unwrap();
    index.upsert(vec![(7, vec![1.0, -2.0]), (8, vec![0.5, 0.25]), (9, vec![0.0, 4.0])]).unwrap();
    index.delete(&[7]).unwrap();
    index
}

#[test]
fn an_index_lies_in_the_database_as_it_is_written_down() {
    let store = Store::in_memory().unwrap();
    drop(small(&store));
    assert_eq!(laid_out(&store), include_str!("../../../tests/golden/vector_index.txt").trim_end());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fuzz_damaged_blocks_are_corrupt_data_or_read(
        name in prop_oneof![Just("vector.test.rows"), Just("vector.test.codes")],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in 0usize..90,
    ) {
        let store = Store::in_memory().unwrap();
        drop(small(&store));
        store.write(|transaction| {
            let mut table = transaction.open_table(TableDefinition::<u32, &[u8]>::new(name))?;
            let mut bytes = table.get(0)?.map(|bytes| bytes.value().to_vec()).unwrap();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if length < 80 {
                bytes.resize(length, 1);
            }
            table.insert(0, bytes.as_slice())?;
            Ok(())
        }).unwrap();
        let found = VectorIndex::open(&store, "test", 2, options(Metric::Dot))
            .and_then(|index| index.search(&[1.0, 1.0], &exactly(2)));
        match found {
            Ok(found) => prop_assert!(found.len() <= 2),
            Err(error) => prop_assert_eq!(error.code(), ErrorCode::CorruptData),
        }
    }
}
