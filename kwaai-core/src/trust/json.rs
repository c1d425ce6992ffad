//! Reading JSON that is about to be signed or checked.
//!
//! A signature covers the canonical form of a document (RFC 8785), so a document must mean the same to every reader:
//! no member twice (I-JSON, RFC 7493 §2.3), no integer that a double cannot hold (§2.2), no lone surrogate (§2.1).

use std::fmt;

use serde::Serialize;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The longest document that is read, in bytes of its text.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// The deepest nesting of arrays and objects that is read.
pub const MAX_DOCUMENT_DEPTH: usize = 32;

/// 2^53 - 1, the largest integer that every reader takes for the same (RFC 7493 §2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Reads one JSON value, and refuses what two readers could read differently.
///
/// # Errors
/// `resource_exhausted` when the text is longer than [`MAX_DOCUMENT_BYTES`] or nested deeper than
/// [`MAX_DOCUMENT_DEPTH`]; `invalid_argument` for everything else, with the place where the text went wrong.
pub fn parse(text: &str) -> Result<Value> {
    scan(text)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = StrictValue.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| Error::invalid_argument(format!("not acceptable JSON: {error}")).with_source(error))
}

/// The canonical form of a value (JCS, RFC 8785), in UTF-8.
///
/// # Errors
/// `invalid_argument` when a number is not finite.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value)
        .map_err(|error| Error::invalid_argument(format!("the document has no canonical form: {error}")))
}

/// The SHA-256 of a value's canonical form.
pub(super) fn digest(value: &impl Serialize) -> Result<[u8; 32]> {
    Ok(Sha256::digest(canonical(value)?).into())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Exactly `N` bytes from lower-case hexadecimal digits.
pub(super) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Refuses a value that is nested deeper than `levels`, before anything recurses into it without a bound.
pub(super) fn check_depth(value: &Value, levels: usize) -> Result<()> {
    let too_deep = || {
        Error::resource_exhausted(format!("the document is nested deeper than {MAX_DOCUMENT_DEPTH} levels"))
            .with("limit", MAX_DOCUMENT_DEPTH)
    };
    match value {
        Value::Array(list) => {
            let inner = levels.checked_sub(1).ok_or_else(too_deep)?;
            list.iter().try_for_each(|element| check_depth(element, inner))
        }
        Value::Object(members) => {
            let inner = levels.checked_sub(1).ok_or_else(too_deep)?;
            members.values().try_for_each(|member| check_depth(member, inner))
        }
        _ => Ok(()),
    }
}

/// Checks what the reader behind it no longer sees: the length, the depth, and how integers were spelt.
fn scan(text: &str) -> Result<()> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::resource_exhausted(format!(
            "the document has {} bytes, {MAX_DOCUMENT_BYTES} are the limit",
            text.len()
        ))
        .with("limit", MAX_DOCUMENT_BYTES));
    }
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DOCUMENT_DEPTH {
                    return Err(Error::resource_exhausted(format!(
                        "the document is nested deeper than {MAX_DOCUMENT_DEPTH} levels"
                    ))
                    .with("limit", MAX_DOCUMENT_DEPTH));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let start = at;
                while at < bytes.len() && matches!(bytes[at], b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') {
                    at += 1;
                }
                check_number(&text[start..at])?;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

fn check_number(literal: &str) -> Result<()> {
    if literal.contains(['.', 'e', 'E']) {
        return Ok(());
    }
    match literal.trim_start_matches('-').parse::<u64>() {
        Ok(magnitude) if magnitude <= MAX_INTEGER => Ok(()),
        _ => Err(Error::invalid_argument(format!(
            "the integer {literal:.40} lies beyond 2^53, where readers round it differently"
        ))
        .with_remedy("write it as a string")),
    }
}

struct StrictValue;

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> std::result::Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> std::result::Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> std::result::Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(StrictValue)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(StrictValue)?;
            if object.contains_key(&name) {
                return Err(de::Error::custom(format!("the member {name:?} stands there twice")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":-9007199254740993}"#,
            r#"[123456789012345678901234567890]"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00\ud800"}"#,
            r#"{"a":1e999}"#,
            r#"{"a":NaN}"#,
            r#"{"a":01}"#,
            r#"{"a":1}x"#,
            r#"{"a":1,}"#,
            r#"{"a":"unfinished\"#,
            "{\"a\":\"\u{1}\"}",
            "",
        ] {
            assert_eq!(parse(text).unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
        }
    }

    #[test]
    fn numbers_that_every_reader_agrees_on_are_read() {
        let value = parse(r#"[9007199254740991,-9007199254740991,1E30,4.50,2e-3,-0,"99999999999999999999"]"#).unwrap();
        let expected = r#"[9007199254740991,-9007199254740991,1e+30,4.5,0.002,0,"99999999999999999999"]"#;
        assert_eq!(canonical(&value).unwrap(), expected.as_bytes());
        assert_eq!(parse(&value.to_string()).unwrap(), value);
    }

    #[test]
    fn depth_and_size_are_limited() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        parse(&nested(MAX_DOCUMENT_DEPTH)).unwrap();
        assert_eq!(parse(&nested(MAX_DOCUMENT_DEPTH + 1)).unwrap_err().code(), ErrorCode::ResourceExhausted);
        assert_eq!(parse(&"[".repeat(60_000)).unwrap_err().code(), ErrorCode::ResourceExhausted);
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        parse(&long(MAX_DOCUMENT_BYTES)).unwrap();
        assert_eq!(parse(&long(MAX_DOCUMENT_BYTES + 1)).unwrap_err().code(), ErrorCode::ResourceExhausted);
        parse(r#""[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[[[[""#).unwrap();
    }
}
