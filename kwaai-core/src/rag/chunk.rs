//! Chunks: a document cut into passages that can be found and quoted.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use text_splitter::{ChunkConfig, ChunkSizer, TextSplitter};
use unicode_segmentation::GraphemeCursor;

use crate::rag::document::{Document, Format, SectionKind};
use crate::{Error, Result};

mod sentence;

/// So many letters of a word count as a token.
const LETTERS: usize = 6;

pub(in crate::rag) use sentence::running;
pub use sentence::sentences;

/// Where passages may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// Whole sentences, as many as fit.
    #[default]
    Sentence,
    /// Whole paragraphs where they fit, else lines, else sentences.
    Paragraph,
    /// Windows of one size that end between words.
    Fixed,
    /// What stands under a heading as a whole where it fits, else whole paragraphs of it.
    Heading,
}

/// What sizes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// Unicode scalar values.
    #[default]
    Characters,
    /// About what language models count, whichever is used: one for every six letters of a word begun, for a mark, and for a
    /// Chinese, Japanese or Korean character.
    Tokens,
}

/// What is put before the text of a chunk where it is embedded and searched, and nowhere else: quotes and spans are of the text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Prefix {
    /// Nothing.
    None,
    /// The headings that the chunk stands under, as far as it does not contain them.
    #[default]
    Headings,
    /// The document's title, or its name without the extension, and the headings.
    Title,
}

/// How a document is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chunking {
    /// Where passages may end.
    pub strategy: Strategy,
    /// A chunk has at most this many units (and up to `min` more where a short rest is joined to it).
    pub size: usize,
    /// About this many units of a chunk are repeated at the start of the next.
    pub overlap: usize,
    /// A rest shorter than this is joined to the chunk before it.
    pub min: usize,
    /// What the sizes count.
    #[serde(skip_serializing_if = "is_usual")]
    pub unit: Unit,
    /// What is put before the text that is embedded and searched.
    #[serde(skip_serializing_if = "is_usual")]
    pub prefix: Prefix,
}

/// How a document was cut is stored; what was cut before a setting existed was cut in its usual way.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for Chunking {
    fn default() -> Chunking {
        Chunking {
            strategy: Strategy::Sentence,
            size: 800,
            overlap: 200,
            min: 100,
            unit: Unit::Characters,
            prefix: Prefix::Headings,
        }
    }
}

/// A passage of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its place among the document's chunks, from 0.
    pub index: usize,
    /// The bytes of [`Document::text`] it covers; slicing them gives its text.
    pub range: Range<usize>,
    /// Where it stands, for people: `page 3`, or a heading.
    pub section: Option<String>,
    /// Where it stands as exactly as the format allows: `Installation > Linux`, `rows 7-9` ([`Document::locator`]).
    pub locator: Option<String>,
}

impl Chunk {
    /// The text of this chunk, borrowed from the document it was cut from.
    pub fn text<'d>(&self, document: &'d Document) -> Result<&'d str> {
        document.text.get(self.range.clone()).ok_or_else(|| {
            Error::invalid_argument(format!("chunk {} does not belong to the document {}", self.index, document.name))
        })
    }
}

impl Unit {
    pub(super) fn count(self, text: &str) -> usize {
        match self {
            Unit::Characters => text.chars().count(),
            Unit::Tokens => tokens(text),
        }
    }
}

impl ChunkSizer for Unit {
    fn size(&self, chunk: &str) -> usize {
        self.count(chunk)
    }
}

/// As [`Unit::Tokens`] says. A text never has more than its parts together.
fn tokens(text: &str) -> usize {
    let (mut count, mut letters) = (0, 0usize);
    for c in text.chars() {
        if is_wide(c) {
            (count, letters) = (count + 1, 0);
        } else if c.is_alphanumeric() {
            count += usize::from(letters.is_multiple_of(LETTERS));
            letters += 1;
        } else {
            (count, letters) = (count + usize::from(!c.is_whitespace()), 0);
        }
    }
    count
}

