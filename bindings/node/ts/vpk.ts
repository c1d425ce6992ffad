/** Vectors on other people's machines that these cannot read, and such vectors of others on this one. */

import { type CallOptions, finished, hold } from './bridge.js';
import { InvalidArgumentError, native } from './errors.js';
import { module, type NativeCollection, type NativeConsole, type NativeVpk } from './native.js';
import type { Rows } from './provide.js';
import { type Field, type Shape, many, one, plain, reads, readsAll, readsMaybe, record } from './records.js';
import type { Matrix } from './shard.js';
import { EventStream } from './streams.js';
import type { Tier } from './trust.js';
import { count, index, json, list, optional, options as checked, recordJson, text, texts, wrong } from './values.js';

/** How vectors are hidden from their hosts: not at all, masked at one host, or in shares at three and more. */
export type Privacy = 'plain' | 'seal' | 'split';
/** How vectors are compared. */
export type Metric = 'cosine' | 'dot';
/** What a host was found to have: `unknown` when it could not be asked, `undecided` when too few hosts have a part. */
export type PartState = 'right' | 'wrong' | 'missing' | 'unknown' | 'undecided';

/** How much a node keeps for others, and for whom. */
export interface HostOptions extends CallOptions {
  /** The bytes on the disk for one owner; a quarter of all unless set. */
  tenantBytes?: number | undefined;
  /** The collections of one owner; 64 unless set. */
  tenantCollections?: number | undefined;
  /** The bytes of memory for answering; as many as on the disk, up to 1 GiB, unless set. */
  memoryBytes?: number | undefined;
  /** The lowest tier that may keep something here; the policy's minimum unless set. */
  minTier?: Tier | undefined;
}

/** Whom a node keeps something for. */
export interface Tenant {
  /** The DID of the owner. */
  owner: string;
  /** What it is charged with. */
  bytes: number;
  collections: number;
}

/** What a node keeps, and for whom. */
export interface HostedVectors {
  capacityBytes: number;
  /** What one owner may take. */
  tenantBytes: number;
  tenantCollections: number;
  memoryBytes: number;
  /** `null` where the policy's minimum stands. */
  minTier: Tier | null;
  usedBytes: number;
  tenants: Tenant[];
}

/** What is asked of hosts that are looked for. */
export interface DiscoverOptions extends CallOptions {
  /** The bytes that each must have left; 16 MiB unless set. */
  freeBytes?: number | undefined;
  /** The lowest tier; the policy's minimum of `store_vectors` unless set. */
  minTier?: Tier | undefined;
  /** Whether hosts in one address range count as one; true unless set. */
  distinctNetworks?: boolean | undefined;
}

/** A node that says that it hosts, as it answered when it was asked. */
export interface HostOffer {
  /** Its PeerId. */
  host: string;
  tier: Tier;
  /** What it has left for this node; 0 when it was refused. */
  freeBytes: number;
  /** `null` when it was not asked, or did not answer. */
  latencyMs: number | null;
  /** The DIDs that are proven to be its person's or its organisation's. */
  operators: string[];
  /** The address ranges that its connections come from; none when it is reached through relays alone. */
  networks: string[];
  /** The code of what keeps it from being used; `null` when it can be. */
  refusal: string | null;
  /** The same in words. */
  reason: string | null;
}

/** What an attacker tries. */
export type Attack = 'known_pairs' | 'dictionary' | 'scale' | 'reuse' | 'membership';

/** How an attack went. */
export interface AuditFinding {
  attack: Attack;
  /** 0 where there was nothing to guess. */
  trials: number;
  hits: number;
  /** How often a try succeeds by luck, from 0 to 1. */
  chance: number;
}

/** What a host could learn from what it keeps. */
export interface HostAudit {
  host: string;
  /** How many it handed out that were looked at. */
  bytes: number;
  findings: AuditFinding[];
}

/** What the hosts of a collection could learn from what they keep. */
export interface AuditReport {
  privacy: Privacy;
  /** How many were looked at. */
  vectors: number;
  hosts: HostAudit[];
  /** The same attacks against copies that must fall to them. */
  control: AuditFinding[];
  /** Whether they did. If not, the rest says nothing. */
  meaningful: boolean;
  /** Whether no attack on a host succeeded more than three times as often as by luck. */
  hidden: boolean;
}

