//! Bringing to the hosts what waits for them, and finding out what they have.

use std::sync::Arc;

use futures::future::join_all;

use super::site::Site;
use super::{Current, Inner, blocking, tables};
use crate::vpk::kept::Described;
use crate::vpk::request::Call;
use crate::vpk::{Owner, SegmentStamp, Upload, seal_payload};
use crate::{Error, ErrorCode, Result};

/// Payloads that are brought one after the other before the database is told.
const PARCELS: usize = 64;

/// Whether a host that answers so may answer otherwise later, without anybody doing anything about it.
pub(super) fn comes_back(error: &Error) -> bool {
    error.is_retryable() || matches!(error.code(), ErrorCode::Closed | ErrorCode::Cancelled)
}

/// Whether it was done, also when it had been done before.
pub(super) fn done(call: &Call, answer: &Result<Vec<u8>>) -> bool {
    match (call, answer) {
        (_, Ok(_)) => true,
        (Call::Create { .. } | Call::PutSegment(_), Err(error)) => error.code() == ErrorCode::AlreadyExists,
        (Call::RemoveSegment(_) | Call::RemovePayload(_) | Call::Delete, Err(error)) => {
            error.code() == ErrorCode::NotFound
        }
        _ => false,
    }
}

/// Brings a segment to the hosts of a site. Returns the parts of those that could not be reached, when enough have theirs.
pub(super) async fn bring(site: &Site, upload: Upload) -> Result<Vec<(usize, Vec<u8>)>> {
    let puts = upload.parts.into_iter().enumerate().map(async |(host, part)| {
        if site.is_behind(host) {
            // Behind what waits already, so that every host has the segments in the same order.
            return (host, part, Err(Error::unreachable("the host is behind")));
        }
        let call = Call::PutSegment(part.clone());
        let answer = site.call(host, call.clone()).await;
        let answer = if done(&call, &answer) { Ok(()) } else { answer.map(drop) };
        (host, part, answer)
    });
    let answers = join_all(puts).await;
    let kept = answers.iter().filter(|(_, _, answer)| answer.is_ok()).count();
    let refused = answers.iter().find_map(|(_, _, answer)| match answer {
        Err(error) if !comes_back(error) => Some(error.clone()),
        _ => None,
    });
    let failed = match refused {
        Some(error) => Some(error),
        None if kept < site.config.needed() => answers.iter().find_map(|(_, _, answer)| answer.clone().err()),
        None => None,
    };
    if let Some(error) = failed {
        return Err(error);
    }
    let late = answers.into_iter().filter(|(_, _, answer)| answer.is_err()).map(|(host, part, _)| (host, part));
    Ok(late.collect())
}

impl Inner {
    /// Seals vectors and brings the segment to the hosts. Returns it when enough of them have it, with the parts of those
    /// that could not be reached; when enough do not, none keeps it.
    pub(super) async fn place(
        &self,
        owner: Arc<dyn Owner>,
        vectors: Vec<Vec<i32>>,
    ) -> Result<(SegmentStamp, Vec<(usize, Vec<u8>)>)> {
        let upload = blocking(move || owner.seal(&vectors)).await?;
        let stamp = upload.stamp;
        match bring(&self.site(), upload).await {
            Ok(late) => Ok((stamp, late)),
            Err(error) => {
                self.take_back(stamp, &[]).await;
                Err(error)
            }
        }
    }

    /// Has all hosts but these forget a segment that does not count; those that cannot be reached, later.
    pub(super) async fn take_back(&self, stamp: SegmentStamp, but: &[usize]) {
        let site = self.site();
        let hosts = (0..site.hosts.len()).filter(|host| !but.contains(host));
        let removed = join_all(hosts.map(async |host| {
            let call = Call::RemoveSegment(stamp);
            let answer = site.call(host, call.clone()).await;
            (host, done(&call, &answer))
        }))
        .await;
        for (host, _) in removed.into_iter().filter(|(_, done)| !done) {
            site.set_behind(host, true);
            let request = site.request(Call::RemoveSegment(stamp));
            if let Err(error) = self.write(move |change| change.send(host as u32, &request)).await {
                // It is found out when the host is asked next, and removed then.
                tracing::debug!(code = %error.code(), "a segment to take back could not be noted");
            }
        }
    }

