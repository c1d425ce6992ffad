//! From the XML of a Word document's body to its text.

use std::collections::BTreeMap;

use quick_xml::events::{BytesStart, Event};

use super::{attribute, damaged, each_event};
use crate::Result;
use crate::rag::document::place::{self, Heading, Places, Row, outline};
use crate::rag::document::{Limits, text};

/// What is known of a paragraph while it is read.
#[derive(Default)]
struct Paragraph {
    text: String,
    /// The level of the heading that it is, from 1.
    heading: Option<usize>,
    list: bool,
    /// Whether the run that is being read is not shown.
    hidden: bool,
}

/// A table while it is read; tables may stand inside cells.
#[derive(Default)]
struct Table {
    row: Vec<String>,
    cell: String,
    rows: Vec<Row>,
    number: u32,
}

/// The text made so far.
pub(super) struct Body<'a> {
    headings: BTreeMap<String, usize>,
    limits: &'a Limits,
    text: String,
    starts: Vec<Heading>,
    tables: Vec<place::Table>,
    rows: usize,
    after_item: bool,
}

/// Which style ids make a heading, and of which level: by the style's name, which is English whatever language Word runs in, or by its outline level.
pub(super) fn heading_styles(xml: &str) -> Result<BTreeMap<String, usize>> {
    let mut styles = BTreeMap::new();
    let mut id = None;
    each_event(xml, |event| {
        match event {
            Event::Start(e) | Event::Empty(e) => match e.local_name().as_ref() {
                "style" => id = attribute(e, "styleId")?,
                "name" => {
                    let name = attribute(e, "val")?.unwrap_or_default().to_lowercase();
                    if let (Some(id), Some(level)) = (&id, named_level(&name)) {
                        styles.insert(id.clone(), level);
                    }
                }
                "outlineLvl" => {
                    if let (Some(id), Some(level)) = (&id, outline_level(e)?) {
                        styles.entry(id.clone()).or_insert(level);
                    }
                }
                _ => {}
            },
            Event::End(e) if e.local_name().as_ref() == "style" => id = None,
            _ => {}
        }
        Ok(())
    })?;
    Ok(styles)
}

/// The level that the name of a style says: `title`, `heading 2`.
fn named_level(name: &str) -> Option<usize> {
    match name.strip_prefix("heading ") {
        Some(level) => Some(level.trim().parse().unwrap_or(1)),
        None => (name == "title").then_some(1),
    }
}

/// Levels 0 to 8 are headings, 9 is body text.
fn outline_level(element: &BytesStart<'_>) -> Result<Option<usize>> {
    let level = attribute(element, "val")?.and_then(|level| level.parse::<usize>().ok());
    Ok(level.filter(|level| *level < 9).map(|level| level + 1))
}

