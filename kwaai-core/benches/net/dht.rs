//! NN1: how long a store and a get take, in a network of five nodes of ours and in one of five of Python's.

use std::process::Command;
use std::time::{Duration, Instant};

use kwaai_core::net::Network;
use kwaai_core::net::hivemind::Value;
use serde_json::{Value as Json, json};

use crate::judge::Process;
use crate::node::{at, start, until};

/// Nodes in each network; a value is kept by as many.
const NODES: usize = 5;
/// Stores and gets in each run.
const KEYS: usize = 60;
const TTL: Duration = Duration::from_secs(60);

pub async fn measure(folder: &str, runs: usize) -> Json {
    let python = std::path::Path::new(folder).join(".venv/bin/python");
    if !python.exists() {
        return json!({"skipped": "the judge of hivemind is not installed; run `.ci/setup --test`"});
    }
    let mut judge =
        Process::start(Command::new(std::path::absolute(python).unwrap()).arg("judge.py").current_dir(folder));
    let mut initial = Vec::new();
    for node in 0..NODES {
        let name = node.to_string();
        let answer = judge.ask(&json!({"do": "start", "node": name, "initial_peers": initial}));
        if node == 0 {
            initial.push(answer["addresses"][0].clone());
        }
    }
    let mut ours = vec![start(vec![], true, Default::default()).await];
    while ours.len() < NODES {
        let next = start(vec![at(&ours[0])], true, Default::default()).await;
        until(|| next.hivemind().unwrap().known_nodes() >= 1).await;
        ours.push(next);
    }
    let last = (NODES - 1).to_string();
    let mut rounds = Vec::new();
    // The first round of each warms up its connections and does not count.
    for round in 0..=runs {
        let (stores, gets) = times(&ours[NODES - 1], round).await;
        let theirs = judge.ask(&json!({"do": "time", "node": last, "count": KEYS}));
        if round > 0 {
            rounds.push(json!({
                "stores": stores, "gets": gets, "their_stores": theirs["stores"], "their_gets": theirs["gets"],
            }));
        }
    }
    json!({"nodes": NODES, "keys": KEYS, "rounds": rounds})
}

/// Milliseconds of each store and get.
async fn times(network: &Network, round: usize) -> (Vec<f64>, Vec<f64>) {
    let dht = network.hivemind().unwrap();
    let (mut stores, mut gets) = (Vec::new(), Vec::new());
    for i in 0..KEYS {
        let began = Instant::now();
        let kept = dht.store(&format!("ours-{round}-{i}"), None, &Value::from(i as u64), TTL).await.unwrap();
        stores.push(began.elapsed().as_secs_f64() * 1000.0);
        assert_eq!(kept, NODES);
    }
    for i in 0..KEYS {
        let began = Instant::now();
        assert!(dht.get_complete(&format!("ours-{round}-{i}")).await.is_some());
        gets.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    (stores, gets)
}
