//! `config.yaml` and the environment, over the same keys.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Config;
use crate::{Error, Result};

/// Larger files are no configuration.
const MAX_FILE: u64 = 256 * 1024;

/// Key in `config.yaml`, KwaaiNet's spelling of it if that differs, and environment variable.
const KEYS: [(&str, Option<&str>, &str); 17] = [
    ("name", Some("public_name"), "KWAAINET_NAME"),
    ("identity_key", None, "KWAAINET_IDENTITY_KEY"),
    ("listen", None, "KWAAINET_LISTEN"),
    ("bootstrap", Some("initial_peers"), "KWAAINET_BOOTSTRAP"),
    ("mdns", None, "KWAAINET_MDNS"),
    ("hivemind", None, "KWAAINET_HIVEMIND"),
    ("trusted_relays", None, "KWAAINET_TRUSTED_RELAYS"),
    ("relay", None, "KWAAINET_RELAY"),
    ("announce_addr", None, "KWAAINET_ANNOUNCE_ADDR"),
    ("public_ip", None, "KWAAINET_PUBLIC_IP"),
    ("public_port", None, "KWAAINET_PUBLIC_PORT"),
    ("force_private", None, "KWAAINET_FORCE_PRIVATE"),
    ("identify_min_confirmations", None, "KWAAINET_IDENTIFY_MIN_CONFIRMATIONS"),
    ("identify_timeout_secs", None, "KWAAINET_IDENTIFY_TIMEOUT_SECS"),
    ("upnp", None, "KWAAINET_UPNP"),
    ("peer_cache", None, "KWAAINET_PEER_CACHE"),
    ("port", None, "KWAAINET_PORT"),
];

/// Applies a configuration file, if there is one. Keys that only KwaaiNet knows are left alone.
pub(super) fn apply(config: &mut Config, path: &Path) -> Result<()> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", path, error)),
    };
    let in_file = |error: Error| {
        Error::new(error.code(), format!("{}: {}", path.display(), error.message()))
            .with_file(path)
            .with_remedy("correct the file, or remove it to start with the defaults")
    };
    if size > MAX_FILE {
        return Err(in_file(Error::invalid_argument(format!("{size} bytes are too many for a configuration"))));
    }
    let text = std::fs::read_to_string(path).map_err(|error| Error::file("read", path, error))?;
    if text.trim().is_empty() {
        return Ok(());
    }
    let values: Option<Map<String, Value>> = serde_saphyr::from_str(&text)
        .map_err(|error| in_file(Error::invalid_argument(format!("not a YAML mapping: {error}"))))?;
    for (key, value) in values.unwrap_or_default() {
        match KEYS.iter().find(|(name, kwaainet, _)| *name == key || *kwaainet == Some(key.as_str())) {
            Some((name, _, _)) => set(config, name, &value, path.parent()).map_err(in_file)?,
            None => tracing::debug!(key, "config.yaml has a key that is not used"),
        }
    }
    Ok(())
}

/// Applies the environment variables; lists are separated by commas.
pub(super) fn apply_environment(config: &mut Config, read: impl Fn(&str) -> Option<OsString>) -> Result<()> {
    for (key, _, variable) in KEYS {
        let Some(value) = read(variable).filter(|value| !value.is_empty()) else { continue };
        let in_variable =
            |error: Error| Error::new(error.code(), format!("environment variable {variable}: {}", error.message()));
        let text = value.to_str().ok_or_else(|| in_variable(Error::invalid_argument("it is not UTF-8")))?;
        let value = match key {
            "listen" | "bootstrap" | "trusted_relays" | "announce_addr" => {
                Value::from(text.split(',').map(str::trim).collect::<Vec<_>>())
            }
            "mdns" | "hivemind" | "relay" | "force_private" | "upnp" | "peer_cache" => match text {
                "1" | "true" => Value::Bool(true),
                "0" | "false" => Value::Bool(false),
                _ => return Err(in_variable(Error::invalid_argument("it is neither true nor false"))),
            },
            "port" | "public_port" | "identify_min_confirmations" | "identify_timeout_secs" => {
                text.parse::<u64>().map(Value::from).unwrap_or(Value::from(text))
            }
            _ => Value::from(text),
        };
        set(config, key, &value, None).map_err(in_variable)?;
    }
    Ok(())
}

fn set(config: &mut Config, key: &str, value: &Value, base: Option<&Path>) -> Result<()> {
    let wrong = |what: &str| Error::invalid_argument(format!("`{key}` must be {what}")).with("key", key);
    match key {
        "name" => config.name = optional_text(value).ok_or_else(|| wrong("a text"))?,
        "identity_key" => {
            let path = optional_text(value).ok_or_else(|| wrong("a path"))?;
            // A relative path in a file is relative to that file, wherever the program was started.
            config.identity_key = path.map(|path| base.map_or(PathBuf::from(&path), |base| base.join(&path)));
        }
        "listen" => config.listen = texts(value).ok_or_else(|| wrong("a list of multiaddresses"))?,
        "bootstrap" => config.bootstrap = texts(value).ok_or_else(|| wrong("a list of multiaddresses"))?,
        "mdns" => config.mdns = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        "hivemind" => config.hivemind = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        "trusted_relays" => {
            config.trusted_relays = texts(value).ok_or_else(|| wrong("a list of multiaddresses"))?;
        }
        "relay" => {
            let relays = value.as_bool().ok_or_else(|| wrong("true or false"))?;
            config.relay = relays.then(|| config.relay.take().unwrap_or_default());
        }
        "announce_addr" => config.announce_addr = texts(value).ok_or_else(|| wrong("a list of multiaddresses"))?,
        "public_ip" => {
            let text = optional_text(value).ok_or_else(|| wrong("an IP address"))?;
            let ip = text.map(|text| text.parse().map_err(|_| wrong("an IP address"))).transpose()?;
            config.public_ip = ip;
        }
        "public_port" => {
            config.public_port = optional(value, number).ok_or_else(|| wrong("a port, 1 to 65535"))?;
        }
        "force_private" => config.force_private = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        "identify_min_confirmations" => {
            config.identify_min_confirmations = number(value).ok_or_else(|| wrong("a number of peers"))?;
        }
        "identify_timeout_secs" => {
            config.identify_timeout_secs = number(value).ok_or_else(|| wrong("a number of seconds"))?;
        }
        "peer_cache" => config.peer_cache = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        "upnp" => config.upnp = value.as_bool().ok_or_else(|| wrong("true or false"))?,
        // KwaaiNet's key for the port; the interface stays what the preset says.
        "port" => {
            let port = number(value).ok_or_else(|| wrong("a port, 0 to 65535"))?;
            config.listen = config.listen.iter().map(|address| with_port(address, port)).collect();
        }
        _ => return Err(Error::internal(format!("`{key}` is listed but not read"))),
    }
    Ok(())
}

