//! Collections at hosts, over real sockets and real files.

#![cfg(feature = "vpk")]

mod audit;
mod benchmark;
mod collections;
mod console;
mod discovery;
mod hosts;
mod liars;
mod recovery;
mod repair;
mod replicas;
#[path = "../support/shapes.rs"]
mod shapes;
mod storage;
