//! What an object of this layer holds: a handle of the core, counted, and bound to the process that made it.

use std::mem::ManuallyDrop;
use std::sync::{PoisonError, RwLock};

use kwaai_core::Error;

use crate::Result;
use crate::rt::{Process, process};

/// A counted value of the core, of a type whose clones share everything.
///
/// In a forked child the sockets and tasks behind it belong to the parent, so it answers `closed` there, and dropping it
/// does nothing: the parent's locks may be held by threads that do not exist in the child.
pub(crate) struct Handle<T> {
    value: ManuallyDrop<RwLock<Option<T>>>,
    kind: &'static str,
    owner: &'static Process,
}

impl<T: Clone> Handle<T> {
    pub(crate) fn new(kind: &'static str, value: T) -> Handle<T> {
        let owner = process();
        owner.count(kind, true);
        Handle { value: ManuallyDrop::new(RwLock::new(Some(value))), kind, owner }
    }

    /// The value.
    ///
    /// # Errors
    /// `closed` after [`Handle::close`], and in a process forked from the one that made it.
    pub(crate) fn get(&self) -> Result<T> {
        if !self.is_ours() {
            let what = format!("this {} belongs to the process that this one was forked from", self.kind);
            return Err(Error::closed(what).with_remedy("open it again in this process").into());
        }
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        value.clone().ok_or_else(|| Error::closed(format!("this {} was shut down", self.kind)).into())
    }
}

impl<T> Handle<T> {
    /// Whether the value can be had: not shut down, and not another process's.
    pub(crate) fn is_open(&self) -> bool {
        self.is_ours() && self.value.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Lets go of the value. What is under way keeps its clone until it is done.
    pub(crate) fn close(&self) {
        if !self.is_ours() {
            return;
        }
        let value = self.value.write().unwrap_or_else(PoisonError::into_inner).take();
        if value.is_some() {
            self.drop_inside(value);
            self.owner.count(self.kind, false);
        }
    }

    /// Whether this process made it.
    pub(crate) fn is_ours(&self) -> bool {
        std::ptr::eq(self.owner, process())
    }

    /// Drops something that may want the runtime for its last tasks.
    fn drop_inside(&self, value: Option<T>) {
        let context = self.owner.context();
        let _inside = context.as_ref().map(|runtime| runtime.enter());
        drop(value);
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.close();
    }
}
