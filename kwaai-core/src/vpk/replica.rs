//! Several hosts that each keep all of a collection, so that it outlives any but the last of them.
//!
//! Every host has the same bytes. That tells no more than one of them has: under `Seal` it is the same noise again, and not
//! other vectors under the same mask.

use std::sync::Arc;

use super::segment::{SegmentStamp, Upload};
use super::{Mode, Opening, Owner, Quantizer, Question, Step};
use crate::{Error, Result};

/// The owner of a collection of which there are several copies.
pub(super) struct Replicas {
    owner: Arc<dyn Owner>,
    hosts: usize,
}

impl Replicas {
    /// `hosts` copies of what the owner of one host's collection makes.
    pub(super) fn new(owner: Arc<dyn Owner>, hosts: usize) -> Replicas {
        Replicas { owner, hosts }
    }

    fn copies(&self, mut parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let part = parts.pop().ok_or_else(|| Error::internal("there is nothing to copy"))?;
        Ok(vec![part; self.hosts])
    }
}

impl Owner for Replicas {
    fn mode(&self) -> Mode {
        self.owner.mode()
    }

    fn hosts(&self) -> usize {
        self.hosts
    }

    fn quantizer(&self) -> &Quantizer {
        self.owner.quantizer()
    }

    fn seal(&self, vectors: &[Vec<i32>]) -> Result<Upload> {
        let Upload { stamp, parts } = self.owner.seal(vectors)?;
        Ok(Upload { stamp, parts: self.copies(parts)? })
    }

    fn unseal(&self, stamp: &SegmentStamp, parts: &[Option<Vec<u8>>]) -> Result<Vec<Vec<i32>>> {
        let mut failed = Error::unreachable("no host handed the segment out");
        for part in parts.iter().filter(|part| part.is_some()) {
            match self.owner.unseal(stamp, std::slice::from_ref(part)) {
                Ok(vectors) => return Ok(vectors),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn session(&self) -> Result<Vec<Vec<u8>>> {
        self.copies(self.owner.session()?)
    }

    fn ask(&self, vector: &[i32], segments: &[SegmentStamp]) -> Result<Question> {
        let Question { parts, opening } = self.owner.ask(vector, segments)?;
        Ok(Question { parts: self.copies(parts)?, opening: Box::new(Any { opening, hosts: self.hosts }) })
    }
}

/// The reply of any of the hosts. The first one is the answer, or ends the session.
struct Any {
    opening: Box<dyn Opening>,
    hosts: usize,
}

impl Opening for Any {
    fn offer(&mut self, host: usize, reply: &[u8]) -> Result<Step> {
        if host >= self.hosts {
            return Err(Error::invalid_argument(format!("there are {} hosts, numbered from 0", self.hosts)));
        }
        self.opening.offer(0, reply)
    }
}
