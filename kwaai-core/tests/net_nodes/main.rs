//! Nodes on real sockets of this machine: who reaches whom, who is refused, what is left afterwards.

mod cache;
mod calls;
mod crowd;
mod dht;
mod diagnosis;
mod foreign;
mod hostile;
mod latency;
mod lifecycle;
mod limits;
mod metrics;
mod relays;
mod streams;
mod support;
