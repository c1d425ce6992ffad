"""Writes the two documents that the quickstart reads beside `docs/`: a PDF and a DOCX, made with nothing but Python.

    python3 examples/make_documents.py

The same text always gives the same bytes, so the files are committed and this program says how they came to be.
"""

from __future__ import annotations

import textwrap
import zipfile
import zlib
from pathlib import Path
from xml.sax.saxutils import escape

DATA = Path(__file__).parent / "data"

FIELD_NOTE = [
    (
        "Field note: a reading room on four old laptops",
        [
            "This note describes a small installation of kwaainet in a public library. It is an example document: "
            "the library, its people and its figures are invented.",
            "The reading room of Elmsworth keeps four refurbished laptops on one shelf. Two of them host the blocks "
            "of a language model, one keeps the knowledge base of local history, and one is the terminal that "
            "visitors use.",
            "The laptops draw 61 watts together while they answer a question and 18 watts while they wait.",
            "The room opened in March. In its first month visitors asked 412 questions, and 57 of them were refused "
            "because the documents did not hold an answer.",
        ],
    ),
    (
        "What was learned",
        [
            "When the laptop called Heron lost its power, the conversation stopped with an error that named the "
            "missing blocks. Starting Heron again was enough; nothing had to be repaired.",
            "The librarian gives new hosts a VerifiedNode credential only after their owner has shown an identity "
            "card at the desk.",
            "Answers with page numbers are trusted more: visitors opened the quoted page in two of three cases.",
        ],
    ),
]

CHARTER = [
    ("h", "Charter of the Elmsworth hosts"),
    ("p", "This charter is an example document. Everybody who lends a computer to the Elmsworth reading room agrees to it."),
    ("h", "Duties of a host"),
    ("p", "A host answers within the limits that its owner has set and says so when a limit is reached."),
    ("p", "A host keeps no record of the questions that pass through it."),
    ("p", "An owner who wants to withdraw a computer tells the librarian seven days before."),
    ("h", "Duties of the library"),
    ("p", "The library pays 4 euros a month for each lent computer, to cover its electricity."),
    ("p", "The library publishes twice a year how many questions were asked and how many were refused."),
    ("t", [("Host", "Owner", "Blocks"), ("Heron", "The town archive", "0 to 2"), ("Wren", "The youth club", "2 to 4")]),
]


def pdf(pages: list[tuple[str, list[str]]]) -> bytes:
    """A PDF 1.4 with one page for each title, set in Helvetica."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    catalog, tree = add(b""), add(b"")
    regular = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    bold = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
    kids = []
    for title, paragraphs in pages:
        lines = ["BT", "/F2 16 Tf", "72 760 Td", f"({literal(title)}) Tj", "/F1 11 Tf", "0 -28 Td", "15 TL"]
        for paragraph in paragraphs:
            for line in textwrap.wrap(paragraph, 84):
                lines.append(f"({literal(line)}) Tj T*")
            lines.append("T*")
        lines.append("ET")
        stream = zlib.compress("\n".join(lines).encode("cp1252"), 9)
        content = add(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream))
        kids.append(
            add(
                b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 595 842] /Contents %d 0 R "
                b"/Resources << /Font << /F1 %d 0 R /F2 %d 0 R >> >> >>" % (tree, content, regular, bold)
            )
        )
    objects[catalog - 1] = b"<< /Type /Catalog /Pages %d 0 R >>" % tree
    references = b" ".join(b"%d 0 R" % kid for kid in kids)
    objects[tree - 1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (references, len(kids))

    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for offset in offsets:
        out += b"%010d 00000 n \n" % offset
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, catalog, start)
    return bytes(out)


def literal(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")


def docx(path: Path, parts: list[tuple[str, object]]) -> None:
    """An Office Open XML document with headings, paragraphs and a table."""
    body = []
    for kind, content in parts:
        if kind == "t":
            rows = "".join(
                "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>" for row in content
            )
            body.append(f"<w:tbl>{rows}</w:tbl>")
        else:
            body.append(paragraph(content, heading=kind == "h"))
    main = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    files = {
        "[Content_Types].xml": f'{declaration}<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{word}.document.main+xml"/>'
        f'<Override PartName="/word/styles.xml" ContentType="{word}.styles+xml"/></Types>',
        "_rels/.rels": f'{declaration}<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f'{declaration}<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}/styles" Target="styles.xml"/></Relationships>',
        "word/styles.xml": f'{declaration}<w:styles xmlns:w="{main}"><w:style w:type="paragraph" w:styleId="Heading1">'
        '<w:name w:val="heading 1"/><w:rPr><w:b/><w:sz w:val="32"/></w:rPr></w:style></w:styles>',
        "word/document.xml": f'{declaration}<w:document xmlns:w="{main}"><w:body>{"".join(body)}</w:body></w:document>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)


def paragraph(text: object, heading: bool = False) -> str:
    style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>' if heading else ""
    return f'<w:p>{style}<w:r><w:t xml:space="preserve">{escape(str(text))}</w:t></w:r></w:p>'


if __name__ == "__main__":
    (DATA / "field-note.pdf").write_bytes(pdf(FIELD_NOTE))
    docx(DATA / "charter.docx", CHARTER)
