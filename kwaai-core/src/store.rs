//! One redb database per data directory, and files that are written whole or not at all.
//!
//! A redb transaction is the commit point of everything a data directory holds. Files that stand beside the database,
//! such as a full-text index, are rebuilt or rolled forward from it when they are opened.

mod database;
mod file;
mod readers;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, TableHandle, WriteTransaction,
};

use crate::blocking::blocking;
use crate::{Error, ErrorCode, Result};
use database::Databases;
use readers::Readers;

pub use file::{create_private_dir, write_atomic, write_private};

/// The version of the layout of a data directory that this library writes.
pub const SCHEMA_VERSION: u64 = 1;

const FILE_NAME: &str = "kwaainet.redb";
/// What overwrites pages that are free.
const FILLER: TableDefinition<u64, &[u8]> = TableDefinition::new("filler");
/// The bytes of redb's pages.
const PAGE: u64 = 4096;
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema_version";

/// What was deleted and is to be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traces {
    /// Vectors that are to be elsewhere and nowhere else.
    Vectors,
    /// What people wrote.
    Documents,
}

impl Traces {
    const ALL: [Traces; 2] = [Traces::Vectors, Traces::Documents];

    /// Where it is counted how often that was deleted, as long as the file may have bytes of it.
    fn key(self) -> &'static str {
        match self {
            Traces::Vectors => "traces",
            Traces::Documents => "traces.documents",
        }
    }
}

/// A data directory's database. Cheap to clone; the directory stays locked until the last clone is dropped.
///
/// When the disk fails, because it is full for example, the transaction at hand fails and leaves no trace. The next one opens the
/// file again, and works as soon as the disk does.
#[derive(Clone)]
pub struct Store {
    databases: Arc<Databases>,
    readers: Arc<Readers>,
    dir: Option<PathBuf>,
    shared: Arc<Mutex<HashMap<TypeId, Weak<dyn Any + Send + Sync>>>>,
}

impl Store {
    /// Opens the database of a data directory, which is made when it is missing.
    ///
    /// # Errors
    /// `busy` when another node, in this process or another, has the directory open; `unsupported` when a newer
    /// version of the library wrote it; `corrupt_data` when the file is damaged. Nothing is changed in these cases.
    pub fn open(dir: &Path) -> Result<Store> {
        create_private_dir(dir)?;
        let path = dir.join(FILE_NAME);
        let databases = Arc::new(Databases::open(path.clone())?);
        let (dir, readers) = (Some(dir.to_path_buf()), Arc::default());
        let store = Store { databases, readers, dir, shared: Arc::default() };
        store.check_schema(&path)?;
        Ok(store)
    }

    /// Whether a directory has a database already.
    pub fn exists(dir: &Path) -> bool {
        std::fs::metadata(dir.join(FILE_NAME)).is_ok_and(|file| file.len() > 0)
    }

    /// A database that lives in memory and is gone with its last clone.
    pub fn in_memory() -> Result<Store> {
        let databases = Arc::new(Databases::in_memory()?);
        let store = Store { databases, readers: Arc::default(), dir: None, shared: Arc::default() };
        store.check_schema(Path::new("memory"))?;
        Ok(store)
    }

    /// The data directory, unless the database lives in memory.
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Runs `work` on a consistent view of the last commit. Blocks the thread; use [`Store::read_async`] in async code.
    pub fn read<T>(&self, work: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let database = self.databases.current()?;
        let _reading = self.readers.begin();
        let transaction = database.begin_read().map_err(redb::Error::from)?;
        work(&transaction)
    }

    /// Runs `work` in a transaction that is committed durably when it returns `Ok` and leaves no trace otherwise.
    /// Blocks the thread; use [`Store::write_async`] in async code.
    pub fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let database = self.databases.current()?;
        let transaction = database.begin_write().map_err(redb::Error::from)?;
        let value = work(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(value)
    }

