// A KwaaiNet node inside your own program: the C interface.
//
// Generated from kwaai-ffi/src/c by `make header`; do not edit.
//
// Rules that hold for every function; docs/ffi-rules.md has them at length:
// - It returns a kwaai_status_t. Outputs come last, then an optional kwaai_error_t ** that says more; NULL if you do not
//   want it. When a call fails its outputs are NULL or zero, and nothing has to be freed but the error.
// - Texts are UTF-8 and end with NUL. A `char *` that a function hands out is freed with kwaai_string_free.
// - A handle is not an address. Using one that was freed, is of another kind, or was never one gives a status.
// - Calls that wait take `timeout_ms`; KWAAI_WAIT_FOREVER waits without a limit. Any thread of the program may make them.
//   Each has a twin that ends in `_async`: it has the same arguments, answers a kwaai_op_t at once, and never waits.
// - A number of milliseconds that may be left out is KWAAI_UNSET then; 0 is 0 milliseconds.
// - After a fork the parent's handles answer KWAAI_CLOSED in the child, and new ones work there: nodes and models only
//   when the parent had none.

#ifndef KWAAINET_H
#define KWAAINET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// As `timeout_ms`: wait without a limit.
#define KWAAI_WAIT_FOREVER UINT32_MAX

// As a number of milliseconds that may be left out: leaves it out. 0 is 0 milliseconds, as in every language.
#define KWAAI_UNSET UINT64_MAX

// The number of this interface. It changes only when a program compiled against another one would break.
#define KWAAI_ABI_VERSION 1

// What became of a call. The numbers are fixed and are never used again for something else.
typedef enum kwaai_status_t {
  // It succeeded.
  KWAAI_OK = 0,
  // An argument is malformed; the same call never succeeds.
  KWAAI_INVALID_ARGUMENT = 1,
  // What was named does not exist.
  KWAAI_NOT_FOUND = 2,
  // What was to be made exists already.
  KWAAI_ALREADY_EXISTS = 3,
  // The other side, or the operating system, refuses.
  KWAAI_PERMISSION_DENIED = 4,
  // A peer stands below the minimum tier of this node's policy.
  KWAAI_UNTRUSTED_PEER = 5,
  // A peer could not be reached. The call may succeed later.
  KWAAI_UNREACHABLE = 6,
  // The deadline passed. The call may succeed later.
  KWAAI_TIMEOUT = 7,
  // The caller cancelled.
  KWAAI_CANCELLED = 8,
  // The handle was shut down or freed.
  KWAAI_CLOSED = 9,
  // Something else holds the resource just now. The call may succeed later.
  KWAAI_BUSY = 10,
  // A limit was reached.
  KWAAI_RESOURCE_EXHAUSTED = 11,
  // Stored or received data fails its checks.
  KWAAI_CORRUPT_DATA = 12,
  // This build, platform or version cannot do it.
  KWAAI_UNSUPPORTED = 13,
  // The state changed underneath the call. The call may succeed later.
  KWAAI_CONFLICT = 14,
  // The operating system reported a failure.
  KWAAI_IO = 15,
  // A defect of this library.
  KWAAI_INTERNAL = 16,
} kwaai_status_t;

// What `kwaai_stream_next` found.
typedef enum kwaai_item_t {
  // The stream has ended.
  KWAAI_ITEM_END = 0,
  // A value, as JSON.
  KWAAI_ITEM_VALUE = 1,
  // The reader was too slow and values were dropped here; the JSON is `{"missed": n}`.
  KWAAI_ITEM_LAGGED = 2,
} kwaai_item_t;

// An answer that a function of the program owes. Giving it frees it.
typedef struct kwaai_answer_t kwaai_answer_t;

// A collection of vectors at its hosts.
typedef struct kwaai_collection_t kwaai_collection_t;

// A page on loopback that says who keeps how much at this node.
typedef struct kwaai_console_t kwaai_console_t;

// An embedder of the program.
typedef struct kwaai_embedder_t kwaai_embedder_t;

// What went wrong, in detail. Freed with `kwaai_error_free`.
typedef struct kwaai_error_t kwaai_error_t;

// Several knowledge bases that are searched together.
typedef struct kwaai_federation_t kwaai_federation_t;

// A server that answers programs which speak OpenAI's HTTP API.
typedef struct kwaai_http_server_t kwaai_http_server_t;

// A loaded model.
typedef struct kwaai_model_t kwaai_model_t;

// A running node.
typedef struct kwaai_node_t kwaai_node_t;

// A call that was started and is answered later.
typedef struct kwaai_op_t kwaai_op_t;

// A knowledge base over documents.
typedef struct kwaai_rag_t kwaai_rag_t;

// A document reader of the program.
typedef struct kwaai_reader_t kwaai_reader_t;

// Loads models, serves their blocks, and generates.
typedef struct kwaai_shards_t kwaai_shards_t;

// A knowledge base of a peer, which a capability opens.
typedef struct kwaai_shared_knowledge_t kwaai_shared_knowledge_t;

// A signer of the program.
typedef struct kwaai_signer_t kwaai_signer_t;

// Values that come over time: messages, events, progress, tokens.
typedef struct kwaai_stream_t kwaai_stream_t;

// Credentials, trusted issuers, scores and minimum tiers.
typedef struct kwaai_trust_t kwaai_trust_t;

// Vectors on other people's machines, and vectors of others on this one.
typedef struct kwaai_vpk_t kwaai_vpk_t;

// A language model that writes the answers of a knowledge base.
typedef struct kwaai_writer_t kwaai_writer_t;

// A part of a document.
typedef struct kwaai_part_t {
  // What a citation calls it, for example "page 3"; NULL for a part without a name.
  const char *label;
  // Its text.
  const char *text;
} kwaai_part_t;

// Bytes that come back with a vector.
typedef struct kwaai_payload_t {
  // The bytes; NULL for a vector without any.
  const uint8_t *bytes;
  // How many there are.
  size_t length;
} kwaai_payload_t;

// What a federation searches, and with what it scores. Set everything to zero, then `size`, then what there is.
typedef struct kwaai_members_t {
  // `sizeof(kwaai_members_t)`, so that later versions can add to it.
  size_t size;
  // What hits call the knowledge bases of this node, in the order of `own`. May be NULL when there are none.
  const char *const *own_names;
  // Knowledge bases of this node. May be NULL when there are none.
  const struct kwaai_rag_t *const *own;
  // How many knowledge bases of this node there are.
  size_t own_count;
  // Knowledge bases that peers share, each with the name that its owner gave it. May be NULL when there are none.
  const struct kwaai_shared_knowledge_t *const *shared;
  // How many knowledge bases that peers share there are.
  size_t shared_count;
  // An embedder of the program, in place of one that the options name. May be NULL.
  const struct kwaai_embedder_t *embedder;
} kwaai_members_t;

// Takes log records.
typedef struct kwaai_log_t {
  // Handed to `call` and `drop`.
  void *context;
  // Takes a record, on a thread of its own, one after the other. `record_json` has `at_ms`, `level`, `target`, `message`,
  // `fields` and `dropped`, how many records before it were lost because this function was too slow. The texts live
  // until it returns.
  void (*call)(void *context, const char *level, const char *message, const char *record_json);
  // Called when the sink was refused; a sink that was taken stays until the program ends. May be NULL.
  void (*drop)(void *context);
} kwaai_log_t;

// What a program brings to a knowledge base. Set everything to zero, then `size`, then what there is.
typedef struct kwaai_supplies_t {
  // `sizeof(kwaai_supplies_t)`, so that later versions can add to it.
  size_t size;
  // Turns texts into vectors; `embedder` must be left out of the options then. May be NULL.
  const struct kwaai_embedder_t *embedder;
  // Writes the answers; `endpoint` must be left out of the options then. May be NULL.
  const struct kwaai_writer_t *writer;
  // Read formats that the library does not. May be NULL when there are none.
  const struct kwaai_reader_t *const *readers;
  // How many readers there are.
  size_t reader_count;
} kwaai_supplies_t;

// What a server answers with, beside what its options name. Set everything to zero, then `size`, then what there is.
typedef struct kwaai_served_t {
  // `sizeof(kwaai_served_t)`, so that later versions can add to it.
  size_t size;
  // The names that requests call the models by, in the order of `models`. May be NULL when there are none.
  const char *const *model_names;
  // Language models, of a shard engine or of the program. May be NULL when there are none.
  const struct kwaai_writer_t *const *models;
  // How many models there are.
  size_t model_count;
  // The names that requests call the embedders by, in the order of `embedders`. May be NULL when there are none.
  const char *const *embedder_names;
  // Embedders of the program. May be NULL when there are none.
  const struct kwaai_embedder_t *const *embedders;
  // How many embedders there are.
  size_t embedder_count;
  // The names that requests call the knowledge bases by, in the order of `knowledge`. May be NULL when there are none.
  const char *const *knowledge_names;
  // Knowledge bases, which stay open while the server does. May be NULL when there are none.
  const struct kwaai_rag_t *const *knowledge;
  // How many knowledge bases there are.
  size_t knowledge_count;
} kwaai_served_t;

// A function that is told when an operation has ended.
typedef struct kwaai_done_t {
  // Handed to `call` and `drop`.
  void *context;
  // Called once, on a thread of the library or on the one that asks; it must not block.
  void (*call)(void *context);
  // Called once, after `call`, or instead of it when the operation is freed first. May be NULL.
  void (*drop)(void *context);
} kwaai_done_t;

// Turns texts into vectors.
typedef struct kwaai_embed_t {
  // Handed to `call` and `drop`.
  void *context;
  // Embeds `count` texts and answers with `kwaai_answer_vectors`. `query` is true for what is looked for, false for what is
  // found. The texts live until it returns.
  void (*call)(void *context,
               const char *const *texts,
               size_t count,
               bool query,
               struct kwaai_answer_t *answer);
  // Called once, when nothing can call `call` any more. May be NULL.
  void (*drop)(void *context);
} kwaai_embed_t;

// Continues conversations.
typedef struct kwaai_generate_t {
  // Handed to `call` and `drop`.
  void *context;
  // Writes the next turn with `kwaai_answer_piece` and ends it with `kwaai_answer_finish`. `request_json` is an object with
  // `messages`, `max_tokens`, `temperature`, `top_p`, `top_k`, `seed` and `stop`; it lives until `call` returns.
  void (*call)(void *context, const char *request_json, struct kwaai_answer_t *answer);
  // Called once, when nothing can call `call` any more. May be NULL.
  void (*drop)(void *context);
} kwaai_generate_t;

// Reads documents.
typedef struct kwaai_read_t {
  // Handed to `call` and `drop`.
  void *context;
  // Reads a file and answers with `kwaai_answer_parts`. Name and bytes live until it returns.
  void (*call)(void *context,
               const char *name,
               const uint8_t *bytes,
               size_t length,
               struct kwaai_answer_t *answer);
  // Called once, when nothing can call `call` any more. May be NULL.
  void (*drop)(void *context);
} kwaai_read_t;

// Signs.
typedef struct kwaai_sign_t {
  // Handed to `call` and `drop`.
  void *context;
  // Signs exactly these bytes with Ed25519 (RFC 8032) and answers with `kwaai_answer_signature`. The bytes live until it
  // returns.
  void (*call)(void *context, const uint8_t *message, size_t length, struct kwaai_answer_t *answer);
  // Called once, when nothing can call `call` any more. May be NULL.
  void (*drop)(void *context);
} kwaai_sign_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Gives the vectors of an embedder, one after the other: as many as there were texts, each of its dimension.
//
// Ownership: frees the answer when it succeeds; the numbers are copied. Threads: any. NULL: `error` may be NULL, and
// `values` when `count` is 0. Lifetime: an answer that was given or freed answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_vectors(struct kwaai_answer_t *answer,
                                         const float *values,
                                         size_t count,
                                         struct kwaai_error_t **error);

// Gives the parts of a document.
//
// Ownership: frees the answer when it succeeds; the texts are copied. Threads: any. NULL: `error` may be NULL, and
// `parts` when `count` is 0. Lifetime: an answer that was given or freed answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_parts(struct kwaai_answer_t *answer,
                                       const struct kwaai_part_t *parts,
                                       size_t count,
                                       struct kwaai_error_t **error);

// Gives a signature, which has 64 bytes.
//
// Ownership: frees the answer when it succeeds; the bytes are copied. Threads: any. NULL: `error` may be NULL. Lifetime:
// an answer that was given or freed answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_signature(struct kwaai_answer_t *answer,
                                           const uint8_t *bytes,
                                           size_t length,
                                           struct kwaai_error_t **error);

// Writes a piece of a language model's turn. `KWAAI_CANCELLED` when nobody reads any more; the answer is still to be
// freed then.
//
// Ownership: nothing changes hands; the text is copied. Threads: any. NULL: `error` may be NULL. Lifetime: an answer that
// was given or freed answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_piece(struct kwaai_answer_t *answer,
                                       const char *piece,
                                       struct kwaai_error_t **error);

// Ends a language model's turn. `finish_json` is an object with any of `finish_reason` ("stop", "length") and `usage`
// (`prompt_tokens`, `completion_tokens`, `cached_tokens` or 0); without them it stopped by itself, and each piece counts as a token.
//
// Ownership: frees the answer when it succeeds. Threads: any. NULL: `finish_json` and `error` may be NULL. Lifetime: an
// answer that was given or freed answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_finish(struct kwaai_answer_t *answer,
                                        const char *finish_json,
                                        struct kwaai_error_t **error);

// Says that there is no answer. `status` is a `kwaai_status_t` other than `KWAAI_OK`, `KWAAI_INTERNAL` when none fits;
// `message` says what failed, and `cause` what lies beneath.
//
// Ownership: frees the answer when it succeeds; the texts are copied. Threads: any. NULL: `cause` and `error` may be
// NULL. Lifetime: an answer that was given or freed answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_fail(struct kwaai_answer_t *answer,
                                      uint32_t status,
                                      const char *message,
                                      const char *cause,
                                      struct kwaai_error_t **error);

// Whether somebody still waits for an answer. A function that takes long asks now and then, and frees the answer when
// nobody does.
//
// Ownership: nothing changes hands. Threads: any. NULL: false. Lifetime: false for an answer that was given or freed.
bool kwaai_answer_is_wanted(const struct kwaai_answer_t *answer);

// Frees an answer without giving it, which fails the call that waits for it.
//
// Ownership: takes the answer. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice, or after giving it,
// answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_answer_free(struct kwaai_answer_t *answer);

