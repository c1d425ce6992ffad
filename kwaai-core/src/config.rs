//! What a node is told at its start.
//!
//! One precedence: what the program sets wins over environment variables, these win over `config.yaml` in the data
//! directory, and that wins over the preset. [`Config::load`] applies the lower three; the program then sets fields.

mod file;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::identity::Keypair;
use crate::net::RelayLimits;
use crate::{Error, Result};

/// The environment variable that moves the data directory, as in KwaaiNet.
pub const HOME_VARIABLE: &str = "KWAAINET_HOME";

/// What a node is told at its start.
#[derive(Clone)]
pub struct Config {
    /// A readable name, shown to peers. `None` makes one of the user's name, the system and the processor, such as
    /// `alice-linux-x86_64`.
    pub name: Option<String>,
    /// Where the node keeps its data. `None` keeps everything in memory: a new identity at each start, nothing left.
    pub data_dir: Option<PathBuf>,
    /// The key file, `identity.key` in the data directory unless set. A file that is named here is never made.
    pub identity_key: Option<PathBuf>,
    /// The key itself, for apps that keep it in a keychain; wins over every file.
    pub identity: Option<Keypair>,
    /// Multiaddresses to listen on. Loopback on free ports unless set; `/ip4/0.0.0.0/tcp/8080` is reached from elsewhere.
    pub listen: Vec<String>,
    /// Multiaddresses of the nodes to join the network through, each ending in `/p2p/<peer id>`. Nobody else is
    /// dialled but those that an earlier run reached, see `peer_cache`.
    pub bootstrap: Vec<String>,
    /// Whether to look for nodes on the local network by multicast DNS.
    pub mdns: bool,
    /// Whether to take part in the DHT of hivemind and Petals: to keep records for its nodes and to find theirs. Off, none
    /// of its protocols is spoken.
    pub hivemind: bool,
    /// Multiaddresses of relays to be reached through when nobody can dial this node, each ending in `/p2p/<peer id>`, the
    /// preferred first. Without any, a node that cannot be dialled uses peers that offer themselves.
    pub trusted_relays: Vec<String>,
    /// Relays for others, within these limits. `None`, the default, relays for nobody.
    pub relay: Option<RelayLimits>,
    /// Multiaddresses to announce in place of those that are listened on. The owner vouches that they can be dialled.
    pub announce_addr: Vec<String>,
    /// The public address of the machine, or of the router that forwards to it.
    pub public_ip: Option<IpAddr>,
    /// The port that the router forwards, if it is not the one that is listened on.
    pub public_port: Option<u16>,
    /// Takes this node for one that nobody can dial: it is announced at relays alone. `announce_addr` and `public_ip` win.
    pub force_private: bool,
    /// How many peers must see this node at the same address before their word counts.
    pub identify_min_confirmations: u32,
    /// For how many seconds nobody could try to dial this node before that word counts.
    pub identify_timeout_secs: u64,
    /// Whether to ask the router to forward the ports that are listened on (UPnP).
    pub upnp: bool,
    /// Whether to remember in the data directory which peers were reached, and to dial some of them at the next start, so that
    /// it needs no bootstrap. Without a data directory nobody is remembered.
    pub peer_cache: bool,
    /// How many connections, streams and bytes peers may use.
    pub limits: crate::net::Limits,
    /// Where the node reads the time.
    pub clock: Arc<dyn Clock>,
}

/// Named starting points for a [`Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// In memory, loopback only: tests, notebooks, a look around.
    Ephemeral,
    /// Data under `KWAAINET_HOME` or `~/.kwaainet`, loopback only.
    #[default]
    Desktop,
    /// As `desktop`, with a quarter of its connections, calls and streams.
    Mobile,
    /// As `desktop`, and listens on every interface at KwaaiNet's port 8080.
    Server,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 4] = [Preset::Ephemeral, Preset::Desktop, Preset::Mobile, Preset::Server];

    /// The preset's fixed name.
    pub fn as_str(self) -> &'static str {
        match self {
            Preset::Ephemeral => "ephemeral",
            Preset::Desktop => "desktop",
            Preset::Mobile => "mobile",
            Preset::Server => "server",
        }
    }
}

impl FromStr for Preset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.as_str() == text).ok_or_else(|| {
            Error::invalid_argument(format!("{text:?} is no preset; presets are ephemeral, desktop, mobile and server"))
        })
    }
}

