/** Language models, whole on this machine or in blocks over several. */

import { type CallOptions, finished, held, hold } from './bridge.js';
import { native } from './errors.js';
import { module, type NativeModel, type NativeShardEngine } from './native.js';
import { type Kinds, type Shape, many, one, plain, reads, readsAll, tagged } from './records.js';
import { EventStream, lastOf } from './streams.js';
import { MAX_U32, type Path, count, index, json, list, optional, options as checked, path, recordJson, text, texts, truth, wrong } from './values.js';

/** Where a model runs: here, or over peers. */
export type Route = 'local' | 'peers';

/** Which blocks to load: all, none (peers compute them), or from the first up to and without the second. */
export type Blocks = 'all' | 'none' | readonly [startBlock: number, endBlock: number];

/** From the first up to and without the last. */
export interface Span {
  start: number;
  end: number;
}

/** What a model is. */
export interface ModelInfo {
  /** The same on every machine that has the same weights. */
  id: string;
  name: string;
  blocks: number;
  heldBlocks: Span | null;
  /** The length of a hidden state. */
  hiddenSize: number;
  vocabSize: number;
  /** The longest context in tokens. */
  maxContext: number;
}

/** Blocks that this node serves. */
export interface Offer {
  model: string;
  startBlock: number;
  endBlock: number;
}

/** A run of blocks that a peer offers. */
export interface BlockHost {
  peer: string;
  startBlock: number;
  endBlock: number;
  /** Whether this node uses it. */
  usable: boolean;
  /** Why not. */
  why: string | null;
}

/** Which blocks of a model are up, and from whom. */
export interface Coverage {
  blocks: number;
  /** For each block, how many hosts that this node would use have it. */
  counts: number[];
  hosts: BlockHost[];
}

/** What blocks are sized for. */
export interface CalibrateOptions extends CallOptions {
  /** Bytes that blocks may take with what their sessions keep; what is free without a quarter, and at most 1 GiB, unless set. */
  memoryBytes?: number | undefined;
  /** Sessions at the same time for which there is to be room; 4 unless set. */
  sessions?: number | undefined;
  /** Tokens of each; 4,096 unless set, or the model's context where that is shorter. */
  tokens?: number | undefined;
}

/** How many blocks of a model this machine can serve, and how fast. */
export interface BlockCalibration {
  /** The model's id. */
  model: string;
  /** How many blocks the model has. */
  blocks: number;
  backend: 'candle' | 'ggml';
  /** The processor by its maker's name, where the system says it. */
  processor: string | null;
  /** Cores that this process may run on. */
  cores: number;
  /** Bytes that blocks may take with what their sessions keep. */
  memoryBytes: number;
  /** Bytes that were left out of that; 0 where the memory was given. */
  reserveBytes: number;
  /** Bytes that the weights of the largest block take in memory. */
  weightBytes: number;
  /** Bytes that all sessions together keep for one block. */
  cacheBytes: number;
  /** How many blocks of this size fit, however many the model has. */
  fitting: number;
  /** How many to serve: those that fit, and no more than the model has. */
  recommended: number;
  /** Milliseconds that one block takes for the next token of a text. */
  blockMs: number;
  /** Tokens of prompts that one block reads in a second. */
  blockPrefillTokensPerSecond: number;
  /** Tokens in a second that the recommended blocks are expected to compute, one after the other in one text. */
  decodeTokensPerSecond: number;
  /** Tokens of prompts in a second that the recommended blocks are expected to read. */
  prefillTokensPerSecond: number;
}

/** What a benchmark of a model measures. */
export interface ModelBenchmarkOptions extends CallOptions {
  /** Tokens of the prompt; 128 unless set. */
  promptTokens?: number | undefined;
  /** Tokens of the answer that do not count; 5 unless set. */
  warmUp?: number | undefined;
  /** Tokens of the answer that do; 20 unless set. */
  steps?: number | undefined;
  /** Answers at the same time, for the throughput; 1 unless set and 64 at most. */
  sessions?: number | undefined;
  /** What the prompt is drawn from; 1 unless set. */
  seed?: number | bigint | undefined;
  /** Without it the model runs here when all its blocks are here, and over peers otherwise. */
  route?: Route | undefined;
}

/** How a download gets on: what there is to fetch, unless nothing is missing; how much of it is here; where the model is. */
export type DownloadEvent =
  | {
      kind: 'found';
      files: number;
      /** Where the hub says it of all files. */
      bytes: number | null;
    }
  | {
      kind: 'progress';
      /** Less than before where a file had to be begun anew. */
      bytes: number;
      /** How much there will be, where it is known. */
      total: number | null;
    }
  | {
      kind: 'finished';
      /** The folder of the model, or its GGUF file. */
      path: string;
    };

