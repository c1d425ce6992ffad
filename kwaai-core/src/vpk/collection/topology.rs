//! The collection's record at its hosts, and the key that reads it, for another machine.

use std::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::site::Site;
use super::{Collection, Current, Inner, blocking, tables};
use crate::vpk::device::Device;
use crate::vpk::export::{self, Whereabouts};
use crate::vpk::recovery::RecoveryKey;
use crate::vpk::request::Call;
use crate::vpk::topology::Topology;
use crate::vpk::{Anchor, CollectionConfig, CollectionKey};
use crate::{Error, ErrorCode, Result};

pub(super) fn superseded() -> Error {
    Error::conflict("another machine has recovered this collection, and has it now")
        .with_remedy("go on there; or recover it here under another name, or destroy it here")
}

impl Collection {
    /// What recovers the collection on [another machine](crate::vpk::Vpk::recover), as text that opens with a passphrase. It stays
    /// good over repairs and whatever is put in, until the next [rotation](Collection::rotate). Takes a tenth of a second, and
    /// 64 MiB of memory.
    ///
    /// # Errors
    /// `invalid_argument` for an empty passphrase or one above 1,024 bytes; failures of the disk.
    pub async fn export_key(&self, passphrase: &str) -> Result<String> {
        let (key, about) = self.inner.exported().await?;
        let passphrase = Zeroizing::new(passphrase.to_owned());
        blocking(move || export::under_passphrase(&key, &about, &passphrase)).await
    }

    /// The same for one other machine, which said by [`Vpk::device`](crate::vpk::Vpk::device) who it is: encrypted to its key, and signed by this node. No
    /// passphrase is needed.
    ///
    /// # Errors
    /// `invalid_argument` and `corrupt_data` for a text that no machine has made; failures of the disk.
    pub async fn export_key_to(&self, device: &str) -> Result<String> {
        let device = Device::read(device)?;
        let (key, about) = self.inner.exported().await?;
        export::to_device(&key, &about, &device, self.inner.hosts.trust().signer()).await
    }
}

impl Inner {
    async fn exported(&self) -> Result<(RecoveryKey, Whereabouts)> {
        self.check_there()?;
        let (key, id) = (self.recovery().await?, self.id);
        let Current { key: current, site, .. } = self.current();
        let anchor = self.store.read_async(move |tx| tables::anchor(tx, id)).await?;
        let hosts = site.config.hosts.iter().map(|host| self.hosts.seen_from_elsewhere(*host)).collect();
        let (epoch, sequence) = (current.epoch(), anchor.map_or(0, |(sequence, _)| sequence));
        Ok((key, Whereabouts { collection: id, epoch, sequence, hosts }))
    }

    /// The recovery key, made now where the collection is older than such keys.
    pub(super) async fn recovery(&self) -> Result<RecoveryKey> {
        let id = self.id;
        if let Some(key) = self.store.read_async(move |tx| tables::recovery(tx, id)).await? {
            return Ok(key);
        }
        let key = RecoveryKey::generate(id)?;
        let kept = key.clone();
        self.write(move |change| change.recovery(&kept)).await?;
        Ok(key)
    }

    /// Tells the hosts where the collection is, and says whether all of them took it.
    ///
    /// # Errors
    /// `conflict` when another machine has recovered it; nothing is changed here from then on.
    pub(super) async fn put_topology(&self, site: &Site, key: &CollectionKey, anchor: Anchor) -> Result<bool> {
        let recovery = self.recovery().await?;
        let hosts = site.config.hosts.iter().map(|host| self.hosts.seen_from_elsewhere(*host)).collect();
        let config = CollectionConfig { hosts, ..site.config.clone() };
        let record =
            Topology { key: key.clone(), anchor, site: site.id, config }.seal(&recovery, self.hosts.owner())?;
        let mut all = true;
        for host in 0..site.hosts.len() {
            match site.call(host, Call::PutTopology(record.clone())).await {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::Conflict => {
                    self.superseded.store(true, Ordering::Release);
                    return Err(superseded().with_source(error));
                }
                Err(error) => {
                    tracing::debug!(code = %error.code(), "a host keeps an older record of where the collection is");
                    all = false;
                }
            }
        }
        Ok(all)
    }
}
