//! What an owner, or somebody whom it allowed, asks of a host, and what the host answers.
//!
//! Each request is the body of one unary call. It names a collection, may carry a [capability](super::Capability), and
//! has the form of every message of private knowledge; [`Request::method`] says by which method it is called.

use super::segment::{MAX_SEGMENT, NONCE, SegmentStamp};
use super::wire::{Kind, Reader, Writer, damaged};
use super::{CollectionId, MAX_CAPABILITY_BYTES, MAX_DIMENSION, Mode};
use crate::{Error, Result};

/// The most bytes of a segment, a payload or a manifest on its way to a host: what one call carries beside a capability.
pub const MAX_PART: usize = 1024 * 1024 - 16 * 1024;

/// Names the payload of a vector at a host, and tells it nothing.
pub type PayloadName = [u8; 16];

/// A request to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which collection.
    pub collection: CollectionId,
    /// What lets somebody who is not its owner do this: the text of a [`Capability`](super::Capability).
    pub capability: Option<String>,
    /// What is to be done.
    pub call: Call,
}

/// What a host can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Make the collection.
    Create {
        /// How its vectors are hidden.
        mode: Mode,
        /// How many coordinates each has.
        dimension: u32,
    },
    /// Keep a segment.
    PutSegment(Vec<u8>),
    /// Keep a payload, in place of one of the same name.
    PutPayload(PayloadName, Vec<u8>),
    /// Forget a segment.
    RemoveSegment(SegmentStamp),
    /// Forget a payload.
    RemovePayload(PayloadName),
    /// Hand a segment out.
    FetchSegment(SegmentStamp),
    /// Hand a payload out.
    FetchPayload(PayloadName),
    /// Take what a session of questions needs.
    Admit(Vec<u8>),
    /// Answer a question.
    Ask(Vec<u8>),
    /// Hand the manifest out.
    ReadManifest,
    /// Replace the manifest, if it is the one of this number; 0 when there is none yet.
    ReplaceManifest(u64, Vec<u8>),
    /// Forget the collection.
    Delete,
    /// Name the collections of who asks.
    List,
    /// Say what is kept of the collection.
    Describe,
    /// Say how much room is left.
    Health,
    /// Let a capability count no more, which would end at this second.
    Revoke([u8; 16], i64),
    /// Keep the signed record of where the collection is, and of who may read it for its owner.
    PutTopology(Vec<u8>),
    /// Hand out the highest record that this author made of the collection.
    Resolve([u8; 32]),
}

const CREATE: &str = "kwaainet.vpk.create";
const PUT: &str = "kwaainet.vpk.put";
const REMOVE: &str = "kwaainet.vpk.remove";
const FETCH: &str = "kwaainet.vpk.fetch";
const ASK: &str = "kwaainet.vpk.ask";
const MANIFEST: &str = "kwaainet.vpk.manifest";
const DELETE: &str = "kwaainet.vpk.delete";
const LIST: &str = "kwaainet.vpk.list";
const HEALTH: &str = "kwaainet.vpk.health";
const REVOKE: &str = "kwaainet.vpk.revoke";
const RESOLVE: &str = "kwaainet.vpk.resolve";

/// The methods by which hosts are called.
pub const METHODS: [&str; 11] = [CREATE, PUT, REMOVE, FETCH, ASK, MANIFEST, DELETE, LIST, HEALTH, REVOKE, RESOLVE];

