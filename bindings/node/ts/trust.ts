/** Who may do what: credentials, trusted issuers, scores and minimum tiers. */

import { type CallOptions, finished } from './bridge.js';
import { type ErrorCode, native } from './errors.js';
import { module, type NativeTrustGraph } from './native.js';
import { type Signer, signerOf } from './provide.js';
import { type Shape, instant, many, plain, reads, readsAll, readsMaybe } from './records.js';
import { type Path, count, instant as written, json, optional, options as checked, path, real, recordJson, text, texts, truth, wrong } from './values.js';

/** How far a peer is trusted. */
export type Tier = 'unknown' | 'known' | 'verified' | 'trusted';

/** What a peer may be trusted for. */
export type Purpose =
  | 'open'
  | 'message'
  | 'serve_blocks'
  | 'use_blocks'
  | 'store_vectors'
  | 'search_knowledge'
  | 'relay'
  | 'relay_freely';

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

/** The least that a purpose asks for: a tier, or a score from 0 to 1. */
export type Minimum = Tier | number;

/** The minimum of each purpose. */
export type Policy = Record<Purpose, Minimum>;

/** What is known about a credential's withdrawal. */
export interface Status {
  state: 'not_revocable' | 'clear' | 'revoked' | 'suspended' | 'unknown';
  /** With `clear`, when the oldest list that says so was signed. */
  asOf: Date | null;
  /** With `unknown`, the reason. */
  why: string | null;
}

/** A status list of another issuer that this node keeps. */
export interface KeptStatusList {
  issuer: string;
  /** Its name, as credentials write it. */
  url: string;
  purposes: ('revocation' | 'suspension')[];
  asOf: Date;
  freshUntil: Date;
  entries: number;
}

/** A status list that a kept credential names, and of which this node has no copy or one that grows old. */
export interface WantedStatusList {
  issuer: string;
  url: string;
}

/** What looking for status lists brought. */
export interface StatusRefresh {
  /** How many lists came and were kept. */
  fetched: number;
  /** Those of which nobody had a young copy. */
  missing: WantedStatusList[];
}

/** A credential of a bundle that was not kept. */
export interface RefusedCredential {
  /** Its place in the bundle, from 0. */
  place: number;
  code: ErrorCode;
  message: string;
}

/** What became of a bundle of credentials. */
export interface ImportedCredentials {
  kept: CredentialSummary[];
  refused: RefusedCredential[];
}

/** Whether credentials are kept under a passphrase, and whether it was given. */
export type WalletState = 'plain' | 'locked' | 'unlocked';

/** How much an asker may learn of a score. Each level includes those before it. */
export type Disclosure = 'nothing' | 'threshold' | 'tier' | 'value' | 'experience';

/** How much an asker of each tier may learn. */
export type Disclosures = Record<Tier, Disclosure>;

/** What a peer says about somebody, signed for this node alone: its opinion, which changes no score here. */
export interface TrustStatement {
  responder: string;
  asker: string;
  about: string;
  /** `unknown` also when the peer does not want to say. */
  answer: 'unknown' | 'at_least' | 'tier' | 'score';
  /** With `at_least`, whether the minimum that was asked for is reached. */
  holds: boolean | null;
  /** With `tier` and `score`. */
  tier: Tier | null;
  /** With `score`, from 0 to 1. */
  value: number | null;
  madeAt: Date;
  expiresAt: Date;
}

/** What credentials about uptime and throughput must report to count. */
export interface Thresholds {
  /** The least share of the observed time that a node must have been up, from 0 to 1; 0.95 at first. */
  uptimeMinShare: number;
  /** The fewest days that must have been observed; 7 at first. */
  uptimeMinDays: number;
  /** How far the measured throughput may stay below the announced one, as a share of that; 0.2 at first. */
  throughputTolerance: number;
  /** Whether a credential that reports nothing counts for nothing. */
  requireClaims: boolean;
}

/** How a dealing with a peer ended; `transport_fault` when no whole answer came. */
export type Outcome = 'good' | 'bad' | 'transport_fault';

