/** Who may do what: credentials, trusted issuers, scores and minimum tiers. */

import { type CallOptions, finished } from './bridge.js';
import { native } from './errors.js';
import { module, type NativeTrustGraph } from './native.js';
import { type Signer, signerOf } from './provide.js';
import { type Shape, instant, many, plain, reads, readsAll } from './records.js';
import { type Path, count, instant as written, json, optional, options as checked, path, recordJson, text, texts, wrong } from './values.js';

/** How far a peer is trusted. */
export type Tier = 'unknown' | 'known' | 'verified' | 'trusted';

/** What a peer may be trusted for. */
export type Purpose = 'open' | 'message' | 'serve_blocks' | 'use_blocks';

/** What a credential says, without claims and proof. */
export interface CredentialSummary {
  /** Made from its content. */
  id: string;
  /** KwaaiNet's type, when it has one. */
  type: string | null;
  types: string[];
  issuer: string;
  subject: string | null;
  validFrom: Date | null;
  validUntil: Date | null;
}

/** A whole credential. */
export interface Credential extends CredentialSummary {
  /** What it says about its subject. */
  claims: Record<string, unknown>;
  /** The signed document, to be given to others. */
  json: string;
}

/** What one credential adds to a score, or why it adds nothing. */
export interface Reason {
  credentialId: string;
  type: string | null;
  issuer: string;
  weight: number;
  ageDays: number;
  /** 0.5^(ageDays / 365). */
  factor: number;
  /** weight × factor. */
  contribution: number;
  counted: boolean;
  why: string;
}

/** How far a peer is trusted, from 0 to 1, with the arithmetic. */
export interface Score {
  value: number;
  tier: Tier;
  reasons: Reason[];
}

/** An issuer that this node trusts, and for what. */
export interface TrustedIssuer {
  did: string;
  types: string[];
}

/** The minimum tier of each purpose. */
export type Policy = Record<Purpose, Tier>;

/** How a trust graph is opened. */
export interface TrustGraphOptions extends CallOptions {
  /** Where it is kept; in memory unless set. */
  dir?: Path | undefined;
  /** Signs for an identity whose key the app keeps. */
  signer?: Signer | undefined;
  /** For tests: the identity is made from this number, and is no secret. Only in memory. */
  seed?: number | bigint | undefined;
  /** For tests: a clock that stands at this instant until `advanceClock` moves it. */
  clock?: Date | string | undefined;
}

/** What a credential says besides its type and subject. */
export interface IssueOptions extends CallOptions {
  /** A JSON object about the subject. */
  claims?: Record<string, unknown> | undefined;
  /** Milliseconds until it expires; without it, it does not. */
  validForMs?: number | undefined;
}

/** Which credentials are wanted. */
export interface CredentialFilter extends CallOptions {
  /** About this subject, a DID or a PeerId. */
  subject?: string | undefined;
  issuer?: string | undefined;
  type?: string | undefined;
}

const summary: Shape<CredentialSummary> = {
  id: plain,
  type: plain,
  types: plain,
  issuer: plain,
  subject: plain,
  validFrom: instant,
  validUntil: instant,
};
const credential: Shape<Credential> = { ...summary, claims: plain, json: plain };
/** @internal */
export const reason: Shape<Reason> = {
  credentialId: plain,
  type: plain,
  issuer: plain,
  weight: plain,
  ageDays: plain,
  factor: plain,
  contribution: plain,
  counted: plain,
  why: plain,
};
const score: Shape<Score> = { value: plain, tier: plain, reasons: many(reason) };
const issuer: Shape<TrustedIssuer> = { did: plain, types: plain };

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = { summary, credential, score, issuer };

/** Credentials, trusted issuers, scores and minimum tiers. */
export class TrustGraph implements AsyncDisposable {
  readonly #native: NativeTrustGraph;

  private constructor(native: NativeTrustGraph) {
    if (!(native instanceof (module.TrustGraph as never))) throw wrong('a TrustGraph', 'opened by TrustGraph.open', native);
    this.#native = native;
  }

  /** @internal */
  static of(native: NativeTrustGraph): TrustGraph {
    return new TrustGraph(native);
  }

