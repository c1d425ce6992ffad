use super::*;

const LISTEN: &str = "/ip4/192.168.1.5/tcp/4001";
const OUTSIDE: &str = "/ip4/8.8.8.8/tcp/4001";

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn reach(config: ReachConfig) -> Reach {
    Reach { listening: vec![address(LISTEN)], ..Reach::new(config) }
}

fn shown(reach: &Reach, now: Instant) -> (Verdict, Vec<String>) {
    let Judgement { verdict, announced, .. } = reach.judge(now);
    let mut announced: Vec<String> = announced.iter().map(ToString::to_string).collect();
    announced.sort();
    (verdict, announced)
}

#[tokio::test]
async fn the_stronger_word_counts() {
    let now = Instant::now();
    let later = now + ReachConfig::default().identify_timeout;
    let mut reach = reach(ReachConfig::default());
    assert_eq!(shown(&reach, now), (Verdict::Unknown, vec![LISTEN.into()]));
    for _ in 0..2 {
        reach.observed(PeerId::random(), &address("/ip4/8.8.8.8/tcp/55555"), now);
    }
    assert_eq!(shown(&reach, now).0, Verdict::Unknown, "somebody may still try");
    assert_eq!(shown(&reach, later), (Verdict::Public, vec![LISTEN.into(), OUTSIDE.into()]));
    let mapped = "/ip4/8.8.8.8/tcp/5000";
    reach.mapped(address(mapped));
    assert_eq!(shown(&reach, later), (Verdict::Public, vec![LISTEN.into(), mapped.into()]));
    reach.missed(&address(OUTSIDE));
    assert_eq!(shown(&reach, later), (Verdict::Private, vec![LISTEN.into()]));
    reach.reached(&address(OUTSIDE));
    assert_eq!(shown(&reach, later), (Verdict::Public, vec![LISTEN.into(), OUTSIDE.into()]));
}

#[tokio::test]
async fn the_owners_word_counts_most() {
    let now = Instant::now();
    let announce = vec![address("/dns4/node.example/tcp/443")];
    let mut declared = reach(ReachConfig { announce, force_private: true, ..ReachConfig::default() });
    declared.missed(&address(OUTSIDE));
    assert_eq!(shown(&declared, now), (Verdict::Public, vec!["/dns4/node.example/tcp/443".into()]));
    let public_ip = Some("8.8.8.8".parse().unwrap());
    let forwarded = reach(ReachConfig { public_ip, public_port: Some(80), ..ReachConfig::default() });
    assert_eq!(shown(&forwarded, now), (Verdict::Public, vec!["/ip4/8.8.8.8/tcp/80".into()]));
    let mut private = reach(ReachConfig { force_private: true, ..ReachConfig::default() });
    private.reached(&address(OUTSIDE));
    assert_eq!(shown(&private, now), (Verdict::Private, Vec::new()));
}

#[tokio::test]
async fn what_nobody_outside_can_dial_is_not_announced() {
    let now = Instant::now();
    let mut reach = reach(ReachConfig::default());
    reach.listening.push(address("/ip4/1.2.3.4/tcp/4001"));
    assert_eq!(shown(&reach, now).1.len(), 2);
    reach.missed_by_v1();
    assert_eq!(shown(&reach, now), (Verdict::Private, vec![LISTEN.into()]));
}

#[tokio::test]
async fn a_word_of_the_home_network_says_nothing_of_the_internet() {
    let now = Instant::now();
    let mut reach = reach(ReachConfig { identify_timeout: Duration::ZERO, ..ReachConfig::default() });
    for _ in 0..9 {
        reach.observed(PeerId::random(), &address("/ip4/192.168.1.5/tcp/4001"), now);
    }
    reach.reached(&address(LISTEN));
    reach.missed(&address("/ip4/192.168.1.5/tcp/9"));
    assert_eq!(shown(&reach, now), (Verdict::Unknown, vec![LISTEN.into()]));
}

#[tokio::test]
async fn peers_that_left_no_longer_count() {
    let now = Instant::now();
    let mut reach = reach(ReachConfig { identify_timeout: Duration::ZERO, ..ReachConfig::default() });
    let peers = [PeerId::random(), PeerId::random()];
    for peer in peers {
        reach.observed(peer, &address(OUTSIDE), now);
    }
    assert_eq!(shown(&reach, now).0, Verdict::Public);
    reach.gone(peers[0]);
    assert_eq!(shown(&reach, now).0, Verdict::Unknown);
}

#[test]
fn what_cannot_be_announced_is_refused_by_name() {
    let key = |config: ReachConfig, listens| config.validate(listens).unwrap_err().context()["key"].to_string();
    let config = ReachConfig::default;
    config().validate(true).unwrap();
    let announce = vec![address("/ip4/0.0.0.0/tcp/1")];
    assert_eq!(key(ReachConfig { announce, ..config() }, true), "announce_addr");
    let public_ip = Some("192.168.0.1".parse().unwrap());
    assert_eq!(key(ReachConfig { public_ip, ..config() }, true), "public_ip");
    let public_ip = Some("8.8.8.8".parse().unwrap());
    assert_eq!(key(ReachConfig { public_ip, ..config() }, false), "public_ip");
    assert_eq!(key(ReachConfig { public_port: Some(0), ..config() }, true), "public_port");
    let none = ReachConfig { identify_min_confirmations: 0, ..config() };
    assert_eq!(key(none, true), "identify_min_confirmations");
    let nowhere = ReachConfig { announce: vec![address("/ip4/1.2.3.4/sctp/1")], ..config() };
    assert!(nowhere.validate(true).is_err());
}

#[test]
fn what_the_router_forwards_counts_more_than_what_was_missed_before() {
    let now = Instant::now();
    let mut reach = reach(ReachConfig { upnp: true, ..ReachConfig::default() });
    reach.missed(&address(OUTSIDE));
    reach.missed_by_v1();
    assert_eq!(shown(&reach, now).0, Verdict::Private);
    reach.mapped(address(OUTSIDE));
    assert_eq!(shown(&reach, now).0, Verdict::Public);
}

#[test]
fn who_moves_behind_another_router_is_not_public_there() {
    let now = Instant::now();
    let mut reach = reach(ReachConfig::default());
    reach.reached(&address(OUTSIDE));
    assert_eq!(shown(&reach, now).0, Verdict::Public);
    for _ in 0..2 {
        reach.observed(PeerId::random(), &address("/ip4/9.9.9.9/tcp/61234"), now);
    }
    reach.missed(&address("/ip4/9.9.9.9/tcp/4001"));
    assert_eq!(shown(&reach, now).0, Verdict::Private);
}

#[test]
fn a_port_that_this_node_only_called_from_is_tried_by_nobody() {
    let reach = reach(ReachConfig::default());
    let tried = |observed: &str, own_port| -> Vec<String> {
        reach.behind(&address(observed), own_port).iter().map(ToString::to_string).collect()
    };
    assert_eq!(tried("/ip4/8.8.8.8/tcp/55555", true), [OUTSIDE, "/ip4/8.8.8.8/tcp/55555"]);
    assert_eq!(tried("/ip4/8.8.8.8/tcp/55555", false), [OUTSIDE]);
    assert_eq!(tried("/ip4/192.168.1.5/tcp/55555", true), [LISTEN], "no router stands in between");
}
