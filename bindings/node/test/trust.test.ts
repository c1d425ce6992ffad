import assert from 'node:assert/strict';
import test from 'node:test';

import { Node, TrustGraph, UntrustedPeerError, resolveDid } from 'kwaainet';
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
  assert.deepEqual(Object.keys(before).sort(), ['message', 'open', 'relay', 'relay_freely', 'search_knowledge', 'serve_blocks', 'store_vectors', 'use_blocks']);
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

test('a revoked credential counts no more where the list arrives', async () => {
  const clock = '2026-01-31T12:00:00Z';
  await using issuer = await TrustGraph.open({ seed: 1, clock });
  await using app = await TrustGraph.open({ seed: 2, clock });
  const lasting = await issuer.issue('UptimeVC', app.did);
  assert.deepEqual(await app.status(lasting.json), { state: 'not_revocable', asOf: null, why: null });
  const credential = await issuer.issue('VerifiedNodeVC', app.did, { revocable: true });
  await app.importCredential(credential.json);
  const wanted = await app.wantedStatusLists();
  assert.deepEqual(wanted.map((list) => list.url).sort(), (await issuer.statusLists()).sort());
  assert.equal((await app.status(credential.json)).state, 'unknown');
  const renew = async (): Promise<void> => {
    for (const { url } of wanted) {
      const kept = await app.keepStatusList(await issuer.statusList(url));
      assert.deepEqual([kept.issuer, kept.url], [issuer.did, url]);
      assert.ok(kept.freshUntil > kept.asOf && kept.entries >= 131072);
    }
  };
  await renew();
  assert.deepEqual(await app.status(credential.json), { state: 'clear', asOf: new Date(clock), why: null });
  for (const [verb, state] of [['suspend', 'suspended'], ['reinstate', 'clear'], ['revoke', 'revoked']] as const) {
    await Promise.all([issuer, app].map((graph) => graph.advanceClock(3_600_000)));
    await issuer[verb](credential.id);
    await renew();
    assert.equal((await app.status(credential.json)).state, state);
  }
  await fails('invalid_argument', () => issuer.reinstate(credential.id));
  await fails('not_found', () => issuer.revoke(lasting.id));
  await fails('invalid_argument', () => issuer.issue('UptimeVC', app.did, { revocable: 'yes' as never }));
});

test('a bundle moves what holds and says what does not', async () => {
  await using one = await TrustGraph.open();
  await using other = await TrustGraph.open();
  const kept = await one.importCredential((await one.issue('UptimeVC', one.did, { claims: { days: 3 } })).json);
  const bundle = JSON.parse(await one.exportCredentials());
  bundle.credentials.push(bundle.credentials[0].replace('"days":3', '"days":4'));
  const imported = await other.importCredentials(JSON.stringify(bundle));
  assert.deepEqual(imported.kept, [kept]);
  assert.deepEqual(imported.refused.map(({ place, code }) => [place, code]), [[1, 'corrupt_data']]);
  await fails('invalid_argument', () => other.importCredentials('{}'));
});

test('a passphrase keeps credentials out of reach', async () => {
  await using graph = await TrustGraph.open();
  const kept = await graph.importCredential((await graph.issue('UptimeVC', graph.did)).json);
  assert.equal(await graph.walletState(), 'plain');
  await graph.setPassphrase('correct horse');
  assert.equal(await graph.walletState(), 'unlocked');
  await graph.lock();
  assert.equal(await graph.walletState(), 'locked');
  await fails('permission_denied', () => graph.credentials());
  await fails('permission_denied', () => graph.unlock('wrong horse'));
  await graph.unlock('correct horse');
  assert.deepEqual(await graph.credentials(), [kept]);
  await graph.removePassphrase();
  assert.equal(await graph.walletState(), 'plain');
});