fn is_wide(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

impl Chunking {
    /// KwaaiNet's: windows of 800 characters that end between words and overlap by 200; a rest under 100 is joined.
    pub fn kwaainet() -> Chunking {
        Chunking { strategy: Strategy::Fixed, ..Chunking::default() }
    }

    /// Refuses sizes that cannot be kept.
    ///
    /// # Errors
    /// `invalid_argument` for a size of zero, an overlap that is not smaller than the size, or a minimum above the size.
    pub fn check(&self) -> Result<()> {
        let problem = if self.size == 0 {
            "the chunk size is 0; it is at least 1".to_owned()
        } else if self.overlap >= self.size {
            format!("the chunk overlap of {} is not smaller than the chunk size of {}", self.overlap, self.size)
        } else if self.min > self.size {
            format!("the shortest chunk of {} is longer than the chunk size of {}", self.min, self.size)
        } else {
            return Ok(());
        };
        let remedy = "choose overlap < size and min <= size, for example 800, 200 and 100";
        Err(Error::invalid_argument(problem).with_remedy(remedy))
    }
}

/// Cuts a document into chunks, in the order of the text. Together they cover all of it but white space.
///
/// Chunks do not reach over a heading, except that a section shorter than [`Chunking::min`] goes with the next one; they may
/// reach over the end of a page. Rows of a file of rows and values of structured data stay whole where they fit, and so do the
/// blocks and else the lines of a program, unless the strategy is [`Strategy::Fixed`]. No chunk begins or ends inside a character as people see it, nor inside a word that fits in a chunk.
///
/// # Errors
/// As [`Chunking::check`].
pub fn split(document: &Document, chunking: &Chunking) -> Result<Vec<Chunk>> {
    chunking.check()?;
    let mut ranges = Vec::new();
    for part in parts(document, chunking) {
        let finders: &[Finder] = match (chunking.strategy, document.format) {
            (Strategy::Fixed, _) => &[words],
            (_, Format::Code) => &[code, lines],
            (_, Format::Csv | Format::Json | Format::Yaml | Format::Toml) | (Strategy::Heading, _) => {
                &[paragraphs, sentences]
            }
            (Strategy::Sentence, _) => &[sentences],
            (Strategy::Paragraph, _) => &[],
        };
        let fits = |part: &Range<usize>| chunking.unit.count(document.text[part.clone()].trim()) <= chunking.size;
        let whole =
            trimmed(&document.text, &part).filter(|whole| chunking.strategy == Strategy::Heading && fits(whole));
        let mut found = match (whole, finders) {
            (Some(whole), _) => vec![whole],
            (None, []) => pieces(&document.text, &part, chunking, chunking.overlap),
            (None, finders) => pack(&document.text, units(&document.text, &part, finders, chunking), chunking),
        };
        join_short_rest(&document.text, &mut found, chunking);
        ranges.append(&mut found);
    }
    let chunk = |(index, range): (usize, Range<usize>)| Chunk {
        index,
        section: document.label(&range),
        locator: document.locator(&range),
        range,
    };
    Ok(ranges.into_iter().enumerate().map(chunk).collect())
}

/// The stretches that chunks do not reach over.
fn parts(document: &Document, chunking: &Chunking) -> Vec<Range<usize>> {
    let headings = document.sections.iter().filter(|section| section.kind == SectionKind::Heading);
    let ends = headings.map(|section| section.range.start).chain([document.text.len()]);
    let mut parts = Vec::new();
    let mut start = 0;
    for end in ends {
        let text = document.text[start..end].trim();
        if chunking.unit.count(text) >= chunking.min.max(1) || end == document.text.len() {
            parts.push(start..end);
            start = end;
        }
    }
    parts
}

/// Finds what is to stay whole in a text.
type Finder = fn(&str) -> Vec<Range<usize>>;

/// The units of a part, none of them longer than a chunk: those of the first finder, and inside one that is too long those of the
/// next.
fn units(text: &str, part: &Range<usize>, finders: &[Finder], chunking: &Chunking) -> Vec<Range<usize>> {
    let Some((find, finer)) = finders.split_first() else { return pieces(text, part, chunking, 0) };
    let mut found = Vec::new();
    for unit in find(&text[part.clone()]) {
        let unit = part.start + unit.start..part.start + unit.end;
        if chunking.unit.count(&text[unit.clone()]) <= chunking.size {
            found.push(unit);
        } else {
            found.extend(units(text, &unit, finer, chunking));
        }
    }
    found
}

/// A range without the white space around it; `None` when it is nothing else.
fn trimmed(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let inside = &text[range.clone()];
    let start = range.start + inside.len() - inside.trim_start().len();
    let end = start + inside.trim().len();
    (start < end).then_some(start..end)
}

/// What stands between empty lines.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    groups(text, |_, _| false)
}

/// The blocks of a program: they end at an empty line, and before a line that begins a definition.
fn code(text: &str) -> Vec<Range<usize>> {
    groups(text, |above, line| defines(line) && !is_lead(above))
}

