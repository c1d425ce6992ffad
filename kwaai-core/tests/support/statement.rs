//! Signed statements made by hand, as their format says, and the rules by which they are refused.

use kwaai_core::identity::Keypair;
use kwaai_core::trust::json;
use kwaai_core::{Error, ErrorCode};
use serde_json::{Map, Value};

/// The key of a seed.
pub fn key(seed: u8) -> Keypair {
    Keypair::from_seed([seed; 32])
}

/// The code and the rule of a refusal.
pub fn rule(result: Result<impl std::fmt::Debug, Error>) -> (ErrorCode, String) {
    let error = result.unwrap_err();
    (error.code(), error.context().get("rule").cloned().unwrap_or_default())
}

/// The code and the rule that a refusal should have.
pub fn broken(code: ErrorCode, rule: &str) -> (ErrorCode, String) {
    (code, rule.to_owned())
}

/// A statement with some members changed and signed anew by the key of this seed: over the kind, and the canonical form
/// without the signature.
pub async fn forged(text: &str, seed: u8, change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut members = json::parse(text).unwrap().as_object().unwrap().clone();
    members.remove("signature");
    change(&mut members);
    let mut message = format!("kwaainet/{}/1\n", members["type"].as_str().unwrap()).into_bytes();
    message.extend(json::canonical(&members).unwrap());
    let signature = key(seed).signer().unwrap().sign(&message).await.unwrap();
    members.insert("signature".into(), format!("z{}", base58(&signature)).into());
    let mut signed = Value::Object(members);
    signed.sort_all_objects();
    signed.to_string()
}

/// Base58 of the bitcoin alphabet, by long division.
fn base58(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            (*digit, carry) = (carry % 58, carry / 58);
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    digits.extend(bytes.iter().take_while(|byte| **byte == 0).map(|_| 0));
    digits.iter().rev().map(|digit| char::from(ALPHABET[*digit as usize])).collect()
}
