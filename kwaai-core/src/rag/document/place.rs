//! Where a span of a document stands, in the words of a citation.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::rag::document::{Limits, Section, SectionKind};

/// A longer name of a place is cut, so that a hostile title cannot be repeated in every passage below it.
const NAME: usize = 200;
/// Headings below this level are taken for this level.
const LEVELS: usize = 9;
/// Lines are counted once for every stretch of so many bytes, so that one far down is not counted from the top each time.
const STRETCH: usize = 512;

/// A table of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// What it is called, for example `table 3`; empty where the document is one table.
    pub label: String,
    pub range: Range<usize>,
    pub rows: Vec<Row>,
}

/// A row of a table: where it starts and ends, and its number from 1, the header counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row(pub usize, pub usize, pub u32);

/// A value of structured data: where it starts and ends, and how many bytes at its start are its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key(pub usize, pub usize, pub u32);

/// A link: where its text starts and ends, and the file that it points at, as it is written there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link(pub usize, pub usize, pub String);

/// The places that a stretch of a document touches. Offsets count bytes of the document's text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Places {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// What a page points at; where the text itself says it, as in Markdown, it is not listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// The path of the first value, where it begins before the stretch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The number of the line that the stretch starts in, from 1, where lines of the text are lines of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// How many lines end before each further [`STRETCH`] of the text; only for all of a document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<usize>,
}

impl Places {
    /// The lines of a document, where they are those of its file.
    pub fn lines(text: &str) -> Places {
        let sum = |before: &mut usize, stretch: &[u8]| {
            *before += ends(stretch);
            Some(*before)
        };
        let ends = text.as_bytes().chunks(STRETCH).scan(0, sum).collect();
        Places { line: Some(1), ends, ..Places::default() }
    }

    /// Those of them that a span touches. `text` begins at the byte `start` of the document and holds the span.
    pub fn within(&self, span: &Range<usize>, text: &str, start: usize) -> Places {
        let tables = touched(&self.tables, span, |table| table.range.clone()).iter().map(|table| Table {
            label: table.label.clone(),
            range: table.range.clone(),
            rows: touched(&table.rows, span, |row| row.0..row.1).to_vec(),
        });
        let keys = touched(&self.keys, span, |key| key.0..key.1);
        let path = keys.first().filter(|key| key.0 < span.start).and_then(|key| match key.0.checked_sub(start) {
            Some(at) => text.get(at..at + key.2 as usize).map(short),
            None => self.path.clone(),
        });
        let lines_before = || {
            let known = self.ends.len().min(span.start / STRETCH);
            let from = (known * STRETCH).saturating_sub(start);
            let rest = text.as_bytes().get(from..span.start.saturating_sub(start)).unwrap_or_default();
            known.checked_sub(1).map_or(0, |last| self.ends[last]) + ends(rest)
        };
        Places {
            sections: touched(&self.sections, span, |section| section.range.clone()).to_vec(),
            tables: tables.collect(),
            keys: keys.to_vec(),
            links: touched(&self.links, span, |link| link.0..link.1).to_vec(),
            path,
            line: self.line.map(|line| line + lines_before()),
            ends: Vec::new(),
        }
    }

    /// Adds the places of a later stretch, which may overlap with what is here.
    pub fn join(&mut self, more: Places) {
        let known = self.sections.last().map_or(0, |section| section.range.end);
        self.sections.extend(more.sections.into_iter().filter(|section| section.range.end > known));
        for table in more.tables {
            match self.tables.last_mut().filter(|last| last.range == table.range) {
                Some(last) => {
                    let known = last.rows.last().map_or(0, |row| row.1);
                    last.rows.extend(table.rows.into_iter().filter(|row| row.1 > known));
                }
                None => self.tables.push(table),
            }
        }
        let known = self.keys.last().map_or(0, |key| key.1);
        self.keys.extend(more.keys.into_iter().filter(|key| key.1 > known));
        let known = self.links.last().map_or(0, |link| link.1);
        self.links.extend(more.links.into_iter().filter(|link| link.1 > known));
    }

    /// Whether it is known under which headings the stretch stands.
    pub fn has_headings(&self) -> bool {
        self.sections.iter().any(|section| section.kind != SectionKind::Page)
    }

    /// The heading that most of a span stands under.
    pub fn heading(&self, span: &Range<usize>) -> Option<&Section> {
        mostly(&self.sections, span).filter(|section| section.kind != SectionKind::Page)
    }

    /// Names the place of a span: `page 12`, `Installation > Linux, table 3`, `row 7`, `lines 10-24`. `text` begins at
    /// the byte `start` of the document and holds the span.
    pub fn locator(&self, span: &Range<usize>, text: &str, start: usize) -> Option<String> {
        self.within(span, text, start).name(span, text, start)
    }

