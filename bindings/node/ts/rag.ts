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
import { type Kinds, type Shape, each, epoch, many, one, plain, reads, readsAll, tagged } from './records.js';
import { type ChatMessage, type Model, type Route, type ShardEngine, type Span, span } from './shard.js';
import { EventStream, lastOf } from './streams.js';
import type { VectorCollection } from './vpk.js';
import { type Path, index, json, list, optional, options as checked, path, real, recordJson, snake, text, texts, truth, wrong } from './values.js';

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

/**
 * An embedding model behind an OpenAI-compatible endpoint, such as `https://api.openai.com/v1`, or an Ollama server. Texts leave this
 * machine, unless the endpoint is on it.
 */
export interface EmbeddingEndpoint {
  baseUrl: string;
  model: string;
  apiKey?: string | undefined;
  /** How it speaks; `openai` unless set. */
  api?: 'openai' | 'ollama' | undefined;
  /** The length of its vectors, which is asked for unless set. */
  dimension?: number | undefined;
  /** Put before what is looked for; what models of its name want unless set. */
  queryPrompt?: string | undefined;
  /** Put before what is found; what models of its name want unless set. */
  documentPrompt?: string | undefined;
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
   * The folder of an embedding model, the id of one such as `sentence-transformers/all-MiniLM-L6-v2`, which is fetched the first time,
   * one behind an endpoint, `"none"` to find passages by their words alone, or an embedder of the app. Without it,
   * all-MiniLM-L6-v2 is taken when it has been fetched.
   */
  embedder?: Path | EmbeddingEndpoint | Embedder | undefined;
  /** Writes the answers; without one they are made of the best sentences. */
  model?: ModelWriter | Endpoint | LanguageModel | undefined;
  chunking?: Chunking | undefined;
  /** The language whose word forms are brought together; `english` unless set. */
  language?: string | undefined;
  /** Read formats that the library does not. */
  readers?: readonly DocumentReader[] | undefined;
  /** Which answers are given again to the same question; none unless set. */
  cache?: AnswerCache | undefined;
}

/** How a knowledge base of a node works. */
export interface NodeRagOptions extends RagOptions {
  /**
   * The directory that it lies in instead of the node's, for example on another disk. The node remembers it by the name; another one
   * rejects with `ConflictError`, and one that is missing with `NotFoundError`, and nothing is made in its place.
   */
  dataDir?: Path | undefined;
}

/** Which answers stay in memory, to be given again while the knowledge base and the options stay the same. */
export interface AnswerCache {
  /** Kept at most, 500 unless set; the one that was not asked for the longest goes first. */
  answers?: number | undefined;
  /** An older answer is not given again; a day unless set. */
  ttlMs?: number | undefined;
  /** The least cosine of two questions that ask the same in other words, 0.95 unless set; 1 keeps to the wording. */
  similarity?: number | undefined;
}

/** What became of the answers that are kept. */
export interface CacheStats {
  /** Kept now. */
  answers: number;
  /** Questions that were answered from them. */
  hits: number;
  /** Those of them that were worded otherwise. */
  similar: number;
  misses: number;
  /** Answers that were too old, or of a knowledge base that changed since. */
  outdated: number;
}

/** What an app says about a document: at most 32 short keys with texts. */
export type Metadata = Readonly<Record<string, string>>;

/** How to ingest. */
export interface IngestOptions extends CallOptions {
  /** Tells the format of a document from memory. */
  name?: string | undefined;
  /**
   * What the app says about each document: it replaces what was said before, also where the file is the same. Without it what was said
   * before stays.
   */
  metadata?: Metadata | undefined;
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
  /** Where it stands as exactly as the format allows: `page 12`, `Installation > Linux, table 3`, `row 7`. */
  locator: string | null;
  score: number;
  lexical: Rank | null;
  dense: Rank | null;
  /** The name, in the question or in another passage, that led to its document. */
  via: string | null;
  /** What the app said about its document. */
  metadata: Metadata;
  /** The passage with those around it, where `neighbours` asks for them. */
  around: Around | null;
}

