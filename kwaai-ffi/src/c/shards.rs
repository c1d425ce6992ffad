//! Shard engines, for C.

use std::ffi::c_char;

use kwaai_core::llm::{ChatMessage, GenerateRequest};
use serde::Deserialize;
use serde_json::Value;

use super::call::{self, Out, boundary, free, optional_text, record, resolve, slice, text};
use super::model::kwaai_model_t;
use super::provide::kwaai_writer_t;
use super::reply::{Count, Text, stream};
use super::status::{kwaai_error_t, kwaai_status_t};
use super::stream::kwaai_stream_t;
use crate::registry::Kind;
use crate::shard::{BenchmarkSettings, BlockChoice, CalibrateOptions};
use crate::validate::{self, Spelling};
use crate::{Model, Result, ShardEngine};

/// Loads models, serves their blocks, and generates.
pub struct kwaai_shards_t;

impl Kind for ShardEngine {
    const TAG: u8 = 5;
    const NAME: &'static str = "shard engine";
    type Opaque = kwaai_shards_t;
}

/// A choice of blocks as C writes it: a name, or the first and one past the last.
fn block_choice(json: Option<&str>) -> Result<BlockChoice> {
    const NAME: &str = "blocks_json";
    let Some(json) = json else { return Ok(BlockChoice::default()) };
    let value = validate::value(NAME, json)?;
    if value.is_array() {
        let (start, end) = validate::record(NAME, &value, Spelling::Snake)?;
        return Ok(BlockChoice::Span(start, end));
    }
    validate::record(NAME, &value, Spelling::Snake)
}

/// A conversation as C writes it: its turns, or a question alone.
fn conversation(json: &str) -> Result<Vec<ChatMessage>> {
    const NAME: &str = "messages_json";
    match validate::value(NAME, json)? {
        Value::String(question) => Ok(vec![ChatMessage::user(question)]),
        turns => validate::record(NAME, &turns, Spelling::Snake),
    }
}

/// How to continue a conversation; what is left out keeps the core's default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChatOptions {
    max_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    seed: Option<u64>,
    stop: Option<Vec<String>>,
    route: Option<String>,
}

impl ChatOptions {
    fn request(self, messages: Vec<ChatMessage>) -> (GenerateRequest, Option<String>) {
        let usual = GenerateRequest::default();
        let request = GenerateRequest {
            messages,
            max_tokens: self.max_tokens.unwrap_or(usual.max_tokens),
            temperature: self.temperature.unwrap_or(usual.temperature),
            top_p: self.top_p.unwrap_or(usual.top_p),
            top_k: self.top_k.unwrap_or(usual.top_k),
            seed: self.seed.unwrap_or(usual.seed),
            stop: self.stop.unwrap_or_default(),
            ..usual
        };
        (request, self.route)
    }
}

