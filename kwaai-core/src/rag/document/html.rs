//! HTML: what a page shows, with its headings and tables.
//!
//! The tokenizer follows the WHATWG standard; this keeps the stack of open elements, as far as reading text needs one. Nothing is
//! fetched, run or followed, and nothing recurses, so that neither depth nor size costs more than its bytes.

use encoding_rs::Encoding;
use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use crate::rag::document::place::{Heading, Link, Places, Row, Table, outline};
use crate::rag::document::{Extracted, Limits, table, text};
use crate::{Error, Result};

/// Elements deeper than this are read, but no longer told apart.
const DEPTH: usize = 256;
/// Longer targets of links are not kept, in bytes.
const TARGET: usize = 300;
/// Where a page says its encoding.
const HEAD: usize = 1024;

/// Elements whose text is not shown, or belongs to none of the text.
const HIDDEN: &[&str] = &[
    "audio", "canvas", "datalist", "head", "iframe", "math", "noembed", "noframes", "noscript", "object", "script",
    "style", "svg", "template", "video",
];
/// Elements that stand for themselves on a line.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "caption",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "html",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "select",
    "summary",
    "table",
    "tbody",
    "tfoot",
    "thead",
    "tr",
    "ul",
];
/// Elements that leave the head of a page open; all others stand in its body, also where it does not say so.
const IN_HEAD: &[&str] = &["base", "head", "html", "link", "meta", "noscript", "script", "style", "template", "title"];
/// Elements without an end.
const VOID: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// The text of a page and its places.
pub(super) fn extract(bytes: &[u8], limits: &Limits) -> Result<Extracted> {
    let source = decode(bytes)?;
    let mut emitter = CallbackEmitter::new(Tokens::default());
    // In XML a slash ends an element, and scripts are elements like others.
    let is_xml = source.trim_start_matches('\u{feff}').trim_start().starts_with("<?xml");
    emitter.naively_switch_states(!is_xml);
    let mut page = Page { is_xml, ..Page::new(limits) };
    for token in Tokenizer::new_with_emitter(source.as_str(), emitter) {
        match token {
            Ok(Token::Start(tag)) => page.open(&tag)?,
            Ok(Token::End(name)) => page.close(&name)?,
            Ok(Token::Text(piece)) => page.text(&piece)?,
            Err(never) => match never {},
        }
    }
    page.finish()
}

/// What of a page matters for its text.
enum Token {
    Start(Tag),
    End(String),
    Text(String),
}

/// A start tag.
#[derive(Default)]
struct Tag {
    name: String,
    /// Whether it says that what stands in it is not shown.
    hidden: bool,
    /// What stands for it where it cannot be shown.
    alt: Option<String>,
    /// The file that it points at.
    target: Option<String>,
    /// Whether it ends with a slash, which counts in pictures and formulas alone.
    closed: bool,
}

/// Makes tokens of what the tokenizer says, and keeps no attribute that is not looked at.
#[derive(Default)]
struct Tokens {
    tag: Tag,
    attribute: Attribute,
}

#[derive(Default, Clone, Copy)]
enum Attribute {
    #[default]
    Other,
    Alt,
    Href,
    Style,
}

impl Callback<Token, ()> for Tokens {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Token> {
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match event {
            CallbackEvent::OpenStartTag { name } => self.tag = Tag { name: owned(name), ..Tag::default() },
            CallbackEvent::AttributeName { name } => {
                self.tag.hidden |= name == b"hidden";
                self.attribute = match name {
                    b"alt" => Attribute::Alt,
                    b"href" if matches!(self.tag.name.as_str(), "a" | "area") => Attribute::Href,
                    b"style" => Attribute::Style,
                    _ => Attribute::Other,
                };
            }
            CallbackEvent::AttributeValue { value } => match self.attribute {
                Attribute::Alt => self.tag.alt = self.tag.alt.take().or_else(|| Some(owned(value))),
                Attribute::Href => self.tag.target = self.tag.target.take().or_else(|| file_of(&owned(value))),
                Attribute::Style => self.tag.hidden |= hides(&owned(value)),
                Attribute::Other => {}
            },
            CallbackEvent::CloseStartTag { self_closing } => {
                return Some(Token::Start(Tag { closed: self_closing, ..std::mem::take(&mut self.tag) }));
            }
            CallbackEvent::EndTag { name } => return Some(Token::End(owned(name))),
            CallbackEvent::String { value } => return Some(Token::Text(owned(value))),
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => {}
        }
        None
    }
}