// Puts vectors in, all or none; those with an id that is there replace it. `count` ids, and as many `vectors` of `columns`
// numbers, one after the other; `payloads` are `count` too, and come back with the vectors. `metadata_json` is an array of
// `count` objects, or null for a vector without, by which hits can be chosen; texts are at home there too. Ids are at most
// 2^53 - 1. What was put in is durable and found when this returns, and goes to the hosts when there is enough of it, or
// at `kwaai_collection_flush`.
//
// Ownership: nothing changes hands; everything is copied. Threads: any. NULL: `payloads`, `metadata_json` and `error` may
// be NULL, and `ids` and `vectors` when `count` is 0. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_collection_upsert(const struct kwaai_collection_t *collection,
                                            const uint64_t *ids,
                                            size_t count,
                                            const float *vectors,
                                            size_t columns,
                                            const struct kwaai_payload_t *payloads,
                                            const char *metadata_json,
                                            uint32_t timeout_ms,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_collection_upsert` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_upsert`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_upsert_async(const struct kwaai_collection_t *collection,
                                                  const uint64_t *ids,
                                                  size_t count,
                                                  const float *vectors,
                                                  size_t columns,
                                                  const struct kwaai_payload_t *payloads,
                                                  const char *metadata_json,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Takes vectors out, with their payloads, and answers how many there were. The hosts keep their numbers until the segment
// is empty, or `kwaai_collection_rotate` leaves them out.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL, and `ids` when `count` is 0. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_delete(const struct kwaai_collection_t *collection,
                                            const uint64_t *ids,
                                            size_t count,
                                            uint32_t timeout_ms,
                                            size_t *out_count,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_collection_delete` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_delete`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_delete_async(const struct kwaai_collection_t *collection,
                                                  const uint64_t *ids,
                                                  size_t count,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// The vectors that are most like the one of `columns` numbers, as JSON: `hits`, the best first, and `liars`, the hosts that
// are known to have answered wrongly.
//
// A hit has an `id`, a `score`, its `payload` in base64 or null, and its `metadata`. `options_json` is an object with any of
// `k`, how many hits, 10 unless set and 10,000 at most, and `filter`, an object whose values the metadata must have. Hosts
// are not told of the filter.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may
// be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_collection_search(const struct kwaai_collection_t *collection,
                                            const float *vector,
                                            size_t columns,
                                            const char *options_json,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_collection_search` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_search`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_search_async(const struct kwaai_collection_t *collection,
                                                  const float *vector,
                                                  size_t columns,
                                                  const char *options_json,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// How it stands, as JSON: how many `vectors`, how many of them are `buffered` here and not sealed yet, in how many
// `segments` the others are, how many places in these are `deleted`, the `epoch` of the key, the hosts that are `behind`,
// and the `liars` among them.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_collection_stats(const struct kwaai_collection_t *collection,
                                           uint32_t timeout_ms,
                                           char **out_json,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_collection_stats` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_stats`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_stats_async(const struct kwaai_collection_t *collection,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Seals what is buffered and brings everything to the hosts, the manifest too. Nothing is lost when that fails.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_collection_flush(const struct kwaai_collection_t *collection,
                                           uint32_t timeout_ms,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_collection_flush` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_flush`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_flush_async(const struct kwaai_collection_t *collection,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Fetches everything from the hosts and checks it. As a JSON array, one for each `host`: whether everything is `right`,
// the states of its `segments` and `payloads`, and that of the `manifest`.
//
// A state is "right", "wrong", "missing", "unknown" when the host could not be asked, or "undecided" when too few hosts
// have a part. That is as much traffic as bringing everything there was; flush before, for what waits is missing there.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_collection_verify(const struct kwaai_collection_t *collection,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_collection_verify` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_verify`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_verify_async(const struct kwaai_collection_t *collection,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_collection_rotate(const struct kwaai_collection_t *collection,
                                            uint32_t timeout_ms,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_collection_rotate` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_rotate`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_rotate_async(const struct kwaai_collection_t *collection,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Verifies what the hosts have, and puts others in the place of those that answered wrongly, lost something or cannot be
// reached: those that are given, an array as for `kwaai_vpk_create`, or ones that are found. Everything is sealed anew then;
// searches go on meanwhile. As JSON, the hosts that were `lost` and those that were `added`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `hosts_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_collection_repair(const struct kwaai_collection_t *collection,
                                            const char *hosts_json,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_collection_repair` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_repair`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_repair_async(const struct kwaai_collection_t *collection,
                                                  const char *hosts_json,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// The recovery key, as a text that opens with a passphrase of 1 to 1,024 bytes, for a backup or `kwaai_vpk_recover` on
// another machine. It is good until the next rotation. Takes as long as the passphrase is meant to cost, about a tenth of a
// second, and 64 MiB of memory.
//
// Ownership: the caller frees `*out_key` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_export_key(const struct kwaai_collection_t *collection,
                                                const char *passphrase,
                                                uint32_t timeout_ms,
                                                char **out_key,
                                                struct kwaai_error_t **error);

// Begins what `kwaai_collection_export_key` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_export_key`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_export_key_async(const struct kwaai_collection_t *collection,
                                                      const char *passphrase,
                                                      struct kwaai_op_t **out_op,
                                                      struct kwaai_error_t **error);

// The recovery key, as a text that opens on one machine alone: the one that said by `kwaai_vpk_device` who it is. The text
// is signed by this node.
//
// Ownership: the caller frees `*out_key` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_export_key_to(const struct kwaai_collection_t *collection,
                                                   const char *device,
                                                   uint32_t timeout_ms,
                                                   char **out_key,
                                                   struct kwaai_error_t **error);

// Begins what `kwaai_collection_export_key_to` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_export_key_to`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_export_key_to_async(const struct kwaai_collection_t *collection,
                                                         const char *device,
                                                         struct kwaai_op_t **out_op,
                                                         struct kwaai_error_t **error);

// Forgets the collection, here and at its hosts, as `kwaai_vpk_destroy` does.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
// have been freed.
enum kwaai_status_t kwaai_collection_destroy(const struct kwaai_collection_t *collection,
                                             uint32_t timeout_ms,
                                             struct kwaai_error_t **error);

// Begins what `kwaai_collection_destroy` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_collection_destroy`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_collection_destroy_async(const struct kwaai_collection_t *collection,
                                                   struct kwaai_op_t **out_op,
                                                   struct kwaai_error_t **error);

// The name under which this node has it. It stays readable after the end.
//
// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_name(const struct kwaai_collection_t *collection,
                                          char **out_name,
                                          struct kwaai_error_t **error);

// The id by which hosts know it, 32 hexadecimal digits. It stays readable after the end.
//
// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_id(const struct kwaai_collection_t *collection,
                                        char **out_id,
                                        struct kwaai_error_t **error);

// What it is, as JSON: `dimension`, `privacy`, `hosts`, `metric`, `colluding`. It stays readable after the end.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_config(const struct kwaai_collection_t *collection,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// What its hosts learn, as JSON: whether they can read the `vectors` and the `queries`, tell the `matches`, and whether
// wrong answers are noticed as `answers_checked`; in words, what is `learned` nevertheless and what the rest `rests_on`. It
// stays readable after the end.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_collection_leakage(const struct kwaai_collection_t *collection,
                                             char **out_json,
                                             struct kwaai_error_t **error);

// Lets go of the collection, which stays, here and at its hosts. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
// been freed.
enum kwaai_status_t kwaai_collection_shutdown(const struct kwaai_collection_t *collection,
                                              struct kwaai_error_t **error);

// Frees a handle of a collection, which stays, here and at its hosts.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_collection_free(struct kwaai_collection_t *collection);

// Where a browser on this machine finds the page. It stays readable after the end.
//
// Ownership: the caller frees `*out_url` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_console_url(const struct kwaai_console_t *console,
                                      char **out_url,
                                      struct kwaai_error_t **error);

// Ends the page. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
// been freed.
enum kwaai_status_t kwaai_console_shutdown(const struct kwaai_console_t *console,
                                           struct kwaai_error_t **error);

// Frees the handle and ends the page.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_console_free(struct kwaai_console_t *console);

// Lets a peer search a knowledge base. The answer is the signed text of a capability, which is handed to the holder by whatever
// way; `kwaai_library_read_knowledge_capability` tells what is in it, its id for `kwaai_rag_revoke_share` among that.
//
// `holder` is a DID or a PeerId, `name` what the holder sees the knowledge base called, 1 to 64 characters, and `valid_for_ms` at
// most 366 days. The capability counts while this node runs and the knowledge base is open: one that was
// opened with `kwaai_node_rag`, or was shared since. The holder gets passages and what proves them; this node gets its
// questions.
//
// Ownership: the caller frees `*out_capability` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// handles must not have been freed.
enum kwaai_status_t kwaai_node_share_knowledge(const struct kwaai_node_t *node,
                                               const struct kwaai_rag_t *rag,
                                               const char *holder,
                                               const char *name,
                                               uint64_t valid_for_ms,
                                               uint32_t timeout_ms,
                                               char **out_capability,
                                               struct kwaai_error_t **error);

// Begins what `kwaai_node_share_knowledge` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_share_knowledge`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_share_knowledge_async(const struct kwaai_node_t *node,
                                                     const struct kwaai_rag_t *rag,
                                                     const char *holder,
                                                     const char *name,
                                                     uint64_t valid_for_ms,
                                                     struct kwaai_op_t **out_op,
                                                     struct kwaai_error_t **error);

// A knowledge base that a peer shares, by its capability. Nobody is asked before it is searched. `KWAAI_CORRUPT_DATA` for
// a capability whose signature does not hold.
//
// Ownership: the caller frees `*out_shared` with `kwaai_shared_knowledge_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: it ends with the node.
enum kwaai_status_t kwaai_node_shared_knowledge(const struct kwaai_node_t *node,
                                                const char *peer,
                                                const char *capability,
                                                uint32_t timeout_ms,
                                                struct kwaai_shared_knowledge_t **out_shared,
                                                struct kwaai_error_t **error);

// Begins what `kwaai_node_shared_knowledge` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_shared_knowledge`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_shared_knowledge_async(const struct kwaai_node_t *node,
                                                      const char *peer,
                                                      const char *capability,
                                                      struct kwaai_op_t **out_op,
                                                      struct kwaai_error_t **error);

// Several knowledge bases as one: those of `members`, `own` first and then `shared`. `options_json` is an object with any of
// `embedder` ("auto", "none" or the folder of a BERT model), which scores passages of all of them, and `language`, whose
// word forms are brought together.
//
// Ownership: the caller frees `*out_federation` with `kwaai_federation_free`; `*members` is read and stays the caller's.
// Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: handles of members may be freed; knowledge bases
// that were shut down are found closed.
enum kwaai_status_t kwaai_node_federation(const struct kwaai_node_t *node,
                                          const struct kwaai_members_t *members,
                                          const char *options_json,
                                          uint32_t timeout_ms,
                                          struct kwaai_federation_t **out_federation,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_node_federation` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_federation`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_federation_async(const struct kwaai_node_t *node,
                                                const struct kwaai_members_t *members,
                                                const char *options_json,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Proves where passages of a knowledge base come from, as this node's statement. As a JSON array of objects, each with the
// `hit` and its `provenance`.
//
// `hits_json` is an array of hits as `kwaai_rag_search` writes them; those that are no longer as they were found are left out.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// handles must not have been freed.
enum kwaai_status_t kwaai_node_prove(const struct kwaai_node_t *node,
                                     const struct kwaai_rag_t *rag,
                                     const char *hits_json,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_node_prove` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_prove`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_prove_async(const struct kwaai_node_t *node,
                                           const struct kwaai_rag_t *rag,
                                           const char *hits_json,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// The id of a knowledge base: 32 hexadecimal digits, of its own and made when it was.
//
// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_rag_id(const struct kwaai_rag_t *rag,
                                 uint32_t timeout_ms,
                                 char **out_id,
                                 struct kwaai_error_t **error);

// Begins what `kwaai_rag_id` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_id`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_id_async(const struct kwaai_rag_t *rag,
                                       struct kwaai_op_t **out_op,
                                       struct kwaai_error_t **error);

// Lets a capability count no more, by its `id`. Revoking it again does nothing.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_rag_revoke_share(const struct kwaai_rag_t *rag,
                                           const char *capability_id,
                                           uint32_t timeout_ms,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_rag_revoke_share` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_revoke_share`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_revoke_share_async(const struct kwaai_rag_t *rag,
                                                 const char *capability_id,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// The passages of a shared knowledge base that fit a text best, as the owner's node ranks them; each was checked against
// what the owner signed. As a JSON array of objects, each with the `hit` and its `provenance`.
//
// The owner's node learns the text. `options_json` is an object with any of `k`, 64 at most, `mode`, and `timeout_ms`, 10,000 unless set: how long the peer may take.
//
// `KWAAI_PERMISSION_DENIED` for a capability that is somebody else's, has ended or was revoked; `KWAAI_NOT_FOUND` while
// the knowledge base is not open at its owner's node.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shared_knowledge_search(const struct kwaai_shared_knowledge_t *shared,
                                                  const char *text,
                                                  const char *options_json,
                                                  uint32_t timeout_ms,
                                                  char **out_json,
                                                  struct kwaai_error_t **error);

// Begins what `kwaai_shared_knowledge_search` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shared_knowledge_search`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shared_knowledge_search_async(const struct kwaai_shared_knowledge_t *shared,
                                                        const char *text,
                                                        const char *options_json,
                                                        struct kwaai_op_t **out_op,
                                                        struct kwaai_error_t **error);

// The best passages of all knowledge bases of a federation, as JSON: `hits`, best first, `failures` and `mode`.
//
// A hit has the `member` that it was found in, the names of others that hold the same text, `also`, the `hit`, whose score
// is the one of the whole search, and its `provenance`. A failure has the `member` that was not searched, the `code` of the
// error and a `message`. `options_json` is an object with any of `k`, 64 at most, `mode`, `links`, `dense_weight`, as for
// `kwaai_rag_search`, and `timeout_ms`, 10,000 unless set: how long a peer may take. It fails when no knowledge base could
// be searched.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_federation_search(const struct kwaai_federation_t *federation,
                                            const char *text,
                                            const char *options_json,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_federation_search` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_federation_search`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_federation_search_async(const struct kwaai_federation_t *federation,
                                                  const char *text,
                                                  const char *options_json,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// What opens a shared knowledge base, as `kwaai_library_read_knowledge_capability` tells it.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_shared_knowledge_capability(const struct kwaai_shared_knowledge_t *shared,
                                                      char **out_json,
                                                      struct kwaai_error_t **error);

// The names of the knowledge bases of a federation, as a JSON array in their order.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_federation_members(const struct kwaai_federation_t *federation,
                                             char **out_json,
                                             struct kwaai_error_t **error);

// Checks that a passage stood in a knowledge base, with no node and no network. As JSON: the DID of the `owner`, who signed,
// the id of the `knowledge_base`, how many `passages` it held, and when, `signed_at`.
//
// `hit_json` and `provenance_json` are those of a search. What is proven are text, span, ids and the document's name; not the
// score, the section or the locator. `KWAAI_CORRUPT_DATA` for what does not hold.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
// applicable.
enum kwaai_status_t kwaai_library_check_provenance(const char *hit_json,
                                                   const char *provenance_json,
                                                   char **out_json,
                                                   struct kwaai_error_t **error);

// Reads the text of a capability that an owner handed over, and checks its form and its signature. As JSON: its `id`, the DIDs
// of `owner` and `holder`, the id of the `knowledge_base`, its `name`, `expires_at`, and the `text`. Nobody is asked.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
// applicable.
enum kwaai_status_t kwaai_library_read_knowledge_capability(const char *capability,
                                                            char **out_json,
                                                            struct kwaai_error_t **error);

// Frees a shared knowledge base.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_shared_knowledge_free(struct kwaai_shared_knowledge_t *shared);

// Frees a federation. Its knowledge bases stay.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_federation_free(struct kwaai_federation_t *federation);

// Ends a server: it takes no further request, what is under way may finish within `grace_ms`, and the rest is ended;
// `KWAAI_UNSET` gives five seconds. Returns when every connection is closed and the port is free. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
// have been freed.
enum kwaai_status_t kwaai_http_server_shutdown(const struct kwaai_http_server_t *server,
                                               uint64_t grace_ms,
                                               uint32_t timeout_ms,
                                               struct kwaai_error_t **error);

// Begins what `kwaai_http_server_shutdown` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_http_server_shutdown`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_http_server_shutdown_async(const struct kwaai_http_server_t *server,
                                                     uint64_t grace_ms,
                                                     struct kwaai_op_t **out_op,
                                                     struct kwaai_error_t **error);

// Where a server listens, such as `127.0.0.1:11435`. It stays readable after the end.
//
// Ownership: the caller frees `*out_address` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_http_server_address(const struct kwaai_http_server_t *server,
                                              char **out_address,
                                              struct kwaai_error_t **error);

// The port of that address. It stays readable after the end.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_http_server_port(const struct kwaai_http_server_t *server,
                                           uint32_t *out_port,
                                           struct kwaai_error_t **error);

// What clients take for their base address, such as `http://127.0.0.1:11435/v1`. It stays readable after the end.
//
// Ownership: the caller frees `*out_base_url` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_http_server_base_url(const struct kwaai_http_server_t *server,
                                               char **out_base_url,
                                               struct kwaai_error_t **error);

// Frees the handle and ends the server, with what is under way.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_http_server_free(struct kwaai_http_server_t *server);

// The version of the library, for example "0.1.0".
//
// Ownership: the text is static; do not free it. Threads: any. NULL: never returned. Lifetime: for ever.
const char *kwaai_version(void);

// The version of the library, for example "0.1.0"; the same as `kwaai_version`.
//
// Ownership: the text is static; do not free it. Threads: any. NULL: never returned. Lifetime: for ever.
const char *kwaai_library_version(void);

// The `KWAAI_ABI_VERSION` that the library was built with. A program compares it with the header's.
//
// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
uint32_t kwaai_abi_version(void);

// Frees a text that the library handed out through a `char **`.
//
// Ownership: takes the text. Threads: any. NULL: fine, nothing happens. Lifetime: a text that was freed, or that is not
// of this library, answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_string_free(char *text);

// Frees numbers that the library handed out through a `float **`.
//
// Ownership: takes the numbers. Threads: any. NULL: fine, nothing happens. Lifetime: numbers that were freed, or that are
// not of this library, answer `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_floats_free(float *values);

// Reads any spelling of a DID, or a PeerId in either of its text forms. As JSON: its `spelling` ("key", "peer_0" to
// "peer_3", "peer_4_short", "peer_4_long", "kwaainet" or "peer_id"), the identity as `did` and `peer_id`, `addresses` that
// nobody vouches for, and the DID `document`; null where the text does not carry it. Nothing is asked of the network.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// not applicable.
enum kwaai_status_t kwaai_library_resolve_did(const char *did,
                                              char **out_json,
                                              struct kwaai_error_t **error);

// Compares an answer with the texts of its sources, of which the first is `[1]`. As a JSON array, empty when the citations
// hold: the `kind` of each fault ("wrong_number", "misattributed", "stitched", "fabricated", "uncited" or "wrong_figure"),
// the `span` of the answer in bytes that it concerns, the numbers `cited` there, and the source that the text is `found_in`.
//
// Words are compared with words, and no model is asked: what stands in quotation marks or is taken word by word must stand
// in a source that is cited for it, and so must numbers above twelve.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL, and `sources`
// when `count` is 0. Lifetime: not applicable.
enum kwaai_status_t kwaai_library_check_citations(const char *text,
                                                  const char *const *sources,
                                                  size_t count,
                                                  char **out_json,
                                                  struct kwaai_error_t **error);

// What a calibration says, the JSON of `kwaai_rag_calibrate`, where the share alpha, 0 to 1, of the questions that the
// documents do not answer may get an answer. As JSON: `threshold`, the support above which a question is answered, null when
// all must be refused; `answered`, the share of the answerable questions that get an answer; and `auroc`, how often an
// answerable question has more support than another, null without one of either.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// not applicable.
enum kwaai_status_t kwaai_library_calibration_at(const char *calibration_json,
                                                 double alpha,
                                                 char **out_json,
                                                 struct kwaai_error_t **error);