impl Request {
    /// The method by which this is called.
    pub fn method(&self) -> &'static str {
        METHODS[self.call.place().0]
    }

    /// The body of the call.
    ///
    /// # Errors
    /// `resource_exhausted` when it does not fit one call.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let capability = self.capability.as_deref().unwrap_or_default().as_bytes();
        let bytes = self.call.bytes();
        if bytes.len() > MAX_PART || capability.len() > MAX_CAPABILITY_BYTES {
            return Err(too_long());
        }
        let mut writer = Writer::new(Kind::Request, 0, 64 + capability.len() + bytes.len());
        writer.bytes(&self.collection.0);
        writer.u32(capability.len() as u32);
        writer.bytes(capability);
        writer.bytes(&[self.call.place().1]);
        match &self.call {
            Call::Create { mode, dimension } => {
                writer.bytes(&[*mode as u8]);
                writer.u32(*dimension);
            }
            Call::PutPayload(name, _) | Call::RemovePayload(name) | Call::FetchPayload(name) => writer.bytes(name),
            Call::RemoveSegment(stamp) | Call::FetchSegment(stamp) => {
                writer.bytes(&stamp.nonce);
                writer.u32(stamp.vectors);
            }
            Call::ReplaceManifest(number, _) => writer.u64(*number),
            Call::Revoke(id, until) => {
                writer.bytes(id);
                writer.bytes(&until.to_le_bytes());
            }
            Call::Resolve(author) => writer.bytes(author),
            _ => {}
        }
        writer.bytes(bytes);
        Ok(writer.finish())
    }

    /// Reads the body of a call of this method.
    ///
    /// # Errors
    /// `corrupt_data` for what is no such request; `resource_exhausted` for one that is too long; `unsupported` for another
    /// version.
    pub fn read(method: &str, body: &[u8]) -> Result<Request> {
        let mut reader = Reader::new(Kind::Request, 0, body)?;
        let collection = CollectionId(reader.array()?);
        let length = reader.u32()? as usize;
        if length > MAX_CAPABILITY_BYTES {
            return Err(too_long());
        }
        let capability = std::str::from_utf8(reader.take(length)?).map_err(|_| damaged("a capability is text"))?;
        let capability = (!capability.is_empty()).then(|| capability.to_owned());
        let method = METHODS.iter().position(|known| *known == method);
        let method = method.ok_or_else(|| Error::unsupported("hosts have no such method"))?;
        let call = Call::read(method, reader)?;
        Ok(Request { collection, capability, call })
    }
}

impl Call {
    /// The method, and which of its calls this is.
    fn place(&self) -> (usize, u8) {
        match self {
            Call::Create { .. } => (0, 0),
            Call::PutSegment(_) => (1, 0),
            Call::PutPayload(..) => (1, 1),
            Call::RemoveSegment(_) => (2, 0),
            Call::RemovePayload(_) => (2, 1),
            Call::FetchSegment(_) => (3, 0),
            Call::FetchPayload(_) => (3, 1),
            Call::Admit(_) => (4, 0),
            Call::Ask(_) => (4, 1),
            Call::ReadManifest => (5, 0),
            Call::ReplaceManifest(..) => (5, 1),
            Call::Delete => (6, 0),
            Call::List => (7, 0),
            Call::Describe => (7, 1),
            Call::Health => (8, 0),
            Call::PutTopology(_) => (5, 2),
            Call::Revoke(..) => (9, 0),
            Call::Resolve(_) => (10, 0),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Call::PutSegment(bytes)
            | Call::PutPayload(_, bytes)
            | Call::Admit(bytes)
            | Call::Ask(bytes)
            | Call::ReplaceManifest(_, bytes)
            | Call::PutTopology(bytes) => bytes,
            _ => &[],
        }
    }

