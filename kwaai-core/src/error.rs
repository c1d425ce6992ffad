//! The one error type of the library.
//!
//! A code tells the caller what to do; the message tells a person what happened. Codes, their numbers and their
//! retryable flags are listed in `tests/errors.toml`, which every language package is compared with. Message text is
//! not part of the API.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal, $constructor:ident, retryable: $retryable:literal;)+) => {
        /// What kind of failure it was, and so what the caller can do about it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u16)]
        pub enum ErrorCode { $($(#[$doc])* $variant = $number,)+ }

        impl ErrorCode {
            /// Every code, in the order of its number.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// The fixed string of this code, the same in every language.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$variant => $text,)+ }
            }

            /// Whether the same call may succeed later without the caller changing anything.
            pub fn is_retryable(self) -> bool {
                match self { $(ErrorCode::$variant => $retryable,)+ }
            }

            /// The code with this number, as peers and C callers transmit it.
            pub fn from_number(number: u16) -> Option<ErrorCode> {
                match number { $($number => Some(ErrorCode::$variant),)+ _ => None }
            }
        }

        impl Error {
            $(#[doc = concat!("An error with the code `", $text, "`.")]
            pub fn $constructor(message: impl Into<String>) -> Error {
                Error::new(ErrorCode::$variant, message)
            })+
        }
    };
}

codes! {
    /// An argument, a document or a message is malformed; the same call never succeeds.
    InvalidArgument = 1, "invalid_argument", invalid_argument, retryable: false;
    /// What was named does not exist.
    NotFound = 2, "not_found", not_found, retryable: false;
    /// What was to be made exists already.
    AlreadyExists = 3, "already_exists", already_exists, retryable: false;
    /// The other side, or the operating system, refuses this caller.
    PermissionDenied = 4, "permission_denied", permission_denied, retryable: false;
    /// A peer stands below the minimum tier that this node's own policy asks for.
    UntrustedPeer = 5, "untrusted_peer", untrusted_peer, retryable: false;
    /// A peer could not be reached.
    Unreachable = 6, "unreachable", unreachable, retryable: true;
    /// The deadline passed.
    Timeout = 7, "timeout", timeout, retryable: true;
    /// The caller cancelled.
    Cancelled = 8, "cancelled", cancelled, retryable: false;
    /// The handle was shut down.
    Closed = 9, "closed", closed, retryable: false;
    /// Something else holds the resource just now.
    Busy = 10, "busy", busy, retryable: true;
    /// A limit on memory, size, streams or storage was reached.
    ResourceExhausted = 11, "resource_exhausted", resource_exhausted, retryable: false;
    /// Stored or received data fails its checks.
    CorruptData = 12, "corrupt_data", corrupt_data, retryable: false;
    /// This build, platform or version cannot do it; the message says why.
    Unsupported = 13, "unsupported", unsupported, retryable: false;
    /// The state changed underneath the call.
    Conflict = 14, "conflict", conflict, retryable: true;
    /// The operating system reported a failure of a file or socket.
    Io = 15, "io", io, retryable: false;
    /// A defect of this library.
    Internal = 16, "internal", internal, retryable: false;
}

impl ErrorCode {
    /// The fixed number of this code, used on the wire and in C.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// The code that fits the operating system's answer.
    pub(crate) fn of(source: &std::io::Error) -> ErrorCode {
        use std::io::ErrorKind;
        match source.kind() {
            ErrorKind::NotFound => ErrorCode::NotFound,
            ErrorKind::AlreadyExists => ErrorCode::AlreadyExists,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ErrorCode::PermissionDenied,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::ResourceExhausted,
            _ => ErrorCode::Io,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What went wrong, why, and what can be done about it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    message: String,
    context: BTreeMap<&'static str, String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a code and a message for people.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { code, message: message.into(), context: BTreeMap::new(), source: None }))
    }

    /// Adds a named detail, for example `peer` or `limit`.
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Error {
        self.0.context.insert(key, value.to_string());
        self
    }

    /// Names the file that the failure is about.
    pub fn with_file(self, path: &Path) -> Error {
        self.with("file", path.display())
    }

    /// Says what the reader can do about it.
    pub fn with_remedy(self, remedy: impl Into<String>) -> Error {
        self.with("remedy", remedy.into())
    }

    /// Keeps the underlying failure.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The code, on which programs decide.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The message, without context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The named details, in the order of their names.
    pub fn context(&self) -> &BTreeMap<&'static str, String> {
        &self.0.context
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.code.is_retryable()
    }

    /// A failed operation on a file, with the code that fits the operating system's answer.
    pub fn file(action: &str, path: &Path, source: std::io::Error) -> Error {
        let code = ErrorCode::of(&source);
        Error::new(code, format!("cannot {action} {}: {source}", path.display())).with_file(path).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(remedy) = self.0.context.get("remedy") {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("code", &self.0.code.as_str()).field("message", &self.0.message);
        if !self.0.context.is_empty() {
            out.field("context", &self.0.context);
        }
        if let Some(source) = &self.0.source {
            out.field("source", &source.to_string());
        }
        out.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_again_by_its_number() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(ErrorCode::ALL.len(), 16);
        assert_eq!(ErrorCode::from_number(0), None);
        assert_eq!(ErrorCode::from_number(17), None);
    }

    #[test]
    fn a_missing_file_is_not_found_and_named() {
        let error = Error::file("read", Path::new("/nowhere/x"), std::io::ErrorKind::NotFound.into());
        assert_eq!(error.code(), ErrorCode::NotFound);
        assert_eq!(error.context()["file"], "/nowhere/x");
    }
}
