/** Knowledge bases of two nodes searched as one, and passages that are proven where no node is. */

import assert from 'node:assert/strict';
import test from 'node:test';

import { type FederatedHit, Node, checkProvenance, readKnowledgeCapability } from 'kwaainet';

import { fails, leavesNothingBehind } from './support.js';

const GARDENS = 'Tomatoes want sun and a stake. Water them at the root, never on the leaves.\n';
const KITCHEN = 'Tomatoes, garlic and basil make a sauce in half an hour.\n';
const NOON = new Date('2026-06-01T12:00:00Z');

leavesNothingBehind();

test('what two nodes know is ranked together and stays proven', async () => {
  const kept = await (async () => {
    await using bob = await Node.start({ preset: 'ephemeral', clock: NOON });
    await using alice = await Node.start({ preset: 'ephemeral', clock: NOON });
    const [address] = (await bob.info()).addresses;
    await alice.connect(address!);
    const gardens = await bob.rag('gardens', { embedder: 'none' });
    const kitchen = await alice.rag('kitchen', { embedder: 'none' });
    await gardens.ingest(Buffer.from(GARDENS), { name: 'tomatoes.md' }).done();
    await kitchen.ingest(Buffer.from(KITCHEN), { name: 'sauce.md' }).done();
    const capability = await bob.shareKnowledge(gardens, alice.did, "Bob's gardens", 86_400_000);
    assert.deepEqual(readKnowledgeCapability(capability.text), capability);
    assert.equal(capability.expiresAt.getTime(), NOON.getTime() + 86_400_000);
    const shared = await alice.sharedKnowledge(bob.peerId, capability.text);
    const federation = await alice.federation({ own: { kitchen }, shared: [shared], embedder: 'none' });
    assert.deepEqual(federation.members, ['kitchen', "Bob's gardens"]);
    const found = await federation.search('watering tomatoes');
    assert.deepEqual(found.hits.map((hit) => hit.member), ["Bob's gardens", 'kitchen']);
    assert.deepEqual(found.failures, []);
    await gardens.revokeShare(capability.id);
    const [failure] = (await federation.search('watering tomatoes')).failures;
    assert.deepEqual([failure?.member, failure?.code], ["Bob's gardens", 'permission_denied']);
    return { owner: bob.did, text: JSON.stringify(found.hits[0]) };
  })();
  const { hit, provenance } = JSON.parse(kept.text) as FederatedHit;
  const proven = checkProvenance(hit, provenance);
  assert.deepEqual([proven.owner, proven.passages, proven.signedAt], [kept.owner, 1, NOON]);
  await fails('corrupt_data', async () => checkProvenance({ ...hit, text: 'Tomatoes want shade.' }, provenance));
});

test('an embedder of the app scores what all found', async () => {
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  const own = { gardens: await node.rag('gardens', { embedder: 'none' }), kitchen: await node.rag('kitchen', { embedder: 'none' }) };
  await own.gardens.ingest(Buffer.from(GARDENS), { name: 'tomatoes.md' }).done();
  await own.kitchen.ingest(Buffer.from(KITCHEN), { name: 'sauce.md' }).done();
  const embed = (texts: string[], { query }: { query: boolean }): number[][] => texts.map((text) => (query || text.includes('sauce') ? [1, 0] : [0, 1]));
  const federation = await node.federation({ own, embedder: { id: 'alike', dimension: 2, embed } });
  const { hits } = await federation.search('tomatoes', { mode: 'dense', k: 1 });
  assert.deepEqual(hits.map((hit) => [hit.member, Math.round(hit.hit.score * 1000)]), [['kitchen', 1000]]);
  const [proven] = await node.prove(own.kitchen, [hits[0]!.hit]);
  assert.equal(checkProvenance(proven!.hit, proven!.provenance).owner, node.did);
  assert.deepEqual(await node.prove(own.kitchen, [{ ...hits[0]!.hit, text: 'Something else.' }]), []);
  await fails('invalid_argument', () => node.federation({ own: { kitchen: node as never } }));
  await fails('invalid_argument', () => node.federation({ shared: [own.kitchen as never] }));
});
