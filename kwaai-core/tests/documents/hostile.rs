//! Files that are made to cost more than they are worth, and files that are not what they seem.

use kwaai_core::ErrorCode;
use kwaai_core::rag::chunk::{Chunking, Strategy, Unit, split};
use kwaai_core::rag::document::{Document, Format, Limits, read};

use super::{good, make, place, refused};

/// Every chunk is a stretch of the text, and all of the text but white space is in one.
fn sliced(document: &Document, chunking: &Chunking) -> usize {
    let chunks = split(document, chunking).unwrap();
    let mut covered = 0;
    for chunk in &chunks {
        assert_eq!(chunk.text(document).unwrap(), &document.text[chunk.range.clone()]);
        assert!(document.text[covered.min(chunk.range.start)..chunk.range.start].trim().is_empty());
        covered = covered.max(chunk.range.end);
    }
    assert!(document.text[covered..].trim().is_empty());
    chunks.len()
}

#[test]
fn text_of_every_alphabet_and_encoding_is_read_and_cut_on_its_letters() {
    use encoding_rs::*;
    let sources = [
        ("Der Fuchs läuft über die Straße, während die Gänse schlafen. Später frißt er Äpfel und Öl.", WINDOWS_1252),
        ("L'élève a mangé une pêche près de la forêt. Où est passée la clé du théâtre français ?", ISO_8859_15),
        ("Быстрая лиса перепрыгивает через ленивую собаку. Насос стоит в третьем зале.", WINDOWS_1251),
        ("Быстрая лиса перепрыгивает через ленивую собаку. Насос стоит в третьем зале.", KOI8_R),
        ("Η γρήγορη αλεπού πηδά πάνω από το τεμπέλικο σκυλί. Η αντλία είναι στην αίθουσα.", WINDOWS_1253),
        ("השועל המהיר קופץ מעל הכלב העצלן. המשאבה נמצאת באולם השלישי.", WINDOWS_1255),
        ("الثعلب السريع يقفز فوق الكلب الكسول. المضخة في القاعة الثالثة من المبنى.", WINDOWS_1256),
        ("敏捷的狐狸跳过懒狗。水泵在第三个大厅里，由一名技术人员每天检查一次。", GBK),
        ("敏捷的狐狸跳過懶狗。水泵在第三個大廳裡，由一名技術人員每天檢查一次。", BIG5),
        ("素早い狐は怠け者の犬を飛び越えます。ポンプは三番目のホールにあります。", EUC_JP),
        ("素早い狐は怠け者の犬を飛び越えます。ポンプは三番目のホールにあります。", SHIFT_JIS),
        ("빠른 여우가 게으른 개를 뛰어넘습니다. 펌프는 세 번째 홀에 있습니다.", EUC_KR),
    ];
    for (text, encoding) in sources {
        let (bytes, _, lossy) = encoding.encode(text);
        assert!(!lossy, "{}", encoding.name());
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        for name in ["a.txt", "a.md", "a.csv", "a.html"] {
            let document = good(name, &bytes);
            for word in &words {
                assert!(document.text.contains(word), "{word} in {name} of {}: {}", encoding.name(), document.text);
            }
            for unit in [Unit::Characters, Unit::Tokens] {
                sliced(&document, &Chunking { size: 12, overlap: 4, min: 2, unit, ..Chunking::default() });
            }
        }
    }
    let wide: Vec<u8> = "name,town\nAda,Köln\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [wide.clone(), [b"\xff\xfe".as_slice(), &wide].concat()] {
        assert_eq!(place(&good("a.csv", &bytes), "name: Ada; town: Köln"), "row 2");
    }
    let page: Vec<u8> = "<h1>Köln</h1><p>日本語".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(good("a.html", &[b"\xfe\xff".as_slice(), &page].concat()).text, "Köln\n\n日本語");
    let mixed = ["Zeile eins mit Käse.\n".as_bytes(), b"line two with caf\xe9 alone.\n"].concat();
    assert!(good("a.txt", &mixed).text.contains("line two with"), "{}", good("a.txt", &mixed).text);
}

#[test]
fn binary_files_with_the_names_of_texts_are_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x01\0\0\0\x01\0\x08\x06\0\0\0\\r\xa8f".as_slice();
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        (noise >> 32) as u8
    };
    let packed = [b"\x1f\x8b\x08\x08".as_slice(), &(0..5000).map(|_| random()).collect::<Vec<u8>>()].concat();
    let no_zeros: Vec<u8> = packed.iter().copied().filter(|byte| *byte != 0).collect();
    let program = [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".as_slice(), &packed].concat();
    for name in ["a.txt", "a.md", "a.csv", "a.json", "a.html", "a.rs", "README"] {
        for bytes in [png, &packed, &no_zeros, &program, b"SQLite format 3\0\x10\0\x01\x01\0@  \0\0\0\x02"] {
            assert_eq!(refused(name, bytes).code(), ErrorCode::CorruptData, "{name}");
        }
        assert_eq!(refused(name, &make::zip(&[("a.png", "x")])).code(), ErrorCode::Unsupported, "{name}");
    }
}

