//! What a node says about itself, its peers and what happens.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use kwaai_core::net::{self, Message, NetworkEvent};
use kwaai_core::{metric, node};
use serde::Serialize;

use crate::trust::Reason;

/// What a node says about itself.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct NodeInfo {
    /// The readable name.
    pub name: String,
    /// The identity on the network.
    pub peer_id: String,
    /// The identity that signs credentials.
    pub did: String,
    /// The version of the library.
    pub version: String,
    /// Where the data is kept, unless in memory.
    pub data_dir: Option<String>,
    /// Addresses at which the node can be dialled.
    pub addresses: Vec<String>,
    /// Whether others can dial the node.
    pub reachability: Reachability,
    /// How many peers are connected.
    pub connected_peers: usize,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
}

/// Whether and how others reach a node.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Reachability {
    /// `public`, `private` or `unknown`.
    pub verdict: String,
    /// A sentence that says why, for people.
    pub why: String,
    /// The PeerIds of the relays that it is reached through.
    pub relays: Vec<String>,
}

/// Something that keeps a node from others, and what to do about it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Diagnosis {
    /// What it is, such as `dead_bootstrap`.
    pub cause: String,
    /// A sentence that says what was seen, for people.
    pub text: String,
    /// What the node's owner can do.
    pub remedy: String,
}

/// What a node measured since its start.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Metrics {
    /// The measurements.
    pub metrics: Vec<Measurement>,
    /// The same as text that Prometheus reads, version 0.0.4.
    pub prometheus: String,
}

/// One measurement: a name of OpenTelemetry's conventions with attributes, and the value.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Measurement {
    /// The name, such as `rpc.server.call.duration`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub instrument: String,
    /// The unit in UCUM, such as `ms`, `By` or `{peer}`.
    pub unit: String,
    /// What is measured, in a sentence.
    pub description: String,
    /// What this is the measurement of.
    pub attributes: HashMap<String, String>,
    /// The value; the sum of the values in a histogram.
    pub value: f64,
    /// How many values a histogram has.
    pub count: Option<u64>,
    /// How many values of a histogram are at most so large, those before included.
    pub buckets: Vec<MeasurementBucket>,
}

/// How many values of a histogram are at most so large.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct MeasurementBucket {
    /// The bound, in the unit of the metric.
    pub at_most: f64,
    /// How many values.
    pub count: u64,
}

/// A connected peer, and how far this node trusts it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct PeerInfo {
    /// The identity that the connection authenticated.
    pub peer_id: String,
    /// The same as a DID, when its PeerId carries a key.
    pub did: Option<String>,
    /// The readable name that the peer gives itself; not to be trusted.
    pub name: String,
    /// What the peer says it runs; not to be trusted.
    pub agent: String,
    /// `inbound` when the peer dialled, `outbound` when this node did.
    pub direction: String,
    /// The far ends of its connections; of one through a relay, the whole way.
    pub addresses: Vec<String>,
    /// Whether it is reached only through a relay.
    pub relayed: bool,
    /// Whether it was named as a bootstrap.
    pub bootstrap: bool,
    /// Whether it was named as a trusted relay.
    pub trusted_relay: bool,
    /// The last measured round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The tier that its score reaches.
    pub tier: String,
    /// From 0 to 1.
    pub score: f64,
    /// The arithmetic of the score.
    pub reasons: Vec<Reason>,
    /// Whether a fiduciary pledge of the peer counts here.
    pub pledged: bool,
}

/// A text that a peer sent.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct MessageRecord {
    /// The PeerId of who sent it, authenticated.
    pub sender: String,
    /// The text.
    pub text: String,
    /// When it arrived, RFC 3339.
    pub received_at: String,
}

/// Something that happened on the network.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Enum))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum NodeEvent {
    /// This node can be dialled at a new address.
    Listening {
        /// The address.
        address: String,
    },
    /// An address is no longer listened on.
    ListeningStopped {
        /// The address.
        address: String,
    },
    /// The first connection with a peer was established.
    PeerConnected {
        /// Who it is.
        peer: String,
        /// The far end.
        address: String,
        /// `inbound` or `outbound`.
        direction: String,
    },
    /// A peer said what it runs.
    PeerIdentified {
        /// Who it is.
        peer: String,
        /// What it says; not to be trusted.
        agent: String,
    },
    /// The last connection with a peer ended.
    PeerDisconnected {
        /// Who it was.
        peer: String,
    },
    /// A peer that was reached through a relay is connected directly now.
    PeerDirect {
        /// Who it is.
        peer: String,
    },
    /// Whether others can dial this node was found out, or changed.
    ReachabilityChanged {
        /// What is known now.
        reachability: Reachability,
    },
    /// A message arrived.
    MessageReceived {
        /// The message.
        message: MessageRecord,
    },
    /// Something that this version of the package has no name for.
    Other,
}

