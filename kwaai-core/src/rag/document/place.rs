//! Where a span of a document stands, in the words of a citation.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::rag::document::{Section, SectionKind};

/// A longer name of a place is cut, so that a hostile title cannot be repeated in every passage below it.
const NAME: usize = 200;
/// Headings below this level are taken for this level.
const LEVELS: usize = 9;

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
    /// The number of the line that the stretch starts in, from 1, where lines of the text are lines of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

impl Places {
    /// Those of them that a span touches. `text` begins at the byte `start` of the document and holds the span.
    pub fn within(&self, span: &Range<usize>, text: &str, start: usize) -> Places {
        let tables = touched(&self.tables, span, |table| table.range.clone()).iter().map(|table| Table {
            label: table.label.clone(),
            range: table.range.clone(),
            rows: touched(&table.rows, span, |row| row.0..row.1).to_vec(),
        });
        let before = || text.get(..span.start.saturating_sub(start)).unwrap_or(text);
        Places {
            sections: touched(&self.sections, span, |section| section.range.clone()).to_vec(),
            tables: tables.collect(),
            keys: touched(&self.keys, span, |key| key.0..key.1).to_vec(),
            line: self.line.map(|line| line + before().matches('\n').count()),
        }
    }

    /// Names the place of a span: `page 12, table 3`, `Installation > Linux`, `row 7`, `lines 10-24`. `text` begins at
    /// the byte `start` of the document and holds the span.
    pub fn locator(&self, span: &Range<usize>, text: &str, start: usize) -> Option<String> {
        let here = self.within(span, text, start);
        let mut parts = Vec::new();
        parts.extend(pages(&here.sections));
        if let Some(heading) = mostly(&here.sections, span).filter(|section| section.kind != SectionKind::Page) {
            parts.push(heading.path.join(" > "));
        }
        if let (Some(first), Some(last)) = (here.tables.first(), here.tables.last()) {
            // A span over several tables, or over more than a table, has no row of its own.
            let inside = here.tables.len() == 1 && first.range.start <= span.start && span.end <= first.range.end;
            match here.tables.len() {
                1 => parts.push(first.label.clone()),
                _ => parts.push(from_to(&first.label, &last.label)),
            }
            if let (true, Some(from), Some(to)) = (inside, first.rows.first(), first.rows.last()) {
                parts.push(numbers("row", from.2 as usize, to.2 as usize));
            }
        }
        let path = |key: &Key| {
            let at = key.0.checked_sub(start)?;
            text.get(at..at + key.2 as usize)
        };
        if let (Some(first), Some(last)) = (here.keys.first(), here.keys.last()) {
            match (path(first), path(last)) {
                (Some(first), Some(last)) => parts.push(from_to(first, last)),
                // The value began before the text that is at hand.
                (None, Some(last)) => parts.push(short(last)),
                (_, None) => {}
            }
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty()
            && let Some(line) = here.line
        {
            let at = span.start.saturating_sub(start);
            let covered = text.get(at..span.end.saturating_sub(start)).unwrap_or_default();
            parts.push(numbers("line", line, line + covered.trim_end().matches('\n').count()));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
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
pub(super) fn outline(headings: Vec<Heading>, end: usize) -> Vec<Section> {
    let starts: Vec<usize> = headings.iter().skip(1).map(|(start, ..)| *start).chain([end]).collect();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut sections = Vec::with_capacity(headings.len());
    for ((start, level, label), end) in headings.into_iter().zip(starts) {
        let level = level.clamp(1, LEVELS);
        above.retain(|(outer, _)| *outer < level);
        let label = short(&label);
        if label.is_empty() {
            continue;
        }
        above.push((level, label.clone()));
        let path = above.iter().map(|(_, label)| label.clone()).collect();
        sections.push(Section { kind: SectionKind::Heading, label, path, range: start..end });
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_know_those_above_them() {
        let headings = [(0, 1, "Guide"), (10, 2, "Install"), (20, 3, "Linux"), (30, 2, "Use"), (40, 1, "End")];
        let sections = outline(headings.map(|(at, level, label)| (at, level, label.to_owned())).to_vec(), 50);
        let paths: Vec<String> = sections.iter().map(|section| section.path.join(" > ")).collect();
        assert_eq!(paths, ["Guide", "Guide > Install", "Guide > Install > Linux", "Guide > Use", "End"]);
        assert_eq!(sections[4].range, 40..50);
    }

    #[test]
    fn a_locator_names_lines_rows_and_the_path_of_most_of_a_span() {
        let text = "one\ntwo\nthree\nfour\n";
        let lines = Places { line: Some(1), ..Places::default() };
        assert_eq!(lines.locator(&(4..13), text, 0).as_deref(), Some("lines 2-3"));
        let cut = lines.within(&(4..18), text, 0);
        assert_eq!(cut.locator(&(8..13), &text[4..18], 4).as_deref(), Some("line 3"));
        let table =
            Table { label: "table 2".into(), range: 0..19, rows: vec![Row(0, 3, 1), Row(4, 7, 2), Row(8, 13, 3)] };
        let mut places = Places { tables: vec![table], ..Places::default() };
        assert_eq!(places.locator(&(4..13), text, 0).as_deref(), Some("table 2, rows 2-3"));
        places.sections = outline(vec![(0, 1, "A".into()), (4, 2, "B".into())], 19);
        assert_eq!(places.locator(&(4..7), text, 0).as_deref(), Some("A > B, table 2, row 2"));
    }
}
