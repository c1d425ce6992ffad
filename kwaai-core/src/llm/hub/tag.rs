//! What a hub calls a content: a hash of it, where the hub is one of Hugging Face's kind.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

const PIECE: usize = 1 << 20;
const SHA256_DIGITS: usize = 64;
const SHA1_DIGITS: usize = 40;
const LONGEST: usize = 128;

/// The entity tag of a file (RFC 9110, 8.8.3), without quotes: also the name of its content in a cache. 64 hexadecimal digits
/// are the sha256 of the content, 40 are the sha1 that git gives it; others say nothing about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// The tag of a header; `None` for one that could not be a file's name.
    pub fn read(header: &str) -> Option<Tag> {
        let text = header.trim().trim_start_matches("W/").trim_matches('"');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=LONGEST).contains(&text.len()).then_some(())?;
        text.chars().all(plain).then(|| Tag(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sha256 of the content, where the tag is one.
    pub fn sha256(&self) -> Option<&str> {
        let hexadecimal = self.0.bytes().all(|byte| byte.is_ascii_hexdigit());
        (self.0.len() == SHA256_DIGITS && hexadecimal).then_some(self.0.as_str())
    }

    /// Whether the content of a file is what the tag says; blocks the thread.
    pub fn fits(&self, path: &Path) -> Result<bool> {
        let found = match self.0.len() {
            SHA256_DIGITS if self.sha256().is_some() => hash(path, Sha256::new())?,
            SHA1_DIGITS if self.0.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                let size = std::fs::metadata(path).map_err(|error| Error::file("read", path, error))?.len();
                hash(path, Sha1::new_with_prefix(format!("blob {size}\0")))?
            }
            _ => return Ok(true),
        };
        Ok(found.eq_ignore_ascii_case(&self.0))
    }
}

fn hash<H: Digest>(path: &Path, mut hash: H) -> Result<String> {
    let failed = |error| Error::file("read", path, error);
    let mut file = File::open(path).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    Ok(data_encoding::HEXLOWER.encode(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_those_of_sha256sum_and_git() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hello\n").unwrap();
        let fits = |tag: &str| Tag::read(tag).unwrap().fits(file.path()).unwrap();
        assert!(fits("\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\""));
        assert!(fits("W/\"ce013625030ba8dba906f756967f9e9ca394464a\""), "git hash-object");
        assert!(!fits("ce013625030ba8dba906f756967f9e9ca394464b"));
        assert!(fits("\"5f-abc\""), "what is no hash says nothing");
    }

    #[test]
    fn no_tag_leads_out_of_the_cache() {
        for header in ["", "\"\"", "../x", "\"a/b\"", "a.incomplete", "a\\b", &"a".repeat(129)] {
            assert_eq!(Tag::read(header), None, "{header}");
        }
    }
}
