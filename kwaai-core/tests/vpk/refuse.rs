//! What owners and hosts refuse.

use std::sync::{LazyLock, Mutex};

use kwaai_core::ErrorCode;
use kwaai_core::vpk::split::SplitOwner;
use kwaai_core::vpk::{CollectionKey, Metric, Mode, SegmentStamp, Step};
use proptest::prelude::*;

use crate::world::{Random, World};

const PRIVATE: [Mode; 2] = [Mode::Seal, Mode::Split];

fn world(mode: Mode) -> World {
    let mut world = World::new(mode, 12);
    world.add(&Random(4).corpus(30, 12));
    world
}

#[test]
fn an_owner_takes_only_vectors_of_its_quantizer() {
    for mode in Mode::ALL {
        let world = world(mode);
        let code = |vectors: &[Vec<i32>]| world.owner.seal(vectors).unwrap_err().code();
        assert_eq!(code(&[]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[vec![1; 11]]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[vec![10_000; 12]]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[vec![i32::MIN; 12]]), ErrorCode::InvalidArgument);
        let asked = world.owner.ask(&[1; 13], &world.segments).err().unwrap();
        assert_eq!(asked.code(), ErrorCode::InvalidArgument);
    }
    let key = CollectionKey::generate().unwrap();
    for (hosts, colluding) in [(2, 1), (3, 0), (4, 2), (17, 2)] {
        let refused = SplitOwner::new(&key, 12, Metric::Cosine, hosts, colluding).err().unwrap();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    }
}

#[test]
fn a_host_says_what_it_does_not_have() {
    for mode in Mode::ALL {
        let mut world = world(mode);
        let stamp = world.segments[0];
        let kept = world.hosts[0].fetch(&stamp).unwrap();
        assert_eq!(world.hosts[0].store(&kept).unwrap_err().code(), ErrorCode::AlreadyExists);
        let other = SegmentStamp { vectors: stamp.vectors + 1, ..stamp };
        assert_eq!(world.hosts[0].fetch(&other).unwrap_err().code(), ErrorCode::NotFound);
        assert_eq!(world.hosts[0].remove(&other).unwrap_err().code(), ErrorCode::NotFound);
        let query = vec![1; 12];
        let part = world.owner.ask(&query, &[stamp, other]).unwrap().parts.swap_remove(0);
        assert_eq!(world.hosts[0].answer(&part).unwrap_err().code(), ErrorCode::Conflict);
        world.hosts[0].remove(&stamp).unwrap();
        let part = world.owner.ask(&query, &[stamp]).unwrap().parts.swap_remove(0);
        assert_eq!(world.hosts[0].answer(&part).unwrap_err().code(), ErrorCode::Conflict);
        let mut wider = World::new(mode, 13);
        assert_eq!(wider.hosts[0].store(&kept).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    let mut seal = world(Mode::Seal);
    seal.hosts[0] = Box::new(kwaai_core::vpk::seal::SealHost::new(12).unwrap());
    let part = seal.owner.ask(&[1; 12], &[]).unwrap().parts.swap_remove(0);
    assert_eq!(seal.hosts[0].answer(&part).unwrap_err().code(), ErrorCode::NotFound, "the session is unknown");
}

#[test]
fn bytes_of_another_mode_kind_or_version_are_refused() {
    let (seal, split) = (world(Mode::Seal), world(Mode::Split));
    let bytes = seal.hosts[0].fetch(&seal.segments[0]).unwrap();
    let mut host = World::new(Mode::Split, 12).hosts.swap_remove(0);
    assert_eq!(host.store(&bytes).unwrap_err().code(), ErrorCode::CorruptData);
    let mut newer = split.hosts[0].fetch(&split.segments[0]).unwrap();
    newer[4] = 2;
    assert_eq!(host.store(&newer).unwrap_err().code(), ErrorCode::Unsupported);
    assert_eq!(host.answer(&newer).unwrap_err().code(), ErrorCode::CorruptData);
}

static WORLDS: LazyLock<[Mutex<World>; 2]> = LazyLock::new(|| PRIVATE.map(|mode| Mutex::new(world(mode))));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_bytes_make_a_host_fall(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6),
    ) {
        for world in WORLDS.iter() {
            let mut world = world.lock().unwrap();
            let session = world.owner.session().unwrap().swap_remove(0);
            // Changed keys may have been admitted as another session's, and pushed this one out.
            world.hosts[0].admit(&session).unwrap();
            let segment = world.hosts[0].fetch(&world.segments[0]).unwrap();
            let question = world.owner.ask(&[1; 12], &world.segments).unwrap();
            let reply = world.hosts[0].answer(&question.parts[0]).unwrap();
            let stored = world.segments[0];
            for valid in [&session, &segment, &question.parts[0], &reply, &noise] {
                let mut changed = valid.clone();
                if !changed.is_empty() {
                    flips.iter().for_each(|(at, flip)| { let at = at.index(changed.len()); changed[at] ^= flip; });
                }
                let cut = if valid.is_empty() { 0 } else { cut.index(valid.len()) };
                for bytes in [&changed[..], &valid[..cut], &[&valid[..], &noise].concat()] {
                    if world.hosts[0].store(bytes).is_ok() {
                        // Only the numbers or the name were changed.
                        let named = SegmentStamp { nonce: bytes[6..30].try_into().unwrap(), ..stored };
                        world.hosts[0].remove(&named).unwrap();
                    }
                    let _ = world.hosts[0].admit(bytes);
                    let _ = world.hosts[0].answer(bytes);
                }
            }
        }
    }
}

#[test]
fn split_answers_from_the_fastest_and_names_the_liar() {
    let dimension = 24;
    let corpus = Random(6).corpus(50, dimension);
    let mut world = World::new(Mode::Split, dimension);
    world.add(&corpus);
    let query = Random(7).vector(dimension);
    let truth = world.ask(&query).exact;
    let vector = world.owner.quantizer().quantize(&query).unwrap().values;
    for liar in 0..5 {
        for late in (0..5).filter(|late| *late != liar) {
            let mut question = world.owner.ask(&vector, &world.segments).unwrap();
            // The liar is the first to answer, and the late host never does.
            let mut order: Vec<usize> = (0..5).filter(|host| *host != late && *host != liar).collect();
            order.insert(0, liar);
            let mut steps = Vec::new();
            for host in order {
                let mut reply = world.hosts[host].answer(&question.parts[host]).unwrap();
                if host == liar {
                    reply[20] ^= 1;
                }
                steps.push(question.opening.offer(host, &reply).unwrap());
            }
            assert!(steps[..3].iter().all(|step| *step == Step::Wait));
            let Step::Done(scores) = &steps[3] else { panic!("four replies with one wrong are enough") };
            assert_eq!(scores.exact, truth);
            assert_eq!(scores.liars, [liar]);
        }
    }
}

#[test]
fn a_session_is_not_used_again_after_a_wrong_answer() {
    let world = world(Mode::Seal);
    let vector = vec![1; 12];
    let mut question = world.owner.ask(&vector, &world.segments).unwrap();
    let mut reply = world.hosts[0].answer(&question.parts[0]).unwrap();
    let last = reply.len() - 1;
    reply[last] ^= 0x40;
    assert_eq!(question.opening.offer(0, &reply).unwrap_err().code(), ErrorCode::CorruptData);
    let refused = world.owner.ask(&vector, &world.segments).err().unwrap();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
}
