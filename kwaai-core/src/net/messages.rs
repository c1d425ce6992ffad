//! Text messages between nodes.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use libp2p::PeerId;

use super::UnaryHandler;
use super::driver::Shared;
use super::events::NetworkEvent;
use crate::{Error, Result};

/// The unary method that carries a message; its body is the text, its reply is empty.
pub(crate) const METHOD: &str = "kwaainet.message";

/// The longest message, in bytes of UTF-8.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// A text that a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sent it, as the connection authenticated it.
    pub from: PeerId,
    /// The text exactly as it was sent, control characters included: it is data. Escape it, for example with
    /// [`shown`](super::wire::shown), before it reaches a terminal.
    pub text: String,
    /// When it arrived, by this node's clock.
    pub received_at: Timestamp,
}

/// Refuses a text that no peer would accept.
pub(crate) fn check(text: &str) -> Result<()> {
    if text.len() > MAX_MESSAGE {
        return Err(Error::invalid_argument(format!(
            "the message has {} bytes; at most {MAX_MESSAGE} are allowed",
            text.len()
        ))
        .with_remedy("send it in parts"));
    }
    Ok(())
}

/// Puts arriving messages into the inbox.
pub(crate) struct Receiver {
    pub shared: Arc<Shared>,
}

#[async_trait]
impl UnaryHandler for Receiver {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        let text = std::str::from_utf8(&body).map_err(|_| Error::invalid_argument("a message is text in UTF-8"))?;
        check(text)?;
        let message = Message { from: caller, text: text.to_owned(), received_at: Timestamp::now() };
        self.shared.inbox.send(message.clone());
        self.shared.events.send(NetworkEvent::MessageReceived { message });
        Ok(Bytes::new())
    }
}