/** What this node measured of a peer. A dealing weighs half after 30 days. */
export interface Reputation {
  peer: string;
  /** The weight of the good answers. */
  good: number;
  bad: number;
  /** The share of good answers, one good and one bad one being supposed beforehand. */
  success: number;
  /** Its lower bound at about 90 %; 0 without answers. */
  successLowerBound: number;
  /** The weight of dealings that failed in transport. */
  transportFaults: number;
  /** The share of dealings that did not fail in transport. */
  reliability: number | null;
  /** The share of the days with dealings on which it answered. */
  uptime: number | null;
  /** The mean time to an answer. */
  latencyMs: number | null;
  /** Delivered throughput over promised throughput, where both were measured. */
  throughput: number | null;
  /** 1, or less after many bad answers among the newest. */
  standing: number;
  /** When the newest dealing ended. */
  last: Date;
}

/** What was taken of a peer's word about others. */
export interface TakenWord {
  /** Whose word it is. */
  recommender: string;
  /** About how many peers it was taken; 0 when the peer saw nobody or does not say. */
  count: number;
  /** When it was said. */
  madeAt: Date;
}

/** A peer's share of the trust in the network. */
export interface GlobalTrust {
  peer: string;
  /** From 0 to 1; those of all peers sum to 1. */
  value: number;
}

/** What a test says of a claim; `inconclusive` when the peer did not answer, or there are too few samples to tell. */
export type Verdict = 'holds' | 'fails' | 'inconclusive';

/** A test of what a credential claims. */
export interface ClaimTest {
  credentialId: string;
  /** The subject, which was tested. */
  peer: string;
  /** The name of the claim: `upShare` or `tokensPerSecond`. */
  claim: string;
  claimed: number;
  /** In the claim's unit; `null` when the peer did not answer a test that needs an answer. */
  measured: number | null;
  /** How many the measurement rests on: hours with probes for an uptime, tokens for a rate. */
  samples: number;
  /** How far the measurement may stay below the claim, as a share of it. */
  tolerance: number;
  verdict: Verdict;
  /** Whether the work was what this node computes itself; `null` when it was not compared. */
  correct: boolean | null;
  seed: number;
  at: Date;
  /** As this node signed it. */
  probe: string;
  /** As the peer signed it; `null` when none came. */
  answer: string | null;
}

/** What an identity is in a link: one side is a node, the other a person, an organisation, or a person known by a passkey. */
export type LinkType = 'person' | 'organisation' | 'passkey' | 'node';

/** How often this node found a peer up, over the last 128 days. */
export interface Sightings {
  /** The first look. */
  since: Date;
  /** The last look. */
  until: Date;
  looks: number;
  /** How many of the looks found it up. */
  up: number;
  upShare: number;
}

/** A link between a node and a person or organisation that both keys prove. */
export interface IdentityBinding {
  node: string;
  /** The person or organisation. */
  identity: string;
  /** What the identity is: never `node`. */
  linkType: LinkType;
  /** Since when both sides hold. */
  since: Date;
}

/** What a presentation that was checked shows. */
export interface VerifiedPresentation {
  /** Who showed it, and proved to have the key. */
  holder: string;
  /** Those about the holder. All of them verified and are in force. */
  credentials: Credential[];
  /** They verified too, and say nothing about the holder. */
  aboutOthers: Credential[];
  expiresAt: Date;
}

/** A subject's signed word that it takes its pledge back. */
export interface PledgeWithdrawal {
  /** Who pledged and takes it back. */
  pledger: string;
  /** The credential that counts no more. */
  credentialId: string;
  withdrawn: Date;
  /** The signed text, to be given to the issuer and to peers. */
  json: string;
}

/** A credential in the form of KwaaiNet's own software. It counts nowhere. */
export interface LegacyCredential {
  /** KwaaiNet's type, when it has one: of several, the first. */
  type: string | null;
  types: string[];
  /** As it is written there, and so is the subject. */
  issuer: string;
  subject: string;
  /** By its own account. */
  issued: Date;
  expires: Date | null;
  /** What it says about its subject. */
  claims: Record<string, unknown>;
  /** The issuer, when its key signed what stands there. */
  signer: string | null;
  /** Why nobody can tell, when there is no `signer`. */
  why: string | null;
}

/** The shape of a credential of the Decentralized Trust Graph. */
export type DtgShape = 'MembershipCredential' | 'RelationshipCredential' | 'EndorsementCredential' | 'WitnessCredential';

