//! The JSON Canonicalization Scheme, RFC 8785.
//!
//! Written here because every credential is brought into this form twice before its signature is looked at, and the library that
//! judges it in the tests takes as long for that as the signature does.

use serde_json::{Map, Number, Value};

use crate::{Error, Result};

/// Beyond this, doubles are further apart than one.
const MAX_EXACT: u64 = 1 << 53;

/// What has a canonical form.
pub trait Canonical: sealed::Sealed {
    /// The canonical form, in UTF-8.
    ///
    /// # Errors
    /// `invalid_argument` when a number is not finite.
    fn canonical(&self) -> Result<Vec<u8>>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for serde_json::Value {}
    impl Sealed for serde_json::Map<String, serde_json::Value> {}
}

impl Canonical for Value {
    fn canonical(&self) -> Result<Vec<u8>> {
        let mut text = Vec::with_capacity(256);
        write(self, &mut text)?;
        Ok(text)
    }
}

impl Canonical for Map<String, Value> {
    fn canonical(&self) -> Result<Vec<u8>> {
        object(self, &[])
    }
}

/// An object without some of its members.
pub(super) fn object(members: &Map<String, Value>, left_out: &[&str]) -> Result<Vec<u8>> {
    let mut text = Vec::with_capacity(2048);
    write_object(members, left_out, &mut text)?;
    Ok(text)
}

fn write(value: &Value, text: &mut Vec<u8>) -> Result<()> {
    match value {
        Value::Null => text.extend(b"null"),
        Value::Bool(true) => text.extend(b"true"),
        Value::Bool(false) => text.extend(b"false"),
        Value::Number(number) => return write_number(number, text),
        Value::String(string) => write_string(string, text),
        Value::Array(list) => {
            text.push(b'[');
            for (place, element) in list.iter().enumerate() {
                if place > 0 {
                    text.push(b',');
                }
                write(element, text)?;
            }
            text.push(b']');
        }
        Value::Object(members) => return write_object(members, &[], text),
    }
    Ok(())
}

fn write_object(members: &Map<String, Value>, left_out: &[&str], text: &mut Vec<u8>) -> Result<()> {
    let mut sorted: Vec<(&String, &Value)> =
        members.iter().filter(|(name, _)| !left_out.contains(&name.as_str())).collect();
    // Names are ordered by their UTF-16 (RFC 8785 §3.2.3), which is the order of bytes as long as they are ASCII.
    if sorted.iter().all(|(name, _)| name.is_ascii()) {
        sorted.sort_unstable_by_key(|&(name, _)| name);
    } else {
        sorted.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    text.push(b'{');
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        write_string(name, text);
        text.push(b':');
        write(value, text)?;
    }
    text.push(b'}');
    Ok(())
}

fn write_number(number: &Number, text: &mut Vec<u8>) -> Result<()> {
    let magnitude = number.as_i64().map(i64::unsigned_abs).or(number.as_u64());
    if magnitude.is_some_and(|magnitude| magnitude <= MAX_EXACT) {
        text.extend(number.to_string().bytes());
        return Ok(());
    }
    let double = number.as_f64().filter(|double| double.is_finite());
    let double =
        double.ok_or_else(|| Error::invalid_argument("the document has no canonical form: a number is not finite"))?;
    text.extend(ryu_js::Buffer::new().format_finite(double).bytes());
    Ok(())
}

fn write_string(string: &str, text: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push(b'"');
    let mut rest = string.as_bytes();
    while let Some(place) = rest.iter().position(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(place);
        text.extend(plain);
        match special[0] {
            b'"' => text.extend(b"\\\""),
            b'\\' => text.extend(b"\\\\"),
            0x08 => text.extend(b"\\b"),
            b'\t' => text.extend(b"\\t"),
            b'\n' => text.extend(b"\\n"),
            0x0c => text.extend(b"\\f"),
            b'\r' => text.extend(b"\\r"),
            other => {
                text.extend(b"\\u00");
                text.extend([DIGITS[usize::from(other >> 4)], DIGITS[usize::from(other & 15)]]);
            }
        }
        rest = &special[1..];
    }
    text.extend(rest);
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            (-(1i64 << 53)..=1i64 << 53).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x7f]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn another_library_brings_everything_into_the_same_form(value in value()) {
            prop_assert_eq!(value.canonical().unwrap(), serde_json_canonicalizer::to_vec(&value).unwrap());
        }
    }

    #[test]
    fn names_are_ordered_by_their_utf_16() {
        let text = json!({"\u{e000}": 1, "\u{1f600}": 2, "z": 3, "\u{7f}": 4}).canonical().unwrap();
        assert_eq!(text, "{\"z\":3,\"\u{7f}\":4,\"\u{1f600}\":2,\"\u{e000}\":1}".as_bytes());
    }

    #[test]
    fn members_that_are_left_out_leave_no_trace() {
        let value = json!({"a": 1, "b": {"a": 2}, "c": 3});
        let text = object(value.as_object().unwrap(), &["a", "c", "x"]).unwrap();
        assert_eq!(text, br#"{"b":{"a":2}}"#);
    }
}
