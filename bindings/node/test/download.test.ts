/** Models of a hub, from one on this machine that gives parts of files. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';

import { type DownloadEvent, ShardEngine } from 'kwaainet';
import { MODEL, leavesNothingBehind } from './support.js';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const ID = 'kwaai/tiny-kwaai';

leavesNothingBehind();

test('some blocks of a model are downloaded with progress, listed and removed', async () => {
  const files = new Map(readdirSync(MODEL).map((name) => [name, readFileSync(path.join(MODEL, name))]));
  let given = 0;
  const hub = createServer((request, response) => {
    const url = request.url ?? '';
    if (url.startsWith('/api/models/')) {
      response.end(JSON.stringify({ sha: COMMIT, siblings: [...files.keys()].map((rfilename) => ({ rfilename })) }));
      return;
    }
    const name = url.slice(url.lastIndexOf('/') + 1);
    const content = files.get(name) as Buffer;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const part = from === undefined || to === undefined ? content : content.subarray(Number(from), Number(to) + 1);
    response.setHeader('ETag', `"${createHash('sha256').update(content).digest('hex')}"`);
    response.setHeader('Content-Length', part.length);
    if (from !== undefined && request.method === 'GET') {
      response.statusCode = 206;
      response.setHeader('Content-Range', `bytes ${from}-${to}/${content.length}`);
    }
    if (request.method === 'GET' && name.endsWith('.safetensors')) given += part.length;
    response.end(request.method === 'GET' ? part : undefined);
  });
  await new Promise<void>((listening) => hub.listen(0, '127.0.0.1', listening));
  const cache = mkdtempSync(path.join(tmpdir(), 'kwaainet-'));
  process.env['HF_ENDPOINT'] = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  process.env['HF_HUB_CACHE'] = cache;
  try {
    await using engine = await ShardEngine.open();
    const events: DownloadEvent[] = [];
    for await (const event of engine.download(ID, { blocks: [1, 3] })) events.push(event);
    assert.equal(events[0]?.kind, 'found');
    assert.equal(events.at(-1)?.kind, 'finished');
    const whole = (files.get('model.safetensors') as Buffer).length;
    assert.ok(given > 0 && given < whole);
    const [part] = await engine.downloaded();
    assert.deepEqual([part?.id, part?.revision, part?.whole], [ID, COMMIT, false]);
    await using model = await engine.load(ID, { blocks: [1, 3] });
    assert.deepEqual(model.info.heldBlocks, { start: 1, end: 3 });
    assert.ok((await engine.download(ID).done()).includes(COMMIT));
    assert.deepEqual((await engine.downloaded()).map((model) => model.whole), [true]);
    assert.ok((await engine.removeDownload(ID)) >= whole);
    assert.deepEqual(await engine.downloaded(), []);
  } finally {
    delete process.env['HF_ENDPOINT'];
    delete process.env['HF_HUB_CACHE'];
    hub.close();
    rmSync(cache, { recursive: true });
  }
});
