//! Chunks: a document cut into passages that can be found and quoted.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use text_splitter::{ChunkConfig, TextSplitter};
use unicode_segmentation::GraphemeCursor;

use crate::rag::document::{Document, SectionKind};
use crate::{Error, Result};

mod sentence;

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
}

/// How a document is cut. Sizes count characters (Unicode scalar values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chunking {
    /// Where passages may end.
    pub strategy: Strategy,
    /// A chunk has at most this many characters (and up to `min` more where a short rest is joined to it).
    pub size: usize,
    /// About this many characters of a chunk are repeated at the start of the next.
    pub overlap: usize,
    /// A rest shorter than this is joined to the chunk before it.
    pub min: usize,
}

impl Default for Chunking {
    fn default() -> Chunking {
        Chunking { strategy: Strategy::Sentence, size: 800, overlap: 200, min: 100 }
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
}

impl Chunk {
    /// The text of this chunk, borrowed from the document it was cut from.
    pub fn text<'d>(&self, document: &'d Document) -> Result<&'d str> {
        document.text.get(self.range.clone()).ok_or_else(|| {
            Error::invalid_argument(format!("chunk {} does not belong to the document {}", self.index, document.name))
        })
    }
}

impl Chunking {
    /// Refuses sizes that cannot be kept.
    ///
    /// # Errors
    /// `invalid_argument` for a size of zero, an overlap that is not smaller than the size, or a minimum above the size.
    pub fn check(&self) -> Result<()> {
        let problem = if self.size == 0 {
            "the chunk size is 0; it counts characters and is at least 1".to_owned()
        } else if self.overlap >= self.size {
            format!("the chunk overlap of {} is not smaller than the chunk size of {}", self.overlap, self.size)
        } else if self.min > self.size {
            format!("the shortest chunk of {} characters is longer than the chunk size of {}", self.min, self.size)
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
/// reach over the end of a page. No chunk begins or ends inside a character as people see it, nor inside a word that fits in a chunk.
///
/// # Errors
/// As [`Chunking::check`].
pub fn split(document: &Document, chunking: &Chunking) -> Result<Vec<Chunk>> {
    chunking.check()?;
    let mut ranges = Vec::new();
    for part in parts(document, chunking) {
        let mut found = match chunking.strategy {
            Strategy::Sentence => pack(&document.text, units(&document.text, &part, sentences, chunking), chunking),
            Strategy::Fixed => pack(&document.text, units(&document.text, &part, words, chunking), chunking),
            Strategy::Paragraph => pieces(&document.text, &part, chunking.size, chunking.overlap),
        };
        join_short_rest(&document.text, &mut found, chunking);
        ranges.append(&mut found);
    }
    let chunk = |(index, range): (usize, Range<usize>)| Chunk { index, section: document.label(&range), range };
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
        if text.chars().count() >= chunking.min.max(1) || end == document.text.len() {
            parts.push(start..end);
            start = end;
        }
    }
    parts
}

/// The units of a part, none of them longer than a chunk.
fn units(
    text: &str,
    part: &Range<usize>,
    find: fn(&str) -> Vec<Range<usize>>,
    chunking: &Chunking,
) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    for unit in find(&text[part.clone()]) {
        let unit = part.start + unit.start..part.start + unit.end;
        if text[unit.clone()].chars().count() <= chunking.size {
            units.push(unit);
        } else {
            units.extend(pieces(text, &unit, chunking.size, 0));
        }
    }
    units
}

fn words(text: &str) -> Vec<Range<usize>> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace().map(|word| start(word)..start(word) + word.len()).collect()
}

/// Cuts at the largest boundaries that fit: empty lines, lines, sentences, words, characters as people see them.
fn pieces(text: &str, range: &Range<usize>, size: usize, overlap: usize) -> Vec<Range<usize>> {
    let config = match ChunkConfig::new(size).with_overlap(overlap) {
        Ok(config) => config,
        // Checked before: an overlap is smaller than the size.
        Err(_) => ChunkConfig::new(size),
    };
    let splitter = TextSplitter::new(config);
    let mut found = Vec::new();
    // The splitter takes time with the square of the length, so a long run of text comes to it in windows.
    for window in windows(text, range, size) {
        let piece = |(at, piece): (usize, &str)| window.start + at..window.start + at + piece.len();
        found.extend(splitter.chunk_indices(&text[window.clone()]).map(piece));
    }
    found
}

/// The range in windows of some chunks each, cut at white space where there is any, else between characters as people see
/// them.
fn windows(text: &str, range: &Range<usize>, size: usize) -> Vec<Range<usize>> {
    let length = size.saturating_mul(16).max(4096);
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
    // Where each unit starts and ends in characters.
    let mut places = Vec::with_capacity(units.len());
    let (mut byte, mut characters) = (0, 0);
    let mut characters_at = |at: usize| {
        characters += text[byte..at].chars().count();
        byte = at;
        characters
    };
    for unit in &units {
        places.push((characters_at(unit.start), characters_at(unit.end)));
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
        let new = text[before.end..last.end.max(before.end)].chars().count();
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
    use super::{Chunking, Document, Strategy, split};
    use crate::rag::document::{Limits, read};

    fn document(text: &str) -> Document {
        read("notes.md", text.as_bytes(), &Limits::default()).unwrap()
    }

    fn texts(text: &str, chunking: Chunking) -> Vec<String> {
        let document = document(text);
        split(&document, &chunking).unwrap().iter().map(|chunk| chunk.text(&document).unwrap().to_owned()).collect()
    }

    fn chunking(strategy: Strategy, size: usize, overlap: usize, min: usize) -> Chunking {
        Chunking { strategy, size, overlap, min }
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
            size in 20usize..120, overlap in 0usize..19, min in 0usize..20, strategy in 0usize..3,
        ) {
            let text = words.join(" ");
            prop_assume!(!text.trim().is_empty());
            let document = document(&text);
            let strategy = [Strategy::Sentence, Strategy::Paragraph, Strategy::Fixed][strategy];
            let chunks = split(&document, &chunking(strategy, size, overlap, min)).unwrap();
            let graphemes: std::collections::BTreeSet<usize> =
                document.text.grapheme_indices(true).map(|(at, _)| at).chain([document.text.len()]).collect();
            let mut covered = 0;
            for (index, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(chunk.index, index);
                let text = chunk.text(&document).unwrap();
                prop_assert!(!text.trim().is_empty());
                prop_assert!(text.chars().count() <= size + min);
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
