//! NN2: how many stores and finds a second one node answers. Node and callers share the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kwaai_core::identity::PeerId;
use kwaai_core::net::hivemind::messages::PLAIN;
use kwaai_core::net::hivemind::{DhtId, Hivemind, Item, Value, msgpack};
use kwaai_core::net::{Multiaddr, Network};
use serde_json::{Value as Json, json};

use crate::node::{Other, at, end_of_input, start};

/// Nodes that call.
const CALLERS: usize = 2;
/// How many values a call has, and how many calls of each caller are under way at the same time.
const LOADS: [(&str, usize, usize); 2] = [("single", 1, 64), ("batched", 64, 4)];
const RUNS: usize = 7;
const RUN: Duration = Duration::from_secs(2);

/// What a run asks for.
#[derive(Clone, Copy)]
enum What {
    Stores,
    Finds,
}

/// A node that answers until its starter is gone.
pub async fn keep() {
    let network = start(vec![], true, Default::default()).await;
    println!("{}", at(&network));
    end_of_input().await;
}

pub async fn measure() -> Json {
    let mut server = Other::start(&["server", "keep"]);
    let address: Multiaddr = server.line().parse().unwrap();
    let mut callers = Vec::new();
    let mut peer = None;
    for _ in 0..CALLERS {
        let network = start(vec![], true, Default::default()).await;
        peer = Some(network.connect(address.clone()).await.unwrap());
        callers.push(network);
    }
    let (peer, mut base) = (peer.unwrap(), 0);
    let mut figures = json!({});
    for (name, batch, calls) in LOADS {
        let (mut stores, mut finds, mut cpu) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
        for run in 0..=RUNS {
            let (stored, busy) = work(&callers, peer, What::Stores, (batch, calls), base, server.id()).await;
            let (found, busy_too) = work(&callers, peer, What::Finds, (batch, calls), base, server.id()).await;
            base += 1 << 24;
            if run > 0 {
                stores.push(stored);
                finds.push(found);
                cpu.0.push(stored / busy);
                cpu.1.push(found / busy_too);
            }
        }
        figures[name] = json!({"stores": stores, "finds": finds, "stores_of_a_cpu": cpu.0, "finds_of_a_cpu": cpu.1});
    }
    figures
}

/// Values a second, and the cores that the server used.
async fn work(
    callers: &[Network],
    peer: PeerId,
    what: What,
    (batch, calls): (usize, usize),
    base: usize,
    server: u32,
) -> (f64, f64) {
    let (done, next) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(base)));
    let (began, cpu) = (Instant::now(), cpu_seconds(server));
    let tasks = callers.iter().flat_map(|network| (0..calls).map(|_| network.hivemind().unwrap())).map(|dht| {
        let (done, next) = (done.clone(), next.clone());
        tokio::spawn(async move {
            while began.elapsed() < RUN {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                ask(&dht, peer, what, first, batch).await;
                done.fetch_add(batch, Ordering::Relaxed);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    (done.load(Ordering::Relaxed) as f64 / seconds, (cpu_seconds(server) - cpu) / seconds)
}

async fn ask(dht: &Hivemind, peer: PeerId, what: What, first: usize, batch: usize) {
    let keys = (first..first + batch).map(|number| DhtId::of_text(&number.to_string()));
    match what {
        What::Stores => {
            let item = |key| Item {
                key,
                subkey: PLAIN.to_vec(),
                value: msgpack::encode(&Value::from("a value of some length, as a small record has it")),
                expiration: now() + 600.0,
                in_cache: false,
            };
            let kept = dht.store_at(peer, &keys.map(item).collect::<Vec<_>>()).await.unwrap();
            assert!(kept.iter().all(|kept| *kept));
        }
        // More may be asked for than was stored: what is not there costs the node a look as well.
        What::Finds => {
            let found = dht.find_at(peer, &keys.collect::<Vec<_>>()).await.unwrap();
            assert_eq!(found.results.len(), batch);
        }
    }
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What a process has used of the processors, user and system time together.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = after_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse().ok()).collect();
    ticks.iter().sum::<f64>() / 100.0
}
