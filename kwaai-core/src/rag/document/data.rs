//! JSON, YAML and TOML as paragraphs of a path and a value: `services.web.port: 8080`.
//!
//! A value is written down while it is parsed, so that nothing but the text grows with the file. The parsers bound how deep values
//! nest and, in YAML, how far aliases multiply.

use std::fmt;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle};
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rag::document::Limits;
use crate::rag::document::place::{Key, Places, short};
use crate::{Error, Result};

/// Parsers that hold the whole tree in memory are not given more than so many bytes.
const TREE: usize = 16 << 20;
/// Data that nests deeper is refused by its parser.
const DEEP: usize = 500;

/// A language of structured data.
#[derive(Clone, Copy)]
pub(super) enum Language {
    Json,
    JsonLines,
    Yaml,
    Toml,
}

/// The lines of a file, or why it is not what its name says.
///
/// # Errors
/// The inner one is for people, and the file can still be read as plain text; the outer one is `resource_exhausted`.
pub(super) fn lines(
    source: &str,
    language: Language,
    limits: &Limits,
) -> Result<std::result::Result<(String, Places), String>> {
    let mut out =
        Out { text: String::new(), keys: Vec::new(), path: String::new(), list: None, lists: 0, limits, refused: None };
    let read = match language {
        Language::Json => json(source, &mut out),
        Language::JsonLines => json_lines(source, &mut out),
        Language::Yaml => yaml(source, &mut out),
        Language::Toml => toml(source, &mut out),
    };
    if let Some(error) = out.refused {
        return Err(error);
    }
    Ok(read.map(|()| (out.text, Places { keys: out.keys, ..Places::default() })))
}

type Read = std::result::Result<(), String>;

fn json(source: &str, out: &mut Out<'_>) -> Read {
    let source = quoted(source, &json_numbers(source));
    let mut parser = serde_json::Deserializer::from_str(&source);
    Value { out, list: None }.deserialize(&mut parser).map_err(|error| error.to_string())?;
    parser.end().map_err(|error| error.to_string())
}

/// The source with quotation marks around what stands at these places, so that it is kept as it is written: a parser makes of `1.10` a number, of `NO` a
/// truth, and of a long number another one.
fn quoted(source: &str, places: &[Range<usize>]) -> String {
    let mut quoted = String::with_capacity(source.len() + 2 * places.len());
    let mut at = 0;
    for place in places {
        quoted.push_str(&source[at..place.start]);
        quoted.extend(["\"", &source[place.clone()], "\""]);
        at = place.end;
    }
    quoted.push_str(&source[at..]);
    quoted
}

/// The numbers outside of texts.
fn json_numbers(source: &str) -> Vec<Range<usize>> {
    let bytes = source.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(inside) = bytes.get(at).filter(|inside| **inside != b'"') {
                    at += if *inside == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let digits = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = at + bytes[at..].iter().take_while(digits).count();
                // Whatever its size.
                if serde_json::from_str::<serde::de::IgnoredAny>(&source[at..end]).is_ok() {
                    found.push(at..end);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    found
}

/// The plain scalars that have no tag, but for what says that there is nothing, and the key that merges.
fn yaml_scalars(source: &str) -> Vec<Range<usize>> {
    let (mut found, mut depth) = (Vec::new(), 0_usize);
    for event in Parser::new_from_str(source) {
        // What is wrong is told by the parser that comes after.
        let Ok((event, span)) = event else { return Vec::new() };
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            Event::Scalar(value, ScalarStyle::Plain, _, None) => {
                let place = span.byte_range().unwrap_or_default();
                let as_written = source.get(place.clone()) == Some(&*value);
                let is_nothing = matches!(&*value, "" | "~" | "null" | "Null" | "NULL" | "<<");
                if as_written && !is_nothing && !value.contains(['"', '\\', '\n']) {
                    found.push(place);
                }
            }
            _ => {}
        }
        if depth > DEEP {
            return Vec::new();
        }
    }
    found
}

/// The numbers and times.
fn toml_scalars(value: &Spanned<DeValue<'_>>, found: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => found.push(value.span()),
        DeValue::Array(items) => items.iter().for_each(|item| toml_scalars(item, found)),
        DeValue::Table(entries) => entries.values().for_each(|entry| toml_scalars(entry, found)),
        DeValue::String(_) | DeValue::Boolean(_) => {}
    }
}

