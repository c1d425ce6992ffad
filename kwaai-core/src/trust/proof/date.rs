//! Instants as XML Schema writes them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::Value;

use crate::trust::rule::Rule;
use crate::{Error, Result};

/// Reads an XML Schema `dateTimeStamp` (XML Schema 1.1 part 2 §3.4.28): a four-digit year, a zone, nothing else.
pub(in crate::trust) fn date_time(name: &str, value: &Value) -> Result<Timestamp> {
    let invalid = || {
        Rule::Dates
            .invalid(format!("{name} is not an instant such as 2026-01-31T12:00:00Z"))
            .with_remedy("write date, time and time zone as XML Schema's dateTimeStamp")
    };
    let text = value.as_str().filter(|text| is_date_time(text.as_bytes())).ok_or_else(invalid)?;
    text.parse().ok().or_else(|| beyond(text)).ok_or_else(invalid)
}

/// The last instant that this library can tell, for what lies beyond it in 9999: that is how many write *never*.
fn beyond(text: &str) -> Option<Timestamp> {
    let local: DateTime = text.get(..SHAPE.len())?.parse().ok()?;
    (local.year() == 9999).then_some(Timestamp::MAX)
}

const SHAPE: &[u8] = b"0000-00-00T00:00:00";

fn is_date_time(text: &[u8]) -> bool {
    let fits = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                sign => byte == sign,
            })
    };
    let Some((head, mut tail)) = text.split_at_checked(SHAPE.len()) else { return false };
    // A leap second is no value of XML Schema, and would be read as the second before it.
    if !fits(head, SHAPE) || head.ends_with(b":60") {
        return false;
    }
    if let Some(fraction) = tail.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return false;
        }
        tail = &fraction[digits..];
    }
    // Zones end at 14 hours (§3.3.7); the parser takes more. Of digits, the order as bytes is that of the hours and minutes.
    let zone = |tail: &[u8]| tail[1..] <= b"14:00"[..] && tail[4] < b'6';
    tail == b"Z" || ((fits(tail, b"+00:00") || fits(tail, b"-00:00")) && zone(tail))
}

/// The instant without its fraction of a second.
pub(in crate::trust) fn whole_seconds(instant: Timestamp) -> Result<Timestamp> {
    Timestamp::from_second(instant.as_nanosecond().div_euclid(1_000_000_000) as i64)
        .map_err(|error| Error::invalid_argument("the clock shows a date that cannot be written").with_source(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn never_is_written_as_the_end_of_the_last_year() {
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z", "9999-12-31T00:00:00-14:00"] {
            assert_eq!(date_time("validUntil", &text.into()).unwrap(), Timestamp::MAX, "{text}");
        }
        assert_eq!(date_time("created", &"9999-12-30T00:00:00Z".into()).unwrap().to_string(), "9999-12-30T00:00:00Z");
        assert!(date_time("created", &"9999-12-32T00:00:00Z".into()).is_err());
    }

    #[test]
    fn only_an_xml_schema_instant_with_its_zone_is_a_date() {
        let read = |text: &str| date_time("created", &text.into());
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.123+02:00",
            "0001-01-01T00:00:00-05:30",
            "2026-01-31T12:00:00+14:00",
            "2026-01-31T12:00:00-14:00",
        ] {
            read(text).unwrap();
        }
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31T12:00:60Z",
            "2026-02-30T12:00:00Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00z",
            "2026-01-31T12:00:00Z[UTC]",
            "+002026-01-31T12:00:00Z",
            "2026-01-31T12:00:00+14:01",
            "2026-01-31T12:00:00-25:00",
            "2026-01-31T12:00:00+02:60",
        ] {
            assert_eq!(read(text).unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
        }
    }
}
