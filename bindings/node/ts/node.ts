/** A whole node: identity, network, trust, models and knowledge under one handle. */

import { type CallOptions, finished, held } from './bridge.js';
import { native } from './errors.js';
import { Federation, type FederationOptions, type KnowledgeCapability, type ProvenHit, SharedKnowledge } from './federation.js';
import { federationOptions, hitsJson, readCapability, readProvenHits, sharing } from './federation.js';
import { HttpServer } from './http.js';
import { module, type NativeModel, type NativeNode, type NativeRag } from './native.js';
import { type Hit, type NodeRagOptions, nodeRagOptions, Rag } from './rag.js';
import { type Kinds, type Shape, instant, many, one, plain, reads, readsAll, record, tagged } from './records.js';
import { type ServeHttpOptions, serveHttpOptions } from './served.js';
import { type Model, type Offer, ShardEngine, offer } from './shard.js';
import { EventStream } from './streams.js';
import { type ClaimTest, type Credential, type Minimum, type Reason, type StatusRefresh, type TakenWord, type Tier, TrustGraph, type TrustStatement } from './trust.js';
import { claimTest, clockOf, credential, reason, refresh, statement, takenWord } from './trust.js';
import { type Path, count, json, list, optional, options as checked, path, recordJson, text, texts, wrong } from './values.js';
import { Vpk } from './vpk.js';

/** Where a node stands: in memory on the loopback, on a desk, in a pocket, in a rack. */
export type Preset = 'ephemeral' | 'desktop' | 'mobile' | 'server';

/** How much peers may take; what is left out stays as the preset has it. */
export interface Limits {
  maxConnections?: number | undefined;
  maxIncomingConnections?: number | undefined;
  /** Connections that others opened from one IPv4 /24 or IPv6 /56 of the internet; 32 unless set. */
  maxIncomingPerRange?: number | undefined;
  /** The same for an IPv4 /16 or IPv6 /48; 128 unless set. */
  maxIncomingPerWideRange?: number | undefined;
  /** The same for an IPv4 /24 or IPv6 /56 of loopback and home networks; no bound of its own unless set. */
  maxIncomingPerLocalRange?: number | undefined;
  maxConnectionsPerPeer?: number | undefined;
  maxPendingIncoming?: number | undefined;
  maxPendingOutgoing?: number | undefined;
  /** Connections that lookups in the DHT opened and nothing else asked for, and that stand after them. */
  maxLookupConnections?: number | undefined;
  /** New connections are refused above this share of the machine's memory, 0 to 1. */
  maxMemoryShare?: number | undefined;
  maxCallsPerPeer?: number | undefined;
  maxCalls?: number | undefined;
  maxStreamsPerPeer?: number | undefined;
  maxStreams?: number | undefined;
  /** Unread messages that are kept. */
  inbox?: number | undefined;
  /** Unread events that are kept for one reader. */
  events?: number | undefined;
  maxProvidedKeys?: number | undefined;
  idleConnectionMs?: number | undefined;
  headerTimeoutMs?: number | undefined;
  gateTimeoutMs?: number | undefined;
  maxCallDurationMs?: number | undefined;
}

/** How much a relay gives; what is left out is as usual. */
export interface RelayLimits {
  /** Peers that can be reached through this node at the same time; 128 unless set. */
  maxReservations?: number | undefined;
  /** How long a reservation lasts unless it is renewed; an hour unless set. */
  reservationDurationMs?: number | undefined;
  /** Circuits at the same time; 128 unless set. */
  maxCircuits?: number | undefined;
  /** Circuits that one peer opened at the same time; 16 unless set. */
  maxCircuitsPerPeer?: number | undefined;
  /** The same for a peer that the policy does not let relay freely; 4 unless set. */
  maxCircuitsPerStranger?: number | undefined;
  /** Bytes that one circuit may carry in each direction; 4 GiB unless set. */
  maxCircuitBytes?: number | undefined;
  /** How long a circuit may last; two hours unless set. */
  maxCircuitDurationMs?: number | undefined;
}

