//! Readers that an app brings for formats of its own.

use async_trait::async_trait;

use super::place::short;
use super::{Document, Format, Limits, Places, Section, SectionKind, prefixed, text};
use crate::{Error, Result};

/// A part of a document as a reader of the app's own gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What a citation calls it, for example `slide 3`.
    pub label: Option<String>,
    /// Its text.
    pub text: String,
}

/// Reads a format that the library does not know, or reads a known one in another way.
#[async_trait]
pub trait DocumentReader: Send + Sync + 'static {
    /// The extensions of the files that it reads, without the dot, in any case. They win over those of the library.
    fn extensions(&self) -> Vec<String>;

    /// The parts of a file in their order. `name` is what the document is called.
    async fn read(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<Part>>;
}

/// Whether the reader is for a file of this name.
pub(crate) fn reads(reader: &dyn DocumentReader, name: &str) -> bool {
    let extension = std::path::Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or("");
    !extension.is_empty() && reader.extensions().iter().any(|own| own.eq_ignore_ascii_case(extension))
}

/// The document that a reader made of a file.
///
/// # Errors
/// The reader's own, `invalid_argument` for a file without any text, `resource_exhausted` beyond a limit; each names
/// the file.
pub(crate) async fn read_with(
    reader: &dyn DocumentReader,
    name: &str,
    bytes: Vec<u8>,
    limits: &Limits,
) -> Result<Document> {
    let read = async {
        limits.check_file(name, bytes.len() as u64)?;
        assemble(name, reader.read(name, bytes).await?, limits)
    };
    read.await.map_err(|error| prefixed(name, error).with("file", name))
}

fn assemble(name: &str, parts: Vec<Part>, limits: &Limits) -> Result<Document> {
    let mut document = Document {
        name: name.to_owned(),
        format: Format::Custom,
        text: String::new(),
        sections: vec![],
        title: None,
        warnings: vec![],
        places: Places::default(),
    };
    for part in parts {
        let part_text = text::clean(&part.text);
        if part_text.trim().is_empty() {
            continue;
        }
        if !document.text.is_empty() {
            document.text.push_str("\n\n");
        }
        let start = document.text.len();
        document.text.push_str(part_text.trim_end());
        limits.check_text(document.text.len())?;
        if let Some(label) = part.label.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()) {
            let range = start..document.text.len();
            let path = vec![short(&label)];
            document.sections.push(Section { kind: SectionKind::Heading, label, path, range });
        }
    }
    if document.text.is_empty() {
        return Err(Error::invalid_argument("its reader found no text").with_remedy("add text to it, or leave it out"));
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    struct Slides;

    #[async_trait]
    impl DocumentReader for Slides {
        fn extensions(&self) -> Vec<String> {
            vec!["Slides".into()]
        }

        async fn read(&self, _: &str, bytes: Vec<u8>) -> Result<Vec<Part>> {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let part = |(n, text): (usize, &str)| Part { label: Some(format!("slide {}", n + 1)), text: text.into() };
            Ok(text.split('|').enumerate().map(part).collect())
        }
    }

    #[tokio::test]
    async fn parts_become_sections_that_a_citation_can_name() {
        let document = read_with(&Slides, "a.slides", b"one|  |three".to_vec(), &Limits::default()).await.unwrap();
        assert_eq!(document.text, "one\n\nthree");
        let labels: Vec<_> =
            document.sections.iter().map(|s| (s.label.as_str(), &document.text[s.range.clone()])).collect();
        assert_eq!(labels, [("slide 1", "one"), ("slide 3", "three")]);
        assert!(reads(&Slides, "deck.SLIDES") && !reads(&Slides, "slides") && !reads(&Slides, "a.md"));
    }

    #[tokio::test]
    async fn a_file_that_its_reader_finds_empty_is_an_error_that_names_it() {
        let error = read_with(&Slides, "a.slides", b" | ".to_vec(), &Limits::default()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert_eq!(error.context()["file"], "a.slides");
        let small = Limits { text_bytes: 3, ..Limits::default() };
        let error = read_with(&Slides, "a.slides", b"one|two".to_vec(), &small).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    }
}
