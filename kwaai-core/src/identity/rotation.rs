//! Changing the key without becoming somebody else: a chain of signed statements, each of which commits to the key that
//! comes next by the hash of it (the pre-rotation of KERI, in a format of this library's own). Experimental: behind the
//! feature `experimental-key-rotation`, and the format may change.
//!
//! The first statement, the inception, is signed by the key that the identity begins with, and says the SHA-256 of the
//! next. A rotation shows that next key, is signed by it, and says the hash of the one after, or that there is none.
//! So a key that is stolen cannot rotate: that takes the next one, which was never used and can lie in a drawer. The old
//! key does not sign a rotation. One that is lost could not, and one that is stolen would add nothing.
//!
//! What it does not do: whoever steals the first key before its inception is known elsewhere can write another inception.
//! An inception is worth what its age is worth, so it belongs to where others see it on the first day. Two chains of
//! one identity that contradict each other are a fork, and [`KeyHistory::merge`] refuses it, whoever is right.
//!
//! A statement, here the inception, signed over the canonical form (JCS, RFC 8785) of everything but `signature`:
//!
//! ```json
//! {"type":"KwaaiNetKeyInception","sequence":0,"key":"did:key:z6Mk…","next":"zQm…","signature":"z…"}
//! ```
//!
//! A rotation is of the type `KwaaiNetKeyRotation` and has a member more: `previous`, the SHA-256 of the canonical form of
//! the statement before it, its signature included. Hashes are multihashes in base58btc; that of a key is the hash of its
//! Multikey text.

use serde_json::{Map, Value};

use super::peer2::multihash;
use super::refusal::{INVALID_DOCUMENT, INVALID_KEY};
use super::{Did, Signer, peer4};
use crate::trust::json;
use crate::{ErrorCode, Result};

const INCEPTION: &str = "KwaaiNetKeyInception";
const ROTATION: &str = "KwaaiNetKeyRotation";

/// The most statements in one history.
pub const MAX_STATEMENTS: usize = 64;

/// The longest statement that is read, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 1024;

/// 64 bytes never need more characters of base58 than this.
const MAX_SIGNATURE: usize = 88;

/// The keys that one identity has had, each handing over to the next. Verified whole, from the inception on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHistory {
    inception: Statement,
    rotations: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    key: Did,
    /// The hash of the key that may follow.
    next: Option<String>,
    /// The hash of the statement itself, which the one after it names.
    hash: String,
    /// The statement in canonical form.
    text: String,
}

impl KeyHistory {
    /// Begins a history: `signer` is the identity, `next` the key that it will change to. Keep that key apart from the
    /// first one.
    ///
    /// # Errors
    /// `invalid_argument` when both are one key; what the signer answers.
    pub async fn begin(signer: &dyn Signer, next: &Did) -> Result<KeyHistory> {
        let statement = write(INCEPTION, 0, None, signer, Some(next)).await?;
        KeyHistory::verify(&[statement])
    }

    /// Adds a rotation: `signer` is the key that was committed to, `next` the one after it. Without `next` the identity
    /// keeps this key for good.
    ///
    /// # Errors
    /// `permission_denied` when `signer` is not the key that was committed to, or none was; `invalid_argument` when
    /// `next` is a key of this history; `resource_exhausted` when it is full; what the signer answers.
    pub async fn rotate(&self, signer: &dyn Signer, next: Option<&Did>) -> Result<KeyHistory> {
        self.check_follows(&signer.did())?;
        let statement = write(ROTATION, self.len(), Some(&self.last().hash), signer, next).await?;
        let mut longer = self.clone();
        longer.append(&statement)?;
        Ok(longer)
    }

