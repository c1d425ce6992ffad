//! The bytes of KwaaiNet's storage protocol: a map `{op, tenant_id, payload}`, and `{ok, payload, error}` as the answer.
//!
//! A payload is msgpack in msgpack, as an array of numbers; bytes are read as well. Maps have texts as keys. Readers of theirs skip
//! keys that they do not know, and so does this one.

use rmpv::Value;
use rmpv::decode::read_value_with_max_depth;

use crate::vpk::CollectionId;
use crate::{Error, Result};

/// A map of lists of maps of lists of numbers, each of which the reader counts twice, and what others may add.
const MAX_DEPTH: usize = 16;

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) op: String,
    pub(super) tenant: Option<CollectionId>,
    pub(super) payload: Fields,
}

/// A map, or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fields(Vec<(Value, Value)>);

impl Asked {
    /// # Errors
    /// `corrupt_data`, and `invalid_argument` for a tenant that is no UUID.
    pub(super) fn read(bytes: &[u8]) -> Result<Asked> {
        let mut call = Fields::read(bytes)?;
        let op = call.text("op")?.ok_or_else(|| malformed("op"))?;
        let tenant = call.text("tenant_id")?.map(|text| tenant(&text)).transpose()?;
        let payload = match call.take("payload") {
            Some(Value::Binary(bytes)) => bytes,
            Some(Value::Array(numbers)) => bytes_of(&numbers).ok_or_else(|| malformed("payload"))?,
            _ => return Err(malformed("payload")),
        };
        let payload = if payload.is_empty() { Fields::default() } else { Fields::read(&payload)? };
        Ok(Asked { op, tenant, payload })
    }

    /// The tenant of a call that is about one.
    pub(super) fn tenant(&self) -> Result<CollectionId> {
        self.tenant.ok_or_else(|| Error::invalid_argument("the call names no tenant"))
    }
}

impl Fields {
    fn read(bytes: &[u8]) -> Result<Fields> {
        let mut rest = bytes;
        let value = read_value_with_max_depth(&mut rest, MAX_DEPTH)
            .map_err(|error| Error::corrupt_data("the message is no msgpack").with_source(error))?;
        match (value, rest) {
            (Value::Map(entries), []) => Ok(Fields(entries)),
            (Value::Nil, []) => Ok(Fields::default()),
            _ => Err(Error::corrupt_data("the message is no map")),
        }
    }

    pub(super) fn of(value: Value) -> Result<Fields> {
        match value {
            Value::Map(entries) => Ok(Fields(entries)),
            _ => Err(Error::corrupt_data("a map is missing")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(key, _)| key.as_str() == Some(name))?;
        Some(self.0.swap_remove(at).1).filter(|value| !value.is_nil())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => text.into_str().map(Some).ok_or_else(|| malformed(name)),
            Some(_) => Err(malformed(name)),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<i64>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| malformed(name)),
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        match self.take(name) {
            Some(Value::Array(values)) => Ok(values),
            _ => Err(malformed(name)),
        }
    }

    pub(super) fn vector(&mut self, name: &str) -> Result<Vec<f32>> {
        let number = |value: &Value| value.as_f64().map(|value| value as f32);
        self.list(name)?.iter().map(number).collect::<Option<Vec<f32>>>().ok_or_else(|| malformed(name))
    }
}

/// The answer to a call that was done.
pub(super) fn done(payload: &Value) -> Vec<u8> {
    answer(true, encode(payload), Value::Nil)
}

/// The answer to one that was refused.
pub(super) fn refused(error: &Error) -> Vec<u8> {
    answer(false, Vec::new(), Value::from(error.to_string()))
}

fn answer(ok: bool, payload: Vec<u8>, error: Value) -> Vec<u8> {
    let payload = payload.into_iter().map(Value::from).collect();
    encode(&map([("ok", ok.into()), ("payload", Value::Array(payload)), ("error", error)]))
}

pub(super) fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into a vector cannot fail.
    let _ = rmpv::encode::write_value(&mut out, value);
    out
}

fn bytes_of(numbers: &[Value]) -> Option<Vec<u8>> {
    numbers.iter().map(|number| number.as_u64().and_then(|number| u8::try_from(number).ok())).collect()
}

/// A tenant's id as UUIDs are written.
pub(super) fn tenant(text: &str) -> Result<CollectionId> {
    let wrong = || Error::invalid_argument("a tenant's id is a UUID");
    let parts: Vec<&str> = text.split('-').collect();
    if parts.iter().map(|part| part.len()).collect::<Vec<_>>() != [8, 4, 4, 4, 12] {
        return Err(wrong());
    }
    parts.concat().to_ascii_lowercase().parse().map_err(|_| wrong())
}

pub(super) fn malformed(name: &str) -> Error {
    Error::corrupt_data(format!("{name} is missing or malformed"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trust::json::{hex, unhex};

    #[test]
    fn the_bytes_of_calls_and_answers_are_those_of_kwaainet() {
        // As their client writes it.
        let health: [u8; 31] = unhex("83a26f70a66865616c7468a974656e616e745f6964c0a77061796c6f616490").unwrap();
        let asked = Asked::read(&health).unwrap();
        assert_eq!((asked.op.as_str(), asked.tenant, asked.payload), ("health", None, Fields::default()));
        let number = done(&Value::from(3));
        assert_eq!(hex(&number), "83a26f6bc3a77061796c6f61649103a56572726f72c0");
        let error = refused(&Error::not_found("no"));
        assert!(hex(&error).starts_with("83a26f6bc2a77061796c6f616490a56572726f72"));
    }

    #[test]
    fn a_tenant_is_a_uuid_and_nothing_else() {
        let id = CollectionId(std::array::from_fn(|at| at as u8));
        assert_eq!(tenant("00010203-0405-0607-0809-0A0B0C0D0E0F").unwrap(), id);
        for text in
            ["", "000102030405060708090a0b0c0d0e0f", "00010203-0405-0607-0809-0a0b0c0d0e0g", "-".repeat(36).as_str()]
        {
            assert!(tenant(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn fuzz_a_call_of_the_storage_protocol_is_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let _ = Asked::read(&bytes);
            let payload = Value::Binary(encode(&map([("vectors", Value::Array(vec![map([("id", 1.into())])]))])));
            let mut call = encode(&map([("op", "upload_vectors".into()), ("tenant_id", Value::Nil), ("payload", payload)]));
            let at = at.index(call.len());
            call[at] = byte;
            let _ = Asked::read(&call);
            let _ = Asked::read(&call[..at]);
        }
    }
}
