/** The guide, task by task. Each function is run by bindings/node/test/guide.test.ts. */

import { KwaaiError, Node, Rag, TrustGraph, checkProvenance, initLogging } from 'kwaainet';

type Print = (...words: unknown[]) => void;

export async function start(print: Print = console.log): Promise<void> {
  // anchor: start
  await using node = await Node.start({ preset: 'ephemeral' });
  print(node.name, node.peerId, node.did);
  // end: start
}

export async function messages(print: Print = console.log): Promise<void> {
  // anchor: messages
  await using alice = await Node.start({ preset: 'ephemeral', name: 'alice' });
  await using bob = await Node.start({ preset: 'ephemeral', name: 'bob' });
  const { addresses } = await bob.info();
  await alice.connect(addresses[0]!);
  await alice.sendMessage(bob.did, 'Good morning!');
  for await (const message of bob.messages()) {
    print(message.sender, message.text);
    break;
  }
  // end: messages
}

export async function trust(print: Print = console.log): Promise<void> {
  // anchor: trust
  await using issuer = await TrustGraph.open();
  await using node = await Node.start({ preset: 'ephemeral' });
  const trust = node.trust();
  const credential = await issuer.issue('VerifiedNodeVC', node.did);
  await trust.importCredential(credential.json);
  await trust.trustIssuer(issuer.did, ['VerifiedNodeVC']);
  const score = await trust.score(node.did);
  print(score.value, score.tier);
  for (const reason of score.reasons) print(reason.type, reason.contribution, reason.why);
  // end: trust
}

export async function policy(print: Print = console.log): Promise<void> {
  await using stranger = await Node.start({ preset: 'ephemeral' });
  // anchor: policy
  await using node = await Node.start({ preset: 'ephemeral' });
  const trust = node.trust();
  await trust.setPolicy({ message: 'verified' });
  try {
    await trust.require(stranger.did, 'message');
  } catch (error) {
    if (!(error instanceof KwaaiError) || error.code !== 'untrusted_peer') throw error;
    print(error.message);
  }
  // end: policy
}

export async function shareBlocks(modelDir: string, print: Print = console.log): Promise<void> {
  // anchor: share_blocks
  await using host = await Node.start({ preset: 'ephemeral' });
  const offers = await host.contribute({
    blocks: [{ model: modelDir, startBlock: 0, endBlock: 2 }],
    minTier: 'known',
  });
  print(offers);
  // end: share_blocks
}

export async function chat(app: Node, modelDir: string, write: (text: string) => void, print: Print = console.log): Promise<void> {
  // anchor: chat
  const shards = app.shards();
  await using model = await shards.load(modelDir, { blocks: 'none' });
  for await (const event of shards.chat(model, 'What is kwaainet?', { maxTokens: 24 })) {
    if (event.kind === 'token') write(event.text);
    else for (const hop of event.path) print(hop.peer, hop.startBlock, hop.endBlock, hop.ms);
  }
  // end: chat
}

export async function documents(dir: string, folder: string, print: Print = console.log): Promise<void> {
  // anchor: documents
  await using rag = await Rag.open(dir);
  for await (const event of rag.ingest(folder)) {
    if (event.kind === 'found') print(`${event.files} files`);
    if (event.kind === 'document_done') print(`${event.name}: ${event.chunks} passages in ${event.ms} ms`);
    if (event.kind === 'document_failed') print(`${event.name}: ${event.message}`);
  }
  // end: documents
}

export async function ask(rag: Rag, print: Print = console.log): Promise<void> {
  // anchor: ask
  const answer = await rag.ask('Whom does an owner tell before withdrawing a computer?').done();
  print(answer.text);
  for (const { number, document, section } of answer.citations) print(`[${number}] ${document}, ${section}`);

  const refusal = await rag.ask('Which planet has the largest moon?').done();
  if (refusal.refused) print(refusal.why);
  // end: ask
}

export async function errors(node: Node, print: Print = console.log): Promise<void> {
  // anchor: errors
  try {
    await node.findPeer('did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw', { signal: AbortSignal.timeout(5000) });
  } catch (error) {
    if (!(error instanceof KwaaiError)) throw error;
    if (error.retryable) print(`later, perhaps: ${error.code}`);
    else if (error.code === 'cancelled') print('that took too long');
    else throw error;
  }
  // end: errors
}

export async function bringYourOwn(dir: string, print: Print = console.log): Promise<void> {
  // anchor: bring_your_own
  initLogging('info,kwaai_core=debug', ({ level, target, message }) => print(level, target, message));

  const hash = (word: string) => [...word].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 64, 7);
  await using rag = await Rag.open(dir, {
    embedder: {
      id: 'words-64',
      dimension: 64,
      async embed(texts) {
        return texts.map((text) => {
          const vector = new Float32Array(64);
          for (const word of text.toLowerCase().match(/\w+/g) ?? ['']) vector[hash(word)]! += 1;
          return vector;
        });
      },
    },
  });
  await rag.ingest(Buffer.from('The canteen serves dumplings on Fridays.'), { name: 'food.txt' }).done();
  const { hits } = await rag.search('dumplings', { mode: 'dense' });
  print(hits[0]?.text, hits[0]?.dense?.score);
  // end: bring_your_own
}

