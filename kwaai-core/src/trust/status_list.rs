//! Revocation and suspension: W3C Bitstring Status List 1.0.
//!
//! A credential that can be revoked names, for each purpose, a list and its own place in that list. The list is itself a
//! credential of the same issuer: 131 072 bits or more, compressed, most of them 0. Who reads one list learns about every
//! credential in it, and the issuer does not learn which of them was meant.
//!
//! **No web server.** `statusListCredential` is a name, not an address to dial: [`StatusListUrl`], written
//! `urn:kwaai:status:<key of the issuer>:<purpose>:<number>`. The list is signed, so anybody may keep it and hand it on:
//! the issuer, a peer that holds it, a record in the DHT. [`TrustGraph::wanted_status_lists`] says which lists this node
//! wants, [`TrustGraph::keep_status_list`] takes one from anywhere, and [`TrustGraph::status_list`] gives out this node's
//! own and those that it keeps. Lists under other names, such as `https:` addresses, are kept by the same rules.
//!
//! **Freshness.** A list holds from its signed `validFrom` for its `ttl`, or for [`DEFAULT_TTL`]; when it was received
//! does not matter, so an old list that is shown again is not new. A list that is older than the one at hand is refused.
//! What a stale list says against a credential stands; what it says for it is [`Status::Unknown`].
//!
//! **Errors** name the rule that was broken as `rule` in their context, in the specification's words.

mod issued;
mod kept;
mod lists;

use std::fmt;
use std::io::{Read, Write};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::credential::Credential;
use crate::identity::Did;
use crate::{Error, ErrorCode, Result};

pub use kept::{KeptStatusList, WantedStatusList};
pub(super) use kept::{link, unlink};
pub(super) use lists::StatusLists;

/// The fewest entries that a list may have, so that one entry hides among many (Bitstring Status List §3.4).
pub const MIN_STATUS_ENTRIES: usize = 131_072;

/// The longest list that is read, in bytes of its expanded bits: 64 times the shortest one.
pub const MAX_STATUS_LIST_BYTES: usize = 1 << 20;

/// Compression does not make a list of bits a half longer, whatever they are.
const MAX_ENCODED: usize = MAX_STATUS_LIST_BYTES * 3 / 2;

/// How long a list is fresh that names no `ttl`, and how long the lists of this node are: a day.
pub const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The most entries that one credential may name.
pub(super) const MAX_ENTRIES: usize = 8;

/// The longest name of a list, in bytes.
pub(super) const MAX_URL: usize = 512;

/// The share of its weight with which a credential counts whose status is [`Status::Unknown`].
///
/// A half: an issuer that is away for a while takes nobody's standing entirely, and a revoked peer that keeps its issuer's
/// list from others gains less than it loses by being cut off.
pub const UNKNOWN_STATUS_SHARE: f64 = 0.5;

/// What an entry of a list means when its bit is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StatusPurpose {
    /// The credential is withdrawn for good.
    Revocation,
    /// The credential does not hold for now.
    Suspension,
}

impl StatusPurpose {
    /// Every purpose.
    pub const ALL: [StatusPurpose; 2] = [StatusPurpose::Revocation, StatusPurpose::Suspension];

    /// The purpose's name in `statusPurpose`.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusPurpose::Revocation => "revocation",
            StatusPurpose::Suspension => "suspension",
        }
    }
}

impl fmt::Display for StatusPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StatusPurpose {
    type Err = Error;

    fn from_str(text: &str) -> Result<StatusPurpose> {
        StatusPurpose::ALL.into_iter().find(|purpose| purpose.as_str() == text).ok_or_else(|| {
            Error::invalid_argument(format!(
                "{text:.60?} is no purpose of a status; they are revocation and suspension"
            ))
        })
    }
}