/**
 * What a node is told at its start. What is given here wins over environment variables, these over `config.yaml` in the data
 * directory, and that over the preset.
 */
export interface NodeOptions extends CallOptions {
  /** `desktop` unless set. */
  preset?: Preset | undefined;
  /** The readable name that peers see. */
  name?: string | undefined;
  dataDir?: Path | undefined;
  identityKey?: Path | undefined;
  /** Multiaddresses to listen on; an empty list listens nowhere. */
  listen?: readonly string[] | undefined;
  /** Multiaddresses of the nodes to join the network through. */
  bootstrap?: readonly string[] | undefined;
  /** Whether to look for nodes on the local network. */
  mdns?: boolean | undefined;
  /** Whether to take part in the DHT of hivemind and Petals. */
  hivemind?: boolean | undefined;
  /** Multiaddresses of relays to be reached through when nobody can dial this node, the preferred first. */
  trustedRelays?: readonly string[] | undefined;
  /** Whether to relay for others. */
  relay?: boolean | undefined;
  /** How much, of a node that relays. */
  relayLimits?: RelayLimits | undefined;
  /** Multiaddresses to announce in place of those that are listened on. */
  announceAddr?: readonly string[] | undefined;
  /** The public address of the machine, or of the router that forwards to it. */
  publicIp?: string | undefined;
  /** The port that the router forwards, if it is not the one that is listened on. */
  publicPort?: number | undefined;
  /** Takes this node for one that nobody can dial: it is announced at relays alone. */
  forcePrivate?: boolean | undefined;
  /** How many peers must see this node at the same address before their word counts. */
  identifyMinConfirmations?: number | undefined;
  /** For how long nobody could try to dial this node before that word counts; rounded up to seconds. */
  identifyTimeoutMs?: number | undefined;
  /** Whether to ask the router to forward the ports that are listened on. */
  upnp?: boolean | undefined;
  /** Whether to remember in the data directory which peers were reached, and to dial some at the next start; true unless set. */
  peerCache?: boolean | undefined;
  limits?: Limits | undefined;
  /** For tests: the identity is made from this number, and is no secret. Only in memory. */
  seed?: number | bigint | undefined;
  /** For tests: a clock that stands at this instant until `advanceClock` moves it. */
  clock?: Date | string | undefined;
}

/** Whether and how others reach a node. */
export interface Reachability {
  /** Whether it can be dialled; `unknown` while nobody on the internet has tried. */
  verdict: 'public' | 'private' | 'unknown';
  /** A sentence for people. */
  why: string;
  /** The PeerIds of the relays that it is reached through. */
  relays: string[];
}

/** What can keep a node from others. */
export type DiagnosisCause =
  | 'no_bootstrap'
  | 'limit_reached'
  | 'dead_bootstrap'
  | 'incompatible_version'
  | 'clock_off'
  | 'relay_without_slots'
  | 'dead_relay'
  | 'firewall';

/** Something that keeps a node from others, and what to do about it. */
export interface Diagnosis {
  cause: DiagnosisCause;
  /** What was seen, for people. */
  text: string;
  remedy: string;
}

/** How many values of a histogram are at most so large. */
export interface MeasurementBucket {
  /** The bound, in the unit of the metric. */
  atMost: number;
  count: number;
}

/** One measurement: a name of OpenTelemetry's conventions with attributes, and the value. */
export interface Measurement {
  /** Such as `rpc.server.call.duration` or `kwaainet.peers`. */
  name: string;
  instrument: 'counter' | 'gauge' | 'histogram';
  /** In UCUM, such as `ms`, `By` or `{peer}`. */
  unit: string;
  description: string;
  attributes: Record<string, string>;
  /** In a histogram, the sum of its values. */
  value: number;
  /** How many values a histogram has; null for the others. */
  count: number | null;
  /** From the smallest bound to the largest, each counting those before it as well. */
  buckets: MeasurementBucket[];
}

/** What a node measured since its start. */
export interface Metrics {
  metrics: Measurement[];
  /** The same as text that Prometheus reads. */
  prometheus: string;
}