#[test]
fn markup_that_refers_elsewhere_is_text_and_nothing_more() {
    let xml = "<?xml version=\"1.0\"?>\n<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">\n<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;\">]>\n<a>&x;&c;</a>\n";
    let document = good("a.xml", xml.as_bytes());
    assert_eq!((document.text.as_str(), document.format), (xml, Format::Code));
    assert_eq!(place(&document, "&x;&c;"), "line 4");
    let page =
        "<p>a<iframe src='file:///etc/passwd'></iframe><object data=x>no</object><link rel=import href=y><img src=z>b";
    assert_eq!(good("a.html", page.as_bytes()).text, "ab");
    let include = "Title\n=====\n\n.. include:: /etc/passwd\n";
    assert_eq!(good("a.rst", include.as_bytes()).text, include);
}

#[test]
fn aliases_that_multiply_are_read_as_the_text_they_are() {
    let mut bomb = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        bomb += &format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(9));
    }
    let document = good("a.yaml", bomb.as_bytes());
    assert_eq!(document.text, bomb);
    assert!(document.warnings[0].contains("plain text"), "{:?}", document.warnings);
    let endless = "a: &a [*a]\n";
    assert_eq!(good("a.yaml", endless.as_bytes()).text, endless);
}

#[test]
fn what_every_place_repeats_counts_against_the_limits() {
    let name = "n".repeat(190);
    let above = |level: usize| format!("{} {name}\n", "#".repeat(level));
    let headings = (1..=5).map(above).collect::<String>() + &"###### a\n".repeat(20_000);
    let long = Limits { text_bytes: 4_000_000, ..Limits::default() };
    let many = Limits { places: 100_000, ..Limits::default() };
    for limits in [long, many] {
        let error = read("a.md", headings.as_bytes(), &limits).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
        assert!(error.context().contains_key("limit"));
    }
    let keys = format!("{{{}\"a\": [{}1]{}", format!("\"{name}\":{{").repeat(20), "[1],".repeat(2000), "}".repeat(21));
    assert_eq!(read("a.json", keys.as_bytes(), &long).unwrap_err().code(), ErrorCode::ResourceExhausted);
    let rows = Limits { places: 1000, ..Limits::default() };
    let table = "<table><tr><td>a<tr><td>b</table>".repeat(600);
    let cells = format!("<table><tr>{}</table>", "<td>".repeat(1100));
    let pipes = format!("| a |\n|---|\n{}", "| b |\n".repeat(1100));
    let titles = "aa\n==\n\n".repeat(1100);
    for (name, source) in [("a.html", table), ("a.html", cells), ("a.md", pipes), ("a.rst", titles)] {
        let error = read(name, source.as_bytes(), &rows).expect_err(name);
        assert_eq!(error.code(), ErrorCode::ResourceExhausted, "{name}");
    }
    let row = "<w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr>";
    let tables = format!("<w:tbl>{}</w:tbl>", row.repeat(6)).repeat(200);
    let cells = format!("<w:tbl><w:tr>{}</w:tr></w:tbl>", "<w:tc></w:tc>".repeat(1100));
    for body in [tables, cells] {
        let error = read("a.docx", &make::docx(&body, &[]), &rows).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    }
}

/// What takes the square of a megabyte takes hours, and is ended as what hangs.
#[test]
fn a_megabyte_of_anything_is_read_and_cut_before_the_tests_are_ended() {
    let size = 1 << 20;
    let repeated = |text: &str| text.repeat(size / text.len());
    let sources = [
        ("a.txt", repeated("a line\n")),
        ("a.txt", repeated("word ")),
        ("a.rs", repeated("let a=b;")),
        ("a.rs", repeated("}\n")),
        ("a.md", repeated("# a\n")),
        ("a.md", repeated("```\n")),
        ("a.md", format!("| a |\n|---|\n{}", repeated("| b |\n"))),
        ("a.rst", repeated("aa\n==\n\n")),
        ("a.csv", repeated("1,2\n")),
        ("a.csv", repeated("1,")),
        ("a.csv", repeated("\"a\",\"b\n")),
        ("a.json", format!("[{}1]", repeated("1,"))),
        ("a.json", format!("[{}1]", repeated("{\"a\":1},"))),
        ("a.jsonl", repeated("{\"a\":1}\n")),
        ("a.yaml", repeated("- a\n")),
        ("a.toml", repeated("[[a]]\nb=1\n")),
        ("a.html", format!("<i>{}x{}", "<b>".repeat(300), repeated("</u>"))),
        ("a.html", repeated("<p>a<table>")),
        ("a.html", repeated("<h1>a<svg>")),
        ("a.html", repeated("<title>")),
        ("a.html", format!("x<a {}>", repeated("b "))),
        ("a.html", format!("x{}", repeated("<!--"))),
    ];
    for (name, source) in sources {
        let head = source.chars().take(20).collect::<String>();
        match read(name, source.as_bytes(), &Limits::default()) {
            Ok(document) => {
                for strategy in [Strategy::Sentence, Strategy::Heading] {
                    sliced(&document, &Chunking { strategy, ..Chunking::default() });
                }
            }
            Err(error) => assert_ne!(error.code(), ErrorCode::Internal, "{name} {head:?}: {error:?}"),
        }
    }
}