    fn read(method: usize, mut reader: Reader) -> Result<Call> {
        let which = reader.u8()?;
        let rest = |reader: Reader| match reader.rest() {
            bytes if bytes.len() > MAX_PART => Err(too_long()),
            bytes => Ok(bytes.to_vec()),
        };
        let call = match (method, which) {
            (0, 0) => {
                let (mode, dimension) = (read_mode(reader.u8()?)?, reader.u32()?);
                if dimension == 0 || dimension as usize > MAX_DIMENSION {
                    return Err(damaged("a collection cannot have so many dimensions"));
                }
                Call::Create { mode, dimension }
            }
            (1, 0) => return rest(reader).map(Call::PutSegment),
            (1, 1) => return Ok(Call::PutPayload(reader.array()?, rest(reader)?)),
            (2, 0) => Call::RemoveSegment(read_stamp(&mut reader)?),
            (2, 1) => Call::RemovePayload(reader.array()?),
            (3, 0) => Call::FetchSegment(read_stamp(&mut reader)?),
            (3, 1) => Call::FetchPayload(reader.array()?),
            (4, 0) => return rest(reader).map(Call::Admit),
            (4, 1) => return rest(reader).map(Call::Ask),
            (5, 0) => Call::ReadManifest,
            (5, 1) => return Ok(Call::ReplaceManifest(reader.u64()?, rest(reader)?)),
            (6, 0) => Call::Delete,
            (7, 0) => Call::List,
            (7, 1) => Call::Describe,
            (8, 0) => Call::Health,
            (5, 2) => return rest(reader).map(Call::PutTopology),
            (9, 0) => Call::Revoke(reader.array()?, reader.array().map(i64::from_le_bytes)?),
            (10, 0) => Call::Resolve(reader.array()?),
            _ => return Err(damaged("the method has no such call")),
        };
        reader.finish()?;
        Ok(call)
    }
}

pub(super) fn read_mode(number: u8) -> Result<Mode> {
    Mode::ALL.into_iter().find(|mode| *mode as u8 == number).ok_or_else(|| damaged("it has an unknown privacy mode"))
}

pub(super) fn read_stamp(reader: &mut Reader) -> Result<SegmentStamp> {
    let stamp = SegmentStamp { nonce: reader.array::<NONCE>()?, vectors: reader.u32()? };
    if stamp.vectors == 0 || stamp.vectors as usize > MAX_SEGMENT {
        return Err(damaged("a segment cannot hold so many vectors"));
    }
    Ok(stamp)
}

