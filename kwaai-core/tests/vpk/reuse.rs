//! Whatever an owner does, at whatever hosts, with whatever backup of its database: nothing random is used twice.
//!
//! All vectors and all questions are one vector whose coordinates are equal. So a mask, a polynomial or a place of either that were used
//! twice would show as equal numbers among those that hosts are given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use kwaai_core::clock::SystemClock;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::store::Store;
use kwaai_core::vpk::{
    Call, Collection, CollectionConfig, Depot, DepotPolicy, HostName, Item, Metric, Mode, Placement, Request, Vpk,
};
use kwaai_core::{Error, ErrorCode, TrustGraph};
use proptest::prelude::*;
use serde_json::Map;

use crate::depots::{Depots, Fault};

const DIMENSION: usize = 8;
const VECTOR: [f32; DIMENSION] = [1.0; DIMENSION];
/// The first three keep the collection.
const HOSTS: u8 = 4;
/// The header of every message.
const HEAD: usize = 6;
/// Numbers that are compared together: no two such runs of 75 bits and more are alike by chance.
const RUN: usize = 3;

#[derive(Debug, Clone)]
enum Action {
    Put(Vec<u64>),
    Delete(Vec<u64>),
    Flush,
    Search,
    Rotate,
    Repair,
    Reopen,
    Keep,
    Restore,
    Fault(usize, Option<Fault>),
}

fn action() -> impl Strategy<Value = Action> {
    let ids = || prop::collection::vec(0u64..12, 1..5);
    let fault = prop_oneof![3 => Just(None), 1 => Just(Some(Fault::Away)), 2 => Just(Some(Fault::AnswerLost))];
    prop_oneof![
        4 => ids().prop_map(Action::Put),
        1 => ids().prop_map(Action::Delete),
        4 => Just(Action::Flush),
        2 => Just(Action::Search),
        1 => Just(Action::Rotate),
        1 => Just(Action::Repair),
        1 => Just(Action::Reopen),
        1 => Just(Action::Keep),
        2 => Just(Action::Restore),
        3 => (0usize..usize::from(HOSTS), fault).prop_map(|(host, fault)| Action::Fault(host, fault)),
    ]
}

struct World {
    dir: tempfile::TempDir,
    hosts: Arc<Depots>,
    opened: Option<(Vpk, Collection)>,
    /// Whether an older copy of the owner's data took the place of a newer one, after which hosts may know of a later owner than it.
    restored: bool,
}

impl World {
    async fn new(mode: Mode) -> World {
        let depot = |seed: u8| {
            let pair = Keypair::from_seed([seed; 32]);
            let (store, clock) = (Store::in_memory().unwrap(), Arc::new(SystemClock));
            let depot = Depot::open(store, pair.did().unwrap(), clock, DepotPolicy::of(64 << 20)).unwrap();
            (pair.peer_id(), depot)
        };
        let hosts = Arc::new(Depots::new(Keypair::from_seed([1; 32]), (10..10 + HOSTS).map(depot).collect()));
        let mut world = World { dir: tempfile::tempdir().unwrap(), hosts, opened: None, restored: false };
        let config = CollectionConfig {
            mode,
            dimension: DIMENSION,
            metric: Metric::Cosine,
            hosts: world.hosts.names()[..3].to_vec(),
            colluding: usize::from(mode == Mode::Split),
            placement: Placement::default(),
        };
        let vpk = vpk(&world.owner(), world.hosts.clone());
        let collection = vpk.create("all", config).await.unwrap();
        world.opened = Some((vpk, collection));
        world.back_up();
        world
    }

    fn owner(&self) -> std::path::PathBuf {
        self.dir.path().join("owner")
    }

    fn back_up(&self) {
        let backup = self.dir.path().join("backup");
        std::fs::create_dir_all(&backup).unwrap();
        std::fs::copy(self.owner().join("kwaainet.redb"), backup.join("kwaainet.redb")).unwrap();
    }

