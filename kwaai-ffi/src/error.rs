//! The error as it crosses a language border: plain data, nothing that needs Rust to be understood.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;

use kwaai_core::{Error, ErrorCode};
use serde::{Serialize, Serializer};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, KwaaiError>;

/// What went wrong. The code is what programs decide on; it, its number and `retryable` are those of
/// `tests/errors.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KwaaiError {
    /// The fixed code; its string in every language.
    #[serde(serialize_with = "code_text")]
    pub code: ErrorCode,
    /// The fixed number of the code.
    pub number: u16,
    /// For people, with the remedy where there is one. Not part of the API.
    pub message: String,
    /// Named details, for example `file`, `peer`, `limit`.
    pub context: BTreeMap<String, String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The failures underneath, outermost first.
    pub cause: Option<String>,
}

fn code_text<S: Serializer>(code: &ErrorCode, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

impl From<Error> for KwaaiError {
    fn from(error: Error) -> KwaaiError {
        let mut causes = Vec::new();
        let mut below = error.source();
        while let Some(cause) = below {
            causes.push(cause.to_string());
            below = cause.source();
        }
        KwaaiError {
            code: error.code(),
            number: error.code().number(),
            message: error.to_string(),
            context: error.context().iter().map(|(key, value)| ((*key).to_string(), value.clone())).collect(),
            retryable: error.is_retryable(),
            cause: (!causes.is_empty()).then(|| causes.join(": ")),
        }
    }
}

impl KwaaiError {
    /// An error that arose in the app's own code: `cause` is what its language says of it.
    pub fn foreign(code: ErrorCode, message: String, cause: Option<String>) -> KwaaiError {
        let number = code.number();
        KwaaiError { code, number, message, context: BTreeMap::new(), retryable: code.is_retryable(), cause }
    }

    /// The way back into the core, for an error of the app's own code.
    pub(crate) fn into_core(self) -> Error {
        let error = Error::new(self.code, self.message);
        match self.cause {
            Some(cause) => error.with_source(std::io::Error::other(cause)),
            None => error,
        }
    }
}

impl fmt::Display for KwaaiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for KwaaiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_causes_and_details_as_plain_data() {
        let io = std::io::Error::other("the disk is on fire");
        let error = Error::file("read", std::path::Path::new("/x"), io).with_remedy("call somebody");
        let record = KwaaiError::from(error);
        assert_eq!(record.code, ErrorCode::Io);
        assert_eq!(record.context["file"], "/x");
        assert_eq!(record.cause.as_deref(), Some("the disk is on fire"));
        assert!(record.message.ends_with("; call somebody"), "{record}");
        let json = serde_json::to_value(&record).expect("plain data");
        assert_eq!(json["code"], "io");
        assert_eq!(json["number"], 15);
    }
}
