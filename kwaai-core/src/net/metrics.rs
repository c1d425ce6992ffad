//! What a running network measured so far.

use libp2p::multiaddr::Protocol;

use super::address::is_relayed;
use super::meter::{counter, gauge};
use super::{Direction, Network};
use crate::metric::Measurement;

impl Network {
    /// Counters and gauges since the start, named by OpenTelemetry's conventions. Bytes are those of streams, without what
    /// encryption and multiplexing add; names of methods that this node does not serve are not told apart.
    pub fn metrics(&self) -> Vec<Measurement> {
        let shared = &self.inner.shared;
        let mut metrics = Vec::new();
        let (paths, links, relaying, relays) = {
            let directory = shared.directory();
            let (mut paths, mut links) = ([0; 2], [[0; 2]; 3]);
            for known in directory.peers.values() {
                paths[usize::from(known.direct().is_none())] += 1;
                for link in &known.links {
                    let quic = link.address.iter().any(|part| part == Protocol::QuicV1);
                    let transport = if is_relayed(&link.address) { 2 } else { usize::from(quic) };
                    links[transport][link.direction as usize] += 1;
                }
            }
            (paths, links, directory.relaying, directory.reachability.relays.len())
        };
        for (path, count) in ["direct", "relayed"].into_iter().zip(paths) {
            let peers = gauge("kwaainet.peers", "{peer}", "Peers that are connected.", count);
            metrics.push(peers.with("kwaainet.path", path));
        }
        let directions = [Direction::Inbound, Direction::Outbound];
        for (transport, counts) in ["tcp", "quic", "relay"].into_iter().zip(links) {
            for direction in directions {
                let connections = gauge(
                    "kwaainet.connection.count",
                    "{connection}",
                    "Connections that stand.",
                    counts[direction as usize],
                );
                let connections = connections.with("network.transport", transport);
                metrics.push(connections.with("kwaainet.direction", direction.as_str()));
            }
        }
        let meter = &shared.meter;
        for direction in directions {
            let opened = &meter.opened[direction as usize];
            let opened =
                counter("kwaainet.connection.opened", "{connection}", "Connections that were established.", opened);
            metrics.push(opened.with("kwaainet.direction", direction.as_str()));
        }
        let refused = "Incoming connections that a limit refused.";
        metrics.push(counter("kwaainet.connection.refused", "{connection}", refused, &meter.refused));
        let failed = "Dials that reached nobody, or somebody else.";
        metrics.push(counter("kwaainet.dials.failed", "{dial}", failed, &meter.unreached));
        let bytes = "Bytes of streams, without what encryption and multiplexing add.";
        for (direction, count) in [("receive", &shared.traffic.received), ("transmit", &shared.traffic.sent)] {
            let io = counter("kwaainet.network.io", "By", bytes, count);
            metrics.push(io.with("network.io.direction", direction));
        }
        let dispatch = &self.inner.dispatch;
        metrics.push(gauge("kwaainet.calls.active", "{call}", "Calls that are being served.", dispatch.calls.taken()));
        let streams = "Raw streams that are being served.";
        metrics.push(gauge("kwaainet.streams.active", "{stream}", streams, dispatch.streams.taken()));
        let through = "Relays that this node is reached through.";
        metrics.push(gauge("kwaainet.relays", "{relay}", through, relays));
        if let Some((reservations, circuits)) = relaying {
            let reserved = "Peers that are reached through this node.";
            metrics.push(gauge("kwaainet.relay.reservations", "{peer}", reserved, reservations));
            let carried = "Circuits through this node.";
            metrics.push(gauge("kwaainet.relay.circuits", "{circuit}", carried, circuits));
        }
        if let Some(dht) = self.hivemind() {
            let nodes = "Nodes of hivemind's DHT in the routing table.";
            metrics.push(gauge("kwaainet.hivemind.nodes", "{node}", nodes, dht.known_nodes()));
            let keys = "Keys that are kept for hivemind's DHT.";
            metrics.push(gauge("kwaainet.hivemind.keys", "{key}", keys, dht.kept_keys()));
        }
        metrics.extend(meter.durations());
        metrics
    }
}