/** What a node says about itself. */
export interface NodeInfo {
  name: string;
  peerId: string;
  did: string;
  version: string;
  /** `null` for a node in memory. */
  dataDir: string | null;
  /** Where it can be dialled, each ending in `/p2p/<peer id>`. */
  addresses: string[];
  reachability: Reachability;
  connectedPeers: number;
  uptimeMs: number;
}

/** A connected peer, and how far this node trusts it. */
export interface PeerInfo {
  peerId: string;
  did: string | null;
  /** What the peer calls itself; not to be trusted. */
  name: string;
  /** What the peer says it runs; not to be trusted. */
  agent: string;
  direction: 'inbound' | 'outbound';
  /** The far ends of its connections; of one through a relay, the whole way. */
  addresses: string[];
  /** Whether it is reached only through a relay. */
  relayed: boolean;
  /** Whether it was named as a bootstrap. */
  bootstrap: boolean;
  /** Whether it was named as a trusted relay. */
  trustedRelay: boolean;
  rttMs: number | null;
  tier: Tier;
  score: number;
  reasons: Reason[];
  /** Whether a fiduciary pledge of this peer counts: verified, in force, and from an issuer trusted for it. */
  pledged: boolean;
}

/** A text that a peer sent. */
export interface Message {
  /** The PeerId of the sender, authenticated. */
  sender: string;
  text: string;
  receivedAt: Date;
}

/** Something that happened on the network. `other` is what this version has no name for. */
export type NodeEvent =
  | { kind: 'listening'; address: string }
  | { kind: 'listening_stopped'; address: string }
  | { kind: 'peer_connected'; peer: string; address: string; direction: 'inbound' | 'outbound' }
  | { kind: 'peer_identified'; peer: string; agent: string }
  | { kind: 'peer_disconnected'; peer: string }
  | { kind: 'peer_direct'; peer: string }
  | { kind: 'reachability_changed'; reachability: Reachability }
  | { kind: 'message_received'; message: Message }
  | { kind: 'other' };

/**
 * Blocks of a model to compute for others: from the first up to and without the last, or a number of them, or as many as fit.
 * Those whose place is not given go where the swarm has them least, and are moved when that helps it.
 */
export interface BlockShare {
  model: Path;
  /** The first block of a run. */
  startBlock?: number | undefined;
  /** One past the last block of a run. */
  endBlock?: number | undefined;
  /** How many, instead of which. */
  count?: number | undefined;
  /** Bytes that those that fit may take with what their sessions keep; what is free without a reserve unless set. */
  memoryBytes?: number | undefined;
}

/** What a peer is asked about somebody. */
export interface AskTrustOptions extends CallOptions {
  /** Only whether this tier or score is reached, which peers tell more askers. */
  atLeast?: Minimum | undefined;
}

/** How a claim is put to the test. */
export interface TestCredentialOptions extends CallOptions {
  /** The model that a `ThroughputVC` names. Where its blocks are here too, the results are compared. */
  model?: Model | undefined;
  /** How far the measurement may stay below the claim, as a share of it from 0 to 1; 0.2 unless set. */
  tolerance?: number | undefined;
  /** How many tokens a rate is measured over, 8 to 512; 32 unless set. */
  tokens?: number | undefined;
  /** Decides what work is asked for, a whole number from 0 to 2^53 - 1. Drawn at random unless set, so that nobody can prepare. */
  seed?: number | undefined;
}

/** How a rate is measured, and how long the credential about it holds. */
export interface IssueThroughputOptions extends CallOptions {
  /** How many tokens each run computes, 8 to 512; 32 unless set. */
  tokens?: number | undefined;
  /** How many runs there are, 1 to 64; 3 unless set. */
  runs?: number | undefined;
  /** Decides what work is asked for, a whole number from 0 to 2^53 - 1. Drawn at random unless set, so that nobody can prepare. */
  seed?: number | undefined;
  /** Milliseconds until it expires; without it, it does not. */
  validForMs?: number | undefined;
}

