//! Hosts in the process of their owner, which can be away, or answer into the void.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::identity::{Did, Keypair, PeerId};
use kwaai_core::net::{PeerStream, Peers, StreamHandler, UnaryHandler};
use kwaai_core::trust::Purpose;
use kwaai_core::vpk::{Depot, HostName, Request};
use kwaai_core::{Error, Result};

/// What is wrong with a host, or with the line to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It hears nothing.
    Away,
    /// It does what it is asked, and its answers are lost.
    #[allow(dead_code, reason = "not every test loses answers")]
    AnswerLost,
}

/// The hosts, as the peers of their owner.
pub struct Depots {
    owner: Keypair,
    caller: Did,
    pub depots: BTreeMap<PeerId, Depot>,
    faults: Mutex<BTreeMap<PeerId, Fault>>,
    asked: Mutex<Vec<(PeerId, Request)>>,
}

impl Depots {
    pub fn new(owner: Keypair, depots: BTreeMap<PeerId, Depot>) -> Depots {
        let caller = owner.did().unwrap();
        Depots { owner, caller, depots, faults: Mutex::default(), asked: Mutex::default() }
    }

    pub fn names(&self) -> Vec<HostName> {
        self.depots.keys().map(|peer| HostName::Peer(*peer)).collect()
    }

    pub fn set(&self, peer: PeerId, fault: Option<Fault>) {
        let mut faults = self.faults.lock().unwrap();
        match fault {
            Some(fault) => drop(faults.insert(peer, fault)),
            None => drop(faults.remove(&peer)),
        }
    }

    /// All that was asked since the last time.
    #[allow(dead_code, reason = "not every test looks at what was asked")]
    pub fn asked(&self) -> Vec<(PeerId, Request)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl Peers for Depots {
    fn local_peer(&self) -> PeerId {
        self.owner.peer_id()
    }

    async fn call(&self, peer: PeerId, method: &str, body: Bytes, _: Duration) -> Result<Bytes> {
        let request = Request::read(method, &body)?;
        self.asked.lock().unwrap().push((peer, request.clone()));
        let fault = self.faults.lock().unwrap().get(&peer).copied();
        if fault == Some(Fault::Away) {
            return Err(Error::unreachable("not now"));
        }
        let answer = self.depots[&peer].answer(self.caller, &request);
        match fault {
            Some(_) => Err(Error::unreachable("the answer was lost")),
            None => answer.map(Bytes::from),
        }
    }

    async fn open_stream(&self, _: PeerId, _: &str, _: Duration) -> Result<PeerStream> {
        Err(Error::unsupported("there are no streams"))
    }

    fn serve_unary(&self, _: &str, _: Purpose, _: Arc<dyn UnaryHandler>) -> Result<()> {
        Ok(())
    }

    fn serve_streams(&self, _: &str, _: Purpose, _: Arc<dyn StreamHandler>) -> Result<()> {
        Ok(())
    }

    fn serve_foreign(&self, _: &str, _: Purpose, _: Arc<dyn UnaryHandler>) -> Result<()> {
        Ok(())
    }

    fn stop_serving(&self, _: &str) {}

    async fn announce(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn withdraw(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn providers(&self, _: &str) -> Result<Vec<PeerId>> {
        Ok(Vec::new())
    }
}