test('a pledge is requested, certified, carried and taken back', async () => {
  const pledge = 'We serve the interests of those whose data we hold.';
  await using issuer = await TrustGraph.open();
  await using holder = await TrustGraph.open();
  const request = await holder.requestPledge(issuer.did, pledge);
  await fails('invalid_argument', () => issuer.issuePledge(request, `${pledge} Perhaps.`));
  await fails('invalid_argument', () => issuer.issuePledge(request, pledge, { name: 'Another pledge' }));
  const credential = await issuer.issuePledge(request, pledge, { validForMs: 86_400_000 });
  assert.deepEqual([credential.type, credential.subject], ['FiduciaryPledgeVC', holder.did]);
  assert.equal((await holder.acceptPledge(credential.json, pledge)).id, credential.id);
  const withdrawal = await holder.withdrawPledge(credential.id);
  assert.deepEqual(await holder.credentials(), []);
  assert.equal(await issuer.importWithdrawal(withdrawal), credential.id);
  await fails('not_found', () => holder.withdrawPledge(credential.id));
});

test('a peer says no more than its owner allows', async () => {
  await using issuer = await TrustGraph.open();
  await using asker = await Node.start({ preset: 'ephemeral' });
  await using asked = await Node.start({ preset: 'ephemeral' });
  const about = seedDid(3);
  const graph = asked.trust();
  await graph.importCredential((await issuer.issue('VerifiedNodeVC', about)).json);
  await graph.trustIssuer(issuer.did, ['VerifiedNodeVC']);
  await asker.connect((await asked.info()).addresses[0]!);
  const silent = await asker.askTrust(asked.peerId, about);
  assert.deepEqual([silent.answer, silent.value, silent.tier, silent.holds], ['unknown', null, null, null]);
  await graph.setDisclosures({ unknown: 'value' });
  assert.deepEqual(await graph.disclosures(), { unknown: 'value', known: 'value', verified: 'value', trusted: 'value' });
  const told = await asker.askTrust(asked.did, about);
  assert.deepEqual([told.responder, told.asker, told.about], [asked.did, asker.did, about]);
  assert.deepEqual([told.answer, told.value, told.tier, told.holds], ['score', 0.2, 'known', null]);
  assert.equal(told.expiresAt.getTime() - told.madeAt.getTime(), 600_000);
  assert.equal((await asker.askTrust(asked.did, about, { atLeast: 'known' })).holds, true);
  assert.equal((await asker.askTrust(asked.did, about, { atLeast: 0.5 })).holds, false);
  await fails('invalid_argument', () => asker.askTrust(asked.did, asked.did));
  for (const atLeast of [2, NaN, 'royal', [], true]) {
    await fails('invalid_argument', () => asker.askTrust(asked.did, about, { atLeast: atLeast as never }));
  }
  await fails('invalid_argument', () => graph.setDisclosures({ known: 'all' as never }));
});

test('a report counts when it is good enough', async () => {
  await using issuer = await TrustGraph.open();
  await using graph = await TrustGraph.open();
  const about = seedDid(3);
  const claims = { upShare: 0.9, observedFrom: '2026-01-01T00:00:00Z', observedUntil: '2026-01-31T00:00:00Z' };
  await graph.trustIssuer(issuer.did, ['UptimeVC']);
  await graph.importCredential((await issuer.issue('UptimeVC', about, { claims })).json);
  assert.equal((await graph.score(about)).value, 0);
  await graph.setThresholds({ uptimeMinShare: 0.9 });
  assert.ok((await graph.score(about)).value > 0);
  for (const wrong of [null, undefined, 3, [], { uptimeMinShare: NaN }, { uptimeMinDays: -1 }, { uptimeMinHours: 3 }, { requireClaims: 1 }]) {
    await fails('invalid_argument', () => graph.setThresholds(wrong as never));
  }
  const kept = { uptimeMinShare: 0.9, uptimeMinDays: 7, throughputTolerance: 0.2, requireClaims: false };
  assert.deepEqual(await graph.thresholds(), kept);
});