    /// As [`locator`](Places::locator), of the places that the span touches and no others.
    pub fn name(&self, span: &Range<usize>, text: &str, start: usize) -> Option<String> {
        let mut parts = Vec::new();
        parts.extend(pages(&self.sections));
        if let Some(heading) = self.heading(span) {
            parts.push(heading.path.join(" > "));
        }
        if let (Some(first), Some(last)) = (self.tables.first(), self.tables.last()) {
            // A span over several tables, or over more than a table, has no row of its own.
            let inside = self.tables.len() == 1 && first.range.start <= span.start && span.end <= first.range.end;
            match self.tables.len() {
                1 => parts.push(first.label.clone()),
                _ => parts.push(from_to(&first.label, &last.label)),
            }
            if let (true, Some(from), Some(to)) = (inside, first.rows.first(), first.rows.last()) {
                parts.push(numbers("row", from.2 as usize, to.2 as usize));
            }
        }
        let path = |key: &Key| match key.0.checked_sub(start).filter(|_| key.0 >= span.start) {
            Some(at) => text.get(at..at + key.2 as usize),
            None => self.path.as_deref(),
        };
        if let (Some(first), Some(last)) = (self.keys.first(), self.keys.last())
            && let (Some(first), Some(last)) = (path(first), path(last))
        {
            parts.push(from_to(first, last));
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty()
            && let Some(line) = self.line
        {
            let at = span.start.saturating_sub(start);
            let covered = text.get(at..span.end.saturating_sub(start)).unwrap_or_default();
            parts.push(numbers("line", line, line + covered.trim_end().matches('\n').count()));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Those of a list in order that a span touches; an empty span touches what it stands in.
pub(super) fn touched<'a, T>(list: &'a [T], span: &Range<usize>, range: impl Fn(&T) -> Range<usize>) -> &'a [T] {
    let first = list.partition_point(|item| range(item).end <= span.start);
    let count = list[first..].partition_point(|item| range(item).start < span.end.max(span.start + 1));
    &list[first..first + count]
}

/// The section that covers most of a span; the earlier one of two that cover as much.
pub(super) fn mostly<'a>(sections: &'a [Section], span: &Range<usize>) -> Option<&'a Section> {
    let share = |section: &Section| section.range.end.min(span.end).saturating_sub(section.range.start.max(span.start));
    touched(sections, span, |section| section.range.clone()).iter().rev().max_by_key(|section| share(section))
}

/// `page 3`, or `pages 3-4`.
pub(super) fn pages(sections: &[Section]) -> Option<String> {
    let number = |section: &Section| section.label.strip_prefix("page ").and_then(|number| number.parse().ok());
    let mut pages = sections.iter().filter(|section| section.kind == SectionKind::Page);
    let first = pages.next()?;
    let last = pages.next_back().unwrap_or(first);
    Some(numbers("page", number(first)?, number(last)?))
}

fn numbers(what: &str, from: usize, to: usize) -> String {
    if from == to { format!("{what} {from}") } else { format!("{what}s {from}-{to}") }
}

fn from_to(from: &str, to: &str) -> String {
    if from == to { short(from) } else { format!("{} to {}", short(from), short(to)) }
}

/// A name that fits in a line.
pub(super) fn short(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// A heading: where it starts, its level from 1, its text.
pub(super) type Heading = (usize, usize, String);

/// The sections that headings make: each reaches to the next heading of any level, and knows those above it.
///
/// # Errors
/// `resource_exhausted` when the names above all of them, which each repeats, are too many or too long together.
pub(super) fn outline(headings: Vec<Heading>, end: usize, limits: &Limits) -> Result<Vec<Section>> {
    limits.check_places(headings.len())?;
    let starts: Vec<usize> = headings.iter().skip(1).map(|(start, ..)| *start).chain([end]).collect();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut sections = Vec::with_capacity(headings.len());
    let (mut names, mut bytes) = (0, 0);
    for ((start, level, label), end) in headings.into_iter().zip(starts) {
        let level = level.clamp(1, LEVELS);
        above.retain(|(outer, _)| *outer < level);
        let label = short(&label);
        if label.is_empty() {
            continue;
        }
        above.push((level, label.clone()));
        let path: Vec<String> = above.iter().map(|(_, label)| label.clone()).collect();
        names += path.len();
        bytes += path.iter().map(String::len).sum::<usize>();
        limits.check_places(names)?;
        limits.check_text(bytes)?;
        sections.push(Section { kind: SectionKind::Heading, label, path, range: start..end });
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_know_those_above_them() {
        let headings = [(0, 1, "Guide"), (10, 2, "Install"), (20, 3, "Linux"), (30, 2, "Use"), (40, 1, "End")];
        let sections =
            outline(headings.map(|(at, level, label)| (at, level, label.to_owned())).to_vec(), 50, &Limits::default());
        let sections = sections.unwrap();
        let paths: Vec<String> = sections.iter().map(|section| section.path.join(" > ")).collect();
        assert_eq!(paths, ["Guide", "Guide > Install", "Guide > Install > Linux", "Guide > Use", "End"]);
        assert_eq!(sections[4].range, 40..50);
    }

    #[test]
    fn a_locator_names_lines_rows_and_the_path_of_most_of_a_span() {
        let text = "one\ntwo\nthree\nfour\n";
        let lines = Places::lines(text);
        assert_eq!(lines.locator(&(4..13), text, 0).as_deref(), Some("lines 2-3"));
        let cut = lines.within(&(4..18), text, 0);
        assert_eq!(cut.locator(&(8..13), &text[4..18], 4).as_deref(), Some("line 3"));
        let long = "a line\n".repeat(5000) + "日本語\nend";
        let lines = Places::lines(&long);
        for (at, line) in [(0, 1), (STRETCH - 1, 74), (STRETCH, 74), (4096, 586), (long.len() - 1, 5002)] {
            assert_eq!(lines.locator(&(at..at + 1), &long, 0), Some(format!("line {line}")), "at {at}");
        }
        let table =
            Table { label: "table 2".into(), range: 0..19, rows: vec![Row(0, 3, 1), Row(4, 7, 2), Row(8, 13, 3)] };
        let mut places = Places { tables: vec![table], ..Places::default() };
        assert_eq!(places.locator(&(4..13), text, 0).as_deref(), Some("table 2, rows 2-3"));
        places.sections = outline(vec![(0, 1, "A".into()), (4, 2, "B".into())], 19, &Limits::default()).unwrap();
        assert_eq!(places.locator(&(4..7), text, 0).as_deref(), Some("A > B, table 2, row 2"));
    }
}
