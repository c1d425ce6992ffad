//! The manifest at the hosts: encrypted, cut into pages that one call carries, and a list of them that is replaced as one.
//!
//! The pages are kept as payloads under random names. Whoever reads the list before it is replaced finds the pages that it
//! names, for those of the old list go last.

use std::sync::atomic::Ordering;

use super::site::Site;
use super::{Current, Inner, blocking, tables};
use crate::vpk::kept::KeptManifest;
use crate::vpk::random::fresh;
use crate::vpk::request::{Call, PayloadName};
use crate::vpk::wire::{Kind, Reader, Writer};
use crate::vpk::{Anchor, CollectionKey, Entry, Manifest, Mode};
use crate::{Error, Result};

const PAGE: usize = 512 * 1024;

/// Pages of the largest collection that one host keeps, and more.
const MAX_PAGES: u32 = 1024;

/// The list of the pages.
fn write(names: &[PayloadName]) -> Vec<u8> {
    let mut writer = Writer::new(Kind::Pages, Mode::Plain as u8, 4 + names.len() * 16);
    writer.u32(names.len() as u32);
    names.iter().for_each(|name| writer.bytes(name));
    writer.finish()
}

fn read(bytes: &[u8]) -> Result<Vec<PayloadName>> {
    let mut reader = Reader::new(Kind::Pages, Mode::Plain as u8, bytes)?;
    let count = reader.u32()?;
    if count > MAX_PAGES {
        return Err(Error::corrupt_data("a manifest cannot have so many pages"));
    }
    let names = (0..count).map(|_| reader.array()).collect::<Result<Vec<PayloadName>>>()?;
    reader.finish()?;
    Ok(names)
}

impl Inner {
    /// Seals the state and brings it to the hosts that can be reached. The anchor is kept before anything is given away.
    pub(super) async fn publish(&self) -> Result<()> {
        if !self.dirty.load(Ordering::Acquire) {
            return Ok(());
        }
        let (Current { state, key, site, .. }, id) = (self.current(), self.id);
        let sealing = key.clone();
        let config = site.config.clone();
        let before = self.store.read_async(move |tx| tables::anchor(tx, id)).await?.map_or(0, |(number, _)| number);
        let sealed = move || {
            let mut manifest = Manifest::new(config.mode, config.dimension, config.metric)?;
            manifest.sequence = before;
            for segment in state.segments.values() {
                let entry = |live: &Option<(u64, f32)>| {
                    let (id, length) = (*live)?;
                    Some(Entry { id, length, payload: state.known.get(&id)?.payload })
                };
                manifest.segments.push((segment.stamp, segment.live.iter().map(entry).collect()));
            }
            manifest.seal(&sealing)
        };
        let (sealed, anchor): (Vec<u8>, Anchor) = blocking(sealed).await?;
        self.write(move |change| change.anchor(anchor.sequence, &anchor.digest)).await?;
        let mut all = true;
        for host in 0..site.hosts.len() {
            if let Err(error) = publish_to(&site, host, &sealed).await {
                tracing::debug!(code = %error.code(), "a host keeps an older manifest");
                all = false;
            }
        }
        all &= self.put_topology(&site, &key, anchor).await?;
        self.dirty.store(!all, Ordering::Release);
        Ok(())
    }
}

async fn publish_to(site: &Site, host: usize, sealed: &[u8]) -> Result<()> {
    let kept = KeptManifest::read(&site.call(host, Call::ReadManifest).await?)?;
    let mut names = Vec::new();
    for page in sealed.chunks(PAGE) {
        let name: PayloadName = fresh()?;
        site.call(host, Call::PutPayload(name, page.to_vec())).await?;
        names.push(name);
    }
    site.call(host, Call::ReplaceManifest(kept.number, write(&names))).await?;
    if kept.number > 0 {
        for name in read(&kept.bytes)? {
            site.call(host, Call::RemovePayload(name)).await?;
        }
    }
    Ok(())
}

/// The manifest as a host keeps it, all pages of it.
pub(super) async fn kept(site: &Site, host: usize) -> Result<Vec<u8>> {
    let kept = KeptManifest::read(&site.call(host, Call::ReadManifest).await?)?;
    if kept.number == 0 {
        return Err(Error::not_found("the host keeps no manifest"));
    }
    let mut sealed = Vec::new();
    for name in read(&kept.bytes)? {
        sealed.extend(site.call(host, Call::FetchPayload(name)).await?);
    }
    Ok(sealed)
}

/// The state that a host keeps; it must be the one that counts.
pub(super) async fn published(site: &Site, host: usize, key: &CollectionKey, anchor: Anchor) -> Result<Manifest> {
    let (sealed, key) = (kept(site, host).await?, key.clone());
    blocking(move || Manifest::open(&key, &sealed, Some(&anchor))).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_form_of_the_list_of_pages_is_on_record() {
        let golden = [&b"KVP\x09\x01\x01\x02\0\0\0"[..], &[1; 16], &[2; 16]].concat();
        assert_eq!(write(&[[1; 16], [2; 16]]), golden);
        assert_eq!(read(&golden).unwrap(), [[1; 16], [2; 16]]);
    }

    proptest! {
        #[test]
        fn fuzz_a_list_of_pages_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let bytes = [&b"KVP\x09\x01\x01"[..], &bytes].concat();
            if let Ok(names) = read(&bytes) {
                prop_assert_eq!(write(&names), bytes);
            }
        }
    }
}
