/** A private knowledge base over documents: cited answers, or an honest refusal. */

import { type CallOptions, finished, held, hold } from './bridge.js';
import { InvalidArgumentError, native } from './errors.js';
import { HttpServer, SERVE_OPTIONS, type ServeOptions, serveJson } from './http.js';
import { module, type NativeRag, type NativeSupplies } from './native.js';
import {
  type DocumentReader,
  type Embedder,
  type LanguageModel,
  supplyEmbedder,
  supplyModel,
  supplyReader,
} from './provide.js';
import { type Kinds, type Shape, epoch, many, one, plain, reads, readsAll, tagged } from './records.js';
import { type ChatMessage, type Model, type Route, type ShardEngine, type Span, span } from './shard.js';
import { EventStream, lastOf } from './streams.js';
import { type Path, index, json, list, optional, options as checked, path, real, recordJson, text, texts, wrong } from './values.js';

/** How passages are found. */
export type Mode = 'hybrid' | 'lexical' | 'dense';

/** A model of a shard engine that writes the answers. */
export interface ModelWriter {
  engine: ShardEngine;
  model: Model;
  route?: Route | undefined;
}

/** A model behind an OpenAI-compatible endpoint that writes the answers, such as `http://localhost:11434/v1`. */
export interface Endpoint {
  baseUrl: string;
  model: string;
  apiKey?: string | undefined;
}

/** How documents are cut; sizes count characters. */
export interface Chunking {
  strategy?: 'sentence' | 'paragraph' | 'fixed' | 'heading' | undefined;
  size?: number | undefined;
  overlap?: number | undefined;
  min?: number | undefined;
}

/** How a knowledge base works. */
export interface RagOptions extends CallOptions {
  /**
   * The folder of a BERT model, the id of one such as `sentence-transformers/all-MiniLM-L6-v2`, which is fetched the first time,
   * `"none"` to find passages by their words alone, or an embedder of the app. Without it, all-MiniLM-L6-v2 is taken when
   * it has been fetched.
   */
  embedder?: Path | Embedder | undefined;
  /** Writes the answers; without one they are made of the best sentences. */
  model?: ModelWriter | Endpoint | LanguageModel | undefined;
  chunking?: Chunking | undefined;
  /** The language whose word forms are brought together; `english` unless set. */
  language?: string | undefined;
  /** Read formats that the library does not. */
  readers?: readonly DocumentReader[] | undefined;
}

/** The place of a passage in one of the two searches, from 1, and its BM25 score or cosine. */
export interface Rank {
  rank: number;
  score: number;
}

/** A passage found. */
export interface Hit {
  documentId: string;
  document: string;
  chunkId: string;
  text: string;
  /** The bytes of the document's text, in UTF-8, that it covers. */
  span: Span;
  /** Where it stands, for people: `page 3`, or a heading. */
  section: string | null;
  /** Where it stands as exactly as the format allows: `page 12, table 3`, `Installation > Linux`, `row 7`. */
  locator: string | null;
  score: number;
  lexical: Rank | null;
  dense: Rank | null;
  /** The name, in the question or in another passage, that led to its document. */
  via: string | null;
}

/** What a search found, best first, and how it searched. */
export interface SearchResult {
  hits: Hit[];
  mode: Mode;
  /** Why it is not the mode that was asked for. */
  note: string | null;
}

/** What `[n]` in an answer stands for. */
export interface Citation {
  number: number;
  documentId: string;
  document: string;
  chunkId: string;
  section: string | null;
  /** Where it stands as exactly as the format allows: `page 12, table 3`, `Installation > Linux`, `row 7`. */
  locator: string | null;
  span: Span;
  quote: string;
}

/** What speaks for and against an answer being in the documents. Shares are between 0 and 1. */
export interface Evidence {
  nearestPassage: number | null;
  nearestSentence: number | null;
  passageCoverage: number;
  jointCoverage: number;
  matched: number;
  sentenceCoverage: number;
  unknown: number;
  lexicalLead: number;
  agreement: boolean;
}

/** An answer with its sources, or the refusal of one. */
export interface Answer {
  /** With `[n]` after what a source supports. */
  text: string;
  citations: Citation[];
  refused: boolean;
  /** Why it was refused, or why it is not the answer of the language model. */
  why: string | null;
  support: number;
  evidence: Evidence;
  mode: Mode;
  note: string | null;
  /** The language model that wrote the text; `null` for quotes and refusals. */
  model: string | null;
}

