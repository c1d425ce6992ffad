// A KwaaiNet node inside your own program: the C interface.
//
// Generated from kwaai-ffi/src/c by `make header`; do not edit.
//
// Rules that hold for every function:
// - It returns a kwaai_status_t. Outputs come last, then an optional kwaai_error_t ** that says more; NULL if you do not
//   want it. When a call fails its outputs are NULL or zero, and nothing has to be freed but the error.
// - Texts are UTF-8 and end with NUL. A `char *` that a function hands out is freed with kwaai_string_free.
// - A handle is not an address. Using one that was freed, is of another kind, or was never one gives a status.
// - Calls that wait take `timeout_ms`; KWAAI_WAIT_FOREVER waits without a limit. Any thread may make them.
// - After a fork the child's handles of the parent answer KWAAI_CLOSED; new ones work.

#ifndef KWAAINET_H
#define KWAAINET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// As `timeout_ms`: wait without a limit.
#define KWAAI_WAIT_FOREVER UINT32_MAX

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

// What went wrong, in detail. Freed with `kwaai_error_free`.
typedef struct kwaai_error_t kwaai_error_t;

// A running node.
typedef struct kwaai_node_t kwaai_node_t;

// Values that come over time: messages, events, progress, tokens.
typedef struct kwaai_stream_t kwaai_stream_t;

// Credentials, trusted issuers, scores and minimum tiers.
typedef struct kwaai_trust_t kwaai_trust_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The version of the library, for example "0.1.0".
//
// Ownership: the text is static; do not free it. Threads: any. NULL: never returned. Lifetime: for ever.
const char *kwaai_version(void);

// The `KWAAI_ABI_VERSION` that the library was built with. A program compares it with the header's.
//
// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
uint32_t kwaai_abi_version(void);

// Frees a text that the library handed out through a `char **`.
//
// Ownership: takes the text. Threads: any. NULL: fine, nothing happens. Lifetime: a text that was freed, or that is not
// of this library, answers `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_string_free(char *text);

// Ends the library's threads before the program exits, waiting at most `grace_ms` for work that cannot be
// interrupted. Every later call answers `KWAAI_CLOSED`. Calling it is optional.
//
// Ownership: handles stay to be freed. Threads: any that the library did not start. NULL: not applicable. Lifetime:
// calling it twice is fine.
enum kwaai_status_t kwaai_library_shutdown(uint32_t grace_ms);

// How many handles and texts the program holds; zero when it freed everything.
//
// Ownership: nothing changes hands. Threads: any. NULL: not applicable. Lifetime: not applicable.
size_t kwaai_live_handles(void);

// Starts a node. `config_json` is a JSON object with any of `preset` ("ephemeral", "desktop", "mobile", "server"), `name`,
// `data_dir`, `identity_key`, `listen`, `bootstrap`, `mdns` and `limits`; NULL starts with the defaults.
//
// Ownership: the caller frees `*out_node` with `kwaai_node_free`. Threads: any. NULL: `config_json` and `error` may be NULL.
// Lifetime: the node runs until `kwaai_node_shutdown` or `kwaai_node_free`.
enum kwaai_status_t kwaai_node_start(const char *config_json,
                                     uint32_t timeout_ms,
                                     struct kwaai_node_t **out_node,
                                     struct kwaai_error_t **error);

// The readable name that peers see. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_name` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_name(const struct kwaai_node_t *node,
                                    char **out_name,
                                    struct kwaai_error_t **error);

// The PeerId of the node. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_peer_id` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_peer_id(const struct kwaai_node_t *node,
                                       char **out_peer_id,
                                       struct kwaai_error_t **error);

// The DID that signs this node's credentials. It stays readable after the shutdown.
//
// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_did(const struct kwaai_node_t *node,
                                   char **out_did,
                                   struct kwaai_error_t **error);

