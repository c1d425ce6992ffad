//! A node that starts again without a bootstrap.

use std::path::Path;
use std::time::Duration;

use kwaai_core::net::NetworkEvent;
use kwaai_core::{Config, ErrorCode, Node};

use super::support::*;

/// A node that keeps its data in a directory, if one is given, and can be dialled, unless it is told not to listen.
async fn start_in(dir: Option<&Path>, listens: bool, bootstrap: Option<&Node>) -> Node {
    let mut config = Config { data_dir: dir.map(Path::to_path_buf), ..Config::default() };
    config.listen.truncate(usize::from(listens));
    config.bootstrap = bootstrap.map(at).into_iter().collect();
    Node::start(config).await.unwrap()
}

fn at(node: &Node) -> String {
    node.info().unwrap().addresses[0].to_string()
}

/// Runs a node until it has reached another, and ends it.
async fn reach(node: &Node, other: &Node) {
    let (peer, mut events) = (other.peer_id(), node.events());
    node.connect(&at(other)).await.unwrap();
    if !node.peers().await.unwrap().iter().any(|known| known.peer_id == peer && !known.agent.is_empty()) {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerIdentified { peer: p, .. } if *p == peer))
            .await;
    }
}

async fn end(nodes: impl IntoIterator<Item = Node>) {
    for node in nodes {
        node.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_needs_no_bootstrap() {
    let dir = tempfile::tempdir().unwrap();
    let bootstrap = start_in(None, true, None).await;
    let other = start_in(None, true, Some(&bootstrap)).await;
    // It listens nowhere, so that whoever it knows was dialled by it.
    let node = start_in(Some(dir.path()), false, Some(&bootstrap)).await;
    reach(&node, &bootstrap).await;
    reach(&node, &other).await;
    end([node, bootstrap]).await;

    // One that the node has never met is found through the one that it remembers.
    let stranger = start_in(None, true, Some(&other)).await;
    let again = start_in(Some(dir.path()), false, None).await;
    again.send_message(other.peer_id(), "hello").await.unwrap();
    again.send_message(stranger.peer_id(), "hello").await.unwrap();
    end([again, other, stranger]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_shall_remember_nobody_dials_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let other = start_in(None, true, None).await;
    let quiet = || Config { data_dir: Some(dir.path().into()), listen: vec![], peer_cache: false, ..Config::default() };
    // Neither does it note whom it reaches, nor does it dial whom an earlier run noted.
    let node = Node::start(quiet()).await.unwrap();
    reach(&node, &other).await;
    end([node]).await;
    let again = start_in(Some(dir.path()), false, None).await;
    assert_eq!(again.send_message(other.peer_id(), "hello").await.unwrap_err().code(), ErrorCode::Unreachable);
    reach(&again, &other).await;
    end([again]).await;
    let node = Node::start(quiet()).await.unwrap();
    assert_eq!(node.send_message(other.peer_id(), "hello").await.unwrap_err().code(), ErrorCode::Unreachable);
    end([node, other]).await;
}
