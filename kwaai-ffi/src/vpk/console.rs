//! The page of a host, as an object.

use std::sync::{Arc, Weak};

use kwaai_core::vpk;

use crate::handle::Handle;

/// A page on loopback that says who keeps how much at this node, until it is shut down.
pub struct HostConsole {
    handle: Arc<Handle<Served>>,
    url: String,
}

/// The core's page ends when its last holder lets go.
pub(super) type Served = Arc<vpk::Console>;

impl HostConsole {
    pub(super) fn new(console: vpk::Console) -> HostConsole {
        let url = format!("http://{}/", console.address());
        HostConsole { handle: Arc::new(Handle::new("console of a host", Arc::new(console))), url }
    }

    pub(super) fn watched(&self) -> Weak<Handle<Served>> {
        Arc::downgrade(&self.handle)
    }

    /// Where a browser on this machine finds it. It stays readable after the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is served: not shut down, its node not either, and not another process's.
    pub fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    /// Ends it. Idempotent.
    pub fn shutdown(&self) {
        self.handle.close();
    }
}
