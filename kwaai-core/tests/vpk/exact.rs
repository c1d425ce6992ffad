//! The same hits as an exact search in the clear.

use kwaai_core::vpk::{CollectionKey, Metric, Mode, Owner, seal::SealOwner, split::SplitOwner};

use crate::world::{Random, World, best, cosine};

#[test]
fn scores_are_exact_in_whole_numbers_and_find_what_an_exact_search_finds() {
    for mode in Mode::ALL {
        let (mut found, mut wanted) = (0, 0);
        for dimension in [256, 384, 768, 1024, 100, 1] {
            let mut random = Random(7 + dimension as u64);
            let corpus = random.corpus(300, dimension);
            let mut world = World::new(mode, dimension);
            // Segments of different sizes, one of them a single vector.
            for batch in [&corpus[..1], &corpus[1..200], &corpus[200..]] {
                world.add(batch);
            }
            let stored = world.quantized(&corpus);
            for number in 0..5 {
                let near = &corpus[number * 50];
                let query: Vec<f32> = near.iter().map(|value| value + 0.3 * random.normal() * value.abs()).collect();
                let scores = world.ask(&query).exact.concat();
                let whole = world.owner.quantizer().quantize(&query).unwrap().values;
                let exact: Vec<i64> = stored
                    .iter()
                    .map(|row| row.iter().zip(&whole).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum())
                    .collect();
                assert_eq!(scores, exact, "{mode} with {dimension} dimensions");
                let worst = world.owner.quantizer().worst_error();
                for (score, vector) in scores.iter().zip(&corpus) {
                    let off = (world.owner.quantizer().cosine(*score) - cosine(&query, vector)).abs();
                    assert!(off <= worst + 1e-9, "{mode} with {dimension} dimensions is off by {off}");
                }
                if dimension > 1 {
                    let truth = best(corpus.iter().map(|vector| cosine(&query, vector)), 10);
                    let ours = best(scores.iter().map(|score| *score as f64), 10);
                    found += truth.iter().filter(|place| ours.contains(place)).count();
                    wanted += truth.len();
                }
            }
        }
        assert!(found * 100 >= wanted * 99, "{mode} found {found} of {wanted}");
    }
}

#[test]
fn blocks_and_segments_need_not_end_together() {
    let dimension = 8;
    let mut random = Random(3);
    let corpus = random.corpus(4500, dimension);
    let mut world = World::new(Mode::Seal, dimension);
    for batch in [&corpus[..4000], &corpus[4000..4100], &corpus[4100..]] {
        world.add(batch);
    }
    let query = random.vector(dimension);
    let whole = world.owner.quantizer().quantize(&query).unwrap().values;
    let exact = |rows: &[Vec<f32>]| -> Vec<i64> {
        let rows = world.quantized(rows);
        rows.iter().map(|row| row.iter().zip(&whole).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum()).collect()
    };
    let before = [exact(&corpus[..4000]), exact(&corpus[4000..4100]), exact(&corpus[4100..])];
    assert_eq!(world.ask(&query).exact, before);

    let gone = world.segments.remove(1);
    world.hosts[0].remove(&gone).unwrap();
    assert_eq!(world.ask(&query).exact, [&before[0][..], &before[2][..]]);
}

#[test]
fn a_question_and_its_reply_are_as_long_as_stated() {
    let mut world = World::new(Mode::Seal, 384);
    world.add(&Random(1).corpus(10, 384));
    let vector = world.owner.quantizer().quantize(&Random(2).vector(384)).unwrap().values;
    let question = world.owner.ask(&vector, &world.segments).unwrap();
    let reply = world.hosts[0].answer(&question.parts[0]).unwrap();
    let head = 6;
    assert_eq!(question.parts[0].len(), head + 16 + 32 + 4 + 3 * (32 + 36_864));
    assert!(question.parts[0].len() <= 120_000);
    let block = reply.len() - head - 4;
    assert_eq!(block, 36_864);
    // 50,000 vectors in one segment are 13 blocks.
    assert!(head + 4 + 50_002usize.div_ceil(4096) * block <= 500_000);
    assert!(world.owner.session().unwrap()[0].len() <= 230_000);

    let mut world = World::new(Mode::Split, 384);
    world.add(&Random(1).corpus(10, 384));
    let vector = world.owner.quantizer().quantize(&Random(2).vector(384)).unwrap().values;
    let question = world.owner.ask(&vector, &world.segments).unwrap();
    assert_eq!(question.parts[0].len(), head + 32 + 4 + 384 * 4);
    assert_eq!(world.hosts[0].answer(&question.parts[0]).unwrap().len(), head + 4 + 12 * 4);
}

#[test]
fn a_segment_can_be_read_back_and_sealed_under_the_next_key_without_embedding_again() {
    let dimension = 48;
    let corpus = Random(5).corpus(40, dimension);
    let old = CollectionKey::generate().unwrap();
    let new = old.next_epoch().unwrap();
    let owners = |key: &CollectionKey| -> [Box<dyn Owner>; 2] {
        [
            Box::new(SealOwner::new(key, dimension, Metric::Cosine).unwrap()),
            Box::new(SplitOwner::new(key, dimension, Metric::Cosine, 5, 2).unwrap()),
        ]
    };
    for (before, after) in owners(&old).into_iter().zip(owners(&new)) {
        let vectors: Vec<Vec<i32>> =
            corpus.iter().map(|vector| before.quantizer().quantize(vector).unwrap().values).collect();
        let upload = before.seal(&vectors).unwrap();
        let mut kept: Vec<Option<Vec<u8>>> = upload.parts.into_iter().map(Some).collect();
        if kept.len() == 5 {
            // One host is gone and one hands out something else.
            kept[1] = None;
            kept[3].as_mut().unwrap()[100] ^= 1;
        }
        let read = before.unseal(&upload.stamp, &kept).unwrap();
        assert_eq!(read, vectors);
        let again = after.seal(&read).unwrap();
        let parts: Vec<Option<Vec<u8>>> = again.parts.into_iter().map(Some).collect();
        assert_eq!(after.unseal(&again.stamp, &parts).unwrap(), vectors);
        assert!(before.unseal(&again.stamp, &parts).is_err(), "the old key does not open what the new one sealed");
        kept.iter_mut().flatten().for_each(|part| part[60] ^= 1);
        assert!(before.unseal(&upload.stamp, &kept).is_err(), "what was changed is not read");
    }
}