/** What asking yields. After `retracted` what came so far does not count: the answer follows anew. */
export type AskEvent =
  | { kind: 'text'; text: string }
  | { kind: 'retracted'; why: string }
  | { kind: 'done'; answer: Answer };

/** What an ingestion yields: `found` first, `finished` last. */
export type IngestEvent =
  | { kind: 'found'; files: number }
  | { kind: 'reading'; name: string }
  | { kind: 'embedded'; name: string; done: number; total: number }
  | { kind: 'document_done'; name: string; documentId: string; chunks: number; ms: number; warnings: string[] }
  | { kind: 'unchanged'; name: string }
  | { kind: 'document_failed'; name: string; code: string; message: string }
  | { kind: 'finished'; ingested: number; unchanged: number; failed: number; chunks: number };

/** The totals of an ingestion. */
export type IngestTotals = Omit<Extract<IngestEvent, { kind: 'finished' }>, 'kind'>;

/**
 * What keeping a folder alike yields: for each pass `compared` first and `finished` last. A document whose file is gone is `deleted`
 * or, unless that was asked for, `missing`. While watching, `watching` follows the first pass, and passes that found nothing new are
 * not reported.
 */
export type SyncEvent =
  | { kind: 'compared'; files: number; pending: number; gone: number }
  | { kind: 'reading'; name: string }
  | { kind: 'embedded'; name: string; done: number; total: number }
  | { kind: 'added'; name: string; documentId: string; chunks: number; ms: number; warnings: string[] }
  | { kind: 'changed'; name: string; documentId: string; chunks: number; ms: number; warnings: string[] }
  | { kind: 'moved'; before: string; name: string; documentId: string }
  | { kind: 'deleted'; name: string; documentId: string }
  | { kind: 'missing'; name: string; documentId: string }
  | { kind: 'failed'; name: string; code: string; message: string }
  | { kind: 'finished'; added: number; changed: number; moved: number; deleted: number; missing: number; unchanged: number; failed: number }
  | { kind: 'watching'; events: boolean; note: string | null };

/** The totals of a pass over a folder. */
export type SyncTotals = Omit<Extract<SyncEvent, { kind: 'finished' }>, 'kind'>;

/** How a folder is kept alike. */
export interface SyncOptions extends CallOptions {
  /** Whether to go on after the first pass, until the loop is left. */
  watch?: boolean | undefined;
  /** While watching: the folder is looked through at least this often; a minute unless set. */
  intervalMs?: number | undefined;
  /** While watching: do without the file system's events, which some network drives never send. */
  polling?: boolean | undefined;
  /** Only files with these extensions; every file that can be read unless set. */
  extensions?: string[] | undefined;
  /** Whether a document is deleted when its file is gone. Otherwise it stays, and is reported missing. */
  delete?: boolean | undefined;
}

/** A document of a knowledge base. */
export interface DocumentInfo {
  id: string;
  name: string;
  source: string | null;
  format: string;
  contentHash: string;
  bytes: number;
  chunks: number;
  /** What of it could not be read. */
  warnings: string[];
  ingestedAt: Date;
}

/** The embedder whose vectors a knowledge base holds. */
export interface EmbedderInfo {
  id: string;
  dimension: number;
}

/** What a knowledge base holds and how it searches. */
export interface Stats {
  documents: number;
  chunks: number;
  vectors: number;
  indexed: number;
  sealedVectors: number;
  generation: number;
  embedder: EmbedderInfo | null;
  languageModel: string | null;
  mode: Mode;
  /** How much meaning counts against words in a hybrid search, 0 to 1. */
  denseWeight: number;
  /** Why the mode is not hybrid. */
  note: string | null;
}

/** How to search. */
export interface SearchOptions extends CallOptions {
  /** How many passages; 8 unless set. */
  k?: number | undefined;
  /** `hybrid` unless set. */
  mode?: Mode | undefined;
  /**
   * Whether documents gain that the text, or a passage found, calls by their names, which finds what answers a question in two
   * steps; false unless set.
   */
  links?: boolean | undefined;
  /** The documents to look in, by their ids; all unless set. */
  documents?: readonly string[] | undefined;
  /** Only what was ingested then or later, in milliseconds since 1970. */
  sinceMs?: number | undefined;
  /** Only what was ingested before, in milliseconds since 1970. */
  beforeMs?: number | undefined;
  /** How much hits are to differ from one another, 0 to 1; 0 unless set. */
  diversity?: number | undefined;
  /**
   * How much meaning counts against words in a hybrid search, 0 to 1; what the knowledge base found out from its own passages
   * unless set.
   */
  denseWeight?: number | undefined;
}