fn json_lines(source: &str, out: &mut Out<'_>) -> Read {
    for (number, line) in source.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        out.path = format!("line {}", number + 1);
        json(line, out).map_err(|error| format!("line {}: {error}", number + 1))?;
        out.list = None;
    }
    Ok(())
}

fn yaml(source: &str, out: &mut Out<'_>) -> Read {
    if source.len() > TREE {
        return Err(format!("YAML of more than {TREE} bytes is not parsed"));
    }
    let documents = yaml_documents(source);
    let several = documents.len() > 1;
    for (number, document) in documents.into_iter().enumerate() {
        out.path = if several { format!("document {}", number + 1) } else { String::new() };
        let document = quoted(document, &yaml_scalars(document));
        let read =
            |parser: serde_saphyr::Deserializer<'_, '_>| Value { out: &mut *out, list: None }.deserialize(parser);
        serde_saphyr::with_deserializer_from_str(&document, read).map_err(|error| first_line(&error.to_string()))?;
        out.list = None;
    }
    Ok(())
}

/// An error of the parser without the lines of the file that it shows.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// A file of YAML may hold several documents, with a line of dashes between them.
fn yaml_documents(source: &str) -> Vec<&str> {
    let mut documents = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in source.split_inclusive('\n') {
        if line.starts_with("---") && line[3..].chars().next().is_none_or(char::is_whitespace) {
            documents.push(&source[start..at]);
            start = at;
        }
        at += line.len();
    }
    documents.push(&source[start..]);
    let filled = |document: &&str| {
        document.lines().any(|line| !matches!(line.trim(), "" | "---" | "...") && !line.starts_with(['#', '%']))
    };
    documents.retain(filled);
    documents
}

fn toml(source: &str, out: &mut Out<'_>) -> Read {
    if source.len() > TREE {
        return Err(format!("TOML of more than {TREE} bytes is not parsed"));
    }
    let table = DeTable::parse(source).map_err(|error| error.message().to_owned())?;
    let mut scalars = Vec::new();
    table.get_ref().values().for_each(|value| toml_scalars(value, &mut scalars));
    scalars.sort_by_key(|place| place.start);
    let source = quoted(source, &scalars);
    let parser = toml::Deserializer::parse(&source).map_err(|error| error.message().to_owned())?;
    Value { out, list: None }.deserialize(parser).map_err(|error| error.message().to_owned())
}

/// The text made so far, and where in the data it stands.
struct Out<'a> {
    text: String,
    keys: Vec<Key>,
    path: String,
    /// The list whose plain values the last line holds.
    list: Option<usize>,
    lists: usize,
    limits: &'a Limits,
    /// The limit that was reached; the parser only learns that it is to stop.
    refused: Option<Error>,
}

impl Out<'_> {
    fn value<E: serde::de::Error>(&mut self, value: &str, list: Option<usize>) -> std::result::Result<(), E> {
        let value = super::text::clean(value);
        let value = value.trim();
        let goes_on = list.is_some() && self.list == list;
        if goes_on {
            self.text.push_str(", ");
            self.text.push_str(value);
            if let Some(key) = self.keys.last_mut() {
                key.1 = self.text.len();
            }
        } else {
            if !self.text.is_empty() {
                self.text.push_str("\n\n");
            }
            let start = self.text.len();
            self.text.push_str(&self.path);
            let path = self.text.len() - start;
            self.text.push_str(if self.path.is_empty() { "" } else { ": " });
            self.text.push_str(value);
            self.keys.push(Key(start, self.text.len(), path as u32));
            self.list = list;
        }
        let within = self.limits.check_text(self.text.len()).and_then(|()| self.limits.check_places(self.keys.len()));
        within.map_err(|error| {
            self.refused = Some(error);
            E::custom("too long")
        })
    }

    /// Runs with a step added to the path.
    fn at<T>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let done = work(self);
        self.path.truncate(length);
        done
    }
}

