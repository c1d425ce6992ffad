//! Taking everything out of the hosts again, to see whether it is what was brought there.

use std::sync::Arc;

use futures::future::join_all;

use super::pages::published;
use super::site::Site;
use super::{Collection, Current, HostName, Inner, blocking, tables};
use crate::vpk::request::Call;
use crate::vpk::{Anchor, Mode, Owner, PayloadPlace, SegmentStamp, open_payload};
use crate::{Error, ErrorCode, Result};

/// What a host was found to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReport {
    /// Which host.
    pub host: HostName,
    /// Of each segment, in their order.
    pub segments: Vec<PartState>,
    /// Of each payload, in the order of their vectors' ids.
    pub payloads: Vec<PartState>,
    /// Of the manifest.
    pub manifest: PartState,
}

/// Whether something is at a host as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartState {
    /// It is what was brought there.
    Right,
    /// It is something else, or of another day.
    Wrong,
    /// The host says that it has it not.
    Missing,
    /// The host could not be asked.
    Unknown,
    /// Too few hosts have a part, so that nothing can be said of it.
    Undecided,
}

impl HostReport {
    /// Whether everything is as it should be.
    pub fn is_right(&self) -> bool {
        let right = |part: &PartState| *part == PartState::Right;
        self.segments.iter().all(right) && self.payloads.iter().all(right) && right(&self.manifest)
    }

    /// Whether it could be asked so far. A host that could not is not asked for the rest.
    fn is_there(&self) -> bool {
        self.payloads.last().or(self.segments.last()) != Some(&PartState::Unknown)
    }
}

impl Collection {
    /// Fetches all segments, payloads and manifests from the hosts and checks them. That is as much traffic as bringing them
    /// there was. Call [`flush`](Collection::flush) before: what waits for a host is missing there.
    ///
    /// # Errors
    /// Failures of the disk. What is wrong with a host is in its report.
    pub async fn verify(&self) -> Result<Vec<HostReport>> {
        self.change(|inner| async move { inner.verify().await }).await
    }
}

impl Inner {
    async fn verify(&self) -> Result<Vec<HostReport>> {
        let _record = self.lock().await?;
        self.verify_locked().await
    }

    pub(super) async fn verify_locked(&self) -> Result<Vec<HostReport>> {
        let (Current { state, key, owner, site }, id) = (self.current(), self.id);
        let anchor = self.store.read_async(move |tx| tables::anchor(tx, id)).await?;
        let mut reports: Vec<HostReport> = (0..site.hosts.len())
            .map(|host| HostReport {
                host: site.name(host),
                segments: Vec::new(),
                payloads: Vec::new(),
                manifest: PartState::Missing,
            })
            .collect();
        for stamp in state.stamps() {
            let asked = reports.iter().map(HostReport::is_there).collect::<Vec<bool>>();
            let states = verify_segment(&site, &owner, stamp, &asked).await?;
            reports.iter_mut().zip(states).for_each(|(report, state)| report.segments.push(state));
        }
        let places = state.known.iter().filter(|(_, known)| known.payload > 0);
        for place in places.map(|(id, known)| PayloadPlace { id: *id, version: known.payload }) {
            let name = key.payload_name(place)?;
            let looked = join_all(reports.iter().enumerate().map(async |(host, report)| {
                if !report.is_there() {
                    return PartState::Unknown;
                }
                let fetched = site.call(host, Call::FetchPayload(name)).await;
                judged(&fetched.and_then(|bytes| open_payload(&key, place, &bytes)))
            }));
            let states = looked.await;
            reports.iter_mut().zip(states).for_each(|(report, state)| report.payloads.push(state));
        }
        if let Some((sequence, digest)) = anchor {
            for (host, report) in reports.iter_mut().enumerate() {
                report.manifest = match report.is_there() {
                    true => judged(&published(&site, host, &key, Anchor { sequence, digest }).await),
                    false => PartState::Unknown,
                };
            }
        }
        Ok(reports)
    }
}

/// Of each host, whether its part of a segment is right: under `Split`, whether it fits together with the parts of others
/// that fit together.
async fn verify_segment(
    site: &Site,
    owner: &Arc<dyn Owner>,
    stamp: SegmentStamp,
    asked: &[bool],
) -> Result<Vec<PartState>> {
    let fetched = join_all(asked.iter().enumerate().map(async |(host, asked)| match asked {
        true => site.call(host, Call::FetchSegment(stamp)).await,
        false => Err(Error::unreachable("the host could not be asked")),
    }))
    .await;
    let mut states: Vec<PartState> = fetched.iter().map(judged).collect();
    let parts: Vec<Option<Vec<u8>>> = fetched.into_iter().map(Result::ok).collect();
    let (owner, together) = (owner.clone(), site.config.colluding + 1);
    blocking(move || {
        let fits = |chosen: &[usize]| {
            let some = |(host, part): (usize, &Option<Vec<u8>>)| part.clone().filter(|_| chosen.contains(&host));
            let parts: Vec<Option<Vec<u8>>> = parts.iter().enumerate().map(some).collect();
            owner.unseal(&stamp, &parts).is_ok()
        };
        let there: Vec<usize> = (0..parts.len()).filter(|host| parts[*host].is_some()).collect();
        if owner.mode() != Mode::Split {
            let wrong = there.iter().filter(|host| !fits(&[**host]));
            wrong.for_each(|host| states[*host] = PartState::Wrong);
            return Ok(states);
        }
        let base = crate::vpk::split::choices(there.len(), together)
            .into_iter()
            .map(|chosen| chosen.into_iter().map(|at| there[at]).collect::<Vec<usize>>())
            .find(|chosen| fits(chosen));
        for host in &there {
            states[*host] = match &base {
                None => PartState::Undecided,
                Some(base) if base.contains(host) => PartState::Right,
                Some(base) => {
                    let others = base.iter().skip(1).chain([host]).copied().collect::<Vec<usize>>();
                    if fits(&others) { PartState::Right } else { PartState::Wrong }
                }
            };
        }
        Ok(states)
    })
    .await
}

fn judged<T>(found: &Result<T>) -> PartState {
    match found.as_ref().map_err(Error::code) {
        Ok(_) => PartState::Right,
        Err(ErrorCode::NotFound) => PartState::Missing,
        Err(ErrorCode::CorruptData | ErrorCode::Conflict | ErrorCode::InvalidArgument) => PartState::Wrong,
        Err(_) => PartState::Unknown,
    }
}