  /**
   * A trust graph alone, without a network: in a directory, or without one in memory. It signs with the key of its directory,
   * with a new one in memory, or through a signer of the app.
   */
  static async open(options?: TrustGraphOptions): Promise<TrustGraph> {
    const { dir, signer, seed, clock } = checked(options, ['dir', 'signer', 'seed', 'clock']);
    const config = { dir: optional(dir, (dir) => path('dir', dir)), seed, clock: clockOf(clock) };
    const opening = native(() => module.TrustGraph.open(recordJson(config), optional(signer, signerOf)));
    return new TrustGraph(await finished(opening, options));
  }

  /** The identity that signs what it issues. */
  get did(): string {
    return this.#native.did();
  }

  /** Issues a credential about a subject, a DID or a PeerId. It is returned and not kept. */
  async issue(type: string, subject: string, options?: IssueOptions): Promise<Credential> {
    const { claims, validForMs } = checked(options, ['claims', 'validForMs']);
    const operation = this.#native.issue(
      text('type', type),
      text('subject', subject),
      json('claims', claims ?? {}),
      optional(validForMs, (ms) => count('validForMs', ms)),
    );
    return reads(credential)(await finished(operation, options));
  }

  /** Checks a credential's form and proof, and says what it says. It is not kept. */
  async verify(credentialJson: string, options?: CallOptions): Promise<Credential> {
    return reads(credential)(await finished(this.#native.verify(text('credential', credentialJson)), options));
  }

  /** Verifies a credential, then keeps it. */
  async importCredential(credential: string, options?: CallOptions): Promise<CredentialSummary> {
    return reads(summary)(await finished(this.#native.importCredential(text('credential', credential)), options));
  }

  /** The credentials that are kept and fit the filter, in the order of their identifiers. */
  async credentials(options?: CredentialFilter): Promise<CredentialSummary[]> {
    const { subject, issuer, type } = checked(options, ['subject', 'issuer', 'type']);
    const operation = native(() => this.#native.credentials(recordJson({ subject, issuer, type })));
    return readsAll(summary)(await finished(operation, options));
  }

  /** One kept credential with its claims and its proof. */
  async credential(id: string, options?: CallOptions): Promise<Credential> {
    return reads(credential)(await finished(this.#native.credential(text('id', id)), options));
  }

  /** Forgets a credential. */
  async removeCredential(id: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.removeCredential(text('id', id)), options);
  }

  /** The issuers that this node trusts. */
  async issuers(options?: CallOptions): Promise<TrustedIssuer[]> {
    return readsAll(issuer)(await finished(this.#native.issuers(), options));
  }

  /** Trusts an issuer for exactly these types from now on. */
  async trustIssuer(did: string, types: readonly string[], options?: CallOptions): Promise<void> {
    await finished(this.#native.trustIssuer(text('did', did), texts('types', types)), options);
  }

  /** Trusts an issuer no longer. */
  async distrustIssuer(did: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.distrustIssuer(text('did', did)), options);
  }

  /** How far this node trusts a peer, a DID or a PeerId, with the arithmetic. */
  async score(peer: string, options?: CallOptions): Promise<Score> {
    return reads(score)(await finished(this.#native.score(text('peer', peer)), options));
  }

  /** The minimum tier of each purpose. */
  async policy(options?: CallOptions): Promise<Policy> {
    return JSON.parse(await finished<string>(this.#native.policy(), options)) as Policy;
  }

  /** Replaces the minimum tier of each purpose, durably. A purpose that is left out gets its default. */
  async setPolicy(policy: Partial<Policy>, options?: CallOptions): Promise<void> {
    const operation = native(() => this.#native.setPolicy(json('policy', policy)));
    await finished(operation, options);
  }

  /** Rejects with `untrusted_peer` unless a peer reaches the minimum tier of a purpose. */
  async require(peer: string, purpose: Purpose, options?: CallOptions): Promise<void> {
    await finished(this.#native.require(text('peer', peer), text('purpose', purpose)), options);
  }

  /** For tests: moves the clock that it was opened with, or that of its node. */
  async advanceClock(byMs: number): Promise<void> {
    native(() => this.#native.advanceClock(count('byMs', byMs)));
  }

  /** Lets go of the directory. The trust graph of a node stays open with the node. */
  async shutdown(): Promise<void> {
    this.#native.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** @internal */
export function clockOf(clock: Date | string | undefined): string | undefined {
  return clock instanceof Date ? written('clock', clock) : optional(clock, (clock) => text('clock', clock));
}
