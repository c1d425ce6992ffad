//! Plain text in whatever encoding it was saved.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE};

use crate::{Error, Result};

/// How much of a file decides whether it is text at all, and in which encoding of 16 bits.
const SAMPLE: usize = 64 * 1024;

/// Decodes text: byte-order marks and UTF-8 first, then UTF-16 by its zero bytes, then the likeliest legacy encoding.
pub(super) fn decode(bytes: &[u8]) -> Result<String> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        // The marks of UTF-16LE and UTF-32LE begin alike.
        if encoding == UTF_16LE && bytes.get(2..4) == Some(&[0, 0]) && bytes.len().is_multiple_of(4) {
            return utf32(&bytes[4..], u32::from_le_bytes);
        }
        return with_encoding(&bytes[mark..], encoding);
    }
    if bytes.starts_with(&[0, 0, 0xfe, 0xff]) && bytes.len().is_multiple_of(4) {
        return utf32(&bytes[4..], u32::from_be_bytes);
    }
    if bytes.contains(&0) {
        return match wide_encoding(bytes) {
            Some(encoding) => with_encoding(bytes, encoding),
            None => Err(not_text("it contains zero bytes")),
        };
    }
    // Its bytes are those of ASCII, and these say that they are not.
    if bytes.windows(3).any(|bytes| matches!(bytes, b"\x1b$B" | b"\x1b$@" | b"\x1b(J")) {
        let (text, malformed) = ISO_2022_JP.decode_without_bom_handling(bytes);
        if !malformed {
            return checked(text.into_owned());
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return checked(text.to_owned());
    }
    if mostly_utf8(bytes) {
        return checked(by_lines(bytes));
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(bytes, true);
    with_encoding(bytes, detector.guess(None, Utf8Detection::Deny))
}

fn with_encoding(bytes: &[u8], encoding: &'static Encoding) -> Result<String> {
    let (text, malformed) = encoding.decode_without_bom_handling(bytes);
    if malformed && encoding != UTF_8 {
        let replaced = text.chars().filter(|&c| c == char::REPLACEMENT_CHARACTER).count();
        if replaced > 1 + text.chars().count() / 100 {
            return Err(not_text(&format!("its likeliest encoding is {}, which it does not follow", encoding.name())));
        }
    }
    checked(text.into_owned())
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Result<String> {
    let (units, _) = bytes.as_chunks::<4>();
    let text: Option<String> = units.iter().map(|bytes| char::from_u32(unit(*bytes))).collect();
    checked(text.ok_or_else(|| not_text("it is marked as UTF-32, which it does not follow"))?)
}

/// UTF-16 without a mark: in most scripts one of the two bytes of a space or a line end gives it away.
fn wide_encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    let (units, rest) = bytes[..bytes.len().min(SAMPLE)].as_chunks::<2>();
    if !rest.is_empty() && bytes.len() <= SAMPLE {
        return None;
    }
    let is_common = |unit: u16| matches!(unit, 0x09 | 0x0a | 0x0d | 0x20..=0x7e | 0x3001 | 0x3002);
    let little = units.iter().filter(|unit| is_common(u16::from_le_bytes(**unit))).count();
    let big = units.iter().filter(|unit| is_common(u16::from_be_bytes(**unit))).count();
    let zeros = units.iter().filter(|unit| **unit == [0, 0]).count();
    let enough = units.len() / 20 + 1;
    match () {
        () if zeros > units.len() / 100 => None,
        () if little >= enough && little > big * 4 => Some(UTF_16LE),
        () if big >= enough && big > little * 4 => Some(UTF_16BE),
        () => None,
    }
}

/// A file that was put together of others: lines in UTF-8, and lines in the likeliest encoding of those that are not. In a line that is partly UTF-8
/// what is broken stays broken.
fn by_lines(bytes: &[u8]) -> String {
    let is_other = |line: &&[u8]| {
        let valid = |piece: std::str::Utf8Chunk<'_>| piece.valid().is_ascii();
        std::str::from_utf8(line).is_err() && line.utf8_chunks().all(valid)
    };
    let lines = || bytes.split_inclusive(|byte| *byte == b'\n');
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    for line in lines().filter(is_other) {
        detector.feed(line, false);
    }
    detector.feed(b"", true);
    let other = detector.guess(None, Utf8Detection::Deny);
    let mut text = String::with_capacity(bytes.len());
    for line in lines() {
        match is_other(&line) {
            true => text.push_str(&other.decode_without_bom_handling(line).0),
            false => text.push_str(&String::from_utf8_lossy(line)),
        }
    }
    text
}

/// A few broken bytes in what is otherwise UTF-8, for example where a file was cut.
fn mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for piece in bytes.utf8_chunks() {
        good += piece.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!piece.invalid().is_empty());
    }
    good >= bad * 2
}

