import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import { AbortError, Node, ShardEngine, TrustGraph } from 'kwaainet';
import { hang, liveHandles, numbers } from 'kwaainet/testing';

import { MODEL, QUESTION, gc, nothingIsLeft } from './support.js';

/** Megabytes of memory that this process holds, after everything that can go is gone. */
async function memory(): Promise<number> {
  for (let round = 0; round < 5; round += 1) {
    gc();
    await turn();
  }
  return process.memoryUsage().rss / 2 ** 20;
}

/** Megabytes by which the allocator may differ between two rounds that leave nothing. */
const LEAST = 4;

/** Numbers that look random and are the same each time. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % sides;
  };
}

test('10,000 objects made and dropped leave nothing', async (t) => {
  const make = async (): Promise<void> => {
    for (let at = 0; at < 10; at += 1) {
      await Promise.all(Array.from({ length: 10 }, (_, at) => (at % 2 === 0 ? TrustGraph.open() : ShardEngine.open())));
    }
    for (let at = 0; at < 100; at += 1) numbers(3, 3, true);
  };
  // The allocator takes a few rounds to have all that it ever needs; what leaks grows in each.
  const grown: number[] = [];
  for (let before = await memory(); grown.length < 6 && !grown.some((more) => more < LEAST); ) {
    const began = performance.now();
    for (let round = 0; round < 50; round += 1) await make();
    await nothingIsLeft();
    const now = await memory();
    grown.push(now - before);
    t.diagnostic(`10,000 objects in ${(performance.now() - began).toFixed(0)} ms; ${(now - before).toFixed(1)} MB more than before`);
    before = now;
  }
  assert.ok(grown.some((more) => more < LEAST), `it grew by ${grown.join(', ')} MB`);
});

test('1,000 calls cancelled at random points leave nothing', async (t) => {
  const roll = dice(20);
  const engine = await ShardEngine.open();
  const model = await engine.load(MODEL);
  const node = await Node.start({ preset: 'ephemeral', listen: [] });
  const outcomes = { aborted: 0, done: 0 };
  const one = async (): Promise<void> => {
    const controller = new AbortController();
    const { signal } = controller;
    const calls: (() => Promise<unknown>)[] = [
      () => hang({ signal }),
      () => node.info({ signal }),
      () => engine.logits(model, [1, 2, 3], { signal }),
      () => engine.chat(model, QUESTION, { maxTokens: 4, signal }).done(),
      () => numbers(5, 5, true, { signal }).next().then(() => numbers(0, 5, true, { signal }).next()),
      () => node.messages().next({ signal }),
      () => TrustGraph.open({ signal }).then((graph) => graph.shutdown()),
    ];
    const turns = roll(6);
    const call = (calls[roll(calls.length)] as () => Promise<unknown>)();
    const settled = call.then(
      () => (outcomes.done += 1),
      (error: unknown) => {
        assert.ok(error instanceof AbortError, String(error));
        outcomes.aborted += 1;
      },
    );
    for (let at = 0; at < turns; at += 1) await turn();
    controller.abort();
    await settled;
  };
  const began = performance.now();
  for (let round = 0; round < 50; round += 1) await Promise.all(Array.from({ length: 20 }, one));
  t.diagnostic(`${outcomes.aborted} aborted, ${outcomes.done} done before, in ${(performance.now() - began).toFixed(0)} ms`);
  assert.equal(outcomes.aborted + outcomes.done, 1000);
  assert.ok(outcomes.aborted > 300 && outcomes.done > 50, JSON.stringify(outcomes));
  await Promise.all([node.shutdown(), model.shutdown(), engine.shutdown()]);
  await nothingIsLeft();
});

test('100 nodes started and shut down one after the other leave nothing', async (t) => {
  const cycle = async (): Promise<void> => {
    const node = await Node.start({ preset: 'ephemeral', listen: [] });
    await node.shutdown();
  };
  for (let round = 0; round < 20; round += 1) await cycle();
  const before = await memory();
  const began = performance.now();
  for (let round = 0; round < 100; round += 1) await cycle();
  const grown = (await memory()) - before;
  t.diagnostic(`100 cycles in ${(performance.now() - began).toFixed(0)} ms; ${grown.toFixed(1)} MB more than before`);
  assert.ok(grown < 8 * LEAST, `${grown} MB`);
  await nothingIsLeft();
  assert.deepEqual(liveHandles(), {});
});
