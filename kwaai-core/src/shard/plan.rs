//! Which peers have which blocks, and the cheapest path over them.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use libp2p::PeerId;

use super::backend::Backend;
use crate::{Error, Result};

/// What the way to a host and back is taken for while nobody has measured it, in microseconds.
const UNKNOWN_WAY: u64 = 50_000;
/// What a block is taken for while nobody has measured it, in microseconds.
const UNKNOWN_BLOCK: u64 = 1_000;
/// Ways are compared in steps of a millisecond: less is noise.
const WAY_STEP: u64 = 1_000;
/// No time that a host or a measurement gives counts for more than an hour.
const LONGEST: f64 = 3_600_000.0;

/// A peer that provides a model, as seen from here.
#[derive(Debug, Clone)]
pub struct HostView {
    /// The peer.
    pub peer: PeerId,
    /// The blocks it says it serves, ascending.
    pub spans: Vec<Range<u32>>,
    /// What computes them; `None` for something that this version does not know. A host that computes some by one backend and some
    /// by another is seen once for each.
    pub backend: Option<Backend>,
    /// Why this node does not use it; `None` when it does.
    pub refused: Option<Error>,
    /// The last measured round trip in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Milliseconds for one block and one token: as measured here, or else as the host announces.
    pub block_ms: Option<f64>,
    /// Steps that wait at the host, as it announces.
    pub waiting: u32,
    /// Bytes that the host has left for keys and values, as it announces.
    pub room_bytes: Option<u64>,
}

impl HostView {
    /// A host of which only the blocks are known, which candle computes.
    pub fn new(peer: PeerId, spans: Vec<Range<u32>>) -> HostView {
        let (round_trip_ms, block_ms, room_bytes) = (None, None, None);
        let backend = Some(Backend::Candle);
        HostView { peer, spans, backend, refused: None, round_trip_ms, block_ms, waiting: 0, room_bytes }
    }

    /// Microseconds for one token through so many blocks.
    fn cost(&self, blocks: u32) -> u64 {
        let micros = |ms: f64| (ms.clamp(0.0, LONGEST) * 1000.0).round() as u64;
        let way = self.round_trip_ms.map_or(UNKNOWN_WAY, |ms| micros(ms).next_multiple_of(WAY_STEP));
        let block = self.block_ms.map_or(UNKNOWN_BLOCK, micros);
        way.saturating_add(
            block.saturating_mul(u64::from(blocks)).saturating_mul(u64::from(self.waiting).saturating_add(1)),
        )
    }

    fn may_run(&self, blocks: u32, need: &Need) -> bool {
        let bytes = u64::from(need.tokens).saturating_mul(need.cache_bytes_per_token).saturating_mul(blocks.into());
        self.refused.is_none() && self.room_bytes.is_none_or(|room| bytes <= room)
    }
}

/// What a session needs of its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Tokens, the prompt and the answer together.
    pub tokens: u32,
    /// Bytes of keys and values for one token and one block.
    pub cache_bytes_per_token: u64,
    /// Whether hosts of different backends may compute one answer. Two backends agree to some digits and never to the bit, so that
    /// a host that takes the place of one of another backend can change the text.
    pub mixed_backends: bool,
}

/// A station of a path, and why it is one.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedHop {
    /// Who computes.
    pub peer: PeerId,
    /// Which blocks.
    pub blocks: Range<u32>,
    /// What one token is expected to take here, the way there and back included, in milliseconds.
    pub cost_ms: f64,
    /// How many hosts could have run the first of the blocks.
    pub choices: u32,
    /// What the cheapest path without this host would take in milliseconds; `None` where there is no path without it.
    pub otherwise_ms: Option<f64>,
    /// Who would run the blocks instead: at peers that are nowhere on the path where that is possible, and in any case not at
    /// this one. Empty where nobody could.
    pub backup: Vec<(PeerId, Range<u32>)>,
}

impl fmt::Display for PlannedHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.blocks;
        write!(f, "blocks {start}..{end} at {}: {:.1} ms, of {} hosts", self.peer, self.cost_ms, self.choices)?;
        match self.otherwise_ms {
            Some(ms) => write!(f, "; without it the path would take {ms:.1} ms"),
            None => write!(f, "; there is no path without it"),
        }
    }
}