/// Refuses what decodes to something but is not text: many control characters.
fn checked(text: String) -> Result<String> {
    let (mut seen, mut control) = (0usize, 0usize);
    for c in text.chars().take(SAMPLE) {
        seen += 1;
        control +=
            usize::from(c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{1b}' | '\u{85}'));
    }
    if control > seen / 50 {
        return Err(not_text("it holds too many control characters"));
    }
    Ok(text)
}

fn not_text(why: &str) -> Error {
    Error::corrupt_data(format!("this is not text: {why}"))
        .with_remedy("save it as UTF-8 text, or give it the extension of its real format")
}

/// The text as documents hold it: line ends are `\n`, other control characters are gone.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_return = false;
    for c in text.chars() {
        match c {
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\n' if after_return => {}
            '\n' | '\t' => out.push(c),
            '\u{feff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
        after_return = c == '\r';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn text_is_read_in_every_common_encoding() {
        let text = "Grüße aus Köln — ein Satz mit Umlauten. Und noch ein Satz über Bäume, Äpfel und Öl.\n";
        let wide: Vec<u16> = text.encode_utf16().collect();
        let little: Vec<u8> = wide.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = wide.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let cases: Vec<(&str, Vec<u8>)> = vec![
            ("utf-8", text.into()),
            ("utf-8 with a mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
            ("utf-16le with a mark", [b"\xff\xfe", &little[..]].concat()),
            ("utf-16be with a mark", [b"\xfe\xff", &big[..]].concat()),
            ("utf-16le", little),
            ("utf-16be", big),
            ("utf-32le with a mark", [b"\xff\xfe\0\0", &utf32[..]].concat()),
            ("windows-1252", encoding_rs::WINDOWS_1252.encode(text).0.into_owned()),
        ];
        for (name, bytes) in cases {
            assert_eq!(decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}")), text, "{name}");
        }
        let japanese = "これは日本語の文章です。東京は日本の首都であり、多くの人が住んでいます。";
        let bytes = encoding_rs::SHIFT_JIS.encode(japanese).0.into_owned();
        assert_eq!(decode(&bytes).unwrap(), japanese);
    }

    #[test]
    fn lines_of_several_encodings_are_each_read_in_theirs() {
        let other = |text: &str| encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
        let mixed =
            ["Name;Ort\nRenée;Zürich\nJosé;Genève\n".as_bytes(), &other("Jürgen;Köln\n"), "Zoë;Bern\n".as_bytes()]
                .concat();
        assert_eq!(decode(&mixed).unwrap(), "Name;Ort\nRenée;Zürich\nJosé;Genève\nJürgen;Köln\nZoë;Bern\n");
    }

    #[test]
    fn japanese_of_seven_bits_is_told_from_ascii() {
        let japanese = b"Subject: \x1b$B$3$l$OF|K\x5c8l$G$9\x1b(B.\n";
        assert_eq!(decode(japanese).unwrap(), "Subject: これは日本語です.\n");
        assert_eq!(decode(b"In colour: \x1b[31mred\x1b[0m.\n").unwrap(), "In colour: \x1b[31mred\x1b[0m.\n");
    }

    #[test]
    fn a_broken_byte_in_utf8_does_not_garble_the_rest() {
        let mut bytes = "Grüße, Käse, Öl, Bäume, Äpfel, Straße, Mühe, Höhe, Füße".as_bytes().to_vec();
        bytes.push(0xc3);
        assert!(decode(&bytes).unwrap().starts_with("Grüße, Käse"));
    }

    #[test]
    fn binary_data_is_refused() {
        let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
        assert_eq!(decode(&noise).unwrap_err().code(), ErrorCode::CorruptData);
        let without_zeros: Vec<u8> = noise.into_iter().filter(|&b| b != 0).collect();
        assert_eq!(decode(&without_zeros).unwrap_err().code(), ErrorCode::CorruptData);
    }

    #[test]
    fn line_ends_become_one_kind_and_control_characters_go() {
        assert_eq!(clean("a\r\nb\rc\n\u{c}d\u{0}\u{1b}[0m\te"), "a\nb\nc\n\nd[0m\te");
    }
}
