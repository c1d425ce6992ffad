//! `include/kwaainet.h` is what cbindgen makes of the C interface now, it lists what `tests/surface.toml` and
//! `tests/errors.toml` list, and it says of every function who owns what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn root() -> PathBuf {
    std::env::current_dir().unwrap().join("..")
}

/// A header that is made and committed.
struct Header {
    path: &'static str,
    guard: &'static str,
    opening: &'static str,
    includes: &'static [&'static str],
    /// Whether a file of the C interface belongs to it.
    has: fn(&str) -> bool,
}

const PUBLIC: Header = Header {
    path: "include/kwaainet.h",
    guard: "KWAAINET_H",
    opening: PUBLIC_OPENING,
    includes: &["stdbool.h", "stddef.h", "stdint.h"],
    has: |file| file != "testing.rs",
};

const TESTING: Header = Header {
    path: "tests/c/kwaainet_testing.h",
    guard: "KWAAINET_TESTING_H",
    opening: TESTING_OPENING,
    includes: &["kwaainet.h"],
    has: |file| file == "testing.rs",
};

const PUBLIC_OPENING: &str = r#"
// A KwaaiNet node inside your own program: the C interface.
//
// Generated from kwaai-ffi/src/c by `make header`; do not edit.
//
// Rules that hold for every function; docs/ffi-rules.md has them at length:
// - It returns a kwaai_status_t. Outputs come last, then an optional kwaai_error_t ** that says more; NULL if you do not
//   want it. When a call fails its outputs are NULL or zero, and nothing has to be freed but the error.
// - Texts are UTF-8 and end with NUL. A `char *` that a function hands out is freed with kwaai_string_free.
// - A handle is not an address. Using one that was freed, is of another kind, or was never one gives a status.
// - Calls that wait take `timeout_ms`; KWAAI_WAIT_FOREVER waits without a limit. Any thread of the program may make them.
//   Each has a twin that ends in `_async`: it has the same arguments, answers a kwaai_op_t at once, and never waits.
// - A number of milliseconds that may be left out is KWAAI_UNSET then; 0 is 0 milliseconds.
// - After a fork the parent's handles answer KWAAI_CLOSED in the child, and new ones work there: nodes and models only
//   when the parent had none.
"#;

const TESTING_OPENING: &str = r#"
// Failures on demand, for the tests of the C interface. No library that is shipped has them.
//
// Generated from kwaai-ffi/src/c/testing.rs by `make header`; do not edit.
"#;

impl Header {
    /// What the sources say it should be.
    fn generated(&self) -> String {
        let sources = std::env::current_dir().unwrap().join("src/c");
        let plain = tempfile::tempdir().expect("a temporary directory");
        let mut files: Vec<PathBuf> = std::fs::read_dir(&sources)
            .expect("the sources are there")
            .map(|entry| entry.expect("a readable directory").path())
            .filter(|path| (self.has)(&path.file_name().expect("a file").to_string_lossy()))
            .map(|path| {
                let source = std::fs::read_to_string(&path).expect("a source in UTF-8");
                let copy = plain.path().join(path.file_name().expect("a file"));
                std::fs::write(&copy, written_out(&source)).expect("a writable temporary directory");
                copy
            })
            .collect();
        files.sort();
        let mut config = cbindgen::Config {
            language: cbindgen::Language::C,
            cpp_compat: true,
            include_guard: Some(self.guard.into()),
            usize_is_size_t: true,
            documentation_style: cbindgen::DocumentationStyle::C99,
            documentation_length: cbindgen::DocumentationLength::Full,
            no_includes: true,
            sys_includes: self.includes.iter().map(|name| (*name).to_string()).collect(),
            header: Some(self.opening.trim().into()),
            line_length: 100,
            ..cbindgen::Config::default()
        };
        config.style = cbindgen::Style::Both;
        config.function.args = cbindgen::Layout::Auto;
        config.enumeration.rename_variants = cbindgen::RenameRule::None;
        let builder = files.iter().fold(cbindgen::Builder::new().with_config(config), |b, file| b.with_src(file));
        let mut header = Vec::new();
        builder.generate().expect("cbindgen reads the C interface").write(&mut header);
        tidy(&String::from_utf8(header).expect("a header in UTF-8"))
    }

