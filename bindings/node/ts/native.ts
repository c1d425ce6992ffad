/** Finds and loads the native module. Its types are private; what users see are the classes of the facade. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';

import { UnsupportedError } from './errors.js';
import { SUPPORTED, platform } from './platform.js';

export type Done = (error: string | null, value?: unknown) => void;

export interface NativeOperation {
  start(callback: Done): void;
  cancel(): void;
}

export interface NativeStream {
  nextBatch(max: number): NativeOperation;
  cancel(): void;
}

export interface NativeOwing {
  vectors(values: Float32Array): void;
  parts(parts: string): void;
  signature(bytes: Uint8Array): void;
  write(text: string): boolean;
  finish(atLimit: boolean, usage: string | undefined): void;
  fail(code: string, message: string, cause: string | undefined): void;
  unwanted(callback: () => void): void;
}

type Deadline = number | undefined;

export interface NativeSupplies {
  embedder(id: string, dimension: number, deadline: Deadline, code: (owing: NativeOwing, texts: string[], query: boolean) => void): void;
  writer(engine: NativeShardEngine, model: NativeModel, route: string | undefined): void;
  model(name: string, deadline: Deadline, code: (owing: NativeOwing, request: string) => void): void;
  reader(extensions: string[], deadline: Deadline, code: (owing: NativeOwing, name: string, bytes: Uint8Array) => void): void;
}

export interface NativeServed {
  supplied(name: string, supplies: NativeSupplies): void;
  endpoint(name: string, endpoint: string): void;
  bert(name: string, model: string): void;
  knowledge(name: string, rag: NativeRag): void;
}

export interface NativeSigner {
  readonly brand?: 'signer';
}

export interface NativeNode {
  name(): string;
  peerId(): string;
  did(): string;
  info(): NativeOperation;
  peers(): NativeOperation;
  diagnose(): NativeOperation;
  metrics(): NativeOperation;
  connect(address: string): NativeOperation;
  disconnect(peer: string): NativeOperation;
  findPeer(peer: string): NativeOperation;
  probe(peer: string): NativeOperation;
  askTrust(peer: string, about: string, atLeast: string): NativeOperation;
  askWord(peer: string): NativeOperation;
  refreshStatusLists(): NativeOperation;
  testCredential(credentialId: string, model: NativeModel | undefined, options: string): NativeOperation;
  sight(peer: string): NativeOperation;
  watchPeers(periodMs: number): NativeOperation;
  issueThroughput(peer: string, model: NativeModel, rate: string): NativeOperation;
  sendMessage(peer: string, text: string): NativeOperation;
  messages(): NativeStream;
  events(): NativeStream;
  trust(): NativeTrustGraph;
  shards(): NativeShardEngine;
  vpk(): NativeVpk;
  rag(name: string, options: string, supplies: NativeSupplies): NativeOperation;
  serveHttp(options: string, served: NativeServed): NativeOperation;
  shareKnowledge(rag: NativeRag, sharing: string): NativeOperation;
  sharedKnowledge(peer: string, capability: string): NativeOperation;
  federation(members: NativeMembers, options: string, supplies: NativeSupplies): NativeOperation;
  prove(rag: NativeRag, hits: string): NativeOperation;
  contribute(contribution: string): NativeOperation;
  advanceClock(byMs: number): void;
  shutdown(graceMs: number | undefined): NativeOperation;
}

export interface NativeTrustGraph {
  did(): string;
  issue(type: string, subject: string, claims: string, validForMs: number | undefined, revocable: boolean): NativeOperation;
  revoke(credentialId: string): NativeOperation;
  suspend(credentialId: string): NativeOperation;
  reinstate(credentialId: string): NativeOperation;
  status(credential: string): NativeOperation;
  statusLists(): NativeOperation;
  statusList(url: string): NativeOperation;
  keepStatusList(list: string): NativeOperation;
  wantedStatusLists(): NativeOperation;
  verify(credential: string): NativeOperation;
  readLegacy(credential: string): NativeOperation;
  readDtg(credential: string): NativeOperation;
  importCredential(credential: string): NativeOperation;
  credentials(filter: string): NativeOperation;
  credential(id: string): NativeOperation;
  removeCredential(id: string): NativeOperation;
  exportCredentials(): NativeOperation;
  importCredentials(bundle: string): NativeOperation;
  setPassphrase(passphrase: string): NativeOperation;
  removePassphrase(): NativeOperation;
  unlock(passphrase: string): NativeOperation;
  lock(): NativeOperation;
  walletState(): NativeOperation;
  issuers(): NativeOperation;
  trustIssuer(did: string, types: string[]): NativeOperation;
  distrustIssuer(did: string): NativeOperation;
  score(peer: string): NativeOperation;
  scores(peers: string[]): NativeOperation;
  policy(): NativeOperation;
  setPolicy(policy: string): NativeOperation;
  require(peer: string, purpose: string): NativeOperation;
  disclosures(): NativeOperation;
  setDisclosures(disclosures: string): NativeOperation;
  thresholds(): NativeOperation;
  setThresholds(thresholds: string): NativeOperation;
  record(peer: string, outcome: string, measured: string): NativeOperation;
  reputation(peer: string): NativeOperation;
  reputations(): NativeOperation;
  addRecommendation(recommender: string, about: string, good: number, bad: number, at: string | undefined): NativeOperation;
  propagate(options: string): NativeOperation;
  flush(): NativeOperation;
  resetReputation(peer: string): NativeOperation;
  tests(credentialId: string): NativeOperation;
  sight(peer: string, up: boolean): NativeOperation;
  sightings(peer: string): NativeOperation;
  issueUptime(peer: string, validForMs: number | undefined): NativeOperation;
  issueBinding(subject: string, linkType: string, validForMs: number | undefined): NativeOperation;
  bindings(did: string): NativeOperation;
  present(audience: string, challenge: string, filter: string): NativeOperation;
  verifyPresentation(presentation: string, audience: string, challenge: string): NativeOperation;
  requestPledge(issuer: string, text: string, name: string | undefined): NativeOperation;
  issuePledge(request: string, text: string, name: string | undefined, validForMs: number | undefined): NativeOperation;
  acceptPledge(credential: string, text: string, name: string | undefined): NativeOperation;
  withdrawPledge(credentialId: string): NativeOperation;
  importWithdrawal(withdrawal: string): NativeOperation;
  withdrawals(): NativeOperation;
  pledgeToRevoke(withdrawal: string): NativeOperation;
  advanceClock(byMs: number): void;
  shutdown(): void;
}

export interface NativeShardEngine {
  load(dir: string, blocks: string): NativeOperation;
  download(model: string, blocks: string): NativeOperation;
  downloaded(): NativeOperation;
  removeDownload(model: string): NativeOperation;
  serve(dir: string, startBlock: number, endBlock: number): NativeOperation;
  stopServing(modelId: string): NativeOperation;
  served(): NativeOperation;
  coverage(model: NativeModel): NativeOperation;
  calibrate(dir: string, options: string): NativeOperation;
  benchmark(model: NativeModel, options: string): NativeOperation;
  generate(model: NativeModel, request: string, route: string | undefined): NativeOperation;
  logits(model: NativeModel, tokens: number[], route: string | undefined): NativeOperation;
  embed(texts: string[], model: string | undefined, query: boolean): NativeOperation;
  shutdown(): void;
}

export interface NativeModel {
  info(): string;
  shutdown(): void;
}

export interface NativeRag {
  ingestPath(path: string, options: string): NativeOperation;
  ingestBytes(name: string, bytes: Uint8Array, options: string): NativeOperation;
  sync(folder: string, options: string): NativeOperation;
  reembed(chosen: string, supplies: NativeSupplies): NativeOperation;
  outsource(collection: NativeCollection, texts: boolean): NativeOperation;
  search(text: string, k: number, options: string): NativeOperation;
  ask(question: string, options: string): NativeOperation;
  calibrate(questions: string, options: string): NativeOperation;
  evaluate(questions: string, options: string, supplies: NativeSupplies): NativeOperation;
  cacheStats(): NativeOperation;
  cacheClear(): NativeOperation;
  documents(): NativeOperation;
  documentText(id: string): NativeOperation;
  deleteDocument(id: string): NativeOperation;
  stats(): NativeOperation;
  id(): NativeOperation;
  revokeShare(capabilityId: string): NativeOperation;
  serve(name: string | undefined, options: string): NativeOperation;
  shutdown(): NativeOperation;
  destroy(): NativeOperation;
}

export interface NativeSharedKnowledge {
  capability(): string;
  search(text: string, k: number, options: string): NativeOperation;
}

export interface NativeFederation {
  members(): string[];
  search(text: string, k: number, options: string): NativeOperation;
}

export interface NativeMembers {
  own(name: string, rag: NativeRag): void;
  shared(shared: NativeSharedKnowledge): void;
}

export interface NativeVpk {
  host(capacityBytes: number, options: string): NativeOperation;
  stopHosting(): NativeOperation;
  hosted(): NativeOperation;
  evict(owner: string): NativeOperation;
  create(name: string, options: string): NativeOperation;
  discover(options: string): NativeOperation;
  audit(name: string): NativeOperation;
  open(name: string): NativeOperation;
  benchmark(options: string): NativeOperation;
  device(): NativeOperation;
  resolve(collectionId: string): NativeOperation;
  recover(name: string, exported: string, options: string): NativeOperation;
  console(port: number | undefined): NativeOperation;
  collections(): NativeOperation;
  destroy(name: string): NativeOperation;
}

export interface NativeCollection {
  name(): string;
  id(): string;
  config(): string;
  leakage(): string;
  stats(): NativeOperation;
  upsert(
    ids: number[],
    vectors: Float32Array,
    rows: number,
    columns: number,
    payloads: (Uint8Array | undefined)[] | undefined,
    metadata: string,
  ): NativeOperation;
  delete(ids: number[]): NativeOperation;
  search(vector: Float32Array, k: number, filter: string): NativeOperation;
  flush(): NativeOperation;
  verify(): NativeOperation;
  repair(hosts: string[] | undefined): NativeOperation;
  rotate(): NativeOperation;
  exportKey(passphrase: string): NativeOperation;
  exportKeyTo(device: string): NativeOperation;
  shutdown(): void;
  destroy(): NativeOperation;
}

export interface NativeConsole {
  url(): string;
  shutdown(): void;
}

export interface NativeHttpServer {
  address(): string;
  port(): number;
  baseUrl(): string;
  shutdown(graceMs: number | undefined): NativeOperation;
}

/** Failures on demand, which only a checkout has. */
export interface NativeTesting {
  raiseError(number: number): NativeOperation;
  panic(): NativeOperation;
  hang(): NativeOperation;
  numbers(count: number, capacity: number, open: boolean): NativeStream;
  norms(values: Float32Array, columns: number): Float32Array;
  seedDid(seed: number): string;
  seedSign(seed: number, message: Uint8Array): NativeOperation;
  liveHandles(): Record<string, number>;
}

