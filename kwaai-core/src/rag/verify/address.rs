//! Addresses of pages and pictures: what an answer sends its reader to must stand in a source.
//!
//! A document that is written to deceive a model may have it write an address, which a reader follows, or a program that shows pictures
//! fetches, with what was asked in it.

use std::collections::BTreeSet;
use std::ops::Range;

/// What an address has in it, or before it.
const SIGNS: &[&str] = &["//", "www.", "mailto:", "](", "data:", "javascript:"];
/// Longer addresses are compared by their beginnings, in bytes.
const LONGEST: usize = 2_000;

/// The addresses of a text, as they are compared, and where they stand.
pub(super) fn addresses(text: &str) -> Vec<(Range<usize>, String)> {
    let mut found: Vec<(Range<usize>, String)> = Vec::new();
    for sign in SIGNS {
        let mut at = 0;
        while let Some(place) = text[at..].find(sign).map(|place| at + place) {
            at = place + sign.len();
            let start = if *sign == "](" { at } else { begin(text, place) };
            let end = end(text, at);
            let said = text[start..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_']);
            if said.contains(char::is_alphanumeric) && end > at {
                found.push((start..start + said.len(), compared(said)));
            }
            at = end;
        }
    }
    found.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    // `[a](https://...)` is found by both of its signs.
    let mut until = 0;
    found.retain(|(span, _)| {
        let new = span.end > until;
        until = until.max(span.end);
        new
    });
    found
}

/// Where an address begins that has a sign at this place.
fn begin(text: &str, place: usize) -> usize {
    text[..place].rfind(breaks).map_or(0, |before| before + text[before..].chars().next().map_or(1, char::len_utf8))
}

fn end(text: &str, from: usize) -> usize {
    text[from..].find(breaks).map_or(text.len(), |length| from + length)
}

/// What is part of no address.
fn breaks(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '"' | '\''
                | '<'
                | '>'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '`'
                | '|'
                | '“'
                | '”'
                | '«'
                | '»'
                | '、'
                | '。'
                | '，'
        )
}

/// An address without what does not tell it from others.
fn compared(said: &str) -> String {
    let lower = said[..said.floor_char_boundary(LONGEST)].to_lowercase();
    let bare = ["https:", "http:"].iter().find_map(|scheme| lower.strip_prefix(scheme)).unwrap_or(&lower);
    let bare = bare.trim_start_matches('/');
    bare.strip_prefix("www.").unwrap_or(bare).trim_end_matches('/').to_owned()
}

/// The addresses of a source.
#[derive(Default)]
pub(super) struct Addresses(BTreeSet<String>);

impl Addresses {
    pub fn new(text: &str) -> Addresses {
        Addresses(addresses(text).into_iter().map(|(_, address)| address).collect())
    }

    /// Whether an address stands here, or what it is the site of.
    pub fn hold(&self, address: &str) -> bool {
        let below = format!("{address}/");
        let first = self.0.range(below.clone()..).next();
        self.0.contains(address) || first.is_some_and(|known| known.starts_with(&below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_however_they_are_written() {
        let text = "See https://a.example/x?q=1, <http://b.example/> or www.c.example. ![x](//d.example/p.png) [here](steps/e.md#f), mailto:g@h.example.";
        let found: Vec<String> = addresses(text).into_iter().map(|(_, address)| address).collect();
        assert_eq!(
            found,
            ["a.example/x?q=1", "b.example", "c.example", "d.example/p.png", "steps/e.md#f", "mailto:g@h.example"]
        );
        assert_eq!(addresses("and/or, 3 // 4, a[1](b c)").len(), 1);
    }

    #[test]
    fn hostile_signs_are_looked_through_in_time_that_grows_with_them() {
        for hostile in ["//", "www.", "](", "//a", "mailto:data:", "[](a)(//"] {
            addresses(&hostile.repeat(100_000));
        }
    }

    #[test]
    fn an_address_stands_where_it_or_a_page_of_it_does() {
        let source = Addresses::new("Read https://a.example/docs/start first.");
        assert!(source.hold("a.example/docs/start") && source.hold("a.example/docs") && source.hold("a.example"));
        assert!(
            !source.hold("a.example/docs/st") && !source.hold("b.example") && !source.hold("a.example/docs/start?q=1")
        );
    }
}