    /// Verifies a chain of statements, the inception first.
    ///
    /// # Errors
    /// `invalid_argument` when a statement is malformed, out of order, or commits to a key that was there before;
    /// `permission_denied` when a key follows that was not committed to; `corrupt_data` when a signature or a hash does
    /// not fit; `resource_exhausted` beyond [`MAX_STATEMENTS`] or [`MAX_STATEMENT_BYTES`].
    pub fn verify<T: AsRef<str>>(statements: &[T]) -> Result<KeyHistory> {
        let (first, rest) = statements
            .split_first()
            .ok_or_else(|| INVALID_DOCUMENT.invalid("a history of keys begins with an inception"))?;
        let inception = read(first.as_ref(), INCEPTION, 0, None)?;
        if inception.next.is_none() {
            return Err(INVALID_DOCUMENT.invalid("an inception commits to a next key"));
        }
        let mut history = KeyHistory { inception, rotations: Vec::new() };
        history.check_commitment(history.last())?;
        for statement in rest {
            history.append(statement.as_ref())?;
        }
        Ok(history)
    }

    /// The identity: the key that it began with, under which others know it.
    pub fn identity(&self) -> Did {
        self.inception.key
    }

    /// The key that signs for the identity now.
    pub fn current(&self) -> Did {
        self.last().key
    }

    /// Every key that the identity has had, the first one first.
    pub fn keys(&self) -> impl Iterator<Item = Did> {
        self.statements().map(|statement| statement.key)
    }

    /// The statements in canonical form, to be kept and passed on.
    pub fn to_statements(&self) -> Vec<String> {
        self.statements().map(|statement| statement.text.clone()).collect()
    }

    /// The longer of two histories of one identity, when the one continues the other.
    ///
    /// # Errors
    /// `invalid_argument` when they are of different identities; `corrupt_data` when they fork: from some statement on
    /// they contradict each other, so a key was used twice, by its owner or by somebody else.
    pub fn merge(self, other: KeyHistory) -> Result<KeyHistory> {
        if self.identity() != other.identity() {
            return Err(INVALID_DOCUMENT.invalid("the histories of keys are those of two identities"));
        }
        if let Some(at) = self.statements().zip(other.statements()).position(|(ours, theirs)| ours.hash != theirs.hash)
        {
            return Err(INVALID_DOCUMENT
                .error(ErrorCode::CorruptData, format!("the history of keys forks at statement {at}"))
                .with("identity", self.identity()));
        }
        Ok(if other.len() > self.len() { other } else { self })
    }

    fn statements(&self) -> impl Iterator<Item = &Statement> {
        std::iter::once(&self.inception).chain(&self.rotations)
    }

    fn last(&self) -> &Statement {
        self.rotations.last().unwrap_or(&self.inception)
    }

    fn len(&self) -> usize {
        1 + self.rotations.len()
    }

    fn append(&mut self, text: &str) -> Result<()> {
        if self.len() == MAX_STATEMENTS {
            return Err(INVALID_DOCUMENT
                .too_large(format!("a history of keys has at most {MAX_STATEMENTS} statements"), MAX_STATEMENTS));
        }
        let statement = read(text, ROTATION, self.len(), Some(&self.last().hash))?;
        self.check_follows(&statement.key)?;
        self.check_commitment(&statement)?;
        self.rotations.push(statement);
        Ok(())
    }

    fn check_follows(&self, key: &Did) -> Result<()> {
        if self.last().next.as_deref() == Some(multihash(&key.multikey()).as_str()) {
            return Ok(());
        }
        Err(INVALID_KEY
            .error(ErrorCode::PermissionDenied, "this key may not follow: the one before did not commit to it")
            .with("key", key))
    }

    /// A key that comes back would be one that was used already, and may be known to others.
    fn check_commitment(&self, statement: &Statement) -> Result<()> {
        let Some(next) = &statement.next else { return Ok(()) };
        if self.keys().chain([statement.key]).any(|key| multihash(&key.multikey()) == *next) {
            return Err(INVALID_KEY.invalid("the next key is one that the identity has had"));
        }
        Ok(())
    }
}