    /// Brings to every host what waits for it. With `enough` it suffices that as many hosts are current as a search needs.
    pub(super) async fn deliver_all(&self, enough: bool) -> Result<()> {
        let site = self.site();
        let answers = join_all((0..site.hosts.len()).map(|host| self.deliver(&site, host))).await;
        let current = answers.iter().filter(|answer| answer.is_ok()).count();
        match answers.into_iter().find_map(Result::err) {
            Some(error) if !enough || current < site.config.needed() => Err(error),
            _ => Ok(()),
        }
    }

    /// Brings to a host what waits for it, in its order.
    async fn deliver(&self, site: &Site, host: usize) -> Result<()> {
        let (id, number) = (self.id, host as u32);
        while site.is_behind(host) {
            let waiting = self.store.read_async(move |tx| tables::first_waiting(tx, id, number)).await?;
            let Some((at, request)) = waiting else {
                site.set_behind(host, false);
                break;
            };
            let answer = site.call(host, request.call.clone()).await;
            if !done(&request.call, &answer) {
                return answer.map(drop);
            }
            self.write(move |change| change.sent(number, at)).await?;
        }
        if let Err(error) = self.deliver_payloads(site, host).await {
            // Searching does not depend on them.
            tracing::debug!(code = %error.code(), "payloads wait for a host");
        }
        Ok(())
    }

    async fn deliver_payloads(&self, site: &Site, host: usize) -> Result<()> {
        let (id, number) = (self.id, host as u32);
        loop {
            let parcels = self.store.read_async(move |tx| tables::parcels(tx, id, number, PARCELS)).await?;
            if parcels.is_empty() {
                return Ok(());
            }
            let mut delivered = Vec::with_capacity(parcels.len());
            let mut failed = None;
            for (place, keep) in parcels {
                let Current { key, state, .. } = self.current();
                let name = key.payload_name(place)?;
                let current = state.known.get(&place.id).is_some_and(|known| known.payload == place.version);
                let clear = match keep && current {
                    true => self.store.read_async(move |tx| tables::payload(tx, id, place.id)).await?,
                    false => None,
                };
                let call = match clear {
                    Some(clear) => Call::PutPayload(name, seal_payload(&key, place, &clear)?),
                    None => Call::RemovePayload(name),
                };
                let answer = site.call(host, call.clone()).await;
                if !done(&call, &answer) {
                    failed = answer.err();
                    break;
                }
                delivered.push(place);
            }
            self.write(move |change| delivered.into_iter().try_for_each(|place| change.delivered(number, place)))
                .await?;
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }

    /// Asks a host what it keeps, and has it forget what does not count. The owner was interrupted while it brought something,
    /// or took something back.
    pub(super) async fn align(&self, site: &Site, host: usize) -> Result<()> {
        self.deliver(site, host).await?;
        let described = Described::read(&site.call(host, Call::Describe).await?)?;
        let [described] = described.as_slice() else {
            return Err(Error::corrupt_data("the host describes another number of collections"));
        };
        let wanted = self.state().stamps();
        for stamp in described.segments.iter().filter(|stamp| !wanted.contains(stamp)) {
            let call = Call::RemoveSegment(*stamp);
            let answer = site.call(host, call.clone()).await;
            if !done(&call, &answer) {
                return answer.map(drop);
            }
        }
        let kept: Vec<_> = described.segments.iter().filter(|stamp| wanted.contains(stamp)).copied().collect();
        if kept == wanted {
            return Ok(());
        }
        Err(Error::corrupt_data("the host has lost segments, or their order")
            .with("host", site.name(host))
            .with_remedy("choose another host"))
    }
}
