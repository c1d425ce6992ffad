/** What an app brings: an embedder, a language model, a document reader, a signer. Functions may be async or not. */

import { CancelledError, InvalidArgumentError, KwaaiError, native } from './errors.js';
import { module, type NativeOwing, type NativeSigner, type NativeSupplies } from './native.js';
import type { ChatMessage, FinishReason, Usage } from './shard.js';
import { MAX_U32, count, json, list, optional, options, recordJson, text, texts, wrong } from './values.js';

/** What each function of an app gets last. */
export interface ProvideContext {
  /** Aborted when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** What they have in common. */
export interface Provided {
  /** An answer that takes longer is given up with `timeout`; two minutes unless set. */
  deadlineMs?: number | undefined;
}

/** Turns texts into vectors. */
export interface Embedder extends Provided {
  /** Changes whenever the vectors would; a knowledge base refuses to be opened with another one. */
  readonly id: string;
  /** The length of a vector. */
  readonly dimension: number;
  /**
   * A vector for each text, one after the other in one array or as rows. They need not have length one. `query` is true for
   * what is looked for, false for what is found.
   */
  embed(
    texts: string[],
    context: ProvideContext & { query: boolean },
  ): Float32Array | Rows | Promise<Float32Array | Rows>;
}

/** Rows of numbers. */
export type Rows = readonly (readonly number[] | Float32Array)[];

/** What a language model of the app is asked to continue. */
export interface GenerateRequest {
  messages: ChatMessage[];
  maxTokens: number;
  temperature: number;
  topP: number;
  topK: number;
  seed: number;
  stop: string[];
}

/** How a language model of the app ended: what its generator returns, or nothing. */
export interface GenerateEnd {
  finishReason?: FinishReason | undefined;
  usage?: Usage | undefined;
}

/** The pieces of a text, or all of it. */
export type Pieces =
  | string
  | Iterable<string, GenerateEnd | void>
  | AsyncIterable<string, GenerateEnd | void>;

/** Continues conversations. */
export interface LanguageModel extends Provided {
  /** For people. */
  readonly name: string;
  /** Writes the next turn, best as a generator that yields each piece as it comes. */
  generate(request: GenerateRequest, context: ProvideContext): Pieces | Promise<Pieces>;
}

/** A part of a document; `label` is what a citation calls it. */
export interface DocumentPart {
  label?: string | null | undefined;
  text: string;
}

/** Reads documents of a format that the library does not. */
export interface DocumentReader extends Provided {
  /** Of its files, without the dot. */
  readonly extensions: readonly string[];
  /** The parts of a file. */
  read(name: string, bytes: Uint8Array, context: ProvideContext): readonly DocumentPart[] | Promise<readonly DocumentPart[]>;
}

/** Signs for an identity whose key the app keeps. */
export interface Signer extends Provided {
  /** A `did:key` of an Ed25519 key. */
  readonly did: string;
  /** The Ed25519 signature of exactly these bytes, 64 bytes long. */
  sign(message: Uint8Array, context: ProvideContext): Uint8Array | Promise<Uint8Array>;
}

/** @internal */
export function supplyEmbedder(supplies: NativeSupplies, embedder: Embedder): void {
  method('embedder', embedder, 'embed');
  const { dimension } = embedder;
  native(() =>
    supplies.embedder(
      text('embedder.id', embedder.id),
      count('embedder.dimension', dimension, MAX_U32),
      deadline(embedder),
      (owing, inputs, query) =>
        answer(
          owing,
          (signal) => embedder.embed(inputs, { query, signal }),
          (vectors) => owing.vectors(flat(vectors, dimension)),
        ),
    ),
  );
}

/** @internal */
export function supplyModel(supplies: NativeSupplies, model: LanguageModel): void {
  method('model', model, 'generate');
  native(() =>
    supplies.model(text('model.name', model.name), deadline(model), (owing, request) => {
      answer(
        owing,
        async (signal) => write(owing, await model.generate(requestOf(request), { signal }), signal),
        ({ finishReason, usage }) => {
          const counted = optional(usage, (usage) => recordJson(usage, 'usage'));
          native(() => owing.finish(finishReason === 'length', counted));
        },
      );
    }),
  );
}

/** @internal */
export function supplyReader(supplies: NativeSupplies, reader: DocumentReader): void {
  method('reader', reader, 'read');
  native(() =>
    supplies.reader(texts('reader.extensions', reader.extensions), deadline(reader), (owing, name, bytes) =>
      answer(
        owing,
        (signal) => reader.read(name, bytes, { signal }),
        (parts) => {
          const pairs = list('parts', parts).map((part, at) => {
            const { label, text: words } = options(part as DocumentPart, undefined, `parts[${at}]`);
            return [optional(label, (label) => text(`parts[${at}].label`, label)), text(`parts[${at}].text`, words)];
          });
          native(() => owing.parts(json('parts', pairs)));
        },
      ),
    ),
  );
}

/** @internal */
export function signerOf(signer: Signer): NativeSigner {
  method('signer', signer, 'sign');
  const code = (owing: NativeOwing, message: Uint8Array): void =>
    answer(
      owing,
      (signal) => signer.sign(message, { signal }),
      (signature) => {
        if (!(signature instanceof Uint8Array)) throw wrong('a signature', 'a Uint8Array', signature);
        owing.signature(signature);
      },
    );
  return native(() => new module.Signer(text('signer.did', signer.did), deadline(signer), code));
}

/** Calls code of the app and passes on what it answers or throws. Throws nothing itself. */
function answer<T>(owing: NativeOwing, call: (signal: AbortSignal) => T | Promise<T>, give: (value: T) => void): void {
  const controller = new AbortController();
  let answered = false;
  owing.unwanted(() => {
    if (!answered) controller.abort(new CancelledError('nobody waits for this answer any more'));
  });
  const run = async (): Promise<void> => {
    try {
      give(await call(controller.signal));
    } catch (error) {
      fail(owing, error);
    } finally {
      answered = true;
    }
  };
  void run();
}

function fail(owing: NativeOwing, error: unknown): void {
  const ours = kwaai(error);
  if (ours !== undefined) {
    owing.fail(ours.code, ours.message, ours.cause === undefined ? undefined : describe(ours.cause));
  } else {
    owing.fail('internal', describe(error), describe(error));
  }
}

/** Code, message and cause of an error of ours. Whatever else was thrown may throw when it is looked at. */
function kwaai(error: unknown): { code: string; message: string; cause: unknown } | undefined {
  try {
    if (!(error instanceof KwaaiError)) return undefined;
    return { code: error.code, message: String(error.message), cause: error.cause };
  } catch {
    return undefined;
  }
}

/** Kind and text of whatever was thrown. */
function describe(error: unknown): string {
  try {
    if (error instanceof Error) return `${error.name}: ${error.message}`;
    return typeof error === 'object' && error !== null ? Object.prototype.toString.call(error) : String(error);
  } catch {
    return 'an exception that cannot be described';
  }
}

async function write(owing: NativeOwing, pieces: Pieces, signal: AbortSignal): Promise<GenerateEnd> {
  if (typeof pieces === 'string') {
    owing.write(text('a piece', pieces));
    return {};
  }
  if (typeof pieces !== 'object' || pieces === null) throw wrong('the answer of the model', 'a text or its pieces', pieces);
  const each =
    Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : (pieces as Iterable<string>)[Symbol.iterator]();
  for (;;) {
    const step = await each.next();
    if (step.done) return (step.value as GenerateEnd | undefined) ?? {};
    if (!owing.write(text('a piece', step.value)) || signal.aborted) {
      await each.return?.();
      return {};
    }
  }
}

function requestOf(request: string): GenerateRequest {
  const data = JSON.parse(request) as Record<string, unknown>;
  return {
    messages: data['messages'] as ChatMessage[],
    maxTokens: data['max_tokens'] as number,
    temperature: data['temperature'] as number,
    topP: data['top_p'] as number,
    topK: data['top_k'] as number,
    seed: data['seed'] as number,
    stop: data['stop'] as string[],
  };
}

function flat(vectors: Float32Array | Rows, dimension: number): Float32Array {
  if (vectors instanceof Float32Array) return vectors;
  const rows = list('the vectors', vectors) as Rows;
  const whole = new Float32Array(rows.length * dimension);
  rows.forEach((row, at) => {
    const length: unknown = (row as { length?: unknown } | null)?.length;
    if (length !== dimension) {
      throw new InvalidArgumentError(`vector ${at} has ${String(length)} numbers; the embedder has ${dimension} dimensions`);
    }
    whole.set(row, at * dimension);
  });
  return whole;
}

function method(what: string, provided: unknown, name: string): void {
  const found: unknown = (provided as Record<string, unknown> | null)?.[name];
  if (typeof found !== 'function') throw wrong(`${what}.${name}`, 'a function', found);
}

function deadline(provided: Provided): number | undefined {
  return optional(provided.deadlineMs, (ms) => count('deadlineMs', ms));
}
