//! Documents: from the bytes of a file to text with places in it.
//!
//! Files come from anywhere, so a reader treats them as hostile: sizes are checked before memory is taken, unpacking is
//! bounded, and whatever cannot be read is a typed error that names the file and says what to do.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

mod code;
mod data;
mod docx;
mod html;
mod markdown;
mod pdf;
mod place;
mod reader;
mod rst;
mod table;
mod text;
mod walk;
mod word;

pub(crate) use place::{Link, Places};
pub use reader::{DocumentReader, Part};
pub(crate) use reader::{read_with, reads};
pub use walk::{Found, walk};
pub(crate) use walk::{Scan, scan};

/// What a document was read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// Text without markup, or whose markup is read as it stands.
    Text,
    /// Markdown; its headings become sections.
    Markdown,
    /// PDF; its pages become sections.
    Pdf,
    /// A Word document in Office Open XML; its headings become sections.
    Docx,
    /// A Word document from before 2007, read by a program of the machine.
    Doc,
    /// reStructuredText; its headings become sections.
    Rst,
    /// HTML: what the page shows; its headings become sections.
    Html,
    /// Comma- or tab-separated values; its rows have places.
    Csv,
    /// JSON, or JSON Lines, as lines of a path and a value.
    Json,
    /// YAML, as lines of a path and a value.
    Yaml,
    /// TOML, as lines of a path and a value.
    Toml,
    /// The source of a program, as it is written.
    Code,
    /// What a [`DocumentReader`] of the app read; its labelled parts become sections.
    Custom,
}

/// What makes a section of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SectionKind {
    /// A page, counted from 1.
    Page,
    /// What stands under a heading, up to the next heading of any level; the heading itself included.
    Heading,
}

/// A stretch of a document that a citation can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// What makes it a section.
    pub kind: SectionKind,
    /// Its name for people: `page 3`, or the text of the heading.
    pub label: String,
    /// The headings above it and its own, the outermost first; empty for a page.
    #[serde(default)]
    pub path: Vec<String>,
    /// The bytes of [`Document::text`] that belong to it.
    pub range: Range<usize>,
}

/// The text of a file and the places in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The name it was read under.
    pub name: String,
    /// What it was read as.
    pub format: Format,
    /// All of its text: line ends are `\n`, and no control characters besides `\n` and tab.
    pub text: String,
    /// Its sections: in order, not overlapping, inside [`text`](Document::text) and on character boundaries. Text before the first heading
    /// belongs to none.
    pub sections: Vec<Section>,
    /// What the document calls itself, where its format has a place for that.
    #[serde(default)]
    pub title: Option<String>,
    /// What could not be read although the rest could, for people; for example a damaged page.
    pub warnings: Vec<String>,
    /// Its places other than sections.
    #[serde(default)]
    pub(crate) places: Places,
}

/// What a reader found in a file.
struct Extracted {
    text: String,
    places: Places,
    title: Option<String>,
    warnings: Vec<String>,
}

impl Document {
    /// Names the place of a span of the text for people, as exactly as the format allows: `page 12`, `Installation > Linux,
    /// table 3, row 7`, `row 7` of a file of rows, `services.web.port` in structured data, `lines 10-24` of a plain text or
    /// a program. Rows count from 1 with the header, as spreadsheets do.
    pub fn locator(&self, span: &Range<usize>) -> Option<String> {
        self.text.get(span.clone())?;
        self.places(span).name(span, &self.text, 0)
    }

    /// The places that a span of the text touches.
    pub(crate) fn places(&self, span: &Range<usize>) -> Places {
        let mut here = self.places.within(span, &self.text, 0);
        here.sections = place::touched(&self.sections, span, |section| section.range.clone()).to_vec();
        here
    }

    /// The section that holds this byte of the text.
    pub fn section_at(&self, byte: usize) -> Option<&Section> {
        let next = self.sections.partition_point(|section| section.range.start <= byte);
        self.sections[..next].last().filter(|section| byte < section.range.end)
    }

