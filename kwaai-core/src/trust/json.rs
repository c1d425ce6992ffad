//! Reading JSON that is about to be signed or checked.
//!
//! A signature covers the canonical form of a document (RFC 8785), so a document must mean the same to every reader:
//! no member twice (I-JSON, RFC 7493 §2.3), no integer that a double cannot hold (§2.2), no lone surrogate (§2.1).

mod canonical;

use std::cell::Cell;
use std::fmt;

use data_encoding::HEXLOWER;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

pub use canonical::Canonical;

use super::rule::Rule;
use crate::{Error, Result};

/// The longest document that is read, in bytes of its text.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// The deepest nesting of arrays and objects that is read.
pub const MAX_DOCUMENT_DEPTH: usize = 32;

/// 2^53 - 1, the largest integer that every reader takes for the same (RFC 7493 §2.2).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// From here on the canonical form writes a number with an exponent, below it as an integer (RFC 8785 §3.2.2.3).
const FIRST_WITH_EXPONENT: f64 = 1e21;

/// Reads one JSON value, and refuses what two readers could read differently. A whole number is an integer however it is spelt:
/// the canonical form, and so every signature, says the same of 1, 1.0 and 1e0.
///
/// # Errors
/// `resource_exhausted` when the text is longer than [`MAX_DOCUMENT_BYTES`] or nested deeper than
/// [`MAX_DOCUMENT_DEPTH`]; `invalid_argument` for everything else, with the place where the text went wrong. The
/// [rule](super::Rule) in the context is one of `size`, `depth`, `duplicate-key`, `integer-range` and `json`.
pub fn parse(text: &str) -> Result<Value> {
    parse_within(text, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH)
}

/// As [`parse`], for a document that holds several and so has other limits.
pub(super) fn parse_within(text: &str, max_bytes: usize, max_depth: usize) -> Result<Value> {
    read(text, max_bytes, max_depth, Whole::Integer)
}

/// As [`parse`], for a document whose signature is over its own spelling: 1.0 is not read as 1.
pub(super) fn parse_as_spelt(text: &str) -> Result<Value> {
    read(text, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, Whole::AsSpelt)
}

fn read(text: &str, max_bytes: usize, max_depth: usize, whole: Whole) -> Result<Value> {
    scan(text, max_bytes, max_depth)?;
    let broken = Cell::new(Rule::Json);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = StrictValue { broken: &broken, whole }.deserialize(&mut deserializer);
    read.and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| broken.get().invalid(format!("not acceptable JSON: {error}")).with_source(error))
}

/// The canonical form of a value or an object (JCS, RFC 8785), in UTF-8.
///
/// # Errors
/// `invalid_argument` when a number is not finite.
pub fn canonical(value: &impl Canonical) -> Result<Vec<u8>> {
    value.canonical()
}

/// The JSON text of a value, with the members of every object in the order of their names. By itself `serde_json` writes them in
/// the order of their insertion as soon as one crate of the program wants that, and then equal documents have unequal texts.
pub(crate) fn sorted(value: impl Into<Value>) -> String {
    let mut value = value.into();
    value.sort_all_objects();
    value.to_string()
}

/// The SHA-256 of a value's canonical form.
pub(super) fn digest(value: &impl Canonical) -> Result<[u8; 32]> {
    Ok(Sha256::digest(value.canonical()?).into())
}

/// The SHA-256 of an object's canonical form without some of its members.
pub(super) fn digest_without(object: &Map<String, Value>, left_out: &[&str]) -> Result<[u8; 32]> {
    Ok(Sha256::digest(canonical::object(object, left_out)?).into())
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Writes bytes as lower-case hexadecimal digits behind a text.
pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    HEXLOWER.encode_append(bytes, text);
}

