//! A value that maps sub-keys to values, each with an expiration of its own.
//!
//! On the wire it is the msgpack extension `0x50` around `[most entries, latest expiration, [[sub-key, value,
//! expiration], …]]`. Sub-keys are written as the msgpack they are, never wrapped into bytes.

use super::msgpack::{self, DICTIONARY, Value, corrupt};
use crate::Result;

/// One sub-key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The sub-key in msgpack.
    pub subkey: Vec<u8>,
    /// The value, in msgpack by custom.
    pub value: Vec<u8>,
    /// When it expires, in seconds since 1970.
    pub expiration: f64,
}

/// A dictionary of sub-keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Dictionary {
    /// How many entries its writer would keep, if it is limited.
    pub max_size: Option<u64>,
    /// The latest expiration that any of its entries ever had, minus infinity when it never had one.
    pub latest_expiration: f64,
    /// The entries, in their writer's order.
    pub entries: Vec<Entry>,
}

impl Dictionary {
    /// The bytes of the value.
    pub fn encode(&self) -> Vec<u8> {
        let size = self.entries.iter().map(|entry| entry.subkey.len() + entry.value.len() + 16).sum::<usize>();
        let mut body = Vec::with_capacity(size + 32);
        body.push(0x93);
        let max_size = self.max_size.map_or(Value::F64(f64::INFINITY), Value::from);
        body.extend(msgpack::encode(&max_size));
        put_number(&mut body, self.latest_expiration);
        // Writing into a vector cannot fail, and neither can the lengths: they are those of vectors in memory.
        let _ = rmp::encode::write_array_len(&mut body, self.entries.len() as u32);
        for entry in &self.entries {
            body.push(0x93);
            body.extend_from_slice(&entry.subkey);
            let _ = rmp::encode::write_bin(&mut body, &entry.value);
            put_number(&mut body, entry.expiration);
        }
        let mut out = Vec::with_capacity(body.len() + 6);
        let _ = rmp::encode::write_ext_meta(&mut out, body.len() as u32, DICTIONARY);
        out.append(&mut body);
        out
    }

    /// Reads a value.
    ///
    /// # Errors
    /// `corrupt_data` for anything else than a dictionary, for a value that is not bytes and an expiration that is no
    /// finite number.
    pub fn decode(bytes: &[u8]) -> Result<Dictionary> {
        let (whole, rest) = msgpack::first(bytes)?;
        if !rest.is_empty() {
            return Err(corrupt("bytes follow the dictionary"));
        }
        let meta = rmp::decode::read_ext_meta(&mut &whole[..]);
        let meta = meta.map_err(|_| corrupt("no dictionary"))?;
        if meta.typeid != DICTIONARY {
            return Err(corrupt("another extension than a dictionary"));
        }
        let body = &whole[whole.len() - meta.size as usize..];
        let (body, rest) = msgpack::first(body)?;
        let body = body.strip_prefix(&[0x93]).filter(|_| rest.is_empty()).ok_or_else(|| corrupt("no dictionary"))?;
        let (max_size, body) = msgpack::first(body)?;
        let (latest, body) = number(body)?;
        let mut body = body;
        let count = rmp::decode::read_array_len(&mut body).map_err(|_| corrupt("a dictionary without entries"))?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let fields = body.strip_prefix(&[0x93]).ok_or_else(|| corrupt("an entry has three parts"))?;
            let (subkey, fields) = msgpack::first(fields)?;
            let (value, fields) = msgpack::first(fields)?;
            let (expiration, after) = number(fields)?;
            if !expiration.is_finite() {
                return Err(corrupt("an expiration is not finite"));
            }
            entries.push(Entry { subkey: subkey.to_vec(), value: bin(value)?, expiration });
            body = after;
        }
        Ok(Dictionary { max_size: msgpack::decode(max_size)?.as_u64(), latest_expiration: latest, entries })
    }
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    out.push(0xcb);
    out.extend(number.to_be_bytes());
}

fn number(bytes: &[u8]) -> Result<(f64, &[u8])> {
    let (value, rest) = msgpack::first(bytes)?;
    let number = msgpack::number(&msgpack::decode(value)?).ok_or_else(|| corrupt("an expiration is no number"))?;
    Ok((number, rest))
}

fn bin(mut bytes: &[u8]) -> Result<Vec<u8>> {
    rmp::decode::read_bin_len(&mut bytes).map_err(|_| corrupt("a value is not bytes"))?;
    Ok(bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn golden() -> Vec<u8> {
        let mut bytes =
            b"\xc7\x1c\x50\x93\xc0\xcb\x41\xdd\xcd\x65\x00\x00\x00\x00\x91\x93\xa1p\xc4\x02\x01\x02".to_vec();
        bytes.extend(b"\xcb\x41\xdd\xcd\x65\x00\x00\x00\x00");
        bytes
    }

    #[test]
    fn the_dictionary_of_another_implementation_is_read() {
        let read = Dictionary::decode(&golden()).unwrap();
        let entry = Entry { subkey: b"\xa1p".to_vec(), value: vec![1, 2], expiration: 2e9 };
        assert_eq!(read, Dictionary { max_size: None, latest_expiration: 2e9, entries: vec![entry] });
    }

    #[test]
    fn a_broken_dictionary_is_refused_wherever_it_is_cut_and_whatever_follows() {
        let golden = golden();
        for length in 0..golden.len() {
            assert!(Dictionary::decode(&golden[..length]).is_err(), "{length}");
        }
        assert!(Dictionary::decode(&[&golden[..], b"\xc0"].concat()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            max_size: Option<u64>, latest in -1e300..1e300,
            entries in prop::collection::vec((".{0,40}", any::<Vec<u8>>(), 0.0..1e12), 0..20),
        ) {
            let entries = entries.into_iter().map(|(subkey, value, expiration)| {
                Entry { subkey: msgpack::encode(&Value::from(subkey)), value, expiration }
            });
            let dictionary = Dictionary { max_size, latest_expiration: latest, entries: entries.collect() };
            prop_assert_eq!(Dictionary::decode(&dictionary.encode()).unwrap(), dictionary);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0usize..31, with: u8) {
            let mut bytes = golden();
            bytes[at] ^= with;
            if let Ok(read) = Dictionary::decode(&bytes) {
                prop_assert_eq!(Dictionary::decode(&read.encode()).unwrap(), read);
            }
        }

        #[test]
        fn random_bytes_behind_the_right_head_never_panic(body: Vec<u8>) {
            let _ = Dictionary::decode(&[&[0xc8, (body.len() >> 8) as u8, body.len() as u8, 0x50][..], &body].concat());
        }
    }
}
