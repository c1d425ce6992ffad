/** The fields of the package's records are those that the object layer writes, both ways. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { PACKAGE, MODEL, QUESTION, ROOT, leavesNothingBehind, withFolder } from './support.js';

type Shape = Record<string, { wire?: string; shape?: Shape }>;
type Operation = { start(callback: (error: string | null, value: any) => void): void };

const facade = (file: string): any => require(path.join(PACKAGE, 'dist', file));
const { module: native } = facade('native.js');
const { snake } = facade('values.js');
const node = facade('node.js').shapes;
const trust = facade('trust.js').shapes;
const { resolvedDid } = facade('identity.js');
const shard = facade('shard.js').shapes;
const rag = facade('rag.js').shapes;
const vpk = facade('vpk.js').shapes;
const federation = facade('federation.js').shapes;

leavesNothingBehind();

function call(operation: Operation): Promise<any> {
  return new Promise((resolve, reject) => operation.start((error, value) => (error === null ? resolve(value) : reject(new Error(error)))));
}

const read = async (operation: Operation): Promise<any> => JSON.parse(await call(operation));

/** Compares names, and those of the records inside. */
function same(shape: Shape, data: Record<string, unknown>, where: string): void {
  const ours = Object.entries(shape).map(([name, field]) => field.wire ?? snake(name));
  assert.deepEqual(Object.keys(data).sort(), ours.sort(), where);
  for (const [name, field] of Object.entries(shape)) {
    if (field.shape === undefined) continue;
    const inner = data[field.wire ?? snake(name)];
    for (const entry of Array.isArray(inner) ? inner : [inner]) {
      if (entry !== null) same(field.shape, entry as Record<string, unknown>, `${where}.${name}`);
    }
  }
}

/** The first credential that the scenario about credentials of other makes gives to a verb. */
function writtenByOthers(verb: string): string {
  const scenario = JSON.parse(readFileSync(path.join(ROOT, 'tests', 'conformance', '44-what-others-wrote-is-read.json'), 'utf8'));
  return scenario.steps.find((step: { call: string }) => step.call === verb).args.credential;
}

async function drain(stream: any, last = (_: any) => false): Promise<any[]> {
  const values = [];
  for (let batch = await read(stream.nextBatch(256)); batch.length > 0; batch = await read(stream.nextBatch(256))) {
    values.push(...batch.map(([value]: [unknown]) => value));
    if (last(values.at(-1))) {
      stream.cancel();
      break;
    }
  }
  return values;
}

test('records and events of a node', async () => {
  const config = JSON.stringify({ preset: 'ephemeral' });
  const [one, two] = await Promise.all([call(native.Node.start(config)), call(native.Node.start(config))]);
  const [events, inbox] = [one.events(), one.messages()];
  const info = await read(one.info());
  same(node.nodeInfo, info, 'info');
  same(node.diagnosis, (await read(one.diagnose()))[0], 'diagnosis');
  await call(two.connect(info.addresses[0]));
  await call(two.sendMessage(one.did(), 'hello'));
  same(node.message, (await read(inbox.nextBatch(1)))[0][0], 'message');
  same(node.metrics, await read(two.metrics()), 'metrics');
  const graph = one.trust();
  const credential = await read(graph.issue('VerifiedNodeVC', two.did(), '{}', undefined, false));
  same(trust.credential, credential, 'credential');
  same(trust.summary, await read(graph.importCredential(credential.json)), 'summary');
  await call(graph.trustIssuer(one.did(), ['VerifiedNodeVC']));
  const score = await read(graph.score(two.did()));
  assert.equal(score.reasons.length, 1);
  same(trust.score, score, 'score');
  same(trust.issuer, (await read(graph.issuers()))[0], 'issuer');
  const [peer] = await read(one.peers());
  assert.equal(peer.reasons.length, 1);
  same(node.peerInfo, peer, 'peer');
  same(trust.takenWord, await read(two.askWord(one.did())), 'word');
  same(trust.globalTrust, (await read(graph.propagate('{}')))[0], 'trust');
  same(trust.refresh, await read(two.refreshStatusLists()), 'refresh');
  const claims = JSON.stringify({ upShare: 0.9, observedFrom: '2026-01-01T00:00:00Z', observedUntil: '2026-01-31T00:00:00Z', samples: 30 });
  const uptime = await read(graph.issue('UptimeVC', two.did(), claims, undefined, false));
  await call(graph.importCredential(uptime.json));
  await call(graph.sight(two.did(), true));
  same(trust.sightings, await read(graph.sightings(two.did())), 'sightings');
  same(trust.claimTest, await read(one.testCredential(uptime.id, undefined, '{}')), 'test');
  same(trust.statement, await read(two.askTrust(one.did(), two.did(), 'null')), 'statement');
  same(resolvedDid, JSON.parse(native.resolveDid(one.did())), 'resolved');
  await Promise.all([call(two.shutdown(0)), call(one.shutdown(0))]);
  const seen = await drain(events);
  for (const event of seen) same(node.events[event.kind], event, event.kind);
  const kinds = new Set(seen.map((event) => event.kind));
  for (const kind of ['peer_connected', 'message_received']) assert.ok(kinds.has(kind), `${kind} of ${[...kinds].join()}`);
});