async fn write(
    kind: &str,
    sequence: usize,
    previous: Option<&str>,
    signer: &dyn Signer,
    next: Option<&Did>,
) -> Result<String> {
    let mut statement = Map::new();
    statement.insert("type".into(), kind.into());
    statement.insert("sequence".into(), sequence.into());
    statement.insert("key".into(), signer.did().to_string().into());
    if let Some(previous) = previous {
        statement.insert("previous".into(), previous.into());
    }
    if let Some(next) = next {
        statement.insert("next".into(), multihash(&next.multikey()).into());
    }
    let signature = signer.sign(&json::canonical(&statement)?).await?;
    statement.insert("signature".into(), format!("z{}", bs58::encode(signature).into_string()).into());
    canonical(&statement)
}

fn read(text: &str, kind: &str, sequence: usize, previous: Option<&str>) -> Result<Statement> {
    if text.len() > MAX_STATEMENT_BYTES {
        let message = format!("the statement has {} bytes, {MAX_STATEMENT_BYTES} are the limit", text.len());
        return Err(INVALID_DOCUMENT.too_large(message, MAX_STATEMENT_BYTES));
    }
    let Value::Object(mut statement) = json::parse(text)? else {
        return Err(INVALID_DOCUMENT.invalid("a statement about keys is a JSON object"));
    };
    let whole = canonical(&statement)?;
    let signature = signature(statement.remove("signature"))?;
    let signed = json::canonical(&statement)?;
    let mut member = |name: &str| match statement.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(INVALID_DOCUMENT.invalid(format!("the {name} of a statement is no text"))),
    };
    if member("type")?.as_deref() != Some(kind) {
        return Err(INVALID_DOCUMENT.invalid(format!("statement {sequence} is not of the type {kind}")));
    }
    let named = member("key")?.ok_or_else(|| INVALID_DOCUMENT.invalid("a statement names its key"))?;
    let key: Did = named.parse()?;
    if key.to_string() != named {
        return Err(INVALID_DOCUMENT.invalid("a statement names its key as a did:key"));
    }
    let next = member("next")?;
    if let Some(next) = &next {
        peer4::hash(next)?;
    }
    if member("previous")?.as_deref() != previous {
        return Err(INVALID_DOCUMENT
            .error(ErrorCode::CorruptData, format!("statement {sequence} does not follow the one before it")));
    }
    if statement.remove("sequence") != Some(sequence.into()) {
        return Err(
            INVALID_DOCUMENT.invalid(format!("a statement stands at place {sequence} that does not belong there"))
        );
    }
    if let Some(unknown) = statement.keys().next() {
        return Err(INVALID_DOCUMENT.invalid(format!("a statement has the member {unknown:.60?}, which it cannot")));
    }
    if !key.verify(&signed, &signature) {
        return Err(INVALID_KEY
            .error(ErrorCode::CorruptData, "the signature does not belong to this statement and this key")
            .with("key", key));
    }
    Ok(Statement { key, next, hash: multihash(&whole), text: whole })
}

fn canonical(statement: &Map<String, Value>) -> Result<String> {
    String::from_utf8(json::canonical(statement)?)
        .map_err(|error| INVALID_DOCUMENT.invalid("the statement is not UTF-8").with_source(error))
}

