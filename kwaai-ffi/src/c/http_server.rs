//! OpenAI's HTTP API, for C.

use std::collections::BTreeMap;
use std::ffi::c_char;

use serde::Deserialize;

use super::call::{Out, boundary, free, optional_ms, resolve, slice, texts};
use super::provide::{kwaai_embedder_t, kwaai_writer_t};
use super::rag::kwaai_rag_t;
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::http::{HttpOptions, Served, ServedEmbedder, ServedModel};
use crate::provide::{Embedder, Writer};
use crate::rag::Endpoint;
use crate::registry::Kind;
use crate::{HttpServer, Rag, Result, validate};

/// A server that answers programs which speak OpenAI's HTTP API.
pub struct kwaai_http_server_t;

impl Kind for HttpServer {
    const TAG: u8 = 17;
    const NAME: &'static str = "HTTP server";
    type Opaque = kwaai_http_server_t;
}

/// What a server answers with, beside what its options name. Set everything to zero, then `size`, then what there is.
#[repr(C)]
pub struct kwaai_served_t {
    /// `sizeof(kwaai_served_t)`, so that later versions can add to it.
    pub size: usize,
    /// The names that requests call the models by, in the order of `models`. May be NULL when there are none.
    pub model_names: *const *const c_char,
    /// Language models, of a shard engine or of the program. May be NULL when there are none.
    pub models: *const *const kwaai_writer_t,
    /// How many models there are.
    pub model_count: usize,
    /// The names that requests call the embedders by, in the order of `embedders`. May be NULL when there are none.
    pub embedder_names: *const *const c_char,
    /// Embedders of the program. May be NULL when there are none.
    pub embedders: *const *const kwaai_embedder_t,
    /// How many embedders there are.
    pub embedder_count: usize,
    /// The names that requests call the knowledge bases by, in the order of `knowledge`. May be NULL when there are none.
    pub knowledge_names: *const *const c_char,
    /// Knowledge bases, which stay open while the server does. May be NULL when there are none.
    pub knowledge: *const *const kwaai_rag_t,
    /// How many knowledge bases there are.
    pub knowledge_count: usize,
}

/// Where a knowledge base is served as C writes it.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KnowledgeOptions {
    name: Option<String>,
    host: Option<String>,
    port: Option<u64>,
    token: Option<String>,
    max_requests: Option<usize>,
    max_body_bytes: Option<usize>,
    max_upload_bytes: Option<usize>,
}

impl KnowledgeOptions {
    /// The name, and the rest of the options.
    pub(super) fn into_parts(self) -> (Option<String>, HttpOptions) {
        let options = HttpOptions {
            host: self.host,
            port: self.port,
            token: self.token,
            max_requests: self.max_requests,
            max_body_bytes: self.max_body_bytes,
            max_upload_bytes: self.max_upload_bytes,
        };
        (self.name, options)
    }
}

/// The options of a server as C writes them: what has no handle is named among them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerOptions {
    host: Option<String>,
    port: Option<u64>,
    token: Option<String>,
    max_requests: Option<usize>,
    max_body_bytes: Option<usize>,
    max_upload_bytes: Option<usize>,
    #[serde(deserialize_with = "validate::or_default")]
    models: BTreeMap<String, Endpoint>,
    #[serde(deserialize_with = "validate::or_default")]
    embedders: BTreeMap<String, String>,
}

impl ServerOptions {
    /// What is served, with what was handed over as handles, and the rest of the options.
    pub(super) fn into_parts(self, mut served: Served) -> (Served, HttpOptions) {
        let models = self.models.into_iter().map(|(name, endpoint)| (name, ServedModel::Endpoint(endpoint)));
        served.models.extend(models);
        let embedders = self.embedders.into_iter().map(|(name, model)| (name, ServedEmbedder::Named(model)));
        served.embedders.extend(embedders);
        let options = HttpOptions {
            host: self.host,
            port: self.port,
            token: self.token,
            max_requests: self.max_requests,
            max_body_bytes: self.max_body_bytes,
            max_upload_bytes: self.max_upload_bytes,
        };
        (served, options)
    }
}