export interface Native extends Partial<NativeTesting> {
  version(): string;
  errorCodes(): string;
  shutdown(): void;
  resolveDid(did: string): string;
  checkCitations(text: string, sources: string[]): string;
  checkProvenance(proven: string): string;
  readKnowledgeCapability(capability: string): string;
  calibrationAt(calibration: string, alpha: number): string;
  compareEvaluations(evaluation: string, other: string): string;
  evaluationReport(evaluation: string, beside: string | undefined, form: string): string;
  initLogging(filter: string, sink: (record: string) => void): void;
  Node: { start(config: string): NativeOperation };
  TrustGraph: { open(options: string, signer: NativeSigner | undefined): NativeOperation };
  ShardEngine: { open(): NativeOperation };
  Vpk: object;
  HostConsole: object;
  HttpServer: object;
  SharedKnowledge: object;
  Federation: object;
  Members: new () => NativeMembers;
  Rag: { open(dir: string, options: string, supplies: NativeSupplies): NativeOperation };
  Supplies: new () => NativeSupplies;
  Served: new () => NativeServed;
  Signer: new (did: string, deadline: Deadline, code: (owing: NativeOwing, message: Uint8Array) => void) => NativeSigner;
}

function load(): Native {
  const local = path.join(__dirname, '..', 'native', 'kwaainet.node');
  if (existsSync(local)) return require(local) as Native;
  const here = platform();
  try {
    return require(`kwaainet-${here}`) as Native;
  } catch (cause) {
    throw new UnsupportedError(
      SUPPORTED.includes(here)
        ? `kwaainet's native module for ${here} is not installed; install the package kwaainet-${here}, which is an optional dependency of kwaainet`
        : `kwaainet has no native module for ${here}; there are ones for ${SUPPORTED.join(', ')}`,
      { context: { platform: here }, cause },
    );
  }
}

export const module: Native = load();

// Threads of the runtime must not run on while the process ends. Workers come and go and leave it to the main thread.
if (isMainThread) process.once('exit', () => module.shutdown());