fn signature(value: Option<Value>) -> Result<[u8; 64]> {
    let invalid = || INVALID_DOCUMENT.invalid("the signature of a statement is not 64 bytes in base58btc");
    let encoded = value.as_ref().and_then(Value::as_str).and_then(|text| text.strip_prefix('z'));
    let encoded = encoded.filter(|encoded| encoded.len() <= MAX_SIGNATURE).ok_or_else(invalid)?;
    bs58::decode(encoded).into_vec().ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::Keypair;

    // Made by an Ed25519 and a JSON library of another language.
    const GOLDEN_INCEPTION: &str = concat!(
        r#"{"key":"did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX","#,
        r#""next":"zQmf5LPQcHPPWj6jY5etCXum7zJsqT1crW2Ri1aA5zaaFEm","#,
        r#""sequence":0,"#,
        r#""signature":"znmXUVk6prN5Z3Y3u9RjaGsjiQBwA4KTWdJZfFUK14unWrBTecEWTABMRD7CTSpMdx7ATQYezsA2buHoR3hDYrzh","#,
        r#""type":"KwaaiNetKeyInception"}"#,
    );
    const GOLDEN_ROTATION: &str = concat!(
        r#"{"key":"did:key:z6Mko9hTggMwjSTEaJaPUfE6tqcy2xvU6BnNq3e3o8qVBiyH","#,
        r#""next":"zQmSquj4T3dTAmMafFNu93ZCKC5ogq9bH1DPvK4fuAcXF2X","#,
        r#""previous":"zQmZUnqY8rSvfZcR3RsdGLJQab1KWxnmzaSGeYcdT9MmeVT","#,
        r#""sequence":1,"#,
        r#""signature":"zFAdvSzDJqKm3Z114XMK4tREWKJWZFtQtG2ks9PSsZD9ry5CfwpCXhYSTpwPs246vTYk7PpJraMBzfD8MdgyqBrh","#,
        r#""type":"KwaaiNetKeyRotation"}"#,
    );

    fn signer(number: u8) -> Arc<dyn Signer> {
        Keypair::from_seed([number; 32]).signer().unwrap()
    }

    fn key(number: u8) -> Did {
        signer(number).did()
    }

    /// A history with the keys 1 to `last`, committed to the one after.
    async fn history(last: u8) -> KeyHistory {
        let mut history = KeyHistory::begin(&*signer(1), &key(2)).await.unwrap();
        for number in 2..=last {
            history = history.rotate(&*signer(number), Some(&key(number + 1))).await.unwrap();
        }
        history
    }

    /// Writes a statement with whatever members, signed by a key.
    async fn forged(number: u8, change: impl FnOnce(&mut Map<String, Value>), original: &str) -> String {
        let mut statement: Map<String, Value> = serde_json::from_str(original).unwrap();
        statement.remove("signature");
        change(&mut statement);
        let signature = signer(number).sign(&json::canonical(&statement).unwrap()).await.unwrap();
        statement.insert("signature".into(), format!("z{}", bs58::encode(signature).into_string()).into());
        canonical(&statement).unwrap()
    }

    fn code(statements: &[String]) -> ErrorCode {
        KeyHistory::verify(statements).unwrap_err().code()
    }

    #[tokio::test]
    async fn an_identity_keeps_its_name_over_many_keys() {
        let history = history(4).await;
        assert_eq!((history.identity(), history.current()), (key(1), key(4)));
        assert_eq!(history.keys().collect::<Vec<_>>(), [key(1), key(2), key(3), key(4)]);
        assert_eq!(KeyHistory::verify(&history.to_statements()).unwrap(), history);
        let last = history.rotate(&*signer(5), None).await.unwrap();
        assert_eq!(last.current(), key(5));
        assert_eq!(last.rotate(&*signer(6), None).await.unwrap_err().code(), ErrorCode::PermissionDenied);
    }

    #[tokio::test]
    async fn the_statements_are_these_texts() {
        let statements = history(2).await.to_statements();
        assert_eq!(statements, [GOLDEN_INCEPTION, GOLDEN_ROTATION]);
    }

    #[tokio::test]
    async fn a_stolen_key_cannot_rotate() {
        let history = history(3).await;
        for thief in [1, 2, 3, 9] {
            let error = history.rotate(&*signer(thief), Some(&key(10))).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::PermissionDenied);
            let mut statements = history.to_statements();
            let last = statements[2].clone();
            let previous = history.last().hash.clone();
            let stolen = forged(
                thief,
                |statement| {
                    statement["key"] = key(thief).to_string().into();
                    statement["sequence"] = 3.into();
                    statement["previous"] = previous.into();
                },
                &last,
            );
            statements.push(stolen.await);
            assert_eq!(code(&statements), ErrorCode::PermissionDenied, "{thief}");
        }
    }

    #[tokio::test]
    async fn any_changed_byte_of_a_statement_is_refused() {
        let statements = history(3).await.to_statements();
        for (index, statement) in statements.iter().enumerate() {
            for place in 0..statement.len() {
                let mut bytes = statement.clone().into_bytes();
                bytes[place] ^= 1;
                let mut changed = statements.clone();
                changed[index] = String::from_utf8(bytes).unwrap();
                assert!(KeyHistory::verify(&changed).is_err(), "{index} {place}");
            }
        }
    }

    #[tokio::test]
    async fn statements_left_out_swapped_or_from_elsewhere_are_refused() {
        let whole = history(4).await.to_statements();
        assert_eq!(code(&[]), ErrorCode::InvalidArgument);
        assert_eq!(code(&whole[1..]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[whole[0].clone(), whole[2].clone()]), ErrorCode::CorruptData);
        assert_eq!(code(&[whole[0].clone(), whole[0].clone()]), ErrorCode::InvalidArgument);
        // Another identity that happens to commit to the same key: its rotation names another inception.
        let other = KeyHistory::begin(&*signer(7), &key(2)).await.unwrap().to_statements();
        assert_eq!(code(&[other[0].clone(), whole[1].clone()]), ErrorCode::CorruptData);
    }

    #[tokio::test]
    async fn well_signed_nonsense_is_refused() {
        let whole = history(2).await.to_statements();
        type Change = fn(&mut Map<String, Value>);
        let changes: [(Change, ErrorCode); 8] = [
            (|statement| statement["type"] = ROTATION.into(), ErrorCode::InvalidArgument),
            (|statement| statement["sequence"] = 1.into(), ErrorCode::InvalidArgument),
            (|statement| drop(statement.remove("next")), ErrorCode::InvalidArgument),
            (|statement| statement["next"] = multihash(&key(1).multikey()).into(), ErrorCode::InvalidArgument),
            (|statement| statement["next"] = "zQm".into(), ErrorCode::InvalidArgument),
            (|statement| drop(statement.insert("more".into(), 1.into())), ErrorCode::InvalidArgument),
            (|statement| statement["key"] = key(1).to_peer_0().unwrap().as_str().into(), ErrorCode::InvalidArgument),
            (|statement| drop(statement.insert("previous".into(), "zQm".into())), ErrorCode::CorruptData),
        ];
        for (index, (change, expected)) in changes.into_iter().enumerate() {
            assert_eq!(code(&[forged(1, change, &whole[0]).await]), expected, "{index}");
        }
        let returned = forged(2, |statement| statement["next"] = multihash(&key(1).multikey()).into(), &whole[1]).await;
        assert_eq!(code(&[whole[0].clone(), returned]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[" ".repeat(2000)]), ErrorCode::ResourceExhausted);
        let error = KeyHistory::begin(&*signer(1), &key(1)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }

    #[tokio::test]
    async fn a_fork_is_refused_and_a_longer_history_wins() {
        let (short, long) = (history(2).await, history(4).await);
        assert_eq!(short.clone().merge(long.clone()).unwrap(), long);
        assert_eq!(long.clone().merge(short.clone()).unwrap(), long);
        let forked = short.rotate(&*signer(3), None).await.unwrap();
        assert_eq!(long.clone().merge(forked).unwrap_err().code(), ErrorCode::CorruptData);
        let second_inception = KeyHistory::begin(&*signer(1), &key(8)).await.unwrap();
        assert_eq!(long.clone().merge(second_inception).unwrap_err().code(), ErrorCode::CorruptData);
        let another = KeyHistory::begin(&*signer(7), &key(8)).await.unwrap();
        assert_eq!(long.merge(another).unwrap_err().code(), ErrorCode::InvalidArgument);
    }

    #[tokio::test]
    async fn a_history_ends_at_its_limit() {
        let full = history(MAX_STATEMENTS as u8).await;
        let next = signer(MAX_STATEMENTS as u8 + 1);
        assert_eq!(full.rotate(&*next, None).await.unwrap_err().code(), ErrorCode::ResourceExhausted);
    }
}
