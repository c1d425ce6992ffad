//! A disk that can be full or read-only: a file system in memory that the test mounts.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB; `None`, with the reason printed, where this process may not.
    pub fn mount(mib: u32) -> Option<SmallDisk> {
        let disk = SmallDisk { dir: tempfile::tempdir().unwrap() };
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={mib}m,mode=700"), "tmpfs"], disk.dir.path());
        if !mounted {
            println!("skipped: this process may not mount a file system");
        }
        mounted.then_some(disk)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it to the last page.
    pub fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let full = loop {
            if let Err(error) = file.write_all(&[1; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    pub fn make_room(&self) {
        // Emptied first: a process that another test is just starting may have it open, and would keep its pages.
        File::create(self.ballast()).unwrap();
        std::fs::remove_file(self.ballast()).unwrap();
    }

    /// Nothing on it may be open for writing.
    pub fn set_read_only(&self, yes: bool) {
        assert!(mount(&["-o", if yes { "remount,ro" } else { "remount,rw" }], self.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a test that failed may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
    }
}

fn mount(options: &[&str], dir: &Path) -> bool {
    Command::new("mount").args(options).arg(dir).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
