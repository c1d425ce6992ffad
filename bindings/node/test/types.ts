/** Checked by the compiler, not run: what users write has the types that they expect, and what is wrong does not compile. */

import { type Answer, type ClaimTest, type Credential, type Diagnosis, type Disclosure, type DtgCredential, type EventStream, type FaultKind, type FoundVector, type GlobalTrust, type IdentityBinding, type IngestEvent, type LegacyCredential, type MemberFailure, type Message, type Metrics, type NodeEvent, type PledgeWithdrawal, type Proven, type Reputation, type Score, type Sightings, type TakenWord, type WantedStatusList } from 'kwaainet';
import { Node, Rag, ShardEngine, TrustGraph, KwaaiError, checkCitations, checkProvenance } from 'kwaainet';
import { Swarm } from 'kwaainet/testing';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function holds<T extends true>(_: T): void {}

export async function types(node: Node, rag: Rag, engine: ShardEngine, error: unknown): Promise<void> {
  holds<Same<ReturnType<Node['messages']>, EventStream<Message>>>(true);
  for await (const message of node.messages()) holds<Same<typeof message, Message>>(true);
  for await (const event of node.events()) {
    holds<Same<typeof event, NodeEvent>>(true);
    if (event.kind === 'peer_connected') holds<Same<typeof event.direction, 'inbound' | 'outbound'>>(true);
    // @ts-expect-error an address is not part of every event
    event.address;
  }
  for await (const event of rag.ingest('docs', { signal: AbortSignal.timeout(5) })) holds<Same<typeof event, IngestEvent>>(true);
  holds<Same<Awaited<ReturnType<ReturnType<Rag['ask']>['done']>>, Answer>>(true);
  rag.ask('why?', { maxUnsupported: 0.1, history: [{ role: 'user', content: 'how?' }] });
  holds<Same<Awaited<ReturnType<Rag['search']>>['hits'][number]['via'], string | null>>(true);
  // @ts-expect-error a share is a number
  await rag.search('why', { diversity: 'much' });
  const calibration = await rag.calibrate({ questions: [{ question: 'why?', documents: ['id'] }], mode: 'lexical' });
  holds<Same<ReturnType<typeof calibration.threshold>, number | null>>(true);
  holds<Same<ReturnType<typeof checkCitations>[number]['kind'], FaultKind>>(true);
  const capability = await node.shareKnowledge(rag, node.did, 'notes', 86_400_000);
  const shared = await node.sharedKnowledge(node.did, capability.text);
  const together = await (await node.federation({ own: { notes: rag }, shared: [shared] })).search('why', { timeoutMs: 1000 });
  holds<Same<typeof together.failures, MemberFailure[]>>(true);
  const [first] = together.hits;
  if (first !== undefined) holds<Same<ReturnType<typeof checkProvenance>, Proven>>(true);
  // @ts-expect-error a member is a knowledge base
  await node.federation({ own: { notes: 'notes' } });
  const model = await engine.load(new URL('file:///model'), { blocks: [0, 2] });
  for await (const event of engine.chat(model, 'hello', { maxTokens: 3 })) {
    if (event.kind === 'done') holds<Same<typeof event.path[number]['peer'], string | null>>(true);
  }
  const { values } = await engine.logits(model, [1, 2]);
  holds<Same<typeof values, Float32Array>>(true);
  if (error instanceof KwaaiError && error.code === 'busy') holds<Same<typeof error.retryable, boolean>>(true);
  await using swarm = await Swarm.start(2);
  holds<Same<typeof swarm.nodes, readonly Node[]>>(true);
  await node.rag('notes', { embedder: { id: 'x', dimension: 3, embed: async (texts) => texts.map(() => [1, 2, 3]) } });
  await node.rag('notes', { model: { name: 'x', async *generate() { yield 'a'; return { finishReason: 'stop' }; } } });
  const graph = node.trust();
  holds<Same<Awaited<ReturnType<TrustGraph['walletState']>>, 'plain' | 'locked' | 'unlocked'>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['disclosures']>>['known'], Disclosure>>(true);
  await graph.setPolicy({ open: 'known', message: 0.55 });
  await graph.setThresholds({ uptimeMinDays: 30 });
  await graph.record(node.did, 'transport_fault', { latencyMs: 20.5 });
  holds<Same<Awaited<ReturnType<TrustGraph['reputation']>>, Reputation | null>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['reputations']>>, Reputation[]>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['scores']>>, Score[]>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['propagate']>>, GlobalTrust[]>>(true);
  await graph.propagate({ pretrusted: [node.did], alpha: 0.2 });
  const notes = await node.vpk().create('notes', 3, 'seal', [node.peerId], { metric: 'dot' });
  await notes.upsert([1], [[1, 2, 3]], { payloads: [null], metadata: [{ language: 'de' }] });
  await notes.upsert([1], await engine.embed(['a']));
  holds<Same<Awaited<ReturnType<typeof notes.search>>['hits'], FoundVector[]>>(true);
  // @ts-expect-error no privacy of that name
  await node.vpk().create('notes', 3, 'masked', []);
  holds<Same<Awaited<ReturnType<Node['diagnose']>>, Diagnosis[]>>(true);
  holds<Same<Awaited<ReturnType<Node['metrics']>>, Metrics>>(true);
  holds<Same<Awaited<ReturnType<Node['info']>>['reachability']['verdict'], 'public' | 'private' | 'unknown'>>(true);
  holds<Same<Awaited<ReturnType<Node['askWord']>>, TakenWord>>(true);
  await graph.addRecommendation(node.did, node.did, 3, 0.5, { at: new Date() });
  holds<Same<Awaited<ReturnType<TrustGraph['tests']>>, ClaimTest[]>>(true);
  const { verdict } = await node.testCredential('urn:kwaai:vc:0', { model: await engine.load('model'), tolerance: 0.1, tokens: 16, seed: 7 });
  holds<Same<typeof verdict, 'holds' | 'fails' | 'inconclusive'>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['sightings']>>, Sightings | null>>(true);
  holds<Same<Awaited<ReturnType<Node['sight']>>, boolean>>(true);
  await node.issueThroughput(node.peerId, await engine.load('model'), { runs: 1, validForMs: 1000 });
  await graph.issueBinding(node.did, 'person', { validForMs: 86_400_000 });
  holds<Same<Awaited<ReturnType<TrustGraph['bindings']>>, IdentityBinding[]>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['withdrawals']>>, PledgeWithdrawal[]>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['pledgeToRevoke']>>, Credential>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['readLegacy']>>, LegacyCredential>>(true);
  holds<Same<Awaited<ReturnType<TrustGraph['readDtg']>>, DtgCredential | null>>(true);
  const { aboutOthers } = await graph.verifyPresentation(await graph.present(node.did, 'x', { type: 'UptimeVC' }), node.did, 'x');
  holds<Same<typeof aboutOthers, Credential[]>>(true);
  holds<Same<Awaited<ReturnType<Node['refreshStatusLists']>>['missing'], WantedStatusList[]>>(true);
  const { holds: reached } = await node.askTrust(node.did, node.did, { atLeast: 'verified' });
  holds<Same<typeof reached, boolean | null>>(true);
  await TrustGraph.open({ signer: { did: 'did:key:z', sign: (message) => message } });

  // @ts-expect-error no type of link of that name
  await graph.issueBinding(node.did, 'NodeBinding');
  // @ts-expect-error a model is a handle
  await node.testCredential('urn:kwaai:vc:0', { model: 'model' });
  // @ts-expect-error no outcome of that name
  await graph.record(node.did, 'late');
  // @ts-expect-error no threshold of that name
  await graph.setThresholds({ uptimeMinHours: 3 });
  // @ts-expect-error no level of that name
  await graph.setDisclosures({ known: 'all' });
  // @ts-expect-error no tier of that name
  await node.askTrust(node.did, node.did, { atLeast: 'royal' });
  // @ts-expect-error a node is started, not made
  new Node();
  // @ts-expect-error no limit of that name
  await Node.start({ relay: true, relayLimits: { maxCircuit: 3 } });
  // @ts-expect-error no preset of that name
  await Node.start({ preset: 'moon' });
  // @ts-expect-error a chat needs a model
  engine.chat('tiny-kwaai', 'hello');
  // @ts-expect-error a span has two ends
  await engine.load('model', { blocks: [1] });
  // @ts-expect-error an embedder has a dimension
  await Rag.open('x', { embedder: { id: 'x', embed: () => [] } });
  // @ts-expect-error private parts are private
  node.native;
  // @ts-expect-error what is spelled wrong is no code
  if (error instanceof KwaaiError && error.code === 'bussy') return;
}
