//! What hosts keep of sites that do not count: begun and not finished, or left.

use std::sync::Arc;

use futures::future::join_all;

use super::delivery::done;
use super::{Inner, tables};
use crate::Result;
use crate::vpk::request::{Call, Request};
use crate::vpk::{CollectionId, HostName};

impl Inner {
    /// Has the hosts of the collection forget what does not count. Those that cannot be reached do so another time.
    pub(super) async fn sweep(&self) -> Result<()> {
        let hosts = self.site().config.hosts.clone();
        let mut sites = self.leftovers().await?;
        sites.iter_mut().for_each(|(_, at)| at.retain(|host| hosts.contains(host)));
        self.forget_at(sites).await
    }

    /// Has those forget it that are no hosts of the collection any more, of which some may never answer again.
    pub(super) async fn sweep_in_background(self: &Arc<Self>) -> Result<()> {
        let sites = self.leftovers().await?;
        if sites.is_empty() {
            return Ok(());
        }
        let inner = self.clone();
        tokio::spawn(async move {
            if let Err(error) = inner.forget_at(sites).await {
                tracing::debug!(code = %error.code(), "what hosts keep and does not count could not be noted");
            }
        });
        Ok(())
    }

    async fn leftovers(&self) -> Result<Vec<(CollectionId, Vec<HostName>)>> {
        let id = self.id;
        self.store.read_async(move |tx| tables::leftovers(tx, id)).await
    }

    async fn forget_at(&self, sites: Vec<(CollectionId, Vec<HostName>)>) -> Result<()> {
        for (site, hosts) in sites {
            let forgotten = join_all(hosts.into_iter().map(async |host| {
                let request = Request { collection: site, capability: None, call: Call::Delete };
                let answer = match self.hosts.keeper(host) {
                    Ok(keeper) => keeper.call(request).await,
                    Err(error) => Err(error),
                };
                done(&Call::Delete, &answer).then_some(host)
            }))
            .await;
            let forgotten: Vec<HostName> = forgotten.into_iter().flatten().collect();
            if !forgotten.is_empty() {
                self.write(move |change| change.swept(site, &forgotten)).await?;
            }
        }
        Ok(())
    }
}
