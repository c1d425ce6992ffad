//! The C interface as its users meet it: installed under a prefix, found by pkg-config, compiled, linked and run.
//!
//! Cargo makes all of this crate's artefacts in one go, the shared library among them, before it builds this test; they
//! lie beside it. `bindings/c/install.sh` installs that very library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];
const SANITIZERS: [&str; 3] = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"];

fn root() -> PathBuf {
    let root = std::env::current_dir().unwrap().join("..");
    root.canonicalize().expect("the root of the project")
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn library() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it lies");
    let name = format!("{}kwaai_ffi{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    program.parent().expect("it lies in a directory").join(name)
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed with {}\n{text}", output.status);
    text
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// An installed library.
struct Prefix(PathBuf);

impl Prefix {
    /// What `make install` made of the library of this build.
    fn installed() -> &'static Prefix {
        static PREFIX: OnceLock<(TempDir, Prefix)> = OnceLock::new();
        &PREFIX
            .get_or_init(|| {
                let dir = temporary();
                run(Command::new(root().join("bindings/c/install.sh")).arg(library()).env("PREFIX", dir.path()));
                let prefix = Prefix(dir.path().to_path_buf());
                (dir, prefix)
            })
            .1
    }

    fn pkg_config(&self, question: &str) -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.arg(question).arg("kwaainet").env("PKG_CONFIG_PATH", self.0.join("lib/pkgconfig"));
        run(&mut command).split_whitespace().map(ToString::to_string).collect()
    }

    /// Compiles a program and links it as its author would.
    fn compile(&self, source: &Path, program: &Path, flags: &[&str]) {
        let cpp = source.extension().is_some_and(|extension| extension == "cpp");
        let (compiler, standard) = if cpp { ("c++", "-std=c++17") } else { ("cc", "-std=c11") };
        let mut command = Command::new(compiler);
        // The tests use POSIX beside C11: threads, folders, regular expressions.
        command.arg(standard).arg("-D_XOPEN_SOURCE=700").args(WARNINGS).args(flags);
        command.args(self.pkg_config("--cflags")).arg("-I").arg(root().join("tests/c"));
        command.arg(source).arg("-o").arg(program).args(self.pkg_config("--libs")).args(["-lm", "-lpthread"]);
        run(&mut command);
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.with_libraries(&mut command);
        command
    }

    fn with_libraries(&self, command: &mut Command) {
        command.env("LD_LIBRARY_PATH", self.0.join("lib")).env("DYLD_LIBRARY_PATH", self.0.join("lib"));
        command.env("RUST_BACKTRACE", "0");
    }
}

/// Compiles and runs a program of `tests/c`, which gets an empty folder and the root; what it printed.
fn says_ok(name: &str, flags: &[&str]) -> String {
    let (dir, prefix) = (temporary(), Prefix::installed());
    let program = dir.path().join(name);
    prefix.compile(&root().join(format!("tests/c/{name}.c")), &program, flags);
    let text = run(prefix.command(&program).arg(dir.path()).arg(root()));
    print!("{text}");
    assert!(text.lines().any(|line| line == "ok"), "{name} said\n{text}");
    text
}

#[test]
fn the_headers_compile_as_c11_and_as_cpp17_without_a_warning() {
    let dir = temporary();
    let main = "int main(void) { return 0; }\n";
    for header in ["kwaainet.h", "kwaainet_testing.h"] {
        for (compiler, standard, file) in [
            ("cc", "c11", "empty.c"),
            ("c++", "c++17", "empty.cpp"),
            ("clang", "c11", "empty.c"),
            ("clang++", "c++17", "empty.cpp"),
        ] {
            if compiler.starts_with("clang") && !is_installed(compiler) {
                continue;
            }
            let source = dir.path().join(file);
            std::fs::write(&source, format!("#include <{header}>\n#include <{header}>\n{main}")).expect("a source");
            let mut command = Command::new(compiler);
            command.arg(format!("-std={standard}")).args(WARNINGS);
            command.arg("-I").arg(root().join("include")).arg("-I").arg(root().join("tests/c"));
            run(command.arg("-c").arg(&source).arg("-o").arg(dir.path().join("empty.o")));
        }
    }
}

#[test]
fn two_nodes_exchange_a_message_and_trust_each_other() {
    says_ok("smoke", &[]);
}

