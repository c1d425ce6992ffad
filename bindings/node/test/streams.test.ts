import assert from 'node:assert/strict';
import test from 'node:test';

import { Node } from 'kwaainet';
import { Swarm, numbers } from 'kwaainet/testing';

import { leavesNothingBehind } from './support.js';

leavesNothingBehind();

test('a slow reader is told how many values it missed', async () => {
  const stream = numbers(100, 10, false);
  const seen: number[] = [];
  for await (const value of stream) seen.push(value);
  assert.deepEqual(seen, [90, 91, 92, 93, 94, 95, 96, 97, 98, 99]);
  assert.equal(stream.missed, 90);
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test('many values cross in batches and keep their order', async () => {
  let expected = 0;
  for await (const value of numbers(5000, 5000, false)) assert.equal(value, expected++);
  assert.equal(expected, 5000);
});

test('reads that are made at the same time share the values in their order', async () => {
  const stream = numbers(4, 10, true);
  const values = await Promise.all([stream.next(), stream.next(), stream.next(), stream.next()]);
  assert.deepEqual(values.map((step) => step.value), [0, 1, 2, 3]);
  const waiting = stream.next();
  await stream.return();
  assert.deepEqual(await waiting, { done: true, value: undefined });
});

test('cancelling a wait takes nothing from the stream', async () => {
  await using swarm = await Swarm.start(2);
  const [alice, bob] = swarm.nodes as [Node, Node];
  const inbox = bob.messages();
  for (let round = 0; round < 20; round += 1) {
    const controller = new AbortController();
    const waits = [inbox.next({ signal: controller.signal }), inbox.next({ signal: controller.signal })];
    const sent = alice.sendMessage(bob.did, `message ${round}`);
    if (round % 2 === 0) await new Promise(setImmediate);
    controller.abort();
    const outcomes = await Promise.allSettled(waits);
    await sent;
    const taken = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const step = taken[0] ?? (await inbox.next());
    assert.equal(step.value?.text, `message ${round}`);
    assert.ok(taken.length <= 1);
  }
});

test('the signal of a stream ends it and rejects who waits', async () => {
  const controller = new AbortController();
  const stream = numbers(1, 10, true, { signal: controller.signal });
  assert.equal((await stream.next()).value, 0);
  const waiting = stream.next();
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, { name: 'AbortError' });
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
  const late = numbers(1, 10, true, { signal: AbortSignal.abort() });
  await assert.rejects(late.next(), { name: 'AbortError' });
});

test('await using stops a stream', async () => {
  let kept;
  {
    await using stream = numbers(3, 10, true);
    kept = stream;
    assert.equal((await stream.next()).value, 0);
  }
  assert.deepEqual(await kept.next(), { done: true, value: undefined });
});
