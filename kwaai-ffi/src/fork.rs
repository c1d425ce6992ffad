//! What a forked child cannot have.
//!
//! Some libraries keep threads for the life of the process and have no way to start them anew: libp2p's timers, and the
//! pool that computes models. A fork does not copy threads. A child of a process that has them would wait for ever for a
//! timeout or a product, so it is told instead.

use std::sync::atomic::{AtomicPtr, Ordering};

use kwaai_core::Error;

use crate::Result;
use crate::rt::{Process, process};

/// libp2p's timers.
pub(crate) static NETWORK: Unforkable = Unforkable::new("a node");
/// The threads that multiply matrices.
pub(crate) static MODELS: Unforkable = Unforkable::new("a model");

/// Something that belongs to the first process that uses it, and not to those forked from that one afterwards.
pub(crate) struct Unforkable {
    what: &'static str,
    owner: AtomicPtr<Process>,
}

impl Unforkable {
    const fn new(what: &'static str) -> Unforkable {
        Unforkable { what, owner: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// To be called before each use.
    ///
    /// # Errors
    /// `unsupported` in a process forked from one that used it.
    pub(crate) fn claim(&self) -> Result<()> {
        let ours = std::ptr::from_ref(process()).cast_mut();
        let claimed = self.owner.compare_exchange(std::ptr::null_mut(), ours, Ordering::AcqRel, Ordering::Acquire);
        match claimed {
            Ok(_) => Ok(()),
            Err(owner) if std::ptr::eq(owner, ours) => Ok(()),
            Err(_) => {
                let what = self.what;
                Err(Error::unsupported(format!(
                    "this process was forked from one that had {what}, and cannot have one"
                ))
                .with_remedy(format!("fork before the first use of {what}, or start the process by spawn instead"))
                .into())
            }
        }
    }
}
