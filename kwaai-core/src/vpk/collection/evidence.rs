//! Fetching what the hosts keep, as they keep it, to attack it.

use futures::future::join_all;

use super::state::Segment;
use super::{Collection, Current, Inner, blocking, pages, tables};
use crate::vpk::audit::{self, AuditReport, Evidence, HostView, Known, MOST};
use crate::vpk::request::Call;
use crate::vpk::{Mode, PayloadPlace, plain, seal, segment, split};
use crate::{Error, Result};

/// So many payloads are looked at.
const TEXTS: usize = 64;

impl Collection {
    /// See [`Vpk::audit`](crate::vpk::Vpk::audit).
    pub(in crate::vpk) async fn audit(&self) -> Result<AuditReport> {
        self.change(|inner| async move {
            let evidence = {
                let _record = inner.lock().await?;
                inner.evidence().await?
            };
            blocking(move || audit::run(&evidence)).await
        })
        .await
    }
}

/// A segment as each host keeps it; `None` for one that does not hand it out.
struct Fetched<'a> {
    segment: &'a Segment,
    parts: Vec<Option<Vec<u8>>>,
}

impl Inner {
    async fn evidence(&self) -> Result<Evidence> {
        let current = self.current();
        let (mode, dimension) = (current.site.config.mode, current.site.config.dimension);
        let (width, prime) = match mode {
            Mode::Plain => (plain::WIDTH, plain::PRIME),
            Mode::Seal => (seal::WIDTH, seal::PRIME),
            Mode::Split => (split::WIDTH, split::PRIME),
        };
        let fetched = fetch(&current).await;
        let mut known = Known { vectors: Vec::new(), lengths: Vec::new(), texts: Vec::new() };
        let mut hosts: Vec<HostView> = (0..current.site.hosts.len())
            .map(|host| HostView { host: current.site.name(host), rows: Vec::new(), bytes: Vec::new() })
            .collect();
        // Those that handed out every segment are looked at.
        let mut whole = vec![true; hosts.len()];
        for Fetched { segment, parts } in fetched {
            let (owner, stamp, sealed) = (current.owner.clone(), segment.stamp, parts.clone());
            let vectors = blocking(move || owner.unseal(&stamp, &sealed)).await?;
            let live: Vec<(usize, f32)> =
                segment.live.iter().enumerate().filter_map(|(at, live)| Some((at, (*live)?.1))).collect();
            for (at, length) in &live {
                known.vectors.push(vectors[*at].clone());
                known.lengths.push(*length);
            }
            for (host, part) in parts.into_iter().enumerate() {
                let read = part.as_ref().map(|part| segment::read(mode, part, dimension, width, prime));
                let (Some(Ok((_, numbers))), Some(part)) = (read, part) else {
                    whole[host] = false;
                    continue;
                };
                let rows: Vec<&[u32]> = numbers.chunks_exact(dimension).collect();
                hosts[host].rows.extend(live.iter().filter_map(|(at, _)| rows.get(*at)).map(|row| row.to_vec()));
                hosts[host].bytes.push(part);
            }
        }
        let numbers: Vec<usize> = (0..hosts.len()).filter(|host| whole[*host]).collect();
        if numbers.is_empty() {
            return Err(Error::unreachable("no host handed out what it keeps"));
        }
        let mut hosts: Vec<HostView> =
            hosts.into_iter().zip(&whole).filter(|(_, whole)| **whole).map(|(view, _)| view).collect();
        self.add_payloads(&current, &mut known, &mut hosts, &numbers).await?;
        for (view, host) in hosts.iter_mut().zip(&numbers) {
            view.bytes.extend(pages::kept(&current.site, *host).await.ok());
        }
        Ok(Evidence { mode, prime, known, hosts })
    }

    /// Payloads in the clear, and as the hosts keep them.
    async fn add_payloads(
        &self,
        current: &Current,
        known: &mut Known,
        hosts: &mut [HostView],
        numbers: &[usize],
    ) -> Result<()> {
        let id = self.id;
        let with_payload = current.state.known.iter().filter(|(_, known)| known.payload > 0);
        for (vector, entry) in with_payload.take(TEXTS) {
            let vector = *vector;
            let clear = self.store.read_async(move |tx| tables::payload(tx, id, vector)).await?;
            known.texts.extend(clear.into_iter().flat_map(|packed| texts(&packed)));
            let name = current.key.payload_name(PayloadPlace { id: vector, version: entry.payload })?;
            for (view, host) in hosts.iter_mut().zip(numbers) {
                view.bytes.extend(current.site.call(*host, Call::FetchPayload(name)).await.ok());
            }
        }
        Ok(())
    }
}

/// As many segments as are looked at.
async fn fetch(current: &Current) -> Vec<Fetched<'_>> {
    let (mut all, mut rows) = (Vec::new(), 0);
    for segment in current.state.segments.values() {
        if rows >= MOST {
            break;
        }
        let call = |host| current.site.call(host, Call::FetchSegment(segment.stamp));
        let parts = join_all((0..current.site.hosts.len()).map(async |host| call(host).await.ok())).await;
        rows += segment.live.iter().filter(|live| live.is_some()).count();
        all.push(Fetched { segment, parts });
    }
    all
}

/// The text and the metadata of a payload.
fn texts(packed: &[u8]) -> Vec<Vec<u8>> {
    let Ok((payload, metadata)) = super::item::unpack(packed) else { return Vec::new() };
    let metadata = (!metadata.is_empty()).then(|| serde_json::to_vec(&metadata).ok()).flatten();
    payload.into_iter().chain(metadata).collect()
}