fn with_port(address: &str, port: u16) -> String {
    let mut parts: Vec<String> = address.split('/').map(str::to_owned).collect();
    for i in 1..parts.len() {
        if matches!(parts[i - 1].as_str(), "tcp" | "udp") {
            parts[i] = port.to_string();
        }
    }
    parts.join("/")
}

fn number<N: TryFrom<u64>>(value: &Value) -> Option<N> {
    value.as_u64().and_then(|number| number.try_into().ok())
}

fn optional<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    match value {
        Value::Null => Some(None),
        value => read(value).map(Some),
    }
}

fn optional_text(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) if text.is_empty() => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        _ => None,
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Preset;
    use super::*;
    use crate::ErrorCode;

    fn with_file(text: &str) -> (tempfile::TempDir, Result<Config>) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.yaml"), text).unwrap();
        let mut config = Config::preset(Preset::Desktop, Some(dir.path().to_path_buf()));
        let result = apply(&mut config, &dir.path().join("config.yaml")).map(|()| config);
        (dir, result)
    }

    #[test]
    fn a_kwaainet_file_is_read_with_its_own_keys_and_left_as_it_is() {
        let text = "public_name: alice-linux-x86_64\nport: 8080\nforce_private: true\npublic_ip: null\ncontribute:\n  shards: true\n\
                    initial_peers:\n  - /ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN\n";
        let (dir, config) = with_file(text);
        let config = config.unwrap();
        assert_eq!(config.name.as_deref(), Some("alice-linux-x86_64"));
        assert_eq!(config.listen, ["/ip4/127.0.0.1/tcp/8080", "/ip4/127.0.0.1/udp/8080/quic-v1"]);
        assert_eq!(config.bootstrap.len(), 1);
        assert!(config.force_private && config.public_ip.is_none());
        assert_eq!(std::fs::read_to_string(dir.path().join("config.yaml")).unwrap(), text);
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let (_dir, config) = with_file("name: from-file\nmdns: true\nhivemind: true\n");
        let mut config = config.unwrap();
        apply_environment(&mut config, |name| (name == "KWAAINET_NAME").then(|| "from-environment".into())).unwrap();
        assert_eq!(config.name.as_deref(), Some("from-environment"));
        assert!(config.mdns && config.hivemind, "what the environment does not name stays");
    }

    #[test]
    fn a_wrong_value_names_the_file_and_the_key() {
        for text in [
            "public_ip: here",
            "public_port: 65536",
            "relay: 1",
            "identify_min_confirmations: -1",
            "mdns: perhaps",
            "listen: {a: 1}",
            "port: 99999",
            "- a list",
            "a: [unclosed",
        ] {
            let (_dir, config) = with_file(text);
            let error = config.unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{text}");
            assert!(error.context()["file"].ends_with("config.yaml"), "{text}");
        }
    }

    #[test]
    fn what_a_node_says_of_its_reach_is_read_from_both() {
        let (_dir, config) = with_file(
            "trusted_relays: /ip4/192.0.2.1/tcp/1/p2p/x\nrelay: true\nannounce_addr: [/ip4/192.0.2.1/tcp/2]\n\
             public_ip: 192.0.2.7\npublic_port: 4001\nidentify_min_confirmations: 3\nidentify_timeout_secs: 9\nupnp: true\n\
             peer_cache: false\n",
        );
        let mut config = config.unwrap();
        assert_eq!((config.trusted_relays.len(), config.announce_addr.len()), (1, 1));
        assert!(config.relay.is_some() && config.upnp && !config.peer_cache && !config.force_private);
        assert_eq!(config.public_ip, Some("192.0.2.7".parse().unwrap()));
        assert_eq!((config.public_port, config.identify_min_confirmations), (Some(4001), 3));
        assert_eq!(config.identify_timeout_secs, 9);
        let variables = [("KWAAINET_RELAY", "0"), ("KWAAINET_PUBLIC_PORT", "5"), ("KWAAINET_FORCE_PRIVATE", "true")];
        let read = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
        apply_environment(&mut config, read).unwrap();
        assert!(config.relay.is_none() && config.force_private);
        assert_eq!(config.public_port, Some(5));
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        for text in ["", "\n# nothing\n", "---\n"] {
            assert_eq!(with_file(text).1.unwrap().bootstrap.len(), 0, "{text:?}");
        }
    }
}
