// Failures on demand, for the tests of the C interface. No library that is shipped has them.
//
// Generated from kwaai-ffi/src/c/testing.rs by `make header`; do not edit.

#ifndef KWAAINET_TESTING_H
#define KWAAINET_TESTING_H

#include <kwaainet.h>

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Fails with the status of this number.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
kwaai_status_t kwaai_testing_raise(uint16_t number,
                                   uint32_t timeout_ms,
                                   kwaai_error_t **error);

// Begins what `kwaai_testing_raise` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_testing_raise`. Lifetime: handles among the arguments may be freed at once.
kwaai_status_t kwaai_testing_raise_async(uint16_t number,
                                         kwaai_op_t **out_op,
                                         kwaai_error_t **error);

// Panics inside the library, which answers `KWAAI_INTERNAL`.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
kwaai_status_t kwaai_testing_panic(uint32_t timeout_ms,
                                   kwaai_error_t **error);

// Begins what `kwaai_testing_panic` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_testing_panic`. Lifetime: handles among the arguments may be freed at once.
kwaai_status_t kwaai_testing_panic_async(kwaai_op_t **out_op,
                                         kwaai_error_t **error);

// Never ends. The live handle `hang` shows that it is under way.
//
// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: not applicable.
kwaai_status_t kwaai_testing_hang(uint32_t timeout_ms,
                                  kwaai_error_t **error);

// Begins what `kwaai_testing_hang` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_testing_hang`. Lifetime: handles among the arguments may be freed at once.
kwaai_status_t kwaai_testing_hang_async(kwaai_op_t **out_op,
                                        kwaai_error_t **error);

// The signature of these bytes by the identity of a seed, in hexadecimal.
//
// Ownership: the caller frees `*out_hex` with `kwaai_string_free`. Threads: any, also in a callback by its operation.
// NULL: `error` may be NULL. Lifetime: not applicable.
kwaai_status_t kwaai_testing_seed_sign(uint64_t seed,
                                       const uint8_t *message,
                                       size_t length,
                                       uint32_t timeout_ms,
                                       char **out_hex,
                                       kwaai_error_t **error);

// Begins what `kwaai_testing_seed_sign` does and returns at once.
//
// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
// also in a callback. NULL: as for `kwaai_testing_seed_sign`. Lifetime: handles among the arguments may be freed at once.
kwaai_status_t kwaai_testing_seed_sign_async(uint64_t seed,
                                             const uint8_t *message,
                                             size_t length,
                                             kwaai_op_t **out_op,
                                             kwaai_error_t **error);

// A stream of the numbers from 0 up to `count`, kept in a buffer of `capacity`, that stays open when `open` is true.
//
// Ownership: the caller frees `*out_stream` with `kwaai_stream_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
// applicable.
kwaai_status_t kwaai_testing_numbers(uint32_t count,
                                     size_t capacity,
                                     bool open,
                                     kwaai_stream_t **out_stream,
                                     kwaai_error_t **error);

// The DID of the identity of a seed.
//
// Ownership: the caller frees `*out_did` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
// applicable.
kwaai_status_t kwaai_testing_seed_did(uint64_t seed,
                                      char **out_did,
                                      kwaai_error_t **error);

// The objects that are alive, as a JSON object from kinds to numbers; `c` counts what C holds.
//
// Ownership: the caller frees `*out_json` with `kwaai_string_free`. Threads: any. NULL: `error` may be NULL. Lifetime: not
// applicable.
kwaai_status_t kwaai_testing_live_handles(char **out_json,
                                          kwaai_error_t **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* KWAAINET_TESTING_H */