/** What questions are calibrated with, which is what they are asked with later. */
export interface CalibrationOptions extends CallOptions {
  /** How many passages are considered; 8 unless set. */
  k?: number | undefined;
  /** `hybrid` unless set. Each mode has a calibration of its own. */
  mode?: Mode | undefined;
  /** Whether documents gain that the question, or a passage found, calls by their names; true unless set. */
  links?: boolean | undefined;
  /** The documents to look in, by their ids; all unless set. */
  documents?: readonly string[] | undefined;
}

/** How to answer. */
export interface AskOptions extends CalibrationOptions {
  /** The least support by the documents that is answered, 0 to 1, 0.5 unless set: higher refuses more. */
  minSupport?: number | undefined;
  /**
   * The share of questions without an answer in the documents that may get one all the same, 0 to 1. It takes the place of
   * `minSupport`, and needs `calibrate`, without which the answer ends with a `ConflictError`.
   */
  maxUnsupported?: number | undefined;
  /** The longest generated answer in tokens; 400 unless set. */
  maxTokens?: number | undefined;
  /** How much a language model is given to read, in estimated tokens; 3000 unless set. */
  maxContextTokens?: number | undefined;
  /**
   * The turns before the question, the earliest first. A question that says too little by itself is looked for together with the
   * one before.
   */
  history?: readonly ChatMessage[] | undefined;
}

/** A question whose answer is known to stand in documents, or in none. */
export interface CalibrationQuestion {
  question: string;
  /** The ids of the documents that answer it; none where nothing does. */
  documents?: readonly string[] | undefined;
}

/** What is wrong with a citation. */
export type FaultKind = 'wrong_number' | 'misattributed' | 'stitched' | 'fabricated' | 'uncited' | 'wrong_figure';

/** Something that a source was said to say and does not. */
export interface Fault {
  /**
   * The number is that of no source; the text stands in another source; it is put together from pieces that stand apart; it stands in
   * none; nothing is cited for it; a number stands in none of the sources that are cited for it.
   */
  kind: FaultKind;
  /** The bytes of the answer, in UTF-8, that it concerns. */
  span: Span;
  /** The numbers that are cited there. */
  cited: number[];
  /** The source in which the text stands, where there is one. */
  foundIn: number | null;
}

