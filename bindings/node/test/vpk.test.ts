import assert from 'node:assert/strict';
import test from 'node:test';

import { Node } from 'kwaainet';
import { Swarm } from 'kwaainet/testing';

import { fails, leavesNothingBehind } from './support.js';

leavesNothingBehind();

test('vectors go in as rows, as arrays of floats, and as embeddings come out', async () => {
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  await node.vpk().host(2 ** 24);
  await using notes = await node.vpk().create('notes', 2, 'plain', ['here']);
  const matrix = { rows: 2, columns: 2, values: new Float32Array([1, 0, 0, 1]) };
  for (const vectors of [[[1, 0], [0, 1]], [new Float32Array([1, 0]), new Float32Array([0, 1])], matrix]) {
    await notes.upsert([1, 2], vectors, { payloads: [null, Buffer.from('two')] });
    const { hits } = await notes.search(new Float32Array([0, 1]), { k: 1 });
    assert.deepEqual([hits[0]?.id, hits[0]?.payload], [2, new Uint8Array(Buffer.from('two'))]);
  }
  assert.equal(await notes.delete([2, 7]), 1);
});

test('a host that is a peer keeps what it cannot read, and its owner sees for whom', async () => {
  await using swarm = await Swarm.start(2);
  const [owner, host] = swarm.nodes as [Node, Node];
  await host.vpk().host(2 ** 24, { minTier: 'unknown' });
  const notes = await owner.vpk().create('notes', 4, 'seal', [host.peerId]);
  await notes.upsert([1], [[1, 2, 3, 4]], { metadata: [{ language: 'de' }] });
  await notes.flush();
  assert.deepEqual((await host.vpk().hosted())?.tenants.map((tenant) => tenant.owner), [owner.did]);
  assert.equal((await notes.search([4, 3, 2, 1], { filter: { language: 'en' } })).hits.length, 0);
  await notes.destroy();
  await fails('closed', () => notes.stats());
});

test('what cannot be a vector, an id or a payload is refused by its name', async () => {
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  await node.vpk().host(2 ** 24);
  await using notes = await node.vpk().create('notes', 2, 'plain', ['here']);
  for (const [ids, vectors, options, message] of [
    [[1], [[1]], {}, /a vector has 1 numbers; the collection has 2 dimensions/],
    [[1, 2], [[1, 2], [1]], {}, /vectors\[1\] has 1 numbers, not 2/],
    [[1], [[1, '2']], {}, /vectors\[0\]\[1\] must be a number/],
    [[-1], [[1, 2]], {}, /ids\[0\] must be a whole number/],
    [[2 ** 53], [[1, 2]], {}, /ids\[0\] must be a whole number/],
    [[1], [[1, NaN]], {}, /finite/],
    [[1], [[1, 2]], { payloads: ['x'] }, /payloads\[0\] must be a Uint8Array/],
    [[1], [[1, 2]], { metadata: [1] }, /metadata/],
    [[1], { rows: 3, columns: 2, values: new Float32Array(2) }, {}, /do not make 3 rows of 2/],
  ] as [number[], any, object, RegExp][]) {
    const error = await fails('invalid_argument', () => notes.upsert(ids, vectors, options));
    assert.match(error.message, message);
  }
  await fails('invalid_argument', () => notes.search([1, 2], { k: 0 }));
  await fails('invalid_argument', () => notes.search([1, 2], { filter: [] as never }));
  await fails('invalid_argument', () => Node.start({ preset: 'ephemeral', relayLimits: { maxCircuits: 1 } }));
});