    async fn reopen(&mut self, between: impl FnOnce(&World)) {
        // What is still done in the background holds the database open.
        drop(self.opened.take());
        let store = loop {
            match Store::open(&self.owner()) {
                Ok(store) => break store,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        drop(store);
        between(self);
        let vpk = vpk(&self.owner(), self.hosts.clone());
        let collection = vpk.open("all").await.unwrap();
        self.opened = Some((vpk, collection));
    }

    /// A copy that hosts have left behind is told that another machine has the collection now.
    fn done_or_overtaken(&self, error: Option<Error>) {
        if let Some(error) = error {
            assert!(self.restored && error.code() == ErrorCode::Conflict, "{error:?}");
        }
    }

    /// Does it, or fails at hosts that are not what they should be.
    async fn act(&mut self, action: Action) {
        let (_, collection) = self.opened.as_ref().unwrap();
        match action {
            Action::Put(ids) => {
                let item = |id| Item::new(id, VECTOR.to_vec()).with_payload(*b"text");
                let put = collection.upsert(ids.into_iter().map(item).collect()).await;
                self.done_or_overtaken(put.err());
            }
            Action::Delete(ids) => {
                let deleted = collection.delete(ids).await;
                self.done_or_overtaken(deleted.err());
            }
            Action::Flush => drop(collection.flush().await),
            Action::Search => drop(collection.search(&VECTOR, 3, &Map::new()).await),
            Action::Rotate => drop(collection.rotate().await),
            Action::Repair => {
                let taken = collection.config().hosts;
                let spare: Vec<HostName> =
                    self.hosts.names().into_iter().filter(|host| !taken.contains(host)).collect();
                drop(collection.repair(spare).await);
            }
            Action::Reopen => self.reopen(|_| {}).await,
            Action::Keep => self.reopen(World::back_up).await,
            Action::Restore => {
                let restore = |world: &World| {
                    let backup = world.dir.path().join("backup").join("kwaainet.redb");
                    std::fs::copy(backup, world.owner().join("kwaainet.redb")).unwrap();
                };
                self.reopen(restore).await;
                self.restored = true;
            }
            Action::Fault(host, fault) => {
                let HostName::Peer(peer) = self.hosts.names()[host] else { panic!("a peer") };
                self.hosts.set(peer, fault);
            }
        }
    }
}

fn vpk(dir: &Path, hosts: Arc<Depots>) -> Vpk {
    let (store, pair, clock) = (Store::open(dir).unwrap(), Keypair::from_seed([1; 32]), Arc::new(SystemClock));
    let trust = TrustGraph::open(store.clone(), pair.signer().unwrap(), clock.clone()).unwrap();
    Vpk::new(store, trust, pair.did().unwrap(), clock, Some(hosts))
}

/// What a random thing is for, the host where each has its own, and the thing.
type Thing = (&'static str, Option<PeerId>, Vec<u8>);

/// Random things with the message that had them; those of one message may come again with the whole message.
#[derive(Default)]
struct Seen {
    messages: BTreeSet<(PeerId, Vec<u8>)>,
    things: BTreeMap<Thing, Vec<u8>>,
    counted: BTreeMap<&'static str, usize>,
}

impl Seen {
    /// `host` where each host has things of its own, `None` where copies may have the same ones.
    fn once(&mut self, what: &'static str, host: Option<PeerId>, thing: &[u8], message: &[u8]) {
        *self.counted.entry(what).or_default() += 1;
        if let Some(before) = self.things.insert((what, host, thing.to_vec()), message.to_vec()) {
            assert_eq!(before, message, "{what} used twice");
        }
    }

    /// The numbers of `width` bytes in a message, in runs.
    fn numbers(&mut self, what: &'static str, host: Option<PeerId>, bytes: &[u8], width: usize, message: &[u8]) {
        let numbers: Vec<&[u8]> = bytes.chunks_exact(width).collect();
        let runs: BTreeSet<Vec<u8>> = numbers.windows(RUN).map(|run| run.concat()).collect();
        assert_eq!(runs.len(), numbers.len() - RUN + 1, "{what} used twice in one message");
        runs.iter().for_each(|run| self.once(what, host, run, message));
    }

    fn look(&mut self, mode: Mode, host: PeerId, request: &Request) {
        let (call, site) = (&request.call, Some(host).filter(|_| mode == Mode::Split));
        let message = match call {
            Call::PutSegment(bytes) | Call::PutPayload(_, bytes) | Call::PutTopology(bytes) => bytes,
            Call::Ask(bytes) | Call::Admit(bytes) => bytes,
            _ => return,
        };
        // Delivered again, or put to another copy.
        if !self.messages.insert((host, message.clone())) {
            return;
        }
        match (call, mode) {
            (Call::PutSegment(_), _) => {
                self.once("the name of a segment", site, &message[HEAD..HEAD + 24], message);
                let width = if mode == Mode::Seal { 3 } else { 4 };
                self.numbers("a mask or polynomial", site, &message[HEAD + 32..], width, message);
            }
            // A page of a manifest but the first is anything.
            (Call::PutPayload(..) | Call::PutTopology(_), _) => {
                let nonce = if matches!(call, Call::PutTopology(_)) { HEAD + 108 } else { HEAD };
                self.once("a nonce", Some(host), &message[nonce..nonce + 24], message);
            }
            (Call::Ask(_), Mode::Seal) => {
                // The seed of the only ciphertext, behind the session, the layout and the dimension.
                self.once("the seed of a question", None, &message[HEAD + 52..HEAD + 84], message);
            }
            (Call::Ask(_), _) => self.numbers("a question's polynomial", site, &message[HEAD + 36..], 4, message),
            (Call::Admit(_), Mode::Seal) => {
                self.once("the seed of a session", None, &message[HEAD..HEAD + 32], message);
            }
            _ => {}
        }
    }
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());

/// What was used, and how often.
fn used(mode: Mode, actions: Vec<Action>) -> BTreeMap<&'static str, usize> {
    RUNTIME.block_on(async {
        let mut world = World::new(mode).await;
        let mut seen = Seen::default();
        for action in actions {
            world.act(action).await;
            world.hosts.asked().iter().for_each(|(host, request)| seen.look(mode, *host, request));
        }
        seen.counted
    })
}

#[test]
fn a_day_of_changes_faults_and_restored_backups_uses_nothing_random_twice() {
    for mode in [Mode::Seal, Mode::Split] {
        let put = || Action::Put(vec![1, 2, 3]);
        let away = |host, fault| Action::Fault(host, fault);
        let counted = used(
            mode,
            vec![
                put(),
                Action::Flush,
                Action::Search,
                Action::Keep,
                put(),
                Action::Flush,
                Action::Search,
                // What is sealed after it takes the places of what was sealed before.
                Action::Restore,
                put(),
                away(1, Some(Fault::AnswerLost)),
                Action::Flush,
                away(1, None),
                Action::Flush,
                Action::Search,
                Action::Rotate,
                away(2, Some(Fault::Away)),
                Action::Repair,
                away(2, None),
                Action::Search,
            ],
        );
        for what in ["the name of a segment", "a mask or polynomial", "a nonce"] {
            assert!(counted[what] >= 5, "{mode}: {counted:?}");
        }
        assert!(counted.keys().any(|what| what.contains("question")), "{mode}: {counted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 16, ..ProptestConfig::default() })]
    #[test]
    fn fuzz_nothing_random_is_used_twice(
        mode in prop_oneof![Just(Mode::Seal), Just(Mode::Split)],
        actions in prop::collection::vec(action(), 1..20),
    ) {
        used(mode, actions);
    }
}