/// The name of a list that needs no web server: `urn:kwaai:status:<key>:<purpose>:<number>`, where the key is the
/// issuer's in multibase, as in its did:key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusListUrl {
    /// Who signs the list, and every credential that names it.
    pub issuer: Did,
    /// What its bits mean.
    pub purpose: StatusPurpose,
    /// The list's number; an issuer begins a new one when half of the entries are given away.
    pub number: u32,
}

const STATUS_URN: &str = "urn:kwaai:status:";

impl fmt::Display for StatusListUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STATUS_URN}{}:{}:{}", self.issuer.multikey(), self.purpose, self.number)
    }
}

impl FromStr for StatusListUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<StatusListUrl> {
        let invalid = || {
            Rule::Malformed
                .error(format!("{text:.120?} is no name of a status list"))
                .with_remedy("write urn:kwaai:status:, the issuer's key, revocation or suspension, and a number")
        };
        let parts: Vec<&str> = text.strip_prefix(STATUS_URN).ok_or_else(invalid)?.split(':').collect();
        let [key, purpose, number] = parts[..] else { return Err(invalid()) };
        let read = StatusListUrl {
            issuer: format!("did:key:{key}").parse().map_err(|_| invalid())?,
            purpose: purpose.parse().map_err(|_| invalid())?,
            number: number.parse().map_err(|_| invalid())?,
        };
        // One list has one name: no leading zeros, no signs.
        if read.to_string() == text { Ok(read) } else { Err(invalid()) }
    }
}

/// What is known about a credential's withdrawal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It names no list: its issuer cannot withdraw it.
    NotRevocable,
    /// Every list that it names is at hand and fresh, and none speaks against it.
    Clear {
        /// When the oldest of these lists was signed.
        as_of: Timestamp,
    },
    /// It was withdrawn for good.
    Revoked,
    /// It does not hold for now.
    Suspended,
    /// A list that it names is not at hand, is stale, or cannot be used.
    Unknown {
        /// The reason, in a short phrase.
        why: String,
    },
}

/// The rules of the specification, by the names of its errors (Bitstring Status List §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Range,
    Length,
    Malformed,
    Verification,
    Retrieval,
}

impl Rule {
    fn as_str(self) -> &'static str {
        match self {
            Rule::Range => "RANGE_ERROR",
            Rule::Length => "STATUS_LIST_LENGTH_ERROR",
            Rule::Malformed => "MALFORMED_VALUE_ERROR",
            Rule::Verification => "STATUS_VERIFICATION_ERROR",
            Rule::Retrieval => "STATUS_RETRIEVAL_ERROR",
        }
    }

    fn error(self, message: impl Into<String>) -> Error {
        let code = match self {
            Rule::Range | Rule::Length | Rule::Malformed => ErrorCode::InvalidArgument,
            Rule::Verification => ErrorCode::CorruptData,
            Rule::Retrieval => ErrorCode::NotFound,
        };
        Error::new(code, message).with("rule", self.as_str())
    }
}

/// The bits of a status list. Index 0 is the most significant bit of the first byte (§3.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Bitstring(Vec<u8>);

impl Bitstring {
    /// A list of the least length in which no bit is set.
    pub fn new() -> Bitstring {
        Bitstring(vec![0; MIN_STATUS_ENTRIES / 8])
    }

    /// How many entries it has.
    pub fn entries(&self) -> u64 {
        self.0.len() as u64 * 8
    }

    /// Whether the bit at an index is set.
    ///
    /// # Errors
    /// `invalid_argument` with the rule `RANGE_ERROR` behind the last entry.
    pub fn get(&self, index: u64) -> Result<bool> {
        let (byte, mask) = place(&self.0, index)?;
        Ok(self.0[byte] & mask != 0)
    }

    /// Sets or clears the bit at an index.
    ///
    /// # Errors
    /// As [`Bitstring::get`].
    pub fn set(&mut self, index: u64, value: bool) -> Result<()> {
        let (byte, mask) = place(&self.0, index)?;
        if value {
            self.0[byte] |= mask;
        } else {
            self.0[byte] &= !mask;
        }
        Ok(())
    }