// What the node says about itself, as JSON: name, PeerId, DID, version, directory, addresses, number of peers, uptime.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_info(const struct kwaai_node_t *node,
                                    uint32_t timeout_ms,
                                    char **out_json,
                                    struct kwaai_error_t **error);

// The first address at which the node can be dialled, ending in `/p2p/<peer id>`. `KWAAI_NOT_FOUND` for a node that listens
// nowhere.
//
// Ownership: the caller frees `*out_address` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_address(const struct kwaai_node_t *node,
                                       uint32_t timeout_ms,
                                       char **out_address,
                                       struct kwaai_error_t **error);

// The connected peers as a JSON array, each with its tier, its score and the arithmetic.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_peers(const struct kwaai_node_t *node,
                                     uint32_t timeout_ms,
                                     char **out_json,
                                     struct kwaai_error_t **error);

// Connects to a node at a multiaddress that ends in `/p2p/<peer id>`, and says who answered.
//
// Ownership: the caller frees `*out_peer`, a PeerId, with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_connect(const struct kwaai_node_t *node,
                                       const char *address,
                                       uint32_t timeout_ms,
                                       char **out_peer,
                                       struct kwaai_error_t **error);

// Closes every connection to a peer, a PeerId or a DID.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_disconnect(const struct kwaai_node_t *node,
                                          const char *peer,
                                          uint32_t timeout_ms,
                                          struct kwaai_error_t **error);

// Asks the network where a peer can be reached: a JSON array of addresses.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_find_peer(const struct kwaai_node_t *node,
                                         const char *peer,
                                         uint32_t timeout_ms,
                                         char **out_json,
                                         struct kwaai_error_t **error);

// Sends a text of at most 64 KiB to a peer. Returns when it has arrived.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_send_message(const struct kwaai_node_t *node,
                                            const char *peer,
                                            const char *message,
                                            uint32_t timeout_ms,
                                            struct kwaai_error_t **error);

// Messages as they arrive, each as JSON: `from`, `text`, `received_at`. The stream ends with the node.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_messages(const struct kwaai_node_t *node,
                                        struct kwaai_stream_t **out_stream,
                                        struct kwaai_error_t **error);

// What happens on the network from now on, each as JSON with its `kind`. The stream ends with the node.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_events(const struct kwaai_node_t *node,
                                      struct kwaai_stream_t **out_stream,
                                      struct kwaai_error_t **error);

// The trust graph of the node. It ends with the node.
//
// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_trust(const struct kwaai_node_t *node,
                                     struct kwaai_trust_t **out_trust,
                                     struct kwaai_error_t **error);

// Shares exactly this, and no longer what was shared before. `contribution_json` is a JSON object with `blocks`, an array
// of objects with `model`, `start_block` and `end_block`, and `min_tier`; NULL ends sharing.
//
// Ownership: the caller frees `*out_json`, what is offered now, with `kwaai_string_free`. Threads: any. NULL:
// `contribution_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_contribute(const struct kwaai_node_t *node,
                                          const char *contribution_json,
                                          uint32_t timeout_ms,
                                          char **out_json,
                                          struct kwaai_error_t **error);

// Stops the node: what is under way may finish within `grace_ms`, then it is aborted. Returns when sockets and directory are
// free, at most about six seconds after that. Calling it again is fine.
//
// Ownership: the handle stays to be freed. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_node_shutdown(const struct kwaai_node_t *node,
                                        uint32_t grace_ms,
                                        struct kwaai_error_t **error);