/** What is measured. */
export interface BenchmarkOptions extends CallOptions {
  /** How many vectors, for each size; 1,000 and 10,000 unless set, 100,000 at most. */
  sizes?: readonly number[] | undefined;
  /** How many coordinates each vector has; 384 unless set. */
  dimension?: number | undefined;
  /** All that are possible with so many hosts unless set; `split` needs three. */
  privacies?: readonly Privacy[] | undefined;
  /** Each privacy is measured at the first of them, and at all; nobody unless set. */
  hosts?: readonly string[] | undefined;
  /** How many are asked for each row; 100 unless set. */
  questions?: number | undefined;
  /** What the vectors are made from; 1 unless set. */
  seed?: number | undefined;
}

/** What was measured of one kind of search. */
export interface BenchmarkRow {
  /** `null` for the exact search on this machine. */
  privacy: Privacy | null;
  /** How many kept the vectors; 0 on this machine. */
  hosts: number;
  vectors: number;
  dimension: number;
  /** Which part of the ten nearest was found, from 0 to 1, on average. */
  recall: number;
  /** How long half of the searches took at most. */
  p50Ms: number;
  /** How long all but one in a hundred took at most. */
  p99Ms: number;
  /** How long it took until all vectors were on the owner's disk and found. */
  durableMs: number;
  /** How long it took until the hosts had all of them and answered the first question. */
  searchableMs: number;
  /** To each host. */
  questionBytes: number;
  /** Of each host. */
  replyBytes: number;
}

/** How far a benchmark is. */
export interface BenchmarkStep {
  /** How many rows are measured. */
  done: number;
  /** How many rows there will be. */
  of: number;
  /** What was measured, or is being measured now, for people. */
  about: string;
  /** `null` when its measurement begins. */
  row: BenchmarkRow | null;
}

/** Who is to take the place of hosts that are lost. */
export interface RepairOptions extends CallOptions {
  /** They are taken in their order; ones that are found unless set. */
  hosts?: readonly string[] | undefined;
}

/** What a repair did. */
export interface Repair {
  /** The hosts that did not have what they should, or could not be asked. */
  lost: string[];
  /** Those that have it in their place. */
  added: string[];
}

/** What opens an exported key, one of the first two; and what becomes of the collection. */
export interface RecoverOptions extends CallOptions {
  /** The passphrase under which it was exported. */
  passphrase?: string | undefined;
  /** The DID of the node that exported it to this machine. */
  exportedBy?: string | undefined;
  /** Who is to keep it from now on; the hosts that it had unless set. */
  hosts?: readonly string[] | undefined;
  /** Whether it is recovered without the payloads that no host has; false unless set. */
  partial?: boolean | undefined;
}

/** Where the page of a host is to be. */
export interface ConsoleOptions extends CallOptions {
  /** A port of loopback; 7432 unless set, and 0 for any that is free. */
  port?: number | undefined;
}

/** What a collection is to be, beside its name, its dimension, its privacy and its hosts. */
export interface CreateOptions extends DiscoverOptions {
  /** `cosine` unless set. */
  metric?: Metric | undefined;
  /** Under `split`, how many of the hosts may work together and still learn nothing; 1 unless set. */
  colluding?: number | undefined;
  /** Of hosts that are found, how many keep it; as many as are needed, and one to spare where there is one, unless set. */
  replicas?: number | undefined;
}

/** What a collection is, as it was made. */
export interface CollectionConfig {
  dimension: number;
  privacy: Privacy;
  /** `here` or PeerIds. */
  hosts: string[];
  metric: Metric;
  colluding: number;
}

/** What a host learns, and what that rests on. */
export interface Leakage {
  /** A host can read the stored vectors. */
  vectors: boolean;
  /** A host can read what is searched for. */
  queries: boolean;
  /** A host can tell which vectors were found. */
  matches: boolean;
  /** A wrong answer is noticed. */
  answersChecked: boolean;
  /** What a host learns nevertheless, for people. */
  learned: string;
  /** What must hold for the rest to stay hidden, for people. */
  restsOn: string;
}

/** How a collection stands. */
export interface CollectionStats {
  vectors: number;
  /** How many of them are here alone, not sealed yet. */
  buffered: number;
  segments: number;
  /** How many places in segments hold nothing any more. */
  deleted: number;
  /** The number of the key. */
  epoch: number;
  /** The hosts for which something waits. */
  behind: string[];
  /** The hosts that answered wrongly since the collection was opened. */
  liars: string[];
}

