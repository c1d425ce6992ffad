//! Tables: comma- and tab-separated files row by row (RFC 4180), and the pipe tables of Markdown.
//!
//! An empty line stands between rows, since lines of one paragraph would be taken for one sentence.

use std::ops::Range;

use crate::Result;
use crate::rag::document::place::{Places, Row, Table, short};
use crate::rag::document::{Extracted, Limits};

/// So many rows decide what separates the cells.
const SAMPLE: usize = 20;

/// A file of rows as text: a paragraph for each row, with the name of its column before each value.
///
/// The first row is taken for the header when it names its columns: no cell empty, none a number, none twice.
pub(super) fn separated(source: &str, tabs: bool, limits: &Limits) -> Result<Extracted> {
    let separator = if tabs { '\t' } else { separator(source) };
    let mut rows = Rows::new(source, separator);
    let mut out = Rendered::default();
    let first = rows.next();
    let names = |cells: &Vec<String>| cells.iter().map(|cell| short(cell)).collect::<Vec<String>>();
    let header = first.as_ref().filter(|cells| is_header(cells)).map(names);
    if let Some(cells) = &first {
        out.row(&cells.join(" | "), limits)?;
    }
    for cells in &mut rows {
        out.row(&line(&cells, header.as_deref()), limits)?;
    }
    let warning =
        rows.unclosed.map(|row| format!("a quote in row {row} is never closed; quotes were read as text from there"));
    let (text, table) = out.finish(String::new());
    let places = Places { tables: vec![table], ..Places::default() };
    Ok(Extracted { text, places, title: None, warnings: warning.into_iter().collect() })
}

/// A row as people read it: `name: Ada; born: 1815`, without the empty cells.
pub(super) fn line(cells: &[String], header: Option<&[String]>) -> String {
    let filled = cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty());
    match header {
        Some(header) => {
            let named = |(column, cell): (usize, &String)| match header.get(column).filter(|name| !name.is_empty()) {
                Some(name) => format!("{name}: {cell}"),
                None => cell.clone(),
            };
            filled.map(named).collect::<Vec<_>>().join("; ")
        }
        None => filled.map(|(_, cell)| cell.as_str()).collect::<Vec<_>>().join(" | "),
    }
}

/// Whether a row names columns.
pub(super) fn is_header(cells: &[String]) -> bool {
    let number = |cell: &str| cell.trim_matches(|c: char| !c.is_alphanumeric()).parse::<f64>().is_ok();
    let distinct: std::collections::BTreeSet<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
    cells.len() > 1 && distinct.len() == cells.len() && cells.iter().all(|cell| !cell.is_empty() && !number(cell))
}

/// Rows as lines of text, counted from 1.
#[derive(Default)]
pub(super) struct Rendered {
    text: String,
    rows: Vec<Row>,
    number: u32,
}

impl Rendered {
    /// Appends a row; an empty one is counted and leaves no line.
    pub(super) fn row(&mut self, line: &str, limits: &Limits) -> Result<()> {
        self.number = self.number.saturating_add(1);
        let line = line.trim();
        if line.is_empty() {
            return Ok(());
        }
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        let start = self.text.len();
        self.text.push_str(line);
        self.rows.push(Row(start, self.text.len(), self.number));
        limits.check_text(self.text.len())?;
        limits.check_places(self.rows.len())
    }

    pub(super) fn finish(self, label: String) -> (String, Table) {
        let range = 0..self.text.len();
        (self.text, Table { label, range, rows: self.rows })
    }
}

/// What separates the cells: whatever occurs equally often in the first lines, outside of quotes.
fn separator(source: &str) -> char {
    let count = |separator: char| {
        let mut rows = Rows::new(source, separator);
        let widths: Vec<usize> = (&mut rows).take(SAMPLE).map(|cells| cells.len()).collect();
        let first = widths.first().copied().unwrap_or(0);
        let alike = widths.iter().filter(|width| **width == first).count();
        (first > 1).then_some((alike * 100 / widths.len().max(1), first))
    };
    // The last of those that fit as well: a comma may stand in numbers.
    let candidates = [',', '|', ';', '\t'];
    let best = candidates
        .into_iter()
        .filter_map(|separator| Some((count(separator)?, separator)))
        .max_by_key(|(count, _)| *count);
    best.map_or(',', |(_, separator)| separator)
}

/// The rows of a file, cell by cell, with line ends inside quotes as spaces.
struct Rows<'a> {
    source: &'a str,
    separator: char,
    at: usize,
    number: usize,
    /// The row whose quote is never closed. Quotes count as text from there, so that the time stays linear.
    unclosed: Option<usize>,
}

