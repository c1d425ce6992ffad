//! Private knowledge as an owner and as hosts see it.

#![cfg(feature = "vpk")]

mod attack;
mod capability;
mod depot;
mod desk;
mod exact;
mod refuse;
#[path = "../support/shapes.rs"]
mod shapes;
#[path = "../support/statement.rs"]
mod statement;
mod storage;
mod world;