/** What goes into a collection with its vectors, in the same order. */
export interface UpsertOptions extends CallOptions {
  /** Bytes that come back with a vector; `null` for one without. */
  payloads?: readonly (Uint8Array | null)[] | undefined;
  /** Values by which hits can be chosen; `null` for a vector without. */
  metadata?: readonly (Readonly<Record<string, unknown>> | null)[] | undefined;
}

/** How to search among vectors. */
export interface VectorSearchOptions extends CallOptions {
  /** How many hits; 10 unless set. */
  k?: number | undefined;
  /** The values that the metadata of a hit must have. Hosts are not told. */
  filter?: Readonly<Record<string, unknown>> | undefined;
}

/** A vector that was found. */
export interface FoundVector {
  id: number;
  /** The cosine or the dot product with the question. */
  score: number;
  payload: Uint8Array | null;
  metadata: Record<string, unknown>;
}

/** What a search found. */
export interface FoundVectors {
  /** The best first; equal scores in the order of their ids. */
  hits: FoundVector[];
  /** The hosts that are known to have answered wrongly. */
  liars: string[];
}

/** What a host was found to have. */
export interface HostReport {
  host: string;
  /** Whether everything is as it was brought there. */
  right: boolean;
  segments: PartState[];
  /** In the order of their vectors' ids. */
  payloads: PartState[];
  manifest: PartState;
}

const bytes: Field = { read: (value: string | null) => (value === null ? null : new Uint8Array(Buffer.from(value, 'base64'))) };
const tenant: Shape<Tenant> = { owner: plain, bytes: plain, collections: plain };
const hosted: Shape<HostedVectors> = {
  capacityBytes: plain,
  tenantBytes: plain,
  tenantCollections: plain,
  memoryBytes: plain,
  minTier: plain,
  usedBytes: plain,
  tenants: many(tenant),
};
const config: Shape<CollectionConfig> = { dimension: plain, privacy: plain, hosts: plain, metric: plain, colluding: plain };
const leakage: Shape<Leakage> = { vectors: plain, queries: plain, matches: plain, answersChecked: plain, learned: plain, restsOn: plain };
const stats: Shape<CollectionStats> = {
  vectors: plain,
  buffered: plain,
  segments: plain,
  deleted: plain,
  epoch: plain,
  behind: plain,
  liars: plain,
};
const foundVector: Shape<FoundVector> = { id: plain, score: plain, payload: bytes, metadata: plain };
const found: Shape<FoundVectors> = { hits: many(foundVector), liars: plain };
const report: Shape<HostReport> = { host: plain, right: plain, segments: plain, payloads: plain, manifest: plain };
const offer: Shape<HostOffer> = {
  host: plain,
  tier: plain,
  freeBytes: plain,
  latencyMs: plain,
  operators: plain,
  networks: plain,
  refusal: plain,
  reason: plain,
};
const finding: Shape<AuditFinding> = { attack: plain, trials: plain, hits: plain, chance: plain };
const hostAudit: Shape<HostAudit> = { host: plain, bytes: plain, findings: many(finding) };
const audit: Shape<AuditReport> = {
  privacy: plain,
  vectors: plain,
  hosts: many(hostAudit),
  control: many(finding),
  meaningful: plain,
  hidden: plain,
};
const repair: Shape<Repair> = { lost: plain, added: plain };
const benchmarkRow: Shape<BenchmarkRow> = {
  privacy: plain,
  hosts: plain,
  vectors: plain,
  dimension: plain,
  recall: plain,
  p50Ms: plain,
  p99Ms: plain,
  durableMs: plain,
  searchableMs: plain,
  questionBytes: plain,
  replyBytes: plain,
};
const benchmarkStep: Shape<BenchmarkStep> = { done: plain, of: plain, about: plain, row: one(benchmarkRow) };

/** What is asked of hosts that are looked for. */
const ASKED = ['freeBytes', 'minTier', 'distinctNetworks'] as const;

function placement({ freeBytes, minTier, distinctNetworks }: DiscoverOptions): Omit<DiscoverOptions, 'signal'> {
  return { freeBytes, minTier, distinctNetworks };
}

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = { hosted, config, leakage, stats, found, report, offer, audit, repair, benchmarkStep };

/** Vectors with ids and payloads, at hosts that cannot read them. */
export class VectorCollection implements AsyncDisposable {
  readonly #native: NativeCollection;
  /** The name under which this node has it. */
  readonly name: string;
  /** The id by which hosts know it. */
  readonly id: string;
  /** What it is, as it was made. */
  readonly config: CollectionConfig;
  /** What its hosts learn. */
  readonly leakage: Leakage;

