/**
 * Values that come over time: messages, events, progress, tokens.
 *
 * The library never waits for a reader. One that falls too far behind loses the oldest values; `missed` counts them.
 */

import { type CallOptions, aborted, finished, signalOf } from './bridge.js';
import { CancelledError, KwaaiError } from './errors.js';
import type { NativeOperation, NativeStream } from './native.js';

/** At most so many values cross from the native module at once. */
const BATCH = 256;

/**
 * An asynchronous iterator. `return()`, which leaving a `for await` early calls, or the end of an `await using` block stops
 * the work behind it. A stream that nobody reads does not keep the process alive.
 */
export class EventStream<T> implements AsyncIterableIterator<T, undefined, CallOptions | undefined>, AsyncDisposable {
  #native: NativeStream | undefined;
  #opening: NativeOperation | undefined;
  #reading: NativeOperation | undefined;
  #batch: Promise<void> | undefined;
  #waiting = 0;
  /** Whether the read under way was given up because nobody waits for it. */
  #givenUp = false;
  #values: T[] = [];
  #missed = 0;
  #ended = false;
  #failure: unknown;
  readonly #signal: AbortSignal | undefined;
  readonly #read: (data: any) => T;

  /** @internal A stream, or the call that opens it at the first read. */
  constructor(source: NativeStream | NativeOperation, read: (data: any) => T, options?: CallOptions) {
    if ('nextBatch' in source) this.#native = source;
    else this.#opening = source;
    this.#read = read;
    this.#signal = signalOf(options);
    if (this.#signal?.aborted) this.#abort(this.#signal);
    else if (this.#signal !== undefined) {
      const [self, signal] = [new WeakRef(this), this.#signal];
      const abort = (stream: EventStream<T> | undefined): void => stream === undefined ? undefined : stream.#abort(signal);
      signal.addEventListener('abort', () => abort(self.deref()), { once: true });
    }
  }

  /** How many values were dropped because nobody read them in time. */
  get missed(): number {
    return this.#missed;
  }

  /** The next value. Aborting `signal` ends this wait alone: whoever asks next gets the value. */
  async next(options?: CallOptions): Promise<IteratorResult<T, undefined>> {
    const signal = signalOf(options);
    while (this.#values.length === 0) {
      if (signal?.aborted) throw aborted(signal);
      if (this.#failure !== undefined) {
        const failure = this.#failure;
        this.#failure = undefined;
        throw failure;
      }
      if (this.#ended) return { done: true, value: undefined };
      await this.#wait(signal);
    }
    return { done: false, value: this.#values.shift() as T };
  }

  /** Stops the work behind the stream. What is durable already stays. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.#stop();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
  }

  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const batch = (this.#batch ??= this.#fill());
    this.#waiting += 1;
    let leave!: () => void;
    const left = new Promise<void>((resolve) => (leave = resolve));
    signal?.addEventListener('abort', leave, { once: true });
    await Promise.race([batch, left]);
    signal?.removeEventListener('abort', leave);
    this.#waiting -= 1;
    // Cancelled in Rust too, which takes nothing from the stream: otherwise the read would keep the process alive.
    if (signal?.aborted && this.#waiting === 0 && this.#reading !== undefined) {
      this.#givenUp = true;
      this.#reading.cancel();
    }
  }

  /** Reads a batch. Never rejects: what goes wrong is kept for who asks next. */
  async #fill(): Promise<void> {
    try {
      this.#native ??= await this.#open();
      if (this.#ended) return this.#native.cancel();
      this.#givenUp = false;
      this.#reading = this.#native.nextBatch(BATCH);
      const batch = JSON.parse(await finished<string>(this.#reading)) as (number | [unknown])[];
      if (this.#ended) return;
      this.#ended = batch.length === 0;
      for (const item of batch) {
        if (typeof item === 'number') this.#missed += item;
        else this.#values.push(this.#read(item[0]));
      }
    } catch (error) {
      if (this.#ended || (this.#givenUp && error instanceof CancelledError)) return;
      this.#ended = true;
      this.#failure = error;
    } finally {
      this.#reading = undefined;
      this.#batch = undefined;
    }
  }

  async #open(): Promise<NativeStream> {
    const opening = this.#opening as NativeOperation;
    return finished<NativeStream>(opening);
  }

  #stop(): void {
    this.#ended = true;
    this.#values = [];
    this.#failure = undefined;
    this.#opening?.cancel();
    this.#native?.cancel();
    this.#reading?.cancel();
  }

  #abort(signal: AbortSignal): void {
    if (this.#ended && this.#values.length === 0) return;
    this.#stop();
    this.#failure = aborted(signal);
  }
}

/** @internal The last event, which says how it ended. */
export async function lastOf<T extends { kind: string }>(stream: EventStream<T>, each: (event: T) => void): Promise<T> {
  let last: T | undefined;
  for await (const event of stream) {
    each(event);
    last = event;
  }
  if (last === undefined) throw new KwaaiError('cancelled', 'the stream was left before it ended');
  return last;
}
