use super::*;
use crate::clock::ManualClock;

const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    store: Store,
    clock: ManualClock,
    remembered: Remembered,
}

impl World {
    async fn new() -> World {
        let (store, clock) = (Store::in_memory().unwrap(), "2026-01-01T00:00:00Z".parse::<ManualClock>().unwrap());
        let remembered = Remembered::load(PeerCache::new(store.clone(), Arc::new(clock.clone()))).await.unwrap();
        World { store, clock, remembered }
    }

    async fn again(&mut self) {
        self.remembered.flush().await;
        let cache = PeerCache::new(self.store.clone(), Arc::new(self.clock.clone()));
        self.remembered = Remembered::load(cache).await.unwrap();
    }

    fn reach(&mut self, address: &str, named: bool) -> PeerId {
        let peer = PeerId::random();
        self.remembered.note(peer, &address.parse().unwrap(), named);
        peer
    }

    fn turns(&self) -> Vec<PeerId> {
        self.remembered.waiting.iter().map(|(peer, _)| *peer).collect()
    }
}

#[tokio::test]
async fn who_was_named_is_dialled_first_and_then_who_was_reached_last() {
    let mut world = World::new().await;
    let old = world.reach("/ip4/8.8.8.8/tcp/1", false);
    world.clock.advance(DAY);
    let late = world.reach("/ip4/9.9.9.9/tcp/1", false);
    let named = world.reach("/ip4/1.1.1.1/tcp/1", true);
    world.again().await;
    assert_eq!(world.turns(), [named, late, old]);
    // Three more days of acquaintance outweigh a day without it.
    for _ in 0..3 {
        world.clock.advance(DAY);
        world.remembered.note(old, &"/ip4/8.8.8.8/tcp/1".parse().unwrap(), false);
    }
    world.clock.advance(DAY);
    world.remembered.note(late, &"/ip4/9.9.9.9/tcp/1".parse().unwrap(), false);
    world.again().await;
    assert_eq!(world.turns(), [named, old, late]);
}

#[tokio::test]
async fn one_range_fills_neither_the_cache_nor_the_first_dials() {
    let mut world = World::new().await;
    let honest = world.reach("/ip4/8.8.8.8/tcp/1", false);
    world.clock.advance(DAY);
    for host in 0..=255 {
        world.reach(&format!("/ip4/9.9.9.{host}/tcp/1"), false);
        world.reach(&format!("/ip4/7.7.{host}.1/tcp/1"), false);
        world.reach(&format!("/dns4/n{host}.example/tcp/1"), false);
    }
    for host in 0..100 {
        world.reach(&format!("/ip4/192.168.1.{host}/tcp/1"), false);
    }
    world.again().await;
    let of =
        |prefix: &str| world.remembered.rows.values().filter(|row| row.address.to_string().starts_with(prefix)).count();
    assert_eq!([of("/ip4/9.9.9."), of("/ip4/7.7."), of("/dns4/"), of("/ip4/192.168.")], [16, 64, 16, 100]);
    let place = world.turns().iter().position(|peer| *peer == honest);
    assert!(place.is_some_and(|place| place < 1 + 64 + 1 + 100 + 1), "{place:?}");
    let crowd = |(_, address): &&(PeerId, Multiaddr)| address.to_string().starts_with("/ip4/9.9.9.");
    assert!(world.remembered.waiting.iter().take(100).filter(crowd).count() <= 1);
}

#[tokio::test]
async fn the_cache_stays_within_its_bound_and_the_best_stay() {
    let mut world = World::new().await;
    let named = world.reach("/ip4/8.8.8.8/tcp/1", true);
    for host in 0..600u32 {
        world.clock.advance(Duration::from_secs(1));
        world.reach(&format!("/ip4/10.0.{}.{}/tcp/1", host / 250, host % 250), false);
    }
    world.again().await;
    assert_eq!(world.remembered.rows.len(), MAX_PEERS);
    assert_eq!(world.turns()[0], named);
    assert!(world.remembered.rows.values().all(|row| row.address.to_string() != "/ip4/10.0.0.0/tcp/1"));
}

#[tokio::test]
async fn rows_that_make_no_sense_are_dropped_and_removed() {
    let mut world = World::new().await;
    let peer = world.reach("/ip4/8.8.8.8/tcp/1", false);
    world.remembered.flush().await;
    let store = world.store.clone();
    store
        .write(|transaction| {
            let mut table = transaction.open_table(PEERS)?;
            table.insert(&b"no peer"[..], &b"\x01"[..])?;
            table.insert(PeerId::random().to_bytes().as_slice(), &b"\x01\x00nonsense"[..])?;
            Ok(())
        })
        .unwrap();
    world.again().await;
    assert_eq!(world.turns(), [peer]);
    world.remembered.flush().await;
    let left = store.read(|transaction| Ok(transaction.open_table(PEERS)?.iter()?.count())).unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_time_ahead_of_the_clock_is_worth_no_more_than_now() {
    let mut world = World::new().await;
    world.clock.advance(DAY * 1000);
    let ahead = world.reach("/ip4/8.8.8.8/tcp/1", false);
    world.remembered.flush().await;
    world.clock = "2026-01-02T00:00:00Z".parse().unwrap();
    world.again().await;
    let now = world.reach("/ip4/9.9.9.9/tcp/1", false);
    assert!(world.remembered.rows[&ahead].rank() <= world.remembered.rows[&now].rank());
}

#[tokio::test]
async fn a_bootstrap_that_is_named_no_more_loses_its_turn() {
    let mut world = World::new().await;
    let dismissed = world.reach("/ip4/6.6.6.6/tcp/1", true);
    world.clock.advance(DAY * 31);
    let friend = world.reach("/ip4/7.7.7.7/tcp/1", false);
    world.again().await;
    assert_eq!(world.turns(), [friend, dismissed]);
}
