//! One redb database per data directory, and files that are written whole or not at all.
//!
//! A redb transaction is the commit point of everything a data directory holds. Files that stand beside the database,
//! such as a full-text index, are rebuilt or rolled forward from it when they are opened.

mod database;
mod file;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use redb::{ReadTransaction, ReadableDatabase, TableDefinition, TableError, WriteTransaction};

use crate::blocking::blocking;
use crate::{Error, ErrorCode, Result};
use database::Databases;

pub use file::{create_private_dir, write_atomic, write_private};

/// The version of the layout of a data directory that this library writes.
pub const SCHEMA_VERSION: u64 = 1;

const FILE_NAME: &str = "kwaainet.redb";
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const SCHEMA_KEY: &str = "schema_version";

/// A data directory's database. Cheap to clone; the directory stays locked until the last clone is dropped.
///
/// When the disk fails, because it is full for example, the transaction at hand fails and leaves no trace. The next one opens the
/// file again, and works as soon as the disk does.
#[derive(Clone)]
pub struct Store {
    databases: Arc<Databases>,
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
        let store = Store { databases, dir: Some(dir.to_path_buf()), shared: Arc::default() };
        store.check_schema(&path)?;
        Ok(store)
    }

    /// Whether a directory has a database already.
    pub fn exists(dir: &Path) -> bool {
        std::fs::metadata(dir.join(FILE_NAME)).is_ok_and(|file| file.len() > 0)
    }

    /// A database that lives in memory and is gone with its last clone.
    pub fn in_memory() -> Result<Store> {
        let store = Store { databases: Arc::new(Databases::in_memory()?), dir: None, shared: Arc::default() };
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
