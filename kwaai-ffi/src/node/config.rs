//! What a node is told at its start.

use std::net::IpAddr;
use std::str::FromStr;

use kwaai_core::Error;
use kwaai_core::config::{Config, Preset};
use kwaai_core::net::{Limits, RelayLimits};
use serde::Deserialize;

use crate::clock::{SetClock, check_seed, seeded};
use crate::{Result, validate};

/// What a node is told at its start; every part may be left out. What is set here wins over environment, `config.yaml`
/// and preset.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// `ephemeral`, `desktop`, `mobile` or `server`; `desktop` unless set.
    pub preset: Option<String>,
    /// The readable name.
    pub name: Option<String>,
    /// Where the data is kept.
    pub data_dir: Option<String>,
    /// The key file.
    pub identity_key: Option<String>,
    /// Multiaddresses to listen on; an empty list listens nowhere.
    pub listen: Option<Vec<String>>,
    /// Multiaddresses of the nodes to join the network through.
    pub bootstrap: Option<Vec<String>>,
    /// Whether to look for nodes on the local network.
    pub mdns: Option<bool>,
    /// Whether to take part in the DHT of hivemind and Petals.
    pub hivemind: Option<bool>,
    /// Multiaddresses of relays to be reached through when nobody can dial this node, the preferred first.
    pub trusted_relays: Option<Vec<String>>,
    /// Whether to relay for others.
    pub relay: Option<bool>,
    /// How much a relay gives.
    #[serde(deserialize_with = "validate::or_default")]
    pub relay_limits: RelayOptions,
    /// Multiaddresses to announce in place of those that are listened on.
    pub announce_addr: Option<Vec<String>>,
    /// The public address of the machine, or of the router that forwards to it.
    pub public_ip: Option<String>,
    /// The port that the router forwards, if it is not the one that is listened on.
    pub public_port: Option<u16>,
    /// Whether nobody can dial this node, so that it is announced at relays alone.
    pub force_private: Option<bool>,
    /// How many peers must see this node at the same address before their word counts.
    pub identify_min_confirmations: Option<u32>,
    /// For how long nobody could try to dial this node before that word counts. The core counts whole seconds; what is left
    /// over makes one more.
    pub identify_timeout_ms: Option<u64>,
    /// Whether to ask the router to forward the ports that are listened on.
    pub upnp: Option<bool>,
    /// Whether to remember in the data directory which peers were reached, and to dial some of them at the next start.
    pub peer_cache: Option<bool>,
    /// How much peers may take.
    #[serde(deserialize_with = "validate::or_default")]
    pub limits: LimitOptions,
    /// For tests: the identity is made from this number, and is no secret. Only in memory.
    pub seed: Option<u64>,
    /// For tests: a clock that stands at this instant, RFC 3339, until
    /// [`Node::advance_clock`](crate::Node::advance_clock) moves it.
    pub clock: Option<String>,
}

