import assert from 'node:assert/strict';
import test from 'node:test';

import { program } from './support.js';

const QUIET = "{ preset: 'ephemeral', listen: [] }";

test('both kinds of modules see the same classes', async () => {
  const said = await program(`
    import { createRequire } from 'node:module';
    import * as esm from 'kwaainet';
    import * as testing from 'kwaainet/testing';
    const require = createRequire(process.cwd() + '/x.js');
    const cjs = require('kwaainet');
    console.log(esm.Node === cjs.Node, Object.keys(cjs).every((name) => name in esm), typeof testing.Swarm.start);
  `);
  assert.equal(said, 'true true function\n');
  const old = await program("const { version, Node } = require('kwaainet'); console.log(version, typeof Node.start)", { type: 'commonjs' });
  assert.match(old, /^\d+\.\d+\.\d+ function\n$/);
});

test('a process with a running node and unread streams ends by itself', async () => {
  const said = await program(`
    import { Node } from 'kwaainet';
    const node = await Node.start({ preset: 'ephemeral' });
    globalThis.kept = [node, node.messages(), node.events(), node.trust()];
    console.log('running');
  `);
  assert.equal(said, 'running\n');
});

test('a pending call keeps the process alive, and ends with it when it is aborted', async () => {
  const said = await program(`
    import { Node } from 'kwaainet';
    import { hang } from 'kwaainet/testing';
    const node = await Node.start(${QUIET});
    const controller = new AbortController();
    hang({ signal: controller.signal }).catch((error) => console.log(error.name));
    node.messages().next({ signal: controller.signal }).catch((error) => console.log(error.name));
    process.once('beforeExit', () => console.log('nothing is pending'));
    // Waiting for a signal keeps no process alive, so that only the calls do.
    process.on('SIGUSR2', () => controller.abort());
    setImmediate(() => console.log('the loop turns'));
  `, { signalAfter: 'the loop turns' });
  assert.deepEqual(said.trim().split('\n'), ['the loop turns', 'AbortError', 'AbortError', 'nothing is pending']);
});

test('a pending call alone keeps the process alive until it is done', async () => {
  const said = await program(`
    import { Node } from 'kwaainet';
    import { writeSync } from 'node:fs';
    const controller = new AbortController();
    Node.start(${QUIET}).then((node) => node.info()).then((info) => writeSync(1, info.version));
  `);
  assert.match(said, /^\d+\.\d+\.\d+$/);
});

test('process.exit and an uncaught exception in the middle of work do not crash', async () => {
  const start = `
    import { Node } from 'kwaainet';
    import { hang } from 'kwaainet/testing';
    const node = await Node.start({ preset: 'ephemeral' });
    hang().catch(() => {});
    node.messages().next().catch(() => {});
  `;
  await program(`${start} process.exit(3);`, { code: 3 });
  await program(`${start} setImmediate(() => { throw new Error('the app failed'); });`, { code: 1 });
});

test('after the end of the process has begun, calls answer closed', async () => {
  const said = await program(`
    import { Node } from 'kwaainet';
    const node = await Node.start(${QUIET});
    process.on('exit', () => { node.info().catch(() => {}); console.log('exiting'); });
  `);
  assert.equal(said, 'exiting\n');
});

test('worker threads have the package each for itself, and end in any order', async () => {
  const said = await program(`
    import { Worker } from 'node:worker_threads';
    import { Node } from 'kwaainet';
    import { liveHandles } from 'kwaainet/testing';
    const code = \`
      const { parentPort, workerData } = require('node:worker_threads');
      const { Node } = require('kwaainet');
      const { hang } = require('kwaainet/testing');
      (async () => {
        const node = await Node.start(${QUIET});
        globalThis.kept = [node, node.events()];
        hang().catch(() => {});
        node.messages().next().catch(() => {});
        parentPort.postMessage(node.peerId);
        parentPort.once('message', () => {
          if (workerData === 1) process.exit(0);
          throw new Error('the worker failed');
        });
      })();
    \`;
    const main = await Node.start(${QUIET});
    const ids = new Set([main.peerId]);
    for (let round = 0; round < 2; round += 1) {
      await Promise.all([0, 1, 2].map(async (workerData) => {
        const worker = new Worker(code, { eval: true, execArgv: [], workerData });
        worker.on('error', () => {});
        const left = new Promise((resolve) => worker.once('exit', resolve));
        ids.add(await new Promise((resolve) => worker.once('message', resolve)));
        if (workerData === 0) await worker.terminate();
        else worker.postMessage('end');
        await left;
      }));
    }
    const deadline = Date.now() + 10_000;
    while (liveHandles().node !== 1 && Date.now() < deadline) await new Promise(setImmediate);
    console.log(ids.size, liveHandles().node, (await main.info()).peerId === main.peerId);
    await main.shutdown();
  `);
  assert.equal(said, '7 1 true\n');
});

test('a worker alone may use the package, and the main thread need not', async () => {
  const said = await program(`
    import { Worker } from 'node:worker_threads';
    for (let round = 0; round < 3; round += 1) {
      await new Promise((resolve) => new Worker(\`
        const { Node } = require('kwaainet');
        Node.start(${QUIET}).then(async (node) => { await node.info(); await node.shutdown(); });
      \`, { eval: true, execArgv: [] }).on('exit', resolve));
    }
    console.log('done');
  `);
  assert.equal(said, 'done\n');
});

test('log records arrive at the sink of the app, once, and one that throws harms nobody', async () => {
  const said = await program(`
    import { Node, initLogging } from 'kwaainet';
    const records = [];
    try { initLogging('not=a=filter', () => {}); } catch (error) { console.log(error.code); }
    try { initLogging('info', 7); } catch (error) { console.log(error.code); }
    initLogging('debug', (record) => { records.push(record); throw new Error('the sink is broken'); });
    try { initLogging('info', () => {}); } catch (error) { console.log(error.code); }
    const node = await Node.start({ preset: 'ephemeral' });
    await node.shutdown();
    const deadline = Date.now() + 10_000;
    const ours = () => records.find(({ target }) => target.startsWith('kwaai'));
    while (!ours() && Date.now() < deadline) await new Promise(setImmediate);
    const record = ours();
    console.log(record.at instanceof Date, typeof record.message, typeof record.target, Object.keys(record).join());
  `);
  assert.deepEqual(said.trim().split('\n'), ['invalid_argument', 'invalid_argument', 'already_exists', 'true string string at,level,target,message,fields,dropped']);
});

test('a platform without a native module is told which ones there are', async () => {
  const said = await program(`
    import { mkdtempSync, cpSync } from 'node:fs';
    import { createRequire } from 'node:module';
    const folder = mkdtempSync((process.env.TMPDIR ?? '/tmp') + '/kwaainet-');
    cpSync('dist', folder + '/dist', { recursive: true });
    const require = createRequire(folder + '/x.js');
    Object.defineProperty(process, 'arch', { value: 'riscv64' });
    try { require(folder + '/dist/index.js'); } catch (error) { console.log(error.code, error.message); }
  `);
  assert.match(said, /^unsupported kwaainet has no native module for \w+-riscv64.*linux-x64-gnu/);
});
