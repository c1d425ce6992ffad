use kwaai_core::node::DEFAULT_GRACE;
use kwaai_core::{Config, Node, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let node = Node::start(Config::default()).await?;
    println!("{}", node.peer_id());
    node.shutdown(DEFAULT_GRACE).await
}
