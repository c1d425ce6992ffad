//! PDF: the text of each page.
//!
//! The parser and the text extractor underneath panic on files that bend the rules, and follow whatever a file refers to. So a file is
//! read on a thread of its own, with a time limit; what it unpacks to is measured first; and each page is reduced to the operators that
//! show text before the extractor sees it.

use std::cell::RefCell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use pdf_extract::{MediaBox, OutputDev, OutputError, PlainTextOutput, Transform};

use crate::rag::document::{Extracted, Limits, Places, Section, SectionKind, text};
use crate::{Error, Result};

mod plain;
mod tidy;

/// The parser descends by calls; files may nest up to its own limits.
const STACK: usize = 64 << 20;

/// Reads a PDF, one section for each page that has text, and gives up when the time is over.
pub(super) fn extract(bytes: &[u8], limits: &Limits) -> Result<Extracted> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (bytes, limits) = (bytes.to_vec(), *limits);
    let deadline = Instant::now() + limits.time;
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(|| pages(&bytes, &limits, deadline)));
        // Nobody listens any more once the time is over.
        let _ = sender.send(result.unwrap_or_else(|_| Err(damaged("its structure cannot be followed".to_owned()))));
    };
    let thread = std::thread::Builder::new().name("kwaai-pdf".to_owned()).stack_size(STACK);
    thread
        .spawn(work)
        .map_err(|e| Error::resource_exhausted(format!("no thread to read it on: {e}")).with_source(e))?;
    // The thread itself stops soon after its deadline; the second more lets it say so.
    receiver.recv_timeout(limits.time + Duration::from_secs(1)).map_err(|_| too_slow(&limits))?
}

fn pages(bytes: &[u8], limits: &Limits, deadline: Instant) -> Result<Extracted> {
    plain::check_unpacked(bytes, limits, deadline)?;
    let mut document = plain::load(bytes)?;
    let pages = document.get_pages();
    if pages.is_empty() {
        return Err(damaged("it has no pages".to_owned()));
    }
    plain::reduce_forms(&mut document);
    let mut texts = Vec::new();
    let mut warnings = Vec::new();
    let mut left = limits.text_bytes;
    let mut failed = 0;
    for (number, id) in &pages {
        if Instant::now() >= deadline {
            return Err(too_slow(limits));
        }
        let page = catch_unwind(AssertUnwindSafe(|| {
            plain::reduce_page(&mut document, *id, limits)?;
            page_text(&document, *number, left, deadline)
        }));
        match page {
            Ok(Ok(page)) => {
                left -= page.len().min(left);
                texts.push((*number, tidy::page(&text::clean(&page))));
            }
            Ok(Err(Failure::TooLong)) => limits.check_text(usize::MAX)?,
            Ok(Err(Failure::TooSlow)) => return Err(too_slow(limits)),
            Ok(Err(Failure::Damaged)) | Err(_) => {
                failed += 1;
                warnings.push(format!("page {number} could not be read"));
            }
        }
    }
    let joined = join(&texts);
    if joined.0.is_empty() && failed > 0 {
        return Err(damaged("none of its pages can be read".to_owned()));
    }
    if joined.0.is_empty() {
        return Err(Error::unsupported("its pages hold no text, only pictures; it is probably a scan")
            .with_remedy("run a text recognition program (OCR) over it and read the result"));
    }
    let (text, sections) = joined;
    Ok(Extracted { text, places: Places { sections, ..Places::default() }, title: None, warnings })
}

/// Puts pages behind each other. A sentence that goes on over the end of a page is not cut by an empty line.
fn join(pages: &[(u32, String)]) -> (String, Vec<Section>) {
    let mut text = String::new();
    let mut sections: Vec<Section> = Vec::new();
    for (number, page) in pages.iter().filter(|(_, page)| !page.is_empty()) {
        if let Some(last) = sections.last_mut() {
            let goes_on = !text.ends_with(['.', '!', '?', ':', '"', '”', '。']) && page.starts_with(char::is_lowercase);
            text.push_str(if goes_on { "\n" } else { "\n\n" });
            last.range.end = text.len();
        }
        let start = text.len();
        text.push_str(page);
        let (label, range) = (format!("page {number}"), start..text.len());
        sections.push(Section { kind: SectionKind::Page, label, path: Vec::new(), range });
    }
    (text, sections)
}

