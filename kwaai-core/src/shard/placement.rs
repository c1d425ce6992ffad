//! Where the blocks of a host go, so that the swarm has every block as often as it can.
//!
//! A new run goes, by the rule of Petals, where blocks are rarest: of all places the one whose counts, sorted, are the smallest.
//! One that stands somewhere moves only when the rarest block is there less than three quarters as often as the same runs
//! could have it, and never when the swarm would be without a block while it moves. What the runs could reach is counted by arranging them
//! anew: what covers a line so many times can be dealt out to as many covers of it.

use std::cmp::Reverse;
use std::ops::Range;

/// So many runs are dealt out in the best way, more of them in a good one.
const EXACT: usize = 10;

/// For each block, how many of the runs have it.
pub(super) fn counts(blocks: u32, runs: &[Range<u32>]) -> Vec<u32> {
    let mut counts = vec![0; blocks as usize];
    for run in runs {
        let end = run.end.min(blocks) as usize;
        counts[(run.start as usize).min(end)..end].iter_mut().for_each(|count| *count += 1);
    }
    counts
}

/// The first block for another run of `length` blocks, which is at least 1 and no more than there are. Among places that are
/// equal by `counts` those decide that `claimed` has less often, and then the earliest.
pub(super) fn place(counts: &[u32], claimed: &[u32], length: u32) -> u32 {
    let length = length as usize;
    let rare = |counts: &[u32], start: usize| {
        let mut window = counts[start..start + length].to_vec();
        window.sort_unstable();
        window
    };
    let places = 0..=counts.len().saturating_sub(length);
    places.min_by_key(|start| (rare(counts, *start), rare(claimed, *start), *start)).unwrap_or_default() as u32
}

/// Where the run `own` of all `runs` should begin instead; `None` where it is as good as it stands.
///
/// A single move that is enough is taken. Otherwise runs go to their places in the arrangement that reaches most, or out of the way of
/// others: each move leaves fewer in the way, or as many and fewer out of place, so that moves come to an end.
pub(super) fn better(blocks: u32, runs: &[Range<u32>], own: usize) -> Option<u32> {
    let now = rarest(&counts(blocks, runs));
    let run = runs.get(own)?.clone();
    let total: u32 = runs.iter().map(|run| run.end - run.start).sum();
    if enough(now, total / blocks.max(1)) {
        return None;
    }
    let dealt = Dealt::new(blocks, runs);
    if enough(now, dealt.covers) || disconnects(blocks, runs, own) {
        return None;
    }
    let mut others = runs.to_vec();
    others.swap_remove(own);
    let others = counts(blocks, &others);
    let length = run.end - run.start;
    let mut tried = runs.to_vec();
    let rare = place(&others, &others, length);
    tried[own] = rare..rare + length;
    if enough(rarest(&counts(blocks, &tried)), dealt.covers) {
        return Some(rare);
    }
    let mut rank = |start: u32| {
        tried[own] = start..start + length;
        let displaced = dealt.displaced(&tried);
        let stuck = displaced.iter().filter(|(run, to)| !may_move(blocks, &tried, *run, *to)).count();
        (stuck, displaced.len(), Reverse(rarest(&counts(blocks, &tried))))
    };
    let (stuck, displaced, _) = rank(run.start);
    let starts = (0..=blocks - length).filter(|start| may_move(blocks, runs, own, *start));
    let ((fewer_stuck, fewer_displaced, _), start) = starts.map(|start| (rank(start), start)).min()?;
    ((fewer_stuck, fewer_displaced) < (stuck, displaced)).then_some(start)
}

/// Whether a block would be nowhere while a run moves, and is somewhere now.
fn disconnects(blocks: u32, runs: &[Range<u32>], own: usize) -> bool {
    let mut counts = counts(blocks, runs);
    let now = rarest(&counts);
    counts[runs[own].start as usize..runs[own].end as usize].iter_mut().for_each(|count| *count -= 1);
    now > 0 && rarest(&counts) == 0
}

/// Whether a run can go to a place at once: no block that is somewhere is nowhere meanwhile or afterwards.
fn may_move(blocks: u32, runs: &[Range<u32>], own: usize, to: u32) -> bool {
    let now = rarest(&counts(blocks, runs));
    let mut moved = runs.to_vec();
    moved[own] = to..to + (runs[own].end - runs[own].start);
    !disconnects(blocks, runs, own) && rarest(&counts(blocks, &moved)) >= now.min(1)
}

