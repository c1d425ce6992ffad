//! Knowledge bases, for C. Records come as JSON.

use std::ffi::c_char;

use kwaai_core::rag::AskOptions;
use serde_json::{Map, Value};

use super::call::{self, free, record, resolve, slice, text};
use super::collection::kwaai_collection_t;
use super::http_server::{KnowledgeOptions, kwaai_http_server_t};
use super::provide::{kwaai_supplies_t, supplies_of};
use super::reply::{Text, stream};
use super::status::kwaai_status_t;
use super::stream::kwaai_stream_t;
use crate::rag::SearchOptions;
use crate::registry::Kind;
use crate::{Rag, Result, VectorCollection, validate};

/// A knowledge base over documents.
pub struct kwaai_rag_t;

impl Kind for Rag {
    const TAG: u8 = 7;
    const NAME: &'static str = "knowledge base";
    type Opaque = kwaai_rag_t;
}

/// How many passages, and how to search: the options of the core with `k` among them.
fn searching(mut given: Map<String, Value>) -> Result<(usize, SearchOptions)> {
    let k = given.remove("k").map(|k| validate::record("options_json.k", &k, validate::Spelling::Snake)).transpose()?;
    let options = validate::record("options_json", &Value::Object(given), validate::Spelling::Snake)?;
    Ok((k.unwrap_or(AskOptions::default().k), options))
}

