//! What arrives from another language, checked once.

use std::path::PathBuf;
use std::time::Duration;

use kwaai_core::Error;
use kwaai_core::identity::{Did, PeerId, peer_id};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Result;

mod record;

pub use record::Spelling;

/// A request of a caller in the same process is bounded all the same: it may be data that the caller got elsewhere.
const MAX_JSON_BYTES: usize = 16 * 1024 * 1024;
/// Longer waits are a mistake in the unit. About 49 days, which is also what 32 bits of milliseconds hold.
const MAX_MILLIS: u64 = u32::MAX as u64;

/// A peer, named by its PeerId or by its DID, in any spelling of either.
pub(crate) fn peer(text: &str) -> Result<PeerId> {
    Ok(peer_id::parse_any(text.trim())?)
}

/// An identity, named by its DID or by its PeerId, in any spelling of either.
pub(crate) fn did(text: &str) -> Result<Did> {
    Ok(Did::parse_any(text.trim())?)
}

/// A path that is there at all.
pub(crate) fn path(what: &str, text: &str) -> Result<PathBuf> {
    if text.is_empty() || text.contains('\0') {
        return Err(Error::invalid_argument(format!("the {what} is not a path")).into());
    }
    Ok(PathBuf::from(text))
}

/// A span of time in milliseconds.
pub(crate) fn millis(what: &str, ms: u64) -> Result<Duration> {
    if ms > MAX_MILLIS {
        let message = format!("{what} is {ms} milliseconds; at most {MAX_MILLIS} are allowed");
        return Err(Error::invalid_argument(message).into());
    }
    Ok(Duration::from_millis(ms))
}

/// A record written as JSON. Unknown fields are the record's own matter.
pub(crate) fn json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    record(what, &value(what, text)?, Spelling::Snake)
}

/// A record that was read as JSON already, in whose error names are spelled as its language spells them.
pub(crate) fn record<T: DeserializeOwned>(what: &str, value: &Value, spelling: Spelling) -> Result<T> {
    Ok(record::read(what, value, spelling)?)
}

/// What a JSON text stands for.
pub(crate) fn value(what: &str, text: &str) -> Result<Value> {
    if text.len() > MAX_JSON_BYTES {
        let message = format!("{what} takes {} bytes as JSON; at most {MAX_JSON_BYTES} are allowed", text.len());
        return Err(Error::resource_exhausted(message).into());
    }
    Ok(record::parse(what, text)?)
}

/// Reads null as what holds unless it is set.
pub(crate) fn or_default<'de, T, D>(value: D) -> std::result::Result<T, D::Error>
where
    T: serde::Deserialize<'de> + Default,
    D: serde::Deserializer<'de>,
{
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwaai_core::ErrorCode;

    const DID: &str = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";

    #[test]
    fn a_peer_is_found_by_either_of_its_names() {
        let peer_id = peer(DID).unwrap();
        assert_eq!(peer(&peer_id.to_string()).unwrap(), peer_id);
        assert_eq!(did(&peer_id.to_string()).unwrap().to_string(), DID);
    }

    #[test]
    fn nonsense_is_refused_without_repeating_all_of_it() {
        let error = peer(&"x".repeat(100_000)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.len() < 200, "{error}");
        // Decoded as base58 this would take hours.
        assert_eq!(did(&"x".repeat(10_000_000)).unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(path("model", "").unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(path("model", "a\0b").unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(millis("grace_ms", u64::MAX).unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(json::<u32>("number", "{}").unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