fn rarest(counts: &[u32]) -> u32 {
    counts.iter().copied().min().unwrap_or_default()
}

/// Whether a count is at least three quarters of another.
fn enough(count: u32, of: u32) -> bool {
    4 * u64::from(count) >= 3 * u64::from(of)
}

/// The same runs, dealt out to covers by their lengths alone, so that a run that moves changes nothing for the others.
struct Dealt {
    /// How often every block is there when all runs stand in their places.
    covers: u32,
    /// Length and first block of each run that a cover is made of.
    places: Vec<(u32, u32)>,
}

impl Dealt {
    fn new(blocks: u32, runs: &[Range<u32>]) -> Dealt {
        let mut lengths: Vec<u32> = runs.iter().map(|run| run.end - run.start).collect();
        lengths.sort_by_key(|length| Reverse(*length));
        let covers = if runs.len() <= EXACT { dealt_best(blocks, &lengths) } else { dealt_well(blocks, &lengths) };
        let mut places = Vec::new();
        for cover in &covers {
            let mut next = 0;
            for length in cover.iter().map(|run| lengths[*run]) {
                places.push((length, next.min(blocks - length)));
                next += length;
            }
        }
        Dealt { covers: covers.len() as u32, places }
    }

    /// The runs that stand elsewhere, and where they belong. Runs of one length are as good as each other, so that those that
    /// stand at a place keep it, and those that are left over stand anywhere.
    fn displaced(&self, runs: &[Range<u32>]) -> Vec<(usize, u32)> {
        let mut free = vec![true; runs.len()];
        let mut take = |is: &dyn Fn(&Range<u32>) -> bool| {
            let found = (0..runs.len()).find(|run| free[*run] && is(&runs[*run]));
            found.inspect(|run| free[*run] = false)
        };
        let empty: Vec<&(u32, u32)> = self
            .places
            .iter()
            .filter(|(length, start)| take(&|run| *run == (*start..*start + *length)).is_none())
            .collect();
        empty
            .into_iter()
            .filter_map(|(length, start)| Some((take(&|run| run.end - run.start == *length)?, *start)))
            .collect()
    }
}

/// Deals lengths out to as many covers as there can be. For every set of them it is known how many covers they make at best,
/// and how far the next one is.
fn dealt_best(blocks: u32, lengths: &[u32]) -> Vec<Vec<usize>> {
    let all = 1usize << lengths.len();
    let mut best: Vec<(u32, u32, usize)> = vec![(0, 0, 0); all];
    for set in 1..all {
        let dealt = |last: usize| {
            let (covers, filled, _) = best[set & !(1 << last)];
            let filled = filled + lengths[last];
            if filled >= blocks { (covers + 1, 0, last) } else { (covers, filled, last) }
        };
        let of_set = (0..lengths.len()).filter(|last| set & (1 << last) != 0);
        best[set] = of_set
            .map(dealt)
            .max_by_key(|(covers, filled, last)| (*covers, *filled, Reverse(*last)))
            .unwrap_or_default();
    }
    let mut order = Vec::new();
    let mut set = all - 1;
    while set != 0 {
        let last = best[set].2;
        order.push(last);
        set &= !(1 << last);
    }
    let (mut covers, mut open, mut filled) = (Vec::new(), Vec::new(), 0);
    for next in order.into_iter().rev() {
        open.push(next);
        filled += lengths[next];
        if filled >= blocks {
            covers.push(std::mem::take(&mut open));
            filled = 0;
        }
    }
    covers
}