test('records of private vectors', async () => {
  const keeper = await call(native.Node.start(JSON.stringify({ preset: 'ephemeral', listen: [] })));
  const own = keeper.vpk();
  await call(own.host(1 << 24, '{}'));
  const options = { dimension: 2, privacy: 'plain', hosts: ['here'] };
  const collection = await call(own.create('vectors', JSON.stringify(options)));
  same(vpk.config, JSON.parse(collection.config()), 'config');
  same(vpk.leakage, JSON.parse(collection.leakage()), 'leakage');
  const ids = Array.from({ length: 128 }, (_, id) => id);
  const rows = new Float32Array(ids.flatMap((id) => [1, id]));
  await call(collection.upsert(ids, rows, 128, 2, ids.map(() => Buffer.from('x')), 'null'));
  await call(collection.flush());
  const found = await read(collection.search(new Float32Array([1, 0]), 1, '{}'));
  assert.equal(found.hits.length, 1);
  same(vpk.found, found, 'found');
  same(vpk.stats, await read(collection.stats()), 'stats');
  same(vpk.report, (await read(collection.verify()))[0], 'report');
  same(vpk.repair, await read(collection.repair(undefined)), 'repair');
  same(vpk.audit, await read(own.audit('vectors')), 'audit');
  const steps = await drain(await call(own.benchmark(JSON.stringify({ sizes: [10], dimension: 2, questions: 1 }))));
  same(vpk.benchmarkStep, steps[1], 'benchmark');
  const hosted = await read(own.hosted());
  assert.equal(hosted.tenants.length, 1);
  same(vpk.hosted, hosted, 'hosted');
  await call(keeper.shutdown(0));
});

test('records of several knowledge bases', async () => {
  const node = await call(native.Node.start(JSON.stringify({ preset: 'ephemeral' })));
  const base = await call(node.rag('kb', '{"embedder":"none"}', new native.Supplies()));
  await drain(await call(base.ingestBytes('tomatoes.md', Buffer.from('Tomatoes want sun.'), '{}')));
  const terms = { holder: node.did(), name: 'shared', valid_for_ms: 60_000 };
  const granted = await read(node.shareKnowledge(base, JSON.stringify(terms)));
  same(federation.capability, granted, 'capability');
  const shared = await call(node.sharedKnowledge(node.peerId(), granted.text));
  const members = new native.Members();
  members.own('kb', base);
  members.shared(shared);
  const together = await call(node.federation(members, '{"embedder":"none"}', new native.Supplies()));
  const found = await read(together.search('tomatoes', 3, '{}'));
  assert.deepEqual([found.hits.length, found.failures.length], [1, 1]);
  same(federation.result, found, 'result');
  const { hit, provenance } = found.hits[0];
  const [proven] = await read(node.prove(base, JSON.stringify([hit])));
  same(federation.provenHit, proven, 'proven hit');
  same(federation.proven, JSON.parse(native.checkProvenance(JSON.stringify({ hit, provenance }))), 'proven');
  await call(node.shutdown(0));
});

