//! Where a collection is: who its hosts are, how they stand, and by which id they know it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::shape::CollectionConfig;
use super::tables;
use crate::Result;
use crate::store::Store;
use crate::vpk::hosts::Hosts;
use crate::vpk::request::{Call, Request};
use crate::vpk::{CollectionId, HostName, Keeper};

/// The part of a new measurement in the time that a host usually takes.
const FRESH: f64 = 0.3;

/// How much longer than usual a host may take before another is asked, and how long that may be.
const SLOW: u32 = 3;
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_secs(2);
/// Of a host that never answered.
const UNKNOWN: Duration = Duration::from_millis(300);

pub(super) struct Site {
    /// By which its hosts know the collection. A repair takes it to another one, so that the old one answers meanwhile.
    pub(super) id: CollectionId,
    pub(super) config: CollectionConfig,
    pub(super) hosts: Vec<HostSide>,
    /// What lets another identity than its owner's read it, for each host; none where it is this node's own.
    readers: Vec<String>,
    liars: Arc<Mutex<BTreeSet<usize>>>,
    /// The bytes of the last question to a host, and of the last reply.
    sizes: [AtomicUsize; 2],
}

pub(super) struct HostSide {
    pub(super) keeper: Arc<dyn Keeper>,
    /// Requests wait for it, so that it has other segments than the owner knows.
    pub(super) behind: AtomicBool,
    /// How long it usually takes to answer a question.
    usual: Mutex<Option<Duration>>,
}

impl Site {
    /// The hosts of `config`, of which all are `behind`, or those for which something waits.
    pub(super) fn new(
        id: CollectionId,
        config: CollectionConfig,
        hosts: &Hosts,
        behind: impl Fn(u32) -> Result<bool>,
    ) -> Result<Site> {
        let mut sides = Vec::with_capacity(config.hosts.len());
        for (number, host) in config.hosts.iter().enumerate() {
            let (keeper, behind) = (hosts.keeper(*host)?, behind(number as u32)?.into());
            sides.push(HostSide { keeper, behind, usual: Mutex::default() });
        }
        Ok(Site { id, config, hosts: sides, readers: Vec::new(), liars: Arc::default(), sizes: Default::default() })
    }

    /// The same, read by these capabilities.
    pub(super) fn read_by(self, readers: Vec<String>) -> Site {
        Site { readers, ..self }
    }

    /// As it was when the collection was used last.
    pub(super) fn known(
        collection: CollectionId,
        id: CollectionId,
        config: CollectionConfig,
        hosts: &Hosts,
        store: &Store,
    ) -> Result<Site> {
        Site::new(id, config, hosts, |host| store.read(|tx| Ok(tables::first_waiting(tx, collection, host)?.is_some())))
    }

    pub(super) fn name(&self, host: usize) -> HostName {
        self.hosts[host].keeper.name()
    }

    pub(super) fn liars(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.liars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who lie, for who looks at replies after the question was answered.
    pub(super) fn list_of_liars(&self) -> std::sync::Weak<Mutex<BTreeSet<usize>>> {
        Arc::downgrade(&self.liars)
    }

    pub(super) fn is_behind(&self, host: usize) -> bool {
        self.hosts[host].behind.load(Ordering::Acquire)
    }

    pub(super) fn set_behind(&self, host: usize, behind: bool) {
        self.hosts[host].behind.store(behind, Ordering::Release);
    }

    pub(super) fn request(&self, call: Call) -> Request {
        Request { collection: self.id, capability: None, call }
    }

    pub(super) async fn call(&self, host: usize, call: Call) -> Result<Vec<u8>> {
        let keeper = &self.hosts[host].keeper;
        let request = Request { capability: self.readers.get(host).cloned(), ..self.request(call) };
        keeper.call(request).await.map_err(|error| error.with("host", keeper.name()))
    }

    /// Notes how many bytes a question and its reply had.
    pub(super) fn carried(&self, question: usize, reply: usize) {
        self.sizes[0].store(question, Ordering::Relaxed);
        self.sizes[1].store(reply, Ordering::Relaxed);
    }

    pub(super) fn sizes(&self) -> (usize, usize) {
        let [question, reply] = &self.sizes;
        (question.load(Ordering::Relaxed), reply.load(Ordering::Relaxed))
    }

    /// Notes how long a host took, or for how long it has not answered.
    pub(super) fn took(&self, host: usize, time: Duration) {
        let mut usual = self.hosts[host].usual.lock().unwrap_or_else(PoisonError::into_inner);
        *usual = Some(usual.map_or(time, |usual| usual.mul_f64(1.0 - FRESH) + time.mul_f64(FRESH)));
    }

    pub(super) fn usual(&self, host: usize) -> Option<Duration> {
        *self.hosts[host].usual.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long a host is waited for before another is asked too.
    pub(super) fn patience(&self, host: usize) -> Duration {
        self.usual(host).map_or(UNKNOWN, |usual| (usual * SLOW).clamp(SOONEST, LATEST))
    }
}