const rank: Shape<Rank> = { rank: plain, score: plain };
const hit: Shape<Hit> = {
  documentId: plain,
  document: plain,
  chunkId: plain,
  text: plain,
  span: one(span),
  section: plain,
  locator: plain,
  score: plain,
  lexical: one(rank),
  dense: one(rank),
  via: plain,
};
const searchResult: Shape<SearchResult> = { hits: many(hit), mode: plain, note: plain };
const citation: Shape<Citation> = {
  number: plain,
  documentId: plain,
  document: plain,
  chunkId: plain,
  section: plain,
  locator: plain,
  span: one(span),
  quote: plain,
};
const evidence: Shape<Evidence> = {
  nearestPassage: plain,
  nearestSentence: plain,
  passageCoverage: plain,
  jointCoverage: plain,
  matched: plain,
  sentenceCoverage: plain,
  unknown: plain,
  lexicalLead: plain,
  agreement: plain,
};
const answer: Shape<Answer> = {
  text: plain,
  citations: many(citation),
  refused: plain,
  why: plain,
  support: plain,
  evidence: one(evidence),
  mode: plain,
  note: plain,
  model: plain,
};
const asked: Kinds<AskEvent> = {
  text: { kind: plain, text: plain },
  retracted: { kind: plain, why: plain },
  done: { kind: plain, answer: one(answer) },
};
const progress: Kinds<IngestEvent> = {
  found: { kind: plain, files: plain },
  reading: { kind: plain, name: plain },
  embedded: { kind: plain, name: plain, done: plain, total: plain },
  document_done: { kind: plain, name: plain, documentId: plain, chunks: plain, ms: plain, warnings: plain },
  unchanged: { kind: plain, name: plain },
  document_failed: { kind: plain, name: plain, code: plain, message: plain },
  finished: { kind: plain, ingested: plain, unchanged: plain, failed: plain, chunks: plain },
};
const synced: Kinds<SyncEvent> = {
  compared: { kind: plain, files: plain, pending: plain, gone: plain },
  reading: { kind: plain, name: plain },
  embedded: { kind: plain, name: plain, done: plain, total: plain },
  added: { kind: plain, name: plain, documentId: plain, chunks: plain, ms: plain, warnings: plain },
  changed: { kind: plain, name: plain, documentId: plain, chunks: plain, ms: plain, warnings: plain },
  moved: { kind: plain, before: plain, name: plain, documentId: plain },
  deleted: { kind: plain, name: plain, documentId: plain },
  missing: { kind: plain, name: plain, documentId: plain },
  failed: { kind: plain, name: plain, code: plain, message: plain },
  finished: { kind: plain, added: plain, changed: plain, moved: plain, deleted: plain, missing: plain, unchanged: plain, failed: plain },
  watching: { kind: plain, events: plain, note: plain },
};
const documentInfo: Shape<DocumentInfo> = {
  id: plain,
  name: plain,
  source: plain,
  format: plain,
  contentHash: plain,
  bytes: plain,
  chunks: plain,
  warnings: plain,
  ingestedAt: epoch('ingested_at_ms'),
};
const embedderInfo: Shape<EmbedderInfo> = { id: plain, dimension: plain };
const stats: Shape<Stats> = {
  documents: plain,
  chunks: plain,
  vectors: plain,
  indexed: plain,
  sealedVectors: plain,
  generation: plain,
  embedder: one(embedderInfo),
  languageModel: plain,
  mode: plain,
  denseWeight: plain,
  note: plain,
};
type Supports = Pick<Calibration, 'answerable' | 'unanswerable' | 'fromPassages' | 'generation'>;
const calibration: Shape<Supports> = { answerable: plain, unanswerable: plain, fromPassages: plain, generation: plain };
const fault: Shape<Fault> = { kind: plain, span: one(span), cited: plain, foundIn: plain };

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = { searchResult, asked, progress, synced, documentInfo, stats, calibration, fault };

/**
 * The support of questions that are known to be answered, and of others: what says when to refuse.
 *
 * Split conformal prediction (arXiv 2107.07511): of the questions that the documents do not answer, at most the tolerated share gets an
 * answer, on average, as long as the questions that are asked are like those that were calibrated with.
 */
export class Calibration {
  /** Of those that the documents answer, in ascending order. */
  readonly answerable: readonly number[];
  /** Of those that they do not, in ascending order. */
  readonly unanswerable: readonly number[];
  /** Whether the questions were made of the documents' own sentences. */
  readonly fromPassages: boolean;
  /** The generation of the knowledge base that it was made with. */
  readonly generation: number;

  /** One that was made before, from its fields. */
  constructor({ answerable, unanswerable, fromPassages, generation }: Supports) {
    this.answerable = answerable;
    this.unanswerable = unanswerable;
    this.fromPassages = fromPassages;
    this.generation = generation;
  }

  /**
   * The support above which a question is answered when at most the share `alpha`, 0 to 1, of those without an answer in the documents
   * may get one; `null` when so few were calibrated with that all must be refused.
   */
  threshold(alpha: number): number | null {
    return this.#at(alpha).threshold;
  }

  /** The share of the answerable questions that get an answer when `alpha` is tolerated. */
  answered(alpha: number): number {
    return this.#at(alpha).answered;
  }

  /**
   * How often an answerable question has more support than another, equals counting half: the area under the ROC curve. `null` without
   * one of either.
   */
  get auroc(): number | null {
    return this.#at(1).auroc;
  }

  #at(alpha: number): { threshold: number | null; answered: number; auroc: number | null } {
    return JSON.parse(native(() => module.calibrationAt(recordJson(this), real('alpha', alpha))));
  }
}

const answerText = (value: unknown): string => text('text', value);

/**
 * Compares an answer with the texts of its sources, of which the first is `[1]`; empty when its citations hold.
 *
 * No model is asked: what stands in quotation marks, with three words or more, or is taken word by word from a source must stand in one
 * that is cited for it, every sentence cites something, and numbers above twelve stand in a source that is cited. A paraphrase is not
 * judged.
 */
export function checkCitations(text: string, sources: readonly string[]): Fault[] {
  return readsAll(fault)(native(() => module.checkCitations(answerText(text), texts('sources', sources))));
}

