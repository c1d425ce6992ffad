//! What a curious host can do with all that it keeps and sees.
//!
//! Each attack is also run against something that falls to it: a secret rotation, or shares of one host more than was allowed.
//! An attack that fails everywhere would show nothing.

use kwaai_core::vpk::{CollectionKey, Metric, Mode, Owner, seal::SealOwner, split::SplitOwner};

use crate::world::{Random, World, cosine};

const DIMENSION: usize = 32;
const KNOWN: usize = 128;
const OTHERS: usize = 256;

/// Where the numbers of a segment begin: the header, nonce, count and dimension.
const SEGMENT_HEAD: usize = 6 + 24 + 8;
const SEAL_PRIME: u32 = 16_760_833;
const SPLIT_PRIME: u32 = 33_554_393;

fn numbers(bytes: &[u8], width: usize) -> Vec<u32> {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    bytes.chunks_exact(width).map(word).collect()
}

/// Stored rows as a host sees them, centred and scaled.
fn seen(part: &[u8], width: usize, prime: u32) -> Vec<Vec<f32>> {
    let numbers = numbers(&part[SEGMENT_HEAD..], width);
    numbers
        .chunks_exact(DIMENSION)
        .map(|row| row.iter().map(|value| *value as f32 / prime as f32 - 0.5).collect())
        .collect()
}

/// Solves `(AᵀA + λ)X = AᵀB`: the linear map from what is seen to what is known that fits best.
fn fit(seen: &[Vec<f32>], known: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let (width, outputs) = (seen[0].len(), known[0].len());
    let mut system = vec![vec![0f64; width + outputs]; width];
    for (row, target) in seen.iter().zip(known) {
        for at in 0..width {
            for other in 0..width {
                system[at][other] += f64::from(row[at]) * f64::from(row[other]);
            }
            for output in 0..outputs {
                system[at][width + output] += f64::from(row[at]) * f64::from(target[output]);
            }
        }
    }
    for (at, row) in system.iter_mut().enumerate() {
        row[at] += 1e-6;
    }
    for pivot in 0..width {
        let best = (pivot..width).max_by(|a, b| system[*a][pivot].abs().total_cmp(&system[*b][pivot].abs())).unwrap();
        system.swap(pivot, best);
        let scale = system[pivot][pivot];
        system[pivot].iter_mut().for_each(|value| *value /= scale);
        let row = system[pivot].clone();
        for (at, other) in system.iter_mut().enumerate() {
            if at != pivot {
                let factor = other[pivot];
                other.iter_mut().zip(&row).for_each(|(value, pivot)| *value -= factor * pivot);
            }
        }
    }
    system.into_iter().map(|row| row[width..].to_vec()).collect()
}

/// How many of the unknown rows an attacker recognises in a list of all the documents, who knows the first of them.
fn recognised(seen: &[Vec<f32>], documents: &[Vec<f32>]) -> usize {
    let map = fit(&seen[..KNOWN], &documents[..KNOWN]);
    let guess = |row: &Vec<f32>| -> Vec<f32> {
        (0..DIMENSION)
            .map(|at| row.iter().zip(&map).map(|(x, map)| f64::from(*x) * map[at]).sum::<f64>() as f32)
            .collect()
    };
    let candidates = &documents[KNOWN..];
    seen[KNOWN..KNOWN + OTHERS]
        .iter()
        .enumerate()
        .filter(|(place, row)| {
            let guess = guess(row);
            let best = (0..candidates.len())
                .max_by(|a, b| cosine(&guess, &candidates[*a]).total_cmp(&cosine(&guess, &candidates[*b])));
            best == Some(*place)
        })
        .count()
}

fn documents(random: &mut Random) -> Vec<Vec<f32>> {
    (0..KNOWN + OTHERS).map(|_| random.vector(DIMENSION)).collect()
}

/// Chance is one in 256 for each of 256 rows; more than ten by luck happens once in a hundred million times.
const BY_LUCK: usize = 10;

