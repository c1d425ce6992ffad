//! A host's disk with tenants, in the tests.

use std::path::Path;
use std::sync::Arc;

use kwaai_core::clock::ManualClock;
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::vpk::plain::PlainOwner;
use kwaai_core::vpk::seal::SealOwner;
use kwaai_core::vpk::split::SplitOwner;
use kwaai_core::vpk::{
    Call, CollectionId, CollectionKey, Depot, DepotPolicy, Described, Metric, Mode, Owner, Request, Room, Scores,
    SegmentStamp, Step,
};
use kwaai_core::{Error, ErrorCode};

use crate::world::Random;

pub const DIMENSION: usize = 12;
pub const HOST: u8 = 100;

pub fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

pub fn clock() -> ManualClock {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub fn depot_within(dir: &Path, policy: DepotPolicy) -> Depot {
    Depot::open(Store::open(dir).unwrap(), did(HOST), Arc::new(clock()), policy).unwrap()
}

pub fn depot(dir: &Path) -> Depot {
    depot_within(dir, DepotPolicy::of(1 << 30))
}

/// An owner with one collection for each of its hosts, all of them in one depot.
pub struct Tenant {
    pub seed: u8,
    pub owner: Box<dyn Owner>,
    pub collections: Vec<CollectionId>,
    pub segments: Vec<SegmentStamp>,
}

impl Tenant {
    pub fn new(seed: u8, mode: Mode) -> Tenant {
        let key = CollectionKey::generate().unwrap();
        let owner: Box<dyn Owner> = match mode {
            Mode::Seal => Box::new(SealOwner::new(&key, DIMENSION, Metric::Cosine).unwrap()),
            Mode::Split => Box::new(SplitOwner::new(&key, DIMENSION, Metric::Cosine, 3, 1).unwrap()),
            _ => Box::new(PlainOwner::new(DIMENSION, Metric::Cosine).unwrap()),
        };
        let collections = (0..owner.hosts()).map(|part| CollectionId([seed + part as u8; 16])).collect();
        Tenant { seed, owner, collections, segments: Vec::new() }
    }

    pub fn did(&self) -> Did {
        did(self.seed)
    }

    pub fn request(&self, part: usize, call: Call) -> Request {
        Request { collection: self.collections[part], capability: None, call }
    }

    /// As over the network: through bytes.
    pub fn call(&self, depot: &Depot, part: usize, call: Call) -> Result<Vec<u8>, Error> {
        send(depot, self.did(), &self.request(part, call))
    }

    pub fn create(&self, depot: &Depot) {
        for part in 0..self.collections.len() {
            let call = Call::Create { mode: self.owner.mode(), dimension: DIMENSION as u32 };
            Room::read(&self.call(depot, part, call).unwrap()).unwrap();
        }
    }

    pub fn sealed(&self, count: usize, seed: u64) -> (SegmentStamp, Vec<Vec<u8>>) {
        let vectors: Vec<Vec<i32>> = Random(seed)
            .corpus(count, DIMENSION)
            .iter()
            .map(|vector| self.owner.quantizer().quantize(vector).unwrap().values)
            .collect();
        let upload = self.owner.seal(&vectors).unwrap();
        (upload.stamp, upload.parts)
    }

    pub fn put(&mut self, depot: &Depot, count: usize, seed: u64) {
        let (stamp, parts) = self.sealed(count, seed);
        for (part, bytes) in parts.into_iter().enumerate() {
            self.call(depot, part, Call::PutSegment(bytes)).unwrap();
        }
        self.segments.push(stamp);
    }

    /// The scores of one question, with the session made known when it is not.
    pub fn ask(&self, depot: &Depot) -> Scores {
        let query = self.owner.quantizer().quantize(&Random(9).vector(DIMENSION)).unwrap().values;
        let mut question = self.owner.ask(&query, &self.segments).unwrap();
        let sessions = self.owner.session().unwrap();
        for (part, bytes) in question.parts.into_iter().enumerate() {
            let reply = match self.call(depot, part, Call::Ask(bytes.clone())) {
                Err(error) if error.code() == ErrorCode::NotFound => {
                    self.call(depot, part, Call::Admit(sessions[part].clone())).unwrap();
                    self.call(depot, part, Call::Ask(bytes))
                }
                reply => reply,
            };
            if let Step::Done(scores) = question.opening.offer(part, &reply.unwrap()).unwrap() {
                return scores;
            }
        }
        panic!("all hosts have answered");
    }

    pub fn described(&self, depot: &Depot, part: usize) -> Described {
        Described::read(&self.call(depot, part, Call::Describe).unwrap()).unwrap().remove(0)
    }
}

pub fn send(depot: &Depot, caller: Did, request: &Request) -> Result<Vec<u8>, Error> {
    let bytes = request.to_bytes()?;
    depot.answer(caller, &Request::read(request.method(), &bytes)?)
}