/** A passage with those of the same document around it, as one piece of the document. */
export interface Around {
  text: string;
  /** The bytes of the document's text, in UTF-8, that it covers. */
  span: Span;
  locator: string | null;
}

/** How long the stages of a search took, in milliseconds. Words and meaning are looked for side by side. */
export interface Timings {
  wordsMs: number;
  meaningMs: number;
  fusingMs: number;
  linksMs: number;
  /** Waiting for the language model. */
  modelMs: number;
  totalMs: number;
}

/** What a search found, best first, and how it searched. */
export interface SearchResult {
  hits: Hit[];
  mode: Mode;
  /** Why it is not the mode that was asked for. */
  note: string | null;
  /** How long it took, where `timed` asks for it. */
  timings: Timings | null;
}

/** What `[n]` in an answer stands for. */
export interface Citation {
  number: number;
  documentId: string;
  document: string;
  chunkId: string;
  section: string | null;
  /** Where it stands as exactly as the format allows: `page 12`, `Installation > Linux, table 3`, `row 7`. */
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
  /** Why it was refused, why it is not the answer of the language model, or why it is not all that the model began. */
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

/** What a change of the embedder yields: `found` first, `finished` last. */
export type ReembedEvent =
  | { kind: 'found'; passages: number; done: number }
  | { kind: 'embedded'; done: number; total: number }
  | { kind: 'finished'; passages: number; embedded: number };

/** The totals of a change of the embedder: passages with its vectors, and texts that were embedded by this run. */
export type ReembedTotals = Omit<Extract<ReembedEvent, { kind: 'finished' }>, 'kind'>;

/** What bringing vectors to a collection yields: `found` first, `finished` last. */
export type OutsourceEvent =
  | { kind: 'found'; passages: number; done: number }
  | { kind: 'brought'; done: number; total: number }
  | { kind: 'finished'; passages: number; brought: number };

/** The totals of bringing vectors to a collection: passages whose vectors it holds, and vectors that were brought by this run. */
export type OutsourceTotals = Omit<Extract<OutsourceEvent, { kind: 'finished' }>, 'kind'>;

/** A knowledge base whose vectors are in a collection at other people's nodes, or on their way there. */
export interface Outsourced {
  /** The id of the collection. */
  collection: string;
  /** Whether the collection was given since the knowledge base was opened, so that it is searched. */
  attached: boolean;
  /** Whether all vectors are there, and nothing of them is left where the knowledge base lies. */
  complete: boolean;
  /** What the collection was not told yet: passages that came or went. */
  waiting: number;
}

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
  /** What the app said about it. */
  metadata: Metadata;
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
  /** Where the vectors are, or are brought, if that is not here. */
  outsourced: Outsourced | null;
}

/** Where to look, and with what help: for searching and for asking. */
export interface FindOptions extends CallOptions {
  /** The documents to look in, by their ids; all unless set. */
  documents?: readonly string[] | undefined;
  /** Only what was ingested then or later, in milliseconds since 1970. */
  sinceMs?: number | undefined;
  /** Only what was ingested before, in milliseconds since 1970. */
  beforeMs?: number | undefined;
  /** Only documents that were read as one of these, such as `pdf`. */
  formats?: readonly string[] | undefined;
  /** Only documents whose names fit one of these patterns, such as `reports/*.pdf`; `**` stands for slashes too. */
  names?: readonly string[] | undefined;
  /** Only documents that the app gave these values for these keys. */
  metadata?: Metadata | undefined;
  /** So many passages before and after each come with it, 8 at most: in `around` of a hit, or for the language model that answers. */
  neighbours?: number | undefined;
  /** So many other wordings, by the language model, are looked for as well; 8 at most. */
  wordings?: number | undefined;
  /** How much a passage counts that the language model makes up, 0 to 1. */
  hypothesis?: number | undefined;
  /** So many passages are put in order by the language model; 100 at most. */
  rerank?: number | undefined;
}