    /// The list as `encodedList` carries it: multibase base64url without padding, of the gzip of the bits. Two
    /// implementations may compress alike bits differently.
    pub fn encode(&self) -> Result<String> {
        let cannot = |error| Error::internal("a status list cannot be compressed").with_source(error);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&self.0).map_err(cannot)?;
        Ok(format!("u{}", URL_SAFE_NO_PAD.encode(gzip.finish().map_err(cannot)?)))
    }

    /// Reads an `encodedList`. However small a text claims to be large, no more than [`MAX_STATUS_LIST_BYTES`] are
    /// expanded.
    ///
    /// # Errors
    /// `invalid_argument` with the rule `MALFORMED_VALUE_ERROR` when it is no such text, and `STATUS_LIST_LENGTH_ERROR` when
    /// it has fewer than [`MIN_STATUS_ENTRIES`]; `resource_exhausted` when it is longer than what is read.
    pub fn decode(text: &str) -> Result<Bitstring> {
        let malformed = |why: &str| Rule::Malformed.error(format!("the encodedList is not readable: {why}"));
        let too_long = || {
            Error::resource_exhausted(format!("the status list has more than {MAX_STATUS_LIST_BYTES} bytes"))
                .with("limit", MAX_STATUS_LIST_BYTES)
                .with("rule", Rule::Length.as_str())
        };
        if text.len() > MAX_ENCODED {
            return Err(too_long());
        }
        let encoded = text.strip_prefix('u').ok_or_else(|| malformed("it is not multibase base64url"))?;
        let packed =
            URL_SAFE_NO_PAD.decode(encoded).map_err(|error| malformed("it is not base64url").with_source(error))?;
        let mut gzip = GzDecoder::new(packed.as_slice());
        let mut bits = Vec::with_capacity(MIN_STATUS_ENTRIES / 8);
        let limit = MAX_STATUS_LIST_BYTES as u64 + 1;
        let read = gzip.by_ref().take(limit).read_to_end(&mut bits);
        read.map_err(|error| malformed("it is not gzip").with_source(error))?;
        if bits.len() > MAX_STATUS_LIST_BYTES {
            return Err(too_long());
        }
        if !gzip.into_inner().is_empty() {
            return Err(malformed("something follows the compressed list"));
        }
        Bitstring::from_bytes(bits)
    }

    fn from_bytes(bits: Vec<u8>) -> Result<Bitstring> {
        if bits.len() < MIN_STATUS_ENTRIES / 8 {
            return Err(Rule::Length
                .error(format!("a status list has {} entries; {MIN_STATUS_ENTRIES} are the least", bits.len() * 8))
                .with("limit", MIN_STATUS_ENTRIES));
        }
        Ok(Bitstring(bits))
    }
}

impl Default for Bitstring {
    fn default() -> Bitstring {
        Bitstring::new()
    }
}

impl fmt::Debug for Bitstring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: u32 = self.0.iter().map(|byte| byte.count_ones()).sum();
        write!(f, "Bitstring({set} of {} set)", self.entries())
    }
}

/// The byte and the bit in it where an index stands.
fn place(bits: &[u8], index: u64) -> Result<(usize, u8)> {
    usize::try_from(index / 8).ok().filter(|byte| *byte < bits.len()).map_or_else(
        || {
            let entries = bits.len() * 8;
            Err(Rule::Range.error(format!("the index {index} lies behind the {entries} entries of the status list")))
        },
        |byte| Ok((byte, 0x80 >> (index % 8))),
    )
}

/// One place in one list that a credential names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusEntry {
    pub(super) purpose: StatusPurpose,
    pub(super) url: String,
    pub(super) index: u64,
}

