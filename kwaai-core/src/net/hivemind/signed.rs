//! Our own records: maps with a signature in the field `sig`, which others ignore.
//!
//! A record stands under its writer's PeerId as the sub-key. The signature is Ed25519, by the key in that PeerId, of
//!
//! | bytes | meaning |
//! |---|---|
//! | 28 | `kwaainet hivemind record v1` and a zero byte |
//! | 20 | place of the key |
//! | 4 + n | length of the sub-key, big-endian, and the sub-key in msgpack |
//! | 8 | expiration, a double, big-endian |
//! | rest | the map without `sig`, in msgpack with every integer in its shortest form |

use libp2p::identity::{Keypair, PublicKey};
use libp2p::{Multiaddr, PeerId};

use super::dictionary::Entry;
use super::id::DhtId;
use super::lookup::Found;
use super::msgpack::{self, Value};
use super::record::Fields;
use super::storage::Kept;
use crate::{Error, Result};

const DOMAIN: &[u8] = b"kwaainet hivemind record v1\0";
const SIGNATURE: &str = "sig";
const ADDRESSES: &str = "addresses";
const WITHDRAWN: &str = "withdrawn";
/// For how many seconds a signed record lasts at most; a writer of many would hold the room of all for longer.
const LONGEST: f64 = 3600.0;
/// The most addresses that are read from a record.
const MAX_ADDRESSES: usize = 16;

/// A record that stands under its writer's PeerId.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// Who it is about.
    pub peer: PeerId,
    /// Whether that peer signed it. What is not signed anybody may have written.
    pub signed: bool,
    /// Where the peer can be dialled, by its own account; empty unless it is signed.
    pub addresses: Vec<Multiaddr>,
    /// What it says: the map, or the map of a [`ServerInfo`](super::ServerInfo).
    pub fields: Fields,
    /// The whole value in msgpack.
    pub value: Vec<u8>,
    /// When it expires, in seconds since 1970.
    pub expiration: f64,
}

/// The sub-key of a peer's record: its PeerId in base58, as a text.
pub(super) fn subkey_of(peer: &PeerId) -> Vec<u8> {
    msgpack::encode(&Value::from(peer.to_base58()))
}

/// The bytes of a signed record.
///
/// # Errors
/// `unsupported` for another key than an Ed25519 one: its PeerId does not carry the key.
pub(super) fn sign(pair: &Keypair, key: &DhtId, mut fields: Fields, expiration: f64) -> Result<Vec<u8>> {
    let peer = pair.public().to_peer_id();
    let unsupported =
        || Error::unsupported("a record is signed with an Ed25519 key, which its reader finds in the PeerId");
    public_key(&peer).ok_or_else(unsupported)?;
    fields.remove(SIGNATURE);
    let signed = message(key, &subkey_of(&peer), expiration, &fields);
    let signature = pair.sign(&signed).map_err(|error| unsupported().with_source(error))?;
    fields.set(SIGNATURE, Value::Binary(signature));
    Ok(msgpack::encode(&fields.to_value()))
}

/// What a record that takes back another says.
pub(super) fn withdrawal() -> Fields {
    let mut fields = Fields::default();
    fields.set(WITHDRAWN, Value::from(true));
    fields
}

/// Puts addresses into a record.
pub(super) fn set_addresses(fields: &mut Fields, addresses: &[Multiaddr]) {
    let texts = addresses.iter().take(MAX_ADDRESSES).map(|address| Value::from(address.to_string()));
    fields.set(ADDRESSES, Value::Array(texts.collect()));
}

fn message(key: &DhtId, subkey: &[u8], expiration: f64, fields: &Fields) -> Vec<u8> {
    let length = (subkey.len() as u32).to_be_bytes();
    let value = msgpack::encode(&fields.to_value());
    [DOMAIN, key.as_bytes(), &length, subkey, &expiration.to_be_bytes(), &value].concat()
}

/// The key in a PeerId, which has room for Ed25519's alone.
fn public_key(peer: &PeerId) -> Option<PublicKey> {
    const IDENTITY: u64 = 0;
    let hash = peer.as_ref();
    (hash.code() == IDENTITY).then(|| PublicKey::try_decode_protobuf(hash.digest()).ok())?
}

/// The records under a key whose sub-keys are PeerIds: signed ones first, the latest first among equals. What was
/// withdrawn is left out, and so is what has a signature that is wrong.
pub(super) fn announced(key: &DhtId, found: Option<Found>) -> Vec<Announced> {
    let Some(Found { kept: Kept::Dictionary(dictionary), .. }) = found else { return Vec::new() };
    let entries = dictionary.entries.into_iter();
    let mut all: Vec<_> = entries
        .filter_map(|entry| read(key, &entry.subkey, entry.value, entry.expiration))
        .filter(|record| !record.signed || record.fields.flag(WITHDRAWN) != Some(true))
        .collect();
    all.sort_by(|a, b| b.signed.cmp(&a.signed).then(b.expiration.total_cmp(&a.expiration)).then(a.peer.cmp(&b.peer)));
    all
}