/// A path that runs every block once.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The stations, in the order of their blocks.
    pub hops: Vec<PlannedHop>,
    /// What one token is expected to take in milliseconds.
    pub cost_ms: f64,
}

/// Which blocks of a model are up, and from whom.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// Number of blocks of the model.
    pub blocks: u32,
    /// Every provider, in the order of their PeerIds.
    pub hosts: Vec<HostView>,
}

/// A path as indices of hosts.
struct Cheapest {
    micros: u64,
    hops: Vec<(usize, Range<u32>)>,
}

/// The best way from a boundary to the end. Of equally cheap ways the one with fewer hops is better, then the one that goes
/// further at once, then the one over the host that comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    micros: u64,
    hops: u32,
    end: Reverse<u32>,
    host: usize,
}

impl Coverage {
    /// For each block, how many usable hosts have it.
    pub fn counts(&self) -> Vec<u32> {
        let has = |host: &HostView, block: u32| host.spans.iter().any(|span| span.contains(&block));
        let usable = || self.hosts.iter().filter(|host| host.refused.is_none());
        (0..self.blocks).map(|block| usable().filter(|host| has(host, block)).count() as u32).collect()
    }

    /// The runs of blocks that no usable host has.
    pub fn gaps(&self) -> Vec<Range<u32>> {
        let mut gaps: Vec<Range<u32>> = Vec::new();
        for (block, count) in (0..).zip(self.counts()) {
            match gaps.last_mut() {
                _ if count > 0 => {}
                Some(gap) if gap.end == block => gap.end = block + 1,
                _ => gaps.push(block..block + 1),
            }
        }
        gaps
    }

    /// The path over the usable hosts that runs every block once and takes one token least time: the ways there and back, as
    /// measured, and the blocks, as measured or announced, times the steps that wait. A host may run a part of its span. What is
    /// unknown counts as 50 ms for a way and 1 ms for a block. Of equally good paths the one with the fewest hops is taken,
    /// then the one whose earlier hops are longer, then the one over lower PeerIds: the same hosts give the same path. All hosts of
    /// a path and their backups compute by one backend, unless `need` lets backends mix.
    ///
    /// # Errors
    /// `conflict` with the `backends` when hosts have every block, and those of no single backend do.
    /// `unreachable` with the blocks that nobody has as `gap`. When hosts have the first of them and all say no for one
    /// reason, such as `permission_denied` there or `untrusted_peer` here, that reason is the code. `resource_exhausted`
    /// when hosts have every block, but not the room.
    pub fn plan(&self, need: &Need) -> Result<Plan> {
        self.plan_run(0..self.blocks, need)
    }

    /// [`plan`](Self::plan) for a run of blocks.
    ///
    /// # Errors
    /// Those, and `invalid_argument` for blocks that the model has not.
    pub fn plan_run(&self, blocks: Range<u32>, need: &Need) -> Result<Plan> {
        if blocks.end > self.blocks {
            return Err(Error::invalid_argument(format!(
                "blocks {}..{} are no part of a model with {} blocks",
                blocks.start, blocks.end, self.blocks
            )));
        }
        let best = self.alike(&blocks, need, &[]).ok_or_else(|| self.gap(&blocks, need))?;
        let others = self.unlike(&best, need);
        let and = |more: &[usize]| [&others, more].concat();
        let on_path: Vec<usize> = best.hops.iter().map(|(host, _)| *host).collect();
        let hops = best.hops.iter().map(|(host, run)| {
            let could =
                |other: &&HostView| other.may_run(1, need) && other.spans.iter().any(|s| s.contains(&run.start));
            let alike =
                self.hosts.iter().enumerate().filter(|(other, _)| !others.contains(other)).map(|(_, view)| view);
            let without = self.alike(&blocks, need, &[*host]);
            let backup = self.cheapest(run, need, &and(&on_path)).or_else(|| self.cheapest(run, need, &and(&[*host])));
            PlannedHop {
                peer: self.hosts[*host].peer,
                blocks: run.clone(),
                cost_ms: millis(self.hosts[*host].cost(run.len() as u32)),
                choices: alike.filter(could).count() as u32,
                otherwise_ms: without.map(|path| millis(path.micros)),
                backup: backup.map_or(Vec::new(), |path| self.named(&path)),
            }
        });
        Ok(Plan { hops: hops.collect(), cost_ms: millis(best.micros) })
    }