test('own experience is measured and forgotten', async () => {
  const clock = new Date('2026-01-31T12:00:00Z');
  await using graph = await TrustGraph.open({ clock });
  const peer = seedDid(3);
  assert.equal(await graph.reputation(peer), null);
  await graph.record(peer, 'good', { latencyMs: 1.5, promised: 10, delivered: 5 });
  await graph.record(peer, 'transport_fault');
  const seen = await graph.reputation(peer);
  assert.deepEqual([seen?.peer, seen?.good, seen?.bad, seen?.transportFaults, seen?.reliability], [peer, 1, 0, 1, 0.5]);
  assert.deepEqual([seen?.latencyMs, seen?.throughput, seen?.last], [1.5, 0.5, clock]);
  await fails('invalid_argument', () => graph.record(graph.did, 'good'));
  await fails('invalid_argument', () => graph.record(peer, 'late' as never));
  for (const options of [{ latencyMs: -1 }, { latencyMs: '3' }, { delivered: Infinity }, { latency: 3 }, []]) {
    await fails('invalid_argument', () => graph.record(peer, 'good', options as never));
  }
  await graph.resetReputation(peer);
  await fails('not_found', () => graph.resetReputation(peer));
});

test('the word of others replaces what they said before', async () => {
  const clock = new Date('2026-01-31T12:00:00Z');
  await using graph = await TrustGraph.open({ clock });
  const [recommender, about] = [seedDid(3), seedDid(4)];
  await graph.record(recommender, 'good');
  await graph.record(about, 'good');
  assert.deepEqual((await graph.reputations()).map(({ good }) => good), [1, 1]);
  await graph.addRecommendation(recommender, about, 10, 0.5, { at: new Date('2026-01-30T12:00:00Z') });
  await graph.addRecommendation(recommender, about, 10, 0.5);
  for (const at of [new Date('2026-02-01T12:00:00Z'), new Date(NaN), 'tomorrow', 3]) {
    await fails('invalid_argument', () => graph.addRecommendation(recommender, about, 1, 0, { at: at as never }));
  }
  for (const weight of [-1, NaN, 2e9, Infinity, '1', null, undefined]) {
    await fails('invalid_argument', () => graph.addRecommendation(recommender, about, weight as never, 0));
  }
  await fails('invalid_argument', () => graph.addRecommendation(recommender, graph.did, 1, 0));
});

test('several peers are scored at once, and trust spreads', async () => {
  await using graph = await TrustGraph.open({ clock: new Date('2026-01-31T12:00:00Z') });
  const [friend, peer] = [seedDid(3), seedDid(4)];
  await graph.record(friend, 'good');
  await graph.addRecommendation(friend, peer, 3, 1);
  const scores = await graph.scores([peer, friend]);
  assert.deepEqual(scores.map(({ value }) => value > 0), [false, true]);
  const spread = await graph.propagate();
  assert.deepEqual(spread.map((share) => share.peer), [graph.did, friend, peer]);
  assert.deepEqual((await graph.propagate({ pretrusted: [peer], alpha: 1 }))[0], { peer, value: 1 });
  for (const options of [{ alpha: 0 }, { alpha: NaN }, { alpha: 'x' }, { pretrusted: peer }, { pretrusted: [3] }, { beta: 1 }]) {
    await fails('invalid_argument', () => graph.propagate(options as never));
  }
  for (const peers of [peer, [3], ['nobody'], null]) await fails('invalid_argument', () => graph.scores(peers as never));
  await graph.flush();
});

test('a peer gives its word where its owner allows it', async () => {
  await using host = await Node.start({ preset: 'ephemeral' });
  await using asker = await Node.start({ preset: 'ephemeral' });
  await host.trust().record(seedDid(3), 'good');
  await asker.connect((await host.info()).addresses[0] as string);
  assert.equal((await asker.askWord(host.did)).count, 0);
  await host.trust().setDisclosures({ unknown: 'experience' });
  const { recommender, count, madeAt } = await asker.askWord(host.peerId);
  assert.deepEqual([recommender, count, madeAt instanceof Date], [host.did, 1, true]);
  await fails('invalid_argument', () => asker.askWord(asker.did));
});

