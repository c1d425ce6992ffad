use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::ErrorCode;

const DIMENSION: usize = 16;
const SMALL: IndexOptions = IndexOptions { metric: Metric::Cosine, seal_at: 60 };

fn random(random: &mut StdRng) -> Vec<f32> {
    (0..DIMENSION).map(|_| random.random_range(-1.0f32..1.0)).collect()
}

/// Vectors around a few centres, as texts about a few topics are.
fn clustered(count: u64, seed: u64) -> Vec<(u64, Vec<f32>)> {
    let mut source = StdRng::seed_from_u64(seed);
    let centres: Vec<Vec<f32>> = (0..20).map(|_| random(&mut source)).collect();
    (0..count)
        .map(|id| {
            let centre = &centres[source.random_range(0..centres.len())];
            let noise = random(&mut source);
            (id * 7 + 1, centre.iter().zip(noise).map(|(centre, noise)| centre + 0.4 * noise).collect())
        })
        .collect()
}

fn index(store: &Store, options: IndexOptions) -> VectorIndex {
    VectorIndex::open(store, "test", DIMENSION, options).unwrap()
}

fn exact(vectors: &[(u64, Vec<f32>)]) -> VectorIndex {
    let store = Store::in_memory().unwrap();
    let index = index(&store, IndexOptions { seal_at: usize::MAX, ..SMALL });
    index.upsert(vectors.to_vec()).unwrap();
    index
}

fn ids(found: &[Neighbour]) -> Vec<u64> {
    found.iter().map(|neighbour| neighbour.id).collect()
}

#[test]
fn chosen_vectors_have_the_scores_that_a_search_gives_them() {
    let vectors = clustered(400, 3);
    let index = exact(&vectors);
    index.delete(&[vectors[5].0]).unwrap();
    let query = vectors[0].1.iter().map(|value| value + 0.2).collect::<Vec<f32>>();
    let found = index.search(&query, &Search::best(400)).unwrap();
    let asked: Vec<u64> = vectors.iter().rev().step_by(3).map(|(id, _)| *id).chain([vectors[5].0, 2]).collect();
    let scores = index.scores(&query, &asked).unwrap();
    let wanted: Vec<u64> = asked.iter().copied().filter(|id| *id != vectors[5].0 && *id != 2).collect();
    assert_eq!(scores.len(), wanted.len());
    for (id, score) in scores {
        let same = found.iter().find(|neighbour| neighbour.id == id).unwrap();
        assert!(wanted.contains(&id) && same.score.to_bits() == score.to_bits(), "{id}");
    }
    assert_eq!(index.scores(&[0.5], &asked).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[test]
fn a_sealed_index_finds_what_an_exact_scan_finds() {
    // More than a search in the graph keeps, so that it has to find its way.
    let vectors = clustered(400, 1);
    let exact = exact(&vectors);
    let store = Store::in_memory().unwrap();
    let sealed = index(&store, SMALL);
    sealed.upsert(vectors).unwrap();
    assert!(sealed.seal_if_due().unwrap());
    assert_eq!(sealed.sealed_len(), 400);
    let (mut found, mut wanted) = (0, 0);
    for (_, query) in
        clustered(100, 1).iter().map(|(id, vector)| (id, vector.iter().map(|v| v + 0.1).collect::<Vec<f32>>()))
    {
        let truth = ids(&exact.search(&query, &Search::best(10)).unwrap());
        let answer = ids(&sealed.search(&query, &Search::best(10)).unwrap());
        wanted += truth.len();
        found += truth.iter().filter(|id| answer.contains(id)).count();
    }
    let recall = f64::from(found as u32) / f64::from(wanted as u32);
    assert!(recall >= 0.95, "recall {recall}");
}

#[test]
fn what_is_added_or_deleted_after_sealing_counts_at_once() {
    let vectors = clustered(80, 2);
    let store = Store::in_memory().unwrap();
    let index = index(&store, SMALL);
    index.upsert(vectors.clone()).unwrap();
    index.seal_if_due().unwrap();
    let query = vectors[5].1.clone();
    assert_eq!(index.search(&query, &Search::best(1)).unwrap()[0].id, vectors[5].0);
    index.delete(&[vectors[5].0]).unwrap();
    assert!(!ids(&index.search(&query, &Search::best(100)).unwrap()).contains(&vectors[5].0));
    index.upsert(vec![(3, query.clone())]).unwrap();
    assert_eq!(index.search(&query, &Search::best(1)).unwrap()[0].id, 3);
    assert_eq!(index.len(), 80);
}

#[test]
fn an_opened_index_answers_as_before_it_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = clustered(90, 3);
    let queries: Vec<Vec<f32>> = clustered(20, 4).into_iter().map(|(_, vector)| vector).collect();
    let answers =
        |index: &VectorIndex| queries.iter().map(|q| index.search(q, &Search::best(10)).unwrap()).collect::<Vec<_>>();
    let store = Store::open(dir.path()).unwrap();
    let first = index(&store, SMALL);
    first.upsert(vectors[..80].to_vec()).unwrap();
    first.seal_if_due().unwrap();
    first.upsert(vectors[80..].to_vec()).unwrap();
    first.delete(&[vectors[0].0, vectors[9].0, vectors[89].0]).unwrap();
    let before = answers(&first);
    let second = index(&store, SMALL);
    assert_eq!(second.sealed_len(), 0, "it is searched by a scan at first");
    assert_eq!(answers(&second), before);
    let written = std::fs::read(dir.path().join("vectors-test.segment")).unwrap();
    assert!(second.seal_if_due().unwrap());
    assert_eq!(second.sealed_len(), 78);
    assert!(std::fs::read(dir.path().join("vectors-test.segment")).unwrap() == written, "it was read, not rebuilt");
    assert_eq!(answers(&second), before);
}

#[test]
fn a_damaged_missing_or_foreign_graph_is_rebuilt_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let vectors = clustered(70, 5);
    let first = index(&store, SMALL);
    first.upsert(vectors.clone()).unwrap();
    first.seal_if_due().unwrap();
    let path = dir.path().join("vectors-test.segment");
    let written = std::fs::read(&path).unwrap();
    let answer = first.search(&vectors[1].1, &Search::best(20)).unwrap();
    let mut flipped = written.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [flipped, written[..written.len() - 7].to_vec(), b"something else".to_vec(), Vec::new()] {
        std::fs::write(&path, damaged).unwrap();
        let again = index(&store, SMALL);
        assert!(again.seal_if_due().unwrap());
        assert_eq!(again.sealed_len(), 70);
        assert_eq!(again.search(&vectors[1].1, &Search::best(20)).unwrap(), answer);
        assert!(std::fs::read(&path).unwrap() == written, "the same graph was written again");
    }
    std::fs::remove_file(&path).unwrap();
    let again = index(&store, SMALL);
    again.seal_if_due().unwrap();
    assert_eq!(again.search(&vectors[1].1, &Search::best(20)).unwrap(), answer);
}