    /// The hosts alone, for who does not ask why.
    pub(super) fn path(&self, blocks: &Range<u32>, need: &Need) -> Result<Vec<(PeerId, Range<u32>)>> {
        self.alike(blocks, need, &[]).map(|path| self.named(&path)).ok_or_else(|| self.gap(blocks, need))
    }

    /// What one token is expected to take on that path, in milliseconds.
    pub(super) fn cost_ms(&self, blocks: &Range<u32>, need: &Need) -> Option<f64> {
        self.alike(blocks, need, &[]).map(|path| path.micros as f64 / 1000.0)
    }

    /// The cheapest path whose hosts compute by one backend, unless these may mix.
    fn alike(&self, blocks: &Range<u32>, need: &Need, without: &[usize]) -> Option<Cheapest> {
        if need.mixed_backends {
            return self.cheapest(blocks, need, without);
        }
        let of = |backend: Backend| {
            let others = self.hosts.iter().enumerate().filter(|(_, host)| host.backend != Some(backend));
            let without: Vec<usize> = without.iter().copied().chain(others.map(|(host, _)| host)).collect();
            self.cheapest(blocks, need, &without)
        };
        // Of equally cheap paths the shorter one, then the one of the backend that comes first.
        Backend::ALL.into_iter().filter_map(of).min_by_key(|path| (path.micros, path.hops.len()))
    }

    /// The hosts that may not stand in for those of a path.
    fn unlike(&self, path: &Cheapest, need: &Need) -> Vec<usize> {
        let backend = path.hops.first().map(|(host, _)| self.hosts[*host].backend);
        let unlike = |host: &usize| !need.mixed_backends && Some(self.hosts[*host].backend) != backend;
        (0..self.hosts.len()).filter(unlike).collect()
    }

    /// The backend of the hosts of a path that [`path`](Self::path) gave.
    pub(super) fn backend_of(&self, path: &[(PeerId, Range<u32>)]) -> Option<Backend> {
        let (peer, run) = path.first()?;
        let runs = |host: &HostView| host.spans.iter().any(|span| span.start <= run.start && run.end <= span.end);
        self.hosts.iter().find(|host| host.peer == *peer && runs(host))?.backend
    }

    /// Says no to every host that computes by another backend.
    pub(super) fn keep_to(&mut self, backend: Backend) {
        for host in self.hosts.iter_mut().filter(|host| host.refused.is_none() && host.backend != Some(backend)) {
            let message = format!("the host does not compute by {}, as those of the answer so far", backend.name());
            host.refused = Some(Error::conflict(message).with("peer", host.peer));
        }
    }

    /// Who would run these blocks alone and soonest, but for some.
    pub(super) fn stand_in(&self, blocks: &Range<u32>, need: &Need, not: &[PeerId]) -> Option<PeerId> {
        let length = blocks.end - blocks.start;
        let runs = |host: &&HostView| {
            let held = |span: &Range<u32>| span.start <= blocks.start && blocks.end <= span.end;
            !not.contains(&host.peer) && host.may_run(length, need) && host.spans.iter().any(held)
        };
        let soonest = self.hosts.iter().filter(runs).min_by_key(|host| host.cost(length));
        soonest.map(|host| host.peer)
    }

    fn named(&self, path: &Cheapest) -> Vec<(PeerId, Range<u32>)> {
        path.hops.iter().map(|(host, blocks)| (self.hosts[*host].peer, blocks.clone())).collect()
    }

