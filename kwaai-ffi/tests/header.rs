//! `include/kwaainet.h` is what cbindgen makes of the C interface now, and it lists what `tests/surface.toml` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn generated() -> String {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/c");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&sources)
        .expect("the sources are there")
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    files.sort();
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        include_guard: Some("KWAAINET_H".into()),
        usize_is_size_t: true,
        documentation_style: cbindgen::DocumentationStyle::C99,
        documentation_length: cbindgen::DocumentationLength::Full,
        no_includes: true,
        sys_includes: vec!["stdbool.h".into(), "stddef.h".into(), "stdint.h".into()],
        header: Some(HEADER.trim().into()),
        line_length: 100,
        ..cbindgen::Config::default()
    };
    config.function.args = cbindgen::Layout::Auto;
    config.enumeration.rename_variants = cbindgen::RenameRule::None;
    let builder = files.iter().fold(cbindgen::Builder::new().with_config(config), |b, file| b.with_src(file));
    let mut header = Vec::new();
    builder.generate().expect("cbindgen reads the C interface").write(&mut header);
    without_rust(&String::from_utf8(header).expect("a header in UTF-8"))
}

/// Leaves out the sections `# Safety`, which are for Rust: in C the caller promises them by calling.
fn without_rust(header: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in header.lines() {
        inside = (inside && line.starts_with("//")) || line == "// # Safety";
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept.replace("//\nenum kwaai_status_t", "enum kwaai_status_t")
}

const HEADER: &str = r#"
// A KwaaiNet node inside your own program: the C interface.
//
// Generated from kwaai-ffi/src/c by `make header`; do not edit.
//
// Rules that hold for every function:
// - It returns a kwaai_status_t. Outputs come last, then an optional kwaai_error_t ** that says more; NULL if you do not
//   want it. When a call fails its outputs are NULL or zero, and nothing has to be freed but the error.
// - Texts are UTF-8 and end with NUL. A `char *` that a function hands out is freed with kwaai_string_free.
// - A handle is not an address. Using one that was freed, is of another kind, or was never one gives a status.
// - Calls that wait take `timeout_ms`; KWAAI_WAIT_FOREVER waits without a limit. Any thread may make them.
// - After a fork the child's handles of the parent answer KWAAI_CLOSED; new ones work.
"#;

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let path = root().join("include/kwaainet.h");
    let fresh = generated();
    if std::env::var_os("KWAAI_UPDATE_HEADER").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(root().join("include")).expect("a writable checkout");
        std::fs::write(&path, &fresh).expect("a writable checkout");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "include/kwaainet.h is stale; run `make header` and commit it");
}

/// Every `kwaai_…` function that the header declares.
fn declared() -> BTreeSet<String> {
    let header = generated();
    header
        .lines()
        .filter(|line| !line.starts_with("//"))
        .flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '(')))
        .filter_map(|word| word.strip_prefix("kwaai_").and_then(|rest| rest.split_once('(')))
        .map(|(name, _)| format!("kwaai_{name}"))
        .collect()
}

/// What only C needs: errors, texts, versions, freeing.
const HOUSEKEEPING: [&str; 12] = [
    "kwaai_abi_version",
    "kwaai_error_code",
    "kwaai_error_free",
    "kwaai_error_json",
    "kwaai_error_message",
    "kwaai_error_retryable",
    "kwaai_error_status",
    "kwaai_library_shutdown",
    "kwaai_live_handles",
    "kwaai_status_name",
    "kwaai_string_free",
    "kwaai_version",
];

/// A class of `tests/surface.toml`.
#[derive(serde::Deserialize)]
struct Class {
    /// What C calls it.
    c: String,
    /// Verb → the languages that have it.
    verbs: BTreeMap<String, Vec<String>>,
}

#[test]
fn the_header_declares_what_the_surface_lists_both_ways() {
    let text = std::fs::read_to_string(root().join("tests/surface.toml")).expect("tests/surface.toml");
    let surface: BTreeMap<String, Class> = toml::from_str(&text).expect("tests/surface.toml is TOML");
    let mut listed: BTreeSet<String> = HOUSEKEEPING.iter().map(|name| (*name).to_string()).collect();
    for class in surface.values() {
        let verbs = class.verbs.iter().filter(|(_, languages)| languages.iter().any(|language| language == "c"));
        let names: Vec<String> = verbs.map(|(verb, _)| format!("kwaai_{}_{verb}", class.c)).collect();
        // What can be had can be freed.
        listed.extend((!names.is_empty()).then(|| format!("kwaai_{}_free", class.c)));
        listed.extend(names);
    }
    assert_eq!(declared(), listed);
}