waiting! {
    /// Opens a knowledge base alone, without a node, in a directory that is made when it is missing. `options_json` is
    /// that of `kwaai_node_rag`.
    ///
    /// Ownership: the caller frees `*out_rag` with `kwaai_rag_free`; `*supplies` is read and stays the caller's. Threads:
    /// any. NULL: `options_json`, `supplies` and `error` may be NULL. Lifetime: the directory is locked until the handle
    /// is shut down or freed.
    fn kwaai_rag_open / kwaai_rag_open_async(
        dir: *const c_char,
        options_json: *const c_char,
        supplies: *const kwaai_supplies_t,
    ) -> (out_rag: *mut kwaai_rag_t) {
        let (dir, options) = (text("dir", dir)?, record("options_json", options_json)?);
        let supplies = supplies_of(supplies)?;
        |cancel| Rag::open(dir, options, supplies, cancel)
    }

    /// Starts to read a file, or every file of a folder; `kwaai_rag_ingest_bytes` reads a document from memory under a
    /// `name`. The stream yields what becomes of each, each value with its `kind`. `options_json` is an object with `metadata`, an
    /// object of texts that are kept with each document in place of what was said before, and by which searches are narrowed down;
    /// without it what was said before stays.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the reading; documents that were
    /// read stay. Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_ingest / kwaai_rag_ingest_async(
        rag: *const kwaai_rag_t,
        source: *const c_char,
        options_json: *const c_char,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (rag, source) = (resolve::<Rag>(rag)?, text("source", source)?);
        let options = record("options_json", options_json)?;
        |cancel| async move { rag.ingest_path(source, options, cancel).await.map(stream) }
    }

    /// Starts to read a document from memory; its name tells its format. `options_json` and the stream are those of
    /// `kwaai_rag_ingest`.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`; the bytes are copied. Threads: any. NULL:
    /// `options_json` and `error` may be NULL, and `bytes` when `length` is 0. Lifetime: the handle must not have been freed.
    fn kwaai_rag_ingest_bytes / kwaai_rag_ingest_bytes_async(
        rag: *const kwaai_rag_t,
        name: *const c_char,
        bytes: *const u8,
        length: usize,
        options_json: *const c_char,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (rag, name) = (resolve::<Rag>(rag)?, text("name", name)?);
        let bytes = slice("bytes", bytes, length)?.to_vec();
        let options = record("options_json", options_json)?;
        |cancel| async move { rag.ingest_bytes(name, bytes, options, cancel).await.map(stream) }
    }

    /// Starts to keep the documents of a folder as its files are: new ones are added, changed ones replaced, moved ones
    /// renamed. `options_json` is an object with any of `watch`, `interval_ms` (a minute unless set), `polling`, `extensions`
    /// (an array; every file that can be read unless set) and `delete`, without which a document stays when its file is gone.
    /// The stream yields what becomes of each, each value with its `kind`. With `watch` it goes on until it is freed.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; what was reported done
    /// stays. Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_sync / kwaai_rag_sync_async(
        rag: *const kwaai_rag_t,
        folder: *const c_char,
        options_json: *const c_char,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (rag, folder) = (resolve::<Rag>(rag)?, text("folder", folder)?);
        let options = record("options_json", options_json)?;
        move |cancel| async move { rag.sync(folder, options, cancel).await.map(stream) }
    }

    /// Starts to give the knowledge base another embedder: every passage is embedded again while the vectors of before answer; then
    /// one commit exchanges them. `embedder_json` is a text or an object, as `embedder` in the
    /// options of `kwaai_node_rag`; where it is NULL the embedder is that of `supplies`. The stream yields how it gets on,
    /// each value with its `kind`. What was embedded stays: the same call goes on where an earlier one was stopped. `KWAAI_BUSY`
    /// while another change goes on.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; `*supplies` is read and stays the
    /// caller's. Threads: any. NULL: `embedder_json`, `supplies` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_reembed / kwaai_rag_reembed_async(
        rag: *const kwaai_rag_t,
        embedder_json: *const c_char,
        supplies: *const kwaai_supplies_t,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (rag, chosen) = (resolve::<Rag>(rag)?, record("embedder_json", embedder_json)?);
        let supplies = supplies_of(supplies)?;
        move |cancel| async move { rag.reembed(chosen, supplies, cancel).await.map(stream) }
    }

    /// Starts to bring the vectors of the knowledge base to a collection at other people's nodes, while those at home go on to
    /// answer; when its hosts have all of them it answers instead, and those at home are deleted and overwritten. Texts, words and
    /// answers stay. The stream yields how it gets on, each value with its `kind`. The same call goes on where an earlier one was
    /// stopped, and gives the collection to a knowledge base that was opened again, which searches by words alone until then. The way
    /// home is `kwaai_rag_reembed`. With `texts` the texts go as well, as payloads that are sealed before they leave, for whoever has the
    /// key of the collection; not under `plain`. `KWAAI_INVALID_ARGUMENT` for a collection of another dimension or that compares by dot product,
    /// `KWAAI_CONFLICT` for another collection than the one that has the vectors or one that holds something else, and what its hosts
    /// answer, such as `KWAAI_UNREACHABLE`, come from the stream; `KWAAI_BUSY` while another change goes on.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; `collection` stays the caller's, and
    /// may be freed once the call has returned. Threads: any. NULL: `error` may be NULL. Lifetime: neither handle must have been freed;
    /// the collection ends with its node.
    fn kwaai_rag_outsource / kwaai_rag_outsource_async(
        rag: *const kwaai_rag_t,
        collection: *const kwaai_collection_t,
        texts: bool,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (rag, collection) = (resolve::<Rag>(rag)?, resolve::<VectorCollection>(collection)?);
        move |cancel| async move { rag.outsource(&collection, texts, cancel).await.map(stream) }
    }

    /// The passages that fit a text best, as JSON. `options_json` is an object with any of `k`, `mode` ("lexical", "dense",
    /// "hybrid"), `links` (true: documents gain that the text, or a passage found, calls by their names), `documents` (an
    /// array of the ids to look in), `since_ms` and `before_ms` (only what was ingested from then on, or before, in
    /// milliseconds since 1970), `formats` (an array: only documents of these, such as "pdf"), `names` (an array of patterns such as
    /// "reports/*.pdf": only documents that are called so; ** stands for slashes too), `metadata` (an object of texts: only documents
    /// that were ingested with these), `diversity` (0 to 1: how much hits are to differ), `dense_weight` (0 to 1: how much
    /// meaning counts against words in a hybrid search), `neighbours` (so many passages before and after each hit are told in its
    /// `around`, 8 at most) and `timed` (true: `timings` says how long each stage took). With a language model also `wordings` (so
    /// many other wordings are looked for as well, 8 at most), `hypothesis` (0 to 1: how much a passage counts that the model makes
    /// up) and `rerank` (so many passages are put in order by the model, 100 at most). `KWAAI_NOT_FOUND` for a document that is not
    /// stored, `KWAAI_UNSUPPORTED` for what needs a language model where there is none.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error`
    /// may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_search / kwaai_rag_search_async(
        rag: *const kwaai_rag_t,
        text: *const c_char,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (rag, text) = (resolve::<Rag>(rag)?, call::text("text", text)?);
        let (k, options) = searching(record("options_json", options_json)?)?;
        move |cancel| async move { Text::json(&rag.search(text, k, options, cancel).await?) }
    }

    /// Starts to answer a question from the documents. `options_json` is an object with any of `k`, `mode`, `links` (true
    /// unless set), `documents`, `since_ms`, `before_ms`, `formats`, `names`, `metadata`, `wordings`, `hypothesis` and `rerank`, as for
    /// `kwaai_rag_search`, `neighbours` (so many passages before and after each are given to the language model), `min_support` (0 to 1, higher refuses more), `max_unsupported`
    /// (0 to 1: the share of questions without an answer in the documents that may get one all the same, in place of
    /// `min_support`), `max_tokens`, `max_context_tokens` (how much a language model is given to read) and `history` (an array
    /// of the turns before the question, the earliest first, each with `role` and `content`). The stream yields values with
    /// their `kind`, at the end one of the kind `done` with the answer and its citations. It ends with `KWAAI_CONFLICT` for
    /// `max_unsupported` before `kwaai_rag_calibrate`.
    ///
    /// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work. Threads: any. NULL:
    /// `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_ask / kwaai_rag_ask_async(
        rag: *const kwaai_rag_t,
        question: *const c_char,
        options_json: *const c_char,
    ) -> (out_stream: *mut kwaai_stream_t) {
        let (rag, question) = (resolve::<Rag>(rag)?, text("question", question)?);
        let options = record("options_json", options_json)?;
        move |cancel| async move { rag.ask(question, options, cancel).await.map(stream) }
    }

    /// Learns from questions when to refuse, for asking with a tolerated share of unsupported answers. As JSON: the support
    /// of questions that are answered, `answerable`, and of others, `unanswerable`, both in ascending order; `from_passages`,
    /// whether the questions were made of the documents; and the `generation` of the knowledge base.
    /// `kwaai_library_calibration_at` reads it.
    ///
    /// `questions_json` is an array of objects with a `question` and the ids of the `documents` that answer it, none where
    /// nothing does; without questions some are made of sentences of the documents. `options_json` is an object with any of
    /// `k`, `mode`, `links` and `documents`, those that questions are asked with later. Each mode has a calibration of its own.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `questions_json`,
    /// `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_calibrate / kwaai_rag_calibrate_async(
        rag: *const kwaai_rag_t,
        questions_json: *const c_char,
        options_json: *const c_char,
    ) -> (out_json: *mut c_char) {
        let (rag, questions) = (resolve::<Rag>(rag)?, record("questions_json", questions_json)?);
        let options = record("options_json", options_json)?;
        move |cancel| async move { Text::json(&rag.calibrate(questions, options, cancel).await?) }
    }

    /// Asks questions whose answers are known, and scores what comes back, as JSON: `name`, `means` (for each score its `value` with the
    /// interval from `low` to `high` and the `count` of questions), `refusal_auroc`, `failed` and the `questions` with their `scores`.
    /// `kwaai_library_compare_evaluations` and `kwaai_library_evaluation_report` read it.
    ///
    /// `questions_json` is an array of objects with a `question` and any of `id`, `documents` (the ids or names of those that answer
    /// it), `expected_keywords`, `numeric_answer`, `expected_answer` and `unanswerable`. `options_json` is an object with any of `name`,
    /// `search` (an object, as for `kwaai_rag_search` without `k`), `ask` (an object, as for `kwaai_rag_ask`; without it only what is
    /// found is judged) and `judge` (`base_url`, `model` and `api_key` of a model that judges answers against the expected ones). The
    /// writer of `supplies` judges as well.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`; `*supplies` is read and stays the caller's. Threads: any.
    /// NULL: `options_json`, `supplies` and `error` may be NULL. Lifetime: the handle must not have been freed.
    fn kwaai_rag_evaluate / kwaai_rag_evaluate_async(
        rag: *const kwaai_rag_t,
        questions_json: *const c_char,
        options_json: *const c_char,
        supplies: *const kwaai_supplies_t,
    ) -> (out_json: *mut c_char) {
        let (rag, questions) = (resolve::<Rag>(rag)?, record("questions_json", questions_json)?);
        let (options, supplies) = (record("options_json", options_json)?, supplies_of(supplies)?);
        move |cancel| async move { Text::json(&rag.evaluate(questions, options, supplies, cancel).await?) }
    }

    /// What became of the answers that are kept, as JSON: `answers` that are kept now, `hits` (questions that were answered from them),
    /// `similar` (those of them that were worded otherwise), `misses` and `outdated`. All 0 without `cache` in the options that it was
    /// opened with.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_rag_cache_stats / kwaai_rag_cache_stats_async(rag: *const kwaai_rag_t) -> (out_json: *mut c_char) {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { Text::json(&rag.cache_stats(cancel).await?) }
    }

    /// Forgets the answers that are kept.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_rag_cache_clear / kwaai_rag_cache_clear_async(rag: *const kwaai_rag_t) -> () {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { rag.cache_clear(cancel).await }
    }

    /// Every document as a JSON array, in the order of the names.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_rag_documents / kwaai_rag_documents_async(rag: *const kwaai_rag_t) -> (out_json: *mut c_char) {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { Text::json(&rag.documents(cancel).await?) }
    }

    /// The text of a document, in which spans count bytes.
    ///
    /// Ownership: the caller frees `*out_text` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_rag_document_text / kwaai_rag_document_text_async(rag: *const kwaai_rag_t, id: *const c_char)
        -> (out_text: *mut c_char) {
        let (rag, id) = (resolve::<Rag>(rag)?, text("id", id)?);
        |cancel| async move { rag.document_text(id, cancel).await.map(Text) }
    }

    /// Removes a document and every trace of it.
    ///
    /// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
    /// freed.
    fn kwaai_rag_delete_document / kwaai_rag_delete_document_async(rag: *const kwaai_rag_t, id: *const c_char) -> () {
        let (rag, id) = (resolve::<Rag>(rag)?, text("id", id)?);
        |cancel| async move { rag.delete_document(id, cancel).await }
    }

    /// What the knowledge base holds and how it searches, as JSON.
    ///
    /// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
    /// Lifetime: the handle must not have been freed.
    fn kwaai_rag_stats / kwaai_rag_stats_async(rag: *const kwaai_rag_t) -> (out_json: *mut c_char) {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { Text::json(&rag.stats(cancel).await?) }
    }

    /// Serves the knowledge base by HTTP: a page for people, a model for programs that speak OpenAI's API, and what else it does. On
    /// port 9090 of this machine alone unless `options_json` says otherwise, a JSON object with any of `name`, `kwaainet-knowledge`
    /// unless set, and `host`, `port`, `token`, `max_requests`, `max_body_bytes` and `max_upload_bytes`, which are as for
    /// `kwaai_node_serve_http`. `KWAAI_BUSY` when the port is taken.
    ///
    /// Ownership: the caller frees `*out_server` with `kwaai_http_server_free`. Threads: any. NULL: `options_json` and `error` may be
    /// NULL. Lifetime: the server runs until it is shut down or freed, and ends when the knowledge base is shut down.
    fn kwaai_rag_serve / kwaai_rag_serve_async(rag: *const kwaai_rag_t, options_json: *const c_char)
        -> (out_server: *mut kwaai_http_server_t) {
        let (rag, options) = (resolve::<Rag>(rag)?, record::<KnowledgeOptions>("options_json", options_json)?);
        let (name, options) = options.into_parts();
        |cancel| async move { rag.serve(name, options, cancel).await }
    }

    /// Stops what is under way and unlocks the directory. Calling it again is fine.
    ///
    /// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
    /// have been freed.
    fn kwaai_rag_shutdown / kwaai_rag_shutdown_async(rag: *const kwaai_rag_t) -> () {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { rag.shutdown(cancel).await }
    }

    /// Shuts down and deletes everything that was stored.
    ///
    /// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
    /// have been freed.
    fn kwaai_rag_destroy / kwaai_rag_destroy_async(rag: *const kwaai_rag_t) -> () {
        let rag = resolve::<Rag>(rag)?;
        |cancel| async move { rag.destroy(cancel).await }
    }
}

/// Frees a knowledge base. One that was not shut down stops what is under way.
///
/// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
/// `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_rag_free(rag: *mut kwaai_rag_t) -> kwaai_status_t {
    free::<Rag>(rag)
}
