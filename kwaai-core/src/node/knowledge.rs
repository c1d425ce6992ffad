//! The knowledge bases of a node, each under its name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Node;
use crate::rag::{Rag, RagConfig};
use crate::{Error, Result};

const MAX_NAME: usize = 64;

/// The open knowledge bases, and where they lie.
pub(super) struct KnowledgeBases {
    data_dir: Option<PathBuf>,
    open: tokio::sync::Mutex<Open>,
}

#[derive(Default)]
struct Open {
    bases: BTreeMap<String, Rag>,
    // A node in memory keeps its knowledge bases in a directory that goes with it.
    temporary: Option<tempfile::TempDir>,
}

impl KnowledgeBases {
    pub(super) fn new(data_dir: Option<PathBuf>) -> KnowledgeBases {
        KnowledgeBases { data_dir, open: tokio::sync::Mutex::default() }
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
    /// Opens a knowledge base of this node, in `rag/<name>` of its data directory. While it is open, the same name
    /// returns the same knowledge base, whatever the configuration says.
    ///
    /// # Errors
    /// `invalid_argument` for a name that is no simple file name; those of [`Rag::open`].
    pub async fn rag(&self, name: &str, config: RagConfig) -> Result<Rag> {
        self.open()?;
        check_name(name)?;
        let bases = &self.inner.knowledge;
        let mut open = bases.open.lock().await;
        // Looked at again under the lock, so that a shutdown leaves no knowledge base behind.
        self.open()?;
        if let Some(base) = open.bases.get(name)
            && !base.is_closed()
        {
            return Ok(base.clone());
        }
        let dir = match (&bases.data_dir, &open.temporary) {
            (Some(dir), _) => dir.join("rag"),
            (None, Some(temporary)) => temporary.path().to_path_buf(),
            (None, None) => {
                let temporary = tempfile::Builder::new().prefix("kwaainet-").tempdir();
                let temporary =
                    temporary.map_err(|error| Error::file("make a directory in", &std::env::temp_dir(), error))?;
                open.temporary.insert(temporary).path().to_path_buf()
            }
        };
        let base = Rag::open(&dir.join(name), config).await?;
        open.bases.insert(name.to_owned(), base.clone());
        Ok(base)
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
