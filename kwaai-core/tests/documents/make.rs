//! Files made by hand for the tests of the readers.

use std::io::{Cursor, Write};

/// A PDF with a line of text on each page.
pub fn pdf(pages: &[&str]) -> Vec<u8> {
    let contents: Vec<String> = pages.iter().map(|text| format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET")).collect();
    pdf_with(&contents, "")
}

/// A PDF with these content streams, one for each page, and more objects from number 100 on; `/X` names object 100.
pub fn pdf_with(contents: &[String], more: &str) -> Vec<u8> {
    let streams = contents.iter().map(|content| ("".to_owned(), content.clone().into_bytes())).collect();
    build(streams, more, "")
}

/// A PDF whose only page is packed with zlib.
pub fn packed_pdf(content: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(content).unwrap();
    build(vec![("/Filter /FlateDecode".to_owned(), packed.finish().unwrap())], "", "")
}

/// A PDF that is encrypted with RC4 of 128 bits; without a user's password anyone may open it.
pub fn encrypted_pdf(user_password: &str) -> Vec<u8> {
    use pdf_extract::{Document, EncryptionState, EncryptionVersion, Object, Permissions, StringFormat};
    let mut document = Document::load_mem(&pdf(&["These words were encrypted."])).unwrap();
    let id = Object::String(vec![0x42; 16], StringFormat::Hexadecimal);
    document.trailer.set("ID", Object::Array(vec![id.clone(), id]));
    let version = EncryptionVersion::V2 {
        document: &document,
        owner_password: "owner",
        user_password,
        key_length: 128,
        permissions: Permissions::all(),
    };
    let state = EncryptionState::try_from(version).unwrap();
    document.encrypt(&state).unwrap();
    let mut out = Vec::new();
    document.save_to(&mut out).unwrap();
    out
}

/// A PDF that says in its trailer itself that it is encrypted, in a way that nobody can undo.
pub fn locked_pdf() -> Vec<u8> {
    let key = "41".repeat(32);
    let id = "42".repeat(16);
    let encrypt = format!("/Encrypt << /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >> /ID [<{id}> <{id}>]");
    build(vec![(String::new(), b"BT /F1 12 Tf 72 720 Td (secret) Tj ET".to_vec())], "", &encrypt)
}

fn build(streams: Vec<(String, Vec<u8>)>, more: &str, trailer: &str) -> Vec<u8> {
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut offsets: Vec<(usize, usize)> = Vec::new();
    let mut add = |out: &mut Vec<u8>, number: usize, body: &[u8]| {
        offsets.push((number, out.len()));
        out.extend_from_slice(format!("{number} 0 obj ").as_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b" endobj\n");
    };
    let kids: Vec<String> = (0..streams.len()).map(|page| format!("{} 0 R", 10 + page)).collect();
    add(&mut out, 1, b"<< /Type /Catalog /Pages 2 0 R >>");
    add(&mut out, 2, format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), kids.len()).as_bytes());
    add(&mut out, 3, b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
    for (page, (entries, content)) in streams.iter().enumerate() {
        let resources = "<< /Font << /F1 3 0 R >> /XObject << /X 100 0 R >> >>";
        let head = format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R /Resources {resources} >>",
            50 + page
        );
        add(&mut out, 10 + page, head.as_bytes());
        let mut body = format!("<< /Length {} {entries} >> stream\n", content.len()).into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\nendstream");
        add(&mut out, 50 + page, &body);
    }
    for object in more.split_inclusive("endobj\n") {
        if let Some((number, rest)) = object.split_once(" 0 obj ") {
            add(&mut out, number.trim().parse().unwrap(), rest.trim_end().trim_end_matches("endobj").as_bytes());
        }
    }
    let start = out.len();
    let size = offsets.iter().map(|(number, _)| number + 1).max().unwrap();
    let mut table = String::from("xref\n0 1\n0000000000 65535 f \n");
    for (number, offset) in &offsets {
        table += &format!("{number} 1\n{offset:010} 00000 n \n");
    }
    out.extend_from_slice(table.as_bytes());
    out.extend_from_slice(
        format!("trailer << /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n").as_bytes(),
    );
    out
}

/// A Word document with this body and these further parts.
pub fn docx(body: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let document =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<w:document><w:body>{body}</w:body></w:document>");
    let relations = r#"<Relationships><Relationship Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#;
    let mut parts =
        vec![("[Content_Types].xml", "<Types/>"), ("_rels/.rels", relations), ("word/document.xml", document.as_str())];
    parts.extend_from_slice(more);
    zip(&parts)
}

/// A zip archive with these entries.
pub fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
