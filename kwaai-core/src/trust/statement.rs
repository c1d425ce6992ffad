//! Small signed statements between nodes.
//!
//! A statement is a JSON object with `type`, `version` and `signature`. What is signed are the bytes
//! `kwaainet/<type>/<version>`, a line feed, and the canonical form (RFC 8785) of the object without its `signature`: a
//! signature made for one kind of statement, for a credential or for a connection fits no other. The `signature` is 64
//! bytes of Ed25519 in base58btc behind a `z`. Every member has a meaning; an unknown one is refused.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{json, proof};
use crate::identity::{Did, Signer};
use crate::{Error, ErrorCode, Result};

const VERSION: u64 = 1;

/// How far two clocks may be apart before a statement of one is refused by the other.
pub(crate) const CLOCK_SKEW_SECONDS: i64 = 5 * 60;

/// 64 bytes never need more characters of base58 than this; base58 decoding is quadratic, so longer text is not decoded.
const MAX_SIGNATURE: usize = 88;

/// A refusal that names the rule that was broken.
pub(crate) fn refused(code: ErrorCode, rule: &'static str, why: impl Into<String>) -> Error {
    Error::new(code, why).with("rule", rule)
}

/// Completes and signs a statement, and returns it as JSON text.
pub(crate) async fn sign(kind: &str, mut members: Map<String, Value>, signer: &dyn Signer) -> Result<String> {
    members.insert("type".into(), kind.into());
    members.insert("version".into(), VERSION.into());
    let signature = signer.sign(&message(kind, &members)?).await?;
    members.insert("signature".into(), format!("z{}", bs58::encode(signature).into_string()).into());
    Ok(json::sorted(members))
}

fn message(kind: &str, unsigned: &Map<String, Value>) -> Result<Vec<u8>> {
    let mut message = format!("kwaainet/{kind}/{VERSION}\n").into_bytes();
    message.extend(json::canonical(unsigned)?);
    Ok(message)
}

/// A statement whose author signed it, read member by member.
pub(crate) struct Reader {
    kind: &'static str,
    members: Map<String, Value>,
}

impl Reader {
    /// Reads a statement of at most `limit` bytes, signed by the DID in its member `author`.
    ///
    /// # Errors
    /// `resource_exhausted` for a text that is too long; `invalid_argument` with the rule `form` for one that is no such
    /// statement, `unsupported` for another version; `corrupt_data` with the rule `signature` when somebody else signed it,
    /// or it was changed.
    pub(crate) fn open(kind: &'static str, text: &str, limit: usize, author: &'static str) -> Result<(Reader, Did)> {
        if text.len() > limit {
            return Err(refused(
                ErrorCode::ResourceExhausted,
                "form",
                format!("{} bytes are too many for a {kind}; {limit} are the limit", text.len()),
            )
            .with("limit", limit));
        }
        let Value::Object(members) =
            json::parse_within(text, limit, json::MAX_DOCUMENT_DEPTH).map_err(|error| error.with("rule", "form"))?
        else {
            return Err(refused(ErrorCode::InvalidArgument, "form", format!("a {kind} is a JSON object")));
        };
        let mut reader = Reader { kind, members };
        if reader.text("type")? != kind {
            return Err(reader.malformed("type"));
        }
        match reader.take("version")?.as_u64() {
            Some(VERSION) => {}
            Some(other) => {
                let why = format!("version {other} of a {kind} is not read here");
                return Err(refused(ErrorCode::Unsupported, "version", why));
            }
            None => return Err(reader.malformed("version")),
        }
        let signature = signature(&reader.text("signature")?).ok_or_else(|| reader.malformed("signature"))?;
        let mut unsigned = reader.members.clone();
        unsigned.insert("type".into(), kind.into());
        unsigned.insert("version".into(), VERSION.into());
        let author = reader.did(author)?;
        if !author.verify(&message(kind, &unsigned)?, &signature) {
            return Err(refused(
                ErrorCode::CorruptData,
                "signature",
                format!("the signature does not belong to this {kind} and its author"),
            )
            .with("author", author));
        }
        Ok((reader, author))
    }

    /// A member that must be there.
    pub(crate) fn take(&mut self, name: &'static str) -> Result<Value> {
        self.members.remove(name).ok_or_else(|| self.malformed(name))
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Result<String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(self.malformed(name)),
        }
    }

    pub(crate) fn did(&mut self, name: &'static str) -> Result<Did> {
        let text = self.text(name)?;
        text.parse().map_err(|error: Error| self.malformed(name).with_source(error))
    }

    pub(crate) fn time(&mut self, name: &'static str) -> Result<Timestamp> {
        let value = self.take(name)?;
        proof::date_time(name, &value).map_err(|error| self.malformed(name).with_source(error))
    }

    /// `N` bytes in lower-case hexadecimal digits.
    pub(crate) fn bytes<const N: usize>(&mut self, name: &'static str) -> Result<[u8; N]> {
        let text = self.text(name)?;
        json::unhex(&text).ok_or_else(|| self.malformed(name))
    }

    /// A member of a type of its own, or `None` where it is missing.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<Option<T>> {
        let Some(value) = self.members.remove(name) else { return Ok(None) };
        serde_json::from_value(value).map(Some).map_err(|error| self.malformed(name).with_source(error))
    }

    /// Ends the reading; a member that nobody read is refused.
    pub(crate) fn end(self) -> Result<()> {
        match self.members.keys().next() {
            Some(name) => {
                Err(refused(ErrorCode::InvalidArgument, "form", format!("a {} has no member {name:.60?}", self.kind)))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn malformed(&self, name: &str) -> Error {
        refused(ErrorCode::InvalidArgument, "form", format!("the {name} of a {} is missing or malformed", self.kind))
    }
}

fn signature(text: &str) -> Option<[u8; 64]> {
    let encoded = text.strip_prefix('z').filter(|encoded| encoded.len() <= MAX_SIGNATURE)?;
    bs58::decode(encoded).into_vec().ok()?.try_into().ok()
}

/// Whether an instant lies no further ahead of `now` than clocks differ.
pub(crate) fn is_past(instant: Timestamp, now: Timestamp) -> bool {
    instant.as_second() <= now.as_second().saturating_add(CLOCK_SKEW_SECONDS)
}

/// Whether more than `seconds` have passed since an instant.
pub(crate) fn is_older(instant: Timestamp, seconds: i64, now: Timestamp) -> bool {
    now.as_second().saturating_sub(instant.as_second()) > seconds
}