/** What a node shares. Everything that is not named is not shared. */
export interface ContributeOptions extends CallOptions {
  blocks?: readonly BlockShare[] | undefined;
  /** The lowest tier that may use it; without it the policy's minimum stays as it is. */
  minTier?: Tier | undefined;
  /** What was shared before takes nothing new, and may end within this time; five seconds unless set. */
  graceMs?: number | undefined;
}

const reachability: Shape<Reachability> = { verdict: plain, why: plain, relays: plain };
const diagnosis: Shape<Diagnosis> = { cause: plain, text: plain, remedy: plain };
const bucket: Shape<MeasurementBucket> = { atMost: plain, count: plain };
const metric: Shape<Measurement> = {
  name: plain,
  instrument: plain,
  unit: plain,
  description: plain,
  attributes: plain,
  value: plain,
  count: plain,
  buckets: many(bucket),
};
const metrics: Shape<Metrics> = { metrics: many(metric), prometheus: plain };
const nodeInfo: Shape<NodeInfo> = {
  name: plain,
  peerId: plain,
  did: plain,
  version: plain,
  dataDir: plain,
  addresses: plain,
  reachability: one(reachability),
  connectedPeers: plain,
  uptimeMs: plain,
};
const peerInfo: Shape<PeerInfo> = {
  peerId: plain,
  did: plain,
  name: plain,
  agent: plain,
  direction: plain,
  addresses: plain,
  relayed: plain,
  bootstrap: plain,
  trustedRelay: plain,
  rttMs: plain,
  tier: plain,
  score: plain,
  reasons: many(reason),
  pledged: plain,
};
const message: Shape<Message> = { sender: plain, text: plain, receivedAt: instant };
const events: Kinds<NodeEvent> = {
  listening: { kind: plain, address: plain },
  listening_stopped: { kind: plain, address: plain },
  peer_connected: { kind: plain, peer: plain, address: plain, direction: plain },
  peer_identified: { kind: plain, peer: plain, agent: plain },
  peer_disconnected: { kind: plain, peer: plain },
  peer_direct: { kind: plain, peer: plain },
  reachability_changed: { kind: plain, reachability: one(reachability) },
  message_received: { kind: plain, message: one(message) },
  other: { kind: plain },
};

/** @internal The records of this file, for the test that compares them with what Rust writes. */
export const shapes = { nodeInfo, peerInfo, message, events, diagnosis, metrics };

/** What a start may be told. */
const START = ['preset', 'name', 'dataDir', 'identityKey', 'listen', 'bootstrap', 'mdns', 'hivemind', 'trustedRelays', 'relay', 'relayLimits', 'announceAddr', 'publicIp', 'publicPort', 'forcePrivate', 'identifyMinConfirmations', 'identifyTimeoutMs', 'upnp', 'peerCache', 'limits', 'seed', 'clock'] as const;

/** A running node. `shutdown` ends it; a node that is forgotten ends too, without grace. */
export class Node implements AsyncDisposable {
  readonly #native: NativeNode;
  /** The readable name that peers see. */
  readonly name: string;
  /** The identity that the network knows this node by. */
  readonly peerId: string;
  /** The identity that signs this node's credentials. */
  readonly did: string;

  private constructor(native: NativeNode) {
    if (!(native instanceof (module.Node as never))) throw wrong('a Node', 'started by Node.start', native);
    this.#native = native;
    this.name = native.name();
    this.peerId = native.peerId();
    this.did = native.did();
  }