// For each score that two evaluations of the same questions have, both the JSON of `kwaai_rag_evaluate`, the mean difference, question
// by question, as JSON: an object of objects with `mean` (as there; `value` is above 0 where the first is better) and `p`.
// `KWAAI_INVALID_ARGUMENT` when the questions are not the same.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// not applicable.
enum kwaai_status_t kwaai_library_compare_evaluations(const char *evaluation_json,
                                                      const char *other_json,
                                                      char **out_json,
                                                      struct kwaai_error_t **error);

// An evaluation, the JSON of `kwaai_rag_evaluate`, for people. `form` is "markdown", or "html" for a page that needs nothing beside
// itself, with another evaluation beside it where `beside_json` is one.
//
// Ownership: the caller frees `*out_text` with `kwaai_string_free`. Threads: any. NULL: `beside_json` and `error` may be NULL.
// Lifetime: not applicable.
enum kwaai_status_t kwaai_library_evaluation_report(const char *evaluation_json,
                                                    const char *beside_json,
                                                    const char *form,
                                                    char **out_text,
                                                    struct kwaai_error_t **error);

// Sends what the library says from now on to a function. `filter` is written as for `RUST_LOG`, for example "info" or
// "warn,kwaai_core::net=debug". `KWAAI_ALREADY_EXISTS` when the process has a sink already.
//
// Ownership: takes `sink` in any case. Threads: any; `sink.call` is called on one thread of the library. NULL: `sink.call`
// is needed; `error` may be NULL. Lifetime: a sink that was taken must live until the program ends.
enum kwaai_status_t kwaai_library_init_logging(const char *filter,
                                               struct kwaai_log_t sink,
                                               struct kwaai_error_t **error);

// Ends the library's threads before the program exits, waiting at most `grace_ms` for work that cannot be
// interrupted. Every later call answers `KWAAI_CLOSED`. Calling it is optional.
//
// Ownership: handles stay to be freed. Threads: any that the library did not start. NULL: not applicable. Lifetime:
// calling it twice is fine.
enum kwaai_status_t kwaai_library_shutdown(uint32_t grace_ms);

// How many handles, texts and arrays the program holds; zero when it freed everything.
//
// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
size_t kwaai_live_handles(void);

// The id of the model: the same on every machine that has the same weights. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_model_id(const struct kwaai_model_t *model,
                                   char **out_id,
                                   struct kwaai_error_t **error);

// The name of its directory or file, for people. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_model_name(const struct kwaai_model_t *model,
                                     char **out_name,
                                     struct kwaai_error_t **error);

// How many blocks the model has. It stays readable after the shutdown.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_model_blocks(const struct kwaai_model_t *model,
                                       uint32_t *out_blocks,
                                       struct kwaai_error_t **error);

// What the model is, as JSON: `id`, `name`, `blocks`, `held_blocks`, `hidden_size`, `vocab_size`, `max_context`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_model_info(const struct kwaai_model_t *model,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Lets go of the weights. What runs on them may end first. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
// been freed.
enum kwaai_status_t kwaai_model_shutdown(const struct kwaai_model_t *model,
                                         struct kwaai_error_t **error);

// Frees a model.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_model_free(struct kwaai_model_t *model);

// Starts a node. `config_json` is a JSON object with any of `preset` ("ephemeral", "desktop", "mobile", "server"),
// `name`, `data_dir`, `identity_key`, `listen`, `bootstrap`, `mdns`, `hivemind`, `trusted_relays`, `relay`,
// `relay_limits`, `announce_addr`, `public_ip`, `public_port`, `force_private`, `identify_min_confirmations`,
// `identify_timeout_ms`, `upnp`, `peer_cache` and `limits`, and for tests `seed` and `clock`; NULL starts with the
// defaults.
// `relay_limits` is an object with any of `max_reservations`, `reservation_duration_ms`, `max_circuits`,
// `max_circuits_per_peer`, `max_circuits_per_stranger`, `max_circuit_bytes` and `max_circuit_duration_ms`, of a node with
// `relay`. `identify_timeout_ms` is rounded up to whole seconds.
//
// Ownership: the caller frees `*out_node` with `kwaai_node_free`. Threads: any. NULL: `config_json` and `error` may
// be NULL. Lifetime: the node runs until `kwaai_node_shutdown` or `kwaai_node_free`.
enum kwaai_status_t kwaai_node_start(const char *config_json,
                                     uint32_t timeout_ms,
                                     struct kwaai_node_t **out_node,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_node_start` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_start`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_start_async(const char *config_json,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// What the node says about itself, as JSON: `name`, `peer_id`, `did`, `version`, `data_dir`, `addresses`,
// `reachability`, `connected_peers`, `uptime_ms`.
//
// `reachability` is whether others can dial the node: its `verdict`, which is "public", "private" or "unknown", `why` in
// a sentence, and the PeerIds of the `relays` that the node is reached through.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_info(const struct kwaai_node_t *node,
                                    uint32_t timeout_ms,
                                    char **out_json,
                                    struct kwaai_error_t **error);

// Begins what `kwaai_node_info` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_info`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_info_async(const struct kwaai_node_t *node,
                                          struct kwaai_op_t **out_op,
                                          struct kwaai_error_t **error);

// The first address at which the node can be dialled, ending in `/p2p/<peer id>`. `KWAAI_NOT_FOUND` for a node that
// listens nowhere.
//
// Ownership: the caller frees `*out_address` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_address(const struct kwaai_node_t *node,
                                       uint32_t timeout_ms,
                                       char **out_address,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_node_address` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_address`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_address_async(const struct kwaai_node_t *node,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// The connected peers as a JSON array, each with its tier, its score and the arithmetic, whether a fiduciary pledge of
// it counts here, whether it is `relayed`, reached only through a relay, and whether it was named as a `bootstrap` or
// a `trusted_relay`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_peers(const struct kwaai_node_t *node,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_node_peers` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_peers`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_peers_async(const struct kwaai_node_t *node,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Looks for what keeps this node from others, as a JSON array of objects with `cause`, `text`, which says what was seen,
// and `remedy`. Causes are "no_bootstrap", "dead_bootstrap", "incompatible_version", "clock_off",
// "relay_without_slots", "dead_relay" and "firewall". Bootstraps that are not connected are tried, for ten seconds at
// most. Nothing found is an empty array.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_diagnose(const struct kwaai_node_t *node,
                                        uint32_t timeout_ms,
                                        char **out_json,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_node_diagnose` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_diagnose`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_diagnose_async(const struct kwaai_node_t *node,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// What the node measured since its start, as a JSON object: `metrics`, an array, and `prometheus`, the same as text that
// Prometheus reads.
//
// Each metric has a `name` of OpenTelemetry's conventions, such as "rpc.server.call.duration" or "kwaainet.peers", an
// `instrument`, which is "counter", "gauge" or "histogram", a `unit`, a `description`, an object of `attributes`, and the
// `value`. In a histogram that is the sum, `count` says of how many values, and `buckets` how many are at most so large, in
// objects with `at_most` and `count`; for the others `count` is null. No peer is named in it, and nothing that was said.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_metrics(const struct kwaai_node_t *node,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_node_metrics` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_metrics`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_metrics_async(const struct kwaai_node_t *node,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Connects to a node at a multiaddress that ends in `/p2p/<peer id>`, and says who answered.
//
// Ownership: the caller frees `*out_peer`, a PeerId, with `kwaai_string_free`. Threads: any. NULL: `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_connect(const struct kwaai_node_t *node,
                                       const char *address,
                                       uint32_t timeout_ms,
                                       char **out_peer,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_node_connect` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_connect`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_connect_async(const struct kwaai_node_t *node,
                                             const char *address,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Closes every connection to a peer, a PeerId or a DID.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_node_disconnect(const struct kwaai_node_t *node,
                                          const char *peer,
                                          uint32_t timeout_ms,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_node_disconnect` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_disconnect`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_disconnect_async(const struct kwaai_node_t *node,
                                                const char *peer,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Asks the network where a peer can be reached: a JSON array of addresses.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_find_peer(const struct kwaai_node_t *node,
                                         const char *peer,
                                         uint32_t timeout_ms,
                                         char **out_json,
                                         struct kwaai_error_t **error);

// Begins what `kwaai_node_find_peer` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_find_peer`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_find_peer_async(const struct kwaai_node_t *node,
                                               const char *peer,
                                               struct kwaai_op_t **out_op,
                                               struct kwaai_error_t **error);

// Whether a peer, a PeerId or a DID, or whoever is at an address, answers now: connects to it where there is no connection,
// and times a round trip. The peer as JSON, as in `kwaai_node_peers`. `KWAAI_UNREACHABLE` with what was tried,
// `KWAAI_TIMEOUT` after 20 seconds.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_probe(const struct kwaai_node_t *node,
                                     const char *peer,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_node_probe` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_probe`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_probe_async(const struct kwaai_node_t *node,
                                           const char *peer,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Asks a peer where somebody stands with it, both of them a PeerId or a DID. The statement is the peer's opinion, signed
// for this node and checked; as JSON: `responder`, `asker`, `about`, `answer` ("unknown", "at_least", "tier" or
// "score"), `holds`, `tier`, `value`, `made_at`, `expires_at`; null where the answer has none.
//
// `at_least_json`, the name of a tier in quotes or a score from 0 to 1, asks whether somebody reaches that instead,
// which peers tell to more askers.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `at_least_json` and `error`
// may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_ask_trust(const struct kwaai_node_t *node,
                                         const char *peer,
                                         const char *about,
                                         const char *at_least_json,
                                         uint32_t timeout_ms,
                                         char **out_json,
                                         struct kwaai_error_t **error);

// Begins what `kwaai_node_ask_trust` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_ask_trust`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_ask_trust_async(const struct kwaai_node_t *node,
                                               const char *peer,
                                               const char *about,
                                               const char *at_least_json,
                                               struct kwaai_op_t **out_op,
                                               struct kwaai_error_t **error);

// Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those it gave before. How much
// they count in a score depends on how well the peer agrees with this node's own experience. As JSON: the `recommender`,
// about how many peers its word was taken as `count`, and the instant `made_at` which it was said. A peer that saw nobody, or
// does not say, is a result with a count of 0; what is kept of it stays then.
//
// A node asks by itself, every hour, the connected peers that are at least known.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_ask_word(const struct kwaai_node_t *node,
                                        const char *peer,
                                        uint32_t timeout_ms,
                                        char **out_json,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_node_ask_word` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_ask_word`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_ask_word_async(const struct kwaai_node_t *node,
                                              const char *peer,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies. As
// JSON: how many were `fetched`, and as `missing` those of which nobody had a young copy, as
// `kwaai_trust_wanted_status_lists` has them.
//
// A node does this by itself every ten minutes. With peers that have gone it may take a minute.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_refresh_status_lists(const struct kwaai_node_t *node,
                                                    uint32_t timeout_ms,
                                                    char **out_json,
                                                    struct kwaai_error_t **error);

// Begins what `kwaai_node_refresh_status_lists` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_refresh_status_lists`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_refresh_status_lists_async(const struct kwaai_node_t *node,
                                                          struct kwaai_op_t **out_op,
                                                          struct kwaai_error_t **error);

// Puts what a kept credential claims to the test, at the peer that it is about, and keeps the row of evidence. As JSON:
// `credential_id`, the tested `peer`, the name of the `claim`, what was `claimed` and what was `measured` in its unit, over
// how many `samples`, the `tolerance`, the `verdict` ("holds", "fails" or "inconclusive"), whether the work was `correct`,
// the `seed`, the instant `at` which it was made, the `probe` and the `answer` as they were signed; null where there is none.
//
// An UptimeVC is tested by whether the peer answers: a probe is a sample. A ThroughputVC is tested by tokens that the
// peer computes, with the `model` that it names; the results are compared where that holds its blocks too.
// `options_json` is an object with any of `tolerance`, a share of the claim from 0 to 1, 0.2 unless set; `tokens`, 8 to
// 512, 32 unless set; `seed`, from 0 to 2^53 - 1, which decides the work and is drawn at random unless set.
// `KWAAI_NOT_FOUND` for a credential that is not kept, `KWAAI_UNSUPPORTED` for one whose claim cannot be tested. A peer
// that does not answer is a result and no error; it takes ten seconds.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `model`, `options_json` and
// `error` may be NULL. Lifetime: the handles must not have been freed.
enum kwaai_status_t kwaai_node_test_credential(const struct kwaai_node_t *node,
                                               const char *credential_id,
                                               const struct kwaai_model_t *model,
                                               const char *options_json,
                                               uint32_t timeout_ms,
                                               char **out_json,
                                               struct kwaai_error_t **error);

// Begins what `kwaai_node_test_credential` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_test_credential`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_test_credential_async(const struct kwaai_node_t *node,
                                                     const char *credential_id,
                                                     const struct kwaai_model_t *model,
                                                     const char *options_json,
                                                     struct kwaai_op_t **out_op,
                                                     struct kwaai_error_t **error);

// Looks whether a peer is up, and keeps that as a sample of its sightings: up is who answers a call, whatever it answers.
// `*out_json` is the JSON text `true` or `false`. `KWAAI_UNREACHABLE` when the peer does not answer and no other peer is
// connected: the fault may be here, and that is no sample. It takes five seconds to find a peer down.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_node_sight(const struct kwaai_node_t *node,
                                     const char *peer,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_node_sight` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_sight`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_sight_async(const struct kwaai_node_t *node,
                                           const char *peer,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Looks at every connected peer, and at those that were looked at within the last seven days, once each period as long as
// the node runs. `period_ms` is a second at least. What a bootstrap server does that issues UptimeVCs.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_node_watch_peers(const struct kwaai_node_t *node,
                                           uint64_t period_ms,
                                           uint32_t timeout_ms,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_node_watch_peers` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_watch_peers`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_watch_peers_async(const struct kwaai_node_t *node,
                                                 uint64_t period_ms,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Measures how fast a peer computes its blocks of a model, and issues a ThroughputVC about what was measured: tokens per
// second of the whole model, as if the peer computed all of its blocks. The model is loaded here, its blocks need not be;
// with them the peer's results are compared. `options_json` is an object with any of `tokens`, 8 to 512, 32 unless set;
// `runs`, 1 to 64, 3 unless set; `seed`, from 0 to 2^53 - 1; `valid_for_ms`. `*out_credential` is the signed document. It
// is not kept. `KWAAI_NOT_FOUND` when the peer serves no block of the model, `KWAAI_CORRUPT_DATA` for a wrong result.
//
// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error`
// may be NULL. Lifetime: the handles must not have been freed.
enum kwaai_status_t kwaai_node_issue_throughput(const struct kwaai_node_t *node,
                                                const char *peer,
                                                const struct kwaai_model_t *model,
                                                const char *options_json,
                                                uint32_t timeout_ms,
                                                char **out_credential,
                                                struct kwaai_error_t **error);

// Begins what `kwaai_node_issue_throughput` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_issue_throughput`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_issue_throughput_async(const struct kwaai_node_t *node,
                                                      const char *peer,
                                                      const struct kwaai_model_t *model,
                                                      const char *options_json,
                                                      struct kwaai_op_t **out_op,
                                                      struct kwaai_error_t **error);

// Sends a text of at most 64 KiB to a peer, a PeerId or a DID, or to whoever is at an address. Returns when it has arrived.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_node_send_message(const struct kwaai_node_t *node,
                                            const char *peer,
                                            const char *text,
                                            uint32_t timeout_ms,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_node_send_message` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_send_message`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_send_message_async(const struct kwaai_node_t *node,
                                                  const char *peer,
                                                  const char *text,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Opens a knowledge base of this node. While it is open, the same name opens the same one. `options_json` is a JSON
// object with any of `embedder` ("auto", "none", the folder or hub id of an embedding model, or an object for one behind an endpoint: `base_url`,
// `model`, `api_key`, `api` ("openai" or "ollama"), `dimension`, `query_prompt`, `document_prompt`), `endpoint` (`base_url`, `model`,
// `api_key`), `chunking` (`strategy`, `size`, `overlap`, `min`), `language`, `cache` (`answers`, `ttl_ms`, `similarity`: which answers
// are given again to the same question while nothing changes) and `data_dir`, a directory in which it lies instead of the node's, for
// example on another disk: the node remembers it by the name, another one is `KWAAI_CONFLICT`, and one that is missing is
// `KWAAI_NOT_FOUND`. `supplies` bring an embedder, a
// model that writes the answers, and `readers`.
//
// Ownership: the caller frees `*out_rag` with `kwaai_rag_free`; `*supplies` is read and stays the caller's. Threads:
// any. NULL: `options_json`, `supplies` and `error` may be NULL. Lifetime: the knowledge base ends with the node.
enum kwaai_status_t kwaai_node_rag(const struct kwaai_node_t *node,
                                   const char *name,
                                   const char *options_json,
                                   const struct kwaai_supplies_t *supplies,
                                   uint32_t timeout_ms,
                                   struct kwaai_rag_t **out_rag,
                                   struct kwaai_error_t **error);

// Begins what `kwaai_node_rag` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_rag`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_rag_async(const struct kwaai_node_t *node,
                                         const char *name,
                                         const char *options_json,
                                         const struct kwaai_supplies_t *supplies,
                                         struct kwaai_op_t **out_op,
                                         struct kwaai_error_t **error);

// Serves models by OpenAI's HTTP API, on port 11435 of this machine alone unless the options say otherwise. Handles of
// models, embedders and knowledge bases (`knowledge`) are in `served`; a knowledge base is a model too, which answers from its
// documents, and has a page for people. `options_json` is a JSON object with any of `models`, an object of endpoints by their
// names, each with `base_url`, `model` and `api_key`; `embedders`, an object with the folders or hub ids of BERT models by
// their names; `host`, an IP address; `port`, of which 0 takes any that is free; `token`, which every request then carries as
// its bearer token, and without which only loopback is listened on; `max_requests` at the same time, 8;
// `max_body_bytes`, 4 MiB; and `max_upload_bytes` of a document, 64 MiB. `KWAAI_BUSY` when the port is taken.
//
// Ownership: the caller frees `*out_server` with `kwaai_http_server_free`; `*served` is read and stays the caller's.
// Threads: any. NULL: `options_json`, `served` and `error` may be NULL. Lifetime: the server runs until it is shut down or
// freed, and ends with the node.
enum kwaai_status_t kwaai_node_serve_http(const struct kwaai_node_t *node,
                                          const char *options_json,
                                          const struct kwaai_served_t *served,
                                          uint32_t timeout_ms,
                                          struct kwaai_http_server_t **out_server,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_node_serve_http` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_serve_http`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_serve_http_async(const struct kwaai_node_t *node,
                                                const char *options_json,
                                                const struct kwaai_served_t *served,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Shares exactly this, and no longer what was shared before. `contribution_json` is a JSON object with `blocks`, an
// array of objects with `model` and either `start_block` and `end_block`, or the `count` of blocks, or `memory_bytes` for as many as
// fit there, or nothing for as many as fit this machine; with `min_tier`; and with `grace_ms`, within which what was shared
// before may end, five seconds unless set. NULL ends sharing. Blocks whose place is not given go where the swarm has them least,
// and are moved when that helps it. `*out_json` is what is offered now.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `contribution_json` and
// `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_contribute(const struct kwaai_node_t *node,
                                          const char *contribution_json,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_node_contribute` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_contribute`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_contribute_async(const struct kwaai_node_t *node,
                                                const char *contribution_json,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Stops the node: what is under way may finish within `grace_ms`, five seconds where it is `KWAAI_UNSET`, then it is
// aborted. Returns when sockets and directory are free, at most about six seconds after that. Calling it again is
// fine. When the wait ends first, the shutdown goes on.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
// have been freed.
enum kwaai_status_t kwaai_node_shutdown(const struct kwaai_node_t *node,
                                        uint64_t grace_ms,
                                        uint32_t timeout_ms,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_node_shutdown` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_node_shutdown`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_node_shutdown_async(const struct kwaai_node_t *node,
                                              uint64_t grace_ms,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// The readable name that peers see. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_name(const struct kwaai_node_t *node,
                                    char **out_name,
                                    struct kwaai_error_t **error);

// The PeerId of the node. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_peer_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_peer_id(const struct kwaai_node_t *node,
                                       char **out_peer_id,
                                       struct kwaai_error_t **error);

// The DID that signs this node's credentials. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_did(const struct kwaai_node_t *node,
                                   char **out_did,
                                   struct kwaai_error_t **error);

// Messages as they arrive, each as JSON: `sender`, `text`, `received_at`. The stream ends with the node.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_messages(const struct kwaai_node_t *node,
                                        struct kwaai_stream_t **out_stream,
                                        struct kwaai_error_t **error);

// What happens on the network from now on, each as JSON with its `kind`. The stream ends with the node.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_events(const struct kwaai_node_t *node,
                                      struct kwaai_stream_t **out_stream,
                                      struct kwaai_error_t **error);

// The trust graph of the node. It ends with the node.
//
// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_trust(const struct kwaai_node_t *node,
                                     struct kwaai_trust_t **out_trust,
                                     struct kwaai_error_t **error);

// The shard engine of the node. It ends with the node.
//
// Ownership: the caller frees `*out_shards` with `kwaai_shards_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_shards(const struct kwaai_node_t *node,
                                      struct kwaai_shards_t **out_shards,
                                      struct kwaai_error_t **error);

