//! Names the shared library for those who link with it: `make install` puts it where that name is looked for.

fn main() {
    println!("cargo::rerun-if-changed=src/c/library.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        let source = std::fs::read_to_string("src/c/library.rs").expect("the sources of this crate");
        let number = source.lines().find_map(|line| line.strip_prefix("pub const KWAAI_ABI_VERSION: u32 = "));
        let number = number.expect("the number of the C interface").trim_end_matches(';');
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libkwaainet.so.{number}");
    }
}
