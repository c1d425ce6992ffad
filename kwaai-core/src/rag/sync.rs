//! A folder and a knowledge base kept alike.
//!
//! Every pass compares the folder with the documents that came from it, by the hash of their contents. A document is
//! replaced, moved or deleted in one commit, so that a pass which dies leaves each as it was or as it is to be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use notify::{EventKind, RecursiveMode, Watcher};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::event::Sender;
use crate::rag::document::{self, DocumentReader, EXTENSIONS, Found, Scan};
use crate::rag::ingest::{Pace, Preparer, blocking, content_hash, free_name, loaded, manner, read_bytes};
use crate::rag::store::{DocumentInfo, KnowledgeStore, NewDocument, Standing};
use crate::{Error, ErrorCode, Result};

/// So many documents are deleted in one commit.
const DELETED_AT_ONCE: usize = 64;
/// A folder at rest for so long is looked at: editors write a file in several steps.
const QUIET: Duration = Duration::from_millis(150);
/// It is looked at after so long even when it never rests.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file that was changed so shortly ago may change again without its times telling.
const FRESH: Duration = Duration::from_secs(2);

/// How a folder is synchronised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncOptions {
    /// Only files with these extensions, without the dot and in any case; empty for every file that can be read.
    pub extensions: Vec<String>,
    /// Whether a document is deleted when its file is gone. Otherwise it stays, and is reported missing.
    pub delete: bool,
    /// Whether to go on after the first pass, until the stream is dropped or cancelled, or the knowledge base shut down.
    pub watch: bool,
    /// While watching: the folder is looked through at least this often, whether or not the system reported anything.
    pub interval: Duration,
    /// While watching: do without the file system's events, which some network drives never send.
    pub polling: bool,
}

impl Default for SyncOptions {
    /// One pass over everything that can be read, without deletion; 60 s between passes when watching.
    fn default() -> SyncOptions {
        SyncOptions {
            extensions: Vec::new(),
            delete: false,
            watch: false,
            interval: Duration::from_secs(60),
            polling: false,
        }
    }
}

/// How a synchronisation gets on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SyncEvent {
    /// What a pass found. While watching, only passes that found something new are reported.
    Compared {
        /// Files in the folder.
        files: usize,
        /// Those of them that are new, changed or moved.
        pending: usize,
        /// Documents whose files are gone and did not move.
        gone: usize,
    },
    /// A file is being read and cut.
    Reading {
        /// The document's name.
        name: String,
    },
    /// Passages of a document were embedded.
    Embedded {
        /// The document's name.
        name: String,
        /// Passages done, those that were known from before included.
        done: usize,
        /// Passages of the document.
        total: usize,
    },
    /// A new document is durable and can be found.
    Added {
        /// Its name.
        name: String,
        /// Its id.
        document_id: String,
        /// How many passages it has.
        chunks: usize,
        /// Milliseconds from opening its file to the commit.
        ms: u64,
        /// What of it could not be read although the rest could, for people.
        warnings: Vec<String>,
    },
    /// A document was replaced by its new version.
    Changed {
        /// Its name.
        name: String,
        /// Its id, which is that of the version before.
        document_id: String,
        /// How many passages it has.
        chunks: usize,
        /// Milliseconds from opening its file to the commit.
        ms: u64,
        /// What of it could not be read although the rest could, for people.
        warnings: Vec<String>,
    },
    /// A file of the same contents appeared where another one vanished.
    Moved {
        /// The document's name before, which is found no more.
        before: String,
        /// Its name now.
        name: String,
        /// Its id now.
        document_id: String,
    },
    /// A document was deleted, since its file is gone.
    Deleted {
        /// Its name.
        name: String,
        /// The id it had.
        document_id: String,
    },
    /// A document's file is gone. The document stays, since deletion was not asked for.
    Missing {
        /// Its name.
        name: String,
        /// Its id.
        document_id: String,
    },
    /// A file or a folder could not be read; what was stored of it stays.
    Failed {
        /// The document's name, or the path inside the folder.
        name: String,
        /// The code of the error, for example `corrupt_data`.
        code: String,
        /// What went wrong and what can be done.
        message: String,
    },
    /// A pass is over.
    Finished {
        /// Documents that are new.
        added: usize,
        /// Documents that were replaced.
        changed: usize,
        /// Documents that moved.
        moved: usize,
        /// Documents that were deleted.
        deleted: usize,
        /// Documents whose files are gone and that stay.
        missing: usize,
        /// Files that are stored as they are.
        unchanged: usize,
        /// Files and folders that could not be read.
        failed: usize,
    },
    /// From now on changes are followed. Sent once, after the first pass.
    Watching {
        /// Whether the file system reports changes; otherwise the folder is looked through at every interval.
        events: bool,
        /// Why it does not, where it was to.
        note: Option<String>,
    },
}

