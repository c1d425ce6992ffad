//! A node's dial addresses as a service of its DID.
//!
//! A multiaddr is no URI, which a plain `serviceEndpoint` has to be (DID 1.1 §5.4), so the addresses stand in a map:
//! `{"id": "#libp2p", "type": "Libp2pNode", "serviceEndpoint": {"multiaddrs": ["/ip4/192.0.2.1/tcp/4001"]}}`.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use serde_json::{Map, Value, json};

use super::document::Service;
use super::refusal::INVALID_DOCUMENT;
use crate::Result;

const TYPE: &str = "Libp2pNode";
const MEMBER: &str = "multiaddrs";

/// The most addresses that one DID carries, and the longest of them in characters.
const MAX_ADDRESSES: usize = 16;
const MAX_ADDRESS: usize = 512;

pub(super) fn is_service(service: &Service) -> bool {
    service.is_of_type(TYPE)
}

/// The service that says where `peer` can be dialled; none when it says nothing.
pub(super) fn write(addresses: &[Multiaddr], peer: &PeerId) -> Result<Option<Map<String, Value>>> {
    if addresses.is_empty() {
        return Ok(None);
    }
    check_count(addresses.len())?;
    let mut texts = Vec::with_capacity(addresses.len());
    for address in addresses {
        let text = address.to_string();
        check(&text, address, peer)?;
        texts.push(Value::String(text));
    }
    let mut service = Map::new();
    service.insert("id".into(), "#libp2p".into());
    service.insert("type".into(), TYPE.into());
    service.insert("serviceEndpoint".into(), json!({ MEMBER: texts }));
    Ok(Some(service))
}

pub(super) fn read(services: &[Service], peer: &PeerId) -> Result<Vec<Multiaddr>> {
    let mut addresses = Vec::new();
    for service in services.iter().filter(|service| is_service(service)) {
        let texts = service.endpoint().get(MEMBER).and_then(Value::as_array).ok_or_else(|| {
            INVALID_DOCUMENT.invalid(format!("the serviceEndpoint of a {TYPE} has no array {MEMBER}"))
        })?;
        check_count(addresses.len() + texts.len())?;
        for text in texts {
            let malformed = || INVALID_DOCUMENT.invalid(format!("a {TYPE} names an address that is no multiaddr"));
            let text = text.as_str().filter(|text| text.len() <= MAX_ADDRESS).ok_or_else(malformed)?;
            let address: Multiaddr = text.parse().map_err(|error| malformed().with_source(error))?;
            check(text, &address, peer)?;
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn check_count(count: usize) -> Result<()> {
    if count > MAX_ADDRESSES {
        let message = format!("{count} addresses are too many for a DID, {MAX_ADDRESSES} are the limit");
        return Err(INVALID_DOCUMENT.too_large(message, MAX_ADDRESSES));
    }
    Ok(())
}

/// An address that ends at a peer has to end at this one; one that ends at a relay goes on to whoever is asked for.
fn check(text: &str, address: &Multiaddr, peer: &PeerId) -> Result<()> {
    if text.is_empty() || text.len() > MAX_ADDRESS {
        return Err(INVALID_DOCUMENT.invalid(format!("an address has 1 to {MAX_ADDRESS} characters")));
    }
    match address.iter().last() {
        Some(Protocol::P2p(end)) if end != *peer => {
            Err(INVALID_DOCUMENT.invalid("an address ends at another peer").with("peer", end))
        }
        _ => Ok(()),
    }
}