fn too_long() -> Error {
    Error::resource_exhausted("the request is longer than one call carries").with("limit", MAX_PART)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vpk::{Described, KeptManifest, Room};

    const ID: CollectionId = CollectionId([0xab; 16]);

    fn calls() -> Vec<Call> {
        let stamp = SegmentStamp { nonce: [1; 24], vectors: 3 };
        vec![
            Call::Create { mode: Mode::Seal, dimension: 384 },
            Call::PutSegment(b"segment".to_vec()),
            Call::PutPayload([2; 16], b"payload".to_vec()),
            Call::RemoveSegment(stamp),
            Call::RemovePayload([2; 16]),
            Call::FetchSegment(stamp),
            Call::FetchPayload([2; 16]),
            Call::Admit(b"session".to_vec()),
            Call::Ask(b"question".to_vec()),
            Call::ReadManifest,
            Call::ReplaceManifest(7, b"manifest".to_vec()),
            Call::Delete,
            Call::List,
            Call::Describe,
            Call::Health,
            Call::Revoke([3; 16], 1_800_000_000),
            Call::PutTopology(b"topology".to_vec()),
            Call::Resolve([4; 32]),
        ]
    }

    #[test]
    fn every_request_is_read_as_it_was_written_and_by_its_method_alone() {
        for call in calls() {
            for capability in [None, Some("{}".to_owned())] {
                let request = Request { collection: ID, capability, call: call.clone() };
                let bytes = request.to_bytes().unwrap();
                assert_eq!(Request::read(request.method(), &bytes).unwrap(), request);
                for method in METHODS.iter().filter(|method| **method != request.method()) {
                    assert!(Request::read(method, &bytes).ok().as_ref() != Some(&request), "{method}");
                }
            }
        }
        let too_long = Request { collection: ID, capability: None, call: Call::Ask(vec![0; MAX_PART + 1]) };
        assert_eq!(too_long.to_bytes().unwrap_err().code(), crate::ErrorCode::ResourceExhausted);
    }

    #[test]
    fn the_longest_request_fits_a_call() {
        let longest = Request {
            collection: ID,
            capability: Some("x".repeat(MAX_CAPABILITY_BYTES)),
            call: Call::PutPayload([0; 16], vec![0; MAX_PART]),
        };
        assert!(longest.to_bytes().unwrap().len() <= crate::net::wire::MAX_REQUEST_BODY);
    }

    #[test]
    fn the_form_of_requests_and_answers_is_on_record() {
        let bytes = |call| Request { collection: ID, capability: Some("{}".into()), call }.to_bytes().unwrap();
        let head = [&b"KVP\x07\x01\0"[..], &[0xab; 16], b"\x02\0\0\0{}"].concat();
        let golden = |rest: &[u8]| [&head[..], rest].concat();
        assert_eq!(bytes(Call::Create { mode: Mode::Split, dimension: 384 }), golden(b"\0\x03\x80\x01\0\0"));
        assert_eq!(bytes(Call::PutPayload([2; 16], b"xy".to_vec())), golden(&[&[1; 1][..], &[2; 16], b"xy"].concat()));
        let stamp = SegmentStamp { nonce: [1; 24], vectors: 3 };
        assert_eq!(bytes(Call::FetchSegment(stamp)), golden(&[&[0][..], &[1; 24], b"\x03\0\0\0"].concat()));
        assert_eq!(bytes(Call::ReplaceManifest(7, b"m".to_vec())), golden(b"\x01\x07\0\0\0\0\0\0\0m"));
        assert_eq!(bytes(Call::PutTopology(b"t".to_vec())), golden(b"\x02t"));
        assert_eq!(bytes(Call::Resolve([4; 32])), golden(&[&[0][..], &[4; 32]].concat()));
        assert_eq!(bytes(Call::Revoke([3; 16], 9)), golden(&[&[0][..], &[3; 16], &9i64.to_le_bytes()].concat()));
        let described =
            Described { collection: ID, mode: Mode::Seal, dimension: 384, bytes: 258, segments: vec![stamp] };
        let golden = [
            &b"KVP\x08\x01\0\x01\0\0\0"[..],
            &[0xab; 16],
            b"\x02\x80\x01\0\0\x02\x01\0\0\0\0\0\0\x01\0\0\0",
            &[1; 24],
            b"\x03\0\0\0",
        ]
        .concat();
        assert_eq!(Described::write(std::slice::from_ref(&described)), golden);
        assert_eq!(Described::read(&golden).unwrap(), [described]);
        let room = Room { used: 1, left: 2, collections: 3 };
        let golden = b"KVP\x08\x01\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0";
        assert_eq!((room.write().as_slice(), Room::read(golden).unwrap()), (&golden[..], room));
        let manifest = KeptManifest { number: 4, bytes: b"m".to_vec() };
        let golden = b"KVP\x08\x01\0\x04\0\0\0\0\0\0\0m";
        assert_eq!((manifest.write().as_slice(), KeptManifest::read(golden).unwrap()), (&golden[..], manifest));
    }

    proptest! {
        #[test]
        fn fuzz_a_request_to_a_host_is_read_or_refused(
            (which, place, byte, cut) in (0usize..18, any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>()),
            method in 0usize..11,
        ) {
            let request = Request { collection: ID, capability: Some("{}".into()), call: calls()[which].clone() };
            let mut bytes = request.to_bytes().unwrap();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            let cut = cut.index(bytes.len());
            for bytes in [&bytes[..], &bytes[..cut], &[&bytes[..], &bytes[cut..]].concat()] {
                if let Ok(read) = Request::read(METHODS[method], bytes) {
                    prop_assert_eq!(read.to_bytes().unwrap(), bytes);
                }
                let _ = (Described::read(bytes), Room::read(bytes), KeptManifest::read(bytes));
            }
        }

        #[test]
        fn fuzz_an_answer_of_a_host_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&b"KVP\x08\x01\0"[..], &bytes].concat();
            if let Ok(described) = Described::read(&bytes) {
                prop_assert_eq!(Described::write(&described), bytes.clone());
            }
            let _ = (Room::read(&bytes), KeptManifest::read(&bytes));
        }
    }
}