    fn check(&self) {
        let path = root().join(self.path);
        let fresh = self.generated();
        if std::env::var_os("KWAAI_UPDATE_HEADER").is_some_and(|value| value == "1") {
            std::fs::write(&path, &fresh).expect("a writable checkout");
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == fresh, "{} is stale; run `make header` and commit it", self.path);
    }
}

/// A source in which the verbs of `waiting!` are written out as the two functions that the macro makes of each: cbindgen
/// does not expand macros.
fn written_out(source: &str) -> String {
    let mut out = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line != "waiting! {" {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let mut doc = String::new();
        while let Some(line) = lines.next().filter(|line| *line != "}") {
            let line = line.trim();
            if line.starts_with("///") {
                doc.push_str(line);
                doc.push('\n');
            } else if line.starts_with("fn ") {
                let mut signature = line.to_string();
                while !signature.ends_with('{') {
                    signature.push_str(lines.next().expect("a verb has a body").trim());
                }
                out.push_str(&pair(&std::mem::take(&mut doc), &signature));
                // The body ends where a verb began.
                lines.by_ref().find(|line| *line == "    }").expect("a body ends");
            }
        }
    }
    out
}

/// The declarations of one verb.
fn pair(doc: &str, signature: &str) -> String {
    let rest = signature.strip_prefix("fn ").expect("a verb");
    let (names, rest) = rest.split_once('(').expect("a verb has arguments");
    let (arguments, rest) = rest.split_once(')').expect("the arguments end");
    let outputs = rest.split_once('(').expect("a verb has outputs").1.split_once(')').expect("the outputs end").0;
    let (waits, begins) = names.split_once(" / ").expect("a verb has two names");
    assert_eq!(begins, format!("{waits}_async"));
    let split = |list: &str| -> Vec<String> {
        list.split(',').map(|part| part.trim().to_string()).filter(|part| !part.is_empty()).collect()
    };
    let arguments = split(arguments);
    let mut with_outputs = arguments.clone();
    with_outputs.push("timeout_ms: u32".into());
    with_outputs.extend(split(outputs).iter().map(|output| output.replacen(": ", ": *mut ", 1)));
    let mut with_op = arguments;
    with_op.push("out_op: *mut *mut kwaai_op_t".into());
    let function = |doc: &str, name: &str, parameters: &[String]| {
        format!(
            "{doc}#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn {name}({}, error: *mut *mut kwaai_error_t) -> \
             kwaai_status_t {{ loop {{}} }}\n",
            parameters.join(", ")
        )
    };
    let begun = format!(
        "/// Begins what `{waits}` does and returns at once.\n///\n\
         /// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,\n\
         /// also in a callback. NULL: as for `{waits}`. Lifetime: handles among the arguments may be freed at once.\n"
    );
    function(doc, waits, &with_outputs) + &function(&begun, begins, &with_op)
}

/// Leaves out what is for Rust: the sections `# Safety`, which in C the caller promises by calling.
fn tidy(header: &str) -> String {
    let mut inside = false;
    let mut kept: Vec<&str> = Vec::new();
    for line in header.lines() {
        inside = (inside && line.starts_with("//")) || line == "// # Safety";
        if !inside {
            if kept.last() == Some(&"//") && !line.starts_with("//") {
                kept.pop();
            }
            kept.push(line);
        }
    }
    kept.join("\n") + "\n"
}

#[test]
fn the_committed_headers_are_what_the_sources_say() {
    PUBLIC.check();
    TESTING.check();
}

/// A function as a header declares it.
struct Function {
    doc: String,
    parameters: Vec<String>,
}

