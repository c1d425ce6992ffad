//! The open database of a directory, which is opened anew after the disk has failed.
//!
//! redb answers nothing any more, not even what could be read, once a read or a write of its file has failed: a full disk would
//! stop everything until the program is started again. So the file is opened again with the next transaction.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, Database, DatabaseError, StorageBackend, StorageError};

use crate::{Error, Result};

#[derive(Clone)]
struct Opened {
    database: Arc<Database>,
    failed: Arc<AtomicBool>,
}

pub(super) struct Databases {
    /// `None` in memory, where nothing fails.
    path: Option<PathBuf>,
    /// `None` while it could not be opened again.
    opened: Mutex<Option<Opened>>,
}

impl Databases {
    pub(super) fn open(path: PathBuf) -> Result<Databases> {
        let opened = open(&path)?;
        Ok(Databases { path: Some(path), opened: Mutex::new(Some(opened)) })
    }

    pub(super) fn in_memory() -> Result<Databases> {
        let database = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .map_err(|error| Error::internal("cannot make a database in memory").with_source(error))?;
        let opened = Opened { database: Arc::new(database), failed: Arc::default() };
        Ok(Databases { path: None, opened: Mutex::new(Some(opened)) })
    }

    /// The database, for one transaction.
    ///
    /// # Errors
    /// `busy` when the disk has failed and somebody is still at work with what was open; those of opening it again.
    pub(super) fn current(&self) -> Result<Arc<Database>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        match (opened.take(), &self.path) {
            (Some(kept), Some(path)) if kept.failed.load(Ordering::Acquire) => match Arc::try_unwrap(kept.database) {
                Ok(database) => {
                    drop(database);
                    *opened = Some(open(path)?);
                }
                Err(database) => {
                    *opened = Some(Opened { database, ..kept });
                    return Err(Error::busy("the disk has failed, and the database is not open again yet")
                        .with_file(path)
                        .with_remedy("try again"));
                }
            },
            (Some(kept), _) => *opened = Some(kept),
            (None, Some(path)) => *opened = Some(open(path)?),
            (None, None) => {}
        }
        let database = opened.as_ref().map(|opened| opened.database.clone());
        database.ok_or_else(|| Error::internal("there is no database"))
    }
}

fn open(path: &Path) -> Result<Opened> {
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path);
    let failed = Arc::<AtomicBool>::default();
    let database = file
        .map_err(|error| DatabaseError::from(StorageError::Io(error)))
        .and_then(FileBackend::new)
        .map(|file| Watched { file, failed: failed.clone() })
        .and_then(|file| Database::builder().create_with_backend(file))
        .map_err(|error| open_error(path, error))?;
    Ok(Opened { database: Arc::new(database), failed })
}

fn open_error(path: &Path, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::busy(format!("{} is in use already", path.display()))
            .with_file(path)
            .with_remedy("close the other handle, node or program that has it open, or use another directory"),
        DatabaseError::Storage(StorageError::Io(source)) if source.kind() != std::io::ErrorKind::InvalidData => {
            Error::file("open", path, source)
        }
        other => Error::corrupt_data(format!("{} is not a readable database: {other}", path.display()))
            .with_file(path)
            .with_remedy("restore the file from a backup, or use another data directory")
            .with_source(other),
    }
}

/// The file, and whether the disk has failed.
#[derive(Debug)]
struct Watched {
    file: FileBackend,
    failed: Arc<AtomicBool>,
}

impl Watched {
    fn watch<T>(&self, done: std::io::Result<T>) -> std::io::Result<T> {
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }
}

type Locked<T> = std::result::Result<T, BackendError>;

impl StorageBackend for Watched {
    fn len(&self) -> std::io::Result<u64> {
        self.watch(self.file.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.watch(self.file.read(offset, out))
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.watch(self.file.set_len(len))
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.watch(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.watch(self.file.write(offset, data))
    }

    fn close(&self) -> std::io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.file.query_lock_range(start, end)
    }
}