/// Whether a value is signed by the peer in its sub-key, for no longer than such records last.
pub(super) fn is_signed(key: &DhtId, entry: &Entry, now: f64) -> bool {
    // The name of the field stands in every signed value; most others are not worth decoding.
    let may_be = entry.value.windows(SIGNATURE.len()).any(|part| part == SIGNATURE.as_bytes());
    may_be
        && entry.expiration <= now + LONGEST
        && read(key, &entry.subkey, entry.value.clone(), entry.expiration).is_some_and(|record| record.signed)
}

fn read(key: &DhtId, subkey: &[u8], value: Vec<u8>, expiration: f64) -> Option<Announced> {
    let peer: PeerId = msgpack::decode(subkey).ok()?.as_str()?.parse().ok()?;
    let decoded = msgpack::decode(&value).ok()?;
    let map = match msgpack::items(&decoded) {
        Some(mut parts) if parts.len() >= 3 => parts.swap_remove(2),
        _ => decoded,
    };
    let mut fields = Fields::from_value(map)?;
    let signed = match fields.remove(SIGNATURE) {
        None => false,
        Some(Value::Binary(signature)) => {
            let message = message(key, subkey, expiration, &fields);
            if !public_key(&peer)?.verify(&message, &signature) {
                return None;
            }
            true
        }
        Some(_) => return None,
    };
    let texts = fields.texts(ADDRESSES).filter(|_| signed).unwrap_or_default();
    let addresses = texts.iter().take(MAX_ADDRESSES).filter_map(|text| text.parse().ok()).collect();
    Some(Announced { peer, signed, addresses, fields, value, expiration })
}

#[cfg(test)]
mod tests {
    use super::super::dictionary::Dictionary;
    use super::*;

    fn found(records: Vec<(PeerId, Vec<u8>, f64)>) -> Option<Found> {
        let entries =
            records.into_iter().map(|(peer, value, expiration)| Entry { subkey: subkey_of(&peer), value, expiration });
        let dictionary = Dictionary { max_size: None, latest_expiration: 9.0, entries: entries.collect() };
        Some(Found { kept: Kept::Dictionary(dictionary), expiration: 9.0 })
    }

    fn fields() -> Fields {
        let mut fields = Fields::default();
        fields.set("public_name", Value::from("n"));
        set_addresses(&mut fields, &["/ip4/192.0.2.1/tcp/8080".parse().unwrap()]);
        fields
    }

    #[test]
    fn a_signed_record_comes_before_an_unsigned_one_however_late_that_is() {
        let key = DhtId::of_text("_kwaainet.nodes");
        let pair = Keypair::generate_ed25519();
        let (peer, stranger) = (pair.public().to_peer_id(), PeerId::random());
        let signed = sign(&pair, &key, fields(), 5.0).unwrap();
        let unsigned = msgpack::encode(&fields().to_value());
        let read = announced(&key, found(vec![(stranger, unsigned, 9.0), (peer, signed, 5.0)]));
        assert_eq!(
            read.iter().map(|record| (record.peer, record.signed)).collect::<Vec<_>>(),
            [(peer, true), (stranger, false)]
        );
        assert_eq!(read[0].addresses.len(), 1);
        // Nobody is sent to an address that anybody may have written.
        assert_eq!(read[1].addresses, []);
    }

    #[test]
    fn a_record_is_worth_nothing_elsewhere_or_changed() {
        let key = DhtId::of_text("_kwaainet.nodes");
        let pair = Keypair::generate_ed25519();
        let peer = pair.public().to_peer_id();
        let signed = sign(&pair, &key, fields(), 5.0).unwrap();
        assert_eq!(announced(&key, found(vec![(peer, signed.clone(), 5.0)])).len(), 1);
        assert!(announced(&DhtId::of_text("elsewhere"), found(vec![(peer, signed.clone(), 5.0)])).is_empty());
        assert!(announced(&key, found(vec![(peer, signed.clone(), 6.0)])).is_empty());
        let other = Keypair::generate_ed25519().public().to_peer_id();
        assert!(announced(&key, found(vec![(other, signed.clone(), 5.0)])).is_empty());
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            let read = announced(&key, found(vec![(peer, changed, 5.0)]));
            assert!(read.iter().all(|record| !record.signed), "byte {at}");
        }
    }

    #[test]
    fn only_the_writer_withdraws_a_record() {
        let key = DhtId::of_text("_kwaainet.nodes");
        let pair = Keypair::generate_ed25519();
        let peer = pair.public().to_peer_id();
        let withdrawn = sign(&pair, &key, withdrawal(), 5.0).unwrap();
        assert!(announced(&key, found(vec![(peer, withdrawn, 5.0)])).is_empty());
        let claimed = msgpack::encode(&withdrawal().to_value());
        assert_eq!(announced(&key, found(vec![(peer, claimed, 5.0)])).len(), 1);
    }
}
