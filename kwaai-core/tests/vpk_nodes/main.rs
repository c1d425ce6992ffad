//! Collections at hosts, over real sockets and real files.

#![cfg(feature = "vpk")]

mod collections;
mod discovery;
mod hosts;
mod liars;
mod repair;
mod replicas;
