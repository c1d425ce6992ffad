//! Where a collection is now: what its owner's other machine needs to know of it, signed, and readable to nobody else.
//!
//! Each host keeps the record of the site that it has a part of, hands it out to whoever knows its author, and says in the DHT that it
//! does. Hosts see the collection's id, the author's key, whose site it is about, and two numbers. They take a record from its site's owner alone,
//! so that a copy counts nowhere, and order records by the numbers, so that an owner that was replaced learns it, and a machine that
//! recovers takes the highest of all that hosts hand out.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::random::fresh;
use super::recovery::RecoveryKey;
use super::request::read_mode;
use super::wire::{Kind, Reader, Writer, damaged};
use super::{Anchor, CollectionConfig, CollectionId, CollectionKey, HostName, MAX_DIMENSION, Metric, split};
use crate::identity::Did;
use crate::{Error, ErrorCode, Result};

/// The longest record: 16 hosts take less than half of it.
pub(super) const MAX_TOPOLOGY: usize = 8 * 1024;

const CONTEXT: &[u8] = b"kwaainet/VpkTopology/1\n";
const NONCE: usize = 24;
const SIGNATURE: usize = 64;
/// The most bytes of a host's name.
const MAX_NAME: usize = 128;

/// What hosts see of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) collection: CollectionId,
    /// The public half of the recovery key.
    pub(super) author: Did,
    /// Whose the site is at the hosts.
    pub(super) owner: Did,
    /// By which id the hosts know the collection.
    pub(super) site: CollectionId,
    pub(super) epoch: u32,
    /// The number of the manifest that was brought to the hosts before it.
    pub(super) sequence: u64,
}

impl Header {
    /// Of two records the one with the higher rank counts.
    pub(super) fn rank(&self) -> (u32, u64) {
        (self.epoch, self.sequence)
    }

    fn write(&self) -> Writer {
        let mut writer = Writer::new(Kind::Topology, 0, 1024);
        writer.bytes(&self.collection.0);
        writer.bytes(self.author.public_key());
        writer.bytes(self.owner.public_key());
        writer.bytes(&self.site.0);
        writer.u32(self.epoch);
        writer.u64(self.sequence);
        writer
    }

    /// Reads what can be read without the recovery key, and checks the signature.
    ///
    /// # Errors
    /// `corrupt_data`, and `resource_exhausted` for a record that is too long.
    pub(super) fn read(bytes: &[u8]) -> Result<Header> {
        if bytes.len() > MAX_TOPOLOGY {
            return Err(Error::resource_exhausted("a topology is too long").with("limit", MAX_TOPOLOGY));
        }
        let (signed, signature) = bytes.split_last_chunk::<SIGNATURE>().ok_or_else(|| damaged("it is too short"))?;
        let (header, _) = Header::split(signed)?;
        if !header.author.verify(&[CONTEXT, signed].concat(), signature) {
            return Err(Error::corrupt_data("the signature of a topology does not belong to it"));
        }
        Ok(header)
    }

    fn split(signed: &[u8]) -> Result<(Header, &[u8])> {
        let mut reader = Reader::new(Kind::Topology, 0, signed)?;
        let collection = CollectionId(reader.array()?);
        let did = |key| Did::from_public_key(key).map_err(|error| damaged("a key in it is none").with_source(error));
        let (author, owner) = (did(reader.array()?)?, did(reader.array()?)?);
        let site = CollectionId(reader.array()?);
        let (epoch, sequence) = (reader.u32()?, reader.u64()?);
        Ok((Header { collection, author, owner, site, epoch, sequence }, reader.rest()))
    }
}

/// A record as its owner reads it.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    /// The key of the epoch.
    pub(super) key: CollectionKey,
    /// The manifest that counts, or one before it.
    pub(super) anchor: Anchor,
    /// By which id the hosts know the collection.
    pub(super) site: CollectionId,
    /// What it is, and who its hosts are, none of which is `here`.
    pub(super) config: CollectionConfig,
}