  private constructor(handle: NativeCollection) {
    if (typeof handle?.leakage !== 'function') throw wrong('a VectorCollection', 'made by Vpk.create', handle);
    this.#native = handle;
    hold('VectorCollection', this, handle);
    this.name = handle.name();
    this.id = handle.id();
    this.config = Object.freeze(reads(config)(native(() => handle.config())));
    this.leakage = Object.freeze(reads(leakage)(native(() => handle.leakage())));
  }

  /** @internal */
  static of(native: NativeCollection): VectorCollection {
    return new VectorCollection(native);
  }

  /** How it stands. */
  async stats(options?: CallOptions): Promise<CollectionStats> {
    return reads(stats)(await finished(this.#native.stats(), options));
  }

  /**
   * Puts vectors in, all or none; those with an id that is there replace it. `vectors` has a row for each id, which is at most
   * 2^53 - 1; what `ShardEngine.embed` answers fits. What was put in is durable and found when this resolves, and goes to the hosts
   * when there is enough of it, or at `flush`.
   */
  async upsert(ids: readonly number[], vectors: Matrix | Rows, options?: UpsertOptions): Promise<void> {
    const { payloads, metadata } = checked(options, ['payloads', 'metadata']);
    const { rows, columns, values } = matrixOf(vectors);
    const copies = optional(payloads, (payloads) => list('payloads', payloads).map((one, at) => payload(`payloads[${at}]`, one)));
    const beside = json('metadata', metadata);
    const operation = native(() => this.#native.upsert(numbers(ids), values, rows, columns, copies, beside));
    await finished(operation, options);
  }

  /**
   * Takes vectors out, with their payloads, and answers how many there were. The hosts keep their numbers until the segment is
   * empty, or `rotate` leaves them out.
   */
  async delete(ids: readonly number[], options?: CallOptions): Promise<number> {
    return finished(this.#native.delete(numbers(ids)), options);
  }

  /**
   * Finds the vectors that are most like this one. Hosts are not told of a filter, nor, but under `plain`, of what was found.
   */
  async search(vector: readonly number[] | Float32Array, options?: VectorSearchOptions): Promise<FoundVectors> {
    const { k = 10, filter = {} } = checked(options, ['k', 'filter']);
    const wanted = json('filter', checked(filter, undefined, 'filter'));
    const operation = native(() => this.#native.search(row('vector', vector), index('k', k), wanted));
    return reads(found)(await finished(operation, options));
  }

  /** Seals what is buffered and brings everything to the hosts. Nothing is lost when that fails. */
  async flush(options?: CallOptions): Promise<void> {
    await finished(this.#native.flush(), options);
  }

  /**
   * Fetches everything from the hosts and checks it; as much traffic as bringing it there was. Flush before: what waits for a
   * host is missing there.
   */
  async verify(options?: CallOptions): Promise<HostReport[]> {
    return readsAll(report)(await finished(this.#native.verify(), options));
  }

  /**
   * Verifies what the hosts have, and puts others in the place of those that are lost or lie. Everything is sealed anew under a new
   * key. Searches go on meanwhile.
   */
  async repair(options?: RepairOptions): Promise<Repair> {
    const { hosts } = checked(options, ['hosts']);
    const named = optional(hosts, (hosts) => texts('hosts', hosts));
    return reads(repair)(await finished(this.#native.repair(named), options));
  }

  /** Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile. */
  async rotate(options?: CallOptions): Promise<void> {
    await finished(this.#native.rotate(), options);
  }

  /**
   * The recovery key, as a text that opens with a passphrase, for a backup or `Vpk.recover` on another machine. It is good over repairs
   * and whatever is put in, until the next `rotate`.
   */
  async exportKey(passphrase: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.exportKey(text('passphrase', passphrase)), options);
  }

  /** The same, as a text that opens on one machine alone: the one that said by `Vpk.device` who it is. */
  async exportKeyTo(device: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.exportKeyTo(text('device', device)), options);
  }

  /** Lets go of the collection, which stays, here and at its hosts. */
  async shutdown(): Promise<void> {
    this.#native.shutdown();
  }

  /** Forgets the collection, here and at its hosts. A copy that a host keeps is worth nothing without the key. */
  async destroy(options?: CallOptions): Promise<void> {
    await finished(this.#native.destroy(), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** A page on loopback that says who keeps how much at this node, until it is shut down. */
export class HostConsole implements AsyncDisposable {
  readonly #native: NativeConsole;
  /** Where a browser on this machine finds it. */
  readonly url: string;

  private constructor(handle: NativeConsole) {
    if (!(handle instanceof (module.HostConsole as never))) throw wrong('a HostConsole', 'made by Vpk.console', handle);
    this.#native = handle;
    this.url = handle.url();
  }

  /** @internal */
  static of(native: NativeConsole): HostConsole {
    return new HostConsole(native);
  }

  /** Ends it. */
  async shutdown(): Promise<void> {
    this.#native.shutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** What a node keeps for others, and what others keep for it. `docs/vpk.md` says what each privacy hides. */
export class Vpk {
  readonly #native: NativeVpk;

  private constructor(native: NativeVpk) {
    if (!(native instanceof (module.Vpk as never))) throw wrong('a Vpk', 'that of a node', native);
    this.#native = native;
  }

  /** @internal */
  static of(native: NativeVpk): Vpk {
    return new Vpk(native);
  }

  /**
   * Begins to keep collections for peers that the policy's `store_vectors` admits, and for this node, on so many bytes of the disk.
   * Nothing is kept for anybody before; what was kept in an earlier run is there again.
   */
  async host(capacityBytes: number, options?: HostOptions): Promise<void> {
    const { tenantBytes, tenantCollections, memoryBytes, minTier } = checked(options, ['tenantBytes', 'tenantCollections', 'memoryBytes', 'minTier']);
    const policy = recordJson({ tenantBytes, tenantCollections, memoryBytes, minTier });
    const operation = native(() => this.#native.host(count('capacityBytes', capacityBytes), policy));
    await finished(operation, options);
  }

  /** Ends that. What is kept stays on the disk. */
  async stopHosting(options?: CallOptions): Promise<void> {
    await finished(this.#native.stopHosting(), options);
  }

  /** What this node keeps, and for whom; `null` when it does not host. */
  async hosted(options?: CallOptions): Promise<HostedVectors | null> {
    return readsMaybe(hosted)(await finished(this.#native.hosted(), options));
  }

  /** Forgets everything that is kept for one owner, a DID or a PeerId. */
  async evict(owner: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.evict(text('owner', owner)), options);
  }

  /**
   * Makes a collection at its hosts, under a new key. Hosts are PeerIds, DIDs, or `here` for this node: 1 to 16 with a copy each
   * under `plain` and `seal`, twice `colluding` and one more, 16 at most, under `split`. With an empty list independent ones are
   * found, as by `discover`.
   */
  async create(
    name: string,
    dimension: number,
    privacy: Privacy,
    hosts: readonly string[],
    options?: CreateOptions,
  ): Promise<VectorCollection> {
    const { metric, colluding, replicas, ...asked } = checked(options, ['metric', 'colluding', 'replicas', ...ASKED]);
    const wanted = recordJson({
      dimension: index('dimension', dimension),
      privacy: text('privacy', privacy),
      hosts: texts('hosts', hosts),
      metric,
      colluding,
      replicas,
      ...placement(asked),
    });
    const operation = native(() => this.#native.create(text('name', name), wanted));
    return VectorCollection.of(await finished(operation, options));
  }

  /**
   * The nodes that say that they host, each as it answered just now; those that can be used first, the fastest of them first. Whom
   * this node trusts too little it does not ask.
   */
  async discover(options?: DiscoverOptions): Promise<HostOffer[]> {
    const asked = placement(checked(options, [...ASKED]));
    const operation = native(() => this.#native.discover(recordJson(asked)));
    return readsAll(offer)(await finished(operation, options));
  }

  /**
   * Attacks what the hosts keep of a collection, beside copies that must fall to the same attacks. It needs 128 sealed vectors, and
   * takes minutes at the largest dimensions.
   */
  async audit(name: string, options?: CallOptions): Promise<AuditReport> {
    return reads(audit)(await finished(this.#native.audit(text('name', name)), options));
  }

  /** Opens a collection that was made before. While it is open, the same name resolves to the same one. */
  async open(name: string, options?: CallOptions): Promise<VectorCollection> {
    return VectorCollection.of(await finished(this.#native.open(text('name', name)), options));
  }

  /**
   * Measures searches on this machine, at the first of the hosts and at all of them, one row for each. It begins when the first step is
   * asked for. What is made at the hosts is deleted again, also when the stream is left early.
   */
  benchmark(options?: BenchmarkOptions): EventStream<BenchmarkStep> {
    const { sizes, dimension, privacies, hosts, questions, seed } = checked(options, ['sizes', 'dimension', 'privacies', 'hosts', 'questions', 'seed']);
    const wanted = recordJson({
      sizes: optional(sizes, (sizes) => list('sizes', sizes).map((size, at) => count(`sizes[${at}]`, size))),
      dimension,
      privacies: optional(privacies, (privacies) => texts('privacies', privacies)),
      hosts: optional(hosts, (hosts) => texts('hosts', hosts)),
      questions,
      seed,
    });
    return new EventStream(native(() => this.#native.benchmark(wanted)), (data) => record(benchmarkStep, data), options);
  }

  /** What this machine says of itself, so that `VectorCollection.exportKeyTo` can encrypt a key to it. It is no secret. */
  async device(options?: CallOptions): Promise<string> {
    return finished(this.#native.device(), options);
  }

  /**
   * The PeerIds of the nodes that say in the DHT that they have a record of a collection. What they have is worth nothing without the
   * collection's key.
   */
  async resolve(collectionId: string, options?: CallOptions): Promise<string[]> {
    return finished(this.#native.resolve(text('collectionId', collectionId)), options);
  }

  /**
   * Makes a collection one of this node, whose key another machine has exported and which that machine may have lost. The key opens
   * with the `passphrase`, or, when it was exported to this machine, with the DID of the node that did it as `exportedBy`. What the
   * hosts keep is found, checked, and sealed anew under a key that no other machine has, at the same hosts or at others.
   */
  async recover(name: string, exported: string, options?: RecoverOptions): Promise<VectorCollection> {
    const { passphrase, exportedBy, hosts, partial } = checked(options, ['passphrase', 'exportedBy', 'hosts', 'partial']);
    const wanted = recordJson({ passphrase, exportedBy, hosts: optional(hosts, (hosts) => texts('hosts', hosts)), partial });
    const operation = native(() => this.#native.recover(text('name', name), text('exported', exported), wanted));
    return VectorCollection.of(await finished(operation, options));
  }

  /**
   * Serves a page on loopback for whoever is on this machine: who keeps how much here, and how much room is left. It ends with what
   * this resolves to, and with the node.
   */
  async console(options?: ConsoleOptions): Promise<HostConsole> {
    const { port } = checked(options, ['port']);
    const operation = native(() => this.#native.console(optional(port, (port) => count('port', port))));
    return HostConsole.of(await finished(operation, options));
  }

  /** The names of the collections of this node. */
  async collections(options?: CallOptions): Promise<string[]> {
    return finished(this.#native.collections(), options);
  }

  /** Forgets a collection, here and at its hosts. When a host cannot be reached it stays, and can be destroyed again. */
  async destroy(name: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.destroy(text('name', name)), options);
  }
}

function numbers(ids: readonly number[]): number[] {
  return list('ids', ids).map((id, at) => count(`ids[${at}]`, id));
}

function payload(what: string, value: unknown): Uint8Array | undefined {
  if (value === null || value === undefined) return undefined;
  if (!(value instanceof Uint8Array)) throw wrong(what, 'a Uint8Array', value);
  return value;
}

/** The numbers of one vector. Whether they are finite is for the library to say. */
function row(what: string, value: unknown): Float32Array {
  if (value instanceof Float32Array) return value;
  const entries = list(what, value);
  return Float32Array.from(entries, (entry, at) => {
    if (typeof entry !== 'number') throw wrong(`${what}[${at}]`, 'a number', entry);
    return entry;
  });
}

function matrixOf(vectors: Matrix | Rows): Matrix {
  const given = vectors as Partial<Matrix> | null | undefined;
  if (given?.values instanceof Float32Array) {
    return { rows: index('vectors.rows', given.rows), columns: index('vectors.columns', given.columns), values: given.values };
  }
  const rows = list('vectors', vectors).map((entry, at) => row(`vectors[${at}]`, entry));
  const columns = rows[0]?.length ?? 0;
  const values = new Float32Array(rows.length * columns);
  rows.forEach((entry, at) => {
    if (entry.length !== columns) {
      throw new InvalidArgumentError(`vectors must be of one length; vectors[${at}] has ${entry.length} numbers, not ${columns}`);
    }
    values.set(entry, at * columns);
  });
  return { rows: rows.length, columns, values };
}
