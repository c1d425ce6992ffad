//! Making a PDF harmless: bounded unpacking, and nothing left but what shows text.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Instant;

use flate2::read::ZlibDecoder;
use pdf_extract::content::{Content, Operation};
use pdf_extract::{Dictionary, Document, Object, ObjectId, Stream};

use super::{Failure, damaged, locked, too_slow};
use crate::rag::document::Limits;
use crate::{Error, Result};

/// No honest stream that the parser unpacks by itself is larger; pictures stay packed.
const STREAM: u64 = 256 << 20;
/// No honest page has more operators than fit in this many bytes.
const PAGE: usize = 64 << 20;
/// Forms inside forms further than this are not shown.
const FORM_DEPTH: usize = 32;
/// Forms are shown at most this many times on behalf of one form.
const FORM_REPEATS: u64 = 100_000;
/// Fonts and page properties are inherited over at most this many levels.
const PARENTS: usize = 64;

/// Refuses a file with a stream that would unpack to more than any honest one, once or twice packed.
///
/// It looks at the raw bytes, since the parser unpacks streams of objects on its own. A stream may lie inside another, so that what
/// follows one is no place to go on from; a file with many such is given up when the time is over.
pub(super) fn check_unpacked(bytes: &[u8], limits: &Limits, deadline: Instant) -> Result<()> {
    let most = STREAM.min(limits.unpacked_bytes);
    let in_time = || Instant::now() < deadline;
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], b"stream") {
        let after = at + found + b"stream".len();
        at = after;
        let rest = &bytes[after..];
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        // What zlib writes first: the method, and a checksum of both bytes.
        let is_packed = matches!(rest, [method, flags, ..] if method & 15 == 8 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0);
        let is_bomb = is_packed
            && (unpacks_beyond(ZlibDecoder::new(rest), most, &in_time)
                || unpacks_beyond(ZlibDecoder::new(ZlibDecoder::new(rest)), most, &in_time));
        if !in_time() {
            return Err(too_slow(limits));
        }
        if is_bomb {
            return Err(Error::resource_exhausted(format!("one of its streams unpacks to more than {most} bytes"))
                .with("limit", most)
                .with_remedy("it looks like a bomb; if you trust the file, save it again from a PDF viewer"));
        }
    }
    Ok(())
}

