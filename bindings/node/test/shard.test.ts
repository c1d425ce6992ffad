import assert from 'node:assert/strict';
import test from 'node:test';

import { Node, ShardEngine, TrustGraph } from 'kwaainet';

import { MODEL, QUESTION, ROOT, fails, leavesNothingBehind, until } from './support.js';
import { liveHandles } from 'kwaainet/testing';

leavesNothingBehind();

test('a model runs whole without a network', async () => {
  await using engine = await ShardEngine.open();
  await using model = await engine.load(MODEL);
  assert.deepEqual(model.info.heldBlocks, { start: 0, end: model.blocks });
  assert.equal(model.name, 'tiny-kwaai');
  let text = '';
  for await (const event of engine.chat(model, QUESTION, { maxTokens: 16 })) {
    if (event.kind === 'token') text += event.text;
    else assert.equal(event.usage.completionTokens, 16);
  }
  const whole = await engine.chat(model, [{ role: 'user', content: QUESTION }], { maxTokens: 16 }).done();
  assert.equal(whole.text, text);
  const logits = await engine.logits(model, Uint32Array.of(1, 2, 3));
  assert.deepEqual([logits.rows, logits.columns, logits.values.length], [3, model.info.vocabSize, 3 * model.info.vocabSize]);
  assert.ok(logits.values instanceof Float32Array && logits.values.every(Number.isFinite));
});

test('two trusted hosts compute what one machine computes, and a stranger is refused', async () => {
  await using issuer = await TrustGraph.open();
  await using app = await Node.start({ preset: 'ephemeral', name: 'app' });
  await using one = await Node.start({ preset: 'ephemeral', name: 'one' });
  await using two = await Node.start({ preset: 'ephemeral', name: 'two' });
  await using stranger = await Node.start({ preset: 'ephemeral', name: 'stranger' });
  for (const node of [app, one, two]) {
    await node.trust().trustIssuer(issuer.did, ['VerifiedNodeVC']);
    await node.trust().importCredential((await issuer.issue('VerifiedNodeVC', node.did)).json);
  }
  const address = (await app.info()).addresses[0] as string;
  for (const node of [one, two, stranger]) await node.connect(address);
  const shards = app.shards();
  const model = await shards.load(MODEL, { blocks: 'none' });
  const half = model.blocks / 2;
  const [offer] = await one.contribute({ blocks: [{ model: MODEL, startBlock: 0, endBlock: half }], minTier: 'known' });
  assert.deepEqual(offer, { model: model.id, startBlock: 0, endBlock: half });
  await two.contribute({ blocks: [{ model: MODEL, startBlock: half, endBlock: model.blocks }], minTier: 'known' });
  await stranger.contribute({ blocks: [{ model: MODEL, startBlock: 0, endBlock: model.blocks }] });
  const coverage = await shards.coverage(model);
  const usable = new Map(coverage.hosts.map((host) => [host.peer, host.usable]));
  assert.deepEqual([one, two, stranger].map((node) => usable.get(node.peerId)), [true, true, false]);
  const answer = await shards.chat(model, QUESTION, { maxTokens: 12 }).done();
  assert.deepEqual(answer.path.map((hop) => [hop.peer, hop.startBlock, hop.endBlock]), [
    [one.peerId, 0, half],
    [two.peerId, half, model.blocks],
  ]);
  await using alone = await ShardEngine.open();
  const whole = await alone.load(MODEL);
  assert.equal((await alone.chat(whole, QUESTION, { maxTokens: 12 }).done()).text, answer.text);
  assert.deepEqual((await shards.logits(model, [5, 6, 7])).values, (await alone.logits(whole, [5, 6, 7])).values);
  const strangers = await stranger.shards().load(MODEL, { blocks: 'none' });
  await assert.rejects(stranger.shards().chat(strangers, QUESTION).done(), (error: { code: string }) =>
    ['permission_denied', 'untrusted_peer', 'unreachable'].includes(error.code),
  );
});

test('leaving a generation early stops it', async () => {
  await using engine = await ShardEngine.open();
  await using model = await engine.load(MODEL);
  const generation = engine.chat(model, QUESTION, { maxTokens: 200 });
  for await (const event of generation) if (event.kind === 'token') break;
  assert.deepEqual(await generation.next(), { done: true, value: undefined });
});

test('aborting a generation rejects and stops it', async () => {
  await using engine = await ShardEngine.open();
  await using model = await engine.load(MODEL);
  const controller = new AbortController();
  const generation = engine.chat(model, QUESTION, { maxTokens: 200, signal: controller.signal });
  await assert.rejects(
    async () => {
      for await (const event of generation) if (event.kind === 'token') controller.abort();
    },
    { name: 'AbortError', code: 'cancelled' },
  );
  assert.deepEqual(await generation.next(), { done: true, value: undefined });
});

test('a model that is not there and requests that cannot be are errors', async () => {
  await using engine = await ShardEngine.open();
  const error = await fails('not_found', () => engine.load(ROOT));
  assert.match(error.context['file'] ?? '', /config\.json/);
  await using model = await engine.load(MODEL);
  const any = engine as any;
  for (const options of [{ maxTokens: 0 }, { maxTokens: -1 }, { temperature: NaN }, { topP: Infinity }, { seed: -1 }, { stop: 7 },
    { stop: ['\ud800'] }, { route: 'by mail' }, { maxTokens: '7' }, 7]) {
    await fails('invalid_argument', () => any.chat(model, QUESTION, options).done());
  }
  await fails('invalid_argument', () => any.chat(model, [{ role: 'wizard', content: 'x' }]).done());
  await fails('invalid_argument', () => any.chat({}, QUESTION).done());
  await fails('invalid_argument', () => any.chat(engine, QUESTION).done());
  for (const tokens of [[], [-1], [1.5], [2 ** 32], 'abc', null, [NaN]]) await fails('invalid_argument', () => any.logits(model, tokens));
  for (const blocks of ['some', [0], [3, 1], [-1, 2], 7]) await fails('invalid_argument', () => any.load(MODEL, { blocks }));
  await fails('unsupported', () => engine.coverage(model));
  await fails('unsupported', () => engine.serve(MODEL, 0, 1));
  await model.shutdown();
  await fails('closed', () => engine.logits(model, [1]));
  await until(() => !('stream' in liveHandles()), 'the end of the streams');
});
