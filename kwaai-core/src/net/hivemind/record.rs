//! The records that Petals and KwaaiNet keep in the DHT, read whole.
//!
//! | Key | Sub-key | Value |
//! |---|---|---|
//! | `{prefix}.{block}` | PeerId in base58 | [`ServerInfo`] |
//! | `_kwaai.inference.nodes` | PeerId in base58 | [`ServerInfo`] |
//! | `_petals.models` | prefix | map of `num_blocks` and `repository` |
//! | `_kwaai.vpk.nodes` | PeerId in base58 | map of `mode`, `capacity_gb`, `tenant_count`, `vpk_version`, `public_name` |
//!
//! A map keeps whatever its writer put into it, in its order; the getters of [`Fields`] say what has the right type.

use super::msgpack::{self, Value};
use crate::{Error, Result};

/// The keys of the records that are no blocks.
pub mod keys {
    /// Models that are served, by their prefix.
    pub const MODELS: &str = "_petals.models";
    /// KwaaiNet's nodes that compute on blocks, by their PeerId.
    pub const INFERENCE_NODES: &str = "_kwaai.inference.nodes";
    /// KwaaiNet's nodes that keep encrypted vectors, by their PeerId.
    pub const VPK_NODES: &str = "_kwaai.vpk.nodes";
    /// Nodes of this library, by their PeerId.
    pub const OUR_NODES: &str = "_kwaainet.nodes";

    /// Nodes of this library that keep vectors, by their PeerId.
    pub const OUR_VPK_NODES: &str = "_kwaainet.vpk.nodes";

    /// The key of the servers of one block of a model.
    pub fn block(prefix: &str, block: u32) -> String {
        format!("{prefix}.{block}")
    }
}

/// A map whose keys are texts, in its writer's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads a map. Entries whose key is no text are left out.
    pub fn from_value(value: Value) -> Option<Fields> {
        let Value::Map(entries) = value else { return None };
        let named = entries.into_iter().filter_map(|(key, value)| Some((key.as_str()?.to_owned(), value)));
        Some(Fields(named.collect()))
    }

    /// The map.
    pub fn to_value(&self) -> Value {
        Value::Map(self.0.iter().map(|(key, value)| (Value::from(key.as_str()), value.clone())).collect())
    }

    /// Sets a field, at its old place or at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }

    /// A field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A field that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A field that is a whole number of 0 or more.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    /// A field that is a finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        msgpack::number(self.get(name)?).filter(|number| number.is_finite())
    }

    /// A field that is true or false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// A field that is a list or a tuple of texts, what is no text left out.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        let items = msgpack::items(self.get(name)?)?;
        Some(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    /// A field that maps texts to finite numbers, such as the round trips in `next_pings`.
    pub fn numbers(&self, name: &str) -> Option<Vec<(String, f64)>> {
        let entries = self.get(name)?.as_map()?.iter();
        let named = entries.filter_map(|(key, value)| Some((key.as_str()?.to_owned(), msgpack::number(value)?)));
        Some(named.filter(|(_, number)| number.is_finite()).collect())
    }
}

/// What a server says about itself: a tuple of state, throughput and a map.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerInfo {
    /// Petals: 0 offline, 1 joining, 2 online. KwaaiNet: -1 offline, 0 joining, 2 ready.
    pub state: i64,
    /// Requests per second, by the server's own account.
    pub throughput: f64,
    /// The map: `start_block`, `end_block`, `public_name`, `version`, `network_rps`, `forward_rps`, `inference_rps`,
    /// `adapters`, `torch_dtype`, `quant_type`, `using_relay`, `cache_tokens_left`, `next_pings`, and what others add.
    pub fields: Fields,
}

impl ServerInfo {
    /// The state of a server that works, in Petals and in KwaaiNet.
    pub const ONLINE: i64 = 2;

    /// Whether the server says that it works.
    pub fn is_online(&self) -> bool {
        self.state == ServerInfo::ONLINE
    }