#[test]
fn a_graph_older_than_the_database_never_brings_back_what_was_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let vectors = clustered(70, 6);
    let first = index(&store, SMALL);
    first.upsert(vectors.clone()).unwrap();
    first.seal_if_due().unwrap();
    let path = dir.path().join("vectors-test.segment");
    let old = std::fs::read(&path).unwrap();
    first.delete(&[vectors[2].0]).unwrap();
    first.upsert(vec![(vectors[3].0, vectors[4].1.clone())]).unwrap();
    std::fs::write(&path, old).unwrap();
    let again = index(&store, SMALL);
    again.seal_if_due().unwrap();
    assert!(!ids(&again.search(&vectors[2].1, &Search::best(50)).unwrap()).contains(&vectors[2].0));
    let both = ids(&again.search(&vectors[4].1, &Search::best(2)).unwrap());
    assert!(both.contains(&vectors[3].0) && both.contains(&vectors[4].0));
}

#[test]
fn so_many_hits_as_there_are_and_no_absurd_number_of_them() {
    let vectors = clustered(40, 7);
    let index = exact(&vectors);
    for k in [0, MAX_HITS + 1, usize::MAX] {
        let error = index.search(&vectors[0].1, &Search::best(k)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
    assert_eq!(index.search(&vectors[0].1, &Search::best(MAX_HITS)).unwrap().len(), 40);
    let store = Store::in_memory().unwrap();
    assert!(self::index(&store, SMALL).search(&vectors[0].1, &Search::best(5)).unwrap().is_empty());
}

#[test]
fn equal_scores_are_ordered_by_id() {
    let one = vec![1.0; DIMENSION];
    let index = exact(&[(9, one.clone()), (2, one.clone()), (5, one.clone())]);
    assert_eq!(ids(&index.search(&one, &Search::best(2)).unwrap()), [2, 5]);
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_is_stored() {
    let store = Store::in_memory().unwrap();
    let index = index(&store, SMALL);
    let good = vec![0.5; DIMENSION];
    for bad in [vec![1.0; 3], vec![0.0; DIMENSION], vec![f32::NAN; DIMENSION], vec![f32::INFINITY; DIMENSION]] {
        let error = index.upsert(vec![(1, good.clone()), (2, bad.clone())]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert_eq!(index.search(&bad, &Search::best(1)).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    assert!(index.is_empty());
    assert!(self::index(&store, SMALL).is_empty());
}

#[test]
fn a_collection_keeps_its_dimension() {
    let store = Store::in_memory().unwrap();
    index(&store, SMALL);
    let error = VectorIndex::open(&store, "test", DIMENSION + 1, SMALL).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(error.context().contains_key("remedy"));
    assert!(VectorIndex::open(&store, "other", DIMENSION + 1, SMALL).is_ok());
    assert!(VectorIndex::open(&store, "no/slash", 3, SMALL).is_err());
    assert!(VectorIndex::open(&store, "zero", 0, SMALL).is_err());
}

#[test]
fn an_aborted_transaction_changes_nothing() {
    let store = Store::in_memory().unwrap();
    let index = index(&store, SMALL);
    let result: Result<()> = store.write(|transaction| {
        let _staged = index.stage(transaction, &[], vec![(1, vec![0.5; DIMENSION])])?;
        Err(Error::cancelled("no"))
    });
    assert!(result.is_err());
    assert!(index.is_empty() && self::index(&store, SMALL).is_empty());
}

#[test]
fn a_closed_index_is_held_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let vectors = clustered(300, 9);
    for _ in 0..30 {
        let store = Store::open(dir.path()).expect("whoever builds a graph lets go of a closed index");
        let index = index(&store, SMALL);
        index.upsert(vectors.clone()).unwrap();
        index.seal_in_background();
        index.close();
        assert!(!index.seal_if_due().unwrap(), "a closed index gets no graph");
    }
}