/// A step of a path: `.port`, or `["a key with spaces"]`.
fn step(key: &str, first: bool) -> String {
    let key = short(key);
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '@' | '$'));
    match (plain, first) {
        (true, true) => key,
        (true, false) => format!(".{key}"),
        (false, _) => format!("[{}]", serde_json::Value::String(key)),
    }
}

/// A value at the path of its `out`; `list` when it stands in a list.
struct Value<'o, 'l> {
    out: &'o mut Out<'l>,
    list: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

macro_rules! plain {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, value: $type) -> std::result::Result<(), E> {
            self.out.value(&value.to_string(), self.list)
        })*
    };
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("data")
    }

    plain!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64);

    fn visit_str<E: serde::de::Error>(self, value: &str) -> std::result::Result<(), E> {
        self.out.value(value, self.list)
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> std::result::Result<(), E> {
        self.out.value(&String::from_utf8_lossy(value), self.list)
    }

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        self.out.value("null", self.list)
    }

    fn visit_none<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<(), D::Error> {
        self.deserialize(parser)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<(), D::Error> {
        self.deserialize(parser)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<(), A::Error> {
        self.out.lists += 1;
        let list = Some(self.out.lists);
        for number in 0usize.. {
            // Plain values share a line under the name of the list; whatever stands deeper has its number in the path.
            let before = self.out.path.len();
            let seed = Item { out: &mut *self.out, list, number };
            let more = items.next_element_seed(seed)?.is_some();
            self.out.path.truncate(before);
            if !more {
                if number == 0 && !self.out.path.is_empty() {
                    self.out.value("[]", None)?;
                }
                break;
            }
        }
        if self.out.list != list {
            self.out.list = None;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<(), A::Error> {
        self.out.list = None;
        let mut empty = !self.out.path.is_empty();
        while let Some(key) = entries.next_key_seed(Name)? {
            empty = false;
            let step = step(&key, self.out.path.is_empty());
            self.out.at(&step, |out| entries.next_value_seed(Value { out, list: None }))?;
        }
        if empty {
            self.out.value("{}", None)?;
        }
        self.out.list = None;
        Ok(())
    }
}

/// An element of a list.
struct Item<'o, 'l> {
    out: &'o mut Out<'l>,
    list: Option<usize>,
    number: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<(), D::Error> {
        parser.deserialize_any(self)
    }
}

macro_rules! item {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, value: $type) -> std::result::Result<(), E> {
            Value { out: self.out, list: self.list }.$visit(value)
        })*
    };
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("data")
    }

    item!(
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64,
        visit_str: &str, visit_bytes: &[u8]
    );

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        Value { out: self.out, list: self.list }.visit_unit()
    }

    fn visit_none<E: serde::de::Error>(self) -> std::result::Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<(), D::Error> {
        self.deserialize(parser)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<(), D::Error> {
        self.deserialize(parser)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> std::result::Result<(), A::Error> {
        self.out.path.push_str(&format!("[{}]", self.number));
        Value { out: self.out, list: None }.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> std::result::Result<(), A::Error> {
        self.out.path.push_str(&format!("[{}]", self.number));
        Value { out: self.out, list: None }.visit_map(entries)
    }
}

/// A key of a map, whatever it is made of.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> std::result::Result<String, D::Error> {
        parser.deserialize_any(self)
    }
}

macro_rules! name {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E: serde::de::Error>(self, value: $type) -> std::result::Result<String, E> {
            Ok(value.to_string())
        })*
    };
}

