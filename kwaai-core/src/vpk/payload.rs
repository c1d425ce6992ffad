//! Texts and lists that hosts keep for the owner, encrypted.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes. What was sealed for one place does not open in another, and lengths are
//! rounded up, so that a host does not tell documents by them.

use chacha20poly1305::aead::{Aead, KeyInit, Payload as Message};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::Mode;
use super::key::{CollectionKey, Purpose};
use super::random::fresh;
use super::wire::{Kind, Reader, Writer, damaged};
use crate::{Error, Result};

/// Lengths are rounded up to multiples of this.
pub const PADDING: usize = 256;

/// The longest payload, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;

const NONCE: usize = 24;

/// Which payload: of which vector, and how often it was replaced. The owner remembers both, in its [`Manifest`](super::Manifest),
/// so a host that hands out an older one is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PayloadPlace {
    /// The vector's id.
    pub id: u64,
    /// Counted up with each new payload of this id.
    pub version: u32,
}

/// Encrypts a payload for its place.
///
/// # Errors
/// `invalid_argument` above [`MAX_PAYLOAD`]; `internal` when the operating system gives no random numbers.
pub fn seal_payload(key: &CollectionKey, place: PayloadPlace, payload: &[u8]) -> Result<Vec<u8>> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Error::invalid_argument(format!("a payload has at most {MAX_PAYLOAD} bytes")));
    }
    let mut padded = Zeroizing::new(Vec::with_capacity((payload.len() + 4).next_multiple_of(PADDING)));
    padded.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    padded.extend_from_slice(payload);
    let whole = padded.len().next_multiple_of(PADDING);
    padded.resize(whole, 0);
    seal(key, Purpose::Payload, Kind::Payload, &label(place), &padded)
}

/// Decrypts the payload of a place.
///
/// # Errors
/// `corrupt_data` when it was sealed for another place or by another key, or was changed.
pub fn open_payload(key: &CollectionKey, place: PayloadPlace, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let padded = open(key, Purpose::Payload, Kind::Payload, &label(place), sealed)?;
    let (length, rest) = padded.split_first_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
    let payload = rest.get(..u32::from_le_bytes(*length) as usize).ok_or_else(|| damaged("it is too short"))?;
    Ok(Zeroizing::new(payload.to_vec()))
}

fn label(place: PayloadPlace) -> [u8; 12] {
    let mut label = [0; 12];
    label[..8].copy_from_slice(&place.id.to_le_bytes());
    label[8..].copy_from_slice(&place.version.to_le_bytes());
    label
}

/// The keys are those of one collection, epoch and purpose, so what is authenticated beside the bytes is only the place.
pub(super) fn seal(key: &CollectionKey, purpose: Purpose, kind: Kind, place: &[u8], clear: &[u8]) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE] = fresh()?;
    let message = Message { msg: clear, aad: place };
    let sealed = cipher(key, purpose)?
        .encrypt(&XNonce::from(nonce), message)
        .map_err(|_| Error::internal("a payload cannot be encrypted"))?;
    let mut writer = Writer::new(kind, Mode::Plain as u8, NONCE + sealed.len());
    writer.bytes(&nonce);
    writer.bytes(&sealed);
    Ok(writer.finish())
}

pub(super) fn open(
    key: &CollectionKey,
    purpose: Purpose,
    kind: Kind,
    place: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let mut reader = Reader::new(kind, Mode::Plain as u8, sealed)?;
    let nonce: [u8; NONCE] = reader.array()?;
    let sealed = reader.take(reader.remaining())?;
    let clear = cipher(key, purpose)?
        .decrypt(&XNonce::from(nonce), Message { msg: sealed, aad: place })
        .map_err(|_| damaged("it was changed, or sealed for another place or by another key"))?;
    Ok(Zeroizing::new(clear))
}

fn cipher(key: &CollectionKey, purpose: Purpose) -> Result<XChaCha20Poly1305> {
    Ok(XChaCha20Poly1305::new((&*key.derive(purpose)?).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: PayloadPlace = PayloadPlace { id: 7, version: 2 };

    #[test]
    fn a_payload_opens_in_its_place_with_its_key_and_unchanged() {
        let key = CollectionKey::generate().unwrap();
        let sealed = seal_payload(&key, PLACE, b"a text").unwrap();
        assert_eq!(open_payload(&key, PLACE, &sealed).unwrap().as_slice(), b"a text");
        for other in [PayloadPlace { id: 8, ..PLACE }, PayloadPlace { version: 1, ..PLACE }] {
            assert!(open_payload(&key, other, &sealed).is_err());
        }
        assert!(open_payload(&key.next_epoch().unwrap(), PLACE, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open_payload(&key, PLACE, &changed).is_err(), "byte {at}");
            assert!(open_payload(&key, PLACE, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn lengths_and_equal_texts_do_not_show() {
        let key = CollectionKey::generate().unwrap();
        let sealed = |text: &[u8]| seal_payload(&key, PLACE, text).unwrap();
        assert_eq!(sealed(b"").len(), sealed(&[1; 252]).len());
        assert_eq!(sealed(b"").len() + PADDING, sealed(&[1; 253]).len());
        assert_ne!(sealed(b"equal"), sealed(b"equal"));
        assert!(seal_payload(&key, PLACE, &vec![0; MAX_PAYLOAD + 1]).is_err());
    }
}