impl From<node::NodeInfo> for NodeInfo {
    fn from(info: node::NodeInfo) -> NodeInfo {
        NodeInfo {
            name: info.name,
            peer_id: info.peer_id.to_string(),
            did: info.did.to_string(),
            version: info.version.to_string(),
            data_dir: info.data_dir.map(shown),
            addresses: info.addresses.iter().map(ToString::to_string).collect(),
            reachability: info.reachability.into(),
            connected_peers: info.connected_peers,
            uptime_ms: millis(info.uptime),
        }
    }
}

impl From<net::Reachability> for Reachability {
    fn from(known: net::Reachability) -> Reachability {
        Reachability {
            verdict: known.verdict.as_str().to_string(),
            why: known.why,
            relays: known.relays.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<net::Diagnosis> for Diagnosis {
    fn from(found: net::Diagnosis) -> Diagnosis {
        Diagnosis { cause: found.cause.as_str().to_string(), text: found.text, remedy: found.remedy.to_string() }
    }
}

impl From<Vec<metric::Measurement>> for Metrics {
    fn from(measured: Vec<metric::Measurement>) -> Metrics {
        let prometheus = metric::prometheus(&measured);
        Metrics { metrics: measured.into_iter().map(Measurement::from).collect(), prometheus }
    }
}

impl From<metric::Measurement> for Measurement {
    fn from(metric: metric::Measurement) -> Measurement {
        let bucket = |bucket: metric::Bucket| MeasurementBucket { at_most: bucket.at_most, count: bucket.count };
        Measurement {
            name: metric.name.to_string(),
            instrument: metric.instrument.as_str().to_string(),
            unit: metric.unit.to_string(),
            description: metric.description.to_string(),
            attributes: metric.attributes.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
            value: metric.value,
            count: metric.count,
            buckets: metric.buckets.into_iter().map(bucket).collect(),
        }
    }
}

impl From<node::PeerInfo> for PeerInfo {
    fn from(peer: node::PeerInfo) -> PeerInfo {
        PeerInfo {
            peer_id: peer.peer_id.to_string(),
            did: peer.did.map(|did| did.to_string()),
            name: peer.name,
            agent: peer.agent,
            direction: peer.direction.as_str().to_string(),
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            relayed: peer.relayed,
            bootstrap: peer.bootstrap,
            trusted_relay: peer.trusted_relay,
            rtt_ms: peer.rtt_ms,
            tier: peer.tier.to_string(),
            score: peer.score,
            reasons: peer.reasons.into_iter().map(Reason::from).collect(),
            pledged: peer.pledged,
        }
    }
}

impl From<Message> for MessageRecord {
    fn from(message: Message) -> MessageRecord {
        MessageRecord {
            sender: message.from.to_string(),
            text: message.text,
            received_at: message.received_at.to_string(),
        }
    }
}

impl From<NetworkEvent> for NodeEvent {
    fn from(event: NetworkEvent) -> NodeEvent {
        match event {
            NetworkEvent::Listening { address } => NodeEvent::Listening { address: address.to_string() },
            NetworkEvent::ListeningStopped { address } => NodeEvent::ListeningStopped { address: address.to_string() },
            NetworkEvent::PeerConnected { peer, address, direction } => NodeEvent::PeerConnected {
                peer: peer.to_string(),
                address: address.to_string(),
                direction: direction.as_str().to_string(),
            },
            NetworkEvent::PeerIdentified { peer, agent } => NodeEvent::PeerIdentified { peer: peer.to_string(), agent },
            NetworkEvent::PeerDisconnected { peer } => NodeEvent::PeerDisconnected { peer: peer.to_string() },
            NetworkEvent::PeerDirect { peer } => NodeEvent::PeerDirect { peer: peer.to_string() },
            NetworkEvent::ReachabilityChanged { reachability } => {
                NodeEvent::ReachabilityChanged { reachability: reachability.into() }
            }
            NetworkEvent::MessageReceived { message } => NodeEvent::MessageReceived { message: message.into() },
            _ => NodeEvent::Other,
        }
    }
}

fn shown(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