const SEARCHING = ['k', 'mode', 'links', 'documents', 'sinceMs', 'beforeMs', 'diversity', 'denseWeight'] as const;
const ASKING = [
  'k', 'mode', 'links', 'documents', 'minSupport', 'maxUnsupported', 'maxTokens', 'maxContextTokens', 'history',
] as const;

/** The progress of an ingestion. Leaving it early stops between documents. */
export class Ingestion extends EventStream<IngestEvent> {
  /** Reads to the end and returns the totals. */
  async done(): Promise<IngestTotals> {
    const { kind, ...totals } = (await lastOf(this, () => {})) as Extract<IngestEvent, { kind: 'finished' }>;
    return totals;
  }
}

/** How a folder is kept alike. Leaving it ends a watch; what was reported done stays. */
export class Syncing extends EventStream<SyncEvent> {
  /** Reads to the end of the pass and returns its totals, without a watch. */
  async done(): Promise<SyncTotals> {
    const { kind, ...totals } = (await lastOf(this, () => {})) as Extract<SyncEvent, { kind: 'finished' }>;
    return totals;
  }
}

/** An answer as it is written. */
export class Asking extends EventStream<AskEvent> {
  /** Reads to the end and returns the whole answer. */
  async done(): Promise<Answer> {
    return ((await lastOf(this, () => {})) as Extract<AskEvent, { kind: 'done' }>).answer;
  }
}

/** A private knowledge base. Nothing leaves the machine, unless the model it was given does so. */
export class Rag implements AsyncDisposable {
  readonly #native: NativeRag;

  private constructor(native: NativeRag) {
    if (!(native instanceof (module.Rag as never))) throw wrong('a Rag', 'opened by Rag.open or Node.rag', native);
    this.#native = native;
    hold('Rag', this, native);
  }

  /** @internal */
  static of(native: NativeRag): Rag {
    return new Rag(native);
  }

  /** Opens a knowledge base alone, without a node, in a directory that is made when it is missing. */
  static async open(dir: Path, options?: RagOptions): Promise<Rag> {
    const [config, supplies] = ragOptions(options);
    const opening = native(() => module.Rag.open(path('dir', dir), config, supplies));
    return new Rag(await finished(opening, options));
  }

  /**
   * Reads a file, every file of a folder, or a document from memory, whose `name` tells its format. It begins when the first
   * event is asked for. A document replaces the one of the same name.
   */
  ingest(source: Path | Uint8Array, options?: CallOptions & { name?: string | undefined }): Ingestion {
    const name = optional(checked(options, ['name']).name, (name) => text('name', name));
    const opening =
      source instanceof Uint8Array
        ? this.#native.ingestBytes(name ?? '', source)
        : this.#native.ingestPath(path('source', source));
    return new Ingestion(opening, (data) => tagged(progress, data), options);
  }

