//! What a refused identifier is told: which rule it breaks.

use crate::{Error, ErrorCode};

/// A rule of the DID specifications, under the name of the error that they raise for it. It stands in the error's
/// context as `rule`.
#[derive(Clone, Copy)]
pub(super) struct Refusal(&'static str);

/// The text is no identifier of its method (DID 1.1 §3.1, and the syntax of each method).
pub(super) const INVALID_DID: Refusal = Refusal("invalidDid");
/// The text is no reference into a DID document (DID 1.1 §3.2).
pub(super) const INVALID_URL: Refusal = Refusal("invalidDidUrl");
/// The document is not one that its method allows (DID 1.1 §4 and §5).
pub(super) const INVALID_DOCUMENT: Refusal = Refusal("invalidDidDocument");
/// The key has not the length of its kind.
pub(super) const INVALID_LENGTH: Refusal = Refusal("invalidPublicKeyLength");
/// The bytes are no key of their kind.
pub(super) const INVALID_KEY: Refusal = Refusal("invalidPublicKey");
/// The key may not be used like this (Controlled Identifiers 1.0 §3.3).
pub(super) const INVALID_RELATION: Refusal = Refusal("invalidRelationshipForVerificationMethod");
/// The kind of key is recognised and not used here.
pub(super) const UNSUPPORTED_KEY: Refusal = Refusal("unsupportedPublicKeyType");
/// The DID method is not one that is read here.
pub(super) const METHOD_NOT_SUPPORTED: Refusal = Refusal("methodNotSupported");
/// What the identifier stands for is not in it.
pub(super) const NOT_FOUND: Refusal = Refusal("notFound");

impl Refusal {
    pub(super) fn error(self, code: ErrorCode, message: impl Into<String>) -> Error {
        Error::new(code, message).with("rule", self.0)
    }

    pub(super) fn invalid(self, message: impl Into<String>) -> Error {
        self.error(ErrorCode::InvalidArgument, message)
    }

    pub(super) fn unsupported(self, message: impl Into<String>) -> Error {
        self.error(ErrorCode::Unsupported, message)
    }

    pub(super) fn too_large(self, message: impl Into<String>, limit: usize) -> Error {
        self.error(ErrorCode::ResourceExhausted, message).with("limit", limit)
    }
}
