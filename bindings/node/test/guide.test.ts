/** Every function of the guide does what the guide says of it. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import test from 'node:test';

import { Node, Rag, TrustGraph } from 'kwaainet';

import { MODEL, ROOT, leavesNothingBehind, until, withFolder } from './support.js';

leavesNothingBehind();

const guide = import('../../../examples/node/guide.mjs');

/** What a function of the guide prints, a line for each call. */
function printing(): [string[], (...words: unknown[]) => void] {
  const lines: string[] = [];
  return [lines, (...words) => void lines.push(words.map((word) => (typeof word === 'object' ? JSON.stringify(word) : String(word))).join(' '))];
}

test('start', async () => {
  const [lines, print] = printing();
  await (await guide).start(print);
  assert.match(lines.join(), /^\S+ 12D3KooW\w+ did:key:z6Mk\w+$/);
});

test('messages', async () => {
  const [lines, print] = printing();
  await (await guide).messages(print);
  assert.match(lines.join(), /^12D3KooW\w+ Good morning!$/);
});

test('trust', async () => {
  const [lines, print] = printing();
  await (await guide).trust(print);
  assert.equal(lines[0], '0.2 known');
  assert.match(lines[1] ?? '', /^VerifiedNodeVC 0\.2 /);
});

test('policy', async () => {
  const [lines, print] = printing();
  await (await guide).policy(print);
  assert.match(lines.join(), /unknown.*verified|verified.*unknown/);
});

test('share_blocks', async () => {
  const [lines, print] = printing();
  await (await guide).shareBlocks(MODEL, print);
  assert.match(lines.join(), /"startBlock":0,"endBlock":2/);
});

test('chat', async () => {
  const [lines, print] = printing();
  let said = '';
  await using issuer = await TrustGraph.open();
  await using app = await Node.start({ preset: 'ephemeral' });
  await using host = await Node.start({ preset: 'ephemeral' });
  await app.trust().trustIssuer(issuer.did, ['VerifiedNodeVC']);
  await app.trust().importCredential((await issuer.issue('VerifiedNodeVC', host.did)).json);
  await host.contribute({ blocks: [{ model: MODEL, startBlock: 0, endBlock: 4 }], minTier: 'unknown' });
  await app.connect((await host.info()).addresses[0]!);
  await (await guide).chat(app, MODEL, (text) => (said += text), print);
  assert.match(said, /Kwaainet is a library/);
  assert.match(lines.join(), new RegExp(`^${host.peerId} 0 4 [\\d.]+$`));
});

test('documents and ask', async () => {
  await withFolder(async (folder) => {
    const [lines, print] = printing();
    const dir = path.join(folder, 'kb');
    await (await guide).documents(dir, path.join(ROOT, 'examples', 'data'), print);
    assert.equal(lines[0], '2 files');
    assert.ok(lines.some((line) => /^field-note\.pdf: \d+ passages in \d+ ms$/.test(line)), lines.join('\n'));
    await using rag = await Rag.open(dir);
    const [said, say] = printing();
    await (await guide).ask(rag, say);
    assert.match(said[0] ?? '', /librarian.*\[1\]/);
    assert.match(said[1] ?? '', /^\[1\] charter\.docx, /);
    assert.ok((said.at(-1) ?? '').length > 10, 'the refusal has a reason');
    assert.equal(said.length, 3);
  });
});

test('errors', async () => {
  await using node = await Node.start({ preset: 'ephemeral' });
  const [lines, print] = printing();
  await (await guide).errors(node, print).catch((error: { code: string }) => lines.push(error.code));
  assert.match(lines.join(), /^(later, perhaps: unreachable|not_found|that took too long)$/);
});

test('bring_your_own', async () => {
  await withFolder(async (folder) => {
    const [lines, print] = printing();
    await (await guide).bringYourOwn(folder, print);
    assert.ok(lines.some((line) => /^The canteen serves dumplings on Fridays\. 0\.\d+$/.test(line)), lines.join('\n'));
  });
});

