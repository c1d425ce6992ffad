//! The knowledge bases of a node, each under its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libp2p::PeerId;

use super::Node;
use super::place::{self, Home, Places};
use crate::blocking::blocking;
use crate::llm::Embedder;
use crate::rag::{
    Federation, Hit, KnowledgeCapability, Language, Member, ProvenHit, Rag, RagConfig, ShareTerms, SharedKnowledge,
};
use crate::store::Store;
use crate::{Error, Result};

const MAX_NAME: usize = 64;

/// The open knowledge bases, and where they lie.
pub(super) struct KnowledgeBases {
    data_dir: Option<PathBuf>,
    /// Those outside the node's directory.
    places: Arc<Places>,
    open: tokio::sync::Mutex<Open>,
}

#[derive(Default)]
struct Open {
    bases: BTreeMap<String, Rag>,
    // A node in memory keeps its knowledge bases in a directory that goes with it.
    temporary: Option<tempfile::TempDir>,
}

impl KnowledgeBases {
    pub(super) fn new(data_dir: Option<PathBuf>, store: Store) -> KnowledgeBases {
        KnowledgeBases { data_dir, places: Arc::new(Places::new(store)), open: tokio::sync::Mutex::default() }
    }

    pub(super) fn data_dir(&self) -> Option<&PathBuf> {
        self.data_dir.as_ref()
    }

    pub(super) async fn shutdown(&self) {
        let mut open = self.open.lock().await;
        for base in std::mem::take(&mut open.bases).into_values() {
            base.shutdown().await;
        }
        open.temporary = None;
    }
}

impl Node {
    /// Opens a knowledge base of this node: where [`rag_at`](Node::rag_at) put it, and in `rag/<name>` of the node's data directory else.
    /// While it is open, the same name returns the same knowledge base, whatever the configuration says.
    ///
    /// # Errors
    /// `invalid_argument` for a name that is no simple file name; `not_found` when the directory that it was put in is missing, as when a
    /// disk is not connected, and `conflict` when something else lies there now; those of [`Rag::open`].
    pub async fn rag(&self, name: &str, config: RagConfig) -> Result<Rag> {
        self.knowledge(name, None, config).await
    }

    /// Opens a knowledge base of this node in a directory of the app's, for example on another disk. The node remembers it by its name, so that
    /// [`rag`](Node::rag) finds it from then on. The directory is made when it is missing and the one above it is there, and is for this
    /// knowledge base alone; one that [`Rag::open`] made, and one of the same name that came with its disk from another node, is taken as it
    /// is. A relative path is one of the current directory.
    ///
    /// A knowledge base is moved by shutting it down, moving its directory, and naming the new one here. [`Rag::destroy`] deletes it there, and
    /// the node forgets it.
    ///
    /// # Errors
    /// `conflict` for another directory than before, for one that has another knowledge base or other files, and for a name whose knowledge
    /// base lies in the node's directory; `not_found` when its directory is missing, or the one above that of a new one: nothing is made
    /// in its place; `invalid_argument` for a directory in the node's, a path that is no text, and a name that is no simple file name; those of
    /// [`Rag::open`].
    pub async fn rag_at(&self, name: &str, dir: &Path, config: RagConfig) -> Result<Rag> {
        self.knowledge(name, Some(place::absolute(dir)?), config).await
    }

    async fn knowledge(&self, name: &str, dir: Option<PathBuf>, config: RagConfig) -> Result<Rag> {
        self.open()?;
        check_name(name)?;
        let bases = &self.inner.knowledge;
        let mut open = bases.open.lock().await;
        // Looked at again under the lock, so that a shutdown leaves no knowledge base behind.
        self.open()?;
        if let Some(base) = open.bases.get(name)
            && !base.is_closed()
        {
            return match dir {
                Some(dir) if !place::is_same(base.dir(), &dir) => Err(place::elsewhere(name, base.dir(), &dir)),
                _ => Ok(base.clone()),
            };
        }
        let own = match (&bases.data_dir, &open.temporary) {
            (Some(dir), _) => dir.join("rag"),
            (None, Some(temporary)) => temporary.path().join("rag"),
            (None, None) => {
                let temporary = tempfile::Builder::new().prefix("kwaainet-").tempdir();
                let temporary =
                    temporary.map_err(|error| Error::file("make a directory in", &std::env::temp_dir(), error))?;
                open.temporary.insert(temporary).path().join("rag")
            }
        };
        let inside = own.join(name);
        let (places, named, beside) = (bases.places.clone(), name.to_owned(), inside.clone());
        let base = match blocking(move || places.home(&named, dir, &beside)).await? {
            Home::Inside => Rag::open(&inside, config).await?,
            Home::Outside { dir, knowledge } => place::open(&bases.places, name, dir, knowledge, config).await?,
        };
        // A copy of one that is open is opened, and not shared.
        if let Err(error) = self.inner.shares.add(&base).await {
            tracing::debug!(code = %error.code(), name, "a knowledge base is not open to holders of capabilities");
        }
        open.bases.insert(name.to_owned(), base.clone());
        Ok(base)
    }
}

/// Sharing knowledge bases, and searching those that are shared.
impl Node {
    /// Lets a peer search a knowledge base, by the capability that is returned, which is handed to it by whatever way. It counts until it
    /// ends or is [revoked](Rag::revoke_share), while this node runs and the knowledge base is open: one that was opened with
    /// [`Node::rag`], or was shared since. The peer gets passages and what proves them; this node gets its questions.
    ///
    /// # Errors
    /// `invalid_argument` for a name of no or more than 64 characters, and for an end that is past or more than 366 days off; `conflict`
    /// while a copy of it is open; `closed`; those of the database.
    pub async fn share_knowledge(&self, base: &Rag, terms: &ShareTerms) -> Result<KnowledgeCapability> {
        self.open()?;
        self.inner.shares.share(base, terms).await
    }

    /// A knowledge base that a peer shares, by its capability. Nobody is asked before it is searched.
    ///
    /// # Errors
    /// With the broken `rule`: those of a statement that does not hold (`form`, `signature`, `lifetime`); `closed`.
    pub fn shared_knowledge(&self, peer: PeerId, capability: &str) -> Result<SharedKnowledge> {
        self.open()?;
        SharedKnowledge::new(Arc::new(self.inner.network.clone()), peer, capability)
    }

    /// Several knowledge bases as one. The embedder scores passages of all of them; without one, words alone do, brought together as
    /// in `language`.
    ///
    /// # Errors
    /// `invalid_argument` without a member, and for two of one name; `closed`.
    pub fn federation(
        &self,
        members: Vec<Member>,
        embedder: Option<Arc<dyn Embedder>>,
        language: Language,
    ) -> Result<Federation> {
        self.open()?;
        Federation::new(members, embedder, language, self.inner.shares.clone())
    }

    /// Proves where passages of a knowledge base come from, as this node's statement. Those that are no longer as they were found are
    /// left out.
    ///
    /// # Errors
    /// `closed`; those of the database.
    pub async fn prove(&self, base: &Rag, hits: Vec<Hit>) -> Result<Vec<ProvenHit>> {
        self.open()?;
        self.inner.shares.prove(base, hits).await
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.chars().all(allowed) {
        return Err(Error::invalid_argument(format!("{name:?} cannot be the name of a knowledge base"))
            .with_remedy(format!("use at most {MAX_NAME} letters, digits, '-', '_' and '.', not beginning with '.'")));
    }
    Ok(())
}