test('a link is proven by both sides', async () => {
  const clock = new Date('2026-01-31T12:00:00Z');
  await using person = await TrustGraph.open({ clock });
  await using node = await TrustGraph.open({ clock });
  await node.importCredential((await person.issueBinding(node.did, 'person', { validForMs: 86_400_000 })).json);
  assert.deepEqual(await node.bindings(node.did), []);
  await node.importCredential((await node.issueBinding(person.did, 'node')).json);
  const link = { node: node.did, identity: person.did, linkType: 'person', since: clock };
  assert.deepEqual(await node.bindings(person.did), [link]);
  await fails('invalid_argument', () => node.issueBinding(node.did, 'node'));
  for (const type of ['NodeBinding', '', 3, null]) {
    await fails('invalid_argument', () => node.issueBinding(person.did, type as never));
  }
});

test('a claim is put to the test', async () => {
  await using host = await Node.start({ preset: 'ephemeral' });
  await using tester = await Node.start({ preset: 'ephemeral' });
  await using issuer = await TrustGraph.open();
  await tester.connect((await host.info()).addresses[0] as string);
  const graph = tester.trust();
  const claims = { upShare: 0.9, observedFrom: '2026-01-01T00:00:00Z', observedUntil: '2026-01-31T00:00:00Z', samples: 30 };
  const { id } = await graph.importCredential((await issuer.issue('UptimeVC', host.did, { claims })).json);
  const tested = await tester.testCredential(id, { seed: Number.MAX_SAFE_INTEGER });
  assert.deepEqual([tested.verdict, tested.measured, tested.samples, tested.seed], ['inconclusive', 1, 1, Number.MAX_SAFE_INTEGER]);
  assert.deepEqual((await graph.tests(id)).map(({ seed }) => seed), [tested.seed]);
  assert.ok(Number.isSafeInteger((await tester.testCredential(id)).seed));
  for (const options of [{ seed: 2 ** 53 }, { seed: -1 }, { seed: 1.5 }, { tokens: 7 }, { tolerance: 1.5 }, { tolerance: NaN }, { model: 'x' }, { sed: 1 }]) {
    await fails('invalid_argument', () => tester.testCredential(id, options as never));
  }
});

test('a presentation is for one audience', async () => {
  await using issuer = await TrustGraph.open();
  await using holder = await TrustGraph.open();
  const kept = await holder.importCredential((await issuer.issue('UptimeVC', holder.did)).json);
  const shown = await holder.present('app', '1');
  const verified = await issuer.verifyPresentation(shown, 'app', '1');
  assert.deepEqual([verified.holder, verified.credentials.map(({ id }) => id), verified.aboutOthers], [holder.did, [kept.id], []]);
  await fails('permission_denied', () => issuer.verifyPresentation(shown, 'app', '2'));
  await fails('invalid_argument', () => holder.present('app', '1', { kind: 'UptimeVC' } as never));
});

test('a policy may ask for a score between the tiers', async () => {
  await using graph = await TrustGraph.open();
  await graph.setPolicy({ message: 0.55, use_blocks: 'verified' });
  const policy = await graph.policy();
  assert.deepEqual([policy.message, policy.use_blocks], [0.55, 'verified']);
  await fails('untrusted_peer', () => graph.require(seedDid(2), 'message'));
  await fails('invalid_argument', () => graph.setPolicy({ message: 1.5 }));
});

test('a DID is read in every spelling', async () => {
  const did = seedDid(4);
  const key = resolveDid(did);
  assert.deepEqual([key.spelling, key.did, key.addresses, key.document?.['id']], ['key', did, [], did]);
  const byPeer = resolveDid(key.peerId!);
  assert.deepEqual([byPeer.spelling, byPeer.did], ['peer_id', did]);
  const own = resolveDid(`did:peer:${key.peerId}`);
  assert.deepEqual([own.spelling, own.did, own.peerId], ['kwaainet', did, key.peerId]);
  for (const wrong of ['nobody', 7, null, undefined, '\ud800', 'x'.repeat(1_000_000)]) {
    await fails('invalid_argument', () => resolveDid(wrong as never));
  }
  await fails('unsupported', () => resolveDid('did:web:example.org'));
});