// Vectors on other people's machines that these cannot read, and such vectors of others on this one. It ends with the node.
//
// Ownership: the caller frees `*out_vpk` with `kwaai_vpk_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_node_vpk(const struct kwaai_node_t *node,
                                   struct kwaai_vpk_t **out_vpk,
                                   struct kwaai_error_t **error);

// For tests: moves the clock that the node was started with forward. `KWAAI_UNSUPPORTED` for a node that goes by the
// machine's clock.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_node_advance_clock(const struct kwaai_node_t *node,
                                             uint64_t by_ms,
                                             struct kwaai_error_t **error);

// Frees a node. One that was not shut down is aborted.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_node_free(struct kwaai_node_t *node);

// Says whether an operation has ended, without waiting.
//
// Ownership: nothing changes hands. Threads: any. NULL: `op` and `out_done` are needed. Lifetime: the operation must not
// have been freed; if it was, `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_op_poll(const struct kwaai_op_t *op,
                                  bool *out_done);

// Waits until an operation has ended, however it ended. `KWAAI_TIMEOUT` when it is still under way; it goes on then.
//
// Ownership: nothing changes hands. Threads: any but those of the library; several may wait for one operation. NULL:
// `error` may be NULL. Lifetime: the operation must not have been freed; freeing it meanwhile ends the wait.
enum kwaai_status_t kwaai_op_wait(const struct kwaai_op_t *op,
                                  uint32_t timeout_ms,
                                  struct kwaai_error_t **error);

// Asks for a call when an operation has ended, for programs with a loop of their own. One that has ended already calls at
// once. An operation has one such function; `KWAAI_ALREADY_EXISTS` for a second one.
//
// Ownership: takes `done` in any case; its `drop` is called exactly once. Threads: any; `done.call` may be called on
// another one. NULL: `done.call` is needed; `error` may be NULL. Lifetime: `done.context` must live until `done.drop`.
enum kwaai_status_t kwaai_op_on_done(const struct kwaai_op_t *op,
                                     struct kwaai_done_t done,
                                     struct kwaai_error_t **error);

// Cancels an operation. It ends soon after, as a rule with `KWAAI_CANCELLED`; one that has ended stays as it is.
//
// Ownership: the handle stays to be freed. Threads: any, also while another waits for it. NULL:
// `KWAAI_INVALID_ARGUMENT`. Lifetime: the operation must not have been freed; if it was, `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_op_cancel(const struct kwaai_op_t *op);

// How an operation ended: `KWAAI_OK`, or the status of the call; `KWAAI_BUSY` while it is under way. Takes nothing and may
// be asked again.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the operation must not have been
// freed; if it was, `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_op_result(const struct kwaai_op_t *op,
                                    struct kwaai_error_t **error);

// Frees an operation. One that is under way is cancelled; whoever waits for it gets `KWAAI_OK` once it has ended.
//
// Ownership: takes the handle, and an answer that nobody took. Threads: any. NULL: fine, nothing happens. Lifetime:
// freeing twice answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_op_free(struct kwaai_op_t *op);

// Asks an issuer, a DID or a PeerId, to certify that this node pledges a text. `*out_request` is signed, to be given
// to the issuer. `name` is what people call the pledge; NULL takes KwaaiNet's.
//
// Ownership: the caller frees `*out_request` with `kwaai_string_free`. Threads: any. NULL: `name` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_request_pledge(const struct kwaai_trust_t *trust,
                                               const char *issuer,
                                               const char *text,
                                               const char *name,
                                               uint32_t timeout_ms,
                                               char **out_request,
                                               struct kwaai_error_t **error);

// Begins what `kwaai_trust_request_pledge` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_request_pledge`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_request_pledge_async(const struct kwaai_trust_t *trust,
                                                     const char *issuer,
                                                     const char *text,
                                                     const char *name,
                                                     struct kwaai_op_t **out_op,
                                                     struct kwaai_error_t **error);

// Issues the credential that a request asks for, when it asks for exactly this pledge. `valid_for_ms` is a second at
// least, and `KWAAI_UNSET` takes the type's own span. `*out_credential` is the signed document, to be given to who
// asked. It is not kept.
//
// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `name` and `error` may
// be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_issue_pledge(const struct kwaai_trust_t *trust,
                                             const char *request,
                                             const char *text,
                                             const char *name,
                                             uint64_t valid_for_ms,
                                             uint32_t timeout_ms,
                                             char **out_credential,
                                             struct kwaai_error_t **error);

// Begins what `kwaai_trust_issue_pledge` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_issue_pledge`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_issue_pledge_async(const struct kwaai_trust_t *trust,
                                                   const char *request,
                                                   const char *text,
                                                   const char *name,
                                                   uint64_t valid_for_ms,
                                                   struct kwaai_op_t **out_op,
                                                   struct kwaai_error_t **error);

// Takes the credential, the signed document, that an issuer made of this node's pledge, and carries it from now on.
// `*out_json` is a summary.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `name` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_accept_pledge(const struct kwaai_trust_t *trust,
                                              const char *credential,
                                              const char *text,
                                              const char *name,
                                              uint32_t timeout_ms,
                                              char **out_json,
                                              struct kwaai_error_t **error);

// Begins what `kwaai_trust_accept_pledge` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_accept_pledge`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_accept_pledge_async(const struct kwaai_trust_t *trust,
                                                    const char *credential,
                                                    const char *text,
                                                    const char *name,
                                                    struct kwaai_op_t **out_op,
                                                    struct kwaai_error_t **error);

// Takes back a pledge that this node carries. `*out_withdrawal` is signed, to be given to the issuer and to peers.
//
// Ownership: the caller frees `*out_withdrawal` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_withdraw_pledge(const struct kwaai_trust_t *trust,
                                                const char *credential_id,
                                                uint32_t timeout_ms,
                                                char **out_withdrawal,
                                                struct kwaai_error_t **error);

// Begins what `kwaai_trust_withdraw_pledge` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_withdraw_pledge`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_withdraw_pledge_async(const struct kwaai_trust_t *trust,
                                                      const char *credential_id,
                                                      struct kwaai_op_t **out_op,
                                                      struct kwaai_error_t **error);

// Takes note that somebody withdrew its pledge: the credential is forgotten and taken no more. `*out_id` is its
// identifier.
//
// Ownership: the caller frees `*out_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_trust_import_withdrawal(const struct kwaai_trust_t *trust,
                                                  const char *withdrawal,
                                                  uint32_t timeout_ms,
                                                  char **out_id,
                                                  struct kwaai_error_t **error);

// Begins what `kwaai_trust_import_withdrawal` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_import_withdrawal`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_import_withdrawal_async(const struct kwaai_trust_t *trust,
                                                        const char *withdrawal,
                                                        struct kwaai_op_t **out_op,
                                                        struct kwaai_error_t **error);

// The withdrawals that are known here, of this node and of others, as a JSON array in the order of their credentials. Each
// has the `pledger`, the `credential_id`, when it was `withdrawn`, and the signed `json`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_withdrawals(const struct kwaai_trust_t *trust,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_trust_withdrawals` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_withdrawals`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_withdrawals_async(const struct kwaai_trust_t *trust,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Reads the withdrawal of a pledge that this node issued, and says what the credential says: what to revoke, by its `id`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_pledge_to_revoke(const struct kwaai_trust_t *trust,
                                                 const char *withdrawal,
                                                 uint32_t timeout_ms,
                                                 char **out_json,
                                                 struct kwaai_error_t **error);

// Begins what `kwaai_trust_pledge_to_revoke` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_pledge_to_revoke`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_pledge_to_revoke_async(const struct kwaai_trust_t *trust,
                                                       const char *withdrawal,
                                                       struct kwaai_op_t **out_op,
                                                       struct kwaai_error_t **error);

// Makes an embedder of a function. `id` changes whenever the vectors would; a knowledge base refuses to be opened with
// another one. Who takes longer than `deadline_ms` for a call is given up; `KWAAI_UNSET` gives two minutes.
//
// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_embedder` with
// `kwaai_embedder_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
// nothing uses it any more.
enum kwaai_status_t kwaai_embedder_new(const char *id,
                                       uint32_t dimension,
                                       uint64_t deadline_ms,
                                       struct kwaai_embed_t code,
                                       struct kwaai_embedder_t **out_embedder,
                                       struct kwaai_error_t **error);

// Makes a language model of a function. The deadline counts from one piece to the next; `KWAAI_UNSET`
// gives two minutes.
//
// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_writer` with
// `kwaai_writer_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
// nothing uses it any more.
enum kwaai_status_t kwaai_writer_new(const char *name,
                                     uint64_t deadline_ms,
                                     struct kwaai_generate_t code,
                                     struct kwaai_writer_t **out_writer,
                                     struct kwaai_error_t **error);

// Makes a document reader of a function, for files with these extensions, written without the dot. A deadline of
// `KWAAI_UNSET` gives two minutes.
//
// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_reader` with
// `kwaai_reader_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
// nothing uses it any more.
enum kwaai_status_t kwaai_reader_new(const char *const *extensions,
                                     size_t count,
                                     uint64_t deadline_ms,
                                     struct kwaai_read_t code,
                                     struct kwaai_reader_t **out_reader,
                                     struct kwaai_error_t **error);

// Makes a signer of a function, for a DID whose key the program keeps. A deadline of `KWAAI_UNSET`
// gives two minutes.
//
// Ownership: takes `code` in any case; its `drop` is called exactly once. The caller frees `*out_signer` with
// `kwaai_signer_free`. Threads: any; `code.call` is called on threads of the library, several at once, and may block,
// but not wait for this library. NULL: `error` may be NULL. Lifetime: `code` is kept until the handle is freed and
// nothing uses it any more.
enum kwaai_status_t kwaai_signer_new(const char *did,
                                     uint64_t deadline_ms,
                                     struct kwaai_sign_t code,
                                     struct kwaai_signer_t **out_signer,
                                     struct kwaai_error_t **error);

// Frees an embedder. What was given it keeps it.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_embedder_free(struct kwaai_embedder_t *embedder);

// Frees a language model. What was given it keeps it.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_writer_free(struct kwaai_writer_t *writer);

// Frees a document reader. What was given it keeps it.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_reader_free(struct kwaai_reader_t *reader);

// Frees a signer. What was given it keeps it.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_signer_free(struct kwaai_signer_t *signer);

// Opens a knowledge base alone, without a node, in a directory that is made when it is missing. `options_json` is
// that of `kwaai_node_rag`.
//
// Ownership: the caller frees `*out_rag` with `kwaai_rag_free`; `*supplies` is read and stays the caller's. Threads:
// any. NULL: `options_json`, `supplies` and `error` may be NULL. Lifetime: the directory is locked until the handle
// is shut down or freed.
enum kwaai_status_t kwaai_rag_open(const char *dir,
                                   const char *options_json,
                                   const struct kwaai_supplies_t *supplies,
                                   uint32_t timeout_ms,
                                   struct kwaai_rag_t **out_rag,
                                   struct kwaai_error_t **error);

// Begins what `kwaai_rag_open` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_open`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_open_async(const char *dir,
                                         const char *options_json,
                                         const struct kwaai_supplies_t *supplies,
                                         struct kwaai_op_t **out_op,
                                         struct kwaai_error_t **error);

// Starts to read a file, or every file of a folder; `kwaai_rag_ingest_bytes` reads a document from memory under a
// `name`. The stream yields what becomes of each, each value with its `kind`. `options_json` is an object with `metadata`, an
// object of texts that are kept with each document in place of what was said before, and by which searches are narrowed down;
// without it what was said before stays.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the reading; documents that were
// read stay. Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_ingest(const struct kwaai_rag_t *rag,
                                     const char *source,
                                     const char *options_json,
                                     uint32_t timeout_ms,
                                     struct kwaai_stream_t **out_stream,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_rag_ingest` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_ingest`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_ingest_async(const struct kwaai_rag_t *rag,
                                           const char *source,
                                           const char *options_json,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Starts to read a document from memory; its name tells its format. `options_json` and the stream are those of
// `kwaai_rag_ingest`.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`; the bytes are copied. Threads: any. NULL:
// `options_json` and `error` may be NULL, and `bytes` when `length` is 0. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_ingest_bytes(const struct kwaai_rag_t *rag,
                                           const char *name,
                                           const uint8_t *bytes,
                                           size_t length,
                                           const char *options_json,
                                           uint32_t timeout_ms,
                                           struct kwaai_stream_t **out_stream,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_rag_ingest_bytes` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_ingest_bytes`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_ingest_bytes_async(const struct kwaai_rag_t *rag,
                                                 const char *name,
                                                 const uint8_t *bytes,
                                                 size_t length,
                                                 const char *options_json,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Starts to keep the documents of a folder as its files are: new ones are added, changed ones replaced, moved ones
// renamed. `options_json` is an object with any of `watch`, `interval_ms` (a minute unless set), `polling`, `extensions`
// (an array; every file that can be read unless set) and `delete`, without which a document stays when its file is gone.
// The stream yields what becomes of each, each value with its `kind`. With `watch` it goes on until it is freed.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; what was reported done
// stays. Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_sync(const struct kwaai_rag_t *rag,
                                   const char *folder,
                                   const char *options_json,
                                   uint32_t timeout_ms,
                                   struct kwaai_stream_t **out_stream,
                                   struct kwaai_error_t **error);

// Begins what `kwaai_rag_sync` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_sync`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_sync_async(const struct kwaai_rag_t *rag,
                                         const char *folder,
                                         const char *options_json,
                                         struct kwaai_op_t **out_op,
                                         struct kwaai_error_t **error);

