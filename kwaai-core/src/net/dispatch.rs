//! What this node serves, and how an arriving stream finds it: limits first, then the gate, then the handler.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p::{PeerId, StreamProtocol};
use tokio::sync::mpsc;
use tokio_util::compat::FuturesAsyncReadCompatExt;
use tokio_util::sync::CancellationToken;

use super::driver::{Command, Shared};
use super::foreign::{self, Offered};
use super::limits::{Limits, Permit, Quota};
use super::meter::{OTHER, Side, Timing};
use super::wire::{MAX_NAME, MAX_REQUEST_BODY, REQUEST_PREFIX, Reply, check_name};
use super::{StreamHandler, UnaryHandler, rpc, stream};
use crate::trust::{Gate, Purpose};
use crate::{Error, ErrorCode, Result};

/// Refusals for lack of room that are under way at the same time; beyond it, streams are reset without a word.
const MAX_REFUSALS: usize = 64;

/// Something that answers calls or streams.
#[derive(Clone)]
struct Service {
    purpose: Purpose,
    handler: Handler,
    stopped: CancellationToken,
}

#[derive(Clone)]
enum Handler {
    Unary(Arc<dyn UnaryHandler>),
    Streams(Arc<dyn StreamHandler>),
}

/// The services of a node, and the room for serving them.
pub(crate) struct Dispatch {
    pub shared: Arc<Shared>,
    pub limits: Limits,
    pub calls: Arc<Quota>,
    pub streams: Arc<Quota>,
    /// Calls of others that are longer than ours may be.
    pub large: Arc<Quota>,
    /// The names that others open streams by.
    pub offered: Offered,
    refusals: Arc<Quota>,
    commands: mpsc::Sender<Command>,
    /// `None` after the shutdown, so that a handler or a gate that holds the network does not keep it alive.
    serving: Mutex<Option<Serving>>,
}

struct Serving {
    gate: Arc<dyn Gate>,
    services: BTreeMap<String, Service>,
    /// What others call by a name of theirs, on a stream of its own.
    foreign: BTreeMap<String, Foreign>,
}

/// What answers the calls of others.
struct Foreign {
    purpose: Purpose,
    handler: Arc<dyn UnaryHandler>,
    name: StreamProtocol,
}

impl Dispatch {
    pub(crate) fn new(
        shared: Arc<Shared>,
        limits: Limits,
        gate: Arc<dyn Gate>,
        commands: mpsc::Sender<Command>,
    ) -> Arc<Dispatch> {
        Arc::new(Dispatch {
            shared,
            calls: Quota::new(limits.max_calls_per_peer, limits.max_calls),
            streams: Quota::new(limits.max_streams_per_peer, limits.max_streams),
            large: foreign::large(),
            offered: Offered::default(),
            refusals: Quota::new(8, MAX_REFUSALS),
            limits,
            commands,
            serving: Mutex::new(Some(Serving { gate, services: BTreeMap::new(), foreign: BTreeMap::new() })),
        })
    }