    /// The blocks that it serves, the end excluded, when they make sense.
    pub fn blocks(&self) -> Option<std::ops::Range<u32>> {
        let bound = |name| self.fields.count(name).and_then(|block| u32::try_from(block).ok());
        Some(bound("start_block")?..bound("end_block")?).filter(|blocks| !blocks.is_empty())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// `corrupt_data` when it is no tuple of a whole number, a number that is finite, and a map. Servers that are
    /// offline may leave the map out.
    pub fn decode(value: &[u8]) -> Result<ServerInfo> {
        let wrong = || Error::corrupt_data("no record of a server");
        let parts = msgpack::items(&msgpack::decode(value)?).ok_or_else(wrong)?;
        let mut parts = parts.into_iter();
        let state = parts.next().and_then(|part| part.as_i64()).ok_or_else(wrong)?;
        let throughput = parts.next().and_then(|part| msgpack::number(&part)).filter(|it| it.is_finite());
        let fields = match parts.next() {
            None => Fields::default(),
            Some(map) => Fields::from_value(map).ok_or_else(wrong)?,
        };
        Ok(ServerInfo { state, throughput: throughput.ok_or_else(wrong)?, fields })
    }

    /// The bytes of the record.
    pub fn encode(&self) -> Vec<u8> {
        let parts = vec![Value::from(self.state), Value::F64(self.throughput), self.fields.to_value()];
        msgpack::encode(&msgpack::tuple(parts))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What KwaaiNet 0.6 announces.
    fn kwaainet() -> Vec<u8> {
        let fields = Value::Map(vec![
            (Value::from("start_block"), Value::from(0)),
            (Value::from("end_block"), Value::from(8)),
            (Value::from("public_name"), Value::from("n/v0.6.2")),
            (Value::from("version"), Value::from("kwaai-0.6.2")),
            (Value::from("adapters"), Value::Array(vec![])),
            (Value::from("lease_v1"), Value::from(true)),
            (Value::from("trust_attestations"), Value::Array(vec![Value::from("{}")])),
        ]);
        msgpack::encode(&msgpack::tuple(vec![Value::from(2), Value::F64(12.5), fields]))
    }

    #[test]
    fn a_server_is_read_whole_and_written_as_it_was() {
        let info = ServerInfo::decode(&kwaainet()).unwrap();
        assert!(info.is_online());
        assert_eq!((info.throughput, info.blocks()), (12.5, Some(0..8)));
        assert_eq!(info.fields.text("version"), Some("kwaai-0.6.2"));
        assert_eq!(info.fields.texts("trust_attestations"), Some(vec!["{}".to_owned()]));
        assert_eq!(info.fields.flag("lease_v1"), Some(true));
        assert_eq!(info.encode(), kwaainet());
    }

    #[test]
    fn a_server_without_a_map_is_read_and_nonsense_is_not() {
        let tuple = |parts: Vec<Value>| msgpack::encode(&msgpack::tuple(parts));
        let offline = ServerInfo::decode(&tuple(vec![Value::from(-1), Value::from(0)])).unwrap();
        assert!(!offline.is_online() && offline.blocks().is_none());
        let nan = tuple(vec![Value::from(2), Value::F64(f64::NAN)]);
        for bad in [nan, tuple(vec![]), tuple(vec![Value::from("x"), Value::from(1)]), b"\xc0".to_vec()] {
            assert!(ServerInfo::decode(&bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn random_records_never_panic(bytes: Vec<u8>, at in 0usize..100, with: u8) {
            let _ = ServerInfo::decode(&bytes);
            let mut changed = kwaainet();
            let at = at % changed.len();
            changed[at] ^= with;
            if let Ok(info) = ServerInfo::decode(&changed) {
                let _ = (info.blocks(), info.fields.numbers("next_pings"), info.encode());
            }
        }
    }
}