    /// Overwrites what the file still has of what was deleted and [leaves traces](leave_traces), in pages that redb uses again later.
    /// While somebody reads from a state of before, its pages stay, and so does the note that this is due.
    ///
    /// # Errors
    /// `resource_exhausted` where the disk has no room for as much again as is to be overwritten; other failures of the disk.
    pub(crate) fn wipe(&self) -> Result<()> {
        let due = self.read(|transaction| {
            Traces::ALL.into_iter().map(|what| traces(transaction, what)).collect::<Result<Vec<Option<u64>>>>()
        })?;
        if due.iter().all(Option::is_none) {
            return Ok(());
        }
        let begun = self.readers.now();
        let mut is_pinned = false;
        if let Some(dir) = &self.dir {
            // What a transaction frees can be used by the one after the next.
            self.write(|transaction| Ok(transaction.open_table(FILLER)?.insert(0, b"".as_slice()).map(drop)?))?;
            is_pinned = self.readers.any_before(begun);
            self.write(|transaction| Ok(transaction.open_table(FILLER)?.insert(1, b"".as_slice()).map(drop)?))?;
            self.fill(&dir.join(FILE_NAME))?;
        }
        self.write(|transaction| {
            transaction.delete_table(FILLER)?;
            // What was deleted meanwhile is not overwritten yet.
            let mut meta = transaction.open_table(META)?;
            for (what, due) in Traces::ALL.into_iter().zip(&due) {
                let now = meta.get(what.key())?.map(|times| times.value());
                if !is_pinned && now == *due {
                    meta.remove(what.key())?;
                }
            }
            Ok(())
        })
    }

    /// Uses every page of the file that is free.
    fn fill(&self, path: &Path) -> Result<()> {
        let length =
            || -> Result<u64> { Ok(std::fs::metadata(path).map_err(|error| Error::file("read", path, error))?.len()) };
        let before = length()?;
        self.write(|transaction| {
            let mut filler = transaction.open_table(FILLER)?;
            // Two of them do not fit in a page, so that each takes one; the file grows when none is free.
            let nothing = [0; PAGE as usize * 3 / 4];
            for page in 0..=before / PAGE {
                filler.insert(page, nothing.as_slice())?;
                if page % 64 == 0 && length()? > before {
                    break;
                }
            }
            Ok(())
        })
    }

    /// What every handle on this database shares in memory, such as what waits to be written: made by whoever asks first, gone with
    /// the last who has it.
    pub(crate) fn shared<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = shared.get(&TypeId::of::<T>()).and_then(Weak::upgrade).and_then(|kept| kept.downcast().ok());
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let made = Arc::new(make()?);
        let weak: Weak<dyn Any + Send + Sync> = Arc::downgrade(&(made.clone() as Arc<dyn Any + Send + Sync>));
        shared.insert(TypeId::of::<T>(), weak);
        Ok(made)
    }

    /// [`Store::read`] off the async workers.
    pub async fn read_async<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        blocking(move || store.read(work)).await
    }

    /// [`Store::write`] off the async workers. Dropping the future stops the wait, not the commit.
    pub async fn write_async<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.clone();
        blocking(move || store.write(work)).await
    }

    fn check_schema(&self, path: &Path) -> Result<()> {
        let found = self.read(|transaction| match existing(transaction.open_table(META))? {
            Some(table) => Ok(table.get(SCHEMA_KEY)?.map(|value| value.value())),
            None => Ok(None),
        })?;
        match found {
            Some(SCHEMA_VERSION) => Ok(()),
            Some(newer) if newer > SCHEMA_VERSION => Err(Error::unsupported(format!(
                "{} has schema version {newer}, this library knows versions up to {SCHEMA_VERSION}",
                path.display()
            ))
            .with_file(path)
            .with_remedy("use a newer kwaainet, or another data directory")),
            Some(older) => {
                Err(Error::corrupt_data(format!("{} has the unknown schema version {older}", path.display()))
                    .with_file(path)
                    .with_remedy("restore the file from a backup, or use another data directory"))
            }
            None => self.write(|transaction| {
                let mut table = transaction.open_table(META).map_err(redb::Error::from)?;
                table.insert(SCHEMA_KEY, SCHEMA_VERSION).map_err(redb::Error::from)?;
                Ok(())
            }),
        }
    }
}

/// Notes, with the transaction that deletes it, that something is to be [overwritten](Store::wipe).
pub(crate) fn leave_traces(transaction: &WriteTransaction, what: Traces) -> Result<()> {
    let mut meta = transaction.open_table(META)?;
    let times = meta.get(what.key())?.map_or(0, |times| times.value());
    meta.insert(what.key(), times + 1)?;
    Ok(())
}

/// The tables of a database, but for its own.
pub(crate) fn tables(transaction: &WriteTransaction) -> Result<Vec<String>> {
    let own = [META.name(), FILLER.name()];
    let all = transaction.list_tables()?.map(|table| table.name().to_owned());
    Ok(all.filter(|name| !own.contains(&name.as_str())).collect())
}

/// Whether the file may have bytes of what was to be overwritten.
pub(crate) fn has_traces(transaction: &ReadTransaction, what: Traces) -> Result<bool> {
    Ok(traces(transaction, what)?.is_some())
}

fn traces(transaction: &ReadTransaction, what: Traces) -> Result<Option<u64>> {
    let Some(meta) = existing(transaction.open_table(META))? else { return Ok(None) };
    Ok(meta.get(what.key())?.map(|times| times.value()))
}