impl<'a> Rows<'a> {
    fn new(source: &'a str, separator: char) -> Rows<'a> {
        Rows { source, separator, at: 0, number: 0, unclosed: None }
    }

    /// A row, and where the next one begins; `None` when a quote is open at the end.
    fn read(&self, quotes: bool) -> Option<(Vec<String>, usize)> {
        let rest = &self.source[self.at..];
        let mut cells = Vec::new();
        let mut cell = String::new();
        let (mut quoted, mut empty) = (false, true);
        let mut chars = rest.char_indices().peekable();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if quoted => match chars.peek() {
                    Some((_, '"')) => {
                        chars.next();
                        cell.push('"');
                    }
                    Some((_, next)) if !matches!(next, '\n' | ' ') && *next != self.separator => cell.push('"'),
                    _ => quoted = false,
                },
                '\n' if quoted => cell.push(' '),
                c if quoted => cell.push(c),
                '"' if quotes && empty => (quoted, empty) = (true, false),
                '\n' => {
                    end = at + 1;
                    break;
                }
                c if c == self.separator => {
                    cells.push(trimmed(&mut cell));
                    empty = true;
                }
                c => {
                    empty &= c == ' ';
                    cell.push(c);
                }
            }
        }
        cells.push(trimmed(&mut cell));
        (!quoted).then_some((cells, self.at + end))
    }
}

fn trimmed(cell: &mut String) -> String {
    std::mem::take(cell).trim().to_owned()
}

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        if self.at >= self.source.len() {
            return None;
        }
        self.number += 1;
        let read = if self.unclosed.is_none() { self.read(true) } else { None };
        let (cells, next) = match read {
            Some(read) => read,
            None => {
                self.unclosed.get_or_insert(self.number);
                self.read(false)?
            }
        };
        self.at = next;
        Some(cells)
    }
}

/// The pipe tables of a text: a row of cells, a line of dashes below it, and rows to the next line without a pipe. `code` are the
/// stretches that hold none, in order.
///
/// # Errors
/// `resource_exhausted` for too many rows.
pub(super) fn piped(text: &str, code: &[Range<usize>], limits: &Limits) -> Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    let mut rows = 0;
    let mut open: Option<Table> = None;
    let mut above: Option<Range<usize>> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.trim_end_matches('\n').len();
        at += line.len();
        let next = code.partition_point(|code| code.end <= range.start);
        let in_code = code.get(next).is_some_and(|code| code.start <= range.start);
        let piped = !in_code && line.contains('|');
        match (&mut open, piped) {
            (Some(table), true) => {
                let number = table.rows.last().map_or(1, |row| row.2 + 1);
                table.rows.push(Row(range.start, range.end, number));
                table.range.end = range.end;
                rows += 1;
            }
            (Some(_), false) => tables.extend(open.take()),
            (None, true) => {
                let header = above.take().filter(|_| is_dashes(line));
                rows += usize::from(header.is_some());
                open = header.map(|header| Table {
                    label: format!("table {}", tables.len() + 1),
                    rows: vec![Row(header.start, header.end, 1)],
                    range: header.start..range.end,
                });
            }
            (None, false) => {}
        }
        limits.check_places(rows)?;
        above = (piped && open.is_none()).then_some(range);
    }
    tables.extend(open);
    Ok(tables)
}

fn is_dashes(line: &str) -> bool {
    line.contains('-') && line.trim().chars().all(|c| matches!(c, '-' | ':' | '|' | ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, tabs: bool) -> String {
        separated(source, tabs, &Limits::default()).unwrap().text
    }

    #[test]
    fn rows_carry_the_names_of_their_columns() {
        let text = text("name,born,\"known, for\"\nAda,1815,\"the \"\"first\"\"\nprogram\"\nGrace,,COBOL\n", false);
        assert_eq!(
            text,
            "name | born | known, for\n\nname: Ada; born: 1815; known, for: the \"first\" program\n\nname: Grace; known, for: COBOL"
        );
    }

    #[test]
    fn the_separator_is_found_and_numbers_are_no_header() {
        assert_eq!(text("a;b,c\n1;2,5\n", false), "a | b,c\n\na: 1; b,c: 2,5");
        assert_eq!(text("1,2\n3,4\n", false), "1 | 2\n\n3 | 4");
        assert_eq!(text("a\tb, c\n1\t2\n", true), "a | b, c\n\na: 1; b, c: 2");
    }

    #[test]
    fn rows_are_counted_with_the_header_and_with_empty_ones() {
        let Extracted { places, .. } = separated("a,b\n1,2\n,\n3,4\n", false, &Limits::default()).unwrap();
        let numbers: Vec<u32> = places.tables[0].rows.iter().map(|row| row.2).collect();
        assert_eq!(numbers, [1, 2, 4]);
    }

    #[test]
    fn a_quote_that_is_never_closed_swallows_nothing() {
        let Extracted { text, warnings, .. } = separated("a,b\n\"open,2\n3,\"4\n", false, &Limits::default()).unwrap();
        assert_eq!(text, "a | b\n\na: \"open; b: 2\n\na: 3; b: \"4");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }

    #[test]
    fn pipe_tables_have_rows_and_code_has_none() {
        let source = "x\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n```\n| no | no |\n|---|---|\n```\n";
        let code = source.find("```").unwrap()..source.len();
        let tables = piped(source, &[code], &Limits::default()).unwrap();
        assert_eq!(tables.len(), 1);
        let rows: Vec<(&str, u32)> = tables[0].rows.iter().map(|row| (&source[row.0..row.1], row.2)).collect();
        assert_eq!(rows, [("| a | b |", 1), ("| 1 | 2 |", 2)]);
    }
}