/// The lines of a text that are not empty, with their indentation.
fn lines(text: &str) -> Vec<Range<usize>> {
    groups(text, |_, _| true)
}

/// Lines that belong together: an empty line ends a group, and so does whatever `begins` says of a line and the one above it.
fn groups(text: &str, begins: fn(&str, &str) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut above: Option<&str> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.trim_end().len();
        at += line.len();
        if range.is_empty() {
            above = None;
            continue;
        }
        match (found.last_mut(), above) {
            (Some(group), Some(above)) if !begins(above, line) => group.end = range.end,
            _ => found.push(range),
        }
        above = Some(line);
    }
    found
}

/// Whether a line of a program begins a definition at the outermost level.
fn defines(line: &str) -> bool {
    const WORDS: &[&str] = &[
        "abstract",
        "async",
        "class",
        "const",
        "create",
        "data",
        "def",
        "defmodule",
        "enum",
        "export",
        "extern",
        "fn",
        "func",
        "function",
        "impl",
        "interface",
        "internal",
        "macro_rules!",
        "mod",
        "module",
        "namespace",
        "object",
        "package",
        "private",
        "procedure",
        "protected",
        "pub",
        "public",
        "record",
        "sealed",
        "static",
        "struct",
        "sub",
        "template",
        "trait",
        "type",
        "typedef",
        "union",
        "unsafe",
    ];
    let word = line.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    is_lead(line) || WORDS.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether a line stands before a definition that it belongs to: a comment, or an attribute.
fn is_lead(line: &str) -> bool {
    ["//", "/*", "#[", "@", "\"\"\"", "--"].iter().any(|mark| line.starts_with(mark)) || line.starts_with("# ")
}

fn words(text: &str) -> Vec<Range<usize>> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace().map(|word| start(word)..start(word) + word.len()).collect()
}

/// Cuts at the largest boundaries that fit: empty lines, lines, sentences, words, characters as people see them.
fn pieces(text: &str, range: &Range<usize>, chunking: &Chunking, overlap: usize) -> Vec<Range<usize>> {
    let config = ChunkConfig::new(chunking.size).with_sizer(chunking.unit);
    let config = match config.with_overlap(overlap) {
        Ok(config) => config,
        // Checked before: an overlap is smaller than the size.
        Err(_) => ChunkConfig::new(chunking.size).with_sizer(chunking.unit),
    };
    let splitter = TextSplitter::new(config);
    let mut found = Vec::new();
    // The splitter takes time with the square of the length, so a long run of text comes to it in windows.
    for window in windows(text, range, chunking) {
        let piece = |(at, piece): (usize, &str)| window.start + at..window.start + at + piece.len();
        found.extend(splitter.chunk_indices(&text[window.clone()]).map(piece));
    }
    found
}

/// The range in windows of some chunks each, cut at white space where there is any, else between characters as people see
/// them.
fn windows(text: &str, range: &Range<usize>, chunking: &Chunking) -> Vec<Range<usize>> {
    let unit = if chunking.unit == Unit::Tokens { LETTERS } else { 1 };
    let length = chunking.size.saturating_mul(16 * unit).max(4096);
    let mut windows = Vec::new();
    let mut start = range.start;
    while range.end - start > length {
        let end = text.floor_char_boundary(start + length);
        let half = text.floor_char_boundary(start + length / 2);
        let cut = match text[half..end].rfind(char::is_whitespace) {
            Some(at) => half + at,
            None => match GraphemeCursor::new(end, text.len(), true).prev_boundary(text, 0) {
                Ok(Some(cut)) if cut > start => cut,
                _ => end,
            },
        };
        windows.push(start..cut);
        start = cut;
    }
    windows.push(start..range.end);
    windows
}

/// Puts as many units into each chunk as fit, and repeats the last ones at the start of the next.
fn pack(text: &str, units: Vec<Range<usize>>, chunking: &Chunking) -> Vec<Range<usize>> {
    // Where each unit starts and ends, as sizes count.
    let mut places = Vec::with_capacity(units.len());
    let (mut byte, mut count) = (0, 0);
    let mut count_to = |at: usize| {
        count += chunking.unit.count(&text[byte..at]);
        byte = at;
        count
    };
    for unit in &units {
        places.push((count_to(unit.start), count_to(unit.end)));
    }
    let mut chunks = Vec::new();
    let mut first = 0;
    while first < units.len() {
        let fits = |unit: &usize| places[*unit].1 - places[first].0 <= chunking.size;
        let last = (first + 1..units.len()).take_while(fits).last().unwrap_or(first);
        chunks.push(units[first].start..units[last].end);
        let next = last + 1;
        if next == units.len() {
            break;
        }
        // The repeated units must leave room for the next new one.
        let repeats = |unit: &usize| {
            places[last].1 - places[*unit].0 <= chunking.overlap && places[next].1 - places[*unit].0 <= chunking.size
        };
        first = (first + 1..next).rev().take_while(repeats).last().unwrap_or(next);
    }
    chunks
}