/// A table that was opened for reading, or `None` before anything was written to it.
pub(crate) fn existing<T>(opened: std::result::Result<T, TableError>) -> Result<Option<T>> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl From<redb::Error> for Error {
    fn from(error: redb::Error) -> Error {
        match error {
            redb::Error::Io(source) => {
                Error::new(ErrorCode::of(&source), format!("the database could not be written or read: {source}"))
                    .with_source(source)
            }
            redb::Error::PreviousIo => Error::new(
                ErrorCode::Io,
                "the disk has failed, and the database is opened again with the next operation",
            )
            .with_source(error),
            redb::Error::Corrupted(ref what) => {
                Error::corrupt_data(format!("the database is damaged: {what}")).with_source(error)
            }
            other => Error::internal(format!("the database refused an operation: {other}")).with_source(other),
        }
    }
}

macro_rules! from_redb {
    ($($kind:ty),+) => {
        $(impl From<$kind> for Error {
            fn from(error: $kind) -> Error { redb::Error::from(error).into() }
        })+
    };
}
from_redb!(redb::TableError, redb::StorageError, redb::TransactionError, redb::CommitError);

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

    #[test]
    fn a_failed_transaction_leaves_no_trace() {
        let store = Store::in_memory().unwrap();
        let result: Result<()> = store.write(|transaction| {
            transaction.open_table(NUMBERS)?.insert("a", 1)?;
            Err(Error::cancelled("no"))
        });
        assert_eq!(result.unwrap_err().code(), ErrorCode::Cancelled);
        let missing = store.read(|transaction| Ok(transaction.open_table(NUMBERS).is_err())).unwrap();
        assert!(missing);
    }

    #[test]
    fn what_a_reader_kept_from_being_overwritten_is_overwritten_once_nobody_reads() {
        const SECRETS: TableDefinition<u64, &[u8]> = TableDefinition::new("secrets");
        let dir = tempfile::tempdir().unwrap();
        let holds = |store: &Store| {
            let file = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
            let due = store.read(|t| has_traces(t, Traces::Vectors)).unwrap();
            (file.windows(12).any(|bytes| bytes == b"secret bytes"), due)
        };
        let store = Store::open(dir.path()).unwrap();
        let secret = b"secret bytes".repeat(500);
        store.write(|t| (0..50).try_for_each(|n| Ok(t.open_table(SECRETS)?.insert(n, &*secret).map(drop)?))).unwrap();
        let delete = |store: &Store| {
            store.write(|transaction| {
                transaction.delete_table(SECRETS)?;
                leave_traces(transaction, Traces::Vectors)
            })
        };
        store
            .read(|_| {
                delete(&store)?;
                store.wipe()?;
                assert_eq!(holds(&store), (true, true), "somebody reads from the state of before");
                Ok(())
            })
            .unwrap();
        drop(store);
        let store = Store::open(dir.path()).unwrap();
        store.wipe().unwrap();
        assert_eq!(holds(&store), (false, false));

        // Whoever begins to read after the deletion is in nobody's way.
        store.write(|t| (0..50).try_for_each(|n| Ok(t.open_table(SECRETS)?.insert(n, &*secret).map(drop)?))).unwrap();
        delete(&store).unwrap();
        store.read(|_| store.wipe()).unwrap();
        assert!(!holds(&store).0);
        store.wipe().unwrap();
        assert_eq!(holds(&store), (false, false));
    }

    #[test]
    fn a_second_node_on_the_same_directory_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::open(dir.path()).unwrap();
        let error = Store::open(dir.path()).err().unwrap();
        assert_eq!(error.code(), ErrorCode::Busy);
        assert!(error.context().contains_key("remedy"));
        drop(first);
        Store::open(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_of_a_newer_schema_is_refused_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        Store::open(dir.path())
            .unwrap()
            .write(|t| Ok(t.open_table(META)?.insert(SCHEMA_KEY, 99).map(|_| ())?))
            .unwrap();
        let before = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
        assert_eq!(Store::open(dir.path()).err().unwrap().code(), ErrorCode::Unsupported);
        assert_eq!(std::fs::read(dir.path().join(FILE_NAME)).unwrap().len(), before.len());
    }

    #[test]
    fn a_damaged_database_is_corrupt_data_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), vec![7u8; 8192]).unwrap();
        let error = Store::open(dir.path()).err().unwrap();
        assert_eq!(error.code(), ErrorCode::CorruptData, "{error:?}");
        assert!(error.context()["file"].ends_with(FILE_NAME));
    }
}
