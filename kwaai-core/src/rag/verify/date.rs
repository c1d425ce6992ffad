//! Days, however they are written: `2024-03-12`, `12.03.2024`, `03/12/2024`, `12 March 2024`, `March 12th, 2024`, `12. März 2024`.

use super::words::composed;

/// A year, a month and a day.
pub(super) type Date = (u16, u8, u8);

/// What months are called in English and German, in small letters.
const MONTHS: [&[&str]; 12] = [
    &["january", "jan", "januar", "jänner"],
    &["february", "feb", "februar", "feber"],
    &["march", "mar", "märz", "mär"],
    &["april", "apr"],
    &["may", "mai"],
    &["june", "jun", "juni"],
    &["july", "jul", "juli"],
    &["august", "aug"],
    &["september", "sep", "sept"],
    &["october", "oct", "oktober", "okt"],
    &["november", "nov"],
    &["december", "dec", "dezember", "dez"],
];

/// The days that a text names, each as all that it may mean: `03/12/2024` is in March to some and in December to others.
pub(super) fn dates(text: &str) -> Vec<Vec<Date>> {
    let text = composed(text).to_lowercase();
    let parts: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    let mut found: Vec<Vec<Date>> = Vec::new();
    // Where nothing but one sign stands between them, parts are not empty.
    for window in parts.windows(3) {
        let [first, second, third] = window else { continue };
        found.extend(date(year(first), number(second), number(third)).map(|date| vec![date]));
        let (either, other) = (number(first), number(second));
        let readings = [date(year(third), other, either), date(year(third), either, other)];
        let readings: Vec<Date> = readings.into_iter().flatten().collect();
        found.extend((!readings.is_empty()).then_some(readings));
    }
    let words: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    for window in words.windows(3) {
        let [first, second, third] = window else { continue };
        let named =
            date(year(third), month(second), day(first)).or_else(|| date(year(third), month(first), day(second)));
        found.extend(named.map(|date| vec![date]));
    }
    found
}

fn date(year: Option<u16>, month: Option<u8>, day: Option<u8>) -> Option<Date> {
    let (month, day) = (month.filter(|month| (1..=12).contains(month))?, day.filter(|day| (1..=31).contains(day))?);
    Some((year?, month, day))
}

fn year(word: &str) -> Option<u16> {
    (word.len() == 4).then(|| word.parse().ok()).flatten()
}

fn month(word: &str) -> Option<u8> {
    MONTHS.iter().position(|names| names.contains(&word)).map(|place| place as u8 + 1)
}

/// A number of one or two digits; what follows `t` is a time of that day.
fn number(word: &str) -> Option<u8> {
    let word = word
        .split_once('t')
        .filter(|(_, time)| time.starts_with(|c: char| c.is_ascii_digit()))
        .map_or(word, |(day, _)| day);
    (1..=2).contains(&word.len()).then(|| word.parse().ok()).flatten()
}

/// `12`, and `12th`.
fn day(word: &str) -> Option<u8> {
    number(["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_same_however_it_is_written() {
        for text in [
            "2024-03-12",
            "2024/3/12",
            "12.03.2024",
            "12 March 2024",
            "12th March, 2024",
            "March 12, 2024",
            "Mar. 12th, 2024",
            "12. März 2024",
            "on 2024-03-12T07:30:00Z",
        ] {
            assert!(dates(text).iter().any(|readings| readings.contains(&(2024, 3, 12))), "{text}");
            assert_eq!(dates(text).len(), 1, "{text}");
        }
        assert_eq!(dates("03/12/2024"), [[(2024, 12, 3), (2024, 3, 12)]]);
        assert_eq!(dates("31.12.2024"), [[(2024, 12, 31)]]);
        assert_eq!(dates("version 1.2.3 of March 2024, page 12, 2024"), Vec::<Vec<Date>>::new());
    }
}