test('every anchor of the guide is there once, and opens and closes', () => {
  const source = readFileSync(path.join(ROOT, 'examples', 'node', 'guide.mts'), 'utf8');
  const anchors = [...source.matchAll(/\/\/ anchor: (\w+)/g)].map(([, name]) => name as string);
  assert.deepEqual(anchors, ['start', 'messages', 'trust', 'policy', 'share_blocks', 'chat', 'documents', 'ask', 'errors', 'bring_your_own', 'ask_others', 'keep_vectors', 'serve_openai', 'serve_knowledge', 'search_together']);
  for (const name of anchors) assert.equal(source.split(`// end: ${name}\n`).length, 2, name);
});

test('ask_others', async () => {
  const [lines, print] = printing();
  await using subject = await TrustGraph.open();
  await (await guide).askOthers(subject.did, print);
  assert.deepEqual(lines, ['the host says known', 'the credential is revoked and the host says unknown']);
});

test('keep_vectors', async () => {
  const [lines, print] = printing();
  await (await guide).keepVectors(print);
  assert.match(lines.join('\n'), /^the host learns how many vectors[^\n]+\ndumplings 0\.9\d+$/);
});

test('serve_openai', async () => {
  const [lines, print] = printing();
  await (await guide).serveOpenai(MODEL, print);
  assert.match(lines[0] ?? '', /^OPENAI_BASE_URL=http:\/\/127\.0\.0\.1:\d+\/v1$/);
  assert.match(lines[1] ?? '', /KwaaiNet's node does/);
});

test('serve_knowledge', async () => {
  await withFolder(async (folder) => {
    const [lines, print] = printing();
    await (await guide).serveKnowledge(folder, print);
    assert.match(lines[0] ?? '', /^open http:\/\/127\.0\.0\.1:\d+ in a browser$/);
    assert.equal(lines[1], 'The canteen serves dumplings on Fridays. [1] food.txt');
  });
});

test('search_together', async () => {
  const [lines, print] = printing();
  await (await guide).searchTogether(print);
  assert.deepEqual(lines.sort(), ["Bob's gardens Tomatoes want sun and a stake. signed by Bob", 'kitchen Tomatoes, garlic and basil make a sauce. signed by Alice']);
});

test('the server answers with sources, and a client that leaves cancels its answer', async () => {
  const { serve } = await import('../../../examples/node/server.mjs');
  await withFolder(async (folder) => {
    let cancelled = false;
    await using rag = await Rag.open(folder, {
      embedder: 'none',
      model: {
        name: 'slow',
        async *generate(request, { signal }) {
          yield 'Dumplings ';
          if (request.messages.at(-1)?.content.includes('slowly')) await once(signal, 'abort').then(() => (cancelled = true));
          yield 'on Fridays [1].';
        },
      },
    });
    await rag.ingest(Buffer.from('The canteen serves dumplings on Fridays.'), { name: 'food.txt' }).done();
    const server = serve(rag).listen(0);
    await once(server, 'listening');
    const url = `http://localhost:${(server.address() as AddressInfo).port}/ask?q=`;
    const answer = await (await fetch(`${url}What+does+the+canteen+serve+on+Fridays`)).text();
    assert.equal(answer, 'Dumplings on Fridays [1].\n[1] food.txt\n');
    assert.equal((await fetch(url)).status, 400);
    const leaving = new AbortController();
    const response = await fetch(`${url}What+does+the+canteen+serve+slowly+on+Fridays`, { signal: leaving.signal });
    assert.ok(response.ok);
    leaving.abort();
    await until(() => cancelled, 'the end of the work for a client that left');
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

test('a worker answers from a knowledge base of its own', async () => {
  const { ask } = await import('../../../examples/node/worker.mjs');
  await withFolder(async (folder) => {
    const answer = await ask(folder, 'The canteen serves dumplings on Fridays.', 'What does the canteen serve on Fridays?');
    assert.match(answer, /dumplings on Fridays\. \[1\]/);
  });
});