macro_rules! limits {
    ($(#[$what:meta])* $options:ident of $limits:ident;
     $($(#[$doc:meta])* $name:ident: $kind:ty),+; $($(#[$ms_doc:meta])* $ms:ident => $field:ident),+) => {
        $(#[$what])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $options {
            $($(#[$doc])* pub $name: Option<$kind>,)+
            $($(#[$ms_doc])* pub $ms: Option<u64>,)+
        }

        impl $options {
            fn apply(&self, limits: &mut $limits) -> Result<()> {
                $(if let Some(value) = self.$name { limits.$name = value; })+
                $(if let Some(ms) = self.$ms { limits.$field = validate::millis(stringify!($ms), ms)?; })+
                Ok(())
            }
        }
    };
}

limits! {
    /// The limits to change; the others stay as the preset has them.
    LimitOptions of Limits;
    /// Connections in both directions together.
    max_connections: u32,
    /// Connections that others opened.
    max_incoming_connections: u32,
    /// Connections that others opened from one IPv4 /24 or IPv6 /56 of the internet.
    max_incoming_per_range: u32,
    /// The same for an IPv4 /16 or IPv6 /48.
    max_incoming_per_wide_range: u32,
    /// The same for an IPv4 /24 or IPv6 /56 of loopback and home networks; no bound of its own unless set.
    max_incoming_per_local_range: u32,
    /// Connections with one peer.
    max_connections_per_peer: u32,
    /// Incoming connections whose handshake is under way.
    max_pending_incoming: u32,
    /// Outgoing connections whose handshake is under way.
    max_pending_outgoing: u32,
    /// Connections that lookups in the DHT opened and nothing else asked for, and that stand after them.
    max_lookup_connections: u32,
    /// New connections are refused above this share of the machine's memory, 0 to 1.
    max_memory_share: f64,
    /// Calls of one peer served at the same time.
    max_calls_per_peer: usize,
    /// Calls served at the same time.
    max_calls: usize,
    /// Streams of one peer served at the same time.
    max_streams_per_peer: usize,
    /// Streams served at the same time.
    max_streams: usize,
    /// Unread messages that are kept.
    inbox: usize,
    /// Unread events that are kept for one reader.
    events: usize,
    /// Keys for which this node remembers who provides them.
    max_provided_keys: usize;
    /// How long a connection is kept on which nobody opens a stream.
    idle_connection_ms => idle_connection,
    /// How long a peer may take to say what a stream is for.
    header_timeout_ms => header_timeout,
    /// How long the gate may take to decide.
    gate_timeout_ms => gate_timeout,
    /// No call is served for longer.
    max_call_duration_ms => max_call_duration
}

limits! {
    /// How much a relay gives, where that is not the usual.
    RelayOptions of RelayLimits;
    /// Peers that can be reached through this node at the same time.
    max_reservations: usize,
    /// Circuits at the same time.
    max_circuits: usize,
    /// Circuits that one peer opened at the same time.
    max_circuits_per_peer: usize,
    /// The same for a peer that the policy does not let relay freely.
    max_circuits_per_stranger: usize,
    /// Bytes that one circuit may carry in each direction.
    max_circuit_bytes: u64;
    /// How long a reservation lasts unless it is renewed.
    reservation_duration_ms => reservation_duration,
    /// How long a circuit may last.
    max_circuit_duration_ms => max_circuit_duration
}

impl NodeConfig {
    /// The core's configuration, read when it is called: it reads files.
    pub(super) fn into_core(
        self,
        clock: SetClock,
    ) -> Result<impl FnOnce() -> kwaai_core::Result<Config> + Send + 'static> {
        let preset = self.preset.as_deref().map(Preset::from_str).transpose()?.unwrap_or_default();
        let data_dir = self.data_dir.as_deref().map(|dir| validate::path("data_dir", dir)).transpose()?;
        let identity_key = self.identity_key.as_deref().map(|path| validate::path("identity_key", path)).transpose()?;
        let public_ip = self.public_ip.as_deref().map(public_ip).transpose()?;
        let identify_timeout =
            self.identify_timeout_ms.map(|ms| validate::millis("identify_timeout_ms", ms)).transpose()?;
        self.limits.apply(&mut Limits::default())?;
        self.relay_limits.apply(&mut RelayLimits::default())?;
        Ok(move || {
            let mut config = Config::load(preset, data_dir.as_deref())?;
            config.name = self.name.or(config.name);
            config.identity_key = identity_key.or(config.identity_key);
            config.listen = self.listen.unwrap_or(config.listen);
            config.bootstrap = self.bootstrap.unwrap_or(config.bootstrap);
            config.mdns = self.mdns.unwrap_or(config.mdns);
            config.hivemind = self.hivemind.unwrap_or(config.hivemind);
            config.trusted_relays = self.trusted_relays.unwrap_or(config.trusted_relays);
            if let Some(relays) = self.relay {
                config.relay = relays.then(|| config.relay.take().unwrap_or_default());
            }
            config.relay = self.relay_limits.over(config.relay)?;
            config.announce_addr = self.announce_addr.unwrap_or(config.announce_addr);
            config.public_ip = public_ip.or(config.public_ip);
            config.public_port = self.public_port.or(config.public_port);
            config.force_private = self.force_private.unwrap_or(config.force_private);
            config.identify_min_confirmations =
                self.identify_min_confirmations.unwrap_or(config.identify_min_confirmations);
            config.identify_timeout_secs =
                identify_timeout.map_or(config.identify_timeout_secs, |limit| limit.as_millis().div_ceil(1000) as u64);
            config.upnp = self.upnp.unwrap_or(config.upnp);
            config.peer_cache = self.peer_cache.unwrap_or(config.peer_cache);
            check_seed(self.seed, config.data_dir.is_some())?;
            config.identity = self.seed.map(seeded).or(config.identity);
            config.clock = clock.core();
            self.limits.apply(&mut config.limits).map_err(|error| Error::invalid_argument(error.message))?;
            Ok(config)
        })
    }
}

impl RelayOptions {
    /// The limits of a relay. Of a node that relays for nobody there are none to change.
    fn over(&self, relay: Option<RelayLimits>) -> kwaai_core::Result<Option<RelayLimits>> {
        let Some(mut limits) = relay else {
            return match *self == RelayOptions::default() {
                true => Ok(None),
                false => Err(Error::invalid_argument("there are limits of a relay, and this node is none")
                    .with_remedy("set relay too, or leave them out")),
            };
        };
        self.apply(&mut limits).map_err(|error| Error::invalid_argument(error.message))?;
        Ok(Some(limits))
    }
}

fn public_ip(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::invalid_argument("the public address is not an IP address").into())
}