    /// Names the place of a span of the text for people: `page 3`, `pages 3-4`, or the heading that most of it stands under.
    pub fn label(&self, span: &Range<usize>) -> Option<String> {
        let touched = place::touched(&self.sections, span, |section| section.range.clone());
        if touched.first()?.kind == SectionKind::Page {
            return place::pages(touched);
        }
        place::mostly(touched, span).map(|section| section.label.clone())
    }
}

/// How much a single file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Files of this many bytes or more are not read; 200 MB.
    pub file_bytes: u64,
    /// The text of a document may be at most this many bytes; 64 MB.
    pub text_bytes: usize,
    /// A packed file may unpack to at most this many bytes; 512 MB.
    pub unpacked_bytes: u64,
    /// A packed part of more than a megabyte may be at most this many times larger than its packed form; 200.
    pub unpacked_ratio: u64,
    /// A packed file may have at most this many entries; 10,000.
    pub entries: usize,
    /// A document may have at most this many places that a citation can name (sections, tables, rows, values); 2,000,000.
    pub places: usize,
    /// Reading a single PDF may take this long, and so may a program that reads old Word documents; two minutes.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            file_bytes: 200_000_000,
            text_bytes: 64_000_000,
            unpacked_bytes: 512_000_000,
            unpacked_ratio: 200,
            entries: 10_000,
            places: 2_000_000,
            time: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// Refuses a file of this size, or lets it pass.
    fn check_file(&self, name: &str, bytes: u64) -> Result<()> {
        if bytes < self.file_bytes {
            return Ok(());
        }
        Err(Error::resource_exhausted(format!(
            "{name} has {bytes} bytes; files of {} bytes or more are not read",
            self.file_bytes
        ))
        .with("limit", self.file_bytes)
        .with_remedy("split the file, or raise the limit file_bytes"))
    }

    /// Refuses a text that has grown to this many bytes, or lets it pass.
    fn check_text(&self, bytes: usize) -> Result<()> {
        if bytes <= self.text_bytes {
            return Ok(());
        }
        Err(Error::resource_exhausted(format!("its text is longer than {} bytes", self.text_bytes))
            .with("limit", self.text_bytes)
            .with_remedy("split the file, or raise the limit text_bytes"))
    }

    /// Refuses this many places, or lets them pass.
    fn check_places(&self, places: usize) -> Result<()> {
        if places <= self.places {
            return Ok(());
        }
        Err(Error::resource_exhausted(format!("it has more than {} sections, rows and values", self.places))
            .with("limit", self.places)
            .with_remedy("split the file, or raise the limit places"))
    }
}

/// The extensions that are read, without the dot, in alphabetical order.
pub const EXTENSIONS: &[&str] = &[
    "adoc",
    "bash",
    "bat",
    "c",
    "cc",
    "cfg",
    "clj",
    "cmake",
    "conf",
    "cpp",
    "cs",
    "css",
    "csv",
    "cxx",
    "dart",
    "doc",
    "docx",
    "el",
    "elm",
    "erl",
    "ex",
    "exs",
    "f90",
    "fs",
    "go",
    "gradle",
    "graphql",
    "groovy",
    "h",
    "hpp",
    "hrl",
    "hs",
    "htm",
    "html",
    "hxx",
    "ini",
    "java",
    "jl",
    "js",
    "json",
    "jsonl",
    "jsx",
    "kt",
    "kts",
    "less",
    "lisp",
    "log",
    "lua",
    "m",
    "markdown",
    "md",
    "mjs",
    "ml",
    "mli",
    "mm",
    "ndjson",
    "nim",
    "org",
    "pas",
    "pdf",
    "php",
    "pl",
    "pm",
    "properties",
    "proto",
    "ps1",
    "py",
    "pyi",
    "r",
    "rb",
    "rs",
    "rst",
    "sass",
    "scala",
    "scm",
    "scss",
    "sh",
    "sol",
    "sql",
    "svelte",
    "swift",
    "tcl",
    "tex",
    "text",
    "tf",
    "toml",
    "ts",
    "tsv",
    "tsx",
    "txt",
    "v",
    "vb",
    "vhd",
    "vue",
    "xhtml",
    "xml",
    "xsl",
    "yaml",
    "yml",
    "zig",
    "zsh",
];

