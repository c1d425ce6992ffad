//! A new key for what is there.

use super::Collection;
use crate::Result;
use crate::vpk::recovery::RecoveryKey;

impl Collection {
    /// Seals everything anew under the key of the next epoch, without the vectors that were deleted, and has the hosts forget
    /// what they had. Nothing is embedded again. Whoever knows the old key reads nothing that is brought to the hosts from now
    /// on; what it copied before, it has. Keys that were [exported](Collection::export_key) before open nothing any more.
    ///
    /// The hosts need room for both meanwhile. Searches go on, and changes wait. It happens or it does not: a crash leaves the
    /// old key or the new one.
    ///
    /// # Errors
    /// What a host answers that is needed; `corrupt_data` when a host hands out something else than was brought there.
    pub async fn rotate(&self) -> Result<()> {
        self.change(|inner| async move {
            let mut record = inner.lock().await?;
            inner.sweep().await?;
            inner.deliver_all(false).await?;
            let hosts = inner.site().config.hosts.clone();
            let recovery = RecoveryKey::generate(inner.id)?;
            inner.move_to(&mut record, hosts, &[], Some(recovery)).await
        })
        .await
    }
}