/// A last chunk that adds hardly anything goes with the one before it.
fn join_short_rest(text: &str, chunks: &mut Vec<Range<usize>>, chunking: &Chunking) {
    if let [.., before, last] = chunks.as_mut_slice() {
        // With the white space between them, so that the sum stays within `size` and `min`.
        let new = chunking.unit.count(&text[before.end..last.end.max(before.end)]);
        if new < chunking.min {
            before.end = before.end.max(last.end);
            chunks.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation;

    // Named, since proptest has a `Strategy` too.
    use super::{Chunking, Document, Prefix, Strategy, Unit, split};
    use crate::rag::document::{Limits, read};

    fn document(text: &str) -> Document {
        read("notes.md", text.as_bytes(), &Limits::default()).unwrap()
    }

    fn texts(text: &str, chunking: Chunking) -> Vec<String> {
        let document = document(text);
        split(&document, &chunking).unwrap().iter().map(|chunk| chunk.text(&document).unwrap().to_owned()).collect()
    }

    fn chunking(strategy: Strategy, size: usize, overlap: usize, min: usize) -> Chunking {
        Chunking { strategy, size, overlap, min, ..Chunking::default() }
    }

    #[test]
    fn tokens_are_counted_about_as_models_count_them() {
        for (text, count) in [("", 0), ("a cat sat", 3), ("identity, please!", 5), ("日本語", 3), ("don't", 3)] {
            assert_eq!(Unit::Tokens.count(text), count, "{text}");
        }
        let text = "One word after another stands here. ".repeat(40);
        let chunking = Chunking { unit: Unit::Tokens, ..chunking(Strategy::Sentence, 50, 10, 5) };
        let found = texts(&text, chunking);
        assert!(found.iter().all(|chunk| Unit::Tokens.count(chunk) <= 50), "{found:?}");
        assert!(found[0].chars().count() > 200);
    }

    #[test]
    fn a_section_that_fits_is_one_chunk_and_a_long_one_is_cut_between_paragraphs() {
        let short = "# Ports\n\nThe web port is 8080. The other is 9090.\n\nBoth are open.\n\n";
        let long = format!("# Keys\n\n{}\n\n{}\n", "Keys lie in files. ".repeat(4), "Only you read them. ".repeat(4));
        let found = texts(&format!("{short}{long}"), chunking(Strategy::Heading, 100, 0, 10));
        assert_eq!(found[0], short.trim());
        assert!(found.len() == 3 && found[1].starts_with("# Keys") && found[2].starts_with("Only"), "{found:?}");
    }

    #[test]
    fn programs_are_cut_between_definitions_and_say_their_lines() {
        let body = "    let value = compute(input);\n    store(value)\n}\n";
        let source =
            format!("/// First.\nfn first() {{\n{body}/// Second.\nfn second() {{\n{body}\nfn third() {{\n{body}");
        let document = read("a.rs", source.as_bytes(), &Limits::default()).unwrap();
        let chunks = split(&document, &chunking(Strategy::Sentence, 100, 0, 0)).unwrap();
        let found: Vec<_> = chunks.iter().map(|chunk| chunk.locator.as_deref().unwrap()).collect();
        assert_eq!(found, ["lines 1-5", "lines 6-10", "lines 12-15"]);
        assert!(chunks[1].text(&document).unwrap().starts_with("/// Second.\nfn second"));
    }

    #[test]
    fn what_was_cut_before_a_setting_existed_counts_as_cut_in_its_usual_way() {
        let written = serde_json::to_string(&Chunking::default()).unwrap();
        assert_eq!(written, r#"{"strategy":"sentence","size":800,"overlap":200,"min":100}"#);
        let other = Chunking { unit: Unit::Tokens, prefix: Prefix::Title, ..Chunking::default() };
        assert_eq!(serde_json::from_str::<Chunking>(&serde_json::to_string(&other).unwrap()).unwrap(), other);
    }

    #[test]
    fn a_long_run_without_any_boundary_is_cut_into_all_of_its_text() {
        for text in ["word".repeat(100_000), "word ".repeat(50_000), "語".repeat(50_000)] {
            let found = texts(&text, Chunking { overlap: 0, ..Chunking::default() });
            let usual = Chunking::default();
            // The rest of a text, shorter than `min`, goes with the chunk before it.
            assert!(found.iter().all(|chunk| chunk.chars().count() < usual.size + usual.min));
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
            assert_eq!(found.iter().map(|chunk| letters(chunk)).sum::<usize>(), letters(&text));
        }
    }

    #[test]
    fn sentences_stay_whole_and_the_last_ones_are_repeated() {
        let text = "One is here. Two is here. Three is here. Four is here.";
        let found = texts(text, chunking(Strategy::Sentence, 30, 15, 0));
        assert_eq!(found, ["One is here. Two is here.", "Two is here. Three is here.", "Three is here. Four is here."]);
    }

    #[test]
    fn a_short_rest_goes_with_what_stands_before_it() {
        let found = texts("One is here. Two is here. Three.", chunking(Strategy::Sentence, 26, 0, 10));
        assert_eq!(found, ["One is here. Two is here. Three."]);
    }

    #[test]
    fn chunks_do_not_reach_over_a_heading_and_are_named_after_it() {
        let text = "# Ports\nThe web port is 8080 and the other one is 9090.\n# Keys\nKeys lie in a file that only you can read.\n";
        let document = document(text);
        let chunks = split(&document, &chunking(Strategy::Sentence, 800, 200, 20)).unwrap();
        let found: Vec<_> = chunks.iter().map(|chunk| chunk.section.as_deref()).collect();
        assert_eq!(found, [Some("Ports"), Some("Keys")]);
        assert!(chunks[1].text(&document).unwrap().starts_with("# Keys"));
    }

    #[test]
    fn a_title_alone_goes_with_the_section_below_it_and_takes_its_name() {
        let text = "# Guide\n\n## Ports\nThe web port is 8080 and the other one is 9090, as everybody knows.\n";
        let document = document(text);
        let chunks = split(&document, &chunking(Strategy::Sentence, 800, 200, 50)).unwrap();
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].section.as_deref(), Some("Ports"));
    }

    #[test]
    fn sizes_that_cannot_be_kept_are_refused() {
        for wrong in [(0, 0, 0), (10, 10, 0), (10, 2, 11)] {
            let wrong = chunking(Strategy::Sentence, wrong.0, wrong.1, wrong.2);
            assert_eq!(split(&document("x"), &wrong).unwrap_err().code(), crate::ErrorCode::InvalidArgument);
        }
    }

    proptest! {
        #[test]
        fn chunks_slice_back_cover_the_text_and_cut_nothing_apart(
            words in prop::collection::vec("[a-zäß日🙂]{1,12}[.!?,]?|\n|\n\n|# |- |e\u{301}|👩‍👩‍👧", 1..120),
            size in 20usize..120, overlap in 0usize..19, min in 0usize..20, strategy in 0usize..4, tokens in any::<bool>(), name in "a\\.(md|txt|rs|csv|json|html)",
        ) {
            let text = words.join(" ");
            prop_assume!(!text.trim().is_empty());
            let Ok(document) = read(&name, text.as_bytes(), &Limits::default()) else { return Ok(()) };
            let strategy = [Strategy::Sentence, Strategy::Paragraph, Strategy::Fixed, Strategy::Heading][strategy];
            let unit = if tokens { Unit::Tokens } else { Unit::Characters };
            let chunks = split(&document, &Chunking { unit, ..chunking(strategy, size, overlap, min) }).unwrap();
            let graphemes: std::collections::BTreeSet<usize> =
                document.text.grapheme_indices(true).map(|(at, _)| at).chain([document.text.len()]).collect();
            let mut covered = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(chunk.index, index);
                let text = chunk.text(&document).unwrap();
                prop_assert!(!text.trim().is_empty());
                prop_assert!(unit.count(text) <= size + min);
                prop_assert!(name == "a.html" || chunk.locator.is_some());
                prop_assert!(graphemes.contains(&chunk.range.start) && graphemes.contains(&chunk.range.end));
                if chunk.range.start > covered {
                    prop_assert!(document.text[covered..chunk.range.start].trim().is_empty(), "text between chunks is lost");
                }
                covered = covered.max(chunk.range.end);
            }
            prop_assert!(document.text[covered..].trim().is_empty(), "text at the end is lost");
        }
    }
}
