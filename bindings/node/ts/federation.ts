/** Knowledge bases of several nodes searched as one, with passages that anybody can prove. */

import { type CallOptions, finished, held, hold } from './bridge.js';
import { native } from './errors.js';
import { module, type NativeFederation, type NativeMembers, type NativeRag, type NativeSharedKnowledge, type NativeSupplies } from './native.js';
import { type Embedder } from './provide.js';
import { type EmbeddingEndpoint, type Hit, type Mode, type Rag, hit, supplyChosen } from './rag.js';
import { type Shape, instant, many, one, plain, reads, readsAll } from './records.js';
import { type Path, count, index, json, list, optional, options as checked, recordJson, snake, text, wrong } from './values.js';

/** What lets one holder search one knowledge base, as its owner signed. */
export interface KnowledgeCapability {
  /** What `Rag.revokeShare` takes. */
  id: string;
  /** The DID of whose knowledge base it is. */
  owner: string;
  /** The DID of who may search it. */
  holder: string;
  /** The knowledge base's id. */
  knowledgeBase: string;
  /** What its owner calls it. */
  name: string;
  expiresAt: Date;
  /** The signed text, to be given to the holder. */
  text: string;
}

/** What proves that a passage stood in a knowledge base, as its owner signed. `checkProvenance` checks it. */
export interface Provenance {
  /** What the owner signed: the knowledge base, how many passages it held, the root of their tree, and when that was. */
  statement: string;
  /** Which leaf the passage is, from 0. */
  index: number;
  /** The hashes beside the way from the leaf to the root, from below. */
  path: string[];
}

/** What a provenance proves. */
export interface Proven {
  /** The DID of who signed. */
  owner: string;
  /** The knowledge base's id. */
  knowledgeBase: string;
  /** How many passages it held. */
  passages: number;
  /** When it held them. */
  signedAt: Date;
}

/** A passage with what proves where it comes from. */
export interface ProvenHit {
  hit: Hit;
  provenance: Provenance;
}

/** A passage, where it was found, and what proves it. */
export interface FederatedHit {
  /** The name of the knowledge base. */
  member: string;
  /** The names of others that hold the same text. */
  also: string[];
  /** Its score is the one of the whole search; its ranks are those in its own knowledge base. */
  hit: Hit;
  provenance: Provenance;
}

/** A knowledge base that was not searched. */
export interface MemberFailure {
  member: string;
  /** The code of the error, for example `unreachable`. */
  code: string;
  message: string;
}

/** What a search over several knowledge bases found, best first, and which of them could not be searched. */
export interface FederatedResult {
  hits: FederatedHit[];
  failures: MemberFailure[];
  /** How passages were scored. */
  mode: Mode;
}

/** What is searched together, and how it is scored. */
export interface FederationOptions extends CallOptions {
  /** Knowledge bases of this node by the names that hits call them. */
  own?: Readonly<Record<string, Rag>> | undefined;
  /** Knowledge bases that peers share. */
  shared?: readonly SharedKnowledge[] | undefined;
  /** Scores passages of all of them; what it may be is as for `Rag.open`, and with `"none"` words alone do. */
  embedder?: Path | EmbeddingEndpoint | Embedder | undefined;
  /** The language whose word forms are brought together; `english` unless set. */
  language?: string | undefined;
}

/** How a shared knowledge base is searched. */
export interface SharedSearchOptions extends CallOptions {
  /** How many passages, 64 at most; 8 unless set. */
  k?: number | undefined;
  mode?: Mode | undefined;
  /** How long the peer may take; ten seconds unless set. */
  timeoutMs?: number | undefined;
}

/** How several knowledge bases are searched. */
export interface FederatedSearchOptions extends SharedSearchOptions {
  /** Whether documents gain that the text, or a passage found in the same knowledge base, calls by their names. */
  links?: boolean | undefined;
  /** How much meaning counts against words in a hybrid search, 0 to 1. */
  denseWeight?: number | undefined;
}

const granted: Shape<KnowledgeCapability> = {
  id: plain,
  owner: plain,
  holder: plain,
  knowledgeBase: plain,
  name: plain,
  expiresAt: instant,
  text: plain,
};
const provenance: Shape<Provenance> = { statement: plain, index: plain, path: plain };
const proven: Shape<Proven> = { owner: plain, knowledgeBase: plain, passages: plain, signedAt: instant };
const provenHit: Shape<ProvenHit> = { hit: one(hit), provenance: one(provenance) };
const federatedHit: Shape<FederatedHit> = { member: plain, also: plain, ...provenHit };
const failure: Shape<MemberFailure> = { member: plain, code: plain, message: plain };
const result: Shape<FederatedResult> = { hits: many(federatedHit), failures: many(failure), mode: plain };

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = { capability: granted, proven, provenHit, result };

/**
 * Checks that a passage stood in a knowledge base, and tells in which. No node is needed, and nobody is asked. What is proven are the
 * text, its span, its ids and its document's name; not the score, the section or the locator. Throws `CorruptDataError` for a signature
 * that does not hold, and for a passage that is not there, or not as it stands in the hit.
 */