/// Whether a style says that an element is not shown.
fn hides(style: &str) -> bool {
    let style: String = style.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
    style.contains("display:none") || style.contains("visibility:hidden")
}

/// The file that a link points at; `None` for one to another site, to a place of the same page, or to no file.
fn file_of(link: &str) -> Option<String> {
    let path = link.split(['#', '?']).next().unwrap_or_default().trim();
    let elsewhere = path.starts_with("//") || path.split('/').next().is_some_and(|first| first.contains(':'));
    (!path.is_empty() && !elsewhere && path.len() <= TARGET).then(|| path.to_owned())
}

/// Whether a file without a telling name is a page.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD)]).to_ascii_lowercase();
    let head = head.trim_start_matches('\u{feff}').trim_start();
    head.starts_with("<!doctype html") || head.starts_with("<html")
}

/// The text in the encoding that the page itself names, where nothing surer is known.
fn decode(bytes: &[u8]) -> Result<String> {
    let sure = std::str::from_utf8(bytes).is_ok() || Encoding::for_bom(bytes).is_some() || bytes.contains(&0);
    match named(bytes).filter(|_| !sure) {
        Some(encoding) => Ok(encoding.decode_without_bom_handling(bytes).0.into_owned()),
        None => text::decode(bytes),
    }
}

fn named(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD)]).to_ascii_lowercase();
    let rest = head.split_once("charset")?.1.trim_start().strip_prefix('=')?;
    let label = rest.trim_start_matches([' ', '"', '\'']);
    let end = label.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.:".contains(c))).unwrap_or(label.len());
    Encoding::for_label(&label.as_bytes()[..end])
}

struct Element {
    name: String,
    hidden: bool,
}

/// A table while it is read.
struct Open {
    /// How many elements were open before it.
    depth: usize,
    start: usize,
    rows: Vec<Row>,
    header: Option<Vec<String>>,
    cells: Vec<String>,
    number: u32,
}

struct Page<'a> {
    limits: &'a Limits,
    text: String,
    /// White space that is owed before the next text: none, a space, a line end, an empty line.
    owed: usize,
    stack: Vec<Element>,
    beyond: usize,
    hidden: usize,
    title: Option<String>,
    heading: Option<(usize, String)>,
    headings: Vec<Heading>,
    tables: Vec<Table>,
    rows: usize,
    open: Vec<Open>,
    cell: Option<String>,
    raw: usize,
    in_title: bool,
    is_xml: bool,
    /// A link while its text is read: the file, and where the text of the page ended.
    link: Option<(String, usize)>,
    /// The files that the row or the heading points at which is being read.
    pointed: Vec<String>,
    links: Vec<Link>,
}