// Starts to give the knowledge base another embedder: every passage is embedded again while the vectors of before answer; then
// one commit exchanges them. `embedder_json` is a text or an object, as `embedder` in the
// options of `kwaai_node_rag`; where it is NULL the embedder is that of `supplies`. The stream yields how it gets on,
// each value with its `kind`. What was embedded stays: the same call goes on where an earlier one was stopped. `KWAAI_BUSY`
// while another change goes on.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; `*supplies` is read and stays the
// caller's. Threads: any. NULL: `embedder_json`, `supplies` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_reembed(const struct kwaai_rag_t *rag,
                                      const char *embedder_json,
                                      const struct kwaai_supplies_t *supplies,
                                      uint32_t timeout_ms,
                                      struct kwaai_stream_t **out_stream,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_rag_reembed` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_reembed`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_reembed_async(const struct kwaai_rag_t *rag,
                                            const char *embedder_json,
                                            const struct kwaai_supplies_t *supplies,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Starts to bring the vectors of the knowledge base to a collection at other people's nodes, while those at home go on to
// answer; when its hosts have all of them it answers instead, and those at home are deleted and overwritten. Texts, words and
// answers stay. The stream yields how it gets on, each value with its `kind`. The same call goes on where an earlier one was
// stopped, and gives the collection to a knowledge base that was opened again, which searches by words alone until then. The way
// home is `kwaai_rag_reembed`. With `texts` the texts go as well, as payloads that are sealed before they leave, for whoever has the
// key of the collection; not under `plain`. `KWAAI_INVALID_ARGUMENT` for a collection of another dimension or that compares by dot product,
// `KWAAI_CONFLICT` for another collection than the one that has the vectors or one that holds something else, and what its hosts
// answer, such as `KWAAI_UNREACHABLE`, come from the stream; `KWAAI_BUSY` while another change goes on.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; `collection` stays the caller's, and
// may be freed once the call has returned. Threads: any. NULL: `error` may be NULL. Lifetime: neither handle must have been freed;
// the collection ends with its node.
enum kwaai_status_t kwaai_rag_outsource(const struct kwaai_rag_t *rag,
                                        const struct kwaai_collection_t *collection,
                                        bool texts,
                                        uint32_t timeout_ms,
                                        struct kwaai_stream_t **out_stream,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_rag_outsource` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_outsource`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_outsource_async(const struct kwaai_rag_t *rag,
                                              const struct kwaai_collection_t *collection,
                                              bool texts,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// The passages that fit a text best, as JSON. `options_json` is an object with any of `k`, `mode` ("lexical", "dense",
// "hybrid"), `links` (true: documents gain that the text, or a passage found, calls by their names), `documents` (an
// array of the ids to look in), `since_ms` and `before_ms` (only what was ingested from then on, or before, in
// milliseconds since 1970), `formats` (an array: only documents of these, such as "pdf"), `names` (an array of patterns such as
// "reports/*.pdf": only documents that are called so; ** stands for slashes too), `metadata` (an object of texts: only documents
// that were ingested with these), `diversity` (0 to 1: how much hits are to differ), `dense_weight` (0 to 1: how much
// meaning counts against words in a hybrid search), `neighbours` (so many passages before and after each hit are told in its
// `around`, 8 at most) and `timed` (true: `timings` says how long each stage took). With a language model also `wordings` (so
// many other wordings are looked for as well, 8 at most), `hypothesis` (0 to 1: how much a passage counts that the model makes
// up) and `rerank` (so many passages are put in order by the model, 100 at most). `KWAAI_NOT_FOUND` for a document that is not
// stored, `KWAAI_UNSUPPORTED` for what needs a language model where there is none.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error`
// may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_search(const struct kwaai_rag_t *rag,
                                     const char *text,
                                     const char *options_json,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_rag_search` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_search`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_search_async(const struct kwaai_rag_t *rag,
                                           const char *text,
                                           const char *options_json,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Starts to answer a question from the documents. `options_json` is an object with any of `k`, `mode`, `links` (true
// unless set), `documents`, `since_ms`, `before_ms`, `formats`, `names`, `metadata`, `wordings`, `hypothesis` and `rerank`, as for
// `kwaai_rag_search`, `neighbours` (so many passages before and after each are given to the language model), `min_support` (0 to 1, higher refuses more), `max_unsupported`
// (0 to 1: the share of questions without an answer in the documents that may get one all the same, in place of
// `min_support`), `max_tokens`, `max_context_tokens` (how much a language model is given to read) and `history` (an array
// of the turns before the question, the earliest first, each with `role` and `content`). The stream yields values with
// their `kind`, at the end one of the kind `done` with the answer and its citations. It ends with `KWAAI_CONFLICT` for
// `max_unsupported` before `kwaai_rag_calibrate`.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work. Threads: any. NULL:
// `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_ask(const struct kwaai_rag_t *rag,
                                  const char *question,
                                  const char *options_json,
                                  uint32_t timeout_ms,
                                  struct kwaai_stream_t **out_stream,
                                  struct kwaai_error_t **error);

// Begins what `kwaai_rag_ask` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_ask`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_ask_async(const struct kwaai_rag_t *rag,
                                        const char *question,
                                        const char *options_json,
                                        struct kwaai_op_t **out_op,
                                        struct kwaai_error_t **error);

// Learns from questions when to refuse, for asking with a tolerated share of unsupported answers. As JSON: the support
// of questions that are answered, `answerable`, and of others, `unanswerable`, both in ascending order; `from_passages`,
// whether the questions were made of the documents; and the `generation` of the knowledge base.
// `kwaai_library_calibration_at` reads it.
//
// `questions_json` is an array of objects with a `question` and the ids of the `documents` that answer it, none where
// nothing does; without questions some are made of sentences of the documents. `options_json` is an object with any of
// `k`, `mode`, `links` and `documents`, those that questions are asked with later. Each mode has a calibration of its own.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `questions_json`,
// `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_calibrate(const struct kwaai_rag_t *rag,
                                        const char *questions_json,
                                        const char *options_json,
                                        uint32_t timeout_ms,
                                        char **out_json,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_rag_calibrate` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_calibrate`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_calibrate_async(const struct kwaai_rag_t *rag,
                                              const char *questions_json,
                                              const char *options_json,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Asks questions whose answers are known, and scores what comes back, as JSON: `name`, `means` (for each score its `value` with the
// interval from `low` to `high` and the `count` of questions), `refusal_auroc`, `failed` and the `questions` with their `scores`.
// `kwaai_library_compare_evaluations` and `kwaai_library_evaluation_report` read it.
//
// `questions_json` is an array of objects with a `question` and any of `id`, `documents` (the ids or names of those that answer
// it), `expected_keywords`, `numeric_answer`, `expected_answer` and `unanswerable`. `options_json` is an object with any of `name`,
// `search` (an object, as for `kwaai_rag_search` without `k`), `ask` (an object, as for `kwaai_rag_ask`; without it only what is
// found is judged) and `judge` (`base_url`, `model` and `api_key` of a model that judges answers against the expected ones). The
// writer of `supplies` judges as well.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`; `*supplies` is read and stays the caller's. Threads: any.
// NULL: `options_json`, `supplies` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_evaluate(const struct kwaai_rag_t *rag,
                                       const char *questions_json,
                                       const char *options_json,
                                       const struct kwaai_supplies_t *supplies,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_rag_evaluate` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_evaluate`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_evaluate_async(const struct kwaai_rag_t *rag,
                                             const char *questions_json,
                                             const char *options_json,
                                             const struct kwaai_supplies_t *supplies,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// What became of the answers that are kept, as JSON: `answers` that are kept now, `hits` (questions that were answered from them),
// `similar` (those of them that were worded otherwise), `misses` and `outdated`. All 0 without `cache` in the options that it was
// opened with.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_cache_stats(const struct kwaai_rag_t *rag,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_rag_cache_stats` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_cache_stats`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_cache_stats_async(const struct kwaai_rag_t *rag,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Forgets the answers that are kept.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_rag_cache_clear(const struct kwaai_rag_t *rag,
                                          uint32_t timeout_ms,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_rag_cache_clear` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_cache_clear`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_cache_clear_async(const struct kwaai_rag_t *rag,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Every document as a JSON array, in the order of the names.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_documents(const struct kwaai_rag_t *rag,
                                        uint32_t timeout_ms,
                                        char **out_json,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_rag_documents` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_documents`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_documents_async(const struct kwaai_rag_t *rag,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// The text of a document, in which spans count bytes.
//
// Ownership: the caller frees `*out_text` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_document_text(const struct kwaai_rag_t *rag,
                                            const char *id,
                                            uint32_t timeout_ms,
                                            char **out_text,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_rag_document_text` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_document_text`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_document_text_async(const struct kwaai_rag_t *rag,
                                                  const char *id,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Removes a document and every trace of it.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_rag_delete_document(const struct kwaai_rag_t *rag,
                                              const char *id,
                                              uint32_t timeout_ms,
                                              struct kwaai_error_t **error);

// Begins what `kwaai_rag_delete_document` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_delete_document`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_delete_document_async(const struct kwaai_rag_t *rag,
                                                    const char *id,
                                                    struct kwaai_op_t **out_op,
                                                    struct kwaai_error_t **error);

// What the knowledge base holds and how it searches, as JSON.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_rag_stats(const struct kwaai_rag_t *rag,
                                    uint32_t timeout_ms,
                                    char **out_json,
                                    struct kwaai_error_t **error);

// Begins what `kwaai_rag_stats` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_stats`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_stats_async(const struct kwaai_rag_t *rag,
                                          struct kwaai_op_t **out_op,
                                          struct kwaai_error_t **error);

// Serves the knowledge base by HTTP: a page for people, a model for programs that speak OpenAI's API, and what else it does. On
// port 9090 of this machine alone unless `options_json` says otherwise, a JSON object with any of `name`, `kwaainet-knowledge`
// unless set, and `host`, `port`, `token`, `max_requests`, `max_body_bytes` and `max_upload_bytes`, which are as for
// `kwaai_node_serve_http`. `KWAAI_BUSY` when the port is taken.
//
// Ownership: the caller frees `*out_server` with `kwaai_http_server_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the server runs until it is shut down or freed, and ends when the knowledge base is shut down.
enum kwaai_status_t kwaai_rag_serve(const struct kwaai_rag_t *rag,
                                    const char *options_json,
                                    uint32_t timeout_ms,
                                    struct kwaai_http_server_t **out_server,
                                    struct kwaai_error_t **error);

// Begins what `kwaai_rag_serve` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_serve`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_serve_async(const struct kwaai_rag_t *rag,
                                          const char *options_json,
                                          struct kwaai_op_t **out_op,
                                          struct kwaai_error_t **error);

// Stops what is under way and unlocks the directory. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
// have been freed.
enum kwaai_status_t kwaai_rag_shutdown(const struct kwaai_rag_t *rag,
                                       uint32_t timeout_ms,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_rag_shutdown` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_shutdown`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_shutdown_async(const struct kwaai_rag_t *rag,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Shuts down and deletes everything that was stored.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not
// have been freed.
enum kwaai_status_t kwaai_rag_destroy(const struct kwaai_rag_t *rag,
                                      uint32_t timeout_ms,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_rag_destroy` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_rag_destroy`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_rag_destroy_async(const struct kwaai_rag_t *rag,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Frees a knowledge base. One that was not shut down stops what is under way.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_rag_free(struct kwaai_rag_t *rag);

// Opens an engine without a network: models run whole, here.
//
// Ownership: the caller frees `*out_shards` with `kwaai_shards_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the engine lives until it is shut down or freed.
enum kwaai_status_t kwaai_shards_open(uint32_t timeout_ms,
                                      struct kwaai_shards_t **out_shards,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_shards_open` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_open`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_open_async(struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Loads a model from its directory, its GGUF file, or by its id from a hub ("owner/name", with "@revision" or ":Q4_K_M"
// behind), where no path of that name exists. `blocks_json` is "all", "none" (peers compute them) or an array of the first
// block and the one past the last; NULL loads all of them.
//
// Ownership: the caller frees `*out_model` with `kwaai_model_free`. Threads: any. NULL: `blocks_json` and `error`
// may be NULL. Lifetime: the model lives until it is shut down or freed, also after the engine.
enum kwaai_status_t kwaai_shards_load(const struct kwaai_shards_t *shards,
                                      const char *model,
                                      const char *blocks_json,
                                      uint32_t timeout_ms,
                                      struct kwaai_model_t **out_model,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_shards_load` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_load`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_load_async(const struct kwaai_shards_t *shards,
                                            const char *model,
                                            const char *blocks_json,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Starts to fetch from its hub what `kwaai_shards_load` needs for these blocks and is not here. The hub is asked what the model is
// now; one that is a path is there already. `blocks_json` is that of `kwaai_shards_load`. The stream yields one value of the kind
// `found`, with how many `files` and, where the hub says it, `bytes` there are, unless nothing is missing; then of the kind `progress`, with the
// `bytes` that came and their `total` or null; at the end one of the kind `finished`, with the `path`.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the work; what came stays. Threads: any.
// NULL: `blocks_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_download(const struct kwaai_shards_t *shards,
                                          const char *model,
                                          const char *blocks_json,
                                          uint32_t timeout_ms,
                                          struct kwaai_stream_t **out_stream,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_shards_download` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_download`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_download_async(const struct kwaai_shards_t *shards,
                                                const char *model,
                                                const char *blocks_json,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// The models of a hub that are on this machine, as a JSON array of objects with `id`, `revision`, which is a commit, `bytes`,
// `whole`, which is false where only some blocks are here, and `path`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_downloaded(const struct kwaai_shards_t *shards,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_shards_downloaded` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_downloaded`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_downloaded_async(const struct kwaai_shards_t *shards,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Takes a model of a hub from this machine, or a revision of it with what no other one has. `*out_bytes` is how many bytes that
// freed. What is loaded stays loaded. `KWAAI_BUSY` while it is being fetched.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_shards_remove_download(const struct kwaai_shards_t *shards,
                                                 const char *model,
                                                 uint32_t timeout_ms,
                                                 size_t *out_bytes,
                                                 struct kwaai_error_t **error);

// Begins what `kwaai_shards_remove_download` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_remove_download`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_remove_download_async(const struct kwaai_shards_t *shards,
                                                       const char *model,
                                                       struct kwaai_op_t **out_op,
                                                       struct kwaai_error_t **error);

// Loads a run of blocks, up to and without `end_block`, and serves them to peers that are trusted enough.
// `*out_json` has the `model`'s id, `start_block` and `end_block`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_serve(const struct kwaai_shards_t *shards,
                                       const char *model,
                                       uint32_t start_block,
                                       uint32_t end_block,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_shards_serve` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_serve`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_serve_async(const struct kwaai_shards_t *shards,
                                             const char *model,
                                             uint32_t start_block,
                                             uint32_t end_block,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Stops serving the blocks of a model; what runs on them ends.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_shards_stop_serving(const struct kwaai_shards_t *shards,
                                              const char *model_id,
                                              uint32_t timeout_ms,
                                              struct kwaai_error_t **error);

// Begins what `kwaai_shards_stop_serving` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_stop_serving`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_stop_serving_async(const struct kwaai_shards_t *shards,
                                                    const char *model_id,
                                                    struct kwaai_op_t **out_op,
                                                    struct kwaai_error_t **error);

// What this node serves, as a JSON array.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_served(const struct kwaai_shards_t *shards,
                                        uint32_t timeout_ms,
                                        char **out_json,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_shards_served` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_served`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_served_async(const struct kwaai_shards_t *shards,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Which blocks of a model are up, from whom, and whom this node would not use, as JSON: `blocks`, `counts`, `hosts`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_coverage(const struct kwaai_shards_t *shards,
                                          const struct kwaai_model_t *model,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_shards_coverage` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_coverage`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_coverage_async(const struct kwaai_shards_t *shards,
                                                const struct kwaai_model_t *model,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// How many blocks of a model this machine can serve and how fast, measured on the first of them. `*out_json` has the `model`'s id
// and its `blocks`; the `backend`, the `processor` or null, and the `cores`; `memory_bytes` that blocks may take, and `reserve_bytes`
// left out of it; `weight_bytes` of a block and `cache_bytes` that sessions keep for one; `fitting`, how many of these fit, and
// `recommended`, no more than the model has; `block_ms` for a token and `block_prefill_tokens_per_second` of one block;
// `decode_tokens_per_second` and `prefill_tokens_per_second` that the recommended ones are expected to reach.
//
// `model` is that of `kwaai_shards_load`. `options_json` is an object with any of `memory_bytes`, what is free without a quarter
// and at most 1 GiB unless set; `sessions`, for how many there is to be room, 4 unless set; `tokens` of each, 4096 or the model's
// context unless set. `KWAAI_RESOURCE_EXHAUSTED` with `needed_bytes` when not even one block fits.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_calibrate(const struct kwaai_shards_t *shards,
                                           const char *model,
                                           const char *options_json,
                                           uint32_t timeout_ms,
                                           char **out_json,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_shards_calibrate` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_calibrate`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_calibrate_async(const struct kwaai_shards_t *shards,
                                                 const char *model,
                                                 const char *options_json,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// How fast a model answers, on the path that an answer would take now. `*out_json` has `prefill_tokens_per_second`,
// `decode_tokens_per_second`, `first_token_ms`, `throughput_tokens_per_second` of all `sessions` together, and the `path`.
//
// `options_json` is an object with any of `prompt_tokens`, 128 unless set; `warm_up`, tokens of the answer that do not count, 5
// unless set; `steps`, those that do, 20 unless set; `sessions`, answers at the same time, 1 unless set and 64 at most; `seed` of the
// prompt, 1 unless set; `route`, as for `kwaai_shards_logits`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the handles must not have been freed.
enum kwaai_status_t kwaai_shards_benchmark(const struct kwaai_shards_t *shards,
                                           const struct kwaai_model_t *model,
                                           const char *options_json,
                                           uint32_t timeout_ms,
                                           char **out_json,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_shards_benchmark` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_benchmark`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_benchmark_async(const struct kwaai_shards_t *shards,
                                                 const struct kwaai_model_t *model,
                                                 const char *options_json,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Starts to continue a conversation. `messages_json` is a JSON array of objects with `role` ("system", "user",
// "assistant") and `content`, or a JSON string, which is one turn of the user. `options_json` is an object with any
// of `max_tokens`, `temperature`, `top_p`, `top_k`, `seed`, `stop` and `route` ("local" or "peers"). The stream
// yields values of the kind `token`, with `text`, and at the end one of the kind `done`, with `finish_reason`,
// `usage` and `path`.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which stops the generation. Threads: any.
// NULL: `options_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_chat(const struct kwaai_shards_t *shards,
                                      const struct kwaai_model_t *model,
                                      const char *messages_json,
                                      const char *options_json,
                                      uint32_t timeout_ms,
                                      struct kwaai_stream_t **out_stream,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_shards_chat` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_chat`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_chat_async(const struct kwaai_shards_t *shards,
                                            const struct kwaai_model_t *model,
                                            const char *messages_json,
                                            const char *options_json,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// The logits of every token of a text: `*out_rows` is `count`, `*out_columns` the size of the vocabulary, and the
// rows follow each other in `*out_values`. `route` is "local" or "peers"; without one the model runs here when all
// its blocks are here.
//
// Ownership: the caller frees `*out_values` with `kwaai_floats_free`. Threads: any. NULL: `route` and `error` may be
// NULL, and `tokens` when `count` is 0. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_logits(const struct kwaai_shards_t *shards,
                                        const struct kwaai_model_t *model,
                                        const uint32_t *tokens,
                                        size_t count,
                                        const char *route,
                                        uint32_t timeout_ms,
                                        float **out_values,
                                        size_t *out_rows,
                                        size_t *out_columns,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_shards_logits` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_logits`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_logits_async(const struct kwaai_shards_t *shards,
                                              const struct kwaai_model_t *model,
                                              const uint32_t *tokens,
                                              size_t count,
                                              const char *route,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// A vector of length one for each text, one after the other in `*out_values`: `*out_rows` is `count`, `*out_columns`
// the dimension. `model` is the folder or the hub id of an embedding model; NULL takes all-MiniLM-L6-v2 as it was
// fetched. The last one stays loaded. `query` says that the texts are questions, before which some models want something
// else than before what is to be found.
//
// Ownership: the caller frees `*out_values` with `kwaai_floats_free`. Threads: any. NULL: `model` and `error` may be
// NULL, and `texts` when `count` is 0. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_shards_embed(const struct kwaai_shards_t *shards,
                                       const char *const *texts,
                                       size_t count,
                                       const char *model,
                                       bool query,
                                       uint32_t timeout_ms,
                                       float **out_values,
                                       size_t *out_rows,
                                       size_t *out_columns,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_shards_embed` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_shards_embed`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_shards_embed_async(const struct kwaai_shards_t *shards,
                                             const char *const *texts,
                                             size_t count,
                                             const char *model,
                                             bool query,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// The model as a writer of answers for a knowledge base. `route` is that of `kwaai_shards_logits`.
//
// Ownership: the caller frees `*out_writer` with `kwaai_writer_free`. Threads: any. NULL: `route` and `error` may be
// NULL. Lifetime: the writer keeps the model, also when that is freed.
enum kwaai_status_t kwaai_shards_writer(const struct kwaai_shards_t *shards,
                                        const struct kwaai_model_t *model,
                                        const char *route,
                                        struct kwaai_writer_t **out_writer,
                                        struct kwaai_error_t **error);

// Lets go of the engine. That of a node stays open with the node. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
// been freed.
enum kwaai_status_t kwaai_shards_shutdown(const struct kwaai_shards_t *shards,
                                          struct kwaai_error_t **error);

// Frees a shard engine. That of a node stays open with the node.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_shards_free(struct kwaai_shards_t *shards);

// The status that the failed call returned.
//
// Ownership: nothing changes hands. Threads: any. NULL: `KWAAI_INVALID_ARGUMENT`. Lifetime: the error must not have
// been freed; if it was, `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_error_status(const struct kwaai_error_t *error);

// Whether the same call may succeed later without the caller changing anything.
//
// Ownership: nothing changes hands. Threads: any. NULL: false. Lifetime: false for an error that was freed.
bool kwaai_error_retryable(const struct kwaai_error_t *error);

// The fixed name of the code, for example "not_found".
//
// Ownership: the error keeps the text; do not free it. Threads: any. NULL: returns NULL. Lifetime: valid until the
// error is freed; NULL when it was.
const char *kwaai_error_code(const struct kwaai_error_t *error);

// What happened, for people, with the remedy where there is one. The wording is not part of the interface.
//
// Ownership: the error keeps the text; do not free it. Threads: any. NULL: returns NULL. Lifetime: valid until the
// error is freed; NULL when it was.
const char *kwaai_error_message(const struct kwaai_error_t *error);

// The whole error as a JSON object: code, number, message, context, retryable, cause.
//
// Ownership: the error keeps the text; do not free it. Threads: any. NULL: returns NULL. Lifetime: valid until the
// error is freed; NULL when it was.
const char *kwaai_error_json(const struct kwaai_error_t *error);

// Frees an error.
//
// Ownership: takes the error. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_error_free(struct kwaai_error_t *error);

// The fixed name of a status, for example "timeout"; "ok" for `KWAAI_OK`.
//
// Ownership: the text is static; do not free it. Threads: any. NULL: not applicable. Lifetime: for ever. A number that
// is no status gives "unknown".
const char *kwaai_status_name(uint32_t status);

// Waits for the next item. A call that ends with `KWAAI_TIMEOUT` took nothing from the stream.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`; it is NULL at the end. Threads: any; readers on
// several threads share the items. NULL: `stream`, `out_item` and `out_json` are needed; `error` may be NULL.
// Lifetime: the stream must not have been freed; freeing it meanwhile ends the wait.
enum kwaai_status_t kwaai_stream_next(const struct kwaai_stream_t *stream,
                                      uint32_t timeout_ms,
                                      enum kwaai_item_t *out_item,
                                      char **out_json,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_stream_next` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_stream_next`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_stream_next_async(const struct kwaai_stream_t *stream,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Stops the work behind a stream. What it yielded before can still be read; then it ends.
//
// Ownership: nothing changes hands. Threads: any, also while another waits in `kwaai_stream_next`. NULL:
// `KWAAI_INVALID_ARGUMENT`. Lifetime: the stream must not have been freed; if it was, `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_stream_cancel(const struct kwaai_stream_t *stream);

// Stops the work behind a stream and frees it.
//
// Ownership: takes the stream. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_stream_free(struct kwaai_stream_t *stream);

// Takes the text or the JSON that an operation answered. A failed operation answers its own status, one under way
// `KWAAI_BUSY`, one that answers something else `KWAAI_INVALID_ARGUMENT`, and one that was taken before `KWAAI_CLOSED`.
//
// Ownership: the caller frees `*out_text` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// text outlives the operation.
enum kwaai_status_t kwaai_op_take_text(const struct kwaai_op_t *op,
                                       char **out_text,
                                       struct kwaai_error_t **error);

// Takes the item that `kwaai_stream_next_async` waited for; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`; it is NULL at the end. Threads: any. NULL: `error` may
// be NULL. Lifetime: the item outlives the operation. A value that nobody takes is lost.
enum kwaai_status_t kwaai_op_take_item(const struct kwaai_op_t *op,
                                       enum kwaai_item_t *out_item,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Takes the numbers that an operation answered, row by row; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_values`, which has `*out_rows` times `*out_columns` numbers, with `kwaai_floats_free`.
// Threads: any. NULL: `error` may be NULL. Lifetime: the numbers outlive the operation.
enum kwaai_status_t kwaai_op_take_floats(const struct kwaai_op_t *op,
                                         float **out_values,
                                         size_t *out_rows,
                                         size_t *out_columns,
                                         struct kwaai_error_t **error);

// Takes the node that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_node` with `kwaai_node_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_node(const struct kwaai_op_t *op,
                                       struct kwaai_node_t **out_node,
                                       struct kwaai_error_t **error);

// Takes the trust graph that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_trust(const struct kwaai_op_t *op,
                                        struct kwaai_trust_t **out_trust,
                                        struct kwaai_error_t **error);

// Takes the shard engine that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_shards` with `kwaai_shards_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_shards(const struct kwaai_op_t *op,
                                         struct kwaai_shards_t **out_shards,
                                         struct kwaai_error_t **error);

// Takes the model that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_model` with `kwaai_model_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_model(const struct kwaai_op_t *op,
                                        struct kwaai_model_t **out_model,
                                        struct kwaai_error_t **error);

// Takes the knowledge base that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_rag` with `kwaai_rag_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_rag(const struct kwaai_op_t *op,
                                      struct kwaai_rag_t **out_rag,
                                      struct kwaai_error_t **error);

// Takes the collection that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_collection(const struct kwaai_op_t *op,
                                             struct kwaai_collection_t **out_collection,
                                             struct kwaai_error_t **error);

// Takes the page of a host that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_console` with `kwaai_console_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_console(const struct kwaai_op_t *op,
                                          struct kwaai_console_t **out_console,
                                          struct kwaai_error_t **error);

// Takes the federation that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_federation` with `kwaai_federation_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle outlives the operation.
enum kwaai_status_t kwaai_op_take_federation(const struct kwaai_op_t *op,
                                             struct kwaai_federation_t **out_federation,
                                             struct kwaai_error_t **error);

// Takes the shared knowledge base that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_shared` with `kwaai_shared_knowledge_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle outlives the operation.
enum kwaai_status_t kwaai_op_take_shared_knowledge(const struct kwaai_op_t *op,
                                                   struct kwaai_shared_knowledge_t **out_shared,
                                                   struct kwaai_error_t **error);

// Takes the HTTP server that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_server` with `kwaai_http_server_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle outlives the operation.
enum kwaai_status_t kwaai_op_take_http_server(const struct kwaai_op_t *op,
                                              struct kwaai_http_server_t **out_server,
                                              struct kwaai_error_t **error);

// Takes the number that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
enum kwaai_status_t kwaai_op_take_count(const struct kwaai_op_t *op,
                                        size_t *out_count,
                                        struct kwaai_error_t **error);

// Takes the stream that an operation answered; the statuses are those of `kwaai_op_take_text`.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle outlives the operation.
enum kwaai_status_t kwaai_op_take_stream(const struct kwaai_op_t *op,
                                         struct kwaai_stream_t **out_stream,
                                         struct kwaai_error_t **error);

// Opens a trust graph alone, without a network: in a directory, or in memory when `dir` is NULL. It signs with the
// key of its directory, with a new one in memory, or through `signer`. `options_json` is for tests, an object with
// any of `seed` and `clock`.
//
// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`; `signer` stays the caller's and may be freed at
// once. Threads: any. NULL: `dir`, `options_json`, `signer` and `error` may be NULL. Lifetime: the directory is
// locked until the handle is freed or shut down.
enum kwaai_status_t kwaai_trust_open(const char *dir,
                                     const char *options_json,
                                     const struct kwaai_signer_t *signer,
                                     uint32_t timeout_ms,
                                     struct kwaai_trust_t **out_trust,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_trust_open` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_open`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_open_async(const char *dir,
                                           const char *options_json,
                                           const struct kwaai_signer_t *signer,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Issues a credential of a type, for example "VerifiedNodeVC", about a subject, a DID or a PeerId. `claims_json` is
// a JSON object, or NULL for none. `valid_for_ms` is a second at least, and `KWAAI_UNSET` takes the type's own span.
// Only a `revocable` one can be withdrawn later. `*out_credential` is the signed document, to be given to others. It is
// not kept.
//
// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `claims_json` and
// `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_issue(const struct kwaai_trust_t *trust,
                                      const char *type,
                                      const char *subject,
                                      const char *claims_json,
                                      uint64_t valid_for_ms,
                                      bool revocable,
                                      uint32_t timeout_ms,
                                      char **out_credential,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_trust_issue` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_issue`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_issue_async(const struct kwaai_trust_t *trust,
                                            const char *type,
                                            const char *subject,
                                            const char *claims_json,
                                            uint64_t valid_for_ms,
                                            bool revocable,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Checks the form and the proof of a credential, the signed document, and says what it says. It is not kept.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_verify(const struct kwaai_trust_t *trust,
                                       const char *credential,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_verify` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_verify`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_verify_async(const struct kwaai_trust_t *trust,
                                             const char *credential,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Reads a credential in the form of KwaaiNet's own software, and says what it says: `type`, `types`, `issuer`, `subject`,
// `issued`, `expires` and `claims`. The `signer` is the issuer when its key signed that, with its claims in some order;
// otherwise it is null, and `why` says why nobody can tell. It is not kept, and counts nowhere; its issuer can say the same
// again with `kwaai_trust_issue`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_read_legacy(const struct kwaai_trust_t *trust,
                                            const char *credential,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_trust_read_legacy` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_read_legacy`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_read_legacy_async(const struct kwaai_trust_t *trust,
                                                  const char *credential,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Checks a credential like `kwaai_trust_verify`, and says what it says as one of the Decentralized Trust Graph, as a JSON
// object: its `shape`, the `nearest_types` of KwaaiNet, `issuer` and `subject`, and what the shapes add, `endorsement`,
// `digest` and `witnessed`. The text is null when it is none. It is not kept.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_read_dtg(const struct kwaai_trust_t *trust,
                                         const char *credential,
                                         uint32_t timeout_ms,
                                         char **out_json,
                                         struct kwaai_error_t **error);

// Begins what `kwaai_trust_read_dtg` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_read_dtg`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_read_dtg_async(const struct kwaai_trust_t *trust,
                                               const char *credential,
                                               struct kwaai_op_t **out_op,
                                               struct kwaai_error_t **error);

// Verifies a credential, the signed document, then keeps it. `*out_json` is a summary.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_import_credential(const struct kwaai_trust_t *trust,
                                                  const char *credential,
                                                  uint32_t timeout_ms,
                                                  char **out_json,
                                                  struct kwaai_error_t **error);

// Begins what `kwaai_trust_import_credential` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_import_credential`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_import_credential_async(const struct kwaai_trust_t *trust,
                                                        const char *credential,
                                                        struct kwaai_op_t **out_op,
                                                        struct kwaai_error_t **error);

// The credentials that are kept and fit the filter, as a JSON array of summaries. The filter is a JSON object with
// any of `subject`, `issuer` and `type`; NULL wants all.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `filter_json` and `error`
// may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_credentials(const struct kwaai_trust_t *trust,
                                            const char *filter_json,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_trust_credentials` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_credentials`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_credentials_async(const struct kwaai_trust_t *trust,
                                                  const char *filter_json,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// One kept credential with its claims, and with the signed document as `json`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_credential(const struct kwaai_trust_t *trust,
                                           const char *id,
                                           uint32_t timeout_ms,
                                           char **out_json,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_trust_credential` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_credential`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_credential_async(const struct kwaai_trust_t *trust,
                                                 const char *id,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Forgets a credential.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_remove_credential(const struct kwaai_trust_t *trust,
                                                  const char *id,
                                                  uint32_t timeout_ms,
                                                  struct kwaai_error_t **error);

// Begins what `kwaai_trust_remove_credential` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_remove_credential`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_remove_credential_async(const struct kwaai_trust_t *trust,
                                                        const char *id,
                                                        struct kwaai_op_t **out_op,
                                                        struct kwaai_error_t **error);

// The issuers that this node trusts, as a JSON array, each with its `did` and `types`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_issuers(const struct kwaai_trust_t *trust,
                                        uint32_t timeout_ms,
                                        char **out_json,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_trust_issuers` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_issuers`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_issuers_async(const struct kwaai_trust_t *trust,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Trusts an issuer for exactly these types from now on. `types_json` is a JSON array of type names.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_trust_issuer(const struct kwaai_trust_t *trust,
                                             const char *did,
                                             const char *types_json,
                                             uint32_t timeout_ms,
                                             struct kwaai_error_t **error);

// Begins what `kwaai_trust_trust_issuer` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_trust_issuer`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_trust_issuer_async(const struct kwaai_trust_t *trust,
                                                   const char *did,
                                                   const char *types_json,
                                                   struct kwaai_op_t **out_op,
                                                   struct kwaai_error_t **error);

// Trusts an issuer no longer.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_distrust_issuer(const struct kwaai_trust_t *trust,
                                                const char *did,
                                                uint32_t timeout_ms,
                                                struct kwaai_error_t **error);

// Begins what `kwaai_trust_distrust_issuer` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_distrust_issuer`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_distrust_issuer_async(const struct kwaai_trust_t *trust,
                                                      const char *did,
                                                      struct kwaai_op_t **out_op,
                                                      struct kwaai_error_t **error);

// How far this node trusts a peer, a DID or a PeerId: `*out_value` from 0 to 1, and as JSON `value`, `tier` and
// `reasons`, the arithmetic.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_score(const struct kwaai_trust_t *trust,
                                      const char *peer,
                                      uint32_t timeout_ms,
                                      double *out_value,
                                      char **out_json,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_trust_score` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_score`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_score_async(const struct kwaai_trust_t *trust,
                                            const char *peer,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// How far this node trusts several peers, from one view of what it knows: `peers_json` is a JSON array of DIDs or PeerIds, and
// `*out_json` an array of objects as `kwaai_trust_score` has them, in the same order.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_scores(const struct kwaai_trust_t *trust,
                                       const char *peers_json,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_scores` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_scores`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_scores_async(const struct kwaai_trust_t *trust,
                                             const char *peers_json,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// The minimum of each purpose, as a JSON object from purposes to names of tiers or scores from 0 to 1.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_policy(const struct kwaai_trust_t *trust,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_policy` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_policy`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_policy_async(const struct kwaai_trust_t *trust,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Replaces the minimum of each purpose, durably. `policy_json` is a JSON object from purposes to names of tiers or
// scores from 0 to 1; a purpose that is left out gets its default.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_set_policy(const struct kwaai_trust_t *trust,
                                           const char *policy_json,
                                           uint32_t timeout_ms,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_trust_set_policy` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_set_policy`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_set_policy_async(const struct kwaai_trust_t *trust,
                                                 const char *policy_json,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Checks that a peer reaches the minimum of a purpose: "message", "serve_blocks" or "use_blocks". Answers
// `KWAAI_UNTRUSTED_PEER` when it does not.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_require(const struct kwaai_trust_t *trust,
                                        const char *peer,
                                        const char *purpose,
                                        uint32_t timeout_ms,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_trust_require` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_require`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_require_async(const struct kwaai_trust_t *trust,
                                              const char *peer,
                                              const char *purpose,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Withdraws a credential that this node issued as a revocable one, for good. Doing it twice changes nothing.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_revoke(const struct kwaai_trust_t *trust,
                                       const char *credential_id,
                                       uint32_t timeout_ms,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_revoke` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_revoke`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_revoke_async(const struct kwaai_trust_t *trust,
                                             const char *credential_id,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Withdraws a revocable credential of this node until `kwaai_trust_reinstate`.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_suspend(const struct kwaai_trust_t *trust,
                                        const char *credential_id,
                                        uint32_t timeout_ms,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_trust_suspend` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_suspend`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_suspend_async(const struct kwaai_trust_t *trust,
                                              const char *credential_id,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Ends the suspension of a credential. `KWAAI_INVALID_ARGUMENT` when it was revoked, which is for good.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_reinstate(const struct kwaai_trust_t *trust,
                                          const char *credential_id,
                                          uint32_t timeout_ms,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_trust_reinstate` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_reinstate`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_reinstate_async(const struct kwaai_trust_t *trust,
                                                const char *credential_id,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Verifies a credential, the signed document, and says what is known about its withdrawal: `state` is
// "not_revocable", "clear" since `as_of`, "revoked", "suspended", or "unknown" with the reason as `why`. It is not
// kept.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_status(const struct kwaai_trust_t *trust,
                                       const char *credential,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_status` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_status`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_status_async(const struct kwaai_trust_t *trust,
                                             const char *credential,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// The names of the status lists of this node, as a JSON array: none before the first revocable credential.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_status_lists(const struct kwaai_trust_t *trust,
                                             uint32_t timeout_ms,
                                             char **out_json,
                                             struct kwaai_error_t **error);

// Begins what `kwaai_trust_status_lists` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_status_lists`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_status_lists_async(const struct kwaai_trust_t *trust,
                                                   struct kwaai_op_t **out_op,
                                                   struct kwaai_error_t **error);

// A signed status list to hand out: one of this node's own, or one that it keeps. `url` is a name as
// `kwaai_trust_status_lists` and `kwaai_trust_wanted_status_lists` give them, "urn:kwaai:status:..."; a list with a
// web address is fetched there.
//
// Ownership: the caller frees `*out_list` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_status_list(const struct kwaai_trust_t *trust,
                                            const char *url,
                                            uint32_t timeout_ms,
                                            char **out_list,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_trust_status_list` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_status_list`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_status_list_async(const struct kwaai_trust_t *trust,
                                                  const char *url,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Checks a signed status list and keeps it, wherever it came from, when a kept credential names it. As JSON:
// `issuer`, `url`, `purposes`, since when it holds as `as_of`, `fresh_until`, and the number of its `entries`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_keep_status_list(const struct kwaai_trust_t *trust,
                                                 const char *list,
                                                 uint32_t timeout_ms,
                                                 char **out_json,
                                                 struct kwaai_error_t **error);

// Begins what `kwaai_trust_keep_status_list` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_keep_status_list`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_keep_status_list_async(const struct kwaai_trust_t *trust,
                                                       const char *list,
                                                       struct kwaai_op_t **out_op,
                                                       struct kwaai_error_t **error);

// The status lists that this node wants, because its credentials name them and it has no fresh copy: a JSON array,
// each with its `issuer` and `url`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_wanted_status_lists(const struct kwaai_trust_t *trust,
                                                    uint32_t timeout_ms,
                                                    char **out_json,
                                                    struct kwaai_error_t **error);

// Begins what `kwaai_trust_wanted_status_lists` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_wanted_status_lists`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_wanted_status_lists_async(const struct kwaai_trust_t *trust,
                                                          struct kwaai_op_t **out_op,
                                                          struct kwaai_error_t **error);

// Every credential that is kept, as one text for `kwaai_trust_import_credentials`. It is not encrypted.
//
// Ownership: the caller frees `*out_bundle` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_export_credentials(const struct kwaai_trust_t *trust,
                                                   uint32_t timeout_ms,
                                                   char **out_bundle,
                                                   struct kwaai_error_t **error);

// Begins what `kwaai_trust_export_credentials` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_export_credentials`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_export_credentials_async(const struct kwaai_trust_t *trust,
                                                         struct kwaai_op_t **out_op,
                                                         struct kwaai_error_t **error);

// Verifies every credential of a bundle, then keeps those that hold, all in one step. As JSON: summaries of those
// that are `kept`, and those that were `refused`, each with its place in the bundle, the code of the error and a
// message.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_import_credentials(const struct kwaai_trust_t *trust,
                                                   const char *bundle,
                                                   uint32_t timeout_ms,
                                                   char **out_json,
                                                   struct kwaai_error_t **error);

// Begins what `kwaai_trust_import_credentials` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_import_credentials`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_import_credentials_async(const struct kwaai_trust_t *trust,
                                                         const char *bundle,
                                                         struct kwaai_op_t **out_op,
                                                         struct kwaai_error_t **error);

// Keeps the credentials encrypted under a passphrase from now on, or under another one than before. A forgotten one
// cannot be recovered.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_set_passphrase(const struct kwaai_trust_t *trust,
                                               const char *passphrase,
                                               uint32_t timeout_ms,
                                               struct kwaai_error_t **error);

// Begins what `kwaai_trust_set_passphrase` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_set_passphrase`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_set_passphrase_async(const struct kwaai_trust_t *trust,
                                                     const char *passphrase,
                                                     struct kwaai_op_t **out_op,
                                                     struct kwaai_error_t **error);

// Takes the passphrase away: the credentials lie in the clear again.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_remove_passphrase(const struct kwaai_trust_t *trust,
                                                  uint32_t timeout_ms,
                                                  struct kwaai_error_t **error);

// Begins what `kwaai_trust_remove_passphrase` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_remove_passphrase`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_remove_passphrase_async(const struct kwaai_trust_t *trust,
                                                        struct kwaai_op_t **out_op,
                                                        struct kwaai_error_t **error);

// Makes the credentials readable until `kwaai_trust_lock` or the end. `KWAAI_PERMISSION_DENIED` for a wrong
// passphrase.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_unlock(const struct kwaai_trust_t *trust,
                                       const char *passphrase,
                                       uint32_t timeout_ms,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_unlock` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_unlock`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_unlock_async(const struct kwaai_trust_t *trust,
                                             const char *passphrase,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Forgets the key of the passphrase: whatever needs the credentials, scores included, answers
// `KWAAI_PERMISSION_DENIED` from now on.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_lock(const struct kwaai_trust_t *trust,
                                     uint32_t timeout_ms,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_trust_lock` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_lock`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_lock_async(const struct kwaai_trust_t *trust,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// "plain" without a passphrase; with one "locked", or "unlocked" once it was given.
//
// Ownership: the caller frees `*out_state` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_wallet_state(const struct kwaai_trust_t *trust,
                                             uint32_t timeout_ms,
                                             char **out_state,
                                             struct kwaai_error_t **error);

// Begins what `kwaai_trust_wallet_state` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_wallet_state`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_wallet_state_async(const struct kwaai_trust_t *trust,
                                                   struct kwaai_op_t **out_op,
                                                   struct kwaai_error_t **error);

// How much an asker of each tier may learn of this node's scores, as a JSON object from tiers to "nothing",
// "threshold", "tier", "value" or "experience".
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_disclosures(const struct kwaai_trust_t *trust,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_trust_disclosures` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_disclosures`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_disclosures_async(const struct kwaai_trust_t *trust,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Replaces how much askers may learn, durably. `disclosures_json` is a JSON object from tiers to levels; who has a
// tier learns what it and those below it allow, and nothing where none is named.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_set_disclosures(const struct kwaai_trust_t *trust,
                                                const char *disclosures_json,
                                                uint32_t timeout_ms,
                                                struct kwaai_error_t **error);

// Begins what `kwaai_trust_set_disclosures` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_set_disclosures`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_set_disclosures_async(const struct kwaai_trust_t *trust,
                                                      const char *disclosures_json,
                                                      struct kwaai_op_t **out_op,
                                                      struct kwaai_error_t **error);

// What credentials about uptime and throughput must report to count, as JSON: `uptime_min_share` of the time and
// `uptime_min_days` observed; `throughput_tolerance`, how far the measured throughput may stay below the announced one,
// as a share of that; `require_claims`, whether a credential that reports nothing counts for nothing.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_thresholds(const struct kwaai_trust_t *trust,
                                           uint32_t timeout_ms,
                                           char **out_json,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_trust_thresholds` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_thresholds`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_thresholds_async(const struct kwaai_trust_t *trust,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// Replaces what credentials must report, durably. `thresholds_json` is a JSON object as `kwaai_trust_thresholds` has
// it; what is left out gets its default. Shares are from 0 to 1.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_set_thresholds(const struct kwaai_trust_t *trust,
                                               const char *thresholds_json,
                                               uint32_t timeout_ms,
                                               struct kwaai_error_t **error);

// Begins what `kwaai_trust_set_thresholds` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_set_thresholds`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_set_thresholds_async(const struct kwaai_trust_t *trust,
                                                     const char *thresholds_json,
                                                     struct kwaai_op_t **out_op,
                                                     struct kwaai_error_t **error);

// Notes how a dealing with a peer, a DID or a PeerId, ended just now: "good", "bad", or "transport_fault" when no whole
// answer came. `measured_json` is a JSON object with any of `latency_ms`, and `promised` and `delivered` throughput in
// one unit of the app's choice; from 0 to 10^9. It is written with others after 30 seconds, and when the graph ends.
//
// Ownership: nothing changes hands. Threads: any. NULL: `measured_json` and `error` may be NULL. Lifetime: the handle
// must not have been freed.
enum kwaai_status_t kwaai_trust_record(const struct kwaai_trust_t *trust,
                                       const char *peer,
                                       const char *outcome,
                                       const char *measured_json,
                                       uint32_t timeout_ms,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_trust_record` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_record`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_record_async(const struct kwaai_trust_t *trust,
                                             const char *peer,
                                             const char *outcome,
                                             const char *measured_json,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// What this node measured of a `peer`, as JSON; null when it never dealt with it. `good` and `bad` answers and
// `transport_faults` weigh half after 30 days. `success` is the share of good answers, one good and one bad one being
// supposed beforehand, and `success_lower_bound` its bound at about 90 %. `reliability` is the share of dealings that did
// not fail in transport, `uptime` the share of days on which it answered, `latency_ms` the mean, `throughput` what was
// delivered of what was promised; null where nothing was measured. `standing` falls below 1 after many bad answers
// among the newest. `last` is when the newest dealing ended.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_reputation(const struct kwaai_trust_t *trust,
                                           const char *peer,
                                           uint32_t timeout_ms,
                                           char **out_json,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_trust_reputation` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_reputation`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_reputation_async(const struct kwaai_trust_t *trust,
                                                 const char *peer,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// What this node measured of each peer that it dealt with, as a JSON array of objects as `kwaai_trust_reputation` has
// them, in the order of the peers' keys.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_reputations(const struct kwaai_trust_t *trust,
                                            uint32_t timeout_ms,
                                            char **out_json,
                                            struct kwaai_error_t **error);

// Begins what `kwaai_trust_reputations` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_reputations`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_reputations_async(const struct kwaai_trust_t *trust,
                                                  struct kwaai_op_t **out_op,
                                                  struct kwaai_error_t **error);

// Notes what one peer says about another, in place of what it said before: the weights, from 0 to 10^9, of the good and
// of the bad answers that it saw, and the instant `at` which it said so, RFC 3339, or NULL for now. Whose word it is was
// checked by the caller. It is written with others after 30 seconds, and when the graph ends.
//
// Ownership: nothing changes hands. Threads: any. NULL: `at` and `error` may be NULL. Lifetime: the handle must not have
// been freed.
enum kwaai_status_t kwaai_trust_add_recommendation(const struct kwaai_trust_t *trust,
                                                   const char *recommender,
                                                   const char *about,
                                                   double good,
                                                   double bad,
                                                   const char *at,
                                                   uint32_t timeout_ms,
                                                   struct kwaai_error_t **error);

// Begins what `kwaai_trust_add_recommendation` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_add_recommendation`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_add_recommendation_async(const struct kwaai_trust_t *trust,
                                                         const char *recommender,
                                                         const char *about,
                                                         double good,
                                                         double bad,
                                                         const char *at,
                                                         struct kwaai_op_t **out_op,
                                                         struct kwaai_error_t **error);

// Trust that spreads over everybody of whom this node knows (EigenTrust), from its own experience and from recommendations,
// as a JSON array of objects with `peer` and `value`, the greatest value first. The values sum to 1, and this node is among the
// peers. No score contains it.
//
// `options_json` is an object with any of `pretrusted`, an array of DIDs or PeerIds, this node unless set; `alpha`, how much of
// the trust goes to them at each step, from 0.01 to 1, 0.1 unless set.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_propagate(const struct kwaai_trust_t *trust,
                                          const char *options_json,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_trust_propagate` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_propagate`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_propagate_async(const struct kwaai_trust_t *trust,
                                                const char *options_json,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Writes now what was recorded of peers, and what they recommended, and was not written yet.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_flush(const struct kwaai_trust_t *trust,
                                      uint32_t timeout_ms,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_trust_flush` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_flush`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_flush_async(const struct kwaai_trust_t *trust,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Forgets what this node measured of a peer, durably. `KWAAI_NOT_FOUND` when it never dealt with it.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_reset_reputation(const struct kwaai_trust_t *trust,
                                                 const char *peer,
                                                 uint32_t timeout_ms,
                                                 struct kwaai_error_t **error);

// Begins what `kwaai_trust_reset_reputation` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_reset_reputation`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_reset_reputation_async(const struct kwaai_trust_t *trust,
                                                       const char *peer,
                                                       struct kwaai_op_t **out_op,
                                                       struct kwaai_error_t **error);

// The tests of a credential's claim that are kept, the last 64 of them, as a JSON array of objects as
// `kwaai_node_test_credential` has them, the oldest first.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_tests(const struct kwaai_trust_t *trust,
                                      const char *credential_id,
                                      uint32_t timeout_ms,
                                      char **out_json,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_trust_tests` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_tests`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_tests_async(const struct kwaai_trust_t *trust,
                                            const char *credential_id,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Notes whether a peer was up just now, durably: a sample of its sightings, for an app that looks by its own means.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_sight(const struct kwaai_trust_t *trust,
                                      const char *peer,
                                      bool up,
                                      uint32_t timeout_ms,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_trust_sight` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_sight`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_sight_async(const struct kwaai_trust_t *trust,
                                            const char *peer,
                                            bool up,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// How often this node found a peer up over the last 128 days, as a JSON object: `since` and `until` of the looks, how many
// `looks`, how many of them found it `up`, and the `up_share`. The text is null when it never looked.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_sightings(const struct kwaai_trust_t *trust,
                                          const char *peer,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_trust_sightings` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_sightings`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_sightings_async(const struct kwaai_trust_t *trust,
                                                const char *peer,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Issues an UptimeVC about a peer from what this node saw of it. `valid_for_ms` is a second at least, and `KWAAI_UNSET`
// takes the type's own span. `*out_credential` is the signed document. It is not kept. `KWAAI_NOT_FOUND` when this node did
// not look at the peer at two instants at least, or on fewer than half of the days between.
//
// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_issue_uptime(const struct kwaai_trust_t *trust,
                                             const char *peer,
                                             uint64_t valid_for_ms,
                                             uint32_t timeout_ms,
                                             char **out_credential,
                                             struct kwaai_error_t **error);

// Begins what `kwaai_trust_issue_uptime` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_issue_uptime`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_issue_uptime_async(const struct kwaai_trust_t *trust,
                                                   const char *peer,
                                                   uint64_t valid_for_ms,
                                                   struct kwaai_op_t **out_op,
                                                   struct kwaai_error_t **error);

// Issues this identity's side of a link with a subject, a DID or a PeerId. `link_type` says what this identity is:
// "person", "organisation", "passkey" or "node". `valid_for_ms` is a second at least, and `KWAAI_UNSET` takes the type's
// own span. `*out_credential` is the signed document, to be given to others. It is not kept.
//
// The link is proven where both sides are kept: the node's, which says "node", and that of its person or organisation.
//
// Ownership: the caller frees `*out_credential` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_issue_binding(const struct kwaai_trust_t *trust,
                                              const char *subject,
                                              const char *link_type,
                                              uint64_t valid_for_ms,
                                              uint32_t timeout_ms,
                                              char **out_credential,
                                              struct kwaai_error_t **error);

// Begins what `kwaai_trust_issue_binding` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_issue_binding`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_issue_binding_async(const struct kwaai_trust_t *trust,
                                                    const char *subject,
                                                    const char *link_type,
                                                    uint64_t valid_for_ms,
                                                    struct kwaai_op_t **out_op,
                                                    struct kwaai_error_t **error);

// The links of a node, or of a person or organisation, that both keys prove by kept credentials in force, as a JSON array,
// the oldest first. Each has the `node`, the `identity`, its `link_type` ("person", "organisation" or "passkey") and
// `since` when both sides hold.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_bindings(const struct kwaai_trust_t *trust,
                                         const char *did,
                                         uint32_t timeout_ms,
                                         char **out_json,
                                         struct kwaai_error_t **error);

// Begins what `kwaai_trust_bindings` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_bindings`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_bindings_async(const struct kwaai_trust_t *trust,
                                               const char *did,
                                               struct kwaai_op_t **out_op,
                                               struct kwaai_error_t **error);

// Shows the kept credentials that fit the filter and are in force, signed for one audience in answer to its challenge,
// texts of 1 to 1024 bytes. The filter is a JSON object with any of `subject`, `issuer` and `type`; without a subject
// they are those about this node. The presentation is the signed document, and holds for five minutes.
//
// Ownership: the caller frees `*out_presentation` with `kwaai_string_free`. Threads: any. NULL: `filter_json` and
// `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_present(const struct kwaai_trust_t *trust,
                                        const char *audience,
                                        const char *challenge,
                                        const char *filter_json,
                                        uint32_t timeout_ms,
                                        char **out_presentation,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_trust_present` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_present`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_present_async(const struct kwaai_trust_t *trust,
                                              const char *audience,
                                              const char *challenge,
                                              const char *filter_json,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Checks a presentation, the signed document, and every credential in it. As JSON: the `holder` who signed it, its own
// `credentials` and those `about_others`, whole, and `expires_at`. `KWAAI_PERMISSION_DENIED` when it was made for
// another audience or answers another challenge.
//
// Whether the challenge was given out, and was not answered before, is the caller's business.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_verify_presentation(const struct kwaai_trust_t *trust,
                                                    const char *presentation,
                                                    const char *audience,
                                                    const char *challenge,
                                                    uint32_t timeout_ms,
                                                    char **out_json,
                                                    struct kwaai_error_t **error);

// Begins what `kwaai_trust_verify_presentation` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_trust_verify_presentation`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_trust_verify_presentation_async(const struct kwaai_trust_t *trust,
                                                          const char *presentation,
                                                          const char *audience,
                                                          const char *challenge,
                                                          struct kwaai_op_t **out_op,
                                                          struct kwaai_error_t **error);

// The DID that signs what this trust graph issues. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_trust_did(const struct kwaai_trust_t *trust,
                                    char **out_did,
                                    struct kwaai_error_t **error);

// For tests: moves the clock that it was opened with, or that of its node, forward. `KWAAI_UNSUPPORTED` for one that
// goes by the machine's clock.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_advance_clock(const struct kwaai_trust_t *trust,
                                              uint64_t by_ms,
                                              struct kwaai_error_t **error);

// Lets go of the directory. The trust graph of a node stays open with the node. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have
// been freed.
enum kwaai_status_t kwaai_trust_shutdown(const struct kwaai_trust_t *trust,
                                         struct kwaai_error_t **error);

// Lets go of a trust graph. That of a node stays open with the node.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_trust_free(struct kwaai_trust_t *trust);

// Begins to keep collections for peers that the policy's `store_vectors` admits, and for this node, on `capacity_bytes` of
// the disk. Nothing is kept for anybody before; what was kept in an earlier run is there again. `options_json` is an
// object with any of `tenant_bytes`, a quarter of all unless set, `tenant_collections`, 64 unless set, both for one owner,
// `memory_bytes` for answering, as much as on the disk up to 1 GiB unless set, and `min_tier`.
//
// Ownership: nothing changes hands. Threads: any. NULL: `options_json` and `error` may be NULL. Lifetime: the handle
// must not have been freed.
enum kwaai_status_t kwaai_vpk_host(const struct kwaai_vpk_t *vpk,
                                   uint64_t capacity_bytes,
                                   const char *options_json,
                                   uint32_t timeout_ms,
                                   struct kwaai_error_t **error);

// Begins what `kwaai_vpk_host` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_host`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_host_async(const struct kwaai_vpk_t *vpk,
                                         uint64_t capacity_bytes,
                                         const char *options_json,
                                         struct kwaai_op_t **out_op,
                                         struct kwaai_error_t **error);

// Ends that. What is kept stays on the disk. A node that does not host is fine.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_vpk_stop_hosting(const struct kwaai_vpk_t *vpk,
                                           uint32_t timeout_ms,
                                           struct kwaai_error_t **error);

// Begins what `kwaai_vpk_stop_hosting` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_stop_hosting`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_stop_hosting_async(const struct kwaai_vpk_t *vpk,
                                                 struct kwaai_op_t **out_op,
                                                 struct kwaai_error_t **error);

// What this node keeps, as JSON: `capacity_bytes`, `tenant_bytes`, `tenant_collections`, `memory_bytes`, `min_tier`,
// `used_bytes` and `tenants`; null when it does not host.
//
// A tenant has the DID of its `owner`, the `bytes` that it is charged with, and the number of its `collections`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_hosted(const struct kwaai_vpk_t *vpk,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_vpk_hosted` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_hosted`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_hosted_async(const struct kwaai_vpk_t *vpk,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Forgets everything that is kept for one owner, a DID or a PeerId. `KWAAI_NOT_FOUND` when nothing is, and
// `KWAAI_UNSUPPORTED` when this node does not host.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_vpk_evict(const struct kwaai_vpk_t *vpk,
                                    const char *owner,
                                    uint32_t timeout_ms,
                                    struct kwaai_error_t **error);

// Begins what `kwaai_vpk_evict` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_evict`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_evict_async(const struct kwaai_vpk_t *vpk,
                                          const char *owner,
                                          struct kwaai_op_t **out_op,
                                          struct kwaai_error_t **error);

// The nodes that say in the DHT that they host, each as it answered just now, as a JSON array: `host`, its PeerId; `tier`;
// `free_bytes` for this node; `latency_ms`; the `operators` that are proven; the `networks` that it is reached in; and the code
// of a `refusal` with a `reason` in words, both null for one that can be used. Those come first, the fastest of them first.
// `options_json` is an object with any of `free_bytes`, 16 MiB unless set; `min_tier`, the policy's minimum of `store_vectors`
// unless set; `distinct_networks`.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `options_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_discover(const struct kwaai_vpk_t *vpk,
                                       const char *options_json,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Begins what `kwaai_vpk_discover` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_discover`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_discover_async(const struct kwaai_vpk_t *vpk,
                                             const char *options_json,
                                             struct kwaai_op_t **out_op,
                                             struct kwaai_error_t **error);

// Attacks what the hosts keep of a collection, as JSON: its `privacy`, how many `vectors` were looked at, each of its `hosts`,
// the same attacks against copies that must fall as `control`, whether they did as `meaningful`, and whether no attack on a host
// did better than three times luck as `hidden`.
//
// A host has its name as `host`, the `bytes` that were looked at, and `findings`. A finding, of a host or of `control`, has the
// `attack` ("known_pairs", "dictionary", "scale", "reuse" or "membership"), its `trials` and `hits`, and the `chance` of luck.
// An audit needs 128 sealed vectors, and takes minutes at the largest dimensions.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_audit(const struct kwaai_vpk_t *vpk,
                                    const char *name,
                                    uint32_t timeout_ms,
                                    char **out_json,
                                    struct kwaai_error_t **error);

// Begins what `kwaai_vpk_audit` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_audit`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_audit_async(const struct kwaai_vpk_t *vpk,
                                          const char *name,
                                          struct kwaai_op_t **out_op,
                                          struct kwaai_error_t **error);

// Measures searches on this machine, at the first host and at all of them. The stream yields how far it is: how many rows are
// `done`, `of` how many, what the step is `about` in words, and the `row`, null when its measurement begins.
//
// A row has the `privacy`, null for the exact search here; the numbers of `hosts` and `vectors`, and the `dimension`; the `recall`,
// which part of the ten nearest was found; `p50_ms` and `p99_ms` of the searches; `durable_ms`, until everything was on the disk here,
// and `searchable_ms`, until the hosts had everything and answered; `question_bytes` to each host and `reply_bytes` from each.
//
// `options_json` is an object with any of `sizes`, an array of numbers of vectors, [1000, 10000] unless set and 100,000 at most;
// `dimension`, 384 unless set; `privacies`, an array of "plain", "seal" and "split", all that are possible unless set; `hosts`, an
// array as for `kwaai_vpk_create`, of which "split" needs three, none unless set; `questions`, 100 unless set and 1,000 at most;
// `seed`, from which the vectors are made, 1 unless set. What it makes at the hosts is deleted again, also when the stream is
// cancelled. `KWAAI_BUSY` while another one runs.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`, which ends it. Threads: any. NULL: `options_json` and
// `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_benchmark(const struct kwaai_vpk_t *vpk,
                                        const char *options_json,
                                        uint32_t timeout_ms,
                                        struct kwaai_stream_t **out_stream,
                                        struct kwaai_error_t **error);

// Begins what `kwaai_vpk_benchmark` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_benchmark`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_benchmark_async(const struct kwaai_vpk_t *vpk,
                                              const char *options_json,
                                              struct kwaai_op_t **out_op,
                                              struct kwaai_error_t **error);

// Makes a collection of vectors at its hosts, under a new key. `privacy` is "plain", "seal" or "split", and `hosts_json` an
// array of PeerIds, DIDs or "here" for this node: 1 to 16 with a copy each under "plain" and "seal", twice `colluding` and one
// more, 16 at most, under "split". `options_json` is an object with any of `metric` ("cosine", unless set, or "dot") and
// `colluding`, how many hosts of "split" may work together and still learn nothing, 1 unless set.
//
// With an empty array independent hosts are found as by `kwaai_vpk_discover`: `replicas` of them, as many as are needed and one
// to spare unless set, as `free_bytes`, `min_tier` and `distinct_networks` ask. `KWAAI_NOT_FOUND` when there are too few.
//
// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `options_json` and `error`
// may be NULL. Lifetime: the collection ends with the node, and is there again in its next run.
enum kwaai_status_t kwaai_vpk_create(const struct kwaai_vpk_t *vpk,
                                     const char *name,
                                     uint32_t dimension,
                                     const char *privacy,
                                     const char *hosts_json,
                                     const char *options_json,
                                     uint32_t timeout_ms,
                                     struct kwaai_collection_t **out_collection,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_vpk_create` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_create`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_create_async(const struct kwaai_vpk_t *vpk,
                                           const char *name,
                                           uint32_t dimension,
                                           const char *privacy,
                                           const char *hosts_json,
                                           const char *options_json,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// Opens a collection that was made before. While it is open, the same name opens the same one.
//
// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the collection ends with the node.
enum kwaai_status_t kwaai_vpk_open(const struct kwaai_vpk_t *vpk,
                                   const char *name,
                                   uint32_t timeout_ms,
                                   struct kwaai_collection_t **out_collection,
                                   struct kwaai_error_t **error);

// Begins what `kwaai_vpk_open` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_open`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_open_async(const struct kwaai_vpk_t *vpk,
                                         const char *name,
                                         struct kwaai_op_t **out_op,
                                         struct kwaai_error_t **error);

// What this machine says of itself, so that `kwaai_collection_export_key_to` can encrypt a key to it. It is no secret.
//
// Ownership: the caller frees `*out_device` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_device(const struct kwaai_vpk_t *vpk,
                                     uint32_t timeout_ms,
                                     char **out_device,
                                     struct kwaai_error_t **error);

// Begins what `kwaai_vpk_device` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_device`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_device_async(const struct kwaai_vpk_t *vpk,
                                           struct kwaai_op_t **out_op,
                                           struct kwaai_error_t **error);

// The PeerIds of the nodes that say in the DHT that they have a record of a collection, as a JSON array. The collection is
// named by its id, as `kwaai_collection_id` answers it. What they have is worth nothing without the collection's key.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_resolve(const struct kwaai_vpk_t *vpk,
                                      const char *collection_id,
                                      uint32_t timeout_ms,
                                      char **out_json,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_vpk_resolve` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_resolve`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_resolve_async(const struct kwaai_vpk_t *vpk,
                                            const char *collection_id,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Makes a collection one of this node under a `name` of its own, which another machine has, or had: `exported` is the text
// that `kwaai_collection_export_key` or `kwaai_collection_export_key_to` answered there. What its hosts keep is found, read and checked, and
// sealed anew under a key that no other machine has. What waited there and was not sealed yet is not in it.
//
// `options_json` is an object with one of `passphrase`, and `exported_by`, the DID of the node that exported the key to
// this machine; and any of `hosts`, an array as for `kwaai_vpk_create` of who is to keep it, the hosts that it had unless set,
// and `partial`, whether it is recovered without payloads that no host has, false unless set.
//
// `KWAAI_PERMISSION_DENIED` for a wrong passphrase, a key for another machine or from another node; `KWAAI_NOT_FOUND` when
// nobody has a record, or the key was exported before a rotation; `KWAAI_CONFLICT` when the hosts hand out an older state.
//
// Ownership: the caller frees `*out_collection` with `kwaai_collection_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the collection ends with the node, and is there again in its next run.
enum kwaai_status_t kwaai_vpk_recover(const struct kwaai_vpk_t *vpk,
                                      const char *name,
                                      const char *exported,
                                      const char *options_json,
                                      uint32_t timeout_ms,
                                      struct kwaai_collection_t **out_collection,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_vpk_recover` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_recover`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_recover_async(const struct kwaai_vpk_t *vpk,
                                            const char *name,
                                            const char *exported,
                                            const char *options_json,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Serves a page on loopback for whoever is on this machine, until the handle is shut down or freed: who keeps how much
// here, by tier, and how much room is left; the same as JSON under `/api/host.json`. It can be read only. `options_json` is
// an object with or without `port`, 7432 unless set; 0 takes any that is free. `KWAAI_BUSY` when it is taken.
//
// Ownership: the caller frees `*out_console` with `kwaai_console_free`. Threads: any. NULL: `options_json` and `error` may
// be NULL. Lifetime: the page ends with the node.
enum kwaai_status_t kwaai_vpk_console(const struct kwaai_vpk_t *vpk,
                                      const char *options_json,
                                      uint32_t timeout_ms,
                                      struct kwaai_console_t **out_console,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_vpk_console` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_console`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_console_async(const struct kwaai_vpk_t *vpk,
                                            const char *options_json,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// The names of the collections of this node, as a JSON array.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_vpk_collections(const struct kwaai_vpk_t *vpk,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Begins what `kwaai_vpk_collections` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_collections`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_collections_async(const struct kwaai_vpk_t *vpk,
                                                struct kwaai_op_t **out_op,
                                                struct kwaai_error_t **error);

// Forgets a collection, here and at its hosts. Handles of it answer `KWAAI_CLOSED` from then on. When a host cannot be
// reached it stays a collection, and can be destroyed again.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_vpk_destroy(const struct kwaai_vpk_t *vpk,
                                      const char *name,
                                      uint32_t timeout_ms,
                                      struct kwaai_error_t **error);

// Begins what `kwaai_vpk_destroy` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_vpk_destroy`. Lifetime: handles among the arguments may be freed at once.
enum kwaai_status_t kwaai_vpk_destroy_async(const struct kwaai_vpk_t *vpk,
                                            const char *name,
                                            struct kwaai_op_t **out_op,
                                            struct kwaai_error_t **error);

// Frees it. What the node keeps, and its collections, stay with the node.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_vpk_free(struct kwaai_vpk_t *vpk);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KWAAINET_H */
