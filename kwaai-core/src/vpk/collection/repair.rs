//! Other hosts in the place of those that are gone or lie.

use std::sync::Arc;

use super::{Collection, Inner};
use crate::vpk::placement::{self, HostOffer};
use crate::vpk::{HostName, HostReport, PartState};
use crate::{Error, Result};

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The hosts that did not have what they should, or could not be asked.
    pub lost: Vec<HostName>,
    /// Those that have it in their place.
    pub added: Vec<HostName>,
}

impl Collection {
    /// [Verifies](Collection::verify) what the hosts have, and puts others in the place of those that answered wrongly, have lost
    /// something or cannot be reached: the ones that are named, in their order, or where none is, ones that are
    /// [discovered](crate::vpk::Vpk::discover) and independent of those that stay. With the new hosts everything is sealed anew under
    /// the key of the next epoch, as a [rotation](Collection::rotate) does it. Searches go on meanwhile, as far as enough of the old hosts answer.
    ///
    /// Under `Split`, t + 1 hosts must still have their shares; otherwise one must have its copy. A host that comes back later is
    /// told to forget what it has.
    ///
    /// # Errors
    /// `unreachable` when too few hosts have what is needed to read the vectors; `not_found` when too few hosts are found for
    /// those that are lost; what a host answers that is needed. Everything stays as it was then.
    pub async fn repair(&self, replacements: Vec<HostName>) -> Result<Repair> {
        self.change(|inner| async move { inner.repair(replacements).await }).await
    }
}

impl Inner {
    async fn repair(self: &Arc<Self>, replacements: Vec<HostName>) -> Result<Repair> {
        let mut record = self.lock().await?;
        self.sweep().await?;
        // What only waits for a host is not lost. Who does not take it is found below.
        let brought = async {
            self.deliver_all(true).await?;
            self.publish().await
        };
        if let Err(error) = brought.await {
            tracing::debug!(code = %error.code(), "something waits for a host before a repair");
        }
        let reports = self.verify_locked().await?;
        let site = self.site();
        let lies = site.liars().clone();
        let lost: Vec<usize> =
            (0..site.hosts.len()).filter(|host| lies.contains(host) || is_lost(&reports[*host])).collect();
        if lost.is_empty() {
            return Ok(Repair { lost: Vec::new(), added: Vec::new() });
        }
        let staying = site.hosts.len() - lost.len();
        let readable = site.config.readable();
        let sealed = !self.state().segments.is_empty();
        if sealed && staying < readable {
            return Err(Error::unreachable(format!(
                "{readable} hosts must have the vectors, and {staying} of {} do",
                site.hosts.len()
            ))
            .with("needed", readable)
            .with("found", staying)
            .with_remedy("try again when more of them can be reached"));
        }
        let added = self.replacements(&site.config.hosts, &lost, replacements).await?;
        let mut hosts = site.config.hosts.clone();
        lost.iter().zip(&added).for_each(|(host, new)| hosts[*host] = *new);
        let gone = lost.iter().map(|host| site.config.hosts[*host]).collect();
        self.move_to(&mut record, hosts, &lost, None).await?;
        Ok(Repair { lost: gone, added })
    }

    /// As many hosts as are lost, none of which is one already.
    async fn replacements(&self, hosts: &[HostName], lost: &[usize], named: Vec<HostName>) -> Result<Vec<HostName>> {
        if named.is_empty() {
            let placement = self.site().config.placement.clone();
            let mut taken: Vec<HostOffer> = Vec::new();
            for number in (0..hosts.len()).filter(|number| !lost.contains(number)) {
                taken.extend(self.hosts.known(hosts[number])?);
            }
            let mut offers = self.hosts.discover(&placement).await?;
            offers.retain(|offer| !hosts.contains(&HostName::Peer(offer.host)));
            let chosen = placement::choose(&offers, &taken, (lost.len(), lost.len()), &placement)?;
            return Ok(chosen.into_iter().map(HostName::Peer).collect());
        }
        if named.len() < lost.len() {
            return Err(Error::invalid_argument(format!("{} hosts are lost, and {} named", lost.len(), named.len()))
                .with("lost", lost.len()));
        }
        if let Some(host) = named.iter().find(|host| hosts.contains(host)) {
            return Err(Error::invalid_argument(
                "a host cannot take the place of another that it is beside, or its own",
            )
            .with("host", host));
        }
        Ok(named.into_iter().take(lost.len()).collect())
    }
}

/// Whether a host is to be replaced. Where too few have a part, nobody is to blame.
fn is_lost(report: &HostReport) -> bool {
    let parts = report.segments.iter().chain(&report.payloads).chain([&report.manifest]);
    parts.into_iter().any(|part| !matches!(part, PartState::Right | PartState::Undecided))
}
