import assert from 'node:assert/strict';
import test from 'node:test';

import { Node, TrustGraph, UntrustedPeerError } from 'kwaainet';
import { seedDid, seedSign } from 'kwaainet/testing';

import { fails, leavesNothingBehind, withFolder } from './support.js';

leavesNothingBehind();

test('a credential of a trusted issuer raises the tier, and the score says why', async () => {
  await using issuer = await TrustGraph.open();
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  const trust = node.trust();
  const peer = seedDid(3);
  const credential = await issuer.issue('VerifiedNodeVC', peer, { claims: { site: 'the old mill', floor: 2 } });
  assert.deepEqual(credential.claims, { id: peer, site: 'the old mill', floor: 2 });
  const verified = await trust.verify(credential.json);
  assert.deepEqual(verified, credential);
  await trust.importCredential(credential.json);
  assert.equal((await trust.score(peer)).tier, 'unknown');
  await trust.trustIssuer(issuer.did, ['VerifiedNodeVC']);
  assert.deepEqual(await trust.issuers(), [{ did: issuer.did, types: ['VerifiedNodeVC'] }]);
  const { value, tier, reasons } = await trust.score(peer);
  assert.deepEqual([value, tier], [0.2, 'known']);
  assert.equal(reasons[0]?.credentialId, credential.id);
  assert.ok(Math.abs(reasons[0].weight * reasons[0].factor - reasons[0].contribution) < 1e-9);
  assert.deepEqual((await trust.credentials({ subject: peer })).map((kept) => kept.id), [credential.id]);
  assert.deepEqual(await trust.credentials({ issuer: peer }), []);
  assert.equal((await trust.credential(credential.id)).json, credential.json);
  await trust.distrustIssuer(issuer.did);
  assert.equal((await trust.score(peer)).tier, 'unknown');
  await trust.removeCredential(credential.id);
  await fails('not_found', () => trust.credential(credential.id));
});

test('the policy decides whom a purpose is open to', async () => {
  await using graph = await TrustGraph.open({ seed: 1 });
  const before = await graph.policy();
  assert.deepEqual(Object.keys(before).sort(), ['message', 'open', 'serve_blocks', 'use_blocks']);
  await graph.setPolicy({ message: 'trusted' });
  assert.equal((await graph.policy()).message, 'trusted');
  const error = await fails('untrusted_peer', () => graph.require(seedDid(2), 'message'));
  assert.ok(error instanceof UntrustedPeerError);
  await graph.require(seedDid(2), 'open');
  await fails('invalid_argument', () => graph.setPolicy({ message: 'royal' as never }));
  await fails('invalid_argument', () => graph.require(seedDid(2), 'everything' as never));
});

test('a forged credential is refused', async () => {
  await using graph = await TrustGraph.open();
  const credential = await graph.issue('VerifiedNodeVC', seedDid(2), { claims: { rank: 1 } });
  const forged = credential.json.replace('"rank":1', '"rank":2');
  assert.notEqual(forged, credential.json);
  const error = await graph.importCredential(forged).then(
    () => assert.fail('it was taken'),
    (error: { code: string }) => error.code,
  );
  assert.ok(['corrupt_data', 'permission_denied', 'invalid_argument'].includes(error), error);
  const cyclic: Record<string, unknown> = {};
  cyclic['self'] = cyclic;
  await fails('invalid_argument', () => graph.issue('VerifiedNodeVC', seedDid(2), { claims: cyclic }));
  await fails('invalid_argument', () => graph.issue('VerifiedNodeVC', seedDid(2), { claims: { x: NaN } }));
  await fails('invalid_argument', () => graph.issue('VerifiedNodeVC', seedDid(2), { validForMs: -5 }));
});

test('a signer of the app signs what it issues', async () => {
  await withFolder(async (dir) => {
    const signer = { did: seedDid(9), sign: (message: Uint8Array) => seedSign(9, message) };
    await using graph = await TrustGraph.open({ dir, signer });
    assert.equal(graph.did, signer.did);
    const credential = await graph.issue('VerifiedNodeVC', seedDid(2));
    await using other = await TrustGraph.open();
    assert.equal((await other.verify(credential.json)).issuer, signer.did);
    await fails('unsupported', () => other.advanceClock(1));
  });
  const broken = { did: seedDid(9), sign: () => new Uint8Array(3) };
  await using graph = await TrustGraph.open({ signer: broken });
  await fails('invalid_argument', () => graph.issue('VerifiedNodeVC', seedDid(2)));
  await fails('invalid_argument', () => TrustGraph.open({ signer: { did: 'nobody', sign: broken.sign } }));
});

test('after its end a trust graph answers closed', async () => {
  const graph = await TrustGraph.open();
  await graph.shutdown();
  await graph.shutdown();
  await fails('closed', () => graph.policy());
  assert.match(graph.did, /^did:key:/);
});