    fn serving(&self) -> MutexGuard<'_, Option<Serving>> {
        // Handlers never run under this lock.
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self, name: &str, purpose: Purpose, handler: Handler) -> Result<()> {
        check_name(name)?;
        let mut serving = self.serving();
        let serving = serving.as_mut().ok_or_else(closed)?;
        if serving.services.contains_key(name) {
            return Err(Error::already_exists(format!("{name} is served already"))
                .with("name", name)
                .with_remedy("stop serving it first"));
        }
        let service = Service { purpose, handler, stopped: self.shared.closing.child_token() };
        serving.services.insert(name.to_owned(), service);
        Ok(())
    }

    pub(crate) fn serve_unary(&self, method: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.register(method, purpose, Handler::Unary(handler))
    }

    pub(crate) fn serve_streams(&self, name: &str, purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()> {
        self.register(name, purpose, Handler::Streams(handler))
    }

    pub(crate) fn serve_foreign(&self, name: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        foreign::check(name)?;
        let protocol = StreamProtocol::try_from_owned(name.to_owned())
            .map_err(|error| Error::invalid_argument("a protocol cannot have this name").with_source(error))?;
        let mut serving = self.serving();
        let serving = serving.as_mut().ok_or_else(closed)?;
        if serving.foreign.contains_key(name) {
            return Err(Error::already_exists(format!("{name} is served already")).with("name", name));
        }
        serving.foreign.insert(name.to_owned(), Foreign { purpose, handler, name: protocol });
        self.offered.set(serving.foreign.values().map(|foreign| foreign.name.clone()).collect());
        Ok(())
    }

    pub(crate) fn stop_serving(&self, name: &str) {
        let stopped = self.serving().as_mut().and_then(|serving| {
            if serving.foreign.remove(name).is_some() {
                self.offered.set(serving.foreign.values().map(|foreign| foreign.name.clone()).collect());
            }
            serving.services.remove(name)
        });
        if let Some(service) = stopped {
            service.stopped.cancel();
        }
    }

    /// Lets go of every handler and of the gate. What is under way goes on.
    pub(crate) fn stop(&self) {
        let serving = self.serving().take();
        self.offered.set(Vec::new());
        drop(serving);
    }

    fn find(&self, name: &str) -> Result<(Service, Arc<dyn Gate>)> {
        let serving = self.serving();
        let serving = serving.as_ref().ok_or_else(closed)?;
        let service = serving.services.get(name).ok_or_else(|| unsupported(name))?;
        Ok((service.clone(), serving.gate.clone()))
    }

    /// Measures a call that is served from now on. What is not served here is not told apart: peers may name anything.
    pub(crate) fn timing<'a>(&'a self, method: &'a str) -> Timing<'a> {
        let known = self.serving().as_ref().is_some_and(|serving| serving.services.contains_key(method));
        self.shared.meter.timing(Side::Server, if known { method } else { OTHER })
    }

    /// The handler of a method, once the gate admitted the caller.
    pub(crate) async fn admit_call(&self, caller: PeerId, method: &str) -> Result<Arc<dyn UnaryHandler>> {
        let (service, gate) = self.find(method)?;
        let Handler::Unary(handler) = service.handler else { return Err(unsupported(method)) };
        admit(&*gate, caller, service.purpose).await?;
        Ok(handler)
    }

    /// The handler of a stream protocol and what cuts its streams, once the gate admitted the caller.
    pub(crate) async fn admit_stream(
        &self,
        caller: PeerId,
        protocol: &str,
    ) -> Result<(Arc<dyn StreamHandler>, CancellationToken)> {
        let (service, gate) = self.find(protocol)?;
        let Handler::Streams(handler) = service.handler else { return Err(unsupported(protocol)) };
        self.decided(admit(&*gate, caller, service.purpose)).await?;
        Ok((handler, service.stopped))
    }

    /// What answers the calls of others by this name, once the gate admitted the caller.
    pub(crate) async fn admit_foreign(&self, caller: PeerId, name: &str) -> Result<Arc<dyn UnaryHandler>> {
        let (purpose, handler, gate) = {
            let serving = self.serving();
            let serving = serving.as_ref().ok_or_else(closed)?;
            let foreign = serving.foreign.get(name).ok_or_else(|| unsupported(name))?;
            (foreign.purpose, foreign.handler.clone(), serving.gate.clone())
        };
        self.decided(admit(&*gate, caller, purpose)).await?;
        Ok(handler)
    }

    /// What the gate says of a caller, in time.
    async fn decided(&self, admitted: impl Future<Output = Result<()>>) -> Result<()> {
        let late = |_| Error::permission_denied("the host could not decide in time whether to admit this node");
        tokio::time::timeout(self.limits.gate_timeout, admitted).await.map_err(late)?
    }

    /// Asks the gate about a caller that no service of this room is for.
    pub(crate) async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()> {
        let gate = self.serving().as_ref().ok_or_else(closed)?.gate.clone();
        admit(&*gate, caller, purpose).await
    }

    /// Takes a stream that carries a call.
    pub(crate) fn accept_call(self: &Arc<Dispatch>, caller: PeerId, stream: libp2p::Stream) {
        let this = self.clone();
        match self.calls.take(caller) {
            Some(permit) => self.spawn(async move {
                rpc::serve(&this, caller, stream.compat()).await;
                drop(permit);
            }),
            None => self.turn_away(caller, stream, REQUEST_PREFIX + MAX_NAME + MAX_REQUEST_BODY),
        }
    }

    /// Takes a raw stream.
    pub(crate) fn accept_stream(self: &Arc<Dispatch>, caller: PeerId, stream: libp2p::Stream) {
        let this = self.clone();
        match self.streams.take(caller) {
            Some(permit) => self.spawn(async move { stream::serve(&this, caller, stream.compat(), permit).await }),
            None => self.turn_away(caller, stream, 1 + MAX_NAME),
        }
    }

    /// Takes a stream that carries a call of somebody else's protocol. A caller for whom there is no room has it reset.
    pub(crate) fn accept_foreign(self: &Arc<Dispatch>, caller: PeerId, name: &StreamProtocol, stream: libp2p::Stream) {
        let Some(permit) = self.calls.take(caller) else { return };
        let (this, name) = (self.clone(), name.to_string());
        self.spawn(async move {
            foreign::serve(&this, caller, &name, stream.compat()).await;
            drop(permit);
        });
    }

    /// Says `busy` to a caller for whom there is no room.
    fn turn_away(self: &Arc<Dispatch>, caller: PeerId, stream: libp2p::Stream, unread: usize) {
        let Some(permit) = self.refusals.take(caller) else { return };
        let timeout = self.limits.header_timeout;
        self.spawn(async move {
            let reply = Reply::Error(ErrorCode::Busy, "the host serves as much as its limits allow".into());
            rpc::refuse(&mut stream.compat(), &reply, unread, timeout).await;
            drop::<Permit>(permit);
        });
    }

    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if self.shared.closing.is_cancelled() {
            return;
        }
        let abort = self.shared.abort.clone();
        self.shared.tracker.spawn(async move {
            tokio::select! {
                biased;
                () = abort.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Ends the connections with a peer that broke the protocol.
    pub(crate) async fn cut_off(&self, peer: PeerId, why: &Error) {
        tracing::warn!(peer = %short(&peer), why = %why.message(), "a peer broke the protocol and is cut off");
        // The driver may be gone already, and the connection with it.
        let _ = self.commands.send(Command::Disconnect { peer, done: None }).await;
    }
}

async fn admit(gate: &dyn Gate, caller: PeerId, purpose: Purpose) -> Result<()> {
    gate.admit(caller, purpose).await.map_err(|error| {
        tracing::debug!(peer = %short(&caller), ?purpose, code = %error.code(), "not admitted");
        Error::permission_denied(error.message())
    })
}

fn unsupported(name: &str) -> Error {
    Error::unsupported(format!("the peer does not serve {name}"))
}

pub(crate) fn closed() -> Error {
    Error::closed("the network was shut down")
}

/// The last characters of a PeerId, enough to tell peers apart in a log.
pub(crate) fn short(peer: &PeerId) -> String {
    let text = peer.to_base58();
    text[text.len().saturating_sub(8)..].to_owned()
}

/// What a caller is told about a failure: its code and message, unless these are this machine's own affair.
pub(crate) fn told(error: &Error) -> Reply {
    let private = matches!(error.code(), ErrorCode::Io | ErrorCode::Internal) || error.context().contains_key("file");
    let message = if private { "the peer failed to serve the call" } else { error.message() };
    Reply::Error(error.code(), message.to_owned())
}
