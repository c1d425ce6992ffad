//! What documents are called, and where a text calls one by its name.
//!
//! A passage that names another document leads to it, which is how a question is answered whose parts stand in two
//! documents. No model is asked: a document's names are its title, its file's name and the name that its text begins with.

use std::ops::Range;
use std::path::Path;

use crate::rag::document::EXTENSIONS;
use crate::rag::terms::{Analyzer, Term};

/// Longer names are not looked for, in words.
const LONGEST: usize = 8;
/// Longer first lines are text, in bytes.
const LONGEST_TITLE: usize = 100;
/// Longer targets of links are not read, in bytes.
const LONGEST_TARGET: usize = 300;
/// How many words of a text may be the name that it begins with.
const LONGEST_LEAD: usize = 6;
/// What stands inside of names although it begins with a small letter.
const JOINERS: &[&str] =
    &["of", "the", "and", "in", "de", "du", "des", "la", "le", "von", "van", "der", "zu", "da", "di"];

/// Where a document has a name from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NameKind {
    /// Its title, or its file's name.
    Title,
    /// The first words of its text.
    Lead,
}

/// A name of a document: words in lower case and without accents, a space between any two.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub text: String,
    pub kind: NameKind,
}

/// Finds names.
pub(crate) struct Namer(Analyzer);

impl Namer {
    pub fn new() -> Namer {
        Namer(Analyzer::of_names())
    }

    /// The names of a document, by what it is called and its first passage.
    pub fn names(&self, document: &str, first: &str) -> Vec<Name> {
        let stem = Path::new(document).file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let mut names: Vec<Name> = self.name(&stem, NameKind::Title).into_iter().collect();
        let (title, body) = titled(first);
        names.extend(title.and_then(|title| self.name(title, NameKind::Title)));
        names.extend(self.lead(body));
        names.sort();
        names.dedup_by(|later, earlier| later.text == earlier.text);
        names
    }

    fn name(&self, title: &str, kind: NameKind) -> Option<Name> {
        // What stands in brackets tells one from another of the same name: `Mercury (planet)`.
        let bare = title.trim().strip_suffix(')').and_then(|inner| inner.rsplit_once('(')).map(|(before, _)| before);
        let words = self.0.terms(bare.filter(|before| !before.trim().is_empty()).unwrap_or(title));
        named(&words).map(|text| Name { text, kind })
    }

    /// The name at the beginning of a text: `The Old Mill` of `The Old Mill is a building in ...`.
    fn lead(&self, body: &str) -> Option<Name> {
        let line = body.trim_start().lines().next().unwrap_or_default();
        let words = self.0.terms(line);
        let skipped = words.first().is_some_and(|word| word.common).into();
        let mut end = skipped;
        let mut last: usize = skipped;
        while end < words.len() && end - skipped < LONGEST_LEAD {
            let word = &words[end];
            // A name ends where a comma or a bracket comes between.
            if end > skipped && !line[words[end - 1].range.end..word.range.start].trim().is_empty() {
                break;
            }
            if begins_a_name(&line[word.range.clone()]) {
                last = end + 1;
            } else if end == skipped || !JOINERS.contains(&word.text.as_str()) {
                break;
            }
            end += 1;
        }
        let words = words.get(skipped..last)?;
        // One short word that begins a sentence is a word like any other.
        if words.len() == 1 && words[0].text.len() < 4 {
            return None;
        }
        named(words).map(|text| Name { text, kind: NameKind::Lead })
    }

    /// The names of the documents that a text points at, and where it does.
    pub fn targets(&self, text: &str) -> Vec<(Range<usize>, String)> {
        links(text).filter_map(|(range, target)| Some((range, self.target(target)?))).collect()
    }

    /// The name of the document that a link points at.
    pub fn target(&self, link: &str) -> Option<String> {
        let target = decoded(link);
        let file = target.trim().rsplit('/').next()?;
        // What a wiki calls by its name has no ending, and may have a dot.
        let is_ending = |ending: &str| EXTENSIONS.contains(&ending.to_lowercase().as_str());
        let stem = file.rsplit_once('.').filter(|(_, ending)| is_ending(ending)).map_or(file, |(stem, _)| stem);
        Some(self.name(stem, NameKind::Title)?.text)
    }

    /// Where a text may call something by its name, the longest first at each place.
    pub fn candidates<'t>(&self, text: &'t str) -> Candidates<'t> {
        Candidates { text, words: self.0.terms(text) }
    }
}

/// Where a text points at another document, as Markdown and wikis write it: `[text](folder/name.md#part)`, `[[name|text]]`.
fn links(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let forms = [("[[", "]]"), ("](", ")")];
    forms.into_iter().flat_map(move |(open, close)| {
        text.match_indices(open).filter_map(move |(at, _)| {
            let from = at + open.len();
            let reach = text.floor_char_boundary(from + LONGEST_TARGET);
            let to = from + text[from..reach].find(close)?;
            let target = text[from..to].split(['|', '#']).next().unwrap_or_default();
            let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.contains('\n');
            (!elsewhere).then_some((at..to + close.len(), target))
        })
    })
}

