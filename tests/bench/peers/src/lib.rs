//! The indexes of others, told on standard input what to do, as ours is.

#[path = "../../../../kwaai-core/benches/vpk/served.rs"]
mod served;

use std::path::Path;

pub use served::{Index, K, Vectors};

/// Serves what the arguments name: `VECTORS QUESTIONS DIMENSION`.
pub fn main<I: Index>() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, questions, dimension] = &arguments[..] else { panic!("VECTORS QUESTIONS DIMENSION") };
    served::serve::<I>(Path::new(vectors), Path::new(questions), dimension.parse().unwrap());
}

/// The files of a directory are on the disk afterwards.
pub fn sync(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        std::fs::File::open(entry.unwrap().path()).unwrap().sync_all().unwrap();
    }
    std::fs::File::open(dir).unwrap().sync_all().unwrap();
}

/// By how much effort searches look at how many candidates.
pub const BREADTHS: [usize; 11] = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512];
