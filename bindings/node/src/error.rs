//! Errors cross as the JSON of their record; the facade has the classes.

use kwaai_ffi::{ErrorCode, KwaaiError, Spelling};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The `code` of a thrown error whose message is the record of a [`KwaaiError`].
pub struct Record;

impl AsRef<str> for Record {
    fn as_ref(&self) -> &str {
        "KWAAI"
    }
}

pub type Result<T> = std::result::Result<T, napi::Error<Record>>;

/// The error to throw.
pub(crate) fn thrown(error: KwaaiError) -> napi::Error<Record> {
    napi::Error::new(Record, text(&error))
}

/// An error as the JSON of its record.
pub(crate) fn text(error: &KwaaiError) -> String {
    // Codes, texts and numbers always fit into JSON.
    serde_json::to_string(error).unwrap_or_default()
}

/// A record of the object layer as JSON.
pub(crate) fn json(record: impl Serialize) -> kwaai_ffi::Result<String> {
    kwaai_ffi::to_json(&record).map(|value| value.to_string())
}

/// A record that the facade wrote as JSON; `what` is empty where its fields are arguments themselves.
pub(crate) fn parse<T: DeserializeOwned>(what: &str, json: &str) -> Result<T> {
    kwaai_ffi::from_json(what, json, Spelling::Camel).map_err(thrown)
}

/// A number that the facade has checked to be whole and not negative.
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

/// The error that code of the app ended with.
pub(crate) fn foreign(code: &str, message: String, cause: Option<String>) -> KwaaiError {
    let code = ErrorCode::ALL.iter().find(|known| known.as_str() == code).copied();
    KwaaiError::foreign(code.unwrap_or(ErrorCode::Internal), message, cause)
}

/// What Node-API itself failed with.
pub(crate) fn broken(error: napi::Error) -> napi::Error<Record> {
    thrown(KwaaiError::foreign(ErrorCode::Internal, "the JavaScript engine refused".into(), Some(error.reason.clone())))
}
