//! Many nodes on one machine, each of which was told of one other.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use kwaai_core::net::{Network, NetworkConfig, Peers};

use super::support::{TCP, address, config, start};

/// `make bench-crowd` takes 200.
const NODES: usize = 30;
/// Whom each node looks for: those so many places further on, so that each is looked for by as many.
const STRIDES: [usize; 3] = [1, 17, 41];
/// Lookups at the same time; more would measure the machine.
const AT_ONCE: usize = 4;
/// Long enough for so many nodes on a machine that does other work too.
const PATIENCE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_know_one_bootstrap_find_each_other() {
    let count = std::env::var("KWAAINET_CROWD").map_or(NODES, |text| text.parse().unwrap());
    let node = |bootstrap| NetworkConfig { bootstrap, ..config(TCP) };
    let mut nodes = vec![start(node(vec![])).await];
    let bootstrap = address(&nodes[0]);
    while nodes.len() < count {
        nodes.push(start(node(vec![bootstrap.clone()])).await);
    }
    let at: BTreeMap<_, _> = nodes.iter().map(|node| (node.local_peer(), address(node))).collect();
    let pairs = (0..count).flat_map(|from| STRIDES.map(|stride| (from, (from + stride) % count)));
    let look = |(from, to): (usize, usize)| {
        let (node, peer) = (&nodes[from], nodes[to].local_peer());
        let at = &at;
        async move {
            // Who has just come may not be known yet where it is going to be.
            let found = async {
                while !node.find_peer(peer).await.is_ok_and(|found| found.contains(&at[&peer])) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, found).await.expect("a node is not found");
        }
    };
    stream::iter(pairs).map(look).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    // What is found can be dialled: by everybody, somebody it was not told of.
    let greet = |from: usize| {
        let (node, peer) = (&nodes[from], nodes[(from + count / 2) % count].local_peer());
        async move { node.send_message(peer, "hello").await.unwrap() }
    };
    stream::iter(1..count).map(greet).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let known = nodes.iter().map(|node| node.connected().len()).max().unwrap_or_default();
    let metrics = nodes.iter().flat_map(Network::metrics);
    let opened = metrics.filter(|metric| metric.name == "kwaainet.connection.opened").map(|metric| metric.value);
    println!("{count} nodes; the busiest has {known} connections; {} ends were opened in all", opened.sum::<f64>());
    futures::future::join_all(nodes.iter().map(end)).await;
}

async fn end(node: &Network) {
    node.shutdown(Duration::ZERO).await.unwrap();
}
