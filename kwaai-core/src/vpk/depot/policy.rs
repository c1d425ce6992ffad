//! How much a machine keeps for others, and for whom.

use crate::trust::Tier;
use crate::{Error, Result};

/// How much a machine keeps for others, and for whom. What is kept is counted as the database allots it: in pages of 4 KiB
/// and, above that, in powers of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DepotPolicy {
    /// The bytes on the disk for all owners together.
    pub capacity_bytes: u64,
    /// The bytes on the disk for one owner.
    pub tenant_bytes: u64,
    /// The collections of one owner.
    pub tenant_collections: u32,
    /// The bytes of memory for answering. A collection that needs more by itself is kept, but not searched.
    pub memory_bytes: u64,
    /// The lowest tier of a peer that may keep something here; `None` keeps the trust policy's minimum, `known` unless set.
    pub min_tier: Option<Tier>,
}

impl DepotPolicy {
    /// So many bytes, a quarter of them for one owner at most, and as many bytes of memory up to 1 GiB.
    pub fn of(capacity_bytes: u64) -> DepotPolicy {
        DepotPolicy {
            capacity_bytes,
            tenant_bytes: capacity_bytes / 4,
            tenant_collections: 64,
            memory_bytes: capacity_bytes.min(1 << 30),
            min_tier: None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.capacity_bytes == 0 || self.tenant_bytes == 0 || self.tenant_collections == 0 || self.memory_bytes == 0
        {
            return Err(Error::invalid_argument("a host that keeps nothing is no host")
                .with_remedy("give bytes on the disk and in memory, or stop hosting"));
        }
        Ok(())
    }
}