/// Whether options make sense, before anything is done.
pub(super) fn check(options: &SyncOptions, readers: &[Arc<dyn DocumentReader>]) -> Result<()> {
    if options.watch && options.interval.is_zero() {
        return Err(
            Error::invalid_argument("the interval of a synchronisation is 0").with_remedy("choose 60 s, for example")
        );
    }
    let own: Vec<String> = readers.iter().flat_map(|reader| reader.extensions()).collect();
    for extension in &options.extensions {
        let extension = plain(extension);
        if !EXTENSIONS.contains(&extension.as_str()) && !own.iter().any(|own| own.eq_ignore_ascii_case(&extension)) {
            return Err(Error::invalid_argument(format!("files with the extension {extension:?} are not read"))
                .with_remedy(format!("choose from: {}", EXTENSIONS.join(", "))));
        }
    }
    Ok(())
}

fn plain(extension: &str) -> String {
    extension.trim_start_matches('.').to_ascii_lowercase()
}

/// One synchronisation.
pub(super) struct Sync {
    pub preparer: Preparer,
    pub events: Sender<SyncEvent>,
    pub folder: PathBuf,
    /// The knowledge base's own directory, which may lie in the folder.
    pub home: PathBuf,
    pub options: SyncOptions,
    pub changing: Arc<tokio::sync::Mutex<()>>,
}

/// What a file looked like when it was read last. The same look later means the same contents.
#[derive(Clone, PartialEq, Eq)]
struct Look {
    bytes: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
    number: u64,
}

/// What passes before this one found.
#[derive(Default)]
struct Memory {
    /// Files whose contents are stored.
    settled: BTreeMap<PathBuf, Look>,
    /// Files that cannot be read whatever is tried, by the hash of their contents.
    hopeless: BTreeMap<PathBuf, String>,
    /// Files and folders that could not be read for a reason which may pass, and why: in this pass, and in the one before it.
    failing: BTreeSet<String>,
    failed: BTreeSet<String>,
    /// Documents that were reported missing, by their ids.
    missing: BTreeSet<String>,
    passes: usize,
}

impl Memory {
    /// Begins another pass: what failed in this one is not reported again as long as it fails for the same reason.
    fn turn(&mut self) {
        self.failed = std::mem::take(&mut self.failing);
    }
}

/// A file whose contents are not stored as they are.
struct Pending {
    found: Found,
    hash: String,
    look: Option<Look>,
    /// The document that it changes, or that moved to it.
    known: Option<DocumentInfo>,
    moved: bool,
}

/// What a pass has to do.
struct Plan {
    pending: Vec<Pending>,
    gone: Vec<DocumentInfo>,
    failed: Vec<(String, Error)>,
    /// Files that are stored as they are, by their looks.
    settled: Vec<(PathBuf, Look)>,
    files: usize,
    unchanged: usize,
}

#[derive(Default)]
struct Tally {
    added: usize,
    changed: usize,
    moved: usize,
    deleted: usize,
    missing: usize,
    failed: usize,
}