/** One revision of a model of a hub that is on this machine. */
export interface DownloadedModel {
  /** `owner/name`. */
  id: string;
  /** The commit. */
  revision: string;
  /** How long its files are together; of those in part what is there. */
  bytes: number;
  /** Whether all of it is here, and not only the bytes that some blocks needed. */
  whole: boolean;
  /** The folder of its files. */
  path: string;
}

/** One turn of a conversation. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** Tokens read and written. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Those of the prompt's tokens that were not read anew, for they were kept from an answer before; none where it is left out. */
  cachedTokens?: number | undefined;
}

/** One station of a generation's path. */
export interface Hop {
  /** `null` is this process. */
  peer: string | null;
  startBlock: number;
  endBlock: number;
  /** Milliseconds from sending to having the answer, median over the tokens. */
  ms: number;
}

/** How fast a model answers. */
export interface ModelBenchmark {
  /** Tokens of the prompt in a second. */
  prefillTokensPerSecond: number;
  /** Tokens of the answer in a second, in a single one. */
  decodeTokensPerSecond: number;
  /** Milliseconds until the first token. */
  firstTokenMs: number;
  /** Tokens in a second of all answers at the same time together. */
  throughputTokensPerSecond: number;
  /** How many answers these were. */
  sessions: number;
  /** Where the blocks were computed, in order, and how long one token took there. */
  path: Hop[];
}

/** Why a generation ended. */
export type FinishReason = 'stop' | 'length';

/** What a generation yields: pieces of text, always whole characters, then its end. */
export type GenerateEvent =
  | { kind: 'token'; text: string }
  | { kind: 'done'; finishReason: FinishReason; usage: Usage; path: Hop[] };

/** A generation, whole. */
export interface Completion {
  text: string;
  finishReason: FinishReason;
  usage: Usage;
  path: Hop[];
}

/** Rows of 32-bit floats, one after the other. */
export interface Matrix {
  rows: number;
  columns: number;
  /** `rows * columns` numbers. */
  values: Float32Array;
}

/** How to generate. */
export interface ChatOptions extends CallOptions {
  /** 256 unless set. */
  maxTokens?: number | undefined;
  /** 0, the default, takes the likeliest token each time. */
  temperature?: number | undefined;
  /** Samples among the likeliest tokens that together have this probability; 1 is all of them. */
  topP?: number | undefined;
  /** Samples among this many likeliest tokens; 0 is all of them. */
  topK?: number | undefined;
  /** Makes sampling repeatable. */
  seed?: number | bigint | undefined;
  /** The text ends before the first of these. */
  stop?: readonly string[] | undefined;
  /** Without it the model runs here when all its blocks are here, and over peers otherwise. */
  route?: Route | undefined;
}

/** @internal */
export const span: Shape<Span> = { start: plain, end: plain };
const modelInfo: Shape<ModelInfo> = {
  id: plain,
  name: plain,
  blocks: plain,
  heldBlocks: one(span),
  hiddenSize: plain,
  vocabSize: plain,
  maxContext: plain,
};
/** @internal */
export const offer: Shape<Offer> = { model: plain, startBlock: plain, endBlock: plain };
const host: Shape<BlockHost> = { peer: plain, startBlock: plain, endBlock: plain, usable: plain, why: plain };
const coverage: Shape<Coverage> = { blocks: plain, counts: plain, hosts: many(host) };
const usage: Shape<Usage> = { promptTokens: plain, completionTokens: plain, cachedTokens: plain };
const hop: Shape<Hop> = { peer: plain, startBlock: plain, endBlock: plain, ms: plain };
const blockCalibration: Shape<BlockCalibration> = {
  model: plain,
  blocks: plain,
  backend: plain,
  processor: plain,
  cores: plain,
  memoryBytes: plain,
  reserveBytes: plain,
  weightBytes: plain,
  cacheBytes: plain,
  fitting: plain,
  recommended: plain,
  blockMs: plain,
  blockPrefillTokensPerSecond: plain,
  decodeTokensPerSecond: plain,
  prefillTokensPerSecond: plain,
};
const modelBenchmark: Shape<ModelBenchmark> = {
  prefillTokensPerSecond: plain,
  decodeTokensPerSecond: plain,
  firstTokenMs: plain,
  throughputTokensPerSecond: plain,
  sessions: plain,
  path: many(hop),
};
const downloading: Kinds<DownloadEvent> = {
  found: { kind: plain, files: plain, bytes: plain },
  progress: { kind: plain, bytes: plain, total: plain },
  finished: { kind: plain, path: plain },
};
const downloadedModel: Shape<DownloadedModel> = { id: plain, revision: plain, bytes: plain, whole: plain, path: plain };
const generated: Kinds<GenerateEvent> = {
  token: { kind: plain, text: plain },
  done: { kind: plain, finishReason: plain, usage: one(usage), path: many(hop) },
};

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = { modelInfo, offer, coverage, blockCalibration, modelBenchmark, downloading, downloadedModel, token: generated.token, done: generated.done };

