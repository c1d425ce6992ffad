//! Names in addresses.

use super::reply::Failure;

/// A name in a path, whose slashes and spaces a client writes as `%2F` and `%20`.
pub(super) fn decoded(name: &str) -> String {
    String::from_utf8_lossy(&bytes_of(name)).into_owned()
}

/// The names and values of a query that are UTF-8. A plus stays what it is: files are called so.
pub(super) fn query(query: &str, name: &str) -> Result<Option<String>, Failure> {
    let found = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
    let Some((_, value)) = found else { return Ok(None) };
    let value = String::from_utf8(bytes_of(value));
    value.map(Some).map_err(|_| Failure::invalid(Some(name), format!("{name} must be UTF-8, with %XX for its bytes")))
}

/// The reverse of [`decoded`]: letters and digits stay, everything else is written as its bytes.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn bytes_of(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let coded = (*first == b'%').then(|| after.get(..2)).flatten();
        let digits = coded.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_paths_are_decoded_and_what_is_no_code_stays() {
        assert_eq!(decoded("org%2Fmodel%20x"), "org/model x");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%2"), "%zz%2");
        assert_eq!(decoded("%+f"), "%+f");
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }

    #[test]
    fn a_query_gives_the_value_of_a_name_and_refuses_what_is_no_text() {
        let value = |text: &str| query(text, "name").map_err(|failure| failure.status.as_u16());
        assert_eq!(value("a=b&name=caf%C3%A9%20+%26.md&name=x"), Ok(Some("café +&.md".into())));
        assert_eq!(value("names=x&named"), Ok(None));
        assert_eq!(value("name=%ff"), Err(400));
    }

    #[test]
    fn what_is_encoded_is_decoded_to_itself() {
        for name in ["a/b c", "100%", "é?&#=+", ""] {
            assert_eq!(decoded(&encoded(name)), name);
            assert!(encoded(name).is_ascii() && !encoded(name).contains(['/', '?', '&', '#', ' ', '=']));
        }
    }
}