export function checkProvenance(hit: Hit, provenance: Provenance): Proven {
  return reads(proven)(native(() => module.checkProvenance(json('', { hit, provenance }, 0, snake))));
}

/**
 * Reads the text of a capability that an owner handed over, and checks its form and its signature. Nobody is asked. Throws
 * `CorruptDataError` for a signature that does not hold.
 */
export function readKnowledgeCapability(capability: string): KnowledgeCapability {
  return reads(granted)(native(() => module.readKnowledgeCapability(text('capability', capability))));
}

/** A knowledge base of a peer, which a capability opens. */
export class SharedKnowledge {
  readonly #native: NativeSharedKnowledge;
  /** What opens it. */
  readonly capability: KnowledgeCapability;

  private constructor(handle: NativeSharedKnowledge) {
    if (!(handle instanceof (module.SharedKnowledge as never))) throw wrong('a SharedKnowledge', 'made by Node.sharedKnowledge', handle);
    this.#native = handle;
    this.capability = reads(granted)(handle.capability());
    hold('SharedKnowledge', this, handle);
  }

  /** @internal */
  static of(native: NativeSharedKnowledge): SharedKnowledge {
    return new SharedKnowledge(native);
  }

  /**
   * The best passages, as the owner's node ranks them; each was checked against what the owner signed. The owner's node learns the text.
   * Rejects with `PermissionDeniedError` for a capability that is somebody else's, has ended or was revoked, and with `NotFoundError`
   * while the knowledge base is not open at its owner's node.
   */
  async search(query: string, options?: SharedSearchOptions): Promise<ProvenHit[]> {
    const { k = 8, mode, timeoutMs } = checked(options, ['k', 'mode', 'timeoutMs']);
    const how = recordJson({ mode, timeoutMs: optional(timeoutMs, (ms) => count('timeoutMs', ms)) });
    const operation = native(() => this.#native.search(text('text', query), index('k', k), how));
    return readsAll(provenHit)(await finished(operation, options));
  }
}

/** Several knowledge bases that are searched together. */
export class Federation {
  readonly #native: NativeFederation;
  /** The names of the knowledge bases, in their order. */
  readonly members: readonly string[];

  private constructor(handle: NativeFederation) {
    if (!(handle instanceof (module.Federation as never))) throw wrong('a Federation', 'made by Node.federation', handle);
    this.#native = handle;
    this.members = handle.members();
  }

  /** @internal */
  static of(native: NativeFederation): Federation {
    return new Federation(native);
  }

  /**
   * The best passages of all knowledge bases. Scores of different ones say nothing about each other, so what each finds is scored anew:
   * by the federation's embedder, and by what words are worth in all of them together. A knowledge base that cannot be searched is named,
   * and the others are searched; a text that stands in several counts once. Rejects when none could be searched.
   */
  async search(query: string, options?: FederatedSearchOptions): Promise<FederatedResult> {
    const { k = 8, mode, links, denseWeight, timeoutMs } = checked(options, ['k', 'mode', 'links', 'denseWeight', 'timeoutMs']);
    const how = recordJson({ mode, links, denseWeight, timeoutMs: optional(timeoutMs, (ms) => count('timeoutMs', ms)) });
    const operation = native(() => this.#native.search(text('text', query), index('k', k), how));
    return reads(result)(await finished(operation, options));
  }
}

/** @internal The terms of a share as the native module takes them. */
export function sharing(holder: string, name: string, validForMs: number): string {
  const terms = { holder: text('holder', holder), name: text('name', name), validForMs: count('validForMs', validForMs) };
  return recordJson(terms);
}

/** @internal */
export function hitsJson(hits: readonly Hit[]): string {
  return json('hits', list('hits', hits), 0, snake);
}

/** @internal A capability that the native module wrote. */
export const readCapability = reads(granted);

/** @internal */
export const readProvenHits = readsAll(provenHit);

/** @internal The options as the native module takes them: the members, the rest as JSON, and the embedder. */
export function federationOptions(given: FederationOptions | undefined): [NativeMembers, string, NativeSupplies] {
  const { own, shared, embedder, language } = checked(given, ['own', 'shared', 'embedder', 'language']);
  const [members, supplies] = [new module.Members(), new module.Supplies()];
  for (const [name, rag] of Object.entries(checked(own ?? undefined, undefined, 'own'))) {
    const called = text('the name of a knowledge base', name);
    native(() => members.own(called, held<NativeRag>('Rag', rag)));
  }
  for (const base of list('shared', shared ?? [])) {
    native(() => members.shared(held<NativeSharedKnowledge>('SharedKnowledge', base)));
  }
  const chosen = embedder === undefined || embedder === null ? undefined : supplyChosen(supplies, embedder);
  return [members, recordJson({ embedder: chosen, language }), supplies];
}