// Frees a node. One that was not shut down is aborted.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_node_free(struct kwaai_node_t *node);

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
// several threads share the items. NULL: `stream`, `out_item` and `out_json` are needed; `error` may be NULL. Lifetime:
// the stream must not have been freed.
enum kwaai_status_t kwaai_stream_next(const struct kwaai_stream_t *stream,
                                      uint32_t timeout_ms,
                                      enum kwaai_item_t *out_item,
                                      char **out_json,
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

// Opens a trust graph alone, without a network: in a directory, or in memory when `dir` is NULL.
//
// Ownership: the caller frees `*out_trust` with `kwaai_trust_free`. Threads: any. NULL: `dir` and `error` may be NULL.
// Lifetime: the directory is locked until the handle is freed.
enum kwaai_status_t kwaai_trust_open(const char *dir,
                                     uint32_t timeout_ms,
                                     struct kwaai_trust_t **out_trust,
                                     struct kwaai_error_t **error);

// The DID that signs what this trust graph issues.
//
// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: the
// handle must not have been freed.
enum kwaai_status_t kwaai_trust_did(const struct kwaai_trust_t *trust,
                                    char **out_did,
                                    struct kwaai_error_t **error);

// Issues a credential of a type, for example "VerifiedNodeVC", about a subject, a DID or a PeerId. `claims_json` is a
// JSON object, or NULL for none. `valid_for_ms` of 0 takes the type's own span. The credential is not kept.
//
// Ownership: the caller frees `*out_credential`, the signed document, with `kwaai_string_free`. Threads: any. NULL:
// `claims_json` and `error` may be NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_issue(const struct kwaai_trust_t *trust,
                                      const char *type,
                                      const char *subject,
                                      const char *claims_json,
                                      uint64_t valid_for_ms,
                                      uint32_t timeout_ms,
                                      char **out_credential,
                                      struct kwaai_error_t **error);

// Checks a credential's form and proof, and says what it says. It is not kept.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_trust_verify(const struct kwaai_trust_t *trust,
                                       const char *credential,
                                       uint32_t timeout_ms,
                                       char **out_json,
                                       struct kwaai_error_t **error);

// Verifies a credential, then keeps it.
//
// Ownership: the caller frees `*out_json`, a summary, with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL.
// Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_import_credential(const struct kwaai_trust_t *trust,
                                                  const char *credential,
                                                  uint32_t timeout_ms,
                                                  char **out_json,
                                                  struct kwaai_error_t **error);

// The credentials that are kept and fit the filter, as a JSON array. The filter is a JSON object with any of
// `subject`, `issuer` and `type`; NULL wants all.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `filter_json` and `error` may be
// NULL. Lifetime: the handle must not have been freed.
enum kwaai_status_t kwaai_trust_credentials(const struct kwaai_trust_t *trust,
                                            const char *filter_json,
                                            uint32_t timeout_ms,
                                            char **out_json,
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

// Trusts an issuer no longer.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_distrust_issuer(const struct kwaai_trust_t *trust,
                                                const char *did,
                                                uint32_t timeout_ms,
                                                struct kwaai_error_t **error);

// How far this node trusts a peer, a DID or a PeerId: `*out_value` from 0 to 1, and as JSON the tier and the arithmetic.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime:
// the handle must not have been freed.
enum kwaai_status_t kwaai_trust_score(const struct kwaai_trust_t *trust,
                                      const char *peer,
                                      uint32_t timeout_ms,
                                      double *out_value,
                                      char **out_json,
                                      struct kwaai_error_t **error);

// Checks that a peer reaches the minimum tier of a purpose: "message", "serve_blocks" or "use_blocks". Answers
// `KWAAI_UNTRUSTED_PEER` when it does not.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the handle must not have been
// freed.
enum kwaai_status_t kwaai_trust_require(const struct kwaai_trust_t *trust,
                                        const char *peer,
                                        const char *purpose,
                                        uint32_t timeout_ms,
                                        struct kwaai_error_t **error);

// Lets go of a trust graph. That of a node stays open with the node.
//
// Ownership: takes the handle. Threads: any. NULL: fine, nothing happens. Lifetime: freeing twice answers
// `KWAAI_CLOSED`.
enum kwaai_status_t kwaai_trust_free(struct kwaai_trust_t *trust);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KWAAINET_H */