/// Why a page gave no text.
enum Failure {
    TooLong,
    TooSlow,
    Damaged,
}

fn page_text(
    document: &pdf_extract::Document,
    number: u32,
    most: usize,
    deadline: Instant,
) -> std::result::Result<String, Failure> {
    let sink = Rc::new(RefCell::new(Sink { text: Vec::new(), most, deadline, stopped: None }));
    let mut writer = SharedSink(sink.clone());
    let result = {
        let writer: &mut dyn Write = &mut writer;
        let mut output = Watched { inner: PlainTextOutput::new(writer), sink: sink.clone() };
        pdf_extract::output_doc_page(document, &mut output, number)
    };
    let mut sink = sink.borrow_mut();
    if let Some(failure) = sink.stopped.take() {
        return Err(failure);
    }
    result.map_err(|_| Failure::Damaged)?;
    Ok(String::from_utf8_lossy(&sink.text).into_owned())
}

/// Where the text of a page goes, as long as there is room and time.
struct Sink {
    text: Vec<u8>,
    most: usize,
    deadline: Instant,
    stopped: Option<Failure>,
}

impl Sink {
    fn check(&mut self) -> std::result::Result<(), OutputError> {
        if Instant::now() >= self.deadline {
            self.stopped = Some(Failure::TooSlow);
        }
        match self.stopped {
            Some(_) => Err(OutputError::FormatError(std::fmt::Error)),
            None => Ok(()),
        }
    }
}

struct SharedSink(Rc<RefCell<Sink>>);

impl Write for SharedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sink = self.0.borrow_mut();
        if sink.text.len() + bytes.len() > sink.most {
            sink.stopped = Some(Failure::TooLong);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        sink.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Looks at the clock at everything the extractor does.
struct Watched<'a> {
    inner: PlainTextOutput<&'a mut dyn Write>,
    sink: Rc<RefCell<Sink>>,
}

impl OutputDev for Watched<'_> {
    fn begin_page(
        &mut self,
        number: u32,
        media: &MediaBox,
        art: Option<(f64, f64, f64, f64)>,
    ) -> std::result::Result<(), OutputError> {
        self.inner.begin_page(number, media, art)
    }

    fn end_page(&mut self) -> std::result::Result<(), OutputError> {
        self.inner.end_page()
    }

    fn output_character(
        &mut self,
        transform: &Transform,
        width: f64,
        spacing: f64,
        font_size: f64,
        character: &str,
    ) -> std::result::Result<(), OutputError> {
        self.inner.output_character(transform, width, spacing, font_size, character)
    }

    fn begin_word(&mut self) -> std::result::Result<(), OutputError> {
        self.sink.borrow_mut().check()?;
        self.inner.begin_word()
    }

    fn end_word(&mut self) -> std::result::Result<(), OutputError> {
        self.inner.end_word()
    }

    fn end_line(&mut self) -> std::result::Result<(), OutputError> {
        self.sink.borrow_mut().check()?;
        self.inner.end_line()
    }
}

fn too_slow(limits: &Limits) -> Error {
    Error::resource_exhausted(format!("reading it takes longer than {} s", limits.time.as_secs_f64()))
        .with("limit", limits.time.as_millis())
        .with_remedy("split the file, or raise the limit time")
}

fn damaged(why: String) -> Error {
    Error::corrupt_data(format!("the PDF is damaged: {why}"))
        .with_remedy("get the file again, or open it in a PDF viewer and save it again")
}

fn locked() -> Error {
    Error::unsupported("it is locked with a password")
        .with_remedy("open it in a PDF viewer and save it without the password")
}