/** What a credential of the Decentralized Trust Graph says. Its shape alone counts nowhere. */
export interface DtgCredential {
  shape: DtgShape;
  /** KwaaiNet's types of this shape. A credential counts as one of them only when it names that type too. */
  nearestTypes: string[];
  /** The community, the other party, the endorser or the witness. */
  issuer: string;
  subject: string;
  /** Of an endorsement: the object as its community defines it; empty otherwise. */
  endorsement: Record<string, unknown>;
  /** Of a witness: the digest of the witnessed credential, as it is written. */
  digest: string | null;
  /** Of a witness: the circumstances `event`, `sessionId` and `method`, those that are given. */
  witnessed: Record<string, string>;
}

/** What was measured of a dealing with a peer. */
export interface RecordOptions extends CallOptions {
  /** How long the answer took, in milliseconds. */
  latencyMs?: number | undefined;
  /** The throughput that the peer had promised, in a unit of the app's choice, such as tokens a second. */
  promised?: number | undefined;
  /** The throughput that it delivered, in the same unit. */
  delivered?: number | undefined;
}

/** When a peer said what it says about another. */
export interface RecommendationOptions extends CallOptions {
  /** Now unless set. */
  at?: Date | string | undefined;
}

/** How trust is propagated. */
export interface PropagateOptions extends CallOptions {
  /** Who is trusted before anybody is rated, DIDs or PeerIds; this node unless set. */
  pretrusted?: readonly string[] | undefined;
  /** How much of the trust goes to the pre-trusted at each step, from 0.01 to 1; 0.1 unless set. */
  alpha?: number | undefined;
}

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
  /** Whether it can be withdrawn, with `revoke` or `suspend`. */
  revocable?: boolean | undefined;
}

/** What a pledged text is called. */
export interface PledgeOptions extends CallOptions {
  /** The GliaNet Fiduciary Pledge unless set. */
  name?: string | undefined;
}

/** How a pledge is certified. */
export interface IssuePledgeOptions extends PledgeOptions {
  /** Milliseconds until it expires; without it, it does not. */
  validForMs?: number | undefined;
}

/** How a side of a link is issued. */
export interface IssueBindingOptions extends CallOptions {
  /** Milliseconds until it expires; without it, it does not. */
  validForMs?: number | undefined;
}

