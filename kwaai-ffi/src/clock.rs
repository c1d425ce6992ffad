//! Clocks and identities that tests set.

use std::sync::Arc;
use std::time::Duration;

use kwaai_core::Error;
use kwaai_core::clock::{Clock, ManualClock, SystemClock};
use kwaai_core::identity::Keypair;

use crate::Result;

/// A hundred years.
const MAX_ADVANCE_MS: u64 = 100 * 365 * 86_400_000;

/// The clock of an object: the machine's, or one that stands still until it is moved.
#[derive(Clone, Default)]
pub(crate) struct SetClock(Option<ManualClock>);

impl SetClock {
    /// The clock that stands at this instant, RFC 3339; without one, the machine's.
    pub(crate) fn new(instant: Option<&str>) -> Result<SetClock> {
        Ok(SetClock(instant.map(str::parse).transpose()?))
    }

    /// What the core asks.
    pub(crate) fn core(&self) -> Arc<dyn Clock> {
        match &self.0 {
            Some(manual) => Arc::new(manual.clone()),
            None => Arc::new(SystemClock),
        }
    }

    /// Moves it forward.
    ///
    /// # Errors
    /// `unsupported` for the machine's clock.
    pub(crate) fn advance(&self, by_ms: u64) -> Result<()> {
        if by_ms > MAX_ADVANCE_MS {
            let message = format!("a clock is moved by at most {MAX_ADVANCE_MS} milliseconds at a time, not {by_ms}");
            return Err(Error::invalid_argument(message).into());
        }
        let by = Duration::from_millis(by_ms);
        let Some(manual) = &self.0 else {
            return Err(Error::unsupported("this object goes by the machine's clock, which nobody moves")
                .with_remedy("give it a clock of its own when it is started")
                .into());
        };
        manual.advance(by);
        Ok(())
    }
}

/// The key pair of a seed. Everybody can compute it, so it is for tests alone.
pub(crate) fn seeded(seed: u64) -> Keypair {
    let mut bytes = [0; 32];
    bytes[..24].copy_from_slice(b"kwaainet seed not secret");
    bytes[24..].copy_from_slice(&seed.to_le_bytes());
    Keypair::from_seed(bytes)
}

/// Refuses a seed where the identity would outlive the test.
pub(crate) fn check_seed(seed: Option<u64>, on_disk: bool) -> kwaai_core::Result<()> {
    if seed.is_some() && on_disk {
        return Err(Error::invalid_argument("an identity from a seed is no secret, and is not kept in a directory")
            .with_remedy("leave the seed out, or run in memory (preset \"ephemeral\", no directory)"));
    }
    Ok(())
}
