//! The C programs of `tests/c`, compiled against `include/kwaainet.h` and linked with the library of this very build.
//!
//! Cargo makes all of this crate's artefacts in one go, the shared library among them, before it builds this test; they
//! lie beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The directory of this test program, which has `libkwaai_ffi.so` too.
fn libraries() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it lies");
    program.parent().expect("it lies in a directory").to_path_buf()
}

fn shown(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed with {}\n{text}", output.status);
    text
}

fn compiler(name: &str, standard: &str) -> Command {
    let mut command = Command::new(name);
    command.arg(format!("-std={standard}")).args(WARNINGS).arg("-I").arg(root().join("include"));
    command
}

#[test]
fn the_header_compiles_as_c11_and_as_cpp17_without_a_warning() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, standard, file) in [("cc", "c11", "empty.c"), ("c++", "c++17", "empty.cpp")] {
        let source = dir.path().join(file);
        std::fs::write(&source, "#include <kwaainet.h>\n#include <kwaainet.h>\nint main(void) { return 0; }\n")
            .expect("a writable temporary directory");
        shown(compiler(name, standard).arg("-c").arg(&source).arg("-o").arg(dir.path().join("empty.o")));
    }
}

#[test]
fn the_c_programs_do_what_they_say_and_leak_no_handle() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut sources: Vec<PathBuf> = std::fs::read_dir(root().join("tests/c"))
        .expect("tests/c")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    assert!(!sources.is_empty());
    for source in sources {
        let name = source.file_stem().expect("a file name").to_string_lossy().into_owned();
        let program = dir.path().join(&name);
        let libraries = libraries();
        let mut compile = compiler("cc", "c11");
        compile.arg(&source).arg("-o").arg(&program).arg("-L").arg(&libraries).arg("-lkwaai_ffi");
        shown(&mut compile);
        // Cargo's own search path leads to the library of an earlier `cargo build` first.
        let text =
            shown(Command::new(&program).env("LD_LIBRARY_PATH", &libraries).env("DYLD_LIBRARY_PATH", &libraries));
        print!("{text}");
        assert!(text.ends_with("ok\n"), "{name} said\n{text}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_shared_library_exports_only_kwaai_symbols() {
    let library = libraries().join("libkwaai_ffi.so");
    let symbols = shown(Command::new("nm").args(["--dynamic", "--defined-only", "--format=posix"]).arg(&library));
    let foreign: Vec<&str> =
        symbols.lines().filter_map(|line| line.split(' ').next()).filter(|name| !name.starts_with("kwaai_")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(symbols.contains("kwaai_version"));
}
