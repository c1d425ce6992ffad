//! Public keys as Multikey values: `z`, then base58btc of a multicodec prefix and the key (Controlled Identifiers 1.0
//! §2.2.2, did:key "Signature Method Creation Algorithm").

use std::fmt;

use super::Did;
use super::refusal::{INVALID_DID, INVALID_KEY, INVALID_LENGTH, UNSUPPORTED_KEY};
use crate::Result;

/// The longest multibase value that is decoded, in characters: an RSA key of 4096 bits takes 722. Decoding base58 takes
/// time that grows with the square of the length.
const MAX_MULTIBASE: usize = 1024;

macro_rules! kinds {
    ($(
        $(#[$doc:meta])*
        $kind:ident = $name:literal, $prefix:expr, $length:expr, signs: $signs:literal, agrees: $agrees:literal;
    )+) => {
        /// What a public key is for mathematics, as its multicodec prefix says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum KeyKind { $($(#[$doc])* $kind,)+ }

        impl KeyKind {
            /// Every kind that is recognised.
            pub const ALL: &'static [KeyKind] = &[$(KeyKind::$kind,)+];

            /// The name of the kind, for people.
            pub fn as_str(self) -> &'static str {
                match self { $(KeyKind::$kind => $name,)+ }
            }

            /// Whether such a key checks signatures.
            pub fn signs(self) -> bool {
                match self { $(KeyKind::$kind => $signs,)+ }
            }

            /// Whether such a key agrees on secrets.
            pub fn agrees(self) -> bool {
                match self { $(KeyKind::$kind => $agrees,)+ }
            }

            /// The multicodec prefix, a varint.
            fn prefix(self) -> [u8; 2] {
                match self { $(KeyKind::$kind => $prefix,)+ }
            }

            /// The length of the key in bytes; an RSA key has none of its own.
            fn length(self) -> Option<usize> {
                match self { $(KeyKind::$kind => $length,)+ }
            }
        }
    };
}

kinds! {
    /// Ed25519 (RFC 8032), the only kind that a [`Did`] is made of.
    Ed25519 = "Ed25519", [0xed, 0x01], Some(32), signs: true, agrees: false;
    /// X25519 (RFC 7748), for agreeing on secrets.
    X25519 = "X25519", [0xec, 0x01], Some(32), signs: false, agrees: true;
    /// secp256k1, as a compressed point.
    Secp256k1 = "secp256k1", [0xe7, 0x01], Some(33), signs: true, agrees: true;
    /// NIST P-256, as a compressed point.
    P256 = "P-256", [0x80, 0x24], Some(33), signs: true, agrees: true;
    /// NIST P-384, as a compressed point.
    P384 = "P-384", [0x81, 0x24], Some(49), signs: true, agrees: true;
    /// NIST P-521, as a compressed point.
    P521 = "P-521", [0x82, 0x24], Some(67), signs: true, agrees: true;
    /// RSA, as a PKCS #1 structure.
    Rsa = "RSA", [0x85, 0x24], None, signs: true, agrees: false;
    /// BLS12-381 in G1.
    Bls12381G1 = "BLS12-381 G1", [0xea, 0x01], Some(48), signs: true, agrees: false;
    /// BLS12-381 in G2.
    Bls12381G2 = "BLS12-381 G2", [0xeb, 0x01], Some(96), signs: true, agrees: false;
    /// BLS12-381 in both groups.
    Bls12381G1G2 = "BLS12-381 G1 and G2", [0xee, 0x01], Some(144), signs: true, agrees: false;
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A public key of a known kind. Only an Ed25519 key is checked to be a point on its curve: nothing here computes with
/// the others, which are recognised so that a refusal can name them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Multikey {
    kind: KeyKind,
    bytes: Vec<u8>,
}

impl Multikey {
    /// Reads the multibase form, `z…`.
    ///
    /// # Errors
    /// `invalid_argument` when the text is not base58btc, its multicodec is none of [`KeyKind`], its length does not fit
    /// the kind, or an Ed25519 key is no point on the curve.
    pub fn parse(text: &str) -> Result<Multikey> {
        let encoded = text
            .strip_prefix('z')
            .ok_or_else(|| INVALID_DID.invalid("the key is not in base58btc, which begins with z"))?;
        if text.len() > MAX_MULTIBASE {
            return Err(INVALID_LENGTH.invalid(format!("a key in {} characters is too long", text.len())));
        }
        let mut bytes = bs58::decode(encoded)
            .into_vec()
            .map_err(|error| INVALID_DID.invalid("the key is not base58btc").with_source(error))?;
        let Some(prefix) = bytes.first_chunk::<2>().copied() else {
            return Err(INVALID_LENGTH.invalid("the key is too short to name its kind"));
        };
        let kind = *KeyKind::ALL.iter().find(|kind| kind.prefix() == prefix).ok_or_else(|| {
            UNSUPPORTED_KEY
                .invalid(format!("the multicodec {:02x}{:02x} is no known kind of key", prefix[0], prefix[1]))
        })?;
        bytes.drain(..2);
        let found = bytes.len();
        match kind.length() {
            Some(length) if length != found => {
                return Err(INVALID_LENGTH.invalid(format!("the {kind} key has {found} bytes and not {length}")));
            }
            None if found == 0 => return Err(INVALID_LENGTH.invalid(format!("the {kind} key is empty"))),
            _ => {}
        }
        let compressed = matches!(kind, KeyKind::Secp256k1 | KeyKind::P256 | KeyKind::P384 | KeyKind::P521);
        if compressed && !matches!(bytes.first(), Some(2 | 3)) {
            return Err(INVALID_KEY.invalid(format!("the {kind} key is not a compressed point")));
        }
        let key = Multikey { kind, bytes };
        if kind == KeyKind::Ed25519 {
            key.ed25519()?;
        }
        Ok(key)
    }

    /// The kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key without its prefix.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The identity that the key is.
    ///
    /// # Errors
    /// `unsupported` for any kind but Ed25519, naming it.
    pub fn ed25519(&self) -> Result<Did> {
        if self.kind != KeyKind::Ed25519 {
            return Err(UNSUPPORTED_KEY
                .unsupported(format!("a key of the kind {} is no identity here; only an Ed25519 key is", self.kind))
                .with("kind", self.kind));
        }
        let bytes =
            self.bytes.as_slice().try_into().map_err(|_| INVALID_LENGTH.invalid("the Ed25519 key has not 32 bytes"))?;
        Did::from_public_key(bytes)
    }

    /// The X25519 key of an Ed25519 one, by the birational map between their curves (did:key "Derive Encryption Key
    /// Algorithm"; RFC 7748 §4.1).
    pub(super) fn agreement_of(did: &Did) -> Result<Multikey> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(did.public_key())
            .map_err(|error| INVALID_KEY.invalid("not an Ed25519 public key").with_source(error))?;
        Ok(Multikey { kind: KeyKind::X25519, bytes: key.to_montgomery().to_bytes().to_vec() })
    }
}

impl From<&Did> for Multikey {
    fn from(did: &Did) -> Multikey {
        Multikey { kind: KeyKind::Ed25519, bytes: did.public_key().to_vec() }
    }
}

impl fmt::Display for Multikey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(2 + self.bytes.len());
        bytes.extend_from_slice(&self.kind.prefix());
        bytes.extend_from_slice(&self.bytes);
        write!(f, "z{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for Multikey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
