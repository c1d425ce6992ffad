/**
 * What crossing into the library costs from Node.js. `tests/bench/ffi.py` runs it and says what the numbers mean. Needs the native
 * module of a checkout, and `node --expose-gc`. Prints one JSON object.
 */

import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';

import { Node, TrustGraph } from 'kwaainet';
import { liveHandles, norms, numbers } from 'kwaainet/testing';

const ROWS = 50_000;
const COLUMNS = 384;
const VALUES = 10_000;
const CALLS = 1_000_000;

async function callNs() {
  const graph = await TrustGraph.open();
  let length = 0;
  const began = performance.now();
  for (let call = 0; call < CALLS; call += 1) length += graph.did.length;
  const ns = ((performance.now() - began) / CALLS) * 1e6;
  assert.equal(length, CALLS * graph.did.length);
  await graph.shutdown();
  return ns;
}

function handoverMs() {
  const array = Float32Array.from({ length: ROWS * COLUMNS }, (_, at) => (at % 1009) / 1009 + 0.5);
  norms(array, COLUMNS);
  const began = performance.now();
  norms(array, COLUMNS);
  return performance.now() - began;
}

async function streamUs() {
  const began = performance.now();
  let count = 0;
  for await (const _ of numbers(VALUES, VALUES, false)) count += 1;
  assert.equal(count, VALUES);
  return ((performance.now() - began) / VALUES) * 1e3;
}

async function cycleMs() {
  const began = performance.now();
  const node = await Node.start({ preset: 'ephemeral' });
  await node.shutdown({ graceMs: 0 });
  return performance.now() - began;
}

async function left() {
  let count = 1;
  for (let turns = 0; turns < 1000 && count > 0; turns += 1) {
    globalThis.gc();
    await turn();
    count = Object.values(liveHandles()).reduce((sum, kind) => sum + kind, 0);
  }
  return count;
}

const found = { call_ns: await callNs(), handover_ms: handoverMs(), stream_us: await streamUs(), cycle_ms: await cycleMs() };
console.log(JSON.stringify({ ...found, left: await left() }));
