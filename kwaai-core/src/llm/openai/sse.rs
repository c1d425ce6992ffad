//! Server-sent events (WHATWG HTML, section 9.2), as far as chat endpoints use them: the `data` fields.

use crate::{Error, Result};

/// An event larger than this is not a piece of a chat.
const LIMIT: usize = 8 << 20;

/// Collects bytes as they arrive, however they are cut, and gives out whole events.
#[derive(Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_return: bool,
}

impl Events {
    /// The data of the events that these bytes complete. `None` is the end, which completes an event that lacks its empty line.
    pub(super) fn feed(&mut self, bytes: Option<&[u8]>) -> Result<Vec<String>> {
        let mut done = Vec::new();
        let Some(bytes) = bytes else {
            self.end_line(&mut done)?;
            self.end_event(&mut done)?;
            return Ok(done);
        };
        for &byte in bytes {
            let second_half = byte == b'\n' && self.after_return;
            self.after_return = byte == b'\r';
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => self.end_line(&mut done)?,
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LIMIT {
                return Err(Error::corrupt_data(format!("the endpoint sent an event of more than {LIMIT} bytes")));
            }
        }
        Ok(done)
    }

    fn end_line(&mut self, done: &mut Vec<String>) -> Result<()> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.end_event(done);
        }
        // Other fields, and comments that keep the connection alive, mean nothing here.
        if let Some(rest) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(rest.strip_prefix(b" ").unwrap_or(rest));
            self.has_data = true;
        }
        Ok(())
    }

    fn end_event(&mut self, done: &mut Vec<String>) -> Result<()> {
        if std::mem::take(&mut self.has_data) {
            let data = String::from_utf8(std::mem::take(&mut self.data));
            done.push(
                data.map_err(|e| Error::corrupt_data("the endpoint sent an event that is not UTF-8").with_source(e))?,
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_the_bytes_are_cut() {
        let text = ": hello\r\ndata: {\"a\":\"ä\"}\r\n\r\nevent: x\ndata:one\ndata: two\n\ndata: last";
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for bytes in text.as_bytes().chunks(size) {
                found.extend(events.feed(Some(bytes)).unwrap());
            }
            found.extend(events.feed(None).unwrap());
            assert_eq!(found, ["{\"a\":\"ä\"}", "one\ntwo", "last"], "cut every {size} bytes");
        }
    }

    #[test]
    fn an_endless_event_and_broken_utf8_are_refused() {
        let mut events = Events::default();
        let piece = vec![b'x'; LIMIT];
        assert!(events.feed(Some(&piece)).is_ok());
        assert!(events.feed(Some(b"xx")).is_err());
        assert!(Events::default().feed(Some(b"data: \xff\n\n")).is_err());
    }
}