export async function askOthers(subject: string, print: Print = console.log): Promise<void> {
  // anchor: ask_others
  await using host = await Node.start({ preset: 'ephemeral' });
  await using app = await Node.start({ preset: 'ephemeral' });
  const trust = host.trust();
  const credential = await trust.issue('FiduciaryPledgeVC', subject, { revocable: true });
  await trust.importCredential(credential.json);
  await trust.trustIssuer(host.did, ['FiduciaryPledgeVC']);
  await trust.setDisclosures({ unknown: 'tier' });

  await app.connect((await host.info()).addresses[0]!);
  const before = await app.askTrust(host.did, subject);
  print('the host says', before.tier);

  await trust.revoke(credential.id);
  const { state } = await trust.status(credential.json);
  const after = await app.askTrust(host.did, subject);
  print('the credential is', state, 'and the host says', after.answer);
  // end: ask_others
}

export async function keepVectors(print: Print = console.log): Promise<void> {
  // anchor: keep_vectors
  await using host = await Node.start({ preset: 'ephemeral' });
  await using owner = await Node.start({ preset: 'ephemeral' });
  await host.vpk().host(64 * 2 ** 20, { minTier: 'unknown' });
  const address = (await host.info()).addresses[0]!;
  await owner.connect(address);

  await using notes = await owner.vpk().create('notes', 3, 'seal', [host.peerId]);
  print('the host learns', notes.leakage.learned);
  await notes.upsert([1, 2], [[1, 0, 0], [0, 1, 0]], {
    payloads: [Buffer.from('dumplings'), Buffer.from('soup')],
    metadata: [{ day: 'Friday' }, null],
  });
  await notes.flush();

  const key = await notes.exportKey('a long walk');
  await using other = await Node.start({ preset: 'ephemeral' });
  await other.connect(address);
  await using recovered = await other.vpk().recover('notes', key, { passphrase: 'a long walk' });
  const { hits } = await recovered.search([0.9, 0.1, 0], { k: 1 });
  for (const { payload, score } of hits) print(Buffer.from(payload!).toString(), score);
  // end: keep_vectors
}

export async function serveOpenai(modelDir: string, print: Print = console.log): Promise<void> {
  // anchor: serve_openai
  await using node = await Node.start({ preset: 'ephemeral' });
  const engine = node.shards();
  const model = await engine.load(modelDir);
  await using server = await node.serveHttp({ models: { tiny: { engine, model } }, port: 0 });
  print(`OPENAI_BASE_URL=${server.baseUrl}`);

  const messages = [{ role: 'user', content: 'What is KwaaiNet?' }];
  const reply = await fetch(`${server.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'tiny', messages, temperature: 0 }),
  });
  print(((await reply.json()) as { choices: [{ message: { content: string } }] }).choices[0].message.content);
  // end: serve_openai
}

export async function serveKnowledge(dir: string, print: Print = console.log): Promise<void> {
  // anchor: serve_knowledge
  await using rag = await Rag.open(dir, { embedder: 'none' });
  await rag.ingest(Buffer.from('The canteen serves dumplings on Fridays.'), { name: 'food.txt' }).done();
  await using server = await rag.serve({ port: 0 });
  print(`open http://${server.address} in a browser`);

  const messages = [{ role: 'user', content: 'What does the canteen serve on Fridays?' }];
  const reply = await fetch(`${server.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'kwaainet-knowledge', messages }),
  });
  const { choices, kwaainet } = (await reply.json()) as {
    choices: [{ message: { content: string } }];
    kwaainet: { sources: { document: string }[] };
  };
  print(choices[0].message.content, kwaainet.sources[0]?.document);
  // end: serve_knowledge
}

export async function searchTogether(print: Print = console.log): Promise<void> {
  // anchor: search_together
  await using bob = await Node.start({ preset: 'ephemeral', name: 'bob' });
  const gardens = await bob.rag('gardens', { embedder: 'none' });
  await gardens.ingest(Buffer.from('Tomatoes want sun and a stake.'), { name: 'tomatoes.md' }).done();
  const { addresses } = await bob.info();
  await using alice = await Node.start({ preset: 'ephemeral', name: 'alice', bootstrap: [addresses[0]!] });
  const kitchen = await alice.rag('kitchen', { embedder: 'none' });
  await kitchen.ingest(Buffer.from('Tomatoes, garlic and basil make a sauce.'), { name: 'sauce.md' }).done();

  const month = 30 * 24 * 60 * 60 * 1000;
  const capability = await bob.shareKnowledge(gardens, alice.did, "Bob's gardens", month);
  const shared = await alice.sharedKnowledge(bob.peerId, capability.text);
  const together = await alice.federation({ own: { kitchen }, shared: [shared], embedder: 'none' });
  const { hits } = await together.search('What do tomatoes need?');
  for (const { member, hit, provenance } of hits) {
    const { owner } = checkProvenance(hit, provenance);
    print(member, hit.text, owner === bob.did ? 'signed by Bob' : 'signed by Alice');
  }
  // end: search_together
}