/// Exactly `N` bytes from lower-case hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// Refuses a value that is nested deeper than `levels`, before anything recurses into it without a bound.
pub(super) fn check_depth(value: &Value, levels: usize) -> Result<()> {
    match value {
        Value::Array(list) => {
            let inner = levels.checked_sub(1).ok_or_else(|| too_deep(MAX_DOCUMENT_DEPTH))?;
            list.iter().try_for_each(|element| check_depth(element, inner))
        }
        Value::Object(members) => {
            let inner = levels.checked_sub(1).ok_or_else(|| too_deep(MAX_DOCUMENT_DEPTH))?;
            members.values().try_for_each(|member| check_depth(member, inner))
        }
        _ => Ok(()),
    }
}

/// Refuses a text of more bytes than the limit.
pub(super) fn check_size(text: &str, max_bytes: usize) -> Result<()> {
    if text.len() > max_bytes {
        let message = format!("the document has {} bytes, {max_bytes} are the limit", text.len());
        return Err(Rule::Size.exceeded(max_bytes, message));
    }
    Ok(())
}

fn too_deep(limit: usize) -> Error {
    Rule::Depth.exceeded(limit, format!("the document is nested deeper than {limit} levels"))
}

/// Checks what the reader behind it no longer sees: the length, the depth, and how integers were spelt.
fn scan(text: &str, max_bytes: usize, max_depth: usize) -> Result<()> {
    check_size(text, max_bytes)?;
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
                if depth > max_depth {
                    return Err(too_deep(max_depth));
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

/// Refuses integers beyond 2^53, whether written plainly, with a fraction of zeros, or with an exponent though the
/// canonical form would write them plainly.
fn check_number(literal: &str) -> Result<()> {
    let exact = if literal.contains(['.', 'e', 'E']) {
        // What is no number at all, or none that a double holds, is left to the reader, which says where it stands.
        let magnitude = literal.parse::<f64>().unwrap_or(0.0).abs();
        magnitude <= MAX_INTEGER as f64
            || magnitude.is_infinite()
            || magnitude >= FIRST_WITH_EXPONENT
                && literal.contains(['e', 'E'])
                && digits(literal) == digits(&format!("{magnitude:e}"))
    } else {
        let magnitude = literal.trim_start_matches('-');
        magnitude.is_empty() || magnitude.parse::<u64>().is_ok_and(|magnitude| magnitude <= MAX_INTEGER)
    };
    if exact {
        return Ok(());
    }
    let message = format!("the integer {literal:.40} lies beyond 2^53, where readers round it differently");
    Err(Rule::IntegerRange.invalid(message).with_remedy("write it as a string"))
}

/// The digits of a number that say more than its size.
fn digits(literal: &str) -> String {
    let mantissa = literal.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// What becomes of a whole number that is written with a fraction or an exponent.
#[derive(Clone, Copy, PartialEq)]
enum Whole {
    Integer,
    AsSpelt,
}

/// Reads any value, and notes the rule that was broken where the reader's error does not tell.
#[derive(Clone, Copy)]
struct StrictValue<'a> {
    broken: &'a Cell<Rule>,
    whole: Whole,
}

impl<'de> DeserializeSeed<'de> for StrictValue<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictValue<'_> {
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
        if self.whole == Whole::Integer && value.fract() == 0.0 && value.abs() <= MAX_INTEGER as f64 {
            return Ok((value as i64).into());
        }
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
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> std::result::Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if object.contains_key(&name) {
                self.broken.set(Rule::DuplicateKey);
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

    fn rule(text: &str) -> String {
        parse(text).unwrap_err().context()["rule"].clone()
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused_with_its_rule() {
        for (text, broken) in [
            (r#"{"a":1,"a":1}"#, Rule::DuplicateKey),
            (r#"{"a":{"b":1,"\u0062":2}}"#, Rule::DuplicateKey),
            (r#"{"a":9007199254740992}"#, Rule::IntegerRange),
            (r#"{"a":-9007199254740993}"#, Rule::IntegerRange),
            (r#"{"a":9007199254740993.0}"#, Rule::IntegerRange),
            (r#"{"a":1234567890123456789012e0}"#, Rule::IntegerRange),
            (r#"{"a":1.0000000000000000001E30}"#, Rule::IntegerRange),
            (r#"{"a":9007199254740993e0}"#, Rule::IntegerRange),
            (r#"{"a":1e17}"#, Rule::IntegerRange),
            (r#"{"a":1234567890123456789012.0}"#, Rule::IntegerRange),
            (r#"[123456789012345678901234567890]"#, Rule::IntegerRange),
            (r#"{"a":"\ud800"}"#, Rule::Json),
            (r#"{"a":"\udc00\ud800"}"#, Rule::Json),
            (r#"{"a":1e999}"#, Rule::Json),
            (r#"{"a":NaN}"#, Rule::Json),
            (r#"{"a":01}"#, Rule::Json),
            (r#"{"a":-}"#, Rule::Json),
            (r#"{"a":1.e}"#, Rule::Json),
            (r#"{"a":1}x"#, Rule::Json),
            (r#"{"a":1,}"#, Rule::Json),
            (r#"{"a":"unfinished\"#, Rule::Json),
            ("{\"a\":\"\u{1}\"}", Rule::Json),
            ("", Rule::Json),
        ] {
            assert_eq!(parse(text).unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
            assert_eq!(rule(text), broken.as_str(), "{text}");
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
    fn equal_documents_have_one_text_in_whatever_order_they_were_made() {
        let made = |names: [&str; 3]| {
            let members = |value: Value| names.map(|name| (name.to_owned(), value.clone())).into_iter().collect();
            let inner: Map<String, Value> = members(Value::Null);
            members(Value::Array(vec![inner.into()]))
        };
        let (one, other): (Map<String, Value>, Map<String, Value>) = (made(["c", "a", "b"]), made(["b", "c", "a"]));
        let list = r#"[{"a":null,"b":null,"c":null}]"#;
        assert_eq!(sorted(one), format!(r#"{{"a":{list},"b":{list},"c":{list}}}"#));
        assert_eq!(sorted(other), format!(r#"{{"a":{list},"b":{list},"c":{list}}}"#));
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_spelt() {
        for text in ["100", "100.0", "1e2", "1000e-1"] {
            assert_eq!(parse(text).unwrap().as_u64(), Some(100), "{text}");
        }
        assert_eq!(parse("-0.0").unwrap().as_i64(), Some(0));
        assert_eq!(parse("1e30").unwrap().as_f64(), Some(1e30));
        assert_eq!(parse_as_spelt("1.0").unwrap().to_string(), "1.0");
    }

    #[test]
    fn every_share_is_read_as_it_was_written() {
        // Of these a reader that rounds once more than it should takes nearly half for another number.
        for looks in 1..300u32 {
            for up in 0..=looks {
                let share = f64::from(up) / f64::from(looks);
                assert_eq!(parse(&share.to_string()).unwrap().as_f64(), Some(share));
            }
        }
    }

    #[test]
    fn depth_and_size_are_limited() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        parse(&nested(MAX_DOCUMENT_DEPTH)).unwrap();
        assert_eq!(parse(&nested(MAX_DOCUMENT_DEPTH + 1)).unwrap_err().code(), ErrorCode::ResourceExhausted);
        assert_eq!(rule(&nested(MAX_DOCUMENT_DEPTH + 1)), "depth");
        assert_eq!(parse(&"[".repeat(60_000)).unwrap_err().code(), ErrorCode::ResourceExhausted);
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        parse(&long(MAX_DOCUMENT_BYTES)).unwrap();
        assert_eq!(parse(&long(MAX_DOCUMENT_BYTES + 1)).unwrap_err().code(), ErrorCode::ResourceExhausted);
        assert_eq!(rule(&long(MAX_DOCUMENT_BYTES + 1)), "size");
        parse(r#""[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"[[[[""#).unwrap();
    }
}