    /// The shortest path in the graph whose nodes are the boundaries between blocks, from the end to the beginning.
    fn cheapest(&self, blocks: &Range<u32>, need: &Need, without: &[usize]) -> Option<Cheapest> {
        if blocks.end > self.blocks {
            return None;
        }
        let place = |boundary: u32| (boundary - blocks.start) as usize;
        let mut best: Vec<Option<Way>> = vec![None; blocks.len() + 1];
        for start in blocks.clone().rev() {
            let mut found: Option<Way> = None;
            let hosts = self.hosts.iter().enumerate().filter(|(host, _)| !without.contains(host));
            for (host, view) in hosts {
                for span in view.spans.iter().filter(|span| span.contains(&start)) {
                    for end in start + 1..=span.end.min(blocks.end) {
                        let rest = match end == blocks.end {
                            true => Some((0, 0)),
                            false => best[place(end)].map(|way| (way.micros, way.hops)),
                        };
                        let Some((micros, hops)) = rest.filter(|_| view.may_run(end - start, need)) else { continue };
                        let micros = view.cost(end - start).saturating_add(micros);
                        let way = Way { micros, hops: hops + 1, end: Reverse(end), host };
                        found = Some(found.map_or(way, |found| found.min(way)));
                    }
                }
            }
            best[place(start)] = found;
        }
        let micros = if blocks.is_empty() { 0 } else { best[0]?.micros };
        let mut hops = Vec::new();
        let mut start = blocks.start;
        while start < blocks.end {
            let Way { end: Reverse(end), host, .. } = best[place(start)]?;
            hops.push((host, start..end));
            start = end;
        }
        Some(Cheapest { micros, hops })
    }

