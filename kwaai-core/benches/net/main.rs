//! The figures of `make bench-net`: the DHT beside hivemind's, calls and streams, memory. Prints JSON objects, one a line.
//!
//! `net dht FOLDER RUNS` measures nodes of ours and of the judge in FOLDER in turn; `net server`, `net line`, `net streams
//! RUNS` and `net memory` the rest. What is measured in a process of its own starts this program again.

mod dht;
mod line;
mod memory;
mod node;
mod server;
mod streams;

#[path = "../../tests/support/judge.rs"]
mod judge;

use serde_json::json;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let text = |place: usize| arguments.get(place).map(String::as_str);
    let number = |place: usize, or: usize| text(place).and_then(|text| text.parse().ok()).unwrap_or(or);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let found = match (text(0), text(1)) {
        (Some("dht"), Some(folder)) => runtime.block_on(dht::measure(folder, number(2, 7))),
        (Some("server"), None) => runtime.block_on(server::measure()),
        (Some("server"), Some("keep")) => return runtime.block_on(server::keep()),
        (Some("line"), _) => runtime.block_on(line::measure()),
        (Some("streams"), _) => runtime.block_on(streams::measure(number(1, 7))),
        (Some("memory"), None) => runtime.block_on(memory::measure()),
        (Some("memory"), Some("host")) => return runtime.block_on(memory::host()),
        _ => json!({"usage": "net dht FOLDER [RUNS] | net server | net line | net streams [RUNS] | net memory"}),
    };
    println!("{found}");
}