impl Topology {
    /// Seals and signs it, as that of `owner`'s site.
    pub(super) fn seal(&self, recovery: &RecoveryKey, owner: Did) -> Result<Vec<u8>> {
        let header = Header {
            collection: recovery.collection(),
            author: recovery.author()?,
            owner,
            site: self.site,
            epoch: self.key.epoch(),
            sequence: self.anchor.sequence,
        };
        let mut writer = header.write();
        let mut clear = Writer::new(Kind::Topology, self.config.mode as u8, 256);
        clear.bytes(self.key.root());
        clear.bytes(&self.anchor.digest);
        clear.u32(self.config.dimension as u32);
        clear.u32(u32::from(self.config.metric == Metric::Dot));
        clear.u32(self.config.colluding as u32);
        let placement = serde_json::to_string(&self.config.placement)
            .map_err(|error| Error::internal("a placement cannot be written").with_source(error))?;
        write_text(&mut clear, &placement);
        clear.u32(self.config.hosts.len() as u32);
        self.config.hosts.iter().for_each(|host| write_text(&mut clear, &host.to_string()));
        let clear = Zeroizing::new(clear.finish());
        let nonce: [u8; NONCE] = fresh()?;
        let cipher = XChaCha20Poly1305::new((&*recovery.sealing()?).into());
        let place = header.write().finish();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &clear, aad: &place })
            .map_err(|_| Error::internal("a topology cannot be encrypted"))?;
        writer.bytes(&nonce);
        writer.bytes(&sealed);
        let mut record = writer.finish();
        let signature = recovery.sign(&[CONTEXT, &record].concat())?;
        record.extend_from_slice(&signature);
        match record.len() {
            0..=MAX_TOPOLOGY => Ok(record),
            _ => Err(Error::internal("a topology is too long")),
        }
    }

    /// Reads a record of this recovery key.
    ///
    /// # Errors
    /// `corrupt_data` when somebody else made it, it is about another collection, or it was changed.
    pub(super) fn open(recovery: &RecoveryKey, record: &[u8]) -> Result<(Header, Topology)> {
        let header = Header::read(record)?;
        if header.author != recovery.author()? || header.collection != recovery.collection() {
            return Err(damaged("it is another collection's"));
        }
        let signed = &record[..record.len() - SIGNATURE];
        let (_, sealed) = Header::split(signed)?;
        let place = &signed[..signed.len() - sealed.len()];
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or_else(|| damaged("it is too short"))?;
        let cipher = XChaCha20Poly1305::new((&*recovery.sealing()?).into());
        let clear = cipher
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: place })
            .map_err(|_| damaged("it was sealed by another key"))?;
        Ok((header, Topology::read(&header, &Zeroizing::new(clear))?))
    }

    fn read(header: &Header, clear: &[u8]) -> Result<Topology> {
        let mode = read_mode(*clear.get(5).ok_or_else(|| damaged("it is too short"))?)?;
        let mut reader = Reader::new(Kind::Topology, mode as u8, clear)?;
        let root = Zeroizing::new(reader.array::<32>()?);
        let digest = reader.array()?;
        let dimension = reader.u32()? as usize;
        let metric = match reader.u32()? {
            0 => Metric::Cosine,
            1 => Metric::Dot,
            _ => return Err(damaged("it has an unknown metric")),
        };
        let colluding = reader.u32()? as usize;
        let placement = serde_json::from_str(read_text(&mut reader)?)
            .map_err(|error| damaged("its placement has an unknown form").with_source(error))?;
        let count = reader.u32()? as usize;
        if dimension == 0 || dimension > MAX_DIMENSION || count > split::MAX_HOSTS || colluding > split::MAX_HOSTS {
            return Err(damaged("no collection is like this"));
        }
        let hosts = (0..count).map(|_| read_text(&mut reader)?.parse()).collect::<Result<Vec<HostName>>>()?;
        reader.finish()?;
        let key = CollectionKey::from_root(header.collection, header.epoch, &root);
        let anchor = Anchor { sequence: header.sequence, digest };
        let config = CollectionConfig { mode, dimension, metric, hosts, colluding, placement };
        Ok(Topology { key, anchor, site: header.site, config })
    }

    /// Checks that a manifest is not older than this record.
    ///
    /// # Errors
    /// `conflict` when a host keeps an older one, or another one of the same number.
    pub(super) fn check(&self, sequence: u64, sealed: &[u8]) -> Result<()> {
        let holds = match sequence.cmp(&self.anchor.sequence) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => <[u8; 32]>::from(Sha256::digest(sealed)) == self.anchor.digest,
            // The owner's machine ended between the two.
            std::cmp::Ordering::Greater => true,
        };
        if holds {
            return Ok(());
        }
        Err(Error::new(ErrorCode::Conflict, "the host keeps an older state of the collection than its topology names")
            .with("found", sequence)
            .with("expected", self.anchor.sequence)
            .with_remedy("try again when more of the hosts can be reached"))
    }
}

