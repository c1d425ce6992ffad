//! The private module behind the npm package `kwaainet`: the objects of `kwaai_ffi`, one expression for each verb. What
//! Node.js users see is written in TypeScript, in `bindings/node/ts`.

use napi_derive::napi;

/// The version of the library.
#[napi]
pub fn version() -> &'static str {
    kwaai_ffi::VERSION
}