/// Deals lengths, the longest first, to the cover that has least, for as many covers as come out whole.
fn dealt_well(blocks: u32, lengths: &[u32]) -> Vec<Vec<usize>> {
    let total: u32 = lengths.iter().sum();
    let dealt = |covers: u32| {
        let mut dealt: Vec<(u32, Vec<usize>)> = vec![(0, Vec::new()); covers as usize];
        for (at, length) in lengths.iter().enumerate() {
            let least = dealt.iter_mut().filter(|(filled, _)| *filled < blocks).min_by_key(|(filled, _)| *filled);
            let Some((filled, cover)) = least else { break };
            *filled += length;
            cover.push(at);
        }
        let whole = dealt.iter().all(|(filled, _)| *filled >= blocks);
        whole.then(|| dealt.into_iter().map(|(_, cover)| cover).collect())
    };
    (1..=total / blocks.max(1)).rev().find_map(dealt).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A sequence that a seed decides.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, limit: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) % u64::from(limit)) as u32
        }
    }

    /// What the runs reach at best, by trying every place for each.
    fn tried(blocks: u32, lengths: &[u32], counts: &mut [u32]) -> u32 {
        let Some((length, rest)) = lengths.split_first() else { return rarest(counts) };
        let places = 0..=blocks - length;
        let best = places.map(|start| {
            let window = start as usize..(start + length) as usize;
            counts[window.clone()].iter_mut().for_each(|count| *count += 1);
            let reached = tried(blocks, rest, counts);
            counts[window].iter_mut().for_each(|count| *count -= 1);
            reached
        });
        best.max().unwrap_or_default()
    }

    #[test]
    fn a_run_goes_where_blocks_are_rarest() {
        assert_eq!(place(&[1, 1, 0, 0, 1], &[0; 5], 2), 2);
        assert_eq!(place(&[2, 1, 1, 1, 2], &[0; 5], 3), 1);
        assert_eq!(place(&[0; 4], &[1, 1, 0, 0], 2), 2, "what strangers claim decides where all else is equal");
        assert_eq!(place(&[0, 0, 1, 1], &[9, 9, 0, 0], 2), 0, "and never against what is known");
        assert_eq!(place(&[3, 2], &[0, 0], 2), 0);
    }

    #[test]
    fn runs_are_dealt_out_as_well_as_trying_everything_finds() {
        let mut draw = Draw(11);
        for trial in 0..400 {
            let blocks = 2 + draw.below(4);
            let lengths: Vec<u32> = (0..1 + draw.below(5)).map(|_| 1 + draw.below(blocks)).collect();
            let mut runs: Vec<Range<u32>> = lengths.iter().map(|length| 0..*length).collect();
            let dealt = Dealt::new(blocks, &runs);
            let best = tried(blocks, &lengths, &mut vec![0; blocks as usize]);
            assert_eq!(dealt.covers, best, "trial {trial}: {lengths:?} over {blocks} blocks");
            for (run, start) in dealt.displaced(&runs.clone()) {
                runs[run] = start..start + lengths[run];
            }
            assert!(rarest(&counts(blocks, &runs)) >= best, "trial {trial}: {runs:?} over {blocks} blocks");
            assert_eq!(dealt.displaced(&runs), [], "trial {trial}: {runs:?} over {blocks} blocks");
        }
    }

    #[test]
    fn a_swarm_that_hosts_join_and_leave_keeps_its_rarest_block_near_the_best_and_settles() {
        let (mut events, mut moves) = (0, 0);
        for seed in 0..1000 {
            let mut draw = Draw(seed);
            let blocks = 4 + draw.below(20);
            let mut runs: Vec<Range<u32>> = Vec::new();
            for event in 0..16 {
                events += 1;
                let leaves = runs.len() > 1 && (draw.below(3) == 0 || runs.len() == EXACT);
                if leaves {
                    runs.swap_remove(draw.below(runs.len() as u32) as usize);
                } else {
                    let length = 1 + draw.below(blocks);
                    let there = counts(blocks, &runs);
                    let start = place(&there, &there, length);
                    runs.push(start..start + length);
                }
                let mut left = BTreeSet::new();
                let mut quiet = 0;
                let mut at = draw.below(runs.len() as u32) as usize;
                while quiet < runs.len() {
                    match better(blocks, &runs, at) {
                        None => quiet += 1,
                        Some(start) => {
                            let now = rarest(&counts(blocks, &runs));
                            assert!(
                                left.insert((at, runs[at].start)),
                                "seed {seed}: run {at} of {runs:?} goes back and forth"
                            );
                            runs[at] = start..start + (runs[at].end - runs[at].start);
                            let then = rarest(&counts(blocks, &runs));
                            assert!(then >= now.min(1), "seed {seed}: a move takes a block out of {runs:?}");
                            (quiet, moves) = (0, moves + 1);
                        }
                    }
                    at = (at + 1) % runs.len();
                }
                let (reached, best) = (rarest(&counts(blocks, &runs)), Dealt::new(blocks, &runs).covers);
                assert!(
                    enough(reached, best),
                    "seed {seed}, event {event}: {reached} of {best} with {runs:?} over {blocks} blocks"
                );
            }
        }
        assert!(moves * 8 < events, "{moves} moves in {events} events");
    }
}
