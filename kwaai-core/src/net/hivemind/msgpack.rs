//! msgpack as hivemind writes it: strict types, and two extensions of its own.
//!
//! A tuple is the extension `0x40` around an array, a dictionary of sub-keys the extension `0x50`; see
//! [`Dictionary`](super::Dictionary). Whatever comes from a peer is measured before anything is allocated for it.

pub use rmpv::Value;
use rmpv::decode::read_value_with_max_depth;

use crate::{Error, Result};

/// The extension around a tuple.
pub(super) const TUPLE: i8 = 0x40;
/// The extension around a dictionary of sub-keys.
pub(super) const DICTIONARY: i8 = 0x50;
/// The deepest nesting that is read.
const MAX_DEPTH: usize = 32;
/// The most values, nested ones included, in one that is read; each takes about 60 bytes of memory.
const MAX_VALUES: usize = 65_536;

pub(super) fn corrupt(why: &str) -> Error {
    Error::corrupt_data(format!("msgpack: {why}"))
}

/// The bytes of a value, integers in their shortest form.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing into a vector cannot fail.
    let _ = rmpv::encode::write_value(&mut out, value);
    out
}

/// Reads one value, and nothing after it.
///
/// # Errors
/// `corrupt_data` for what is no msgpack, is nested more than 32 deep, holds more than 65,536 values, or a text that is not
/// UTF-8, which Python refuses as well.
pub fn decode(bytes: &[u8]) -> Result<Value> {
    let (value, rest) = take(bytes, MAX_VALUES)?;
    if !rest.is_empty() {
        return Err(corrupt("bytes follow the value"));
    }
    // The reader counts two levels for a list and two for the text in it.
    let value = read_value_with_max_depth(&mut &value[..], 2 * (MAX_DEPTH + 2))
        .map_err(|error| corrupt("no value").with_source(error))?;
    if is_text_throughout(&value) { Ok(value) } else { Err(corrupt("a text is not UTF-8")) }
}

/// Whether every text in a value is UTF-8.
fn is_text_throughout(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_str(),
        Value::Array(items) => items.iter().all(is_text_throughout),
        Value::Map(entries) => entries.iter().all(|(key, value)| is_text_throughout(key) && is_text_throughout(value)),
        _ => true,
    }
}

/// A tuple, as Python's.
pub fn tuple(items: Vec<Value>) -> Value {
    Value::Ext(TUPLE, encode(&Value::Array(items)))
}

/// The items of a tuple, or of an array. `None` for anything else.
pub fn items(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items.clone()),
        Value::Ext(TUPLE, body) => match decode(body) {
            Ok(Value::Array(items)) => Some(items),
            _ => None,
        },
        _ => None,
    }
}

/// A number, whichever type it was written in, if it is not NaN.
pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| !number.is_nan())
}

/// Splits off the bytes of the first value.
pub(super) fn first(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    take(bytes, usize::MAX)
}

/// Splits off the bytes of the first value, if it holds no more values than that. Allocates for the depth alone.
fn take(bytes: &[u8], max_values: usize) -> Result<(&[u8], &[u8])> {
    let mut at = 0usize;
    let mut seen = 0usize;
    // How many values are missing on each level.
    let mut open = vec![1u64];
    while let Some(missing) = open.last_mut() {
        if *missing == 0 {
            open.pop();
            continue;
        }
        *missing -= 1;
        seen += 1;
        if seen > max_values {
            return Err(corrupt("too many values"));
        }
        let (head, body, inside) = shape(bytes.get(at..).unwrap_or_default())?;
        let end = (at + head).checked_add(body).filter(|end| *end <= bytes.len());
        at = end.ok_or_else(|| corrupt("it is truncated"))?;
        if inside > 0 {
            if open.len() > MAX_DEPTH {
                return Err(corrupt("it is nested too deeply"));
            }
            open.push(inside);
        }
    }
    Ok(bytes.split_at(at))
}