impl Visitor<'_> for Name {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    name!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<String, E> {
        Ok("null".to_owned())
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> std::result::Result<String, E> {
        std::str::from_utf8(value).map(str::to_owned).map_err(|_| E::custom("a key is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str, language: Language) -> String {
        lines(source, language, &Limits::default()).unwrap().unwrap().0
    }

    const EXPECTED: &[&str] = &[
        "name: pump",
        "ports: 80, 443",
        "sites[0].town: Köln",
        "sites[0].open: true",
        "sites[1].town: Bonn",
        "matrix[0]: 1, 2",
        "matrix[1]: 3, 4",
        "[\"two words\"]: 1.5",
        "none: []",
    ];

    #[test]
    fn the_same_data_gives_the_same_lines_in_every_language() {
        let json = r#"{"name":"pump","ports":[80,443],"sites":[{"town":"Köln","open":true},{"town":"Bonn"}],"matrix":[[1,2],[3,4]],"two words":1.5,"none":[]}"#;
        let yaml = "name: pump\nports: [80, 443]\nsites:\n- {town: Köln, open: true}\n- town: Bonn\nmatrix: [[1, 2], [3, 4]]\ntwo words: 1.5\nnone: []\n";
        let toml = "name = \"pump\"\nports = [80, 443]\nsites = [{town = \"Köln\", open = true}, {town = \"Bonn\"}]\nmatrix = [[1, 2], [3, 4]]\n\"two words\" = 1.5\nnone = []\n";
        assert_eq!(read(json, Language::Json), EXPECTED.join("\n\n"));
        assert_eq!(read(yaml, Language::Yaml), EXPECTED.join("\n\n"));
        assert_eq!(read(toml, Language::Toml), EXPECTED.join("\n\n"));
    }

    #[test]
    fn values_and_keys_stay_as_they_are_written() {
        let json = r#"{"id": 18446744073709551617, "rate": 1.10, "big": 12345678901234567.89, "text": "a \" 1.10", "tiny": [1e-400, -0]}"#;
        let lines = "id: 18446744073709551617\n\nrate: 1.10\n\nbig: 12345678901234567.89\n\ntext: a \" 1.10\n\ntiny: 1e-400, -0";
        assert_eq!(read(json, Language::Json), lines);
        let yaml = "country: NO\nversion: 1.10\nzip: 01234\nsha: 1234e5\non:\n  push: y\nnone: ~\nlist: [0x1F, off, ü 1.0]\nbase: &b {k: 1.0}\nmore:\n  <<: *b\ntagged: !!int 7\n";
        let lines = "country: NO\n\nversion: 1.10\n\nzip: 01234\n\nsha: 1234e5\n\non.push: y\n\nnone: null\n\nlist: 0x1F, off, ü 1.0\n\nbase.k: 1.0\n\nmore.k: 1.0\n\ntagged: 7";
        assert_eq!(read(yaml, Language::Yaml), lines);
        let toml = "a = 1.10\nb = 0x1F\nc = 1_000\nd = 1979-05-27 07:32:00\ne = [1.0, {f = 2.50}]\n";
        assert_eq!(
            read(toml, Language::Toml),
            "a: 1.10\n\nb: 0x1F\n\nc: 1_000\n\nd: 1979-05-27 07:32:00\n\ne: 1.0\n\ne[1].f: 2.50"
        );
    }

    #[test]
    fn lines_and_documents_of_a_file_are_counted() {
        assert_eq!(read("{\"a\":1}\n\n{\"a\":[2,3]}\n", Language::JsonLines), "line 1.a: 1\n\nline 3.a: 2, 3");
        assert_eq!(read("--- # first\na: 1\n---\na: 2\n", Language::Yaml), "document 1.a: 1\n\ndocument 2.a: 2");
    }

    #[test]
    fn a_place_is_the_path_of_a_value() {
        let (text, places) =
            lines(r#"{"a":{"b":[{"c":1},{"c":2}]}}"#, Language::Json, &Limits::default()).unwrap().unwrap();
        assert_eq!(text, "a.b[0].c: 1\n\na.b[1].c: 2");
        assert_eq!(places.locator(&(0..5), &text, 0).as_deref(), Some("a.b[0].c"));
        assert_eq!(places.locator(&(0..text.len()), &text, 0).as_deref(), Some("a.b[0].c to a.b[1].c"));
    }

    #[test]
    fn what_is_too_deep_or_multiplies_itself_is_refused() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(lines(&deep, Language::Json, &Limits::default()).unwrap().is_err());
        assert!(lines(&deep, Language::Yaml, &Limits::default()).unwrap().is_err());
        assert!(lines(&format!("a = {deep}"), Language::Toml, &Limits::default()).unwrap().is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let above = format!("*a{},", level - 1).repeat(9);
            bomb += &format!("a{level}: &a{level} [{above}]\n");
        }
        let limits = Limits { text_bytes: 1 << 20, ..Limits::default() };
        assert!(!matches!(lines(&bomb, Language::Yaml, &limits), Ok(Ok(_))));
    }
}