/// A document that waits for its commit.
struct Ready {
    document: NewDocument,
    from: Option<DocumentInfo>,
    moved: bool,
    path: PathBuf,
    look: Option<Look>,
    started: Instant,
}

impl Sync {
    /// Runs until there is nothing more to do, and ends the stream.
    pub async fn run(mut self) {
        let result = self.follow().await;
        self.events.finish(result);
    }

    async fn follow(&mut self) -> Result<()> {
        let folder = self.folder.clone();
        let folder =
            blocking(move || std::fs::canonicalize(&folder).map_err(|e| Error::file("list", &folder, e))).await?;
        let (wake, mut woken) = mpsc::channel(1);
        // Before the first pass, so that nothing falls between the two.
        let watching = if self.options.watch { Some(self.watch(folder.clone(), wake).await) } else { None };
        let mut memory = Memory::default();
        self.pass(&folder, &mut memory).await?;
        let Some(watching) = watching else { return Ok(()) };
        let (watcher, note) = match watching {
            Ok(watcher) => (watcher, None),
            Err(note) => (None, Some(note)),
        };
        let events = watcher.is_some();
        self.events.send(SyncEvent::Watching { events, note });
        loop {
            tokio::select! {
                () = self.preparer.unread.cancelled() => return Err(Error::cancelled("the synchronisation was cancelled")),
                () = self.preparer.closing.cancelled() => return Err(Error::cancelled("the knowledge base is shutting down")),
                () = tokio::time::sleep(self.options.interval) => {}
                () = rested(&mut woken), if events => {}
            }
            match self.pass(&folder, &mut memory).await {
                Ok(()) => {}
                Err(error) if self.preparer.stopped() => return Err(error),
                // A drive that is away comes back; what was stored of it stays.
                Err(error) => {
                    self.failed(folder.display().to_string(), &error, &mut memory);
                    memory.turn();
                }
            }
        }
    }

