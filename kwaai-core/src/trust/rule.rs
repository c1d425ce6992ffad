//! The rules that a credential, a presentation or a proof can break.

use std::fmt;

use crate::{Error, ErrorCode};

/// The rule for whose sake a document was refused. Its name stands in the error's context as `rule`, so that programs
/// can tell refusals apart without reading messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The text is JSON as RFC 8259 has it, and of the expected kind.
    Json,
    /// No object has a member twice (RFC 7493 §2.3).
    DuplicateKey,
    /// No number is an integer beyond 2^53, which readers round differently (RFC 7493 §2.2).
    IntegerRange,
    /// Arrays and objects are nested no deeper than the limit.
    Depth,
    /// The text, and each list in it, is no longer than the limit.
    Size,
    /// The contexts are those of the data model, and all of them are signed.
    Context,
    /// The document follows one version of the data model, not a mixture.
    Version,
    /// The type names what the document is.
    Type,
    /// The identifier is text, and the hash of the content where it says so.
    Id,
    /// The issuer is named and its DID can be read.
    Issuer,
    /// There is a subject, or several, as the data model has them.
    Subject,
    /// What the credential says under the names of its type can be meant; `claim` names the one that cannot.
    Claims,
    /// Dates are instants, in order, and neither the document nor its proof is from the future or past its end.
    Dates,
    /// The document carries proofs, in the form of the specification, and not too many.
    Proof,
    /// Type and cryptosuite of the proof are ones that this build checks.
    Cryptosuite,
    /// The proof was made for this purpose.
    ProofPurpose,
    /// The proofs that a proof builds on are there, once each, and do not build on it in turn.
    PreviousProof,
    /// The verification method is one that can be read, and listed for the purpose.
    VerificationMethod,
    /// The key that signed belongs to the one who had to sign: the issuer, or the holder.
    Controller,
    /// The signature belongs to this document and this key.
    Signature,
    /// The presentation names its holder.
    Holder,
    /// The proof was made for this audience.
    Domain,
    /// The proof answers this challenge.
    Challenge,
}

impl Rule {
    /// The fixed name of the rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Rule::Json => "json",
            Rule::DuplicateKey => "duplicate-key",
            Rule::IntegerRange => "integer-range",
            Rule::Depth => "depth",
            Rule::Size => "size",
            Rule::Context => "context",
            Rule::Version => "version",
            Rule::Type => "type",
            Rule::Id => "id",
            Rule::Issuer => "issuer",
            Rule::Subject => "subject",
            Rule::Claims => "claims",
            Rule::Dates => "dates",
            Rule::Proof => "proof",
            Rule::Cryptosuite => "cryptosuite",
            Rule::ProofPurpose => "proof-purpose",
            Rule::PreviousProof => "previous-proof",
            Rule::VerificationMethod => "verification-method",
            Rule::Controller => "controller",
            Rule::Signature => "signature",
            Rule::Holder => "holder",
            Rule::Domain => "domain",
            Rule::Challenge => "challenge",
        }
    }

    /// A document that breaks the rule by its form.
    pub(super) fn invalid(self, message: impl Into<String>) -> Error {
        self.refuse(ErrorCode::InvalidArgument, message)
    }

    /// A document that may follow the rule in a way which this build does not read.
    pub(super) fn unsupported(self, message: impl Into<String>) -> Error {
        self.refuse(ErrorCode::Unsupported, message)
    }

    /// A document whose content breaks the rule.
    pub(super) fn corrupt(self, message: impl Into<String>) -> Error {
        self.refuse(ErrorCode::CorruptData, message)
    }

    /// A document that is larger than `limit`.
    pub(super) fn exceeded(self, limit: usize, message: impl Into<String>) -> Error {
        self.refuse(ErrorCode::ResourceExhausted, message).with("limit", limit)
    }

    fn refuse(self, code: ErrorCode, message: impl Into<String>) -> Error {
        Error::new(code, message).with("rule", self)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
