//! What a node counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwaai_core::identity::PeerId;
use kwaai_core::metric::{Measurement, prometheus};
use kwaai_core::net::{Network, Peers};
use kwaai_core::trust::Purpose;
use kwaai_core::{Config, Error, ErrorCode, Node};

use super::support::*;

/// The measurements of a name that have these attributes.
fn of<'a>(metrics: &'a [Measurement], name: &str, attributes: &[(&str, &str)]) -> Vec<&'a Measurement> {
    let fits = |metric: &&Measurement| {
        let has = |(key, value): &(&str, &str)| metric.attributes.get(key).is_some_and(|own| own == value);
        metric.name == name && attributes.iter().all(has)
    };
    metrics.iter().filter(fits).collect()
}

fn value(network: &Network, name: &str, attributes: &[(&str, &str)]) -> f64 {
    of(&network.metrics(), name, attributes).iter().map(|metric| metric.value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_connections_and_bytes_are_counted_on_both_sides() {
    let (alice, bob) = (node().await, node().await);
    assert_eq!(value(&alice, "kwaainet.peers", &[]), 0.0);
    bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_: PeerId, body: Bytes| async move { Ok(body) }))).unwrap();
    let fails = |_, _| async { Err(Error::not_found("no")) };
    bob.serve_unary("fails", Purpose::Open, Arc::new(Answer(fails))).unwrap();
    alice.connect(address(&bob)).await.unwrap();
    let (peer, body) = (bob.local_peer(), Bytes::from(vec![7; 100_000]));
    for _ in 0..3 {
        alice.call(peer, "echo", body.clone(), PATIENCE).await.unwrap();
    }
    alice.call(peer, "fails", Bytes::new(), PATIENCE).await.unwrap_err();
    for name in ["what", "ever"] {
        let error = alice.call(peer, name, Bytes::new(), PATIENCE).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unsupported);
    }
    assert_eq!(value(&alice, "kwaainet.peers", &[("kwaainet.path", "direct")]), 1.0);
    let outbound = [("network.transport", "tcp"), ("kwaainet.direction", "outbound")];
    assert_eq!(value(&alice, "kwaainet.connection.count", &outbound), 1.0);
    assert_eq!(value(&bob, "kwaainet.connection.count", &[("kwaainet.direction", "inbound")]), 1.0);
    assert_eq!(value(&bob, "kwaainet.connection.opened", &[("kwaainet.direction", "inbound")]), 1.0);
    for (network, direction) in [(&alice, "transmit"), (&alice, "receive"), (&bob, "transmit"), (&bob, "receive")] {
        let bytes = value(network, "kwaainet.network.io", &[("network.io.direction", direction)]);
        assert!((300_000.0..310_000.0).contains(&bytes), "{bytes} {direction}");
    }
    for (network, name) in [(&alice, "rpc.client.call.duration"), (&bob, "rpc.server.call.duration")] {
        let metrics = network.metrics();
        let count = |attributes: &[(&str, &str)]| {
            of(&metrics, name, attributes).iter().filter_map(|metric| metric.count).sum::<u64>()
        };
        assert_eq!(count(&[("rpc.system.name", "kwaainet"), ("rpc.method", "echo")]), 3, "{name}");
        assert_eq!(count(&[("rpc.method", "fails"), ("error.type", "not_found")]), 1, "{name}");
        // The host does not tell apart what it does not serve.
        let unknown =
            if network.local_peer() == peer { [("rpc.method", "_OTHER")] } else { [("error.type", "unsupported")] };
        assert_eq!(count(&unknown), 2, "{name}");
    }
    let text = prometheus(&bob.metrics());
    assert!(
        text.contains("rpc_server_call_duration_seconds_count{rpc_method=\"echo\",rpc_system_name=\"kwaainet\"} 3\n"),
        "{text}"
    );
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_and_what_nobody_answers_is_counted() {
    let host = node_with(kwaai_core::net::Limits { max_incoming_per_local_range: 0, ..Default::default() }).await;
    let guest = node().await;
    let mut events = guest.events();
    if guest.connect(address(&host)).await.is_ok() {
        wait_for(&mut events, |event| matches!(event, kwaai_core::net::NetworkEvent::PeerDisconnected { .. })).await;
    } else {
        assert!(value(&guest, "kwaainet.dials.failed", &[]) >= 1.0);
    }
    patiently(async {
        while value(&host, "kwaainet.connection.refused", &[]) == 0.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for network in [guest, host] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_measures_until_it_ends() {
    let node = Node::start(Config { hivemind: true, ..Config::default() }).await.unwrap();
    let metrics = node.metrics().unwrap();
    assert_eq!(of(&metrics, "kwaainet.uptime", &[]).len(), 1);
    assert_eq!(of(&metrics, "kwaainet.hivemind.nodes", &[])[0].value, 0.0);
    node.shutdown(Duration::ZERO).await.unwrap();
    assert_eq!(node.metrics().unwrap_err().code(), ErrorCode::Closed);
}
