/** An app of somebody else: the guide's tasks, Express and a worker, over installed tarballs. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import express from 'express';
import { KwaaiError, Node, Rag, TrustGraph } from 'kwaainet';

import * as guide from './guide.mjs';
import { ask } from './worker.mjs';

const [documents, model] = process.argv.slice(2) as [string, string];
const folder = (): string => mkdtempSync(path.join(tmpdir(), 'kwaainet-consumer-'));

await guide.start();
await guide.messages();
await guide.trust();
await guide.policy();
await guide.shareBlocks(model);
{
  await using issuer = await TrustGraph.open();
  await using app = await Node.start({ preset: 'ephemeral' });
  await using host = await Node.start({ preset: 'ephemeral' });
  await app.trust().trustIssuer(issuer.did, ['VerifiedNodeVC']);
  await app.trust().importCredential((await issuer.issue('VerifiedNodeVC', host.did)).json);
  await host.contribute({ blocks: [{ model, startBlock: 0, endBlock: 4 }], minTier: 'unknown' });
  await app.connect((await host.info()).addresses[0]!);
  let said = '';
  await guide.chat(app, model, (text) => (said += text));
  assert.match(said, /library/);
  await guide.errors(app).catch((error: unknown) => assert.ok(error instanceof KwaaiError && error.code === 'not_found'));
}
const knowledge = folder();
{
  await using rag = await Rag.open(knowledge, { embedder: 'none' });
  await rag.ingest(documents).done();
  await guide.ask(rag);
}
await guide.bringYourOwn(folder());

{
  await using rag = await Rag.open(knowledge, { embedder: 'none' });
  const app = express();
  app.get('/ask', async (request, response) => {
    response.json(await rag.ask(String(request.query['q'])).done());
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ask?q=What+does+the+library+pay+for+each+lent+computer`;
  const answers = await Promise.all(Array.from({ length: 20 }, async () => (await (await fetch(url)).json()) as { text: string }));
  for (const { text } of answers) assert.match(text, /4 euros/);
  server.closeAllConnections();
  server.close();
}
const answer = await ask(folder(), 'The canteen serves dumplings on Fridays.', 'What does the canteen serve on Fridays?');
assert.match(answer, /dumplings on Fridays/);
console.log('done');
