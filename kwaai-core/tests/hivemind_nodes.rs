//! Nodes of ours in hivemind's DHT, among themselves. `hivemind_judges.rs` has them among Python's.

use std::time::Duration;

use hivemind::{MINUTE, at, dht, entries, network, plain, start, until};
use kwaai_core::ErrorCode;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::hivemind::messages::PLAIN;
use kwaai_core::net::hivemind::record::keys::OUR_NODES;
use kwaai_core::net::hivemind::{DhtId, Fields, Settings, Value, msgpack};
use kwaai_core::net::{Multiaddr, Network, NetworkConfig, ReachConfig};

#[path = "support/hivemind.rs"]
mod hivemind;

/// Nodes that joined through the first of them, once each knows all others.
async fn nodes(listen: &str, count: usize) -> Vec<Network> {
    let first = network(listen, vec![], Some(Settings::default())).await;
    let mut nodes = vec![first];
    while nodes.len() < count {
        nodes.push(network(listen, vec![at(&nodes[0])], Some(Settings::default())).await);
        until(|| nodes.iter().all(|node| dht(node).known_nodes() == nodes.len() - 1)).await;
    }
    nodes
}

async fn end(nodes: Vec<Network>) {
    for node in nodes {
        node.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_reads_every_key_also_after_one_of_them_is_gone() {
    let mut nodes = nodes("/ip4/127.0.0.1/tcp/0", 8).await;
    for i in 0..40usize {
        let writer = dht(&nodes[i % nodes.len()]);
        let kept = writer.store(&format!("key-{i}"), None, &Value::from(i as u64), MINUTE).await.unwrap();
        assert_eq!(kept, 5, "key-{i}");
    }
    let gone = nodes.remove(3);
    gone.shutdown(Duration::ZERO).await.unwrap();
    for node in &nodes {
        for i in 0..40u64 {
            assert_eq!(plain(dht(node).get(&format!("key-{i}")).await), Some(Value::from(i)), "key-{i}");
        }
    }
    end(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sub_keys_of_several_writers_are_read_together_over_quic() {
    let nodes = nodes("/ip4/127.0.0.1/udp/0/quic-v1", 3).await;
    for (i, node) in nodes.iter().enumerate() {
        let subkey = Value::from(format!("writer-{i}"));
        assert_eq!(dht(node).store("map", Some(&subkey), &Value::from(i as u64), MINUTE).await.unwrap(), 3);
    }
    for node in &nodes {
        let read = entries(dht(node).get_complete("map").await);
        let all = (0..3u64).map(|i| (Value::from(format!("writer-{i}")), Value::from(i)));
        assert_eq!(read, all.collect::<Vec<_>>());
    }
    assert_eq!(dht(&nodes[0]).store("map", None, &Value::from("plain"), Duration::from_secs(1)).await.unwrap(), 0);
    end(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_later_is_given_what_it_is_to_keep() {
    let first = network("/ip4/127.0.0.1/tcp/0", vec![], Some(Settings::default())).await;
    assert_eq!(dht(&first).store("early", None, &Value::from("bird"), MINUTE).await.unwrap(), 1);
    let second = network("/ip4/127.0.0.1/tcp/0", vec![at(&first)], Some(Settings::default())).await;
    until(|| dht(&first).known_nodes() == 1 && dht(&second).known_nodes() == 1).await;
    until(|| dht(&second).kept_keys() == 1).await;
    first.shutdown(Duration::ZERO).await.unwrap();
    assert_eq!(plain(dht(&second).get("early").await), Some(Value::from("bird")));
    end(vec![second]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_answered_with_place_and_clock_and_pinged_back() {
    let nodes = nodes("/ip4/127.0.0.1/tcp/0", 2).await;
    let pong = dht(&nodes[1]).ping(peer(&nodes[0]), true).await.unwrap();
    assert_eq!(pong.id, Some(dht(&nodes[0]).id()));
    assert!(pong.available);
    assert!(dht(&nodes[1]).reachable_from(peer(&nodes[0])).await.unwrap());
    end(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_records_are_signed_with_addresses_and_gone_after_a_shutdown() {
    let mut nodes = nodes("/ip4/127.0.0.1/tcp/0", 3).await;
    let writer = nodes.pop().unwrap();
    let mut fields = Fields::default();
    fields.set("public_name", Value::from("alice"));
    assert_eq!(dht(&writer).announce(OUR_NODES, fields.clone()).await.unwrap(), 3);
    // Somebody else claims to be a peer, later.
    let claimed = msgpack::encode(&fields.to_value());
    let subkey = msgpack::encode(&Value::from(PeerId::random().to_base58()));
    assert_eq!(dht(&nodes[0]).store_raw(DhtId::of_text(OUR_NODES), subkey, claimed, 4e9).await.unwrap(), 3);
    let read = dht(&nodes[1]).announced(OUR_NODES).await;
    assert_eq!(read.iter().map(|record| record.signed).collect::<Vec<_>>(), [true, false]);
    assert_eq!((read[0].peer, read[0].fields.text("public_name")), (peer(&writer), Some("alice")));
    assert_eq!(read[0].addresses, writer.listen_addresses());
    // Nobody else takes its place, however late what they say expires, nor with a plain value.
    let (claimed, subkey) =
        (msgpack::encode(&fields.to_value()), msgpack::encode(&Value::from(peer(&writer).to_base58())));
    let (key, never) = (DhtId::of_text(OUR_NODES), read[0].expiration + 1e6);
    assert_eq!(dht(&nodes[0]).store_raw(key, subkey, claimed.clone(), never).await.unwrap(), 0);
    assert_eq!(dht(&nodes[0]).store_raw(key, PLAIN.to_vec(), claimed, never).await.unwrap(), 0);
    let again = dht(&nodes[1]).announced(OUR_NODES).await;
    assert_eq!((again[0].peer, again[0].signed), (peer(&writer), true));
    let theirs = dht(&writer).announce("_petals.models", fields).await;
    assert_eq!(theirs.unwrap_err().code(), ErrorCode::InvalidArgument);
    writer.shutdown(Duration::ZERO).await.unwrap();
    let read = dht(&nodes[1]).announced(OUR_NODES).await;
    assert_eq!(read.iter().map(|record| record.signed).collect::<Vec<_>>(), [false]);
    end(nodes).await;
}

fn peer(network: &Network) -> PeerId {
    use kwaai_core::net::Peers;
    network.local_peer()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_hivemind_speaks_none_of_it() {
    let quiet = network("/ip4/127.0.0.1/tcp/0", vec![], None).await;
    assert!(quiet.hivemind().is_none());
    let node = network("/ip4/127.0.0.1/tcp/0", vec![at(&quiet)], Some(Settings::default())).await;
    node.connect(at(&quiet)).await.unwrap();
    assert_eq!(dht(&node).ping(peer(&quiet), false).await.unwrap_err().code(), ErrorCode::Unsupported);
    assert_eq!(dht(&node).known_nodes(), 0);
    end(vec![node, quiet]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused_before_anybody_is_asked() {
    let node = network("/ip4/127.0.0.1/tcp/0", vec![], Some(Settings::default())).await;
    let late = dht(&node).store("key", None, &Value::Nil, Duration::ZERO).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::InvalidArgument);
    let key = DhtId::of_text("key");
    let long = dht(&node).store_raw(key, PLAIN.to_vec(), vec![0; 4 << 20], 4e9).await;
    assert_eq!(long.unwrap_err().code(), ErrorCode::InvalidArgument);
    end(vec![node]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_where_its_node_is_announced_and_not_where_it_listens() {
    let reader = network("/ip4/127.0.0.1/tcp/0", vec![], Some(Settings::default())).await;
    let told: Multiaddr = "/dns4/alice.example/tcp/443".parse().unwrap();
    let config = NetworkConfig {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: vec![at(&reader)],
        hivemind: Some(Settings::default()),
        reach: ReachConfig { announce: vec![told.clone()], ..ReachConfig::default() },
        ..NetworkConfig::new(Keypair::generate())
    };
    let writer = start(config).await;
    until(|| dht(&writer).known_nodes() == 1).await;
    dht(&writer).announce(OUR_NODES, Fields::default()).await.unwrap();
    let read = dht(&reader).announced(OUR_NODES).await;
    let whole: Multiaddr = format!("{told}/p2p/{}", peer(&writer)).parse().unwrap();
    assert_eq!(read[0].addresses, [whole]);
    end(vec![writer, reader]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_asked_for_many_times_in_one_request_is_refused() {
    let nodes = nodes("/ip4/127.0.0.1/tcp/0", 2).await;
    let key = DhtId::of_text("key");
    let value = Value::Binary(vec![7; 1 << 20]);
    assert_eq!(dht(&nodes[0]).store("key", None, &value, MINUTE).await.unwrap(), 2);
    let asked = dht(&nodes[1]).find_at(peer(&nodes[0]), &[key, DhtId::of_text("other")]).await.unwrap();
    assert_eq!(asked.results[0].value.len(), msgpack::encode(&value).len());
    let error = dht(&nodes[1]).find_at(peer(&nodes[0]), &[key; 1024]).await.unwrap_err();
    assert!(error.message().contains("each key once"), "{error}");
    end(nodes).await;
}
