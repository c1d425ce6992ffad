//! Collections at hosts, over real sockets and real files.

#![cfg(feature = "vpk")]

mod collections;
mod hosts;
mod liars;