/// Reads a document from the bytes of a file. It takes as long as the file needs (see [`Limits::time`]), so asynchronous code calls
/// it on a blocking thread.
///
/// The format follows from the content where that is unmistakable (PDF, Word), else from the extension of `name`.
///
/// # Errors
/// Every error has `file` in its context and a remedy.
/// `unsupported` for a format that is not read, a password, or a PDF of pictures without text; `corrupt_data` for a damaged file or
/// one that is not what its name says; `invalid_argument` for a file without any text; `resource_exhausted` beyond a limit.
pub fn read(name: &str, bytes: &[u8], limits: &Limits) -> Result<Document> {
    let name_file = |error: Error| {
        if error.context().contains_key("file") { error } else { prefixed(name, error).with("file", name) }
    };
    limits.check_file(name, bytes.len() as u64).map_err(name_file)?;
    extract(name, bytes, limits).map_err(name_file)
}

/// Puts the name of the file before the message, and keeps everything else.
fn prefixed(name: &str, error: Error) -> Error {
    let mut out = Error::new(error.code(), format!("cannot read {name}: {}", error.message()));
    for (key, value) in error.context() {
        out = out.with(key, value);
    }
    out.with_source(error)
}

fn extract(name: &str, bytes: &[u8], limits: &Limits) -> Result<Document> {
    if bytes.is_empty() {
        return Err(Error::invalid_argument("the file is empty").with_remedy("add text to it, or leave it out"));
    }
    let format = format_of(name, bytes)?;
    let Extracted { text, places, title, mut warnings } = match format {
        Format::Pdf => pdf::extract(bytes, limits)?,
        Format::Docx => {
            let (text, places) = docx::extract(bytes, limits)?;
            Extracted { text, places, title: None, warnings: Vec::new() }
        }
        Format::Doc => plain(word::extract(bytes, limits)?),
        Format::Html => html::extract(bytes, limits)?,
        Format::Custom => return Err(Error::internal("a format of an app has no reader here")),
        format => written(format, name, text::clean(&text::decode(bytes)?), limits)?,
    };
    limits.check_text(text.len())?;
    if text.trim().is_empty() {
        return Err(Error::invalid_argument("it holds no text").with_remedy("add text to it, or leave it out"));
    }
    const BROKEN: &str = "\u{fffd}";
    if text.contains(BROKEN) && !bytes.windows(BROKEN.len()).any(|bytes| bytes == BROKEN.as_bytes()) {
        warnings.push(format!("some of it is in no encoding that was found, and is written as {BROKEN}"));
    }
    let Places { sections, .. } = places;
    limits.check_places(sections.len())?;
    let places = Places { sections: Vec::new(), ..places };
    Ok(Document { name: name.to_owned(), format, text, sections, title, warnings, places })
}

/// A file that is text to begin with.
fn written(format: Format, name: &str, text: String, limits: &Limits) -> Result<Extracted> {
    let language = match format {
        Format::Markdown => {
            let places = markdown::places(&text, limits)?;
            return Ok(Extracted { places, ..plain(text) });
        }
        Format::Rst => {
            let places = Places { sections: rst::sections(&text, limits)?, ..Places::lines(&text) };
            return Ok(Extracted { places, ..plain(text) });
        }
        Format::Csv => return table::separated(&text, extension(name) == "tsv", limits),
        Format::Json if matches!(extension(name).as_str(), "jsonl" | "ndjson") => data::Language::JsonLines,
        Format::Json => data::Language::Json,
        Format::Yaml => data::Language::Yaml,
        Format::Toml => data::Language::Toml,
        _ => return Ok(plain(text)),
    };
    Ok(match data::lines(&text, language, limits)? {
        Ok((text, places)) => Extracted { text, places, title: None, warnings: Vec::new() },
        // Comments, templates, broken rests: its words can be found all the same.
        Err(why) => Extracted { warnings: vec![format!("it was read as plain text: {why}")], ..plain(text) },
    })
}