fn write_text(writer: &mut Writer, text: &str) {
    writer.u32(text.len() as u32);
    writer.bytes(text.as_bytes());
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str> {
    let length = reader.u32()? as usize;
    if length > MAX_NAME * 2 {
        return Err(damaged("a text in it is too long"));
    }
    std::str::from_utf8(reader.take(length)?).map_err(|_| damaged("a text in it is no text"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::Keypair;
    use crate::trust::json::unhex;
    use crate::vpk::{Mode, Placement};

    const ID: CollectionId = CollectionId([0xab; 16]);
    const HOST: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn recovery() -> RecoveryKey {
        RecoveryKey::from_secret(ID, &std::array::from_fn(|at| at as u8))
    }

    fn owner() -> Did {
        Keypair::from_seed([0x55; 32]).did().unwrap()
    }

    fn topology() -> Topology {
        Topology {
            key: CollectionKey::from_root(ID, 3, &[0x11; 32]),
            anchor: Anchor { sequence: 9, digest: [0x22; 32] },
            site: CollectionId([0x33; 16]),
            config: CollectionConfig {
                mode: Mode::Seal,
                dimension: 384,
                metric: Metric::Cosine,
                hosts: vec![HOST.parse().unwrap()],
                colluding: 0,
                placement: Placement::default(),
            },
        }
    }

    fn same(found: &Topology, wanted: &Topology) -> bool {
        (found.key.root(), found.key.epoch(), found.anchor, found.site)
            == (wanted.key.root(), wanted.key.epoch(), wanted.anchor, wanted.site)
            && found.config == wanted.config
    }

    #[test]
    fn a_record_of_another_make_opens_and_only_with_its_key_and_unchanged() {
        let golden: [u8; GOLDEN.len() / 2] = unhex(GOLDEN).unwrap();
        let (header, found) = Topology::open(&recovery(), &golden).unwrap();
        assert!(same(&found, &topology()), "{found:?}");
        assert_eq!((header.rank(), header.collection), ((3, 9), ID));
        assert_eq!((header.owner, header.site), (owner(), CollectionId([0x33; 16])));
        let ours = topology().seal(&recovery(), owner()).unwrap();
        assert_eq!(ours.len(), golden.len());
        assert!(same(&Topology::open(&recovery(), &ours).unwrap().1, &topology()));
        assert_ne!(ours, topology().seal(&recovery(), owner()).unwrap(), "no nonce is used twice");
        let other = RecoveryKey::generate(ID).unwrap();
        assert_eq!(Topology::open(&other, &golden).unwrap_err().code(), ErrorCode::CorruptData);
        for at in 0..golden.len() {
            let mut changed = golden;
            changed[at] ^= 1;
            let code = Topology::open(&recovery(), &changed).unwrap_err().code();
            assert!(matches!(code, ErrorCode::CorruptData | ErrorCode::Unsupported), "byte {at}");
            assert!(Header::read(&golden[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_state_before_the_record_is_refused_and_one_after_it_is_not() {
        let topology = topology();
        let of = |digest| Topology { anchor: Anchor { sequence: 9, digest }, ..topology.clone() };
        let sealed = b"a sealed manifest";
        assert_eq!(of([0; 32]).check(8, sealed).unwrap_err().code(), ErrorCode::Conflict);
        assert_eq!(of([0; 32]).check(9, sealed).unwrap_err().code(), ErrorCode::Conflict);
        of(Sha256::digest(sealed).into()).check(9, sealed).unwrap();
        of([0; 32]).check(10, sealed).unwrap();
    }

    #[test]
    fn sixteen_hosts_fit_a_record() {
        let mut full = topology();
        full.config.hosts = vec![HOST.parse().unwrap(); split::MAX_HOSTS];
        assert!(full.seal(&recovery(), owner()).unwrap().len() < MAX_TOPOLOGY / 2);
    }

    proptest! {
        #[test]
        fn fuzz_a_topology_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), mode in 0u8..5) {
            let _ = Header::read(&bytes);
            let _ = Header::split(&[&[b'K', b'V', b'P', 10, 1, 0][..], &bytes].concat());
            let (author, site) = (recovery().author().unwrap(), CollectionId([0x33; 16]));
            let header = Header { collection: ID, author, owner: owner(), site, epoch: 1, sequence: 1 };
            let _ = Topology::read(&header, &[&[b'K', b'V', b'P', 10, 1, mode][..], &bytes].concat());
        }
    }

    /// Made by another implementation of HKDF, XChaCha20-Poly1305 and Ed25519.
    const GOLDEN: &str = "4b56500a0100abababababababababababababababab8e04dba4dccca78c5bb329973f3edfc377e0d5ace139f9725b3a00d5\
        7c95de9ac6822637c7d310ec57627be00ba259d253749f4aaf644470cffbe53a35f732423333333333333333333333333333\
        3333030000000900000000000000444444444444444444444444444444444444444444444444a704a58c33aa361f2fcc24fd\
        69a3c6fec07c071d29b58aa58370fd444e95d0062baad4ed40513bcced1f16e29287e5ece7fddf56b0a67401f882510c6d1c\
        32a36fa9f03bf55f92d2f7de08b7db493a73a5984578f905e746b49d2ce3e5139c05b1a8903ab5e95a3d8d034cbf49429d7d\
        3657e2f462055d20156de91cd9dae4f5d7257fde90bc891491dca6d38e35dc33ead6260d73ed6218a52b6d0bf93119f084aa\
        1c02c2b0439fdf7397dafda5bb453fff66b3d8536a87cbcbdf0ace92013c55f9248e18d2910eed0f63530388af956908a238\
        d759b13b3de676339a59f21bc1699449932573d78db339934238d9d81ed28e8cd65832ea65dd1d9d0aa3a22992536c80b9da\
        db771be8c5bb1d237d028390838145ccfd796c71121191b42d1a6ea1039fe33b35b2ede70700d663efb2ee04";
}