/// Every function that a header declares, by its name.
fn declared(header: &str) -> BTreeMap<String, Function> {
    let mut functions = BTreeMap::new();
    let (mut doc, mut code) = (String::new(), String::new());
    for line in header.lines() {
        if let Some(comment) = line.strip_prefix("//") {
            doc.push_str(comment);
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            (doc, code) = (String::new(), String::new());
            continue;
        }
        code.push_str(line.trim());
        code.push(' ');
        if !line.ends_with(");") || code.contains('{') {
            continue;
        }
        let (head, rest) = code.split_once('(').expect("a function has arguments");
        let name = head.rsplit([' ', '*']).next().expect("a function has a name").to_string();
        let parameters = rest.trim_end().trim_end_matches(");").split(", ");
        let parameters = parameters.filter_map(|p| p.rsplit([' ', '*']).next()).map(ToString::to_string).collect();
        functions.insert(name, Function { doc: std::mem::take(&mut doc), parameters });
        code.clear();
    }
    functions
}

/// What only C needs: errors, texts, versions, operations, what a program brings.
const HOUSEKEEPING: [&str; 52] = [
    "kwaai_abi_version",
    "kwaai_answer_fail",
    "kwaai_answer_finish",
    "kwaai_answer_free",
    "kwaai_answer_is_wanted",
    "kwaai_answer_parts",
    "kwaai_answer_piece",
    "kwaai_answer_signature",
    "kwaai_answer_vectors",
    "kwaai_embedder_free",
    "kwaai_embedder_new",
    "kwaai_error_code",
    "kwaai_error_free",
    "kwaai_error_json",
    "kwaai_error_message",
    "kwaai_error_retryable",
    "kwaai_error_status",
    "kwaai_floats_free",
    "kwaai_library_shutdown",
    "kwaai_live_handles",
    "kwaai_op_cancel",
    "kwaai_op_free",
    "kwaai_op_on_done",
    "kwaai_op_poll",
    "kwaai_op_result",
    "kwaai_op_take_collection",
    "kwaai_op_take_console",
    "kwaai_op_take_count",
    "kwaai_op_take_federation",
    "kwaai_op_take_floats",
    "kwaai_op_take_http_server",
    "kwaai_op_take_item",
    "kwaai_op_take_model",
    "kwaai_op_take_node",
    "kwaai_op_take_rag",
    "kwaai_op_take_shards",
    "kwaai_op_take_shared_knowledge",
    "kwaai_op_take_stream",
    "kwaai_op_take_text",
    "kwaai_op_take_trust",
    "kwaai_op_wait",
    "kwaai_rag_ingest_bytes",
    "kwaai_reader_free",
    "kwaai_reader_new",
    "kwaai_shards_writer",
    "kwaai_signer_free",
    "kwaai_signer_new",
    "kwaai_status_name",
    "kwaai_string_free",
    "kwaai_version",
    "kwaai_writer_free",
    "kwaai_writer_new",
];

/// A class of `tests/surface.toml`.
#[derive(serde::Deserialize)]
struct Class {
    /// What C calls it.
    c: String,
    #[serde(default)]
    verbs: BTreeMap<String, Verb>,
    /// What each language calls the verbs, where they differ.
    #[serde(default)]
    spelled: BTreeMap<String, Vec<String>>,
}

#[derive(serde::Deserialize)]
struct Verb {
    #[serde(default)]
    args: Vec<String>,
    only: Option<Vec<String>>,
}