fn unpacks_beyond(reader: impl Read, most: u64, in_time: &dyn Fn() -> bool) -> bool {
    let mut bounded = reader.take(most.saturating_add(1));
    let mut piece = vec![0; 256 << 10];
    // A stream that breaks off has been unpacked as far as anyone can.
    while in_time() && matches!(bounded.read(&mut piece), Ok(read) if read > 0) {}
    bounded.limit() == 0
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Parses the file and opens what is encrypted without a password.
pub(super) fn load(bytes: &[u8]) -> Result<Document> {
    use pdf_extract::Error as Pdf;
    let document = Document::load_mem(bytes);
    let mut document = match document {
        Ok(document) => document,
        Err(Pdf::InvalidPassword | Pdf::Decryption(_) | Pdf::UnsupportedSecurityHandler(_)) => return Err(locked()),
        Err(error) => return Err(damaged(error.to_string()).with_source(error)),
    };
    // The parser opens what needs no password; of the rest it reads nothing but the trailer, and does not say so.
    if document.trailer.has(b"Encrypt") {
        document.decrypt("").map_err(|error| locked().with_source(error))?;
    }
    Ok(document)
}

/// The content of a stream, unless it unpacks to more than `most` bytes.
fn content(stream: &Stream, most: usize) -> Option<Vec<u8>> {
    let filters = stream.filters().unwrap_or_default();
    let (mut packings, mut by_zlib_alone) = (0, filters.len() == 1);
    for filter in &filters {
        packings += usize::from(matches!(*filter, b"FlateDecode" | b"Fl" | b"LZWDecode" | b"LZW"));
        by_zlib_alone &= *filter == b"FlateDecode" && !stream.dict.has(b"DecodeParms");
    }
    if by_zlib_alone {
        let mut out = Vec::new();
        // What came before a fault still counts.
        let _ = ZlibDecoder::new(stream.content.as_slice()).take(most as u64 + 1).read_to_end(&mut out);
        return (out.len() <= most).then_some(out);
    }
    let bounded_by = if packings == 0 { most } else { most / 4096 };
    if packings > 1 || stream.content.len() > bounded_by {
        return None;
    }
    let out = if filters.is_empty() { stream.content.clone() } else { stream.decompressed_content().ok()? };
    (out.len() <= most).then_some(out)
}

/// Empties pictures, reduces forms to what shows text, and empties those that would show themselves or multiply without end.
pub(super) fn reduce_forms(document: &mut Document) {
    let mut forms = BTreeMap::new();
    for (id, object) in &mut document.objects {
        let Object::Stream(stream) = object else { continue };
        match stream.dict.get(b"Subtype").and_then(Object::as_name) {
            Ok(b"Form") => {
                let mut operations =
                    content(stream, PAGE).and_then(|bytes| text_operations(&bytes)).unwrap_or_default();
                if !stream.dict.has(b"Resources") {
                    // It would use those of whoever shows it, and so could show itself.
                    operations.retain(|operation| operation.operator != "Do");
                }
                let shows = operations.iter().filter(|operation| operation.operator == "Do").count() as u64;
                set_operations(stream, operations);
                forms.insert(*id, shows);
            }
            Ok(b"Image") => set_operations(stream, Vec::new()),
            _ => {}
        }
    }
    let edges: BTreeMap<ObjectId, Vec<ObjectId>> =
        forms.keys().map(|id| (*id, shown_by(document, *id, &forms))).collect();
    let mut weights = BTreeMap::new();
    let mut open = BTreeSet::new();
    let mut bad = BTreeSet::new();
    for id in forms.keys() {
        weigh(*id, &forms, &edges, &mut weights, &mut open, &mut bad, 0);
    }
    for id in bad {
        if let Ok(Object::Stream(stream)) = document.get_object_mut(id) {
            set_operations(stream, Vec::new());
        }
    }
}

/// The forms that a form could show by the names in its resources.
fn shown_by(document: &Document, id: ObjectId, forms: &BTreeMap<ObjectId, u64>) -> Vec<ObjectId> {
    let resources =
        document.get_object(id).and_then(Object::as_stream).and_then(|s| s.dict.get_deref(b"Resources", document));
    let Ok(objects) =
        resources.and_then(Object::as_dict).and_then(|r| r.get_deref(b"XObject", document)).and_then(Object::as_dict)
    else {
        return Vec::new();
    };
    let targets = objects.iter().filter_map(|(_, object)| document.dereference(object).ok()?.0);
    targets.filter(|id| forms.contains_key(id)).collect()
}

/// How many forms are shown when one is, at most; cycles, great depth and great numbers go to `bad`.
fn weigh(
    id: ObjectId,
    forms: &BTreeMap<ObjectId, u64>,
    edges: &BTreeMap<ObjectId, Vec<ObjectId>>,
    weights: &mut BTreeMap<ObjectId, u64>,
    open: &mut BTreeSet<ObjectId>,
    bad: &mut BTreeSet<ObjectId>,
    depth: usize,
) -> u64 {
    if let Some(weight) = weights.get(&id) {
        return *weight;
    }
    let shows = forms.get(&id).copied().unwrap_or(0);
    if shows == 0 {
        return 1;
    }
    if depth >= FORM_DEPTH || !open.insert(id) {
        bad.insert(id);
        return 1;
    }
    let mut heaviest = 1;
    for child in edges.get(&id).into_iter().flatten() {
        heaviest = heaviest.max(weigh(*child, forms, edges, weights, open, bad, depth + 1));
    }
    open.remove(&id);
    let mut weight = shows.saturating_mul(heaviest).saturating_add(1);
    if weight > FORM_REPEATS {
        bad.insert(id);
        weight = 1;
    }
    if !bad.contains(&id) {
        weights.insert(id, weight);
    }
    weight
}

/// Replaces the content of a page by what shows text, and gives it the properties that it must have.
pub(super) fn reduce_page(document: &mut Document, id: ObjectId, limits: &Limits) -> std::result::Result<(), Failure> {
    let mut bytes = Vec::new();
    for part in document.get_page_contents(id) {
        let Ok(Object::Stream(stream)) = document.get_object(part) else { continue };
        let most = PAGE.min(limits.text_bytes.saturating_mul(8)).saturating_sub(bytes.len());
        bytes.extend(content(stream, most).ok_or(Failure::Damaged)?);
        bytes.push(b'\n');
    }
    let operations = text_operations(&bytes).ok_or(Failure::Damaged)?;
    let mut stream = Stream::new(Dictionary::new(), Vec::new());
    set_operations(&mut stream, operations);
    let media = inherited(document, id, b"MediaBox").filter(is_box);
    let resources = inherited(document, id, b"Resources");
    let new = (document.objects.keys().next_back().map_or(1, |(number, _)| number.saturating_add(1)), 0);
    document.objects.insert(new, Object::Stream(stream));
    let Ok(Object::Dictionary(page)) = document.get_object_mut(id) else { return Err(Failure::Damaged) };
    page.set("Contents", Object::Reference(new));
    // US Letter, where the file does not say; it only decides which way is up.
    let letter = || Object::Array([0, 0, 612, 792].map(Object::Integer).to_vec());
    page.set("MediaBox", media.unwrap_or_else(letter));
    page.set("Resources", resources.unwrap_or_else(|| Object::Dictionary(Dictionary::new())));
    page.remove(b"ArtBox");
    // All that could be inherited stands here now; a chain of parents may be a ring.
    page.remove(b"Parent");
    Ok(())
}

fn inherited(document: &Document, page: ObjectId, key: &[u8]) -> Option<Object> {
    let mut dictionary = document.get_dictionary(page).ok()?;
    for _ in 0..PARENTS {
        if let Ok(object) = dictionary.get_deref(key, document) {
            return Some(object.clone());
        }
        dictionary = dictionary.get_deref(b"Parent", document).and_then(Object::as_dict).ok()?;
    }
    None
}

fn is_box(object: &Object) -> bool {
    object.as_array().is_ok_and(|sides| sides.len() == 4 && sides.iter().all(|side| side.as_float().is_ok()))
}

fn set_operations(stream: &mut Stream, operations: Vec<Operation>) {
    let bytes = Content { operations }.encode().unwrap_or_default();
    stream.dict.remove(b"DecodeParms");
    stream.set_plain_content(bytes);
}

/// The operators of a content stream that decide which text stands where, with operands of the right number and kind.
fn text_operations(bytes: &[u8]) -> Option<Vec<Operation>> {
    let content = Content::decode(bytes).ok()?;
    let mut kept = Vec::new();
    for operation in content.operations {
        let operands = operation.operands;
        let numbers =
            |count: usize| operands.len() == count && operands.iter().all(|o| o.as_float().is_ok_and(f32::is_finite));
        match operation.operator.as_str() {
            "BT" | "ET" | "q" | "Q" | "T*" => kept.push(Operation::new(&operation.operator, Vec::new())),
            "cm" | "Tm" if numbers(6) => kept.push(Operation::new(&operation.operator, operands)),
            "Td" | "TD" if numbers(2) => kept.push(Operation::new(&operation.operator, operands)),
            "Tc" | "Tw" | "Tz" | "TL" | "Ts" if numbers(1) => kept.push(Operation::new(&operation.operator, operands)),
            "Tf" if matches!(operands.as_slice(), [Object::Name(_), size] if size.as_float().is_ok()) => {
                kept.push(Operation::new("Tf", operands));
            }
            "Do" if matches!(operands.as_slice(), [Object::Name(_)]) => kept.push(Operation::new("Do", operands)),
            "Tj" if matches!(operands.as_slice(), [Object::String(..)]) => kept.push(Operation::new("Tj", operands)),
            "TJ" if matches!(operands.as_slice(), [Object::Array(_)]) => kept.push(Operation::new("TJ", operands)),
            // The extractor does not know these two, which are short for what follows here.
            "'" if matches!(operands.as_slice(), [Object::String(..)]) => {
                kept.push(Operation::new("T*", Vec::new()));
                kept.push(Operation::new("Tj", operands));
            }
            "\"" => {
                let Ok([word, character, text @ Object::String(..)]) = <[Object; 3]>::try_from(operands) else {
                    continue;
                };
                kept.push(Operation::new("Tw", vec![word]));
                kept.push(Operation::new("Tc", vec![character]));
                kept.push(Operation::new("T*", Vec::new()));
                kept.push(Operation::new("Tj", vec![text]));
            }
            _ => {}
        }
    }
    Some(kept)
}
