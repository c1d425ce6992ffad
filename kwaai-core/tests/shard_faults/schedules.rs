//! Seeded schedules of faults, and some that are told apart.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use kwaai_core::ErrorCode;
use kwaai_core::shard::{LoadOptions, Route, ShardEngine};
use kwaai_core::trust::Outcome;
use libp2p::PeerId;

use super::host::{At, Fault, Host, Planned, caller};
use super::shard_support::{config, write_model};
use super::swarm::{PATIENCE, Swarm, read, request};

/// Every block has four hosts, so that three may fail.
const SPANS: [std::ops::Range<u32>; 8] = [0..2, 2..4, 0..3, 1..4, 0..2, 2..4, 0..1, 3..4];
/// Steps of the question and of the answer but for the last one, after which nothing is asked any more.
const STEPS: u64 = 3 + 22;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// One to three faults. Each kind is the first of some schedule; every third schedule strikes the replacement as well, most often
/// while it reads again what the first had read.
fn schedule(seed: u64) -> Vec<Planned> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    random.below(2);
    let first = Fault::ALL[seed as usize % Fault::ALL.len()];
    let at = |random: &mut Random| match random.below(10) {
        0 => At::Open,
        1 => At::Close,
        2 | 3 => At::Step(random.below(3) as u32),
        _ => At::Step(random.below(STEPS) as u32),
    };
    let block = random.below(4) as u32;
    let mut faults = vec![Planned { block, round: 0, at: at(&mut random), fault: first }];
    let any = |random: &mut Random| Fault::ALL[random.below(Fault::ALL.len() as u64) as usize];
    if seed % 3 == 2 {
        faults.push(Planned { block, round: 1, at: At::Step(random.below(STEPS) as u32), fault: any(&mut random) });
    }
    if seed % 4 == 3 {
        let (block, at, fault) = ((block + 2) % 4, at(&mut random), any(&mut random));
        faults.push(Planned { block, round: 0, at, fault });
    }
    // A host that knows no session yet forgets none.
    faults.iter_mut().filter(|planned| (planned.at, planned.fault) == (At::Open, Fault::Forgets)).for_each(|planned| {
        planned.at = At::Step(0);
    });
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_token_for_token_whatever_hosts_do_while_others_have_the_blocks() {
    let runs = std::env::var("KWAAINET_FAULTS").ok().map_or(32, |runs| runs.parse().unwrap());
    let mut swarm = Swarm::start(&SPANS).await;
    let undisturbed: u64 = {
        let before: u64 = swarm.computed().values().sum();
        let (answer, ended) = swarm.generate().await;
        ended.unwrap();
        assert_eq!(answer.said(), swarm.whole.said());
        swarm.computed().values().sum::<u64>() - before
    };
    let (_, usage, _) = swarm.whole.end.clone().unwrap();
    assert_eq!(usage.completion_tokens, 24, "the answer is as long as the schedules assume");
    assert_eq!(undisturbed, 4 * u64::from(usage.prompt_tokens + usage.completion_tokens - 1));
    swarm.policy.take();

    for seed in 0..runs {
        let faults = schedule(seed);
        swarm.schedule.set(faults.clone());
        let before = swarm.computed();
        let (answer, ended) = tokio::time::timeout(PATIENCE, swarm.generate()).await.expect("an end in time");
        let fired = swarm.schedule.fired();
        let context = format!("schedule {seed}: {faults:?}\nfired: {fired:?}\nended: {ended:?}");
        assert!(ended.is_ok(), "{context}");
        assert_eq!(answer.said(), swarm.whole.said(), "{context}");

        // Every block was computed once for every token, and beyond that only what the hosts that were left had computed.
        let after = swarm.computed();
        let of = |peer: &PeerId| after[peer] - before[peer];
        let computed: u64 = after.keys().map(of).sum();
        let left = fired.iter().filter(|fired| !fired.fault.is_borne() && fired.at != At::Close);
        let lost: u64 = left.map(|fired| fired.peer).collect::<BTreeSet<_>>().iter().map(of).sum();
        assert!(
            (undisturbed..=undisturbed + lost).contains(&computed),
            "{computed} of {undisturbed} + {lost}; {context}"
        );

        let dealings = swarm.policy.take();
        for fired in fired.iter().filter(|fired| !fired.fault.is_borne() && fired.at != At::Close) {
            assert!(answer.path().iter().all(|(peer, _)| *peer != fired.peer), "{fired:?}, {context}");
            let seen: Vec<_> = dealings.iter().filter(|(peer, _)| *peer == fired.peer).map(|(_, seen)| *seen).collect();
            if fired.fault.is_a_lie() && fired.at != At::Open {
                assert!(seen.contains(&Outcome::Bad), "{seen:?}, {context}");
            }
        }
        let honest = |peer: &_| fired.iter().all(|fired| fired.peer != *peer);
        assert!(dealings.iter().all(|(peer, seen)| !honest(peer) || *seen == Outcome::Good), "{dealings:?}, {context}");
        let ended = tokio::time::timeout(PATIENCE, swarm.until_no_session_is_left()).await;
        ended.unwrap_or_else(|_| panic!("a session is left; {context}"));
        swarm.settle().await;
    }
    swarm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_lost_span_is_computed_again_also_by_two_that_share_it_and_after_a_second_loss() {
    let mut swarm = Swarm::start(&[0..4, 0..2, 2..4, 1..4]).await;
    let tokens = u64::from(swarm.whole.end.as_ref().unwrap().1.prompt_tokens);
    swarm.schedule.set(vec![
        Planned { block: 0, round: 0, at: At::Step(13), fault: Fault::Kill },
        // The second of the two that share the span, when it has read the question again.
        Planned { block: 2, round: 1, at: At::Step(3), fault: Fault::Reset },
    ]);
    let [all, left, right, most] = &swarm.hosts[..] else { panic!() };
    let plan = swarm.app.plan(&swarm.model, 300).await.unwrap();
    assert_eq!(plan.hops.iter().map(|hop| (hop.peer, hop.blocks.clone())).collect::<Vec<_>>(), [(all.peer(), 0..4)]);
    assert_eq!((plan.cost_ms, plan.hops[0].choices, plan.hops[0].otherwise_ms), (5.0, 2, Some(6.0)));
    let stands_by = &plan.hops[0].backup;
    assert_eq!((stands_by[0].clone(), stands_by[1].1.clone()), ((left.peer(), 0..2), 2..4));

    let (answer, ended) = swarm.generate().await;
    ended.unwrap();
    assert_eq!(answer.said(), swarm.whole.said());
    // Which of two that could take the second half is lost is up to their PeerIds.
    let (right, most) = if swarm.schedule.fired()[1].peer == right.peer() { (right, most) } else { (most, right) };
    assert_eq!(answer.path(), [(left.peer(), 0..2), (most.peer(), 2..4)]);
    let computed = |host: &Host| host.engine.served_block_tokens();
    // Three steps of the question, ten of the answer; then nothing of the first two blocks twice.
    assert_eq!(computed(all), 4 * (tokens + 10));
    assert_eq!(computed(left), 2 * (tokens + 23));
    assert_eq!((computed(right), computed(most)), (2 * tokens, 2 * (tokens + 23)));
    let outcomes = swarm.policy.take();
    let of = |host: &Host| outcomes.iter().find(|(peer, _)| *peer == host.peer()).map(|(_, seen)| *seen);
    assert_eq!((of(all), of(right)), (Some(Outcome::TransportFault), Some(Outcome::TransportFault)));
    assert_eq!((of(left), of(most)), (Some(Outcome::Good), Some(Outcome::Good)));
    swarm.until_no_session_is_left().await;
    swarm.settle().await;
    swarm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_cover_the_gap_is_named_soon_and_the_text_so_far_stays() {
    for fault in [Fault::Kill, Fault::Hang, Fault::Cut] {
        let swarm = Swarm::start(&[0..2, 2..4]).await;
        swarm.schedule.set(vec![Planned { block: 3, round: 0, at: At::Step(9), fault }]);
        let start = Instant::now();
        let (answer, ended) = swarm.generate().await;
        let error = ended.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?} for {fault:?}", start.elapsed());
        let code = if fault == Fault::Hang { ErrorCode::Timeout } else { ErrorCode::Unreachable };
        assert_eq!(error.code(), code, "{error:?}");
        assert_eq!((&*error.context()["gap"], &*error.context()["blocks"]), ("2..4", "2..4"));
        assert_eq!(error.context()["peer"], swarm.hosts[1].peer().to_string());
        // Three steps read the question and gave a token, six more gave one each.
        assert_eq!(error.context()["completion_tokens"], "7");
        let usage = swarm.whole.end.as_ref().unwrap().1;
        assert_eq!(error.context()["prompt_tokens"], usage.prompt_tokens.to_string());
        assert!(!answer.text.is_empty() && swarm.whole.text.starts_with(answer.text.trim_end_matches('\u{fffd}')));
        swarm.until_no_session_is_left().await;
        swarm.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_while_the_answer_runs_takes_over_from_the_last_that_had_its_blocks() {
    let mut swarm = Swarm::start(&[0..2, 2..4]).await;
    swarm.app = caller(&swarm.network, &swarm.policy, PATIENCE);
    swarm.schedule.set(vec![Planned { block: 3, round: 0, at: At::Step(9), fault: Fault::Hang }]);
    let stream = swarm.app.generate(&swarm.model, request(), Route::Peers).await.unwrap();
    while swarm.schedule.fired().is_empty() {
        tokio::task::yield_now().await;
    }
    let newcomer = swarm.host(&(2..4)).await;
    let hung = std::mem::replace(&mut swarm.hosts[1], newcomer);
    hung.kill();
    let (answer, ended) = read(stream).await;
    ended.unwrap();
    assert_eq!(answer.said(), swarm.whole.said());
    assert_eq!(answer.path()[1], (swarm.hosts[1].peer(), 2..4));
    swarm.until_no_session_is_left().await;
    swarm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_backend_takes_over_from_nobody_and_shares_no_path() {
    let swarm = Swarm::start(&[0..4, 0..4, 0..2, 2..4]).await;
    swarm.hosts[1].say_ggml();
    swarm.schedule.set(vec![Planned { block: 0, round: 0, at: At::Step(13), fault: Fault::Kill }]);
    let (answer, ended) = swarm.generate().await;
    ended.unwrap();
    assert_eq!(answer.said(), swarm.whole.said());
    // One hop over the host of the other backend would have been shorter.
    assert_eq!(answer.path(), [(swarm.hosts[2].peer(), 0..2), (swarm.hosts[3].peer(), 2..4)]);
    assert_eq!(swarm.hosts[1].engine.served_block_tokens(), 0);
    swarm.until_no_session_is_left().await;
    swarm.end().await;

    let swarm = Swarm::start(&[0..4, 0..2, 2..4]).await;
    swarm.hosts[0].say_ggml();
    let (answer, ended) = swarm.generate().await;
    ended.unwrap();
    assert_eq!(answer.path(), [(swarm.hosts[0].peer(), 0..4)], "all of it by the other backend is fine");
    swarm.end().await;

    let swarm = Swarm::start(&[0..2, 2..4]).await;
    swarm.hosts[1].say_ggml();
    let (answer, ended) = swarm.generate().await;
    let error = ended.unwrap_err();
    assert_eq!((error.code(), &*error.context()["backends"]), (ErrorCode::Conflict, "candle, ggml"));
    assert!(answer.text.is_empty());
    swarm.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_only_busy_is_asked_again() {
    let swarm = Swarm::start(std::slice::from_ref(&(0..4))).await;
    let once = 4 * (u64::from(swarm.whole.end.as_ref().unwrap().1.prompt_tokens) + 23);
    for at in [At::Open, At::Step(0), At::Step(7)] {
        let before = swarm.hosts[0].engine.served_block_tokens();
        swarm.schedule.set(vec![Planned { block: 0, round: 0, at, fault: Fault::Busy }]);
        let (answer, ended) = swarm.generate().await;
        ended.unwrap();
        assert_eq!((answer.said(), swarm.schedule.fired().len()), (swarm.whole.said(), 1), "{at:?}");
        assert_eq!(swarm.hosts[0].engine.served_block_tokens() - before, once, "{at:?}");
    }
    assert!(swarm.policy.take().iter().all(|(_, seen)| *seen == Outcome::Good));
    swarm.until_no_session_is_left().await;
    swarm.end().await;
}

/// Makes the state of one token a thousand times as large as others'.
fn enlarge(model: &Path, token: usize) {
    let file = model.join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let head = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let names: serde_json::Value = serde_json::from_slice(&bytes[8..head]).unwrap();
    let embedding = names["model.embed_tokens.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    let row = head + embedding + token * 24 * 4;
    for value in bytes[row..row + 24 * 4].as_chunks_mut::<4>().0 {
        *value = (f32::from_le_bytes(*value) * 1e4).to_le_bytes();
    }
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_out_of_range_that_a_second_host_gives_too_is_right_and_blames_nobody() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(4, 4, 2, 6, false));
    enlarge(dir.path(), 250);
    let local = ShardEngine::local();
    let whole = local.load(dir.path(), LoadOptions::default()).await.unwrap();
    let tokens: Vec<u32> = (0..128).chain([250, 3, 4]).collect();
    let expected = local.logits(&whole, &tokens, Route::Local).await.unwrap();

    let swarm = Swarm::over(dir, &[0..4, 0..4]).await;
    let logits = swarm.app.logits(&swarm.model, &tokens, Route::Peers).await.unwrap();
    assert!(logits == expected);
    let outcomes = swarm.policy.take();
    assert_eq!(outcomes.iter().map(|(_, seen)| *seen).collect::<Vec<_>>(), [Outcome::Good; 2]);
    assert_ne!(outcomes[0].0, outcomes[1].0);

    // Alone, the same host is not believed.
    swarm.hosts[1].engine.stop_serving(swarm.model.id()).await.unwrap();
    let error = swarm.app.logits(&swarm.model, &tokens, Route::Peers).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error:?}");
    assert_eq!(error.context()["gap"], "0..4");
    swarm.until_no_session_is_left().await;
    swarm.end().await;
}
