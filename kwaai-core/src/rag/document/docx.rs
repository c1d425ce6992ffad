//! Word documents in Office Open XML (ECMA-376): the body's paragraphs, headings, lists, tables and notes.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::rag::document::place::Places;
use crate::rag::document::{Limits, text};
use crate::{Error, Result};

mod body;

/// Elements inside each other further than this are not followed; Word itself stops far earlier.
const DEPTH: usize = 256;
/// Parts that unpack to no more than this are never taken for a bomb.
const SMALL: u64 = 1 << 20;

/// The text of a document and its places.
pub(super) fn extract(bytes: &[u8], limits: &Limits) -> Result<(String, Places)> {
    let mut package = Package::open(bytes, limits)?;
    let main = package.main_part()?;
    let folder = main.rfind('/').map_or("", |slash| &main[..=slash]).to_owned();
    let body = package.part(&main)?.ok_or_else(|| damaged(format!("its part {main} is missing")))?;
    let styles = match package.part(&format!("{folder}styles.xml"))? {
        Some(xml) => body::heading_styles(&xml)?,
        None => BTreeMap::new(),
    };
    let mut out = body::Body::new(styles, limits);
    out.read(&body)?;
    for notes in ["footnotes.xml", "endnotes.xml"] {
        if let Some(xml) = package.part(&format!("{folder}{notes}"))? {
            out.read_notes(&xml)?;
        }
    }
    out.finish()
}

/// The zip archive, with what may still be unpacked from it.
struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    limits: &'a Limits,
    left: u64,
}

impl<'a> Package<'a> {
    fn open(bytes: &'a [u8], limits: &'a Limits) -> Result<Package<'a>> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(zip_error)?;
        if archive.len() > limits.entries {
            return Err(Error::resource_exhausted(format!(
                "it has {} entries, more than {}",
                archive.len(),
                limits.entries
            ))
            .with("limit", limits.entries)
            .with_remedy("if you trust the file, raise the limit entries"));
        }
        Ok(Package { archive, limits, left: limits.unpacked_bytes })
    }

    /// Where the body stands: what the package's relations say, else where Word puts it.
    fn main_part(&mut self) -> Result<String> {
        let mut target = None;
        if let Some(relations) = self.part("_rels/.rels")? {
            each_element(&relations, |element| {
                if element.local_name().as_ref() == "Relationship"
                    && attribute(element, "Type")?.is_some_and(|kind| kind.ends_with("/officeDocument"))
                {
                    target = attribute(element, "Target")?;
                }
                Ok(())
            })?;
        }
        let main =
            target.map_or_else(|| "word/document.xml".to_owned(), |path| path.trim_start_matches('/').to_owned());
        // Spreadsheets and presentations are packages of the same kind.
        if !main.starts_with("word/") && self.archive.index_for_name("word/document.xml").is_none() {
            return Err(Error::unsupported("it is an Office file, but not a Word document")
                .with_remedy("save it as PDF or text"));
        }
        if self.archive.index_for_name(&main).is_none() && self.archive.index_for_name("[Content_Types].xml").is_none()
        {
            return Err(Error::unsupported("it is a zip archive, not a Word document")
                .with_remedy("unpack it and read the files inside"));
        }
        Ok(main)
    }

    /// Unpacks one part as text; `None` when the archive has none of that name. The declared size is not believed.
    fn part(&mut self, name: &str) -> Result<Option<String>> {
        let file = match self.archive.by_name(name) {
            Ok(file) => file,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(zip_error(error)),
        };
        let packed = file.compressed_size().max(1);
        let by_ratio = packed.saturating_mul(self.limits.unpacked_ratio).max(SMALL);
        let most = by_ratio.min(self.left);
        let mut bytes = Vec::new();
        // One byte more tells a part that ends at the limit from one that goes on.
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| damaged(format!("{name} cannot be unpacked: {e}")))?;
        let unpacked = bytes.len() as u64;
        if unpacked > most {
            let (limit, field) = if by_ratio < self.left {
                (self.limits.unpacked_ratio, "unpacked_ratio")
            } else {
                (self.limits.unpacked_bytes, "unpacked_bytes")
            };
            return Err(Error::resource_exhausted(format!(
                "{name} unpacks to far more than its size ({packed} bytes packed)"
            ))
            .with("limit", limit)
            .with_remedy(format!("it looks like a bomb; if you trust the file, raise the limit {field}")));
        }
        self.left -= unpacked;
        text::decode(&bytes).map(Some).map_err(|error| damaged(format!("{name}: {}", error.message())))
    }
}

fn zip_error(error: ZipError) -> Error {
    match error {
        ZipError::UnsupportedArchive(why) if why.to_ascii_lowercase().contains("password") => {
            Error::unsupported("it is locked with a password").with_remedy("save it without the password")
        }
        ZipError::UnsupportedArchive(why) => {
            Error::unsupported(format!("its archive needs something not supported: {why}"))
                .with_remedy("open it in a word processor and save it again as .docx")
        }
        error => damaged(error.to_string()).with_source(error),
    }
}

fn damaged(why: String) -> Error {
    Error::corrupt_data(format!("the Word document is damaged: {why}"))
        .with_remedy("get the file again, or open it in a word processor and save it again as .docx")
}

/// Calls back for every start of an element.
fn each_element(xml: &str, mut element: impl FnMut(&BytesStart<'_>) -> Result<()>) -> Result<()> {
    each_event(xml, |event| match event {
        Event::Start(start) | Event::Empty(start) => element(start),
        _ => Ok(()),
    })
}

/// Calls back for every event of well-formed XML without a document type, and no deeper than [`DEPTH`].
fn each_event(xml: &str, mut callback: impl FnMut(&Event<'_>) -> Result<()>) -> Result<()> {
    let mut reader = Reader::from_str(xml);
    let mut depth = 0usize;
    loop {
        let event = reader.read_event().map_err(|e| damaged(format!("its XML is broken: {e}")))?;
        match &event {
            Event::Start(_) => {
                depth += 1;
                if depth > DEPTH {
                    return Err(damaged(format!("its elements lie more than {DEPTH} deep")));
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => {
                return Err(damaged("it declares a document type, which Word documents never do".to_owned()));
            }
            Event::Eof if depth > 0 => return Err(damaged("its XML ends too early".to_owned())),
            Event::Eof => return Ok(()),
            _ => {}
        }
        callback(&event)?;
    }
}

/// The value of an attribute, whatever its prefix.
fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>> {
    for attribute in element.attributes().with_checks(false) {
        let attribute = attribute.map_err(|e| damaged(format!("its XML is broken: {e}")))?;
        if attribute.key.local_name().as_ref() == name {
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            return Ok(Some(value.map_err(|e| damaged(format!("its XML is broken: {e}")))?.into_owned()));
        }
    }
    Ok(None)
}
