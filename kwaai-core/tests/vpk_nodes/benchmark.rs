//! A benchmark over real nodes: what it measures, and that nothing of it stays.

use kwaai_core::event::Item;
use kwaai_core::vpk::{BenchmarkConfig, BenchmarkStep, HostName, Mode};
use kwaai_core::{Config, ErrorCode, Node};

use crate::hosts::{GRACE, connect, open_policy, until};

async fn hosting() -> Node {
    let host = Node::start(Config::default()).await.unwrap();
    host.vpk().host(open_policy()).await.unwrap();
    host
}

async fn is_empty(host: &Node) -> Option<()> {
    host.vpk().hosted().unwrap().tenants().unwrap().is_empty().then_some(())
}

fn tiny(hosts: &[&Node]) -> BenchmarkConfig {
    let hosts = hosts.iter().map(|host| HostName::Peer(host.peer_id())).collect();
    BenchmarkConfig { sizes: vec![30], dimension: 16, hosts, questions: 3, ..BenchmarkConfig::default() }
}

fn value(item: Item<BenchmarkStep>) -> BenchmarkStep {
    item.value().expect("no step is missed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_benchmark_that_is_left_early_deletes_what_it_made_and_makes_room_for_another() {
    let (owner, host) = (Node::start(Config::default()).await.unwrap(), hosting().await);
    connect(&owner, &host).await;
    let vpk = owner.vpk();
    let large = BenchmarkConfig { sizes: vec![4000], questions: 1000, modes: vec![Mode::Seal], ..tiny(&[&host]) };
    let mut steps = vpk.benchmark(large).unwrap();
    assert_eq!(vpk.benchmark(tiny(&[&host])).err().unwrap().code(), ErrorCode::Busy);
    while value(steps.next().await.unwrap().unwrap()).done == 0 {}
    until(|| async { is_empty(&host).await.is_none().then_some(()) }).await;
    drop(steps);
    until(|| is_empty(&host)).await;
    let mut steps = until(|| async { vpk.benchmark(tiny(&[&host])).ok() }).await;
    let mut rows = 0;
    while let Some(step) = steps.next().await.unwrap() {
        rows += usize::from(value(step).row.is_some());
    }
    assert_eq!((rows, vpk.collections().await.unwrap().len()), (3, 0));
    is_empty(&host).await.unwrap();
    owner.shutdown(GRACE).await.unwrap();
    host.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_refuses_ends_the_benchmark_with_its_reason() {
    let (owner, host) = (Node::start(Config::default()).await.unwrap(), Node::start(Config::default()).await.unwrap());
    connect(&owner, &host).await;
    let mut steps = owner.vpk().benchmark(tiny(&[&host])).unwrap();
    let failed = loop {
        match steps.next().await {
            Ok(step) => value(step.expect("it does not end well")),
            Err(error) => break error,
        };
    };
    assert_eq!(failed.code(), ErrorCode::Unsupported);
    assert_eq!(owner.vpk().collections().await.unwrap().len(), 0);
    owner.shutdown(GRACE).await.unwrap();
    host.shutdown(GRACE).await.unwrap();
}