    /// Has the file system report changes; `None` where that was not asked for, or why it cannot.
    async fn watch(
        &self,
        folder: PathBuf,
        wake: mpsc::Sender<()>,
    ) -> std::result::Result<Option<notify::RecommendedWatcher>, String> {
        if self.options.polling {
            return Ok(None);
        }
        let home = self.home.clone();
        let started = blocking(move || {
            let report = move |event: notify::Result<notify::Event>| {
                let ours = |path: &PathBuf| path.starts_with(&home);
                let matters = match &event {
                    Ok(event) => {
                        let elsewhere = event.paths.is_empty() || !event.paths.iter().all(ours);
                        elsewhere && !matches!(event.kind, EventKind::Access(_))
                    }
                    Err(_) => true,
                };
                if matters {
                    // A full channel has one report waiting already, which is as good.
                    let _ = wake.try_send(());
                }
            };
            let watcher = notify::recommended_watcher(report).and_then(|mut watcher| {
                watcher.watch(&folder, RecursiveMode::Recursive)?;
                Ok(watcher)
            });
            Ok(watcher)
        });
        match started.await {
            Ok(Ok(watcher)) => Ok(Some(watcher)),
            Ok(Err(error)) => Err(format!(
                "the file system reports no changes ({error}), so the folder is looked through at every interval"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Compares the folder with what is stored, and brings the latter to the former.
    async fn pass(&mut self, folder: &Path, memory: &mut Memory) -> Result<()> {
        let changing = self.changing.clone();
        let _turn = changing.lock().await;
        self.preparer.renew();
        let plan = self.plan(folder, memory).await?;
        memory.settled.extend(plan.settled);
        let mut tally = Tally::default();
        let gone: Vec<DocumentInfo> = match self.options.delete {
            true => plan.gone.clone(),
            false => plan.gone.iter().filter(|document| !memory.missing.contains(&document.id)).cloned().collect(),
        };
        // One that came back is reported again when it goes again.
        let still: BTreeSet<&str> = plan.gone.iter().map(|document| document.id.as_str()).collect();
        memory.missing.retain(|id| still.contains(id.as_str()));
        let failures: BTreeSet<String> = plan.failed.iter().map(|(name, error)| failure(name, error)).collect();
        memory.passes += 1;
        if memory.passes > 1 && plan.pending.is_empty() && gone.is_empty() && failures.is_subset(&memory.failed) {
            memory.failed = failures;
            return Ok(());
        }
        self.events.send(SyncEvent::Compared { files: plan.files, pending: plan.pending.len(), gone: plan.gone.len() });
        tally.failed = plan.failed.len();
        for (name, error) in &plan.failed {
            self.failed(name.clone(), error, memory);
        }
        self.bring(plan.pending, memory, &mut tally).await?;
        memory.turn();
        if self.options.delete {
            self.delete(gone, memory, &mut tally).await?;
        } else {
            tally.missing = plan.gone.len();
            for document in gone {
                memory.missing.insert(document.id.clone());
                self.events.send(SyncEvent::Missing { name: document.name, document_id: document.id });
            }
        }
        self.preparer.settle().await;
        if self.preparer.stopped() {
            return Err(Error::cancelled("the synchronisation was cancelled; what was reported done is stored"));
        }
        let Tally { added, changed, moved, deleted, missing, failed } = tally;
        self.events.send(SyncEvent::Finished {
            added,
            changed,
            moved,
            deleted,
            missing,
            unchanged: plan.unchanged,
            failed,
        });
        Ok(())
    }

    async fn plan(&self, folder: &Path, memory: &mut Memory) -> Result<Plan> {
        let (folder, given) = (folder.to_owned(), self.folder.clone());
        let knowledge = self.preparer.knowledge.clone();
        let only: Vec<String> = self.options.extensions.iter().map(|extension| plain(extension)).collect();
        let own: Vec<String> = self.preparer.readers.iter().flat_map(|reader| reader.extensions()).collect();
        let (limits, embedding) = (self.preparer.limits, self.preparer.embedder.is_some());
        let manner = manner(&self.preparer.chunking)?;
        let (settled, hopeless) = (memory.settled.clone(), memory.hopeless.clone());
        let unread = self.preparer.unread.clone();
        let closing = self.preparer.closing.clone();
        let work = move || {
            let reads = |extension: &str| match only.is_empty() {
                true => EXTENSIONS.contains(&extension) || own.iter().any(|own| own.eq_ignore_ascii_case(extension)),
                false => only.iter().any(|only| only == extension),
            };
            let Scan { found, unread: folders } = document::scan(&folder, &reads)?;
            let mut stored = documents_of(&knowledge, &folder, &given)?;
            let named = |path: &Path| path.strip_prefix(&folder).unwrap_or(path).display().to_string();
            let failed = folders.into_iter().map(|(path, error)| (named(&path), error)).collect();
            let mut plan = Plan {
                pending: Vec::new(),
                gone: Vec::new(),
                failed,
                settled: Vec::new(),
                files: found.len(),
                unchanged: 0,
            };
            for found in found {
                if unread.is_cancelled() || closing.is_cancelled() {
                    return Err(Error::cancelled("the synchronisation was cancelled"));
                }
                let known = stored.remove(&found.path).unwrap_or_default();
                let look = look(&found.path);
                if !known.is_empty() && look.is_some() && settled.get(&found.path) == look.as_ref() {
                    plan.unchanged += 1;
                    continue;
                }
                let hash = match read_bytes(&found.path, &limits) {
                    Ok(bytes) => content_hash(&bytes),
                    // Gone since the folder was listed; the next pass sees that.
                    Err(error) if error.code() == ErrorCode::NotFound => continue,
                    Err(error) => {
                        plan.failed.push((found.name, error));
                        continue;
                    }
                };
                if hopeless.get(&found.path) == Some(&hash) {
                    continue;
                }
                if known.is_empty() {
                    plan.pending.push(Pending { found, hash, look, known: None, moved: false });
                    continue;
                }
                let mut stale = Vec::new();
                for known in known {
                    if !matches!(knowledge.standing(&known.id, &hash, &manner, embedding)?, Standing::Unchanged) {
                        stale.push(known);
                    }
                }
                if stale.is_empty() {
                    plan.unchanged += 1;
                    plan.settled.extend(look.filter(Look::is_old).map(|look| (found.path, look)));
                    continue;
                }
                plan.pending.extend(stale.into_iter().map(|known| Pending {
                    found: found.clone(),
                    hash: hash.clone(),
                    look: look.clone(),
                    known: Some(known),
                    moved: false,
                }));
            }
            // What is left has no file in the list: gone, or of an extension that is not looked at.
            let looked_at = |path: &Path| reads(&document::extension(&path.to_string_lossy()));
            let gone = stored.into_iter().filter(|(path, _)| looked_at(path) && is_gone(path));
            plan.gone = pair(&mut plan.pending, gone.flat_map(|(_, documents)| documents).collect());
            Ok(plan)
        };
        blocking(work).await
    }

    /// Reads and commits what is new, changed or moved.
    async fn bring(&self, pending: Vec<Pending>, memory: &mut Memory, tally: &mut Tally) -> Result<()> {
        let mut ready: Vec<Ready> = Vec::new();
        let mut taken = BTreeSet::new();
        let mut pace = Pace::default();
        let mut unsettled = BTreeSet::new();
        for Pending { found, hash, look, known, moved } in pending {
            if self.preparer.stopped() {
                break;
            }
            let started = Instant::now();
            let (path, name) = (found.path.clone(), found.name.clone());
            match self.prepare(found, known.as_ref().filter(|_| !moved), &mut taken).await {
                Ok(document) => {
                    memory.hopeless.remove(&path);
                    let due = pace.is_due(&document);
                    ready.push(Ready { document, from: known, moved, path, look, started });
                    if due {
                        self.commit(&mut ready, memory, tally).await?;
                        taken.clear();
                    }
                }
                Err(refusal) if self.preparer.stopped() && refusal.error().code() == ErrorCode::Cancelled => break,
                Err(refusal) => {
                    tally.failed += 1;
                    if refusal.lasts() {
                        memory.hopeless.insert(path, hash);
                        self.send_failed(name, refusal.error());
                    } else {
                        unsettled.insert(path);
                        self.failed(name, refusal.error(), memory);
                    }
                }
            }
        }
        // What was prepared is whole, so it is kept even when the reader has gone.
        self.commit(&mut ready, memory, tally).await?;
        // Another document of the same file may have been stored.
        memory.settled.retain(|path, _| !unsettled.contains(path));
        Ok(())
    }

    async fn prepare(
        &self,
        found: Found,
        known: Option<&DocumentInfo>,
        taken: &mut BTreeSet<String>,
    ) -> std::result::Result<NewDocument, Refusal> {
        let name = known.map_or_else(|| found.name.clone(), |known| known.name.clone());
        self.events.send(SyncEvent::Reading { name: name.clone() });
        let identity = known.map(|known| (known.id.clone(), known.name.clone()));
        let (knowledge, limits, now) = (self.preparer.knowledge.clone(), self.preparer.limits, self.preparer.now());
        let manner = manner(&self.preparer.chunking)?;
        let busy = taken.clone();
        let file = blocking(move || {
            let bytes = read_bytes(&found.path, &limits)?;
            let source = found.path.to_string_lossy().into_owned();
            let (id, name) = match identity {
                Some(identity) => identity,
                None => free_name(&knowledge, &found.name, &source, &busy)?,
            };
            let hash = content_hash(&bytes);
            Ok(loaded(id, name, Some(source), bytes, hash, manner, now))
        });
        let file = file.await?;
        let id = file.info.id.clone();
        let tell = |name: &str, done: usize, total: usize| {
            self.events.send(SyncEvent::Embedded { name: name.to_owned(), done, total })
        };
        let mut document = self.preparer.read(file).await?;
        self.preparer.embed(&mut document, &tell).await.map_err(Refusal::ByEmbedder)?;
        taken.insert(id);
        Ok(document)
    }

    async fn commit(&self, ready: &mut Vec<Ready>, memory: &mut Memory, tally: &mut Tally) -> Result<()> {
        if ready.is_empty() {
            return Ok(());
        }
        let mut documents = Vec::with_capacity(ready.len());
        let mut removed = Vec::new();
        let mut done = Vec::with_capacity(ready.len());
        for Ready { mut document, from, moved, path, look, started } in ready.drain(..) {
            document.metadata = from.as_ref().filter(|_| moved).map(|from| from.metadata.clone());
            removed.extend(from.iter().filter(|_| moved).map(|from| from.id.clone()));
            done.push((document.info.clone(), from, moved, path, look, started));
            documents.push(document);
        }
        let knowledge = self.preparer.knowledge.clone();
        blocking(move || knowledge.commit(documents, &removed)).await?;
        for (info, from, moved, path, look, started) in done {
            let DocumentInfo { name, id: document_id, chunks, warnings, .. } = info;
            let ms = started.elapsed().as_millis() as u64;
            self.events.send(match from {
                Some(from) if moved => {
                    tally.moved += 1;
                    SyncEvent::Moved { before: from.name, name, document_id }
                }
                Some(_) => {
                    tally.changed += 1;
                    SyncEvent::Changed { name, document_id, chunks, ms, warnings }
                }
                None => {
                    tally.added += 1;
                    SyncEvent::Added { name, document_id, chunks, ms, warnings }
                }
            });
            memory.settled.extend(look.filter(Look::is_old).map(|look| (path, look)));
        }
        self.preparer.follow_many().await;
        Ok(())
    }

    async fn delete(&self, gone: Vec<DocumentInfo>, memory: &mut Memory, tally: &mut Tally) -> Result<()> {
        for batch in gone.chunks(DELETED_AT_ONCE) {
            if self.preparer.stopped() {
                break;
            }
            let ids: Vec<String> = batch.iter().map(|document| document.id.clone()).collect();
            let knowledge = self.preparer.knowledge.clone();
            blocking(move || knowledge.commit(Vec::new(), &ids)).await?;
            for document in batch {
                tally.deleted += 1;
                if let Some(source) = &document.source {
                    memory.settled.remove(Path::new(source));
                }
                let (name, document_id) = (document.name.clone(), document.id.clone());
                self.events.send(SyncEvent::Deleted { name, document_id });
            }
        }
        Ok(())
    }

    fn failed(&self, name: String, error: &Error, memory: &mut Memory) {
        let failure = failure(&name, error);
        if !memory.failed.contains(&failure) {
            self.send_failed(name, error);
        }
        memory.failing.insert(failure);
    }

    fn send_failed(&self, name: String, error: &Error) {
        let (code, message) = (error.code().to_string(), error.to_string());
        self.events.send(SyncEvent::Failed { name, code, message });
    }
}

/// Why a file did not become a document.
enum Refusal {
    ByFile(Error),
    ByEmbedder(Error),
}

impl Refusal {
    fn error(&self) -> &Error {
        let (Refusal::ByFile(error) | Refusal::ByEmbedder(error)) = self;
        error
    }

    /// Whether it stays so until the file changes. An embedder may be mended, whatever it says.
    fn lasts(&self) -> bool {
        let lasting =
            [ErrorCode::CorruptData, ErrorCode::Unsupported, ErrorCode::InvalidArgument, ErrorCode::ResourceExhausted];
        matches!(self, Refusal::ByFile(error) if lasting.contains(&error.code()))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::ByFile(error)
    }
}

fn failure(name: &str, error: &Error) -> String {
    format!("{name}\0{error}")
}

/// Waits for a report, and then until the folder rests.
async fn rested(woken: &mut mpsc::Receiver<()>) {
    if woken.recv().await.is_none() {
        // The watcher is gone; the interval remains.
        return std::future::pending().await;
    }
    let latest = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < latest {
        if tokio::time::timeout(QUIET, woken.recv()).await.is_err() {
            return;
        }
    }
}

/// The documents whose files lie, or lay, in a folder, by their paths in it: one of each, unless the app took the file under another
/// name as well. `given` is how the folder was called when they came.
fn documents_of(
    knowledge: &KnowledgeStore,
    folder: &Path,
    given: &Path,
) -> Result<BTreeMap<PathBuf, Vec<DocumentInfo>>> {
    let given = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
    let mut found: BTreeMap<PathBuf, Vec<DocumentInfo>> = BTreeMap::new();
    for document in knowledge.documents()? {
        let Some(source) = document.source.as_deref().map(PathBuf::from) else { continue };
        let inside = source.strip_prefix(folder).or_else(|_| source.strip_prefix(&given));
        if let Ok(inside) = inside {
            found.entry(folder.join(inside)).or_default().push(document);
        }
    }
    Ok(found)
}

/// Pairs files that appeared with documents of the same contents whose files vanished, those of the same name first; what is left of
/// the latter is gone.
fn pair(pending: &mut [Pending], gone: Vec<DocumentInfo>) -> Vec<DocumentInfo> {
    let base = |name: &str| name.rfind('/').map_or(0, |slash| slash + 1);
    let mut by_contents: BTreeMap<String, Vec<DocumentInfo>> = BTreeMap::new();
    for document in gone {
        by_contents.entry(document.content_hash.clone()).or_default().push(document);
    }
    for same_name in [true, false] {
        for pending in pending.iter_mut().filter(|pending| pending.known.is_none()) {
            let Some(alike) = by_contents.get_mut(&pending.hash) else { continue };
            let name = &pending.found.name[base(&pending.found.name)..];
            let fits = |document: &DocumentInfo| !same_name || document.name[base(&document.name)..] == *name;
            if let Some(at) = alike.iter().position(fits) {
                (pending.known, pending.moved) = (Some(alike.remove(at)), true);
            }
        }
    }
    let mut left: Vec<DocumentInfo> = by_contents.into_values().flatten().collect();
    left.sort_by(|a, b| a.name.cmp(&b.name));
    left
}

/// Whether nothing is there. A file that cannot be looked at, or lies in a folder that cannot, is not gone.
fn is_gone(path: &Path) -> bool {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory),
    }
}

fn look(path: &Path) -> Option<Look> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    #[cfg(unix)]
    let (changed, number) = {
        use std::os::unix::fs::MetadataExt;
        ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
    };
    #[cfg(not(unix))]
    let (changed, number) = ((0, 0), 0);
    Some(Look { bytes: metadata.len(), modified: metadata.modified().ok(), changed, number })
}

impl Look {
    /// Whether a change after this look would show in the times of the file.
    fn is_old(&self) -> bool {
        let age = |time: SystemTime| SystemTime::now().duration_since(time).ok();
        // Programs set the time of the last modification; that of the last change is the system's own.
        let changed = u64::try_from(self.changed.0).ok().and_then(|seconds| {
            SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, self.changed.1.try_into().ok()?))
        });
        cfg!(unix) && [self.modified, changed].into_iter().all(|time| time.and_then(age).is_some_and(|age| age > FRESH))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_whose_times_were_set_back_is_not_taken_for_one_at_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        std::fs::write(&path, "words").unwrap();
        let yesterday = SystemTime::now() - Duration::from_secs(86_400);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(yesterday).unwrap();
        let fresh = look(&path).unwrap();
        assert!(!fresh.is_old());
        let rested = Look { changed: (fresh.changed.0 - 10, fresh.changed.1), ..fresh };
        assert!(rested.is_old());
    }
}