#[test]
fn every_misuse_gets_a_status() {
    says_ok("misuse", &[]);
}

#[test]
fn operations_are_polled_waited_for_cancelled_and_taken() {
    says_ok("operations", &[]);
}

#[test]
fn what_a_program_brings_is_called_answered_and_let_go_of_once() {
    says_ok("provide", &[]);
}

#[test]
fn records_have_the_fields_that_the_header_names() {
    says_ok("records", &[]);
}

#[test]
fn many_of_everything_leave_nothing_behind() {
    says_ok("stress", &[]);
}

#[test]
fn the_programs_touch_no_memory_that_is_not_theirs() {
    for name in ["misuse", "operations", "provide", "smoke"] {
        says_ok(name, &SANITIZERS);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn valgrind_finds_nothing_in_the_misuses() {
    if !is_installed("valgrind") {
        println!("skipped: valgrind is not installed");
        return;
    }
    let (dir, prefix) = (temporary(), Prefix::installed());
    let program = dir.path().join("misuse");
    prefix.compile(&root().join("tests/c/misuse.c"), &program, &["-g"]);
    let mut command = Command::new("valgrind");
    // What the library keeps for the life of the process is reached through pointers into the middle of its tables,
    // which counts as possibly lost; what is definitely lost is an error.
    command.args(["-q", "--error-exitcode=1", "--leak-check=full", "--show-leak-kinds=definite"]);
    command.arg("--errors-for-leak-kinds=definite").arg(&program);
    prefix.with_libraries(&mut command);
    assert!(run(&mut command).lines().any(|line| line == "ok"));
}

/// The functions that a committed header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(header)).expect("a header");
    text.lines()
        .filter(|line| !line.starts_with("//") && !line.contains("(*"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("kwaai_"))
        .map(ToString::to_string)
        .collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_shared_library_exports_what_the_headers_declare_and_nothing_else() {
    let symbols = run(Command::new("nm").args(["--dynamic", "--defined-only", "--format=posix"]).arg(library()));
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split(' ').next()).map(ToString::to_string).collect();
    // A development build carries the interface that Kotlin and Swift are generated from as well. And llguidance has a C interface:
    // cargo hands what would hide it on to the addon for Node.js, whose entry point it would hide too.
    let of_others =
        |name: &&String| ["uniffi_", "ffi_", "UNIFFI_META_", "llg_"].iter().any(|prefix| name.starts_with(prefix));
    let ours: BTreeSet<String> = exported.iter().filter(|name| !of_others(name)).cloned().collect();
    let mut expected = declared("include/kwaainet.h");
    expected.extend(declared("tests/c/kwaainet_testing.h"));
    assert_eq!(ours, expected);
}

#[test]
#[cfg(target_os = "linux")]
fn an_installed_program_asks_for_the_library_by_its_numbered_name() {
    let (dir, prefix) = (temporary(), Prefix::installed());
    let program = dir.path().join("hello");
    prefix.compile(&root().join("examples/c/hello.c"), &program, &[]);
    let needed = run(Command::new("readelf").arg("-d").arg(&program));
    assert!(needed.contains("[libkwaainet.so.1]"), "{needed}");
}

#[test]
fn the_examples_compile_against_the_installed_library_and_run() {
    let (dir, prefix) = (temporary(), Prefix::installed());
    let (hello, hello_cpp) = (dir.path().join("hello"), dir.path().join("hello_cpp"));
    prefix.compile(&root().join("examples/c/hello.c"), &hello, &[]);
    assert!(run(&mut prefix.command(&hello)).contains("\"peer_id\":\"12D3KooW"));
    prefix.compile(&root().join("examples/c/hello.cpp"), &hello_cpp, &[]);
    assert!(run(&mut prefix.command(&hello_cpp)).contains("\"text\":\"hello from C++\""));
}

#[test]
fn the_guide_does_what_it_says() {
    let (dir, prefix) = (temporary(), Prefix::installed());
    let program = dir.path().join("guide");
    prefix.compile(&root().join("examples/c/guide.c"), &program, &SANITIZERS);
    let text = run(prefix.command(&program).arg(root()).arg(dir.path()));
    for expected in [
        "alice is 12D3KooW",
        "\"text\":\"hello from C\"",
        "bob scores 0.20: ",
        "refused: did:key:",
        "shared [{\"end_block\":2,",
        "\"kind\":\"token\"",
        "\"kind\":\"done\",\"path\":[{",
        "\"kind\":\"finished\"",
        "tells the librarian seven days before. [1]",
        "the host says {\"about\":\"did:key:",
        "the credential is {\"as_of\":null,\"state\":\"revoked\",\"why\":null} and the host says {",
        "invalid_argument, worth another try: no",
        "the slow call ended: cancelled",
        "OPENAI_BASE_URL=http://127.0.0.1:",
        "node started",
    ] {
        assert!(text.contains(expected), "the guide does not say {expected:?}:\n{text}");
    }
    let guide = std::fs::read_to_string(root().join("examples/c/guide.c")).expect("the guide");
    let tasks = "start messages trust policy share_blocks chat documents ask errors bring_your_own ask_others keep_vectors serve_openai";
    for anchor in tasks.split(' ') {
        assert_eq!(guide.matches(&format!("/* anchor: {anchor} */\n")).count(), 1, "{anchor}");
        assert_eq!(guide.matches(&format!("/* end: {anchor} */\n")).count(), 1, "{anchor}");
    }
}

#[test]
fn cmake_finds_the_installed_library() {
    if !is_installed("cmake") {
        println!("skipped: cmake is not installed");
        return;
    }
    let (dir, prefix) = (temporary(), Prefix::installed());
    let listed = format!(
        "cmake_minimum_required(VERSION 3.13)\nproject(hello C)\nset(CMAKE_C_STANDARD 11)\n\
         find_package(kwaainet 0.1 REQUIRED)\nadd_executable(hello {})\n\
         target_link_libraries(hello PRIVATE kwaainet::kwaainet)\n",
        root().join("examples/c/hello.c").display()
    );
    std::fs::write(dir.path().join("CMakeLists.txt"), listed).expect("a writable temporary directory");
    let build = dir.path().join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(dir.path()).arg("-B").arg(&build);
    run(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.0.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    assert!(run(&mut prefix.command(&build.join("hello"))).contains("\"peer_id\":\"12D3KooW"));
}

#[test]
fn the_packed_library_works_wherever_it_is_unpacked() {
    let dir = temporary();
    let mut pack = Command::new(root().join("bindings/c/package.sh"));
    let packed = run(pack.arg(library()).env("PACKAGE_DIR", dir.path()));
    run(Command::new("tar").arg("-xzf").arg(packed.trim()).arg("-C").arg(dir.path()));
    let name = Path::new(packed.trim()).file_name().expect("a file").to_string_lossy().replace(".tar.gz", "");
    let prefix = Prefix(dir.path().join(name));
    let program = dir.path().join("hello");
    prefix.compile(&prefix.0.join("share/doc/kwaainet/examples/hello.c"), &program, &[]);
    assert!(run(&mut prefix.command(&program)).contains("\"peer_id\":\"12D3KooW"));
}

#[test]
fn every_scenario_holds_in_c() {
    assert!(hold_in_c(|scenario| !scenario.contains("\"skip_on\"")) > 0);
}

#[test]
fn scenarios_that_need_what_may_not_be_there_hold_in_c_or_say_what_is_missing() {
    hold_in_c(|scenario| scenario.contains("\"skip_on\""));
}

/// Runs the chosen scenarios; how many there are.
fn hold_in_c(chosen: fn(&str) -> bool) -> usize {
    let (dir, prefix) = (temporary(), Prefix::installed());
    let program = dir.path().join("conformance");
    prefix.compile(&root().join("tests/c/conformance.c"), &program, &[]);
    let folder = std::env::var_os("KWAAI_SCENARIOS").map_or_else(|| root().join("tests/conformance"), PathBuf::from);
    let mut scenarios: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("tests/conformance")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(|path| chosen(&std::fs::read_to_string(path).expect("a scenario")))
        .collect();
    scenarios.sort();
    let mut failures = String::new();
    for scenario in &scenarios {
        let output = prefix.command(&program).arg(root()).arg(scenario).output().expect("the runner starts");
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|line| line.starts_with("skipped: ")).for_each(|line| println!("{line}"));
        if !output.status.success() || !text.ends_with("\nok\n") {
            let name = scenario.file_name().unwrap_or_default().to_string_lossy().into_owned();
            failures += &format!("{name}: {}\n", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(failures.is_empty(), "{failures}");
    scenarios.len()
}