/** How to search. */
export interface SearchOptions extends FindOptions {
  /** How many passages; 8 unless set. */
  k?: number | undefined;
  /** `hybrid` unless set. */
  mode?: Mode | undefined;
  /**
   * Whether documents gain that the text, or a passage found, calls by their names, which finds what answers a question in two
   * steps; false unless set.
   */
  links?: boolean | undefined;
  /** How much hits are to differ from one another, 0 to 1; 0 unless set. */
  diversity?: number | undefined;
  /**
   * How much meaning counts against words in a hybrid search, 0 to 1; what the knowledge base found out from its own passages
   * unless set.
   */
  denseWeight?: number | undefined;
  /** Whether to tell how long each stage took; false unless set. */
  timed?: boolean | undefined;
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
export interface AskOptions extends CalibrationOptions, FindOptions {
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

/** A question whose answer is known. It counts for what it can be judged by. */
export interface EvaluationQuestion {
  question: string;
  /** What the report calls it; its place in the list unless set. */
  id?: string | undefined;
  /** The documents that answer it, by their ids or names. */
  documents?: readonly string[] | undefined;
  /** What the answer must say; of a list one. */
  expectedKeywords?: readonly (string | readonly string[])[] | undefined;
  /** The number that it must give. What is as near as `tolerance` counts as right. */
  numericAnswer?: { correct: number; tolerance?: number | undefined } | undefined;
  /** The answer in words, for a judge. */
  expectedAnswer?: string | undefined;
  /** Whether the right answer is that there is none. */
  unanswerable?: boolean | undefined;
}

/** What to evaluate. */
export interface EvaluationOptions extends CallOptions {
  /** What the report calls it. */
  name?: string | undefined;
  /** How passages are looked for. */
  search?: Omit<SearchOptions, 'k' | 'signal'> | undefined;
  /** How questions are asked; without it only what is found is judged. */
  ask?: Omit<AskOptions, 'signal'> | undefined;
  /** A model that compares answers with the expected ones. */
  judge?: ModelWriter | Endpoint | LanguageModel | undefined;
}

/** A mean, and where it lies in 95 of 100 draws of as many questions. */
export interface Mean {
  value: number;
  low: number;
  high: number;
  /** Of how many questions. */
  count: number;
}

/** The mean difference of pairs, and the share of draws that have it the other way round or none: small where it is no chance. */
export interface Difference {
  mean: Mean;
  p: number;
}

/** What came of one question. */
export interface QuestionResult {
  id: string;
  question: string;
  /** Each 0 to 1, by their names. */
  scores: Readonly<Record<string, number>>;
  answer: string | null;
  refused: boolean | null;
  support: number | null;
  unanswerable: boolean;
  /** Why it failed; every score that it could have had is 0 then. */
  error: string | null;
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
const around: Shape<Around> = { text: plain, span: one(span), locator: plain };
/** @internal */
export const hit: Shape<Hit> = {
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
  metadata: plain,
  around: one(around),
};
const timings: Shape<Timings> = { wordsMs: plain, meaningMs: plain, fusingMs: plain, linksMs: plain, modelMs: plain, totalMs: plain };
const searchResult: Shape<SearchResult> = { hits: many(hit), mode: plain, note: plain, timings: one(timings) };
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
const reembedded: Kinds<ReembedEvent> = {
  found: { kind: plain, passages: plain, done: plain },
  embedded: { kind: plain, done: plain, total: plain },
  finished: { kind: plain, passages: plain, embedded: plain },
};
const broughtAway: Kinds<OutsourceEvent> = {
  found: { kind: plain, passages: plain, done: plain },
  brought: { kind: plain, done: plain, total: plain },
  finished: { kind: plain, passages: plain, brought: plain },
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
  metadata: plain,
};
const cacheStats: Shape<CacheStats> = { answers: plain, hits: plain, similar: plain, misses: plain, outdated: plain };
const embedderInfo: Shape<EmbedderInfo> = { id: plain, dimension: plain };
const outsourced: Shape<Outsourced> = { collection: plain, attached: plain, complete: plain, waiting: plain };
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
  outsourced: one(outsourced),
};
type Supports = Pick<Calibration, 'answerable' | 'unanswerable' | 'fromPassages' | 'generation'>;
const calibration: Shape<Supports> = { answerable: plain, unanswerable: plain, fromPassages: plain, generation: plain };
const mean: Shape<Mean> = { value: plain, low: plain, high: plain, count: plain };
const difference: Shape<Difference> = { mean: one(mean), p: plain };
const questionResult: Shape<QuestionResult> = {
  id: plain,
  question: plain,
  scores: plain,
  answer: plain,
  refused: plain,
  support: plain,
  unanswerable: plain,
  error: plain,
};
type Judged = Pick<Evaluation, 'name' | 'means' | 'refusalAuroc' | 'failed' | 'questions'>;
const evaluation: Shape<Judged> = { name: plain, means: each(mean), refusalAuroc: plain, failed: plain, questions: many(questionResult) };
const fault: Shape<Fault> = { kind: plain, span: one(span), cited: plain, foundIn: plain };

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = {
  searchResult, asked, progress, synced, reembedded, broughtAway, documentInfo, stats, calibration, cacheStats, evaluation, fault,
};

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

/** What came of questions whose answers are known. */
export class Evaluation {
  readonly name: string;
  /**
   * `recall@1` to `recall@10`, `mrr` and `ndcg@10` of the documents found; `keywords`, `number`, `citations`, `refusal` and `judge` of the
   * answers.
   */
  readonly means: Readonly<Record<string, Mean>>;
  /** How well support tells what has an answer from what has none; `null` without questions of both kinds. */
  readonly refusalAuroc: number | null;
  readonly failed: number;
  readonly questions: readonly QuestionResult[];