    fn gap(&self, blocks: &Range<u32>, need: &Need) -> Error {
        let cut = |gap: Range<u32>| gap.start.max(blocks.start)..gap.end.min(blocks.end);
        let gaps: Vec<Range<u32>> = self.gaps().into_iter().map(cut).filter(|gap| !gap.is_empty()).collect();
        let mixed = Need { mixed_backends: true, ..*need };
        if gaps.is_empty() && self.cheapest(blocks, &mixed, &[]).is_some() {
            let names = self.hosts.iter().filter(|host| host.refused.is_none());
            let names: BTreeSet<&str> = names.map(|host| host.backend.map_or("unknown", Backend::name)).collect();
            return Error::conflict("hosts have the blocks, and none computes them all as the others do")
                .with("backends", names.into_iter().collect::<Vec<_>>().join(", "))
                .with_remedy("wait for hosts of one backend, or let backends mix, which can change the text");
        }
        let Some(first) = gaps.first().map(|gap| gap.start) else {
            return Error::resource_exhausted("hosts have the blocks, and not the room for the session")
                .with("blocks", format!("{}..{}", blocks.start, blocks.end))
                .with_remedy("ask for fewer tokens, or try again later");
        };
        let gaps: Vec<String> = gaps.iter().map(|gap| format!("{}..{}", gap.start, gap.end)).collect();
        let gaps = gaps.join(", ");
        let refused: Vec<String> = self
            .hosts
            .iter()
            .filter_map(|host| host.refused.as_ref().map(|error| format!("{} ({})", host.peer, error.code())))
            .collect();
        let mut reasons = self
            .hosts
            .iter()
            .filter(|host| host.spans.iter().any(|span| span.contains(&first)))
            .filter_map(|host| host.refused.as_ref());
        let message = format!("no usable peer has the blocks {gaps} of {}", self.blocks);
        let error = match reasons.next() {
            Some(reason) if reasons.all(|other| other.code() == reason.code()) => {
                let message = format!("{message}: {}", reason.message());
                let error = Error::new(reason.code(), message).with_source(reason.clone());
                reason
                    .context()
                    .get("remedy")
                    .into_iter()
                    .fold(error, |error, remedy| error.with_remedy(remedy.as_str()))
            }
            _ => Error::unreachable(message).with_remedy("connect to peers that serve them, or load the model whole"),
        };
        let error = error.with("gap", gaps);
        if refused.is_empty() { error } else { error.with("refused_hosts", refused.join(", ")) }
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::identity::Keypair;
    use proptest::prelude::*;

    /// The seed of its identity, its spans, and whether it may be used.
    type Seen = (u8, &'static [(u32, u32)], bool);

    fn peer(seed: u8) -> PeerId {
        Keypair::from_seed([seed; 32]).peer_id()
    }

    fn of(blocks: u32, mut hosts: Vec<HostView>) -> Coverage {
        hosts.sort_by_key(|host| host.peer.to_bytes());
        Coverage { blocks, hosts }
    }

    fn seen(hosts: &[Seen]) -> Coverage {
        let view = |(seed, spans, usable): &Seen| {
            let spans = spans.iter().map(|(start, end)| *start..*end).collect();
            HostView { refused: (!usable).then(|| Error::untrusted_peer("low")), ..HostView::new(peer(*seed), spans) }
        };
        of(8, hosts.iter().map(view).collect())
    }

    fn path(coverage: &Coverage) -> Vec<(PeerId, Range<u32>)> {
        let plan = coverage.plan(&Need::default()).unwrap();
        plan.hops.into_iter().map(|hop| (hop.peer, hop.blocks)).collect()
    }

    fn measured(seed: u8, span: Range<u32>, round_trip_ms: f64, block_ms: f64) -> HostView {
        let (round_trip_ms, block_ms) = (Some(round_trip_ms), Some(block_ms));
        HostView { round_trip_ms, block_ms, ..HostView::new(peer(seed), vec![span]) }
    }

    #[test]
    fn overlapping_spans_run_each_block_once_with_the_fewest_hops() {
        let coverage = seen(&[(1, &[(0, 5)], true), (2, &[(2, 8)], true), (3, &[(5, 8)], true), (4, &[(0, 2)], true)]);
        let runs: Vec<Range<u32>> = path(&coverage).into_iter().map(|(_, blocks)| blocks).collect();
        assert_eq!(runs, [0..5, 5..8]);
        assert_eq!(coverage.counts(), [2, 2, 2, 2, 2, 2, 2, 2]);
    }

    #[test]
    fn a_gap_is_named_and_so_are_the_hosts_that_were_not_used() {
        let coverage = seen(&[(1, &[(0, 3)], true), (2, &[(3, 5), (4, 6)], false), (3, &[(7, 8)], true)]);
        let error = coverage.plan(&Need::default()).unwrap_err();
        assert_eq!(
            error.code(),
            ErrorCode::UntrustedPeer,
            "the only host of the first missing block was refused for this"
        );
        assert_eq!(error.context()["gap"], "3..7");
        assert!(error.context()["refused_hosts"].contains("untrusted_peer"));
        let run = coverage.plan_run(4..8, &Need::default()).unwrap_err();
        assert_eq!(run.context()["gap"], "4..7");
        assert_eq!(coverage.plan_run(1..3, &Need::default()).unwrap().hops.len(), 1);
        assert_eq!(coverage.plan_run(7..9, &Need::default()).unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[test]
    fn the_same_hosts_give_the_same_path() {
        let hosts: [Seen; 4] = [(1, &[(0, 8)], true), (2, &[(0, 8)], true), (3, &[(0, 8)], true), (4, &[(0, 8)], true)];
        let mut turned = hosts;
        turned.reverse();
        assert_eq!(path(&seen(&hosts)), path(&seen(&turned)));
    }

    #[test]
    fn a_near_host_runs_a_part_and_the_plan_says_why_and_what_else_there_is() {
        // The far one has all blocks; two near ones together cost less. Only the far one can stand in for the second.
        let hosts = vec![
            measured(1, 0..8, 80.0, 1.0),
            measured(2, 0..6, 2.0, 1.0),
            measured(3, 4..8, 2.0, 1.0),
            measured(4, 0..6, 3.0, 1.0),
        ];
        let plan = of(8, hosts).plan(&Need::default()).unwrap();
        let [first, second] = &plan.hops[..] else { panic!("{plan:?}") };
        assert_eq!((first.peer, first.blocks.clone(), first.choices), (peer(2), 0..6, 3));
        assert_eq!((second.peer, second.blocks.clone(), second.choices), (peer(3), 6..8, 2));
        assert_eq!((plan.cost_ms, first.cost_ms, second.cost_ms), (12.0, 8.0, 4.0));
        assert_eq!((first.otherwise_ms, second.otherwise_ms), (Some(13.0), Some(88.0)));
        assert_eq!(first.backup, [(peer(4), 0..6)]);
        assert_eq!(second.backup, [(peer(1), 6..8)]);
        let said = second.to_string();
        assert!(said.starts_with("blocks 6..8 at ") && said.contains("4.0 ms, of 2 hosts"), "{said}");
        assert!(said.ends_with("without it the path would take 88.0 ms"), "{said}");
    }

    #[test]
    fn steps_that_wait_cost_time_and_a_host_without_room_is_passed_by() {
        let busy = HostView { waiting: 9, ..measured(1, 0..8, 1.0, 1.0) };
        let full = HostView { room_bytes: Some(100 * 64 - 1), ..measured(2, 0..8, 1.0, 1.0) };
        let slow = measured(3, 0..8, 1.0, 2.0);
        let need = Need { tokens: 100, cache_bytes_per_token: 64, mixed_backends: false };
        let coverage = of(8, vec![busy, full.clone(), slow]);
        assert_eq!(coverage.plan(&need).unwrap().hops[0].peer, peer(3));
        assert_eq!(coverage.plan(&Need { tokens: 12, ..need }).unwrap().hops[0].peer, peer(2));
        let nowhere = of(8, vec![HostView { room_bytes: Some(0), ..full }]).plan(&need).unwrap_err();
        assert_eq!(nowhere.code(), ErrorCode::ResourceExhausted);
    }

    /// Every path there is, one after the other.
    fn brute_force(coverage: &Coverage, need: &Need, at: u32, without: &[PeerId]) -> Option<u64> {
        if at == coverage.blocks {
            return Some(0);
        }
        let mut best = None;
        for host in coverage.hosts.iter().filter(|host| host.refused.is_none() && !without.contains(&host.peer)) {
            for end in at + 1..=coverage.blocks {
                let held = host.spans.iter().any(|span| span.start <= at && end <= span.end);
                let bytes = u64::from(need.tokens) * need.cache_bytes_per_token * u64::from(end - at);
                if !held || host.room_bytes.is_some_and(|room| room < bytes) {
                    continue;
                }
                let way = host.round_trip_ms.map_or(50_000, |ms| ms.ceil() as u64 * 1000);
                let block = host.block_ms.map_or(1000, |ms| (ms * 1000.0) as u64);
                let here = way + block * u64::from(end - at) * u64::from(host.waiting + 1);
                if let Some(rest) = brute_force(coverage, need, end, without) {
                    best = Some(best.map_or(here + rest, |best: u64| best.min(here + rest)));
                }
            }
        }
        best
    }

    prop_compose! {
        fn host()(
            spans in prop::collection::vec((0u32..6, 1u32..=6), 1..3),
            usable in prop::bool::weighted(0.85),
            round_trip in prop::option::weighted(0.8, 0u32..60),
            block in prop::option::weighted(0.8, 0u32..40),
            waiting in 0u32..3,
            room in prop::option::of(0u64..700),
        ) -> HostView {
            let spans = spans.into_iter().map(|(start, length)| start..(start + length).min(6)).collect();
            HostView {
                refused: (!usable).then(|| Error::untrusted_peer("low")),
                round_trip_ms: round_trip.map(|ms| f64::from(ms) / 2.0),
                block_ms: block.map(|ms| f64::from(ms) / 8.0),
                waiting,
                room_bytes: room,
                ..HostView::new(peer(0), spans)
            }
        }
    }

    fn by_ggml(view: HostView) -> HostView {
        HostView { backend: Some(Backend::Ggml), ..view }
    }

    #[test]
    fn a_path_and_its_backups_are_of_one_backend_unless_they_may_mix() {
        let hosts = || {
            vec![
                measured(1, 0..4, 1.0, 1.0),
                measured(2, 4..8, 1.0, 1.0),
                measured(3, 4..8, 9.0, 9.0),
                by_ggml(measured(4, 4..8, 0.5, 0.5)),
                by_ggml(measured(5, 0..4, 20.0, 20.0)),
            ]
        };
        let plan = of(8, hosts()).plan(&Need::default()).unwrap();
        assert_eq!(plan.hops.iter().map(|hop| hop.peer).collect::<Vec<_>>(), [peer(1), peer(2)]);
        // The first host has only one of the other backend beside it, and the second a slower one of its own.
        assert_eq!(plan.hops[0].backup, []);
        assert_eq!(plan.hops[1].backup, [(peer(3), 4..8)]);
        assert_eq!((plan.hops[0].choices, plan.hops[1].choices), (1, 2));
        assert_eq!(plan.hops[0].otherwise_ms, Some(103.0), "all of it by ggml: 1 + 2 and 20 + 80");

        let mixed = Need { mixed_backends: true, ..Need::default() };
        let plan = of(8, hosts()).plan(&mixed).unwrap();
        assert_eq!(plan.hops.iter().map(|hop| hop.peer).collect::<Vec<_>>(), [peer(1), peer(4)]);
        assert_eq!(plan.hops[0].backup, [(peer(5), 0..4)]);
    }

    #[test]
    fn hosts_of_two_backends_that_have_the_blocks_together_are_a_conflict() {
        let unknown = HostView { backend: None, ..measured(2, 4..8, 1.0, 1.0) };
        for other in [by_ggml(measured(2, 4..8, 1.0, 1.0)), unknown] {
            let coverage = of(8, vec![measured(1, 0..4, 1.0, 1.0), other.clone()]);
            let error = coverage.plan(&Need::default()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Conflict);
            let named = other.backend.map_or("unknown", Backend::name);
            assert_eq!(error.context()["backends"], format!("candle, {named}"));
            assert!(coverage.plan(&Need { mixed_backends: true, ..Need::default() }).is_ok());
        }
        let gap = of(8, vec![measured(1, 0..4, 1.0, 1.0), by_ggml(measured(2, 5..8, 1.0, 1.0))]);
        assert_eq!(gap.plan(&Need::default()).unwrap_err().code(), ErrorCode::Unreachable, "a gap is a gap");
    }

    #[test]
    fn an_answer_that_was_begun_goes_on_by_its_backend_alone() {
        let mut coverage = of(8, vec![measured(1, 0..8, 1.0, 1.0), by_ggml(measured(2, 0..8, 2.0, 2.0))]);
        let path = coverage.path(&(0..8), &Need::default()).unwrap();
        assert_eq!((path[0].0, coverage.backend_of(&path)), (peer(1), Some(Backend::Candle)));
        coverage.keep_to(Backend::Candle);
        let gone = coverage.hosts.iter_mut().find(|host| host.peer == peer(1)).unwrap();
        gone.refused = Some(Error::unreachable("it is gone"));
        let error = coverage.path(&(0..8), &Need::default()).unwrap_err();
        assert!(error.context()["refused_hosts"].contains("(conflict)"), "{error:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn the_plan_is_as_good_as_the_best_of_all_paths(hosts in prop::collection::vec(host(), 0..6), blocks in 1u32..=6) {
            let hosts = hosts.into_iter().enumerate().map(|(number, host)| {
                let spans = host.spans.iter().map(|span| span.start..span.end.min(blocks));
                let spans = spans.filter(|span| !span.is_empty()).collect();
                HostView { peer: PEERS[number], spans, ..host }
            });
            let coverage = of(blocks, hosts.collect());
            let need = Need { tokens: 10, cache_bytes_per_token: 10, mixed_backends: false };
            let best = brute_force(&coverage, &need, 0, &[]);
            let plan = match coverage.plan(&need) {
                Ok(plan) => plan,
                Err(error) => {
                    prop_assert_eq!(best, None);
                    let gaps = coverage.gaps();
                    prop_assert_eq!(error.context().contains_key("gap"), !gaps.is_empty());
                    return Ok(());
                }
            };
            prop_assert_eq!(Some((plan.cost_ms * 1000.0).round() as u64), best);
            let mut at = 0;
            for hop in &plan.hops {
                let host = coverage.hosts.iter().find(|host| host.peer == hop.peer).unwrap();
                let run = hop.blocks.clone();
                prop_assert!(host.refused.is_none() && run.start == at && run.end > at);
                prop_assert!(host.spans.iter().any(|span| span.start <= run.start && run.end <= span.end));
                let without = brute_force(&coverage, &need, 0, &[hop.peer]);
                prop_assert_eq!(hop.otherwise_ms.map(|ms| (ms * 1000.0).round() as u64), without);
                prop_assert!(hop.backup.iter().all(|(peer, _)| *peer != hop.peer));
                at = run.end;
            }
            prop_assert_eq!(at, blocks);
        }
    }

    static PEERS: std::sync::LazyLock<Vec<PeerId>> = std::sync::LazyLock::new(|| (0..6).map(peer).collect());
}