test('records of withdrawal and of bundles', async () => {
  const [issuer, holder] = await Promise.all([call(native.TrustGraph.open('{}')), call(native.TrustGraph.open('{}'))]);
  const credential = await read(issuer.issue('VerifiedNodeVC', holder.did(), '{}', undefined, true));
  const bundle = { format: 'kwaainet-credentials', version: 1, credentials: [credential.json, '{}'] };
  const imported = await read(holder.importCredentials(JSON.stringify(bundle)));
  assert.deepEqual([imported.kept.length, imported.refused.length], [1, 1]);
  same(trust.imported, imported, 'imported');
  const [wanted] = await read(holder.wantedStatusLists());
  same(trust.wantedList, wanted, 'wanted');
  same(trust.keptList, await read(holder.keepStatusList(await call(issuer.statusList(wanted.url)))), 'kept');
  same(trust.status, await read(holder.status(credential.json)), 'status');
  const shown = await call(holder.present('app', '1', '{}'));
  const verified = await read(issuer.verifyPresentation(shown, 'app', '1'));
  assert.equal(verified.credentials.length, 1);
  same(trust.verified, verified, 'verified');
  same(trust.thresholds, await read(holder.thresholds()), 'thresholds');
  await call(holder.record(issuer.did(), 'good', '{}'));
  same(trust.reputation, await read(holder.reputation(issuer.did())), 'reputation');
  await call(holder.importCredential((await read(issuer.issueBinding(holder.did(), 'person', undefined))).json));
  await call(holder.importCredential((await read(holder.issueBinding(issuer.did(), 'node', undefined))).json));
  same(trust.identityBinding, (await read(holder.bindings(holder.did())))[0], 'binding');
  const request = await call(holder.requestPledge(issuer.did(), 'x', undefined));
  const pledge = await read(issuer.issuePledge(request, 'x', undefined, undefined));
  await call(holder.acceptPledge(pledge.json, 'x', undefined));
  await call(holder.withdrawPledge(pledge.id));
  same(trust.withdrawal, (await read(holder.withdrawals()))[0], 'withdrawal');
  same(trust.legacy, await read(holder.readLegacy(writtenByOthers('TrustGraph.read_legacy'))), 'legacy');
  same(trust.dtg, await read(holder.readDtg(writtenByOthers('TrustGraph.read_dtg'))), 'dtg');
});

test('records of models', async () => {
  const engine = await call(native.ShardEngine.open());
  const model = await call(engine.load(MODEL, '"all"'));
  same(shard.modelInfo, JSON.parse(model.info()), 'model');
  const request = JSON.stringify({ messages: [{ role: 'user', content: QUESTION }], max_tokens: 3 });
  const events = await drain(await call(engine.generate(model, request, undefined)));
  same(shard.token, events[0], 'token');
  same(shard.done, events.at(-1), 'done');
  same(shard.blockCalibration, await read(engine.calibrate(MODEL, '{"memory_bytes": 4294967296}')), 'calibration');
  const [at] = await drain(await call(engine.download(MODEL, '"all"')));
  same(shard.downloading.finished, at, 'finished');
  const quick = '{"prompt_tokens": 4, "steps": 1, "warm_up": 0}';
  same(shard.modelBenchmark, await read(engine.benchmark(model, quick)), 'benchmark');
  const serving = await call(native.Node.start(JSON.stringify({ preset: 'ephemeral' })));
  same(shard.offer, await read(serving.shards().serve(MODEL, 0, 2)), 'offer');
  const asking = await call(native.Node.start(JSON.stringify({ preset: 'ephemeral' })));
  await call(asking.connect((await read(serving.info())).addresses[0]));
  const remote = await call(asking.shards().load(MODEL, '"none"'));
  const coverage = await read(asking.shards().coverage(remote));
  assert.equal(coverage.hosts.length, 1);
  same(shard.coverage, coverage, 'coverage');
  await Promise.all([call(asking.shutdown(0)), call(serving.shutdown(0))]);
});