  /** Starts a node: it listens, dials nobody but its bootstraps, shares nothing and sends nothing home. */
  static async start(options?: NodeOptions): Promise<Node> {
    const { dataDir, identityKey, listen, bootstrap, trustedRelays, announceAddr, limits, relayLimits, clock, ...others } = checked(options, START);
    const { signal, ...plainly } = others;
    const config = {
      ...plainly,
      dataDir: optional(dataDir, (dir) => path('dataDir', dir)),
      identityKey: optional(identityKey, (file) => path('identityKey', file)),
      listen: optional(listen, (listen) => texts('listen', listen)),
      bootstrap: optional(bootstrap, (bootstrap) => texts('bootstrap', bootstrap)),
      trustedRelays: optional(trustedRelays, (relays) => texts('trustedRelays', relays)),
      announceAddr: optional(announceAddr, (addresses) => texts('announceAddr', addresses)),
      limits: limits ?? {},
      relayLimits: relayLimits ?? {},
      clock: clockOf(clock),
    };
    const operation = native(() => module.Node.start(recordJson(config)));
    return new Node(await finished(operation, options));
  }

  /** What the node says about itself. */
  async info(options?: CallOptions): Promise<NodeInfo> {
    return reads(nodeInfo)(await finished(this.#native.info(), options));
  }

  /** The connected peers with their tiers. A peer of which nothing is known is asked for its credentials. */
  async peers(options?: CallOptions): Promise<PeerInfo[]> {
    return readsAll(peerInfo)(await finished(this.#native.peers(), options));
  }

  /**
   * Looks for what keeps this node from others, and says what to do: bootstraps that do not answer, a clock that is off, relays
   * without a place, a firewall. Takes ten seconds at most; nothing found is an empty list.
   */
  async diagnose(options?: CallOptions): Promise<Diagnosis[]> {
    return readsAll(diagnosis)(await finished(this.#native.diagnose(), options));
  }

  /**
   * Counters and gauges since the start: who is connected and how, bytes, calls with their durations, what the node gives as a
   * relay. No peer is named in it, and nothing that was said.
   */
  async metrics(options?: CallOptions): Promise<Metrics> {
    return reads(metrics)((await finished(this.#native.metrics(), options)) as string);
  }

  /** Connects to a node at a multiaddress that ends in `/p2p/<peer id>`; resolves to the PeerId. */
  async connect(address: string, options?: CallOptions): Promise<string> {
    return finished(this.#native.connect(text('address', address)), options);
  }

  /** Closes every connection to a peer. */
  async disconnect(peer: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.disconnect(text('peer', peer)), options);
  }

  /** Asks the network where a peer, a PeerId or a DID, can be reached. */
  async findPeer(peer: string, options?: CallOptions): Promise<string[]> {
    return finished(this.#native.findPeer(text('peer', peer)), options);
  }

  /**
   * Whether a peer, a PeerId or a DID, or whoever is at an address, answers now: connects to it where there is no connection, and
   * times a round trip.
   */
  async probe(peer: string, options?: CallOptions): Promise<PeerInfo> {
    return reads(peerInfo)(await finished(this.#native.probe(text('peer', peer)), options));
  }

  /**
   * Asks a peer how far it trusts somebody else. The statement is the peer's opinion, signed and checked; it is not kept.
   */
  async askTrust(peer: string, about: string, options?: AskTrustOptions): Promise<TrustStatement> {
    const { atLeast } = checked(options, ['atLeast']);
    const operation = native(() =>
      this.#native.askTrust(text('peer', peer), text('about', about), json('atLeast', atLeast)),
    );
    return reads(statement)(await finished(operation, options));
  }

  /**
   * Looks at once for the status lists that this node wants, at their issuers and at the nodes that have copies. A node does this
   * by itself every ten minutes. Where peers have gone it may take a minute.
   */
  async refreshStatusLists(options?: CallOptions): Promise<StatusRefresh> {
    return reads(refresh)(await finished(this.#native.refreshStatusLists(), options));
  }

  /**
   * Puts what a kept credential claims to the test, at the peer that it is about, and keeps the row of evidence: an `UptimeVC` by
   * whether the peer answers a signed probe, a `ThroughputVC` by tokens that it computes with the model that the credential
   * names. Rejects with `not_found` for a credential that is not kept, and with `unsupported` for one whose claim cannot be
   * tested. A peer that does not answer is a result and no error; it takes ten seconds.
   */
  async testCredential(credentialId: string, options?: TestCredentialOptions): Promise<ClaimTest> {
    const { model, tolerance, tokens, seed } = checked(options, ['model', 'tolerance', 'tokens', 'seed']);
    const work = recordJson({ tolerance, tokens, seed });
    const chosen = optional(model, (model) => held<NativeModel>('Model', model));
    const operation = native(() => this.#native.testCredential(text('credentialId', credentialId), chosen, work));
    return reads(claimTest)(await finished(operation, options));
  }

  /**
   * Asks a peer what it saw of others by itself, and keeps that as its recommendations, in place of those it gave before. How much
   * they count in a score depends on how well the peer agrees with this node's own experience. A peer that saw nobody, or does not
   * say, is a result with a `count` of 0; what is kept of it stays then. A node asks by itself, every hour, the connected peers
   * that are at least known.
   */
  async askWord(peer: string, options?: CallOptions): Promise<TakenWord> {
    return reads(takenWord)(await finished(this.#native.askWord(text('peer', peer)), options));
  }

  /**
   * Looks whether a peer is up, and keeps that as a sample of its sightings: up is who answers a call, whatever it answers.
   * Rejects with `unreachable` when the peer does not answer and no other peer is connected: the fault may be here, and that is
   * no sample. It takes five seconds to find a peer down.
   */
  async sight(peer: string, options?: CallOptions): Promise<boolean> {
    return JSON.parse((await finished(this.#native.sight(text('peer', peer)), options)) as string) as boolean;
  }

  /**
   * Looks at every connected peer, and at those that were looked at within the last seven days, once each period of a second at
   * least, as long as the node runs. What a bootstrap server does that issues uptimes.
   */
  async watchPeers(periodMs: number, options?: CallOptions): Promise<void> {
    await finished(this.#native.watchPeers(count('periodMs', periodMs)), options);
  }

  /**
   * Measures how fast a peer computes its blocks of a model, and issues a `ThroughputVC` about it: tokens per second of the whole
   * model, as if the peer computed all of its blocks. Where the model's blocks are here too, the results are compared. The
   * credential is returned and not kept. Rejects with `not_found` when the peer serves no block of the model, and with
   * `corrupt_data` for a wrong result.
   */
  async issueThroughput(peer: string, model: Model, options?: IssueThroughputOptions): Promise<Credential> {
    const { tokens, runs, seed, validForMs } = checked(options, ['tokens', 'runs', 'seed', 'validForMs']);
    const rate = recordJson({ tokens, runs, seed, valid_for_ms: optional(validForMs, (ms) => count('validForMs', ms)) });
    const chosen = held<NativeModel>('Model', model);
    const operation = native(() => this.#native.issueThroughput(text('peer', peer), chosen, rate));
    return reads(credential)(await finished(operation, options));
  }

  /** Sends a text of at most 64 KiB to a peer, a PeerId or a DID, or to whoever is at an address. Resolves when it has arrived. */
  async sendMessage(peer: string, message: string, options?: CallOptions): Promise<void> {
    await finished(this.#native.sendMessage(text('peer', peer), text('text', message)), options);
  }

  /** Messages as they arrive. What came before the first reader is kept for it. */
  messages(options?: CallOptions): EventStream<Message> {
    return new EventStream(
      native(() => this.#native.messages()),
      (data) => record(message, data),
      options,
    );
  }

  /** What happens on the network from now on. */
  events(options?: CallOptions): EventStream<NodeEvent> {
    return new EventStream(
      native(() => this.#native.events()),
      (data) => tagged(events, data),
      options,
    );
  }

  /** Credentials, scores and the policy of this node. */
  trust(): TrustGraph {
    return TrustGraph.of(this.#native.trust());
  }

  /** Language models, whole or in blocks over peers. */
  shards(): ShardEngine {
    return ShardEngine.of(this.#native.shards());
  }

  /** Vectors on other people's machines that these cannot read, and such vectors of others on this one. */
  vpk(): Vpk {
    return Vpk.of(this.#native.vpk());
  }

  /**
   * Opens a knowledge base of this node, in a directory of its own where `dataDir` names one. While it is open, the same name
   * resolves to the same one.
   */
  async rag(name: string, options?: NodeRagOptions): Promise<Rag> {
    const [config, supplies] = nodeRagOptions(options);
    const operation = native(() => this.#native.rag(text('name', name), config, supplies));
    return Rag.of(await finished(operation, options));
  }

  /**
   * Answers programs that speak OpenAI's HTTP API, on port 11435 of this machine alone unless the options say otherwise; knowledge
   * bases have a page for people too. It ends with what it resolves to, and with the node. Rejects with `BusyError` when the port is taken.
   */
  async serveHttp(options?: ServeHttpOptions): Promise<HttpServer> {
    const [config, served] = serveHttpOptions(options);
    const operation = native(() => this.#native.serveHttp(config, served));
    return HttpServer.of(await finished(operation, options));
  }

  /**
   * Lets a peer, a DID or a PeerId, search a knowledge base, by the capability that this resolves to, whose text is handed to it by
   * whatever way. `name` is what it sees the knowledge base called, 1 to 64 characters; `validForMs` is at most 366 days. The capability
   * counts until it ends or `Rag.revokeShare` revokes it, while this node runs and the knowledge base is open: one that was opened with
   * `Node.rag`, or was shared since. The holder gets passages and what proves them; this node gets its questions.
   */
  async shareKnowledge(rag: Rag, holder: string, name: string, validForMs: number, options?: CallOptions): Promise<KnowledgeCapability> {
    const operation = native(() => this.#native.shareKnowledge(held<NativeRag>('Rag', rag), sharing(holder, name, validForMs)));
    return readCapability(await finished(operation, options));
  }

  /** A knowledge base that a peer, a DID or a PeerId, shares, by its capability. Nobody is asked before it is searched. */
  async sharedKnowledge(peer: string, capability: string, options?: CallOptions): Promise<SharedKnowledge> {
    const operation = this.#native.sharedKnowledge(text('peer', peer), text('capability', capability));
    return SharedKnowledge.of(await finished(operation, options));
  }

  /** Several knowledge bases as one: those of this node first, then those that peers share. */
  async federation(options?: FederationOptions): Promise<Federation> {
    const [members, config, supplies] = federationOptions(options);
    const operation = native(() => this.#native.federation(members, config, supplies));
    return Federation.of(await finished(operation, options));
  }

  /**
   * Proves where passages of a knowledge base come from, as this node's statement. Those that are no longer as they were found are left
   * out.
   */
  async prove(rag: Rag, hits: readonly Hit[], options?: CallOptions): Promise<ProvenHit[]> {
    const operation = native(() => this.#native.prove(held<NativeRag>('Rag', rag), hitsJson(hits)));
    return readProvenHits(await finished(operation, options));
  }

  /** Shares exactly this, and no longer what was shared before; without blocks nothing is shared. */
  async contribute(options?: ContributeOptions): Promise<Offer[]> {
    const { blocks, minTier, graceMs } = checked(options, ['blocks', 'minTier', 'graceMs']);
    const shares = list('blocks', blocks ?? []).map((share, at) => {
      const { model, ...span } = checked(share as BlockShare, ['model', 'startBlock', 'endBlock', 'count', 'memoryBytes'], `blocks[${at}]`);
      return { model: path(`blocks[${at}].model`, model), ...span };
    });
    const operation = native(() => this.#native.contribute(recordJson({ blocks: shares, minTier, graceMs })));
    return readsAll(offer)(await finished(operation, options));
  }

  /** For tests: moves the clock that the node was started with. */
  async advanceClock(byMs: number): Promise<void> {
    native(() => this.#native.advanceClock(count('byMs', byMs)));
  }

  /** Stops the node: what is under way may finish within `graceMs`, five seconds unless set. Idempotent. */
  async shutdown(options?: CallOptions & { graceMs?: number | undefined }): Promise<void> {
    const graceMs = optional(checked(options, ['graceMs']).graceMs, (ms) => count('graceMs', ms));
    await finished(this.#native.shutdown(graceMs), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}