/// Text whose lines are the lines of its file.
fn plain(text: String) -> Extracted {
    let places = Places::lines(&text);
    Extracted { text, places, title: None, warnings: Vec::new() }
}

pub(crate) fn extension(name: &str) -> String {
    Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase()
}

/// The format by what the content begins with, else by the extension of the name.
fn format_of(name: &str, bytes: &[u8]) -> Result<Format> {
    // Compound files: Word before 2007, and every Office document with a password.
    const COMPOUND: &[u8] = &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1];
    let extension = extension(name);
    let known = EXTENSIONS.contains(&extension.as_str());
    let accepted = known || extension.is_empty();
    let starts_as_pdf = bytes.starts_with(b"%PDF-");
    // Some writers put bytes before the mark; readers look for it in the first kilobyte.
    let holds_pdf = || bytes[..bytes.len().min(1024)].windows(5).any(|window| window == b"%PDF-");
    if accepted && bytes.starts_with(COMPOUND) {
        if extension == "doc" {
            return Ok(Format::Doc);
        }
        return Err(Error::unsupported("it is a Word document from before 2007, or one with a password")
            .with_remedy("open it in a word processor and save it as .docx without a password"));
    }
    match extension.as_str() {
        _ if accepted && starts_as_pdf => Ok(Format::Pdf),
        "pdf" if holds_pdf() => Ok(Format::Pdf),
        "pdf" => Err(Error::corrupt_data("it does not begin like a PDF")
            .with_remedy("get the file again; it may have been cut or renamed")),
        _ if accepted && bytes.starts_with(b"PK\x03\x04") => Ok(Format::Docx),
        "docx" => Err(Error::corrupt_data("it does not begin like a Word document")
            .with_remedy("get the file again; it may have been cut or renamed")),
        "doc" if bytes.starts_with(b"{\\rtf") => Ok(Format::Doc),
        "md" | "markdown" => Ok(Format::Markdown),
        "rst" => Ok(Format::Rst),
        "html" | "htm" | "xhtml" => Ok(Format::Html),
        // What servers and word processors call a Word document is often a page.
        "doc" if html::looks_like(bytes) => Ok(Format::Html),
        "doc" => Err(Error::corrupt_data("it does not begin like a Word document")
            .with_remedy("get the file again; it may have been cut or renamed")),
        "csv" | "tsv" => Ok(Format::Csv),
        "json" | "jsonl" | "ndjson" => Ok(Format::Json),
        "yaml" | "yml" => Ok(Format::Yaml),
        "toml" => Ok(Format::Toml),
        _ if code::EXTENSIONS.binary_search(&extension.as_str()).is_ok() => Ok(Format::Code),
        _ if accepted => Ok(Format::Text),
        other => Err(Error::unsupported(format!("files with the extension .{other} are not read"))
            .with_remedy(format!("convert it to one of: {}", EXTENSIONS.join(", ")))),
    }
}

/// Reads a document from a file, after looking at its size. `name` is what the document will be called.
///
/// # Errors
/// As [`read`], with the path in `file`; besides what the operating system says about the file, and `unsupported` for a path that is
/// not a regular file.
pub fn read_file(path: &Path, name: &str, limits: &Limits) -> Result<Document> {
    let named = |error: Error| error.with_file(path);
    // Looked at before opening, since opening a named pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|e| Error::file("read", path, e))?;
    if !metadata.is_file() {
        return Err(Error::unsupported(format!("{} is not a regular file", path.display()))
            .with_file(path)
            .with_remedy("give a file, or a folder to the function that walks it"));
    }
    limits.check_file(name, metadata.len()).map_err(named)?;
    let file = File::open(path).map_err(|e| Error::file("open", path, e))?;
    let mut bytes = Vec::new();
    // The file may have grown since.
    file.take(limits.file_bytes).read_to_end(&mut bytes).map_err(|e| Error::file("read", path, e))?;
    read(name, &bytes, limits).map_err(named)
}
