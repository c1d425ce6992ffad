//! The test data that lies beside the project.

use std::path::PathBuf;

/// A file or folder of the shared test data, or `None`, said aloud, where that is not installed.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("KWAAI_SHARED").map_or_else(|| PathBuf::from("../../shared"), PathBuf::from);
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: the shared test data is not installed");
    None
}
