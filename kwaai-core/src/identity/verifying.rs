//! Checking signatures by the strict rules, without doing the same arithmetic again and again.

use std::cell::RefCell;

use ed25519_dalek::{Signature, SignatureError, Verifier, VerifyingKey};

/// A thread remembers the last few keys as points of the curve: finding the point takes a sixth of the time of a signature's
/// check, and a credential names few keys, several times each.
const REMEMBERED: usize = 8;

thread_local! {
    static RECENT: RefCell<Vec<([u8; 32], VerifyingKey)>> = const { RefCell::new(Vec::new()) };
}

/// The encodings of the eight points of small order. A signature whose R is one of them says nothing about who made it.
const SMALL_ORDER: [[u8; 32]; 8] = {
    let mut all = [[0; 32]; 8];
    all[1][31] = 0x80;
    all[2][0] = 1;
    all[3] = [0xff; 32];
    (all[3][0], all[3][31]) = (0xec, 0x7f);
    all[4] = ORDER_8[0];
    all[5] = ORDER_8[1];
    all[6] = ORDER_8[0];
    all[6][31] |= 0x80;
    all[7] = ORDER_8[1];
    all[7][31] |= 0x80;
    all
};

const ORDER_8: [[u8; 32]; 2] = [
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

/// The point behind the bytes of a key.
pub(super) fn key(bytes: &[u8; 32]) -> Result<VerifyingKey, SignatureError> {
    let known = RECENT.with_borrow(|recent| recent.iter().find(|(kept, _)| kept == bytes).map(|(_, key)| *key));
    if let Some(key) = known {
        return Ok(key);
    }
    let key = VerifyingKey::from_bytes(bytes)?;
    RECENT.with_borrow_mut(|recent| {
        if recent.len() == REMEMBERED {
            recent.remove(0);
        }
        recent.push((*bytes, key));
    });
    Ok(key)
}

/// Whether a signature is the key's by the strict rules: canonical encodings only, and neither the key nor R of small order.
pub(super) fn holds(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
    // The encoding of R is compared with that of the point that was computed, so that no other than a canonical one passes.
    !SMALL_ORDER.iter().any(|small| signature[..32] == *small)
        && !key.is_weak()
        && key.verify(message, &Signature::from_bytes(signature)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_small_order_are_these() {
        let all: std::collections::BTreeSet<_> = SMALL_ORDER.into_iter().collect();
        assert_eq!(all.len(), 8);
        assert!(SMALL_ORDER.iter().all(|bytes| VerifyingKey::from_bytes(bytes).unwrap().is_weak()));
    }

    #[test]
    fn the_verdict_is_that_of_the_library_on_signatures_that_were_tampered_with() {
        use ed25519_dalek::{Signer, SigningKey};
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = signer.verifying_key();
        let good = signer.sign(b"message").to_bytes();
        let mut tampered = vec![good];
        for place in 0..64 {
            for bit in 0..8 {
                let mut changed = good;
                changed[place] ^= 1 << bit;
                tampered.push(changed);
            }
        }
        for small in SMALL_ORDER {
            let mut changed = good;
            changed[..32].copy_from_slice(&small);
            tampered.push(changed);
        }
        for signature in tampered {
            let theirs = key.verify_strict(b"message", &Signature::from_bytes(&signature)).is_ok();
            assert_eq!(holds(&key, b"message", &signature), theirs);
        }
        for weak in SMALL_ORDER {
            let key = VerifyingKey::from_bytes(&weak).unwrap();
            let mut forged = [0; 64];
            forged[0] = 1;
            assert!(!holds(&key, b"message", &forged), "a weak key signs everything");
        }
    }
}