/** Tokens as they are made, then the end. */
export class Generation extends EventStream<GenerateEvent> {
  /** Reads to the end and returns the whole text. */
  async done(): Promise<Completion> {
    let whole = '';
    const last = await lastOf(this, (event) => {
      if (event.kind === 'token') whole += event.text;
    });
    const { finishReason, usage, path } = last as Extract<GenerateEvent, { kind: 'done' }>;
    return { text: whole, finishReason, usage, path };
  }
}

/** What comes from a hub. Leaving it early stops it; what came stays. */
export class Download extends EventStream<DownloadEvent> {
  /** Reads to the end and returns where the model is. */
  async done(): Promise<string> {
    return ((await lastOf(this, () => {})) as Extract<DownloadEvent, { kind: 'finished' }>).path;
  }
}

/** A loaded model. */
export class Model implements AsyncDisposable {
  readonly #native: NativeModel;
  /** Its shape, and which blocks are held here. */
  readonly info: ModelInfo;

  private constructor(handle: NativeModel) {
    if (typeof handle?.info !== 'function') throw wrong('a Model', 'loaded by ShardEngine.load', handle);
    this.#native = handle;
    this.info = Object.freeze(reads(modelInfo)(native(() => handle.info())));
    hold('Model', this, handle);
  }

  /** @internal */
  static of(native: NativeModel): Model {
    return new Model(native);
  }

  /** The same on every machine that has the same weights. */
  get id(): string {
    return this.info.id;
  }

  /** The name of its directory, for people. */
  get name(): string {
    return this.info.name;
  }

  /** How many blocks it has. */
  get blocks(): number {
    return this.info.blocks;
  }