impl Default for Config {
    /// The `ephemeral` preset: it touches no file and no other machine.
    fn default() -> Config {
        Config {
            name: None,
            data_dir: None,
            identity_key: None,
            identity: None,
            listen: vec!["/ip4/127.0.0.1/tcp/0".into(), "/ip4/127.0.0.1/udp/0/quic-v1".into()],
            bootstrap: Vec::new(),
            mdns: false,
            hivemind: false,
            trusted_relays: Vec::new(),
            relay: None,
            announce_addr: Vec::new(),
            public_ip: None,
            public_port: None,
            force_private: false,
            identify_min_confirmations: 2,
            identify_timeout_secs: 30,
            upnp: false,
            peer_cache: true,
            limits: crate::net::Limits::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

impl Config {
    /// A preset with its data in this directory, or in memory; without files and environment.
    pub fn preset(preset: Preset, data_dir: Option<PathBuf>) -> Config {
        let mut config = Config { data_dir, ..Config::default() };
        match preset {
            Preset::Ephemeral | Preset::Desktop => {}
            Preset::Mobile => config.limits = config.limits.divided_by(4),
            Preset::Server => {
                config.listen = vec!["/ip4/0.0.0.0/tcp/8080".into(), "/ip4/0.0.0.0/udp/8080/quic-v1".into()];
            }
        }
        config
    }

    /// A preset, then `config.yaml` of the data directory, then the environment.
    ///
    /// `data_dir` is where the program wants the data, if it says so. The `ephemeral` preset reads no file unless the
    /// program names a directory.
    ///
    /// # Errors
    /// `invalid_argument` for a value that cannot be used, naming the file or variable and the key.
    pub fn load(preset: Preset, data_dir: Option<&Path>) -> Result<Config> {
        let dir = match (preset, data_dir) {
            (_, Some(dir)) => Some(dir.to_path_buf()),
            (Preset::Ephemeral, None) => None,
            (_, None) => Some(default_data_dir()?),
        };
        let mut config = Config::preset(preset, dir);
        if let Some(dir) = config.data_dir.clone() {
            file::apply(&mut config, &dir.join("config.yaml"))?;
        }
        file::apply_environment(&mut config, |name| std::env::var_os(name))?;
        Ok(config)
    }

    /// The name that peers see.
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(default_name)
    }

    /// The key file in the data directory, when the key comes from there.
    pub(crate) fn default_key_file(&self) -> Option<PathBuf> {
        let dir = self.data_dir.as_ref().filter(|_| self.identity.is_none() && self.identity_key.is_none())?;
        Some(dir.join("identity.key"))
    }

    /// The key to run on: the app's, the named file's, or the data directory's, which is made when it is missing.
    pub(crate) fn keypair(&self) -> Result<Keypair> {
        match (&self.identity, &self.identity_key, &self.data_dir) {
            (Some(pair), _, _) => Ok(pair.clone()),
            (None, Some(path), _) => Keypair::load(path),
            (None, None, Some(dir)) => Keypair::load_or_generate(&dir.join("identity.key")),
            (None, None, None) => Ok(Keypair::generate()),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("data_dir", &self.data_dir)
            .field("identity_key", &self.identity_key)
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("mdns", &self.mdns)
            .field("hivemind", &self.hivemind)
            .field("trusted_relays", &self.trusted_relays)
            .field("relay", &self.relay)
            .field("announce_addr", &self.announce_addr)
            .field("public_ip", &self.public_ip)
            .field("public_port", &self.public_port)
            .field("force_private", &self.force_private)
            .field("upnp", &self.upnp)
            .field("peer_cache", &self.peer_cache)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// `KWAAINET_HOME`, or `.kwaainet` in the home directory.
pub fn default_data_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os(HOME_VARIABLE).filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".kwaainet")).ok_or_else(
        || {
            Error::not_found("this user has no home directory")
                .with_remedy(format!("set {HOME_VARIABLE}, or give the node a data directory"))
        },
    )
}

/// A name like KwaaiNet's: `alice-linux-x86_64`.
fn default_name() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .map(|user| user.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect())
        .filter(|user: &String| !user.is_empty())
        .unwrap_or_else(|| "node".into());
    format!("{user}-{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}
