//! Records that only their owner may change, as hivemind's `RSASignatureValidator` protects them.
//!
//! A key or sub-key that contains `[owner:ssh-rsa …]` names its owner. Its value then ends in `[signature:…]`, the base64
//! of an RSASSA-PSS signature (RFC 8017, SHA-256, the longest salt) of the tuple of key, sub-key, value without
//! signature, and expiration.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::BoxedUint;
use rsa::pss::{Signature, VerifyingKey};
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use sha2::Sha256;

use super::id::DhtId;
use super::msgpack::{self, Value};

const OWNER: &[u8] = b"[owner:";
const SIGNATURE: &[u8] = b"[signature:";

/// Whether a record may stand: nobody owns it, or its owner signed it.
pub fn admits(key: &DhtId, subkey: &[u8], value: &[u8], expiration: f64) -> bool {
    let mut owners = marked(key.as_bytes(), OWNER).chain(marked(subkey, OWNER)).map(|found| found.inside);
    let Some(owner) = owners.next() else { return true };
    if owners.any(|other| other != owner) {
        return false;
    }
    let mut signatures = marked(value, SIGNATURE);
    let (Some(signature), None) = (signatures.next(), signatures.next()) else { return false };
    let signed = msgpack::encode(&msgpack::tuple(vec![
        Value::Binary(key.as_bytes().to_vec()),
        Value::Binary(subkey.to_vec()),
        Value::Binary(without_signature(value).into_owned()),
        Value::F64(expiration),
    ]));
    verify(owner, signature.inside, &signed).is_some()
}

/// The value without its signatures.
pub fn without_signature(value: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = 0;
    let mut kept = Vec::new();
    for found in marked(value, SIGNATURE) {
        kept.extend_from_slice(&value[rest..found.start]);
        rest = found.end;
    }
    match rest {
        0 => Cow::Borrowed(value),
        _ => Cow::Owned([&kept[..], &value[rest..]].concat()),
    }
}

fn verify(owner: &[u8], signature: &[u8], signed: &[u8]) -> Option<()> {
    let key = public_key(owner)?;
    let longest_salt = (key.n().bit_width() as usize - 1).div_ceil(8).checked_sub(32 + 2)?;
    let signature = Signature::try_from(&STANDARD.decode(signature).ok()?[..]).ok()?;
    VerifyingKey::<Sha256>::new_with_salt_len(key, longest_salt).verify(signed, &signature).ok()
}

/// A key in OpenSSH's form: `ssh-rsa` and the base64 of name, exponent and modulus (RFC 4253, section 6.6).
fn public_key(text: &[u8]) -> Option<rsa::PublicKey> {
    let mut words = text.split(|byte| *byte == b' ');
    let blob = STANDARD.decode(words.next().filter(|name| *name == b"ssh-rsa").and(words.next())?).ok()?;
    let mut rest = &blob[..];
    let mut part = || {
        let (length, after) = rest.split_first_chunk()?;
        let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        rest = after;
        Some(part)
    };
    let (name, exponent, modulus) = (part()?, part()?, part()?);
    if name != b"ssh-rsa" || !rest.is_empty() || exponent.len() > 8 || modulus.len() > rsa::PublicKey::MAX_SIZE / 8 + 1
    {
        return None;
    }
    let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
    rsa::PublicKey::new(number(modulus), number(exponent)).ok()
}

/// A marker with what is inside, and where it begins and ends.
struct Marked<'a> {
    inside: &'a [u8],
    start: usize,
    end: usize,
}

/// Every marker of a kind: its opening, one byte or more that are no line break, and the first `]` after the first.
fn marked<'a>(bytes: &'a [u8], opening: &'static [u8]) -> impl Iterator<Item = Marked<'a>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + bytes.get(at..)?.windows(opening.len()).position(|window| window == opening)?;
            let from = start + opening.len();
            let mut inside = bytes[from..].iter().enumerate();
            // Where nothing ends this one, nothing ends any that opens later, and a line break ends all that are open:
            // each byte is looked at once, however many openings there are.
            let (length, stop) = inside.find(|(i, byte)| **byte == b'\n' || (*i > 0 && **byte == b']'))?;
            at = from + length + 1;
            if *stop == b']' {
                return Some(Marked { inside: &bytes[from..from + length], start, end: at });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_without_an_owner_needs_no_signature() {
        let key = DhtId::of_text("k");
        assert!(admits(&key, b"\xa1s", b"value", 1.0));
        assert!(admits(&key, b"[owner:", b"value", 1.0));
        assert!(!admits(&key, b"[owner:ssh-rsa AAAA]", b"value", 1.0));
        assert!(!admits(&key, b"[owner:x][owner:y]", b"value[signature:AA==]", 1.0));
    }

    #[test]
    fn signatures_are_cut_out_wherever_they_stand() {
        assert_eq!(&*without_signature(b"ab[signature:x]cd[signature:y]"), b"abcd");
        assert_eq!(&*without_signature(b"ab[signature:"), b"ab[signature:");
        assert_eq!(&*without_signature(b"[signature:\n][signature:]]z"), b"[signature:\n]z");
    }

    #[test]
    fn four_mebibytes_of_openings_are_read_at_once() {
        for unit in [&b"[signature:"[..], b"[signature:]", b"[signature:\n", b"[owner:"] {
            let value = unit.repeat((4 << 20) / unit.len());
            // Looking at the rest for each opening would take hours.
            let _ = without_signature(&value);
            let _ = admits(&DhtId::of_text("k"), &value, &value, 1.0);
        }
    }

    /// Every marker as the rule says it, opening by opening.
    fn marked_slowly(bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut found = vec![];
        let mut at = 0;
        while at < bytes.len() {
            let after = bytes[at..].strip_prefix(SIGNATURE);
            let stop = after.and_then(|after| {
                after.iter().enumerate().find(|(i, byte)| **byte == b'\n' || (*i > 0 && **byte == b']'))
            });
            match stop {
                Some((length, b']')) => {
                    let end = at + SIGNATURE.len() + length + 1;
                    found.push((at, end));
                    at = end;
                }
                _ => at += 1,
            }
        }
        found
    }

    proptest! {
        #[test]
        fn markers_are_found_as_the_rule_says(parts in prop::collection::vec(0usize..6, 0..40)) {
            let bytes: Vec<u8> = parts
                .into_iter()
                .flat_map(|part| [&b"[signature:"[..], b"]", b"\n", b"x", b"[sig", b"nature:"][part].to_vec())
                .collect();
            let fast: Vec<_> = marked(&bytes, SIGNATURE).map(|found| (found.start, found.end)).collect();
            prop_assert_eq!(fast, marked_slowly(&bytes));
        }

        #[test]
        fn random_owners_and_signatures_never_panic(owner: Vec<u8>, signature: Vec<u8>, expiration: f64) {
            let blob = STANDARD.encode(&owner);
            let subkey = [b"[owner:ssh-rsa ", blob.as_bytes(), b"]"].concat();
            let value = [b"v[signature:", STANDARD.encode(&signature).as_bytes(), b"]"].concat();
            let _ = admits(&DhtId::of_text("k"), &subkey, &value, expiration);
            let _ = admits(&DhtId::of_text("k"), &owner, &signature, expiration);
        }
    }
}
