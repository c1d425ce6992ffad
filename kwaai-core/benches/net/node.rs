//! Nodes of ours, and programs that are this one again.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kwaai_core::Result;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::hivemind::Settings;
use kwaai_core::net::{Limits, Multiaddr, Network, NetworkConfig, ReachConfig};
use kwaai_core::trust::{Gate, Purpose};

struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn admit(&self, _: PeerId, _: Purpose) -> Result<()> {
        Ok(())
    }
}

/// A node on loopback over TCP that lets everybody in, in hivemind's DHT if it is told so.
pub async fn start(bootstrap: Vec<Multiaddr>, hivemind: bool, limits: Limits) -> Network {
    let hivemind = hivemind.then(Settings::default);
    run(NetworkConfig { bootstrap, hivemind, limits, ..config() }).await
}

/// The same, which nobody dials to see whether it can be reached: each connection is one that the benchmark made.
pub async fn start_untried() -> Network {
    run(NetworkConfig { reach: ReachConfig { autonat: false, ..ReachConfig::default() }, ..config() }).await
}

fn config() -> NetworkConfig {
    let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    NetworkConfig { listen, ..NetworkConfig::new(Keypair::generate()) }
}

async fn run(config: NetworkConfig) -> Network {
    Network::start(config, Arc::new(Everybody)).await.unwrap()
}

pub fn at(network: &Network) -> Multiaddr {
    network.listen_addresses()[0].clone()
}

/// Waits until something holds.
pub async fn until(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting).await.expect("it takes too long");
}

/// This program again, with other arguments; it ends with this.
pub struct Other {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Other {
    pub fn start(arguments: &[&str]) -> Other {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Other { child, said }
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until whoever started this program is gone.
pub async fn end_of_input() {
    let input = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = tokio::task::spawn_blocking(input).await;
}