/// Lengths of a value's head and of its bytes, and how many values it holds.
fn shape(bytes: &[u8]) -> Result<(usize, usize, u64)> {
    let truncated = || corrupt("it is truncated");
    let (marker, rest) = bytes.split_first().ok_or_else(truncated)?;
    let length = |width: usize| -> Result<usize> {
        let digits = rest.get(..width).ok_or_else(truncated)?;
        Ok(digits.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    };
    Ok(match marker {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (1, 0, 0),
        0x80..=0x8f => (1, 0, 2 * u64::from(marker & 0x0f)),
        0x90..=0x9f => (1, 0, u64::from(marker & 0x0f)),
        0xa0..=0xbf => (1, usize::from(marker & 0x1f), 0),
        0xc1 => return Err(corrupt("it uses the reserved marker")),
        0xc4 | 0xd9 => (2, length(1)?, 0),
        0xc5 | 0xda => (3, length(2)?, 0),
        0xc6 | 0xdb => (5, length(4)?, 0),
        // An extension has a type of one byte besides its body.
        0xc7 => (3, length(1)?, 0),
        0xc8 => (4, length(2)?, 0),
        0xc9 => (6, length(4)?, 0),
        0xca | 0xce | 0xd2 => (1, 4, 0),
        0xcb | 0xcf | 0xd3 => (1, 8, 0),
        0xcc | 0xd0 => (1, 1, 0),
        0xcd | 0xd1 => (1, 2, 0),
        0xd4..=0xd8 => (2, 1 << (marker - 0xd4), 0),
        0xdc => (3, 0, length(2)? as u64),
        0xdd => (5, 0, length(4)? as u64),
        0xde => (3, 0, 2 * length(2)? as u64),
        0xdf => (5, 0, 2 * length(4)? as u64),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tuple_is_told_from_an_array_on_the_wire_and_read_like_one() {
        let pair = vec![Value::from("a"), Value::from(1)];
        assert_eq!(encode(&tuple(pair.clone())), b"\xd6\x40\x92\xa1a\x01");
        assert_eq!(items(&tuple(pair.clone())), Some(pair.clone()));
        assert_eq!(items(&Value::Array(pair.clone())), Some(pair));
        assert_eq!(items(&Value::from("a")), None);
    }

    #[test]
    fn bombs_are_refused_before_anything_is_allocated_for_them() {
        for bomb in [
            &b"\xdd\xff\xff\xff\xff"[..],
            b"\xdf\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xffx",
            b"\xc9\xff\xff\xff\xff\x40",
        ] {
            assert!(decode(bomb).is_err());
        }
        assert!(decode(&[0x91; 100_000]).is_err());
        let wide = [&b"\xdd\x00\x02\x00\x00"[..], &vec![0xc0; 0x20000]].concat();
        assert!(decode(&wide).is_err());
        assert_eq!(first(&wide).unwrap().0.len(), wide.len());
    }

    #[test]
    fn thirty_two_levels_are_read_and_one_more_is_not() {
        let nested = |levels: usize| [vec![0x91; levels], vec![0xa1, b'x']].concat();
        assert!(decode(&nested(MAX_DEPTH)).is_ok());
        assert!(decode(&nested(MAX_DEPTH + 1)).is_err());
    }

    #[test]
    fn a_text_that_is_not_utf8_is_refused_wherever_it_stands() {
        for bytes in [&b"\xa1\x80"[..], b"\x91\xa1\x80", b"\x81\xa1\x80\x01", b"\x81\x01\xa1\x80"] {
            assert!(decode(bytes).is_err());
        }
        assert!(decode(b"\xa2\xc3\xa4").is_ok());
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_what_decodes_survives_another_round(bytes: Vec<u8>) {
            if let Ok(value) = decode(&bytes) {
                let again = encode(&value);
                prop_assert!(again.len() <= bytes.len());
                prop_assert_eq!(encode(&decode(&again).unwrap()), again);
            }
        }

        #[test]
        fn the_first_value_of_several_is_found(first_value: Vec<u8>, rest: Vec<u8>) {
            let packed = encode(&Value::Binary(first_value));
            let both = [&packed[..], &rest].concat();
            let (one, other) = first(&both).unwrap();
            prop_assert_eq!(one, &packed[..]);
            prop_assert_eq!(other, &rest[..]);
        }
    }
}