test('records of a knowledge base', async () => {
  await withFolder(async (folder) => {
    const supplies = new native.Supplies();
    supplies.embedder('letters', 2, undefined, (owing: any, texts: string[]) => owing.vectors(new Float32Array(texts.length * 2).fill(1)));
    const base = await call(native.Rag.open(folder, '{}', supplies));
    const text = Buffer.from('# Food\n\nThe canteen serves dumplings on Fridays.');
    const events = await drain(await call(base.ingestBytes('food.md', text, '{}')));
    for (const event of events) same(rag.progress[event.kind], event, event.kind);
    assert.deepEqual(events.map((event) => event.kind), ['found', 'reading', 'embedded', 'document_done', 'finished']);
    for (const event of await drain(await call(base.ingestBytes('food.md', text, '{}')))) same(rag.progress[event.kind], event, event.kind);
    const broken = await drain(await call(base.ingestBytes('x.pdf', Buffer.from('%PDF-1.7'), '{}')));
    same(rag.progress.document_failed, broken.find((event) => event.kind === 'document_failed'), 'document_failed');
    const kept = path.join(folder, 'kept');
    mkdirSync(kept);
    for (const name of ['changes.txt', 'moves.txt', 'goes.txt']) writeFileSync(path.join(kept, name), `The file ${name}.`);
    writeFileSync(path.join(kept, 'broken.pdf'), '%PDF-1.7');
    const kinds = new Set<string>();
    const follow = async (options: object) => {
      const stream = await call(base.sync(kept, JSON.stringify(options)));
      for (const event of await drain(stream, (event) => event.kind === 'watching')) {
        kinds.add(event.kind);
        same(rag.synced[event.kind], event, event.kind);
      }
    };
    await follow({});
    writeFileSync(path.join(kept, 'changes.txt'), 'The file has changed.');
    renameSync(path.join(kept, 'moves.txt'), path.join(kept, 'moved.txt'));
    rmSync(path.join(kept, 'goes.txt'));
    await follow({});
    await follow({ delete: true, watch: true, polling: true });
    assert.deepEqual([...kinds].sort(), Object.keys(rag.synced).sort());
    const others = new native.Supplies();
    others.embedder('others', 3, undefined, (owing: any, texts: string[]) => owing.vectors(new Float32Array(texts.length * 3).fill(1)));
    const changed = await drain(await call(base.reembed('null', others)));
    for (const event of changed) same(rag.reembedded[event.kind], event, event.kind);
    assert.deepEqual(changed.map((event) => event.kind), ['found', 'embedded', 'finished']);
    const keeper = await call(native.Node.start('{"preset":"ephemeral","listen":[]}', undefined));
    await call(keeper.vpk().host(2 ** 24, '{}'));
    const collection = await call(keeper.vpk().create('kb', JSON.stringify({ dimension: 3, privacy: 'plain', hosts: ['here'] })));
    const brought = await drain(await call(base.outsource(collection, false)));
    for (const event of brought) same(rag.broughtAway[event.kind], event, event.kind);
    assert.deepEqual(brought.map((event) => event.kind), ['found', 'brought', 'finished']);
    same(rag.documentInfo, (await read(base.documents()))[0], 'document');
    same(rag.stats, await read(base.stats()), 'stats');
    const found = await read(base.search('dumplings', 1, '{}'));
    assert.ok(found.hits[0].lexical && found.hits[0].dense);
    same(rag.searchResult, found, 'search');
    const asked = await drain(await call(base.ask('What does the canteen serve on Fridays?', '{}')));
    assert.ok(asked.at(-1).answer.citations.length > 0);
    for (const event of asked) same(rag.asked[event.kind], event, event.kind);
    same(rag.calibration, await read(base.calibrate('[{"question":"What is the capital of Mongolia?"}]', '{}')), 'calibration');
    for (const fault of JSON.parse(native.checkCitations('Soup is served [9].', ['Soup.']))) same(rag.fault, fault, 'fault');
    await call(base.destroy());
    await call(keeper.shutdown(0));
  });
});
