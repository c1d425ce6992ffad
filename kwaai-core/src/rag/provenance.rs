//! Where a passage comes from, so that anybody can check it offline.
//!
//! The passages of a knowledge base are the leaves of a Merkle tree, whose root its owner signs. The tree is that of RFC 6962 §2.1 over
//! SHA-256, its leaves in the order of the passages' ids. What is hashed of a passage is the text `kwaainet passage 1`, a zero byte, and
//! then its document's id and name, its own id, the bytes that its text covers and the text; each text behind its length, numbers in eight
//! bytes, the lowest first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Map;
use sha2::{Digest, Sha256};

use crate::identity::{Did, Signer};
use crate::rag::retrieval::Hit;
use crate::rag::store::Passage;
use crate::trust::json::{hex, unhex};
use crate::trust::statement::{self, Reader, refused};
use crate::{Error, ErrorCode, Result};

const KIND: &str = "KnowledgeRoot";
/// The longest statement, in bytes of text.
const MAX_STATEMENT: usize = 2 * 1024;
/// A path is as long as the tree is high; no tree is higher.
const MAX_PATH: usize = 64;

pub(super) type Hash = [u8; 32];

/// Proves that a passage stood in a knowledge base, as its owner signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// What the owner signed: the knowledge base, how many passages it held, the root of their tree, and when that was.
    pub statement: String,
    /// Which leaf the passage is, from 0.
    pub index: u64,
    /// The hashes beside the way from the leaf to the root, from below, each as 64 hexadecimal digits.
    pub path: Vec<String>,
}

/// What a provenance proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Who signed.
    pub owner: Did,
    /// The knowledge base's id, 32 hexadecimal digits.
    pub knowledge_base: String,
    /// How many passages it held.
    pub passages: u64,
    /// When it held them, to the second.
    pub signed: Timestamp,
}

impl Provenance {
    /// Checks that the passage of a hit stood in a knowledge base, and tells in which. What is proven are its text, its span, its ids and
    /// its document's name; not its score, its section or its locator.
    ///
    /// # Errors
    /// With the broken `rule`: those of every statement (`form`, `signature`), and `corrupt_data` with `inclusion` for a passage that
    /// is not in the tree, or not as it stands in the hit.
    pub fn check(&self, hit: &Hit) -> Result<Proven> {
        let root = Root::read(&self.statement)?;
        let wrong = || refused(ErrorCode::CorruptData, "inclusion", "the passage is not in the signed knowledge base");
        let path: Option<Vec<Hash>> = self.path.iter().map(|step| unhex(step)).collect();
        let path = path.filter(|path| path.len() <= MAX_PATH).ok_or_else(wrong)?;
        if root_of(leaf_of(hit), self.index, root.passages, &path) != Some(root.hash) {
            return Err(wrong());
        }
        let Root { owner, knowledge_base, passages, signed, .. } = root;
        Ok(Proven { owner, knowledge_base, passages, signed })
    }
}

/// What an owner signs.
struct Root {
    owner: Did,
    knowledge_base: String,
    passages: u64,
    hash: Hash,
    signed: Timestamp,
}

impl Root {
    fn read(text: &str) -> Result<Root> {
        let (mut reader, owner) = Reader::open(KIND, text, MAX_STATEMENT, "issuer")?;
        let knowledge_base = hex(&reader.bytes::<16>("knowledge_base")?);
        let hash = reader.bytes("root")?;
        let passages: Option<u64> = reader.optional("passages")?;
        let passages = passages.ok_or_else(|| reader.malformed("passages"))?;
        let signed = reader.time("issued")?;
        reader.end()?;
        Ok(Root { owner, knowledge_base, passages, hash, signed })
    }
}