impl<'a> Body<'a> {
    pub(super) fn new(headings: BTreeMap<String, usize>, limits: &'a Limits) -> Body<'a> {
        Body {
            headings,
            limits,
            text: String::new(),
            starts: Vec::new(),
            tables: Vec::new(),
            rows: 0,
            after_item: false,
        }
    }

    /// Appends the paragraphs and tables of a part.
    pub(super) fn read(&mut self, xml: &str) -> Result<()> {
        self.read_part(xml, false)
    }

    /// Appends the notes of a part, each behind the mark that stands where it is referred to.
    pub(super) fn read_notes(&mut self, xml: &str) -> Result<()> {
        self.read_part(xml, true)
    }

    fn read_part(&mut self, xml: &str, notes: bool) -> Result<()> {
        let mut paragraphs: Vec<Paragraph> = Vec::new();
        let mut tables: Vec<Table> = Vec::new();
        // Inside these: the older form of what was read already; lines that only separate notes.
        let mut skipped = 0usize;
        let mut in_text = false;
        let mut note: Option<String> = None;
        each_event(xml, |event| {
            match event {
                Event::Start(e) => {
                    if skipped > 0 || is_skipped(e)? {
                        skipped += 1;
                        return Ok(());
                    }
                    match e.local_name().as_ref() {
                        "p" => paragraphs.push(Paragraph::default()),
                        "tbl" => tables.push(Table::default()),
                        "t" => in_text = true,
                        "r" => show(&mut paragraphs),
                        "footnote" | "endnote" if notes => note = attribute(e, "id")?,
                        _ => self.mark(e, &mut paragraphs)?,
                    }
                }
                Event::Empty(e) if skipped == 0 => self.mark(e, &mut paragraphs)?,
                Event::End(_) if skipped > 0 => skipped -= 1,
                Event::End(e) => match e.local_name().as_ref() {
                    "t" => in_text = false,
                    "r" => show(&mut paragraphs),
                    "p" => {
                        if let Some(mut paragraph) = paragraphs.pop() {
                            if let Some(id) = note.take() {
                                paragraph.text.insert_str(0, &format!("[^{id}] "));
                            }
                            self.paragraph(paragraph, tables.last_mut())?;
                        }
                    }
                    "tc" => {
                        if let Some(table) = tables.last_mut() {
                            let cell = std::mem::take(&mut table.cell);
                            table.row.push(cell);
                            self.limits.check_places(table.row.len())?;
                        }
                    }
                    "tr" => {
                        if let Some(table) = tables.last_mut() {
                            let line = std::mem::take(&mut table.row).join(" | ");
                            let above = tables.len().checked_sub(2);
                            match above.and_then(|at| tables.get_mut(at)) {
                                Some(outer) => {
                                    let paragraph = Paragraph { text: line, ..Paragraph::default() };
                                    self.paragraph(paragraph, Some(outer))?;
                                }
                                None => self.row(&line, &mut tables[0])?,
                            }
                        }
                    }
                    "tbl" => {
                        let ended = tables.pop();
                        if let Some(table) = ended.filter(|_| tables.is_empty()) {
                            self.end_table(table);
                        }
                        self.after_item &= !tables.is_empty();
                    }
                    _ => {}
                },
                Event::Text(t) if in_text && skipped == 0 => push(&mut paragraphs, t),
                Event::CData(t) if in_text && skipped == 0 => push(&mut paragraphs, t),
                Event::GeneralRef(r) if in_text && skipped == 0 => {
                    let c = match r.resolve_char_ref().map_err(|e| damaged(format!("its XML is broken: {e}")))? {
                        Some(c) => c,
                        None => predefined(r)
                            .ok_or_else(|| damaged("it uses an entity that XML does not define".to_owned()))?,
                    };
                    push(&mut paragraphs, c.encode_utf8(&mut [0; 4]));
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// What elements other than text say about the paragraph they stand in.
    fn mark(&self, element: &BytesStart<'_>, paragraphs: &mut [Paragraph]) -> Result<()> {
        let Some(paragraph) = paragraphs.last_mut() else { return Ok(()) };
        match element.local_name().as_ref() {
            "pStyle" => {
                let style = attribute(element, "val")?.unwrap_or_default();
                let level = match self.headings.is_empty() {
                    true => named_level(&style.replacen("Heading", "heading ", 1).replace("Title", "title")),
                    false => self.headings.get(&style).copied(),
                };
                paragraph.heading = paragraph.heading.or(level);
            }
            "outlineLvl" => paragraph.heading = paragraph.heading.or(outline_level(element)?),
            "numPr" => paragraph.list = true,
            // Nobody who opens the document reads it, so nothing is to be found or cited there.
            "vanish" => paragraph.hidden = !is_off(element)?,
            // A tab stop is named like a tab, but has a position.
            "tab" if attribute(element, "pos")?.is_none() => paragraph.text.push('\t'),
            "br" | "cr" => paragraph.text.push('\n'),
            "noBreakHyphen" => paragraph.text.push('-'),
            "footnoteReference" | "endnoteReference" => {
                if let Some(id) = attribute(element, "id")? {
                    paragraph.text.push_str(&format!("[^{id}]"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn paragraph(&mut self, paragraph: Paragraph, table: Option<&mut Table>) -> Result<()> {
        let text = text::clean(&paragraph.text);
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        if let Some(table) = table {
            if !table.cell.is_empty() {
                table.cell.push(' ');
            }
            table.cell.push_str(&text.replace('\n', " "));
            return self.limits.check_text(table.cell.len());
        }
        if paragraph.list && paragraph.heading.is_none() {
            return self.item(&format!("- {text}"));
        }
        self.separate("\n\n");
        self.after_item = false;
        if let Some(level) = paragraph.heading {
            self.starts.push((self.text.len(), level, text.replace('\n', " ")));
            self.limits.check_places(self.starts.len())?;
        }
        self.text.push_str(text);
        self.limits.check_text(self.text.len())
    }

    /// A row of a table.
    fn row(&mut self, line: &str, table: &mut Table) -> Result<()> {
        table.number = table.number.saturating_add(1);
        let before = self.text.len();
        self.item(line)?;
        if self.text.len() == before {
            return Ok(());
        }
        let end = self.text.len();
        table.rows.push(Row(end - line.trim().len(), end, table.number));
        self.rows += 1;
        self.limits.check_places(self.rows)
    }

    fn end_table(&mut self, table: Table) {
        if let (Some(first), Some(last)) = (table.rows.first(), table.rows.last()) {
            let (label, range) = (format!("table {}", self.tables.len() + 1), first.0..last.1);
            self.tables.push(place::Table { label, range, rows: table.rows });
        }
    }

    /// A line of a list or a table: close to the one before it.
    fn item(&mut self, line: &str) -> Result<()> {
        if line.chars().all(|c| matches!(c, ' ' | '|')) {
            return Ok(());
        }
        self.separate(if self.after_item { "\n" } else { "\n\n" });
        self.after_item = true;
        self.text.push_str(line.trim());
        self.limits.check_text(self.text.len())
    }

    fn separate(&mut self, by: &str) {
        if !self.text.is_empty() {
            self.text.push_str(by);
        }
    }

    pub(super) fn finish(self) -> Result<(String, Places)> {
        let sections = outline(self.starts, self.text.len(), self.limits)?;
        Ok((self.text, Places { sections, tables: self.tables, ..Places::default() }))
    }
}

fn is_skipped(element: &BytesStart<'_>) -> Result<bool> {
    Ok(match element.local_name().as_ref() {
        "Fallback" => true,
        "footnote" | "endnote" => attribute(element, "type")?.is_some_and(|kind| kind != "normal"),
        _ => false,
    })
}

/// Another run of the same paragraph begins, which is shown unless it says otherwise.
fn show(paragraphs: &mut [Paragraph]) {
    if let Some(paragraph) = paragraphs.last_mut() {
        paragraph.hidden = false;
    }
}

fn is_off(element: &BytesStart<'_>) -> Result<bool> {
    Ok(attribute(element, "val")?.is_some_and(|value| matches!(value.as_str(), "0" | "false" | "off")))
}

fn push(paragraphs: &mut [Paragraph], text: &str) {
    if let Some(paragraph) = paragraphs.last_mut().filter(|paragraph| !paragraph.hidden) {
        paragraph.text.push_str(text);
    }
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        _ => return None,
    })
}
