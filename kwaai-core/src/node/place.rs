//! Where the knowledge bases of a node lie that the app keeps in a directory of its own, such as one on another disk.
//!
//! The node's database has the directory of each by its name, and the id of the knowledge base that lies there; that knowledge base has
//! the name. So neither a directory that was left out nor a disk that is missing, or another in its place, lets a knowledge base begin
//! anew unnoticed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use redb::{ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::rag::{self, Expected, Keeper, RagConfig};
use crate::store::{Store, existing};
use crate::{Error, Result};

/// Name → place in JSON.
const PLACES: TableDefinition<&str, &str> = TableDefinition::new("node.knowledge");

/// The directories outside the node's.
pub(super) struct Places {
    store: Store,
}

/// A directory of the app's, as the node's database keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    dir: String,
    /// The id of the knowledge base that lies there.
    knowledge: String,
    /// Whether it is being destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    going: bool,
}

/// Where a knowledge base is to be opened.
pub(super) enum Home {
    /// In the node's own directory.
    Inside,
    /// In the app's. What is there is to be the knowledge base of this id, unless it is the first time.
    Outside { dir: PathBuf, knowledge: Option<String> },
}

impl Places {
    pub(super) fn new(store: Store) -> Places {
        Places { store }
    }

    /// Where a knowledge base lies, or is to lie when it is `given` a directory. `inside` is where the node keeps it else.
    ///
    /// # Errors
    /// `conflict` for another directory than before, one that is another's, and a knowledge base that lies inside already; `not_found`
    /// where the directory is missing; `invalid_argument` for one in the node's own.
    pub(super) fn home(&self, name: &str, given: Option<PathBuf>, inside: &Path) -> Result<Home> {
        let place = self.place(name)?;
        let place = match place {
            Some(place) if place.going => {
                rag::erase(Path::new(&place.dir))?;
                self.forget(name)?;
                None
            }
            place => place,
        };
        match (place, given) {
            (None, None) => Ok(Home::Inside),
            (Some(place), given) => {
                let recorded = PathBuf::from(&place.dir);
                let (is_there, knowledge) = (Store::exists(&recorded), Some(place.knowledge));
                match given.filter(|given| !is_same(given, &recorded)) {
                    // It was moved: what lies there now is to be the same one.
                    Some(given) if !is_there && Store::exists(&given) => Ok(Home::Outside { dir: given, knowledge }),
                    Some(given) => Err(elsewhere(name, &recorded, &given)),
                    None if !is_there => Err(missing(name, &recorded)),
                    None => Ok(Home::Outside { dir: recorded, knowledge }),
                }
            }
            (None, Some(given)) => {
                if Store::exists(inside) {
                    return Err(Error::conflict(format!(
                        "the knowledge base {name} lies in the directory of the node"
                    ))
                    .with_file(inside)
                    .with_remedy("open it without a directory, or destroy it first if it is to begin anew"));
                }
                self.check_new(name, &given, inside)?;
                Ok(Home::Outside { dir: given, knowledge: None })
            }
        }
    }

    /// Whether a directory can be the home of a knowledge base that has none.
    fn check_new(&self, name: &str, dir: &Path, inside: &Path) -> Result<()> {
        let all = self.all()?;
        if let Some((other, _)) = all.iter().find(|(other, place)| other != name && is_same(dir, Path::new(&place.dir)))
        {
            return Err(Error::conflict(format!("{} has the knowledge base {other}", dir.display()))
                .with_file(dir)
                .with_remedy("name a directory for this one alone"));
        }
        let own = inside.parent().and_then(Path::parent).unwrap_or(inside);
        if real(dir).starts_with(real(own)) {
            return Err(Error::invalid_argument(format!("{} is in the directory of the node", dir.display()))
                .with_file(dir)
                .with_remedy("name a directory outside it, or none"));
        }
        if dir.exists() && !dir.is_dir() {
            return Err(Error::invalid_argument(format!("{} is no directory", dir.display())).with_file(dir));
        }
        if !dir.exists() && !dir.parent().is_some_and(Path::is_dir) {
            return Err(Error::not_found(format!("there is nothing in which {} could be made", dir.display()))
                .with_file(dir)
                .with_remedy("connect the disk that it is to be on, or make the directory"));
        }
        if !Store::exists(dir) && dir.is_dir() {
            let mut entries = std::fs::read_dir(dir).map_err(|error| Error::file("read", dir, error))?;
            if entries.any(|entry| entry.is_ok_and(|entry| !rag::is_own(&entry.file_name()))) {
                return Err(Error::conflict(format!("{} has files of something else", dir.display()))
                    .with_file(dir)
                    .with_remedy("name a directory that is empty, or one in it"));
            }
        }
        Ok(())
    }

    /// Remembers where a knowledge base lies.
    pub(super) fn keep(&self, name: &str, dir: &Path, knowledge: String) -> Result<()> {
        let dir = dir.to_str().ok_or_else(|| no_text(dir))?.to_owned();
        self.write(name, &Place { dir, knowledge, going: false })
    }

    /// Every name with its place.
    fn all(&self) -> Result<Vec<(String, Place)>> {
        self.store.read(|transaction| {
            let Some(places) = existing(transaction.open_table(PLACES))? else { return Ok(Vec::new()) };
            places
                .iter()?
                .map(|entry| {
                    let (name, text) = entry?;
                    Ok((name.value().to_owned(), read(text.value())?))
                })
                .collect()
        })
    }