/// # Safety
/// `served` is NULL or points to as many bytes as it says, and to as many names and handles.
pub(super) unsafe fn served_of(served: *const kwaai_served_t) -> Result<Served> {
    if served.is_null() {
        return Ok(Served::default());
    }
    // SAFETY: the size is the first field of every version.
    if unsafe { (&raw const (*served).size).read() } < size_of::<kwaai_served_t>() {
        let message = "served->size is not sizeof(kwaai_served_t)";
        return Err(kwaai_core::Error::invalid_argument(message).into());
    }
    // SAFETY: it is as large as this version.
    let given = unsafe { &*served };
    // SAFETY: the caller's promise.
    let (names, models) = unsafe {
        (
            texts("served->model_names", given.model_names, given.model_count)?,
            slice("served->models", given.models, given.model_count)?,
        )
    };
    // SAFETY: the caller's promise.
    let (called, embedders) = unsafe {
        (
            texts("served->embedder_names", given.embedder_names, given.embedder_count)?,
            slice("served->embedders", given.embedders, given.embedder_count)?,
        )
    };
    let models = names.into_iter().zip(models).map(|(name, model)| {
        let writer = Writer::clone(&*resolve::<Writer>(*model)?);
        Ok((name, ServedModel::Writer(writer)))
    });
    let embedders = called.into_iter().zip(embedders).map(|(name, embedder)| {
        let own = Embedder::clone(&*resolve::<Embedder>(*embedder)?);
        Ok((name, ServedEmbedder::Own(own)))
    });
    // SAFETY: the caller's promise.
    let (known, knowledge) = unsafe {
        (
            texts("served->knowledge_names", given.knowledge_names, given.knowledge_count)?,
            slice("served->knowledge", given.knowledge, given.knowledge_count)?,
        )
    };
    let knowledge = known.into_iter().zip(knowledge).map(|(name, rag)| Ok((name, resolve::<Rag>(*rag)?.served()?)));
    Ok(Served {
        models: models.collect::<Result<_>>()?,
        embedders: embedders.collect::<Result<_>>()?,
        knowledge: knowledge.collect::<Result<_>>()?,
    })
}

waiting! {
    /// Ends a server: it takes no further request, what is under way may finish within `grace_ms`, and the rest is ended;
    /// `KWAAI_UNSET` gives five seconds. Returns when every connection is closed and the port is free. Calling it again is fine.
    ///
    /// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
    /// have been freed.
    fn kwaai_http_server_shutdown / kwaai_http_server_shutdown_async(
        server: *const kwaai_http_server_t,
        grace_ms: u64,
    ) -> () {
        let server = resolve::<HttpServer>(server)?;
        move |cancel| async move { server.shutdown(optional_ms(grace_ms), cancel).await }
    }
}

/// Where a server listens, such as `127.0.0.1:11435`. It stays readable after the end.
///
/// Ownership: the caller frees `*out_address` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_http_server_address(
    server: *const kwaai_http_server_t,
    out_address: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_address", out_address) }?;
        out.set_text(resolve::<HttpServer>(server)?.address())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// The port of that address. It stays readable after the end.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_http_server_port(
    server: *const kwaai_http_server_t,
    out_port: *mut u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_port", out_port) }?;
        out.set(resolve::<HttpServer>(server)?.port().into())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// What clients take for their base address, such as `http://127.0.0.1:11435/v1`. It stays readable after the end.
///
/// Ownership: the caller frees `*out_base_url` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
/// handle must not have been freed.
///
/// # Safety
/// Output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_http_server_base_url(
    server: *const kwaai_http_server_t,
    out_base_url: *mut *mut c_char,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let out = unsafe { Out::empty("out_base_url", out_base_url) }?;
        out.set_text(resolve::<HttpServer>(server)?.base_url().to_owned())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees the handle and ends the server, with what is under way.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_http_server_free(server: *mut kwaai_http_server_t) -> kwaai_status_t {
    free::<HttpServer>(server)
}
