//! The tier that a host asks of its tenants, which stands in the trust policy while it hosts.
//!
//! What stood there before is kept in the database, so that a process that ended while it hosted leaves nobody admitted whom the
//! policy did not admit.

use redb::TableDefinition;

use crate::store::{Store, existing};
use crate::trust::{Minimum, Purpose, TrustGraph};
use crate::{Error, Result};

/// In JSON the minimum that was replaced, and the one in its place.
const REPLACED: TableDefinition<&str, &str> = TableDefinition::new("vpk.host.minimum");
const TENANTS: &str = "store_vectors";

/// Asks this of tenants, and says what the policy asked before.
pub(super) fn replace(store: &Store, trust: &TrustGraph, minimum: Minimum) -> Result<Minimum> {
    let policy = trust.policy()?;
    let before = policy.minimum(Purpose::StoreVectors);
    let text = serde_json::to_string(&(before, minimum))
        .map_err(|error| Error::internal("a minimum cannot be written").with_source(error))?;
    store.write(|tx| {
        tx.open_table(REPLACED)?.insert(TENANTS, text.as_str())?;
        Ok(())
    })?;
    trust.set_policy(policy.with_minimum(Purpose::StoreVectors, minimum)?)?;
    Ok(before)
}

/// Has the policy ask again what it asked before.
pub(super) fn put_back(store: &Store, trust: &TrustGraph) -> Result<()> {
    let kept = store.read(|tx| {
        let Some(table) = existing(tx.open_table(REPLACED))? else { return Ok(None) };
        Ok(table.get(TENANTS)?.map(|text| text.value().to_owned()))
    })?;
    let Some(text) = kept else { return Ok(()) };
    let (before, ours): (Minimum, Minimum) = serde_json::from_str(&text)
        .map_err(|error| Error::corrupt_data("the minimum before hosting is damaged").with_source(error))?;
    let policy = trust.policy()?;
    // Who has set another one meanwhile means it.
    if policy.minimum(Purpose::StoreVectors) == ours {
        trust.set_policy(policy.with_minimum(Purpose::StoreVectors, before)?)?;
    }
    store.write(|tx| {
        tx.open_table(REPLACED)?.remove(TENANTS)?;
        Ok(())
    })
}