/// A target without its percent-encoding (RFC 3986 §2.1); what is not encoded well stays.
fn decoded(target: &str) -> String {
    let bytes = target.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = target.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| target.to_owned())
}

/// The words of a text, to be looked through for names.
pub(crate) struct Candidates<'t> {
    text: &'t str,
    words: Vec<Term>,
}

impl Candidates<'_> {
    /// The names for which `known` has something, and where they stand; none inside of another.
    pub fn find<T, E>(&self, mut known: impl FnMut(&str) -> Result<Option<T>, E>) -> Result<Vec<(Range<usize>, T)>, E> {
        let mut found = Vec::new();
        let mut at = 0;
        'places: while at < self.words.len() {
            if begins_a_name(&self.text[self.words[at].range.clone()]) {
                for length in (1..=LONGEST.min(self.words.len() - at)).rev() {
                    let words = &self.words[at..at + length];
                    let Some(name) = named(words) else { continue };
                    if let Some(known) = known(&name)? {
                        found.push((words[0].range.start..words[length - 1].range.end, known));
                        at += length;
                        continue 'places;
                    }
                }
            }
            at += 1;
        }
        Ok(found)
    }
}

/// The words as a name; `None` when they are too few or too common to be one.
fn named(words: &[Term]) -> Option<String> {
    let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    let telling = words.iter().any(|word| !word.common) && text.chars().any(char::is_alphabetic);
    // A word of another script says with two characters what takes more of these.
    (telling && text.len() > 2 && words.len() <= LONGEST).then_some(text)
}

fn begins_a_name(word: &str) -> bool {
    word.chars().next().is_some_and(|first| !first.is_lowercase())
}

/// What a passage is about, as far as it or its document says so in a title.
pub(super) fn title<'p>(document: &'p str, text: &'p str, context: Option<&'p str>) -> &'p str {
    context.or(titled(text).0).unwrap_or(document)
}

/// A first line that is a title, and what follows it.
fn titled(text: &str) -> (Option<&str>, &str) {
    let text = text.trim_start();
    let Some((line, rest)) = text.split_once('\n') else { return (None, text) };
    let heading = line.trim_start_matches('#').trim();
    let ends_like_a_title = !heading.ends_with(['.', '!', '?', ':', ';', ',']);
    if heading.is_empty() || heading.len() > LONGEST_TITLE || !ends_like_a_title || rest.trim().is_empty() {
        return (None, text);
    }
    (Some(heading), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(document: &str, first: &str) -> Vec<(String, NameKind)> {
        Namer::new().names(document, first).into_iter().map(|name| (name.text, name.kind)).collect()
    }

    #[test]
    fn a_document_is_called_by_its_file_its_title_and_its_first_words() {
        assert_eq!(
            names("notes/p17.txt", "Mercury (planet)\nThe Swift Planet, as poets say, is small."),
            [
                ("mercury".into(), NameKind::Title),
                ("p17".into(), NameKind::Title),
                ("swift planet".into(), NameKind::Lead),
            ]
        );
        assert_eq!(names("Zürich.md", "# Zürich\n\nZürich lies by a lake."), [("zurich".into(), NameKind::Title)]);
        assert_eq!(
            names("x11.txt", "University of Bern was founded in 1834."),
            [("university of bern".into(), NameKind::Lead), ("x11".into(), NameKind::Title)]
        );
    }

    #[test]
    fn links_of_markdown_and_wikis_point_at_documents_by_their_names() {
        let text = "As [described](manuals/Valve%20Service.md#steps) and in [[cold start|the notes]], not at \
            [the maker's](https://example.org/pump.md), [above](#top), [[Version 2.0 notes]] of [Zürich](Z%C3%BCrich.md) or [[unclosed.";
        let found = Namer::new().targets(text);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(range, name)| (&text[range.clone()], name.as_str())).collect();
        assert_eq!(
            found,
            [
                ("[[cold start|the notes]]", "cold start"),
                ("[[Version 2.0 notes]]", "version 2 0 notes"),
                ("](manuals/Valve%20Service.md#steps)", "valve service"),
                ("](Z%C3%BCrich.md)", "zurich"),
            ]
        );
    }

    #[test]
    fn what_is_common_or_has_no_letter_is_no_name() {
        assert_eq!(names("12.txt", "It was late.\nThen we left."), []);
        assert_eq!(names("the.md", "An old man went to sea."), []);
    }

    #[test]
    fn the_longest_known_name_at_each_place_is_found() {
        let text = "The New York Times reported from York, not from new york.";
        let known = ["new york times", "new york", "york"];
        let found =
            Namer::new().candidates(text).find(|name| Ok::<_, ()>(known.contains(&name).then_some(()))).unwrap();
        let found: Vec<&str> = found.into_iter().map(|(range, ())| &text[range]).collect();
        assert_eq!(found, ["New York Times", "York"]);
    }
}