/// The tree over the passages of one generation.
pub(super) struct Tree {
    pub generation: u64,
    ids: Vec<u64>,
    /// The leaves first, the root last.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Of the [leaves](leaf) in the order of the passages' ids.
    pub fn new(generation: u64, leaves: Vec<(u64, Hash)>) -> Tree {
        let (ids, leaves): (Vec<u64>, Vec<Hash>) = leaves.into_iter().unzip();
        let mut levels = vec![leaves];
        while let Some(below) = levels.last().filter(|below| below.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                // Who has no neighbour goes up as it is.
                alone => alone[0],
            });
            let above = above.collect();
            levels.push(above);
        }
        Tree { generation, ids, levels }
    }

    /// Signs the root.
    pub async fn sign(&self, knowledge_base: &str, signer: &dyn Signer, now: Timestamp) -> Result<String> {
        let root = self.levels.last().and_then(|top| top.first()).copied().unwrap_or_else(|| Sha256::digest([]).into());
        let now = Timestamp::from_second(now.as_second())
            .map_err(|error| Error::internal("the clock shows no time").with_source(error))?;
        let mut members = Map::new();
        members.insert("issuer".into(), signer.did().to_string().into());
        members.insert("knowledge_base".into(), knowledge_base.into());
        members.insert("passages".into(), self.ids.len().into());
        members.insert("root".into(), hex(&root).into());
        members.insert("issued".into(), now.to_string().into());
        statement::sign(KIND, members, signer).await
    }

    /// The provenance of a hit; `None` for one that is not in the tree as it is.
    pub fn provenance(&self, hit: &Hit, statement: &str) -> Option<Provenance> {
        let index = self.ids.binary_search(&u64::from_str_radix(&hit.chunk_id, 16).ok()?).ok()?;
        (self.levels[0][index] == leaf_of(hit)).then(|| self.path(index, statement))
    }

    fn path(&self, index: usize, statement: &str) -> Provenance {
        let mut place = index;
        let mut path = Vec::new();
        for level in &self.levels {
            path.extend(level.get(place ^ 1).map(|hash| hex(hash)));
            place /= 2;
        }
        Provenance { statement: statement.to_owned(), index: index as u64, path }
    }
}

/// The root that a leaf and the hashes beside its way lead to (RFC 9162 §2.1.3.2).
fn root_of(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return None;
        }
        if place % 2 == 1 || place == last {
            hash = node(beside, &hash);
            // Levels at which it had no neighbour.
            while place % 2 == 0 && place != 0 {
                (place, last) = (place / 2, last / 2);
            }
        } else {
            hash = node(&hash, beside);
        }
        (place, last) = (place / 2, last / 2);
    }
    (last == 0).then_some(hash)
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// What is hashed of a passage.
pub(super) fn leaf(id: u64, passage: &Passage) -> Hash {
    let Passage { document, name, range, text, .. } = passage;
    leaf_hash(document, name, &format!("{id:016x}"), (range.start, range.end), text)
}

fn leaf_of(hit: &Hit) -> Hash {
    leaf_hash(&hit.document_id, &hit.document, &hit.chunk_id, (hit.span.start, hit.span.end), &hit.text)
}

fn leaf_hash(document_id: &str, document: &str, chunk_id: &str, span: (usize, usize), text: &str) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(b"kwaainet passage 1\0");
    let mut put = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    put(document_id);
    put(document);
    put(chunk_id);
    hash.update((span.0 as u64).to_le_bytes());
    hash.update((span.1 as u64).to_le_bytes());
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 §2.1, word for word.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [one] => *one,
            more => {
                let split = more.len().next_power_of_two() / 2;
                node(&defined(&more[..split]), &defined(&more[split..]))
            }
        }
    }

    #[test]
    fn every_leaf_of_every_tree_leads_to_the_root_of_the_definition_and_to_no_other() {
        for size in 1..70_u64 {
            let tree = Tree::new(1, (0..size).map(|id| (id, Sha256::digest(id.to_le_bytes()).into())).collect());
            let root = defined(&tree.levels[0]);
            assert_eq!(tree.levels.last().unwrap()[..], [root]);
            for index in 0..size {
                let provenance = tree.path(index as usize, "");
                let path: Vec<Hash> = provenance.path.iter().map(|step| unhex(step).unwrap()).collect();
                let leaf = tree.levels[0][index as usize];
                assert_eq!(root_of(leaf, index, size, &path), Some(root), "{index} of {size}");
                assert_ne!(root_of(leaf, (index + 1) % size.max(2), size, &path), Some(root), "{index} of {size}");
                let mut other = leaf;
                other[0] ^= 1;
                assert_ne!(root_of(other, index, size, &path), Some(root));
                let longer: Vec<Hash> = path.iter().copied().chain([leaf]).collect();
                assert_eq!(root_of(leaf, index, size, &longer), None);
            }
        }
    }
}