/** How long a credential about an uptime holds. */
export interface IssueUptimeOptions extends CallOptions {
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
/** @internal */
export const credential: Shape<Credential> = { ...summary, claims: plain, json: plain };
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
const status: Shape<Status> = { state: plain, asOf: instant, why: plain };
const keptList: Shape<KeptStatusList> = {
  issuer: plain,
  url: plain,
  purposes: plain,
  asOf: instant,
  freshUntil: instant,
  entries: plain,
};
const wantedList: Shape<WantedStatusList> = { issuer: plain, url: plain };
/** @internal */
export const refresh: Shape<StatusRefresh> = { fetched: plain, missing: many(wantedList) };
const refused: Shape<RefusedCredential> = { place: plain, code: plain, message: plain };
const imported: Shape<ImportedCredentials> = { kept: many(summary), refused: many(refused) };
/** @internal */
export const statement: Shape<TrustStatement> = {
  responder: plain,
  asker: plain,
  about: plain,
  answer: plain,
  holds: plain,
  tier: plain,
  value: plain,
  madeAt: instant,
  expiresAt: instant,
};

const thresholds: Shape<Thresholds> = {
  uptimeMinShare: plain,
  uptimeMinDays: plain,
  throughputTolerance: plain,
  requireClaims: plain,
};
const reputation: Shape<Reputation> = {
  peer: plain,
  good: plain,
  bad: plain,
  success: plain,
  successLowerBound: plain,
  transportFaults: plain,
  reliability: plain,
  uptime: plain,
  latencyMs: plain,
  throughput: plain,
  standing: plain,
  last: instant,
};
/** @internal */
export const claimTest: Shape<ClaimTest> = {
  credentialId: plain,
  peer: plain,
  claim: plain,
  claimed: plain,
  measured: plain,
  samples: plain,
  tolerance: plain,
  verdict: plain,
  correct: plain,
  seed: plain,
  at: instant,
  probe: plain,
  answer: plain,
};
/** @internal */
export const takenWord: Shape<TakenWord> = { recommender: plain, count: plain, madeAt: instant };
const globalTrust: Shape<GlobalTrust> = { peer: plain, value: plain };
const sightings: Shape<Sightings> = { since: instant, until: instant, looks: plain, up: plain, upShare: plain };
const identityBinding: Shape<IdentityBinding> = { node: plain, identity: plain, linkType: plain, since: instant };
const verified: Shape<VerifiedPresentation> = {
  holder: plain,
  credentials: many(credential),
  aboutOthers: many(credential),
  expiresAt: instant,
};
const withdrawal: Shape<PledgeWithdrawal> = { pledger: plain, credentialId: plain, withdrawn: instant, json: plain };
const legacy: Shape<LegacyCredential> = {
  type: plain,
  types: plain,
  issuer: plain,
  subject: plain,
  issued: instant,
  expires: instant,
  claims: plain,
  signer: plain,
  why: plain,
};
const dtg: Shape<DtgCredential> = {
  shape: plain,
  nearestTypes: plain,
  issuer: plain,
  subject: plain,
  endorsement: plain,
  digest: plain,
  witnessed: plain,
};

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = {
  summary,
  credential,
  score,
  issuer,
  status,
  keptList,
  wantedList,
  refresh,
  imported,
  statement,
  thresholds,
  reputation,
  takenWord,
  globalTrust,
  claimTest,
  sightings,
  identityBinding,
  verified,
  withdrawal,
  legacy,
  dtg,
};

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
    const { claims, validForMs, revocable } = checked(options, ['claims', 'validForMs', 'revocable']);
    const operation = this.#native.issue(
      text('type', type),
      text('subject', subject),
      json('claims', claims ?? {}),
      optional(validForMs, (ms) => count('validForMs', ms)),
      optional(revocable, (revocable) => truth('revocable', revocable)) ?? false,
    );
    return reads(credential)(await finished(operation, options));
  }

  /** Withdraws a revocable credential of this node for good: here at once, elsewhere when this node's list arrives. */
  async revoke(credentialId: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.revoke(text('credentialId', credentialId)), options);
  }

  /** Withdraws a revocable credential of this node until `reinstate`. */
  async suspend(credentialId: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.suspend(text('credentialId', credentialId)), options);
  }

  /** Ends the suspension of a credential. What was revoked stays so, and is an error. */
  async reinstate(credentialId: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.reinstate(text('credentialId', credentialId)), options);
  }

  /** What is known here about the withdrawal of a credential, which is verified first. */
  async status(credential: string, options?: CallOptions): Promise<Status> {
    return reads(status)(await finished(this.#native.status(text('credential', credential)), options));
  }

  /** The names of this node's own status lists: none before its first revocable credential. */
  async statusLists(options?: CallOptions): Promise<string[]> {
    return finished(this.#native.statusLists(), options);
  }

  /** A signed status list to hand out: one of this node's own, or one that it keeps. */
  async statusList(url: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.statusList(text('url', url)), options);
  }

  /** Checks a signed status list and keeps it, wherever it came from, when a kept credential names it. */
  async keepStatusList(list: string, options?: CallOptions): Promise<KeptStatusList> {
    return reads(keptList)(await finished(this.#native.keepStatusList(text('list', list)), options));
  }

  /** The status lists that kept credentials name, and of which this node has no copy or one that grows old. */
  async wantedStatusLists(options?: CallOptions): Promise<WantedStatusList[]> {
    return readsAll(wantedList)(await finished(this.#native.wantedStatusLists(), options));
  }

  /** Checks a credential's form and proof, and says what it says. It is not kept. */
  async verify(credentialJson: string, options?: CallOptions): Promise<Credential> {
    return reads(credential)(await finished(this.#native.verify(text('credential', credentialJson)), options));
  }

  /**
   * Reads a credential in the form of KwaaiNet's own software, and tries its proof. It is not kept and counts nowhere. A proof
   * that does not hold is no error: see `signer` and `why`. Its issuer can say the same again with `issue`, which takes the type,
   * the subject and the claims as they are here.
   */
  async readLegacy(credential: string, options?: CallOptions): Promise<LegacyCredential> {
    return reads(legacy)(await finished(this.#native.readLegacy(text('credential', credential)), options));
  }

  /**
   * Checks a credential like `verify`, and says what it says as one of the Decentralized Trust Graph; `null` when it is none. It is
   * not kept. Rejects with `unsupported` for a shape that is not read here.
   */
  async readDtg(credential: string, options?: CallOptions): Promise<DtgCredential | null> {
    return readsMaybe(dtg)(await finished(this.#native.readDtg(text('credential', credential)), options));
  }

  /** Verifies a credential, then keeps it. What breaks a rule is refused, with the `rule` in the error. */
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

  /** Every kept credential as one text for `importCredentials` elsewhere. It is not encrypted. */
  async exportCredentials(options?: CallOptions): Promise<string> {
    return finished(this.#native.exportCredentials(), options);
  }

  /** Verifies every credential of a bundle, then keeps those that hold, all in one step. */
  async importCredentials(bundle: string, options?: CallOptions): Promise<ImportedCredentials> {
    return reads(imported)(await finished(this.#native.importCredentials(text('bundle', bundle)), options));
  }

  /**
   * Encrypts the kept credentials under a passphrase of at most 1024 bytes, or replaces the one before. It cannot be
   * recovered. From the next opening on, credentials are out of reach until `unlock`.
   */
  async setPassphrase(passphrase: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.setPassphrase(text('passphrase', passphrase)), options);
  }

  /** Keeps credentials unencrypted again. The wallet must be unlocked. */
  async removePassphrase(options?: CallOptions): Promise<void> {
    await finished(this.#native.removePassphrase(), options);
  }

  /** Brings encrypted credentials within reach. Rejects with `permission_denied` for another passphrase. */
  async unlock(passphrase: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.unlock(text('passphrase', passphrase)), options);
  }

  /** Puts encrypted credentials out of reach until `unlock`. */
  async lock(options?: CallOptions): Promise<void> {
    await finished(this.#native.lock(), options);
  }

  /** Whether there is a passphrase, and whether it was given. */
  async walletState(options?: CallOptions): Promise<WalletState> {
    return finished(this.#native.walletState(), options);
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

  /** How far this node trusts several peers, in their order and from one view of what it knows. */
  async scores(peers: readonly string[], options?: CallOptions): Promise<Score[]> {
    return readsAll(score)(await finished(this.#native.scores(texts('peers', peers)), options));
  }

  /** The minimum of each purpose: a tier, or a score. */
  async policy(options?: CallOptions): Promise<Policy> {
    return JSON.parse(await finished<string>(this.#native.policy(), options)) as Policy;
  }

  /** Replaces the minimum of each purpose, durably. A purpose that is left out gets its default. */
  async setPolicy(policy: Partial<Policy>, options?: CallOptions): Promise<void> {
    const operation = native(() => this.#native.setPolicy(json('policy', policy)));
    await finished(operation, options);
  }

  /** Rejects with `untrusted_peer` unless a peer reaches the minimum of a purpose. */
  async require(peer: string, purpose: Purpose, options?: CallOptions): Promise<void> {
    await finished(this.#native.require(text('peer', peer), text('purpose', purpose)), options);
  }

  /** How much others may learn of this node's scores when they ask, by their own tier. At first nothing. */
  async disclosures(options?: CallOptions): Promise<Disclosures> {
    return JSON.parse(await finished<string>(this.#native.disclosures(), options)) as Disclosures;
  }

  /** Replaces how much others may learn, durably. Who has a higher tier learns at least as much as those below. */
  async setDisclosures(disclosures: Partial<Disclosures>, options?: CallOptions): Promise<void> {
    const operation = native(() => this.#native.setDisclosures(json('disclosures', disclosures)));
    await finished(operation, options);
  }

  /** What credentials about uptime and throughput must report to count. */
  async thresholds(options?: CallOptions): Promise<Thresholds> {
    return reads(thresholds)(await finished(this.#native.thresholds(), options));
  }

  /** Replaces what credentials must report, durably. Shares are from 0 to 1; what is left out gets its default. */
  async setThresholds(thresholds: Partial<Thresholds>, options?: CallOptions): Promise<void> {
    const operation = native(() => this.#native.setThresholds(recordJson(thresholds, 'thresholds')));
    await finished(operation, options);
  }

  /**
   * Notes how a dealing with a peer, a DID or a PeerId, ended just now. It is written with others after half a minute, and when
   * the graph is shut down.
   */
  async record(peer: string, outcome: Outcome, options?: RecordOptions): Promise<void> {
    const { latencyMs, promised, delivered } = checked(options, ['latencyMs', 'promised', 'delivered']);
    const measured = recordJson({ latencyMs, promised, delivered });
    const operation = native(() => this.#native.record(text('peer', peer), text('outcome', outcome), measured));
    await finished(operation, options);
  }

  /** What this node measured of a peer; `null` when it never dealt with it. */
  async reputation(peer: string, options?: CallOptions): Promise<Reputation | null> {
    return readsMaybe(reputation)(await finished(this.#native.reputation(text('peer', peer)), options));
  }

  /** What this node measured of each peer that it dealt with, in the order of their keys. */
  async reputations(options?: CallOptions): Promise<Reputation[]> {
    return readsAll(reputation)(await finished(this.#native.reputations(), options));
  }

  /**
   * Notes what one peer says about another, in place of what it said before: the weights, from 0 to 10^9, of the good and of the
   * bad answers that it saw. Whose word it is was checked by the app. It is written with others after half a minute, and when
   * the graph is shut down.
   */
  async addRecommendation(
    recommender: string,
    about: string,
    good: number,
    bad: number,
    options?: RecommendationOptions,
  ): Promise<void> {
    const { at } = checked(options, ['at']);
    const operation = this.#native.addRecommendation(
      text('recommender', recommender),
      text('about', about),
      real('good', good),
      real('bad', bad),
      at instanceof Date ? written('at', at) : optional(at, (at) => text('at', at)),
    );
    await finished(operation, options);
  }

  /**
   * EigenTrust over everybody of whom this node knows, itself among them: the greatest value first. It rates peers by its own
   * experience, and each recommender by its recommendations. No score contains it: here a recommender is believed as far as it
   * serves well.
   */
  async propagate(options?: PropagateOptions): Promise<GlobalTrust[]> {
    const { pretrusted, alpha } = checked(options, ['pretrusted', 'alpha']);
    const chosen = recordJson({ pretrusted, alpha });
    return readsAll(globalTrust)(await finished(native(() => this.#native.propagate(chosen)), options));
  }

  /** Writes now what was recorded of peers, and what they recommended, and was not written yet. */
  async flush(options?: CallOptions): Promise<void> {
    await finished(this.#native.flush(), options);
  }

  /** Forgets what this node measured of a peer, durably. */
  async resetReputation(peer: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.resetReputation(text('peer', peer)), options);
  }

  /** The tests of a credential's claim that are kept, the last 64 of them, the oldest first. */
  async tests(credentialId: string, options?: CallOptions): Promise<ClaimTest[]> {
    return readsAll(claimTest)(await finished(this.#native.tests(text('credentialId', credentialId)), options));
  }

  /** Notes whether a peer was up just now: a sample of its sightings, for an app that looks by its own means. */
  async sight(peer: string, up: boolean, options?: CallOptions): Promise<void> {
    await finished(this.#native.sight(text('peer', peer), truth('up', up)), options);
  }

  /** How often this node found a peer up; `null` when it never looked within the last 128 days. */
  async sightings(peer: string, options?: CallOptions): Promise<Sightings | null> {
    return readsMaybe(sightings)(await finished(this.#native.sightings(text('peer', peer)), options));
  }

  /**
   * Issues an `UptimeVC` about a peer from what this node saw of it. It is returned and not kept. Rejects with `not_found` when
   * this node did not look at the peer at two instants at least, or on fewer than half of the days between.
   */
  async issueUptime(peer: string, options?: IssueUptimeOptions): Promise<Credential> {
    const { validForMs } = checked(options, ['validForMs']);
    const operation = this.#native.issueUptime(
      text('peer', peer),
      optional(validForMs, (ms) => count('validForMs', ms)),
    );
    return reads(credential)(await finished(operation, options));
  }

  /**
   * Issues this identity's side of a link with a subject, a DID or a PeerId; `linkType` says what this identity is. It is returned
   * and not kept. The link is proven where both sides are kept: the node's, which says `node`, and that of its person or
   * organisation.
   */
  async issueBinding(subject: string, linkType: LinkType, options?: IssueBindingOptions): Promise<Credential> {
    const { validForMs } = checked(options, ['validForMs']);
    const operation = this.#native.issueBinding(
      text('subject', subject),
      text('linkType', linkType),
      optional(validForMs, (ms) => count('validForMs', ms)),
    );
    return reads(credential)(await finished(operation, options));
  }

  /** The links of a node, or of a person or organisation, that both keys prove by kept credentials: the oldest first. */
  async bindings(did: string, options?: CallOptions): Promise<IdentityBinding[]> {
    return readsAll(identityBinding)(await finished(this.#native.bindings(text('did', did)), options));
  }

  /**
   * Shows kept credentials that fit the filter and are in force, signed for one audience in answer to its challenge: those about
   * this node, unless `subject` is somebody else. It holds for five minutes.
   */
  async present(audience: string, challenge: string, options?: CredentialFilter): Promise<string> {
    const { subject, issuer, type } = checked(options, ['subject', 'issuer', 'type']);
    const filter = recordJson({ subject, issuer, type });
    const operation = native(() => this.#native.present(text('audience', audience), text('challenge', challenge), filter));
    return finished(operation, options);
  }

  /**
   * Checks a presentation and every credential in it. Rejects with `permission_denied` when it was made for another audience or
   * answers another challenge. Whether the challenge was given out, and was not answered before, is for the app to know.
   */
  async verifyPresentation(
    presentation: string,
    audience: string,
    challenge: string,
    options?: CallOptions,
  ): Promise<VerifiedPresentation> {
    const operation = this.#native.verifyPresentation(
      text('presentation', presentation),
      text('audience', audience),
      text('challenge', challenge),
    );
    return reads(verified)(await finished(operation, options));
  }

  /** Asks an issuer to certify that this node pledges a text; the signed request is for the issuer. */
  async requestPledge(issuer: string, pledged: string, options?: PledgeOptions): Promise<string> {
    const name = optional(checked(options, ['name']).name, (name) => text('name', name));
    return finished(this.#native.requestPledge(text('issuer', issuer), text('text', pledged), name), options);
  }

  /** Issues the credential that a request asks for, when it asks for exactly this pledge. It can be revoked. */
  async issuePledge(request: string, pledged: string, options?: IssuePledgeOptions): Promise<Credential> {
    const { name, validForMs } = checked(options, ['name', 'validForMs']);
    const operation = this.#native.issuePledge(
      text('request', request),
      text('text', pledged),
      optional(name, (name) => text('name', name)),
      optional(validForMs, (ms) => count('validForMs', ms)),
    );
    return reads(credential)(await finished(operation, options));
  }

  /** Keeps the credential of this node's own pledge, and shows it to peers who ask. */
  async acceptPledge(credential: string, pledged: string, options?: PledgeOptions): Promise<CredentialSummary> {
    const name = optional(checked(options, ['name']).name, (name) => text('name', name));
    const operation = this.#native.acceptPledge(text('credential', credential), text('text', pledged), name);
    return reads(summary)(await finished(operation, options));
  }

  /** Takes back a pledge of this node; the signed withdrawal is for the issuer and for peers. */
  async withdrawPledge(credentialId: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.withdrawPledge(text('credentialId', credentialId)), options);
  }

  /** Takes note that somebody withdrew its pledge; resolves to the identifier of the credential that counts no more. */
  async importWithdrawal(withdrawal: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.importWithdrawal(text('withdrawal', withdrawal)), options);
  }

  /** The withdrawals that are known here, of this node and of others, in the order of their credentials. */
  async withdrawals(options?: CallOptions): Promise<PledgeWithdrawal[]> {
    return readsAll(withdrawal)(await finished(this.#native.withdrawals(), options));
  }

  /**
   * Reads the withdrawal of a pledge that this node issued: the credential is what to `revoke`. Rejects with `invalid_argument`
   * when another node issued it.
   */
  async pledgeToRevoke(withdrawal: string, options?: CallOptions): Promise<Credential> {
    return reads(credential)(await finished(this.#native.pledgeToRevoke(text('withdrawal', withdrawal)), options));
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
