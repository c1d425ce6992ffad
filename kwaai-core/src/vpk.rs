//! Knowledge on other people's machines that they cannot read.
//!
//! An [`Owner`] turns vectors into bytes that [`Host`]s keep, questions into bytes that they compute on, and their replies
//! into scores. Which bytes these are is the privacy [`Mode`]; each says what it tells a host by [`Leakage`], and `docs/vpk.md`
//! says so in words. Nothing here sends anything: a protocol carries the bytes.
//!
//! Vectors go up in *segments*, each sealed under randomness of its own. There is no verb that changes a stored vector or
//! seals a second one in its place, so no mask is ever used twice. What is deleted is forgotten by the owner, and gone from
//! the hosts with its segment.
//!
//! Scores are whole numbers and exact: equal questions to equal vectors give equal scores in every mode.

mod audit;
mod benchmark;
mod capability;
mod check;
mod collection;
mod console;
mod depot;
mod device;
mod directory;
mod export;
mod facet;
mod field;
mod field_host;
mod hosts;
mod keeper;
mod kept;
mod key;
mod leakage;
mod manifest;
mod minimum;
mod payload;
mod placement;
mod quantize;
mod query;
mod random;
mod recovery;
mod replica;
mod request;
mod rows;
mod segment;
mod serve;
mod storage;
#[cfg(test)]
mod tally;
mod topology;
mod wire;

pub mod plain;
pub mod seal;
pub mod split;

pub use audit::{Attack, AuditReport, Finding, HostAudit};
pub use benchmark::{BenchmarkConfig, BenchmarkRow, BenchmarkStep};
pub use capability::{Capability, Grant, MAX_CAPABILITY_BYTES, MAX_CAPABILITY_LIFETIME, MAX_LINKS, Right};
pub use collection::{
    Collection, CollectionConfig, CollectionStats, Found, Hit, HostReport, Item, MAX_HITS, PartState, RecoverConfig,
    Repair,
};
pub use console::{CONSOLE_PORT, Console};
pub use depot::{Depot, DepotPolicy, Tenant};
pub use directory::{Advert, Directory};
pub use export::Unlock;
pub use facet::Vpk;
pub use field_host::FieldHost;
pub use keeper::{HostName, Keeper};
pub use kept::{Described, KeptManifest, Room};
pub use key::{CollectionId, CollectionKey};
pub use leakage::{Leakage, Mode};
pub use manifest::{Anchor, Entry, Manifest};
pub use payload::{MAX_PAYLOAD, PADDING, PayloadPlace, open_payload, seal_payload};
pub use placement::{HostOffer, Placement};
pub use quantize::{MAX_DIMENSION, Metric, Quantized, Quantizer};
pub use request::{Call, MAX_PART, METHODS, PayloadName, Request};
pub use segment::{MAX_SEGMENT, SegmentStamp, Upload};
pub use storage::{STORAGE_PROTOCOL, Storage};

use crate::Result;

/// The side that owns the vectors and can read them.
pub trait Owner: Send + Sync {
    /// How the vectors are hidden.
    fn mode(&self) -> Mode;

    /// What the hosts learn.
    fn leakage(&self) -> &'static Leakage {
        self.mode().leakage()
    }

    /// How many hosts there are. Host `n` gets part `n` of everything.
    fn hosts(&self) -> usize;

    /// How vectors become whole numbers.
    fn quantizer(&self) -> &Quantizer;

    /// Seals quantized vectors, at most [`MAX_SEGMENT`] of them, as one new segment.
    ///
    /// # Errors
    /// `invalid_argument` when there are none or too many, or one has another length or is longer than the quantizer makes it.
    fn seal(&self, vectors: &[Vec<i32>]) -> Result<Upload>;

    /// Reads a segment back from what the hosts keep, `None` for a host that does not answer, to seal it again under another
    /// key or for other hosts.
    ///
    /// # Errors
    /// `corrupt_data` when it is not what was sealed; `unreachable` when there are too few parts.
    fn unseal(&self, stamp: &SegmentStamp, parts: &[Option<Vec<u8>>]) -> Result<Vec<Vec<i32>>>;

    /// What each host needs before the first question; empty for a host that needs nothing.
    ///
    /// # Errors
    /// `internal` when the keys of the session cannot be written.
    fn session(&self) -> Result<Vec<Vec<u8>>>;

    /// A question to all the vectors of these segments, which must be those that the hosts keep, in the order in which they
    /// got them.
    ///
    /// # Errors
    /// `invalid_argument` for a vector that does not fit the quantizer; `permission_denied` when a host of this session answered
    /// wrongly before.
    fn ask(&self, vector: &[i32], segments: &[SegmentStamp]) -> Result<Question>;
}

/// A question on its way.
pub struct Question {
    /// For each host the bytes of the question. No two questions have equal bytes, however equal the vectors.
    pub parts: Vec<Vec<u8>>,
    /// Takes the replies.
    pub opening: Box<dyn Opening>,
}

/// Collects the replies to one question.
pub trait Opening: Send {
    /// Takes the reply of a host. A host's second reply changes nothing.
    ///
    /// Nothing about the outcome may be told to a host, neither by a message nor by what is asked next: what a host can learn
    /// about decryptions helps it to find keys.
    ///
    /// # Errors
    /// `corrupt_data` when the replies cannot be those of honest hosts, so that no answer is to be had from them.
    fn offer(&mut self, host: usize, reply: &[u8]) -> Result<Step>;
}

/// How far an answer has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// More replies are needed.
    Wait,
    /// This is the answer.
    Done(Scores),
}

/// The score of every vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// For each segment that was asked, in that order, the dot product of the question with each of its vectors.
    pub exact: Vec<Vec<i64>>,
    /// The hosts whose replies were wrong.
    pub liars: Vec<usize>,
}

/// The side that keeps the bytes and computes on them.
pub trait Host: Send + Sync {
    /// Keeps a segment.
    ///
    /// # Errors
    /// `corrupt_data` when the bytes are not those of a segment; `invalid_argument` when its vectors have another dimension;
    /// `already_exists` when it is kept already.
    fn store(&mut self, segment: &[u8]) -> Result<()>;

    /// Forgets a segment.
    ///
    /// # Errors
    /// `not_found` when there is no such segment.
    fn remove(&mut self, stamp: &SegmentStamp) -> Result<()>;

    /// The bytes of a segment, as they were stored.
    ///
    /// # Errors
    /// `not_found` when there is no such segment.
    fn fetch(&self, stamp: &SegmentStamp) -> Result<Vec<u8>>;

    /// Takes what a session of the owner needs.
    ///
    /// # Errors
    /// `corrupt_data` when the bytes are not that.
    fn admit(&mut self, session: &[u8]) -> Result<()>;

    /// Computes the reply to a question.
    ///
    /// # Errors
    /// `corrupt_data` when the bytes are not a question; `not_found` when its session is not known; `conflict` when it asks
    /// other segments than are kept.
    fn answer(&self, question: &[u8]) -> Result<Vec<u8>>;
}