  /** One that was made before, from its fields. */
  constructor({ name, means, refusalAuroc, failed, questions }: Judged) {
    this.name = name;
    this.means = means;
    this.refusalAuroc = refusalAuroc;
    this.failed = failed;
    this.questions = questions;
  }

  /**
   * The mean difference of each score from another evaluation of the same questions, question by question: above 0 where this one is
   * better.
   */
  compare(other: Evaluation): Record<string, Difference> {
    const differences = native(() => module.compareEvaluations(this.toJson(), evaluated('other', other).toJson()));
    return each(difference).read(JSON.parse(differences)) as Record<string, Difference>;
  }

  /** All of it, as the library writes it. */
  toJson(): string {
    const { name, means, refusalAuroc, failed, questions } = this;
    const told = { name, means, refusal_auroc: refusalAuroc, failed, questions };
    return json('evaluation', told);
  }

  /** The means as a table, and what failed. */
  toMarkdown(): string {
    return native(() => module.evaluationReport(this.toJson(), undefined, 'markdown'));
  }

  /** A page that needs nothing beside itself and in which nothing runs, with another evaluation beside this one. */
  toHtml(beside?: Evaluation): string {
    const other = optional(beside, (beside) => evaluated('beside', beside).toJson());
    return native(() => module.evaluationReport(this.toJson(), other, 'html'));
  }
}

function evaluated(what: string, value: unknown): Evaluation {
  if (!(value instanceof Evaluation)) throw wrong(what, 'an Evaluation', value);
  return value;
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

const FINDING = [
  'mode', 'links', 'documents', 'sinceMs', 'beforeMs', 'formats', 'names', 'metadata', 'neighbours', 'wordings', 'hypothesis', 'rerank',
] as const;
const SEARCHING = [...FINDING, 'diversity', 'denseWeight', 'timed'] as const;
const ASKING = [...FINDING, 'k', 'minSupport', 'maxUnsupported', 'maxTokens', 'maxContextTokens', 'history'] as const;

/** The options as the native module reads them. Keys of metadata are the app's own, and stay as they are written. */
function optionsJson({ metadata, ...options }: { metadata?: Metadata | undefined }, what = ''): string {
  const { signal, ...told } = options as CallOptions;
  const rest = recordJson(told, what);
  if (metadata === undefined || metadata === null) return rest;
  const own = `"metadata":${json(what === '' ? 'metadata' : `${what}.metadata`, metadata)}`;
  return rest === '{}' ? `{${own}}` : `${rest.slice(0, -1)},${own}}`;
}

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

/** How a change of the embedder gets on. Leaving it early stops the work; what was embedded is kept for the next time. */
export class Reembedding extends EventStream<ReembedEvent> {
  /** Reads to the end and returns the totals. */
  async done(): Promise<ReembedTotals> {
    const { kind, ...totals } = (await lastOf(this, () => {})) as Extract<ReembedEvent, { kind: 'finished' }>;
    return totals;
  }
}

/** How vectors get to a collection. Leaving it early stops the work; what the collection has is kept for the next time. */
export class Outsourcing extends EventStream<OutsourceEvent> {
  /** Reads to the end and returns the totals. */
  async done(): Promise<OutsourceTotals> {
    const { kind, ...totals } = (await lastOf(this, () => {})) as Extract<OutsourceEvent, { kind: 'finished' }>;
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
  ingest(source: Path | Uint8Array, options?: IngestOptions): Ingestion {
    const { name, metadata } = checked(options, ['name', 'metadata']);
    const called = optional(name, (name) => text('name', name));
    const how = optionsJson({ metadata });
    const opening = native(() =>
      source instanceof Uint8Array
        ? this.#native.ingestBytes(called ?? '', source, how)
        : this.#native.ingestPath(path('source', source), how),
    );
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

  /**
   * Gives the knowledge base another embedder, or its first: every passage is embedded again while the vectors of before go on to
   * answer, then one commit exchanges them. Documents may come and go meanwhile. What was embedded is kept: after a crash, an error or
   * an abort the same call goes on from there. It begins when the first event is asked for.
   */
  reembed(embedder: Path | EmbeddingEndpoint | Embedder, options?: CallOptions): Reembedding {
    checked(options, []);
    const supplies = new module.Supplies();
    const chosen = supplyChosen(supplies, embedder);
    const named = typeof chosen === 'object' ? recordJson(chosen, 'embedder') : json('embedder', chosen);
    const opening = native(() => this.#native.reembed(named, supplies));
    return new Reembedding(opening, (data) => tagged(reembedded, data), options);
  }

  /**
   * Brings the vectors to a collection at other people's nodes. Those at home go on to answer until its hosts have all of them; then the
   * collection answers, and those at home are deleted and overwritten. Texts, words and answers stay. Documents may come and go meanwhile
   * and afterwards. After a crash, an error or an abort the same call goes on from there. A knowledge base that is opened later searches by
   * words alone until it is called with the same collection. The way home is `reembed`. It begins when the first event is asked for.
   *
   * With `texts` the texts go as well, as payloads that are sealed before they leave, for whoever has the key of the collection: JSON with
   * `document_id`, `document`, `heading` and `text`. Not under `plain`.
   */
  outsource(collection: VectorCollection, options?: CallOptions & { texts?: boolean | undefined }): Outsourcing {
    const texts = optional(checked(options, ['texts']).texts, (texts) => truth('texts', texts)) ?? false;
    const opening = native(() => this.#native.outsource(held('VectorCollection', collection), texts));
    return new Outsourcing(opening, (data) => tagged(broughtAway, data), options);
  }

  /** The passages that fit a text best. */
  async search(query: string, options?: SearchOptions): Promise<SearchResult> {
    const { k = 8, ...told } = checked(options, ['k', ...SEARCHING]);
    const how = optionsJson(told);
    const operation = native(() => this.#native.search(text('text', query), index('k', k), how));
    return reads(searchResult)(await finished(operation, options));
  }

  /** Answers a question from the documents, with citations, or refuses. It begins when the first event is asked for. */
  ask(question: string, options?: AskOptions): Asking {
    const { k = 8, ...told } = checked(options, ASKING);
    const how = optionsJson({ ...told, k: index('k', k) } as AskOptions);
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

  /**
   * Asks questions whose answers are known, and scores what comes back. Without `ask` only what is found is judged. A question that fails
   * counts as wrong.
   */
  async evaluate(questions: readonly EvaluationQuestion[], options?: EvaluationOptions): Promise<Evaluation> {
    const { name, search, ask, judge } = checked(options, ['name', 'search', 'ask', 'judge']);
    const supplies = new module.Supplies();
    const endpoint = optional(judge, (judge) => supplyWriter(supplies, judge, 'judge'));
    const told = recordJson({ name, judge: endpoint });
    const looked = optionsJson(checked<SearchOptions>(search, SEARCHING, 'search'), 'search');
    const asked = optional(ask, (ask) => optionsJson(checked<AskOptions>(ask, ASKING, 'ask'), 'ask')) ?? 'null';
    const how = `${told === '{}' ? '{' : `${told.slice(0, -1)},`}"search":${looked},"ask":${asked}}`;
    const known = json('questions', list('questions', questions), 0, snake);
    const operation = native(() => this.#native.evaluate(known, how, supplies));
    return new Evaluation(reads(evaluation)(await finished(operation, options)));
  }

  /** What became of the answers that are kept; nothing without `cache`. */
  async cacheStats(options?: CallOptions): Promise<CacheStats> {
    return reads(cacheStats)(await finished(this.#native.cacheStats(), options));
  }

  /** Forgets the answers that are kept. */
  async cacheClear(options?: CallOptions): Promise<void> {
    await finished(this.#native.cacheClear(), options);
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

  /** Its id, of its own and made when it was: 32 hexadecimal digits. */
  async id(options?: CallOptions): Promise<string> {
    return finished(this.#native.id(), options);
  }

  /** Lets a capability of `Node.shareKnowledge` count no more. Revoking it again does nothing. */
  async revokeShare(capabilityId: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.revokeShare(text('capabilityId', capabilityId)), options);
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
  return nodeRagOptions(options, ['embedder', 'model', 'chunking', 'language', 'readers', 'cache']);
}

/** @internal The same for a knowledge base of a node. */
export function nodeRagOptions(
  options: NodeRagOptions | undefined,
  known: readonly (keyof NodeRagOptions)[] = ['embedder', 'model', 'chunking', 'language', 'readers', 'cache', 'dataDir'],
): [string, NativeSupplies] {
  const { embedder, model, chunking, language, readers, cache, dataDir } = checked(options, known);
  const supplies = new module.Supplies();
  const config: Record<string, unknown> = {};
  if (embedder !== undefined && embedder !== null) config['embedder'] = supplyChosen(supplies, embedder);
  if (model !== undefined && model !== null) config['endpoint'] = supplyWriter(supplies, model);
  if (chunking !== undefined && chunking !== null) config['chunking'] = chunking;
  if (language !== undefined && language !== null) config['language'] = language;
  if (cache !== undefined && cache !== null) config['cache'] = cache;
  if (dataDir !== undefined && dataDir !== null) config['dataDir'] = path('dataDir', dataDir);
  for (const reader of list('readers', readers ?? [])) supplyReader(supplies, reader as DocumentReader);
  return [recordJson(config), supplies];
}

/** @internal The embedder that is named, or behind an endpoint; one of the app goes into the supplies. */
export function supplyChosen(supplies: NativeSupplies, embedder: Path | EmbeddingEndpoint | Embedder): string | EmbeddingEndpoint | undefined {
  if (typeof embedder === 'string' || embedder instanceof URL) return path('embedder', embedder);
  if (typeof embedder === 'object' && embedder !== null && 'baseUrl' in embedder) {
    const { baseUrl, model, apiKey, api, dimension, queryPrompt, documentPrompt } = embedder;
    return { baseUrl, model, apiKey, api, dimension, queryPrompt, documentPrompt };
  }
  supplyEmbedder(supplies, embedder);
  return undefined;
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
