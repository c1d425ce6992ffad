//! Writes the Kotlin and Swift sources of the interface in `kwaai-ffi`, at the version that the library is built with.

fn main() {
    uniffi::uniffi_bindgen_main();
}
