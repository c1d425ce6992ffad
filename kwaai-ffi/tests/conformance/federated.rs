//! The verbs of knowledge that several nodes have.

use std::sync::Arc;

use kwaai_core::Error;
use kwaai_core::rag::{FederatedOptions, Hit};
use kwaai_ffi::federation::{FederationOptions, KnowledgeCapability, Members, SharedSearch, check_provenance};
use kwaai_ffi::node::Sharing;
use kwaai_ffi::{CancelToken, Federation, Node, Rag, Result, SharedKnowledge};

use crate::verbs::{Answer, Arguments, Object, data, object, unknown};

fn rag(args: &Arguments, name: &str) -> Result<Arc<Rag>> {
    match args.object(name) {
        Some(Object::Rag(rag)) => Ok(rag.clone()),
        _ => Err(Error::invalid_argument(format!("{name} is no knowledge base")).into()),
    }
}

fn members(args: &Arguments) -> Result<Members> {
    let mut members = Members::default();
    for name in args.names("own")? {
        let own = rag(args, &format!("own.{name}"))?;
        members.own(name, &own)?;
    }
    for place in 0.. {
        match args.object(&format!("shared.{place}")) {
            Some(Object::Shared(shared)) => members.shared(shared)?,
            Some(_) => return Err(Error::invalid_argument("shared is of another kind").into()),
            None => break,
        }
    }
    Ok(members)
}

pub async fn on_node(name: &str, node: &Node, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "Node.share_knowledge" => {
            let (rag, sharing): (_, Sharing) = (rag(&args, "rag")?, args.record(&["rag"])?);
            data(node.share_knowledge(&rag, sharing, cancel).await?)
        }
        "Node.shared_knowledge" => {
            let shared = node.shared_knowledge(args.get("peer")?, args.get("capability")?, cancel).await?;
            object(Object::Shared(Arc::new(shared)))
        }
        "Node.federation" => {
            let options: FederationOptions = args.record(&["own", "shared"])?;
            let embedder = match args.object("embedder") {
                Some(Object::Embedder(embedder)) => Some(embedder.clone()),
                _ => None,
            };
            let federation = node.federation(members(&args)?, options, embedder, cancel).await?;
            object(Object::Federation(Arc::new(federation)))
        }
        "Node.prove" => {
            let hits: Vec<Hit> = args.get("hits")?;
            data(node.prove(&*rag(&args, "rag")?, hits, cancel).await?)
        }
        _ => unknown(name),
    }
}

pub async fn on_shared(name: &str, shared: &SharedKnowledge, args: Arguments, cancel: CancelToken) -> Result<Answer> {
    match name {
        "SharedKnowledge.search" => {
            let (k, options): (Option<usize>, SharedSearch) = (args.get("k")?, args.record(&["text", "k"])?);
            data(shared.search(args.get("text")?, k.unwrap_or(8), options, cancel).await?)
        }
        _ => unknown(name),
    }
}

pub async fn on_federation(
    name: &str,
    federation: &Federation,
    args: Arguments,
    cancel: CancelToken,
) -> Result<Answer> {
    match name {
        "Federation.search" => {
            let (k, options): (Option<usize>, FederatedOptions) = (args.get("k")?, args.record(&["text", "k"])?);
            data(federation.search(args.get("text")?, k.unwrap_or(8), options, cancel).await?)
        }
        _ => unknown(name),
    }
}

pub fn of_library(name: &str, args: &Arguments) -> Result<Answer> {
    match name {
        "Library.check_provenance" => data(check_provenance(&args.get("hit")?, &args.get("provenance")?)?),
        _ => data(KnowledgeCapability::read(&args.get::<String>("capability")?)?),
    }
}
