//! The messages of hivemind's DHT in protobuf: `dht.proto` and `auth.proto` of hivemind 1.1.12.

use prost::Message;

/// Who asks or answers.
#[derive(Clone, PartialEq, Message)]
pub struct NodeInfo {
    /// The node's place, 20 bytes; empty for a client, which nobody puts into a routing table.
    #[prost(bytes = "vec", tag = "1")]
    pub node_id: Vec<u8>,
}

/// What an authority says about a user.
#[derive(Clone, PartialEq, Message)]
pub struct AccessToken {
    /// The user's name.
    #[prost(string, tag = "1")]
    pub username: String,
    /// The user's public key.
    #[prost(bytes = "vec", tag = "2")]
    pub public_key: Vec<u8>,
    /// When the token expires, as a text.
    #[prost(string, tag = "3")]
    pub expiration_time: String,
    /// The authority's signature.
    #[prost(bytes = "vec", tag = "4")]
    pub signature: Vec<u8>,
}

/// The caller's proof of who it is, in swarms that ask for one.
#[derive(Clone, PartialEq, Message)]
pub struct RequestAuthInfo {
    /// The caller's token.
    #[prost(message, optional, tag = "1")]
    pub client_access_token: Option<AccessToken>,
    /// The key of the node that is asked.
    #[prost(bytes = "vec", tag = "2")]
    pub service_public_key: Vec<u8>,
    /// When it was asked, in seconds since 1970.
    #[prost(double, tag = "3")]
    pub time: f64,
    /// Random bytes that the answer repeats.
    #[prost(bytes = "vec", tag = "4")]
    pub nonce: Vec<u8>,
    /// The caller's signature of the request.
    #[prost(bytes = "vec", tag = "5")]
    pub signature: Vec<u8>,
}

/// The answering node's proof of who it is.
#[derive(Clone, PartialEq, Message)]
pub struct ResponseAuthInfo {
    /// The node's token.
    #[prost(message, optional, tag = "1")]
    pub service_access_token: Option<AccessToken>,
    /// The random bytes of the request.
    #[prost(bytes = "vec", tag = "2")]
    pub nonce: Vec<u8>,
    /// The node's signature of the answer.
    #[prost(bytes = "vec", tag = "3")]
    pub signature: Vec<u8>,
}

/// Asks whether a node is there.
#[derive(Clone, PartialEq, Message)]
pub struct PingRequest {
    /// The caller's proof.
    #[prost(message, optional, tag = "1")]
    pub auth: Option<RequestAuthInfo>,
    /// The caller.
    #[prost(message, optional, tag = "2")]
    pub peer: Option<NodeInfo>,
    /// Whether the caller wants to be pinged back before it is answered.
    #[prost(bool, tag = "3")]
    pub validate: bool,
}

/// Says that a node is there.
#[derive(Clone, PartialEq, Message)]
pub struct PingResponse {
    /// The answering node's proof.
    #[prost(message, optional, tag = "1")]
    pub auth: Option<ResponseAuthInfo>,
    /// The answering node.
    #[prost(message, optional, tag = "2")]
    pub peer: Option<NodeInfo>,
    /// The answering node's clock, in seconds since 1970.
    #[prost(double, tag = "4")]
    pub dht_time: f64,
    /// Whether the caller answered when it was pinged back.
    #[prost(bool, tag = "5")]
    pub available: bool,
}

/// Asks a node to keep values. The lists belong together, entry by entry.
#[derive(Clone, PartialEq, Message)]
pub struct StoreRequest {
    /// The caller's proof.
    #[prost(message, optional, tag = "1")]
    pub auth: Option<RequestAuthInfo>,
    /// Places of the keys.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub keys: Vec<Vec<u8>>,
    /// Sub-keys in msgpack; [`PLAIN`] for none, [`WHOLE`] when the value is a whole dictionary.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub subkeys: Vec<Vec<u8>>,
    /// Values.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub values: Vec<Vec<u8>>,
    /// When they expire, in seconds since 1970.
    #[prost(double, repeated, tag = "5")]
    pub expiration_time: Vec<f64>,
    /// Whether a value is a copy that may be forgotten early.
    #[prost(bool, repeated, tag = "6")]
    pub in_cache: Vec<bool>,
    /// The caller.
    #[prost(message, optional, tag = "7")]
    pub peer: Option<NodeInfo>,
}

/// The sub-key of a plain value: msgpack's nil.
pub const PLAIN: &[u8] = b"\xc0";
/// The sub-key of a whole dictionary: nothing at all.
pub const WHOLE: &[u8] = b"";

/// Says which values are kept.
#[derive(Clone, PartialEq, Message)]
pub struct StoreResponse {
    /// The answering node's proof.
    #[prost(message, optional, tag = "1")]
    pub auth: Option<ResponseAuthInfo>,
    /// One answer for each value.
    #[prost(bool, repeated, tag = "2")]
    pub store_ok: Vec<bool>,
    /// The answering node.
    #[prost(message, optional, tag = "3")]
    pub peer: Option<NodeInfo>,
}

/// Asks for values, and for nodes near them.
#[derive(Clone, PartialEq, Message)]
pub struct FindRequest {
    /// The caller's proof.
    #[prost(message, optional, tag = "1")]
    pub auth: Option<RequestAuthInfo>,
    /// Places of the keys.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub keys: Vec<Vec<u8>>,
    /// The caller.
    #[prost(message, optional, tag = "3")]
    pub peer: Option<NodeInfo>,
}

/// What a [`FindResult`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum ResultType {
    /// Nothing.
    NotFound = 0,
    /// A plain value.
    FoundRegular = 1,
    /// A dictionary of sub-keys.
    FoundDictionary = 2,
}

/// What a node knows about one key.
#[derive(Clone, PartialEq, Message)]
pub struct FindResult {
    /// What it holds.
    #[prost(enumeration = "ResultType", tag = "1")]
    pub r#type: i32,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// When it expires, in seconds since 1970.
    #[prost(double, tag = "3")]
    pub expiration_time: f64,
    /// Places of nodes near the key, the nearest first.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub nearest_node_ids: Vec<Vec<u8>>,
    /// Their PeerIds, in the same order.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub nearest_peer_ids: Vec<Vec<u8>>,
}

/// What a node knows about each key that it was asked for.
#[derive(Clone, PartialEq, Message)]
pub struct FindResponse {
    /// The answering node's proof.
    #[prost(message, optional, tag = "1")]
    pub auth: Option<ResponseAuthInfo>,
    /// One result for each key.
    #[prost(message, repeated, tag = "2")]
    pub results: Vec<FindResult>,
    /// The answering node.
    #[prost(message, optional, tag = "3")]
    pub peer: Option<NodeInfo>,
}