  /**
   * Keeps the documents of a folder as its files are: adds new ones, replaces changed ones, renames moved ones. Files are compared by the
   * hash of their contents, and only documents that came from this folder are touched. It begins when the first event is asked for.
   */
  sync(folder: Path, options?: SyncOptions): Syncing {
    const { watch, intervalMs, polling, extensions, delete: gone } = checked(options, ['watch', 'intervalMs', 'polling', 'extensions', 'delete']);
    const how = recordJson({ watch, intervalMs, polling, extensions, delete: gone });
    const opening = native(() => this.#native.sync(path('folder', folder), how));
    return new Syncing(opening, (data) => tagged(synced, data), options);
  }

  /** The passages that fit a text best. */
  async search(query: string, options?: SearchOptions): Promise<SearchResult> {
    const { k = 8, mode, links, documents, sinceMs, beforeMs, diversity, denseWeight } = checked(options, SEARCHING);
    const how = recordJson({ mode, links, documents, sinceMs, beforeMs, diversity, denseWeight });
    const operation = native(() => this.#native.search(text('text', query), index('k', k), how));
    return reads(searchResult)(await finished(operation, options));
  }

  /** Answers a question from the documents, with citations, or refuses. It begins when the first event is asked for. */
  ask(question: string, options?: AskOptions): Asking {
    const { k = 8, mode, links, documents, minSupport, maxUnsupported, maxTokens, maxContextTokens, history } = checked(options, ASKING);
    const told = { mode, links, documents, minSupport, maxUnsupported, maxTokens, maxContextTokens, history };
    const how = recordJson({ k: index('k', k), ...told });
    const opening = native(() => this.#native.ask(text('question', question), how));
    return new Asking(opening, (data) => tagged(asked, data), options);
  }

  /**
   * Learns from questions when to refuse, so that `ask` can be given `maxUnsupported`: how well the documents support answers to
   * questions that they answer, to the same ones with those documents out of sight, and to such as nothing answers. Without questions
   * some are made of sentences of the documents.
   */
  async calibrate(options?: CalibrationOptions & { questions?: readonly CalibrationQuestion[] | undefined }): Promise<Calibration> {
    const { questions, k = 8, mode, links, documents } = checked(options, ['questions', 'k', 'mode', 'links', 'documents']);
    const how = recordJson({ k: index('k', k), mode, links, documents });
    const operation = native(() => this.#native.calibrate(json('questions', list('questions', questions ?? [])), how));
    return new Calibration(reads(calibration)(await finished(operation, options)));
  }

  /** Every document, in the order of the names. */
  async documents(options?: CallOptions): Promise<DocumentInfo[]> {
    return readsAll(documentInfo)(await finished(this.#native.documents(), options));
  }

  /** The text of a document. Spans count its bytes in UTF-8. */
  async documentText(id: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.documentText(text('id', id)), options);
  }

  /** Removes a document and every trace of it. */
  async deleteDocument(id: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.deleteDocument(text('id', id)), options);
  }

  /** What it holds and how it searches. */
  async stats(options?: CallOptions): Promise<Stats> {
    return reads(stats)(await finished(this.#native.stats(), options));
  }

  /**
   * Serves a page for people, and a model for programs that speak OpenAI's HTTP API, which requests call by `name`,
   * `kwaainet-knowledge` unless set; on port 9090 of this machine alone unless the options say otherwise. It ends with what it resolves
   * to, and with the knowledge base. Rejects with `BusyError` when the port is taken.
   */
  async serve(options?: ServeOptions & { name?: string | undefined }): Promise<HttpServer> {
    const given = checked(options, ['name', ...SERVE_OPTIONS]);
    const name = optional(given.name, (name) => text('name', name));
    const operation = native(() => this.#native.serve(name, serveJson(given)));
    return HttpServer.of(await finished(operation, options));
  }

  /** Stops what is under way and unlocks the directory. Idempotent. */
  async shutdown(options?: CallOptions): Promise<void> {
    await finished(this.#native.shutdown(), options);
  }

  /** Shuts down and deletes everything that was stored. */
  async destroy(options?: CallOptions): Promise<void> {
    await finished(this.#native.destroy(), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** @internal The options as the native module reads them, and what the app brings. */
export function ragOptions(options: RagOptions | undefined): [string, NativeSupplies] {
  const { embedder, model, chunking, language, readers } = checked(options, ['embedder', 'model', 'chunking', 'language', 'readers']);
  const supplies = new module.Supplies();
  const config: Record<string, unknown> = {};
  if (typeof embedder === 'string' || embedder instanceof URL) config['embedder'] = path('embedder', embedder);
  else if (embedder !== undefined && embedder !== null) supplyEmbedder(supplies, embedder);
  if (model !== undefined && model !== null) config['endpoint'] = supplyWriter(supplies, model);
  if (chunking !== undefined && chunking !== null) config['chunking'] = chunking;
  if (language !== undefined && language !== null) config['language'] = language;
  for (const reader of list('readers', readers ?? [])) supplyReader(supplies, reader as DocumentReader);
  return [recordJson(config), supplies];
}

/** @internal The endpoint that writes; any other writer goes into the supplies. */
export function supplyWriter(
  supplies: NativeSupplies,
  model: ModelWriter | Endpoint | LanguageModel,
  what = 'model',
): Endpoint | undefined {
  if (typeof model !== 'object' || model === null) throw wrong(what, 'a LanguageModel, a ModelWriter or an Endpoint', model);
  if ('engine' in model) {
    const route = optional(model.route, (route) => text('route', route));
    native(() => supplies.writer(held('ShardEngine', model.engine), held('Model', model.model), route));
  } else if ('baseUrl' in model) {
    return { baseUrl: model.baseUrl, model: model.model, apiKey: model.apiKey };
  } else if ('generate' in model) {
    supplyModel(supplies, model);
  } else {
    throw new InvalidArgumentError(`${what} is neither a LanguageModel nor a ModelWriter nor an Endpoint`);
  }
  return undefined;
}