/// The verbs that C has, by the name of their function.
fn surface() -> (BTreeMap<String, Vec<String>>, BTreeSet<String>) {
    let text = std::fs::read_to_string(root().join("tests/surface.toml")).expect("tests/surface.toml");
    let classes: BTreeMap<String, Class> = toml::from_str(&text).expect("tests/surface.toml is TOML");
    let (mut verbs, mut freed) = (BTreeMap::new(), BTreeSet::new());
    for (name, class) in classes {
        let ours = |verb: &Verb| verb.only.as_ref().is_none_or(|only| only.iter().any(|language| language == "c"));
        for (verb, described) in class.verbs.into_iter().filter(|(_, verb)| ours(verb)) {
            verbs.insert(format!("kwaai_{}_{verb}", class.c), described.args);
        }
        for verb in class.spelled.get("c").into_iter().flatten() {
            verbs.insert(format!("kwaai_{}_{verb}", class.c), Vec::new());
        }
        if name != "Library" {
            freed.insert(format!("kwaai_{}_free", class.c));
        }
    }
    (verbs, freed)
}

#[test]
fn the_header_declares_what_the_surface_lists_both_ways() {
    let (verbs, mut listed) = surface();
    listed.extend(HOUSEKEEPING.iter().map(|name| (*name).to_string()));
    listed.extend(verbs.into_keys());
    let declared = declared(&PUBLIC.generated());
    let waits = declared.iter().filter(|(_, function)| function.parameters.iter().any(|name| name == "timeout_ms"));
    let twins: Vec<String> =
        waits.filter(|(name, _)| *name != "kwaai_op_wait").map(|(name, _)| format!("{name}_async")).collect();
    assert!(twins.len() > 40, "the verbs that wait were not recognised");
    listed.extend(twins);
    assert_eq!(declared.into_keys().collect::<BTreeSet<_>>(), listed);
}

#[test]
fn every_argument_of_the_surface_is_a_parameter_or_named_in_the_comment() {
    let declared = declared(&PUBLIC.generated());
    // A comment may refer to that of another function.
    let with_references = |doc: &str| {
        let others = declared.iter().filter(|(name, _)| doc.contains(&format!("`{name}`")));
        others.fold(doc.to_string(), |all, (_, other)| all + &other.doc)
    };
    let mut missing = Vec::new();
    for (name, arguments) in surface().0 {
        let function = &declared[&name];
        let doc = with_references(&function.doc);
        for argument in arguments {
            let optional = argument.ends_with('?');
            let plain = argument.trim_end_matches('?');
            let taken = function.parameters.iter().any(|parameter| {
                let parameter = parameter.strip_suffix('_').unwrap_or(parameter);
                parameter == plain || parameter == format!("{plain}_json")
            });
            let named = optional && doc.contains(&format!("`{plain}`"));
            if !taken && !named {
                missing.push(format!("{name}: {argument}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_function_says_who_owns_what_on_which_thread_with_which_null_and_for_how_long() {
    for (path, functions) in [&PUBLIC, &TESTING].map(|header| (header.path, declared(&header.generated()))) {
        assert!(!functions.is_empty());
        for (name, function) in functions {
            for point in ["Ownership: ", "Threads: ", "NULL: ", "Lifetime: "] {
                assert!(function.doc.contains(point), "{path}: {name} does not say its {point}");
            }
        }
    }
}

#[test]
fn the_statuses_are_the_codes_of_the_error_table() {
    #[derive(serde::Deserialize)]
    struct Code {
        number: u32,
    }
    let text = std::fs::read_to_string(root().join("tests/errors.toml")).expect("tests/errors.toml");
    let table: BTreeMap<String, Code> = toml::from_str(&text).expect("tests/errors.toml is TOML");
    let table: BTreeMap<String, u32> = table.into_iter().map(|(name, code)| (name, code.number)).collect();
    let header = PUBLIC.generated();
    let statuses = header.split_once("typedef enum kwaai_status_t {").expect("the statuses").1;
    let statuses = statuses.split_once('}').expect("the statuses end").0;
    let declared: BTreeMap<String, u32> = statuses
        .lines()
        .filter_map(|line| line.trim().strip_prefix("KWAAI_")?.trim_end_matches(',').split_once(" = "))
        .filter(|(name, _)| *name != "OK")
        .map(|(name, number)| (name.to_ascii_lowercase(), number.parse().expect("a number")))
        .collect();
    assert_eq!(declared, table);
}