#[test]
fn known_pairs_break_a_secret_rotation_and_tell_nothing_about_masks_and_shares() {
    let mut random = Random(11);
    let documents = documents(&mut random);
    // An orthogonal matrix, by Gram and Schmidt.
    let mut rotation: Vec<Vec<f32>> = Vec::new();
    for _ in 0..DIMENSION {
        let mut row = random.vector(DIMENSION);
        for other in &rotation {
            let along: f32 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        rotation.push(row.iter().map(|value| value / length).collect());
    }
    let turn = |v: &Vec<f32>| rotation.iter().map(|row| row.iter().zip(v).map(|(a, b)| a * b).sum()).collect();
    let rotated: Vec<Vec<f32>> = documents.iter().map(turn).collect();
    assert!(recognised(&rotated, &documents) >= OTHERS - 2, "the attack works where it must");

    let mut seal = World::new(Mode::Seal, DIMENSION);
    let stamp = seal.add(&documents);
    let rows = seen(&seal.hosts[0].fetch(&stamp).unwrap(), 3, SEAL_PRIME);
    let hits = recognised(&rows, &documents);
    assert!(hits <= BY_LUCK, "Seal: {hits} of {OTHERS}");

    let mut split = World::new(Mode::Split, DIMENSION);
    let stamp = split.add(&documents);
    for host in &split.hosts {
        let rows = seen(&host.fetch(&stamp).unwrap(), 4, SPLIT_PRIME);
        let hits = recognised(&rows, &documents);
        assert!(hits <= BY_LUCK, "Split: {hits} of {OTHERS}");
    }
}

#[test]
fn as_many_hosts_as_may_work_together_learn_nothing_and_one_more_learns_everything() {
    let documents = documents(&mut Random(12));
    let key = CollectionKey::generate().unwrap();
    let owner = SplitOwner::new(&key, DIMENSION, Metric::Cosine, 5, 2).unwrap();
    let vectors: Vec<Vec<i32>> =
        documents.iter().map(|vector| owner.quantizer().quantize(vector).unwrap().values).collect();
    let parts = owner.seal(&vectors).unwrap().parts;
    let prime = i64::from(SPLIT_PRIME);
    let shares: Vec<Vec<u32>> = parts.iter().map(|part| numbers(&part[SEGMENT_HEAD..], 4)).collect();
    // What would be the secret if the polynomials were of a lower degree, as f(0) = Σ λᵢ f(i).
    let combined = |factors: &[i64]| -> Vec<Vec<f32>> {
        let value = |at: usize| {
            let sum: i64 = factors.iter().zip(&shares).map(|(factor, share)| factor * i64::from(share[at])).sum();
            let value = sum.rem_euclid(prime);
            if value > prime / 2 { (value - prime) as f32 } else { value as f32 }
        };
        (0..shares[0].len()).map(value).collect::<Vec<f32>>().chunks_exact(DIMENSION).map(<[f32]>::to_vec).collect()
    };
    let two = recognised(&combined(&[2, -1]), &documents);
    assert!(two <= BY_LUCK, "two hosts: {two} of {OTHERS}");
    assert_eq!(recognised(&combined(&[3, -3, 1]), &documents), OTHERS, "three hosts read everything");
}

#[test]
fn what_a_host_sees_of_questions_tells_nothing_about_them() {
    let questions = documents(&mut Random(13));
    let key = CollectionKey::generate().unwrap();
    let owners: [(Box<dyn Owner>, usize); 2] = [
        (Box::new(SealOwner::new(&key, DIMENSION, Metric::Cosine).unwrap()), 6 + 16 + 32 + 4 + 32),
        (Box::new(SplitOwner::new(&key, DIMENSION, Metric::Cosine, 3, 1).unwrap()), 6 + 32 + 4),
    ];
    for (owner, head) in owners {
        let mut rows = Vec::new();
        for question in &questions {
            let vector = owner.quantizer().quantize(question).unwrap().values;
            let part = owner.ask(&vector, &[]).unwrap().parts.swap_remove(0);
            // The beginning of the ciphertext, or the shares.
            let seen = numbers(&part[head..head + 4 * DIMENSION], 4);
            rows.push(seen.into_iter().map(|value| value as f32 / u32::MAX as f32).collect());
        }
        let hits = recognised(&rows, &questions);
        assert!(hits <= BY_LUCK, "{}: {hits} of {OTHERS}", owner.mode());
    }
}

/// Chi-square over 256 equal intervals; with 255 degrees of freedom it exceeds 400 once in sixty million times.
fn chi_square(numbers: &[u32], prime: u32) -> f64 {
    let mut counts = [0f64; 256];
    numbers.iter().for_each(|number| counts[(f64::from(*number) / f64::from(prime) * 256.0) as usize] += 1.0);
    let expected = numbers.len() as f64 / 256.0;
    counts.iter().map(|count| (count - expected).powi(2) / expected).sum()
}

#[test]
fn stored_numbers_are_uniform_whatever_was_stored_and_equal_vectors_have_nothing_in_common() {
    let mut random = Random(14);
    let alike = vec![random.vector(DIMENSION); 2000];
    let different = random.corpus(2000, DIMENSION);
    for (mode, width, prime) in [(Mode::Seal, 3, SEAL_PRIME), (Mode::Split, 4, SPLIT_PRIME)] {
        for corpus in [&alike, &different] {
            let mut world = World::new(mode, DIMENSION);
            let stamp = world.add(corpus);
            let again = world.add(corpus);
            for host in &world.hosts {
                let (first, second) = (host.fetch(&stamp).unwrap(), host.fetch(&again).unwrap());
                let first = numbers(&first[SEGMENT_HEAD..], width);
                let second = numbers(&second[SEGMENT_HEAD..], width);
                let difference: Vec<u32> = first.iter().zip(&second).map(|(a, b)| (a + prime - b) % prime).collect();
                let neighbours: Vec<u32> =
                    first.iter().zip(&first[DIMENSION..]).map(|(a, b)| (a + prime - b) % prime).collect();
                for (what, numbers) in [("stored", &first), ("twice", &difference), ("neighbours", &neighbours)] {
                    let chi = chi_square(numbers, prime);
                    assert!(chi < 400.0, "{mode}, {what}: chi-square {chi}");
                }
            }
        }
    }
    let plain: Vec<u32> = (0..64_000).map(|at| (at % 3000) as u32).collect();
    assert!(chi_square(&plain, SEAL_PRIME) > 400.0, "the test tells numbers that are not uniform");
}

#[test]
fn equal_questions_look_different() {
    for mode in [Mode::Seal, Mode::Split] {
        let mut world = World::new(mode, DIMENSION);
        world.add(&Random(1).corpus(3, DIMENSION));
        let vector = world.owner.quantizer().quantize(&Random(2).vector(DIMENSION)).unwrap().values;
        let [first, second] = [(); 2].map(|()| world.owner.ask(&vector, &world.segments).unwrap().parts.swap_remove(0));
        assert_eq!(first.len(), second.len());
        let head = if mode == Mode::Seal { 6 + 16 + 32 + 4 } else { 6 + 32 + 4 };
        let same = first[head..].iter().zip(&second[head..]).filter(|(a, b)| a == b).count();
        let expected = (first.len() - head) / 256;
        // A share has 25 bits, so seven bits of each are always 0.
        let allowed = if mode == Mode::Seal { expected * 2 } else { (first.len() - head) / 4 };
        assert!(same <= allowed + 20, "{mode}: {same} bytes of {} agree", first.len() - head);
    }
}