    fn place(&self, name: &str) -> Result<Option<Place>> {
        self.store.read(|transaction| {
            let Some(places) = existing(transaction.open_table(PLACES))? else { return Ok(None) };
            places.get(name)?.map(|text| read(text.value())).transpose()
        })
    }

    fn write(&self, name: &str, place: &Place) -> Result<()> {
        let text = serde_json::to_string(place)
            .map_err(|error| Error::internal("a place cannot be written down").with_source(error))?;
        self.store.write(|transaction| {
            transaction.open_table(PLACES)?.insert(name, text.as_str())?;
            Ok(())
        })
    }

    fn forget(&self, name: &str) -> Result<()> {
        self.store.write(|transaction| {
            transaction.open_table(PLACES)?.remove(name)?;
            Ok(())
        })
    }
}

/// What a knowledge base outside tells its node of.
pub(super) struct Keeping {
    /// Gone with the node.
    places: Weak<Places>,
    name: String,
}

impl Keeping {
    pub(super) fn new(places: &Arc<Places>, name: &str) -> Keeping {
        Keeping { places: Arc::downgrade(places), name: name.to_owned() }
    }
}

impl Keeper for Keeping {
    fn begins_to_go(&self) -> Result<()> {
        let places = self.places.upgrade().ok_or_else(|| {
            Error::closed(format!("the node that keeps the knowledge base {} is gone", self.name))
                .with_remedy("start the node again, open the knowledge base there, and destroy it")
        })?;
        match places.place(&self.name)? {
            Some(place) => places.write(&self.name, &Place { going: true, ..place }),
            None => Ok(()),
        }
    }

    fn has_gone(&self) -> Result<()> {
        // A node that is gone finds out when the name is opened again.
        self.places.upgrade().map_or(Ok(()), |places| places.forget(&self.name))
    }
}

/// Opens a knowledge base in a directory of the app's, and remembers it there.
pub(super) async fn open(
    places: &Arc<Places>,
    name: &str,
    dir: PathBuf,
    knowledge: Option<String>,
    config: RagConfig,
) -> Result<rag::Rag> {
    let (known, expected) = (knowledge.clone(), Expected { name: name.to_owned(), id: knowledge });
    let base = rag::Rag::open_kept(&dir, config, expected, Arc::new(Keeping::new(places, name))).await?;
    let (places, owned) = (places.clone(), name.to_owned());
    let kept = match base.id().await {
        Ok(id) => {
            let recorded = move || match (known, places.place(&owned)?) {
                (Some(_), Some(place)) if Path::new(&place.dir) == dir => Ok(()),
                _ => places.keep(&owned, &dir, id),
            };
            crate::blocking::blocking(recorded).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = kept {
        base.shutdown().await;
        return Err(error);
    }
    Ok(base)
}

/// A path that means the same wherever the program is run.
pub(super) fn absolute(dir: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(dir).map_err(|error| {
        Error::invalid_argument(format!("{:?} is no path of a directory", dir.display().to_string())).with_source(error)
    })?;
    absolute.to_str().ok_or_else(|| no_text(dir))?;
    Ok(absolute)
}

/// Whether both are one directory.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    real(one) == real(other)
}

/// Where a path leads, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    for above in path.ancestors() {
        if let Ok(found) = std::fs::canonicalize(above) {
            return rest.iter().rev().fold(found, |found, name| found.join(name));
        }
        rest.extend(above.file_name());
    }
    path.to_owned()
}

pub(super) fn elsewhere(name: &str, recorded: &Path, given: &Path) -> Error {
    Error::conflict(format!("the knowledge base {name} lies in {}, not in {}", recorded.display(), given.display()))
        .with_file(recorded)
        .with_remedy("open it without a directory; to move it, shut it down, move its directory, and name the new one")
}

fn missing(name: &str, dir: &Path) -> Error {
    Error::not_found(format!("{}, where the knowledge base {name} lies, is missing or empty", dir.display()))
        .with_file(dir)
        .with_remedy("connect the disk that it is on, or name the directory that it was moved to")
}

fn no_text(dir: &Path) -> Error {
    Error::invalid_argument(format!("the path {} cannot be written as text", dir.display())).with_file(dir)
}

fn read(text: &str) -> Result<Place> {
    serde_json::from_str(text).map_err(|error| {
        Error::corrupt_data("the place of a knowledge base cannot be read")
            .with_source(error)
            .with_remedy("restore the directory of the node from a backup")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_destruction_that_a_crash_cut_short_ends_when_the_name_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (corpus, inside) = (dir.path().join("corpus"), dir.path().join("node/rag/corpus"));
        let places = Arc::new(Places::new(Store::in_memory().unwrap()));
        let kept = places.clone();
        let home = move |given: Option<&PathBuf>| kept.home("corpus", given.cloned(), &inside);
        let rag = open(&places, "corpus", corpus.clone(), None, RagConfig::default()).await.unwrap();
        rag.shutdown().await;
        assert!(matches!(home(None).unwrap(), Home::Outside { knowledge: Some(_), .. }));
        Keeping::new(&places, "corpus").begins_to_go().unwrap();
        assert!(matches!(home(None).unwrap(), Home::Inside));
        assert!(!corpus.exists());
        assert!(matches!(home(Some(&corpus)).unwrap(), Home::Outside { knowledge: None, .. }));
        // Nobody destroys what its node could not forget.
        let rag = open(&places, "corpus", corpus.clone(), None, RagConfig::default()).await.unwrap();
        drop((places, home));
        assert_eq!(rag.destroy().await.unwrap_err().code(), crate::ErrorCode::Closed);
        assert!(Store::exists(&corpus));
    }
}
