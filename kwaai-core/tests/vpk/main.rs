//! Private knowledge as an owner and as hosts see it.

#![cfg(feature = "vpk")]

mod attack;
mod exact;
mod refuse;
mod world;
