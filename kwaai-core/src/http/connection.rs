//! Connections: taken, answered request by request, and closed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Shared, route};

/// Connections at the same time; more wait.
const AT_ONCE: usize = 256;
/// How long the head of a request may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of a request: room for the name of a document and what is said about it, with three characters for each byte.
const MAX_HEAD: usize = 48 * 1024;

pub(super) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    closing: CancellationToken,
    aborted: CancellationToken,
    tasks: TaskTracker,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let taking = async {
        loop {
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let socket = match listener.accept().await {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // No file is left, and one will be.
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (shared, closing, aborted) = (shared.clone(), closing.clone(), aborted.clone());
            tasks.spawn(async move {
                let _place = place;
                aborted.run_until_cancelled(serve(socket, shared, closing)).await;
            });
        }
    };
    closing.run_until_cancelled(taking).await;
}

async fn serve(socket: TcpStream, shared: Arc<Shared>, closing: CancellationToken) {
    // Each token is a small packet, and a person waits for it.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, std::convert::Infallible>(route::answer(shared, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
