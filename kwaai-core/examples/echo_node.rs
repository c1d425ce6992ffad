//! A node that answers every message with the same text.
//!
//!     cargo run -p kwaai-core --example echo_node
//!     cargo run -p kwaai-core --example echo_node -- /ip4/127.0.0.1/tcp/40123/p2p/12D3KooW…
//!
//! It prints the addresses at which it can be dialled; a second one joins through any of them. It ends when its standard
//! input does.

use kwaai_core::event::Item;
use kwaai_core::node::DEFAULT_GRACE;
use kwaai_core::{Config, Node, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let bootstrap = std::env::args().skip(1).collect();
    let node = Node::start(Config { name: Some("echo".into()), bootstrap, ..Config::default() }).await?;
    for address in node.info()?.addresses {
        println!("listening {address}");
    }
    let mut messages = node.messages();
    let answering = async {
        while let Some(item) = messages.next().await? {
            if let Item::Value(message) = item {
                node.send_message(message.from, &message.text).await?;
            }
        }
        Result::Ok(())
    };
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
    tokio::select! {
        result = answering => result,
        _ = ended => Ok(()),
    }?;
    node.shutdown(DEFAULT_GRACE).await
}