  /** Lets go of the weights. */
  async shutdown(): Promise<void> {
    this.#native.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** Loads models, serves their blocks, and generates. */
export class ShardEngine implements AsyncDisposable {
  readonly #native: NativeShardEngine;

  private constructor(native: NativeShardEngine) {
    if (!(native instanceof (module.ShardEngine as never))) throw wrong('a ShardEngine', 'opened by ShardEngine.open', native);
    this.#native = native;
    hold('ShardEngine', this, native);
  }

  /** @internal */
  static of(native: NativeShardEngine): ShardEngine {
    return new ShardEngine(native);
  }

  /** An engine without a network: models run whole, here. */
  static async open(options?: CallOptions): Promise<ShardEngine> {
    return new ShardEngine(await finished(module.ShardEngine.open(), options));
  }

  /**
   * Loads a model, all its blocks unless `blocks` says otherwise. `model` is its directory, its GGUF file, or the id of one at a
   * hub, as `owner/name`, `owner/name@revision` or `owner/name:Q4_K_M`, from where it is fetched the first time. What exists on
   * the disk is a path.
   */
  async load(model: Path, options?: CallOptions & { blocks?: Blocks | undefined }): Promise<Model> {
    const choice = json('blocks', blockChoice(checked(options, ['blocks']).blocks));
    const operation = native(() => this.#native.load(path('model', model), choice));
    return Model.of(await finished(operation, options));
  }

  /**
   * Fetches from its hub what `load` needs for these blocks and is not here, and says how far it is. The hub is asked what the model
   * is now, which `load` does only for one that is not here. A model that is a path is there already. It begins when the first event
   * is asked for.
   */
  download(model: Path, options?: CallOptions & { blocks?: Blocks | undefined }): Download {
    const choice = json('blocks', blockChoice(checked(options, ['blocks']).blocks));
    const opening = native(() => this.#native.download(path('model', model), choice));
    return new Download(opening, (data) => tagged(downloading, data), options);
  }

  /** The models of a hub that are on this machine, whole or in part. */
  async downloaded(options?: CallOptions): Promise<DownloadedModel[]> {
    return readsAll(downloadedModel)(await finished(this.#native.downloaded(), options));
  }

  /**
   * Takes a model of a hub from this machine, or with `owner/name@revision` a revision of it, and returns how many bytes that freed.
   * What is loaded stays loaded.
   */
  async removeDownload(model: string, options?: CallOptions): Promise<number> {
    return finished(this.#native.removeDownload(text('model', model)), options);
  }

  /** Serves a run of blocks to peers that are trusted enough. */
  async serve(model: Path, startBlock: number, endBlock: number, options?: CallOptions): Promise<Offer> {
    const operation = this.#native.serve(path('model', model), index('startBlock', startBlock), index('endBlock', endBlock));
    return reads(offer)(await finished(operation, options));
  }

  /** Stops serving the blocks of a model; what runs on them ends. */
  async stopServing(modelId: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.stopServing(text('modelId', modelId)), options);
  }

  /** What this node serves. */
  async served(options?: CallOptions): Promise<Offer[]> {
    return readsAll(offer)(await finished(this.#native.served(), options));
  }

  /** Which blocks of a model are up, from whom, and whom this node would not use. */
  async coverage(model: Model, options?: CallOptions): Promise<Coverage> {
    return reads(coverage)(await finished(this.#native.coverage(held('Model', model)), options));
  }

  /** How many blocks of a model this machine can serve, and how fast, measured on the first of them. `model` is that of `load`. */
  async calibrate(model: Path, options?: CalibrateOptions): Promise<BlockCalibration> {
    const { memoryBytes, sessions, tokens } = checked(options, ['memoryBytes', 'sessions', 'tokens']);
    const operation = native(() => this.#native.calibrate(path('model', model), recordJson({ memoryBytes, sessions, tokens })));
    return reads(blockCalibration)(await finished(operation, options));
  }

  /** How fast a model answers, on the path that an answer would take now. */
  async benchmark(model: Model, options?: ModelBenchmarkOptions): Promise<ModelBenchmark> {
    const { promptTokens, warmUp, steps, sessions, seed, route } = checked(options, ['promptTokens', 'warmUp', 'steps', 'sessions', 'seed', 'route']);
    const settings = recordJson({ promptTokens, warmUp, steps, sessions, seed, route });
    const operation = native(() => this.#native.benchmark(held('Model', model), settings));
    return reads(modelBenchmark)(await finished(operation, options));
  }

  /** Answers a question or continues a conversation. It begins when the first token is asked for. */
  chat(model: Model, messages: string | readonly ChatMessage[], options?: ChatOptions): Generation {
    const { maxTokens = 256, temperature = 0, topP = 1, topK = 0, seed = 0, stop = [], route } = checked(options, ['maxTokens', 'temperature', 'topP', 'topK', 'seed', 'stop', 'route']);
    const turns = typeof messages === 'string' ? [{ role: 'user', content: messages }] : list('messages', messages);
    const request = { messages: turns, maxTokens, temperature, topP, topK, seed, stop };
    const opening = native(() =>
      this.#native.generate(held('Model', model), recordJson(request), optional(route, (route) => text('route', route))),
    );
    return new Generation(opening, (data) => tagged(generated, data), options);
  }

  /** The logits of every token of a text: a row for each token, as long as the vocabulary. */
  async logits(
    model: Model,
    tokens: readonly number[] | Uint32Array,
    options?: CallOptions & { route?: Route | undefined },
  ): Promise<Matrix> {
    const ids = list('tokens', tokens).map((token, at) => count(`tokens[${at}]`, token, MAX_U32));
    const route = optional(checked(options, ['route']).route, (route) => text('route', route));
    return matrix(await finished(this.#native.logits(held('Model', model), ids, route), options));
  }

  /**
   * A unit vector for each text. `model` is the folder or the hub id of an embedding model; all-MiniLM-L6-v2 as it was fetched
   * unless set. The last one stays loaded. `query` says that the texts are questions, before which some models want something else
   * than before what is to be found.
   */
  async embed(
    inputs: readonly string[],
    options?: CallOptions & { model?: Path | undefined; query?: boolean | undefined },
  ): Promise<Matrix> {
    const given = checked(options, ['model', 'query']);
    const model = optional(given.model, (model) => path('model', model));
    const query = optional(given.query, (query) => truth('query', query)) ?? false;
    return matrix(await finished(this.#native.embed(texts('texts', inputs), model, query), options));
  }

  /** Lets go of the engine. That of a node stays open with the node. */
  async shutdown(): Promise<void> {
    this.#native.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

function blockChoice(blocks: Blocks | undefined): unknown {
  if (blocks === undefined || typeof blocks === 'string') return blocks ?? 'all';
  return { span: list('blocks', blocks).map((block) => index('blocks', block)) };
}

function matrix([rows, columns, values]: [number, number, Float32Array]): Matrix {
  return { rows, columns, values };
}