impl<'a> Page<'a> {
    fn new(limits: &'a Limits) -> Page<'a> {
        Page {
            limits,
            text: String::new(),
            owed: 0,
            stack: Vec::new(),
            beyond: 0,
            hidden: 0,
            title: None,
            heading: None,
            headings: Vec::new(),
            tables: Vec::new(),
            rows: 0,
            open: Vec::new(),
            cell: None,
            raw: 0,
            in_title: false,
            is_xml: false,
            link: None,
            pointed: Vec::new(),
            links: Vec::new(),
        }
    }

    fn open(&mut self, tag: &Tag) -> Result<()> {
        let name = tag.name.as_str();
        self.imply(name)?;
        self.boundary(name);
        match name {
            "title" if self.is_xml && tag.closed => {}
            "title" => self.in_title = self.title.is_none() && !self.is_foreign(name),
            "br" => self.owe(2),
            "img" | "area" if !tag.hidden => {
                let start = self.text.len();
                if let Some(alt) = &tag.alt {
                    self.text(alt)?;
                }
                if let Some(target) = tag.target.clone().filter(|_| self.hidden == 0) {
                    self.add_link(target, start)?;
                }
            }
            _ => {}
        }
        if VOID.contains(&name) || tag.closed && (self.is_xml || self.is_foreign(name)) {
            return Ok(());
        }
        if self.stack.len() >= DEPTH {
            self.beyond += 1;
            return Ok(());
        }
        let hidden = tag.hidden || HIDDEN.contains(&name);
        self.hidden += usize::from(hidden);
        self.raw += usize::from(name == "pre");
        if self.hidden == 0 {
            match name {
                "table" if self.cell.is_none() && self.heading.is_none() => self.open_table(),
                "td" | "th" if self.in_row() => {
                    self.end_heading()?;
                    self.cell = Some(String::new());
                }
                "h1" | "h2" | "h3" | "h4" | "h5" | "h6" if self.cell.is_none() => {
                    self.end_heading()?;
                    let level = name[1..].parse().unwrap_or(1);
                    self.heading = Some((level, String::new()));
                }
                "li" if self.cell.is_none() && self.heading.is_none() => self.push("- ")?,
                "a" => {
                    self.end_link()?;
                    self.link = tag.target.clone().map(|target| (target, self.text.len()));
                }
                _ => {}
            }
        }
        self.stack.push(Element { name: name.to_owned(), hidden });
        Ok(())
    }

    /// Whether an element is, or stands in, a picture or a formula.
    fn is_foreign(&self, name: &str) -> bool {
        let foreign = |name: &str| matches!(name, "svg" | "math");
        foreign(name) || self.hidden > 0 && self.stack.iter().any(|outer| foreign(&outer.name))
    }

    fn in_row(&self) -> bool {
        self.cell.is_none() && !self.open.is_empty()
    }

    fn open_table(&mut self) {
        let (depth, start) = (self.stack.len(), self.text.len());
        self.open.push(Open { depth, start, rows: Vec::new(), header: None, cells: Vec::new(), number: 0 });
    }

    /// Ends what a start tag ends without saying so.
    fn imply(&mut self, name: &str) -> Result<()> {
        if !IN_HEAD.contains(&name) {
            self.end_head()?;
        }
        let ends: &[&str] = match name {
            "li" => &["li", "p"],
            "dt" | "dd" => &["dt", "dd", "p"],
            "td" | "th" => &["td", "th", "p"],
            "tr" => &["td", "th", "tr", "p"],
            "tbody" | "thead" | "tfoot" => &["td", "th", "tr", "tbody", "thead", "tfoot", "p"],
            "option" | "optgroup" => &["option"],
            name if BLOCKS.contains(&name) => &["p"],
            _ => return Ok(()),
        };
        while self.beyond == 0 && self.stack.last().is_some_and(|last| ends.contains(&last.name.as_str())) {
            self.pop()?;
        }
        Ok(())
    }

    /// Whatever does not belong in the head of a page ends it.
    fn end_head(&mut self) -> Result<()> {
        if self.stack.last().is_some_and(|last| last.name == "head") { self.pop() } else { Ok(()) }
    }

    fn close(&mut self, name: &str) -> Result<()> {
        if name == "title" {
            self.in_title = false;
        }
        if name == "p" || name == "br" {
            self.owe(if name == "p" { 3 } else { 2 });
        }
        if self.beyond > 0 {
            self.beyond -= 1;
            return Ok(());
        }
        // A cell or a table that stays open keeps what only looks like its end inside.
        let fence = self.open.last().map_or(0, |open| if name == "table" { 0 } else { open.depth });
        let Some(at) = self.stack[fence..].iter().rposition(|element| element.name == name) else { return Ok(()) };
        while self.stack.len() > fence + at {
            self.pop()?;
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<()> {
        let Some(element) = self.stack.pop() else { return Ok(()) };
        let name = element.name;
        let shown = self.hidden == 0;
        self.hidden -= usize::from(element.hidden);
        self.raw -= usize::from(name == "pre");
        if shown {
            match name.as_str() {
                "td" | "th" => self.end_cell()?,
                "tr" => self.end_row()?,
                "table" if self.open.last().is_some_and(|open| open.depth == self.stack.len()) => self.end_table()?,
                "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.end_heading()?,
                "a" => self.end_link()?,
                _ => {}
            }
        }
        self.boundary(&name);
        Ok(())
    }

    fn end_link(&mut self) -> Result<()> {
        let Some((target, start)) = self.link.take() else { return Ok(()) };
        self.add_link(target, start)
    }

    /// Keeps a link whose text follows the first `start` bytes of the page, or stands in what is not part of them yet.
    fn add_link(&mut self, target: String, start: usize) -> Result<()> {
        if self.cell.is_some() || self.heading.is_some() {
            self.pointed.push(target);
        } else {
            let text = &self.text[start.min(self.text.len())..];
            let start = self.text.len() - text.trim_start().len();
            if start < self.text.len() {
                self.links.push(Link(start, self.text.len(), target));
            }
        }
        self.limits.check_places(self.links.len() + self.pointed.len())
    }

    /// Keeps what was pointed at in a row or a heading that stands in the page now.
    fn add_pointed(&mut self, start: usize, end: usize) {
        self.links.extend(self.pointed.drain(..).map(|target| Link(start, end, target)));
    }

    fn boundary(&mut self, name: &str) {
        if !BLOCKS.contains(&name) {
            return;
        }
        let close = matches!(name, "li" | "dt" | "dd" | "tr" | "option" | "tbody" | "thead" | "tfoot");
        self.owe(if close { 2 } else { 3 });
    }

    fn owe(&mut self, space: usize) {
        self.owed = self.owed.max(space);
        for inside in [self.cell.as_mut(), self.heading.as_mut().map(|(_, text)| text)].into_iter().flatten() {
            if !inside.is_empty() && !inside.ends_with(' ') {
                inside.push(' ');
            }
        }
    }

    fn end_cell(&mut self) -> Result<()> {
        if let (Some(cell), Some(table)) = (self.cell.take(), self.open.last_mut()) {
            table.cells.push(cell.trim().to_owned());
            self.limits.check_places(table.cells.len())?;
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.end_cell()?;
        self.end_heading()?;
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        let cells = std::mem::take(&mut open.cells);
        open.number = open.number.saturating_add(1);
        if cells.iter().all(String::is_empty) {
            self.pointed.clear();
            return Ok(());
        }
        let (number, first) = (open.number, open.rows.is_empty());
        let line = if first { cells.join(" | ") } else { table::line(&cells, open.header.as_deref()) };
        // Lines of one paragraph would be taken for one sentence.
        self.owe(3);
        self.push(&line)?;
        let end = self.text.len();
        self.add_pointed(end - line.len(), end);
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        if first {
            // The first line may stand below an empty one, which is none of the table's.
            open.start = end - line.len();
            open.header =
                table::is_header(&cells).then(|| cells.iter().map(|cell| super::place::short(cell)).collect());
        }
        open.rows.push(Row(end - line.len(), end, number));
        self.owed = 3;
        self.rows += 1;
        self.limits.check_places(self.rows)
    }

    fn end_table(&mut self) -> Result<()> {
        self.end_row()?;
        let Some(open) = self.open.pop() else { return Ok(()) };
        // Tables of pages from long ago only arrange things.
        if open.rows.len() > 1 && self.open.is_empty() {
            let (number, range) = (self.tables.len() + 1, open.start..self.text.len());
            self.tables.push(Table { label: format!("table {number}"), range, rows: open.rows });
        }
        Ok(())
    }

    fn end_heading(&mut self) -> Result<()> {
        let Some((level, label)) = self.heading.take() else { return Ok(()) };
        let label = label.trim().to_owned();
        if label.is_empty() {
            self.pointed.clear();
            return Ok(());
        }
        self.owed = 3;
        self.push(&label)?;
        self.add_pointed(self.text.len() - label.len(), self.text.len());
        self.headings.push((self.text.len() - label.len(), level, label));
        self.limits.check_places(self.headings.len())
    }

    fn text(&mut self, piece: &str) -> Result<()> {
        if self.in_title {
            let title = self.title.get_or_insert_default();
            if title.len() < HEAD {
                title.push_str(piece);
            }
            return Ok(());
        }
        if !piece.trim().is_empty() {
            self.end_head()?;
        }
        if self.hidden > 0 {
            return Ok(());
        }
        let piece = text::clean(piece);
        if self.raw > 0 && self.cell.is_none() && self.heading.is_none() {
            return self.push(&piece);
        }
        let mut words = piece.split_whitespace();
        let spaced = piece.starts_with(char::is_whitespace);
        if spaced {
            self.space();
        }
        if let Some(first) = words.next() {
            self.push(first)?;
            for word in words {
                self.space();
                self.push(word)?;
            }
            if piece.ends_with(char::is_whitespace) {
                self.space();
            }
        }
        Ok(())
    }

    fn space(&mut self) {
        match self.cell.as_mut().or(self.heading.as_mut().map(|(_, text)| text)) {
            Some(inside) if !inside.is_empty() && !inside.ends_with(' ') => inside.push(' '),
            Some(_) => {}
            None => self.owed = self.owed.max(1),
        }
    }

    /// Appends to what is open: a cell, a heading, or the page.
    fn push(&mut self, piece: &str) -> Result<()> {
        if let Some(inside) = self.cell.as_mut().or(self.heading.as_mut().map(|(_, text)| text)) {
            inside.push_str(&piece.replace('\n', " "));
            return self.limits.check_text(inside.len());
        }
        let space = ["", " ", "\n", "\n\n"][std::mem::take(&mut self.owed)];
        let after_bullet = self.text.ends_with("- ") && piece != "- ";
        if !self.text.is_empty() && !after_bullet {
            self.text.push_str(space);
        }
        self.text.push_str(piece);
        self.limits.check_text(self.text.len())
    }

    fn finish(mut self) -> Result<Extracted> {
        self.beyond = 0;
        while !self.stack.is_empty() {
            self.pop()?;
        }
        self.text.truncate(self.text.trim_end().len());
        let title = self
            .title
            .map(|title| title.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|title| !title.is_empty());
        if self.text.is_empty() {
            return Err(Error::invalid_argument("the page shows no text")
                .with_remedy("if a script writes it, save the page from a browser as it is shown"));
        }
        let end = self.text.len();
        self.headings.retain(|(start, ..)| *start < end);
        let sections = outline(self.headings, end, self.limits)?;
        let places = Places { sections, tables: self.tables, links: self.links, ..Places::default() };
        Ok(Extracted { text: self.text, places, title, warnings: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> (String, Places) {
        let page = extract(source.as_bytes(), &Limits::default()).unwrap();
        (page.text, page.places)
    }

    #[test]
    fn a_page_gives_what_it_shows_with_its_headings() {
        let (text, places) = read(
            "<!doctype html><title>Pump &amp; Co</title><style>p{}</style><body><h1>Install</h1><p>First\n words <b>bold</b>, more.\
             <h2>On <i>Linux</i></h2><ul><li>one<li>two</ul><pre>a\n  b</pre><script>alert('no')</script><p hidden>gone<p>shown\
             <div style='display: NONE'>gone<p>gone</div><noscript>gone</noscript>&lt;tag&gt;",
        );
        assert_eq!(text, "Install\n\nFirst words bold, more.\n\nOn Linux\n\n- one\n- two\n\na\n  b\n\nshown\n\n<tag>");
        let titled = extract(b"<title> Pump &amp;\n Co</title>x", &Limits::default()).unwrap();
        assert_eq!((titled.title.as_deref(), titled.text.as_str()), (Some("Pump & Co"), "x"));
        let at = text.find("one").unwrap();
        assert_eq!(places.locator(&(at..at + 3), &text, 0).as_deref(), Some("Install > On Linux"));
    }

    #[test]
    fn links_to_files_are_kept_with_the_words_that_they_stand_on() {
        let (text, places) = read(
            "<h2><a href=north.html>The north</a></h2><p>See <a href='steps/drain%20cock.html#part'> the cock</a>, <a href=valve.html>valves\
             <a href='?page=2'>next</a><a href=https://example.org/pump.html>the maker's</a><a href=#top>up</a><a href=mailto:a@b.c>mail</a>\
             <a href=no.html hidden>no</a><a href=empty.html></a><table><tr><td><a href=one.html>One</a><td>1<tr><td>Two<td>2</table>",
        );
        let links: Vec<(&str, &str)> =
            places.links.iter().map(|Link(start, end, target)| (&text[*start..*end], target.as_str())).collect();
        assert_eq!(
            links,
            [
                ("The north", "north.html"),
                ("the cock", "steps/drain%20cock.html"),
                ("valves", "valve.html"),
                ("One | 1", "one.html"),
            ]
        );
    }

    #[test]
    fn a_head_that_is_never_closed_hides_nothing() {
        assert_eq!(read("<html><head><title>T</title><meta name=a><h1>A</h1><p>text").0, "A\n\ntext");
        assert_eq!(read("<head><title>T</title>words <b>bold").0, "words bold");
        assert_eq!(read("<p>a<svg width=1 /> b <svg><title>no</title><path/>no</svg>c").0, "a b c");
    }

    #[test]
    fn what_a_slash_ends_in_xml_hides_nothing_behind_it() {
        let page = "<?xml version=\"1.0\"?><html><head><title/><script src=\"a.js\"/></head><body><p>First</p>\
            <div><script src=\"b.js\" /><p>second<a href=\"x.html\"/></p><script>if (a < b) c()</script></div></body></html>";
        assert_eq!(read(page).0, "First\n\nsecond");
    }

    #[test]
    fn what_hides_is_found_among_many_attributes() {
        let many: String = (0..100_000).map(|number| format!("a{number}=x ")).collect();
        assert_eq!(read(&format!("<p {many} style='visibility: hidden'>gone</p><p {many}>shown")).0, "shown");
        assert_eq!(read("<img alt='a pump'><img alt=gone hidden>").0, "a pump");
    }

    #[test]
    fn long_text_of_many_bytes_a_letter_stays_whole() {
        let text = "日本語の文章です。".repeat(20_000);
        assert_eq!(read(&format!("<p>{text}")).0, text);
    }

    #[test]
    fn rows_of_a_table_carry_the_names_of_their_columns() {
        let (text, places) = read(
            "<h1>Pumps</h1><table><tr><th>Name<th>Power<tr><td>North<td>5 kW<tr><td>South</td><td></td></tr></table>after",
        );
        assert_eq!(text, "Pumps\n\nName | Power\n\nName: North; Power: 5 kW\n\nName: South\n\nafter");
        let at = text.find("Name: North").unwrap();
        assert_eq!(places.locator(&(at..at + 5), &text, 0).as_deref(), Some("Pumps, table 1, row 2"));
        assert_eq!(places.tables.len(), 1);
    }

    #[test]
    fn the_encoding_that_a_page_names_is_used() {
        let bytes =
            [b"<meta charset=\"windows-1251\"><p>".as_slice(), &encoding_rs::WINDOWS_1251.encode("Насос").0].concat();
        assert_eq!(extract(&bytes, &Limits::default()).unwrap().text, "Насос");
    }

    #[test]
    fn depth_costs_nothing_but_bytes() {
        for tag in ["div", "table><tr><td", "b", "ul><li"] {
            let source = format!("<{tag}>").repeat(200_000) + "deep" + &"</div></b></i>".repeat(100_000);
            assert!(read(&source).0.contains("deep"), "{tag}");
        }
    }
}
