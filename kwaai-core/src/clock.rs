//! Time, injected wherever it decides something.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

use crate::{Error, Result};

/// Where the library reads the wall clock. Tests and simulations supply a [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock standing at the given instant, to the microsecond.
    pub fn at(instant: Timestamp) -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(instant.as_microsecond())))
    }

    /// Moves the clock and every clone of it forward.
    pub fn advance(&self, by: std::time::Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

impl std::str::FromStr for ManualClock {
    type Err = Error;

    /// A clock standing at an instant written as RFC 3339.
    fn from_str(text: &str) -> Result<ManualClock> {
        let instant: Timestamp = text.parse().map_err(|error| {
            Error::invalid_argument(format!("{text:.40?} is no instant"))
                .with_remedy("write it like 2026-01-31T12:00:00Z")
                .with_source(error)
        })?;
        Ok(ManualClock::at(instant))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}