/// The entries of a credential that tell whether it was withdrawn. `refresh` and `message` do not.
pub(super) fn entries(credential: &Credential) -> Result<Vec<StatusEntry>> {
    let listed = match credential.document().get("credentialStatus") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    if listed.len() > MAX_ENTRIES {
        return Err(Rule::Malformed.error(format!("a credential names more than {MAX_ENTRIES} status entries")));
    }
    let read = listed.iter().map(|entry| {
        let entry = entry.as_object().ok_or_else(|| Rule::Malformed.error("a credentialStatus is no object"))?;
        entry_of(entry)
    });
    read.filter_map(Result::transpose).collect()
}

fn entry_of(entry: &Map<String, Value>) -> Result<Option<StatusEntry>> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| Rule::Malformed.error(format!("the status entry has no {name}, or it is no text")))
    };
    match text("type")? {
        "BitstringStatusListEntry" => {}
        other => {
            return Err(Error::unsupported(format!("the status entry is of the type {other:.60?}"))
                .with("rule", Rule::Malformed.as_str()));
        }
    }
    let purpose = match text("statusPurpose")? {
        "refresh" | "message" => return Ok(None),
        known => known.parse().map_err(|error: Error| {
            Error::unsupported(format!("the status purpose {known:.60?} is not read here"))
                .with("rule", Rule::Malformed.as_str())
                .with_source(error)
        })?,
    };
    if entry.get("statusSize").is_some_and(|size| size.as_u64() != Some(1)) {
        return Err(Error::unsupported(format!("the statusSize of a {purpose} is not 1"))
            .with("rule", Rule::Malformed.as_str()));
    }
    let index = text("statusListIndex")?;
    let digits = (1..=15).contains(&index.len()) && index.bytes().all(|byte| byte.is_ascii_digit());
    let index = index.parse().ok().filter(|_| digits);
    let url = text("statusListCredential")?;
    if url.is_empty() || url.len() > MAX_URL {
        return Err(Rule::Malformed.error(format!("the statusListCredential is not a name of 1 to {MAX_URL} bytes")));
    }
    Ok(Some(StatusEntry {
        purpose,
        url: url.into(),
        index: index.ok_or_else(|| Rule::Malformed.error("the statusListIndex is not a decimal number"))?,
    }))
}

/// Instants in the database, as text.
mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(instant)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_index_is_the_most_significant_bit_of_the_first_byte() {
        let mut bits = Bitstring::new();
        for index in [0, 9, 131_071] {
            bits.set(index, true).unwrap();
        }
        assert_eq!((bits.0[0], bits.0[1], bits.0[16_383]), (0x80, 0x40, 0x01));
        assert!(bits.get(9).unwrap() && !bits.get(8).unwrap());
        bits.set(9, false).unwrap();
        assert!(!bits.get(9).unwrap());
        for outside in [131_072, u64::MAX] {
            let error = bits.get(outside).unwrap_err();
            assert_eq!((error.code(), error.context()["rule"].as_str()), (ErrorCode::InvalidArgument, "RANGE_ERROR"));
        }
    }

    #[test]
    fn a_list_has_one_name() {
        let issuer = crate::identity::Keypair::from_seed([1; 32]).did().unwrap();
        let url = StatusListUrl { issuer, purpose: StatusPurpose::Suspension, number: 7 };
        let text = url.to_string();
        assert_eq!(text, format!("urn:kwaai:status:{}:suspension:7", issuer.multikey()));
        assert_eq!(text.parse::<StatusListUrl>().unwrap(), url);
        for wrong in ["", ":7:", ":07", ":+7", ":4294967296", ":suspension:7:7"] {
            let wrong = text.replace(":7", wrong);
            assert!(wrong.parse::<StatusListUrl>().is_err(), "{wrong}");
        }
        for wrong in [text.replace("suspension", "message"), text.replace("urn:kwaai", "urn:other")] {
            assert_eq!(wrong.parse::<StatusListUrl>().unwrap_err().context()["rule"], "MALFORMED_VALUE_ERROR");
        }
    }
}
