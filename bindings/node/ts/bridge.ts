/** How a call of the native module becomes a promise, and how the handles of the facade hold the native ones. */

import { AbortError, type KwaaiError, fromNative } from './errors.js';
import type { NativeOperation } from './native.js';
import { wrong } from './values.js';

// Some runtimes that load Node.js addons do not have it yet.
(Symbol as { asyncDispose?: symbol }).asyncDispose ??= Symbol.for('Symbol.asyncDispose');

/** Options that every call takes. */
export interface CallOptions {
  /** Cancels the call, which then rejects with an `AbortError`. */
  signal?: AbortSignal | undefined;
}

/** @internal */
export function aborted(signal: AbortSignal): AbortError {
  return new AbortError('the call was cancelled by its AbortSignal', { cause: signal.reason });
}

/** @internal The signal, checked. */
export function signalOf(options: CallOptions | undefined): AbortSignal | undefined {
  const signal: unknown = options?.signal;
  if (signal === undefined || signal === null) return undefined;
  if (typeof signal !== 'object' || !('aborted' in signal) || !('addEventListener' in signal)) {
    throw wrong('signal', 'an AbortSignal', signal);
  }
  return signal as AbortSignal;
}

/**
 * @internal Makes the call. Aborting cancels it in Rust and waits for its end there, so that nothing which it opened is lost: one
 * that succeeded before the signal came resolves.
 */
export function finished<T>(operation: NativeOperation, options?: CallOptions): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const signal = signalOf(options);
    if (signal?.aborted) throw aborted(signal);
    const cancel = (): void => operation.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    operation.start((error, value) => {
      signal?.removeEventListener('abort', cancel);
      if (error === null) resolve(value as T);
      else reject(settled(fromNative(error), signal));
    });
  });
}

/** @internal The error as a caller with this signal knows it. */
export function settled(error: KwaaiError, signal: AbortSignal | undefined): KwaaiError {
  return error.code === 'cancelled' && signal?.aborted ? aborted(signal) : error;
}

const natives = new WeakMap<object, { kind: string; native: unknown }>();

/** @internal */
export function hold(kind: string, handle: object, native: unknown): void {
  natives.set(handle, { kind, native });
}

/** @internal What a handle of the facade holds; something else is refused. */
export function held<N>(kind: string, handle: unknown): N {
  const entry = typeof handle === 'object' && handle !== null ? natives.get(handle) : undefined;
  if (entry?.kind !== kind) throw wrong('the argument', `a ${kind} of this package`, handle);
  return entry.native as N;
}