waiting! {
    /// Opens an engine without a network: models run whole, here.
    ///
    /// Ownership: the caller frees `*out_shards` with `kwaai_shards_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the engine lives until it is shut down or freed.
    fn kwaai_shards_open / kwaai_shards_open_async() -> (out_shards: *mut kwaai_shards_t) {
        |cancel| ShardEngine::open(cancel)
    }

    /// Loads a model from its directory, its GGUF file, or by its id from a hub ("owner/name", with "@revision" or ":Q4_K_M"
    /// behind), where no path of that name exists. `blocks_json` is "all", "none" (peers compute them) or an array of the first
    /// block and the one past the last; NULL loads all of them.
    ///
    /// Ownership: the caller frees `*out_model` with `kwaai_model_free`. Threads: any. NULL: `blocks_json` and `error`
    /// may be NULL. Lifetime: the model lives until it is shut down or freed, also after the engine.
    fn kwaai_shards_load / kwaai_shards_load_async(
        shards: *const kwaai_shards_t,
        model: *const c_char,
        blocks_json: *const c_char,
    ) -> (out_model: *mut kwaai_model_t) {
        let (shards, dir) = (resolve::<ShardEngine>(shards)?, text("model", model)?);
        let blocks = block_choice(optional_text("blocks_json", blocks_json)?.as_deref())?;
        |cancel| async move { shards.load(dir, blocks, cancel).await }
    }

    /// Starts to fetch from its hub what `kwaai_shards_load` needs for these blocks and is not here. The hub is asked what the model is
    /// now; one that is a path is there already. `blocks_json` is that of `kwaai_shards_load`. The stream yields one value of the kind
    /// `found`, with how many `files` and, where the hub says it, `bytes` there are, unless nothing is missing; then of the kind `progress`, with the
    /// `bytes` that came and their `total` or null; at the end one of the kind `finished`, with the `path`.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; what came stays. Threads: any.
    /// NULL: `blocks_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_shards_download / kwaai_shards_download_async(
        shards: *const kwaai_shards_t,
        model: *const c_char,
        blocks_json: *const c_char,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, text("model", model)?);
        let blocks = block_choice(optional_text("blocks_json", blocks_json)?.as_deref())?;
        |cancel| async move { shards.download(model, blocks, cancel).await.map(stream) }
    }

    /// The models of a hub that are on this machine, as a JSON array of objects with `id`, `revision`, which is a commit, `bytes`,
    /// `whole`, which is false where only some blocks are here, and `path`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_shards_downloaded / kwaai_shards_downloaded_async(shards: *const kwaai_shards_t)
        -> (out_json: *mut c_char) {
        let shards = resolve::<ShardEngine>(shards)?;
        |cancel| async move { Text::json(&shards.downloaded(cancel).await?) }
    }

    /// Takes a model of a hub from this machine, or a revision of it with what no other one has. `*out_bytes` is how many bytes that
    /// freed. What is loaded stays loaded. `KWAAI_BUSY` while it is being fetched.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_shards_remove_download / kwaai_shards_remove_download_async(
        shards: *const kwaai_shards_t,
        model: *const c_char,
    ) -> (out_bytes: usize) {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, text("model", model)?);
        |cancel| async move {
            let freed = shards.remove_download(model, cancel).await?;
            Ok(Count(usize::try_from(freed).unwrap_or(usize::MAX)))
        }
    }

    /// Loads a run of blocks, up to and without `end_block`, and serves them to peers that are trusted enough.
    /// `*out_json` has the `model`'s id, `start_block` and `end_block`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_shards_serve / kwaai_shards_serve_async(
        shards: *const kwaai_shards_t,
        model: *const c_char,
        start_block: u32,
        end_block: u32,
    ) -> (out_json: *mut c_char) {
        let (shards, dir) = (resolve::<ShardEngine>(shards)?, text("model", model)?);
        move |cancel| async move { Text::json(&shards.serve(dir, start_block, end_block, cancel).await?) }
    }

    /// Stops serving the blocks of a model; what runs on them ends.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_shards_stop_serving / kwaai_shards_stop_serving_async(
        shards: *const kwaai_shards_t,
        model_id: *const c_char,
    ) -> () {
        let (shards, model_id) = (resolve::<ShardEngine>(shards)?, text("model_id", model_id)?);
        |cancel| async move { shards.stop_serving(model_id, cancel).await }
    }

    /// What this node serves, as a JSON array.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_shards_served / kwaai_shards_served_async(shards: *const kwaai_shards_t) -> (out_json: *mut c_char) {
        let shards = resolve::<ShardEngine>(shards)?;
        |cancel| async move { Text::json(&shards.served(cancel).await?) }
    }

    /// Which blocks of a model are up, from whom, and whom this node would not use, as JSON: `blocks`, `counts`, `hosts`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_shards_coverage / kwaai_shards_coverage_async(shards: *const kwaai_shards_t, model: *const kwaai_model_t)
        -> (out_json: *mut c_char) {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, resolve::<Model>(model)?);
        |cancel| async move { Text::json(&shards.coverage(&model, cancel).await?) }
    }

    /// How many blocks of a model this machine can serve and how fast, measured on the first of them. `*out_json` has the `model`'s id
    /// and its `blocks`; the `backend`, the `processor` or null, and the `cores`; `memory_bytes` that blocks may take, and `reserve_bytes`
    /// left out of it; `weight_bytes` of a block and `cache_bytes` that sessions keep for one; `fitting`, how many of these fit, and
    /// `recommended`, no more than the model has; `block_ms` for a token and `block_prefill_tokens_per_second` of one block;
    /// `decode_tokens_per_second` and `prefill_tokens_per_second` that the recommended ones are expected to reach.
    ///
    /// `model` is that of `kwaai_shards_load`. `options_json` is an object with any of `memory_bytes`, what is free without a quarter
    /// and at most 1 GiB unless set; `sessions`, for how many there is to be room, 4 unless set; `tokens` of each, 4096 or the model's
    /// context unless set. `KWAAI_RESOURCE_EXHAUSTED` with `needed_bytes` when not even one block fits.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the handle must not have been freed.
    fn kwaai_shards_calibrate / kwaai_shards_calibrate_async(
        shards: *const kwaai_shards_t,
        model: *const c_char,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (shards, dir) = (resolve::<ShardEngine>(shards)?, text("model", model)?);
        let options = record::<CalibrateOptions>("options_json", options_json)?;
        |cancel| async move { Text::json(&shards.calibrate(dir, options, cancel).await?) }
    }

    /// How fast a model answers, on the path that an answer would take now. `*out_json` has `prefill_tokens_per_second`,
    /// `decode_tokens_per_second`, `first_token_ms`, `throughput_tokens_per_second` of all `sessions` together, and the `path`.
    ///
    /// `options_json` is an object with any of `prompt_tokens`, 128 unless set; `warm_up`, tokens of the answer that do not count, 5
    /// unless set; `steps`, those that do, 20 unless set; `sessions`, answers at the same time, 1 unless set and 64 at most; `seed` of the
    /// prompt, 1 unless set; `route`, as for `kwaai_shards_logits`.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the handles must not have been freed.
    fn kwaai_shards_benchmark / kwaai_shards_benchmark_async(
        shards: *const kwaai_shards_t,
        model: *const kwaai_model_t,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, resolve::<Model>(model)?);
        let options = record::<BenchmarkSettings>("options_json", options_json)?;
        |cancel| async move { Text::json(&shards.benchmark(&model, options, cancel).await?) }
    }

    /// Starts to continue a conversation. `messages_json` is a JSON array of objects with `role` ("system", "user",
    /// "assistant") and `content`, or a JSON string, which is one turn of the user. `options_json` is an object with any
    /// of `max_tokens`, `temperature`, `top_p`, `top_k`, `seed`, `stop` and `route` ("local" or "peers"). The stream
    /// yields values of the kind `token`, with `text`, and at the end one of the kind `done`, with `finish_reason`,
    /// `usage` and `path`.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the generation. Threads: any.
    /// NULL: `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_shards_chat / kwaai_shards_chat_async(
        shards: *const kwaai_shards_t,
        model: *const kwaai_model_t,
        messages_json: *const c_char,
        options_json: *const c_char,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, resolve::<Model>(model)?);
        let messages = conversation(&text("messages_json", messages_json)?)?;
        let options = record::<ChatOptions>("options_json", options_json)?;
        let (request, route) = options.request(messages);
        |cancel| async move { shards.generate(&model, request, route, cancel).await.map(stream) }
    }

    /// The logits of every token of a text: `*out_rows` is `count`, `*out_columns` the size of the vocabulary, and the
    /// rows follow each other in `*out_values`. `route` is "local" or "peers"; without one the model runs here when all
    /// its blocks are here.
    ///
    /// Ownership: the caller frees `*out_values` with `kwaai_floats_free`. Threads: any. NULL: `route` and `error` may be
    /// NULL, and `tokens` when `count` is 0. Lifetime: the handle must not have been freed.
    fn kwaai_shards_logits / kwaai_shards_logits_async(
        shards: *const kwaai_shards_t,
        model: *const kwaai_model_t,
        tokens: *const u32,
        count: usize,
        route: *const c_char,
    ) -> (out_values: *mut f32, out_rows: usize, out_columns: usize) {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, resolve::<Model>(model)?);
        let (tokens, route) = (slice("tokens", tokens, count)?.to_vec(), optional_text("route", route)?);
        |cancel| async move { shards.logits(&model, tokens, route, cancel).await }
    }

    /// A vector of length one for each text, one after the other in `*out_values`: `*out_rows` is `count`, `*out_columns`
    /// the dimension. `model` is the folder or the hub id of an embedding model; NULL takes all-MiniLM-L6-v2 as it was
    /// fetched. The last one stays loaded. `query` says that the texts are questions, before which some models want something
    /// else than before what is to be found.
    ///
    /// Ownership: the caller frees `*out_values` with `kwaai_floats_free`. Threads: any. NULL: `model` and `error` may be
    /// NULL, and `texts` when `count` is 0. Lifetime: the handle must not have been freed.
    fn kwaai_shards_embed / kwaai_shards_embed_async(
        shards: *const kwaai_shards_t,
        texts: *const *const c_char,
        count: usize,
        model: *const c_char,
        query: bool,
    ) -> (out_values: *mut f32, out_rows: usize, out_columns: usize) {
        let shards = resolve::<ShardEngine>(shards)?;
        let (texts, model) = (call::texts("texts", texts, count)?, optional_text("model", model)?);
        |cancel| async move { shards.embed(texts, model, query, cancel).await }
    }
}

/// The model as a writer of answers for a knowledge base. `route` is that of `kwaai_shards_logits`.
///
/// Ownership: the caller frees `*out_writer` with `kwaai_writer_free`. Threads: any. NULL: `route` and `error` may be
/// NULL. Lifetime: the writer keeps the model, also when that is freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_shards_writer(
    shards: *const kwaai_shards_t,
    model: *const kwaai_model_t,
    route: *const c_char,
    out_writer: *mut *mut kwaai_writer_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let (shards, model) = (resolve::<ShardEngine>(shards)?, resolve::<Model>(model)?);
        // SAFETY: the caller's promise.
        let (route, out) = unsafe { (optional_text("route", route)?, Out::empty("out_writer", out_writer)?) };
        out.set_handle(shards.writer(&model, route)?)
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Lets go of the engine. That of a node stays open with the node. Calling it again is fine.
///
/// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
/// been freed.
///
/// # Safety
/// Texts end with NUL; output pointers may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_shards_shutdown(
    shards: *const kwaai_shards_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        resolve::<ShardEngine>(shards)?.shutdown();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees a shard engine. That of a node stays open with the node.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_shards_free(shards: *mut kwaai_shards_t) -> kwaai_status_t {
    free::<ShardEngine>(shards)
}
