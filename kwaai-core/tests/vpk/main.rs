//! Private knowledge as an owner and as hosts see it.

#![cfg(feature = "vpk")]

mod attack;
mod capability;
mod depot;
#[path = "../support/depots.rs"]
mod depots;
mod desk;
mod exact;
mod refuse;
mod reuse;
#[path = "../support/shapes.rs"]
mod shapes;
#[path = "../support/statement.rs"]
mod statement;
mod storage;
mod world;
