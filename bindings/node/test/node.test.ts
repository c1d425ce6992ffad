import assert from 'node:assert/strict';
import test from 'node:test';

import { AbortError, Node, version } from 'kwaainet';
import { Swarm, hang } from 'kwaainet/testing';

import { fails, leavesNothingBehind, until, withFolder } from './support.js';

leavesNothingBehind();

test('a node says who it is, and answers closed after its end', async () => {
  const node = await Node.start({ preset: 'ephemeral', name: 'heron', seed: 7 });
  const info = await node.info();
  assert.deepEqual([info.name, info.peerId, info.did], ['heron', node.peerId, node.did]);
  assert.equal(info.version, version);
  assert.equal(info.dataDir, null);
  assert.ok(info.addresses.every((address) => address.endsWith(`/p2p/${node.peerId}`)));
  const again = await Node.start({ preset: 'ephemeral', seed: 7 });
  assert.equal(again.did, node.did, 'the seed makes the identity');
  await again.shutdown();
  await node.shutdown({ graceMs: 100 });
  await node.shutdown();
  await fails('closed', () => node.info());
  await fails('closed', () => node.messages());
  assert.equal(node.name, 'heron');
});

test('await using shuts a node down, also when the block throws', async () => {
  let kept: Node | undefined;
  await assert.rejects(async () => {
    await using node = await Node.start({ preset: 'ephemeral', listen: [] });
    kept = node;
    throw new Error('the app failed');
  }, /the app failed/);
  await fails('closed', () => (kept as Node).info());
});

test('two nodes connect, are known to each other and exchange texts', async () => {
  await using swarm = await Swarm.start(2);
  const [alice, bob] = swarm.nodes as [Node, Node];
  await until(async () => (await alice.peers())[0]?.name === 'node-1', 'the name of the peer');
  const peers = await alice.peers();
  assert.deepEqual(peers.map((peer) => [peer.peerId, peer.did, peer.tier]), [[bob.peerId, bob.did, 'unknown']]);
  const inbox = bob.messages();
  await alice.sendMessage(bob.did, 'good morning');
  await alice.sendMessage(bob.peerId, 'ünïcode 🦢');
  const first = (await inbox.next()).value;
  assert.deepEqual([first?.sender, first?.text], [alice.peerId, 'good morning']);
  assert.ok(first?.receivedAt instanceof Date && Math.abs(first.receivedAt.getTime() - Date.now()) < 60_000);
  assert.equal((await inbox.next()).value?.text, 'ünïcode 🦢');
  const events = bob.events();
  await alice.disconnect(bob.did);
  for await (const event of events) {
    if (event.kind === 'peer_disconnected' && event.peer === alice.peerId) break;
  }
  assert.deepEqual(await bob.peers(), []);
});

test('a refused option is named as callers write it, with what it must be', async () => {
  const cases = {
    'preset must be a string, not 7': { preset: 7 },
    'mdns must be true or false, not a string': { mdns: 'yes' },
    'listen[1] must be a string, not a value of type number': { listen: ['/ip4/127.0.0.1/tcp/0', 7] },
    'limits must be an object, not a list': { limits: [] },
    'limits.maxConnections must be a whole number from 0 to 4294967295, not -1': { limits: { maxConnections: -1 } },
    'there is no limits.maxConections; there are maxConnections, ': { limits: { maxConections: 1 } },
    'limits.maxMemoryShare must be finite, not NaN': { limits: { maxMemoryShare: NaN } },
    'there is no presett; there are preset, ': { presett: 'mobile' },
  };
  for (const [says, options] of Object.entries(cases)) {
    const { message } = await fails('invalid_argument', () => Node.start({ preset: 'ephemeral', ...(options as object) }));
    assert.ok(message.startsWith(says), message);
  }
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  const shares = [{ model: 'x', startBlock: 0, endBlock: 'two' }] as never;
  const { message } = await fails('invalid_argument', () => node.contribute({ blocks: shares }));
  assert.equal(message, 'blocks[0].endBlock must be a whole number from 0 to 4294967295, not a string');
});

test('a swarm has one to sixty-four nodes, and refuses what each of them has for itself', async () => {
  const anything = Swarm as any;
  for (const size of [0, -1, 65, 2 ** 40, 1.5, NaN, '3', null, undefined]) {
    assert.match((await fails('invalid_argument', () => anything.start(size))).message, /^size must be a whole number/);
  }
  for (const option of ['preset', 'name', 'dataDir', 'identityKey', 'seed', 'lissten']) {
    const { message } = await fails('invalid_argument', () => anything.start(2, { [option]: 'x' }));
    assert.ok(message.startsWith(`there is no ${option}; there are bootstrap, clock, `), message);
  }
  const { message } = await fails('invalid_argument', () => Swarm.start(2, { listen: [] }));
  assert.match(message, /^listen must name an address/);
  await using alone = await Swarm.start(1, { listen: [] });
  assert.deepEqual((await alone.nodes[0]!.info()).addresses, []);
});

test('a node keeps its identity in its folder, and a second one is told that it is busy', async () => {
  await withFolder(async (dataDir) => {
    const options = { preset: 'desktop', dataDir, listen: [], mdns: false, bootstrap: [] } as const;
    const node = await Node.start(options);
    await fails('busy', () => Node.start(options));
    await node.shutdown();
    await using again = await Node.start(options);
    assert.equal(again.did, node.did);
  });
});

test('a clock that was set stands still until it is moved', async () => {
  await using node = await Node.start({ preset: 'ephemeral', listen: [], clock: new Date('2030-01-01T00:00:00Z') });
  const issued = await node.trust().issue('VerifiedNodeVC', node.did, { validForMs: 3_600_000 });
  assert.equal(issued.validFrom?.toISOString(), '2030-01-01T00:00:00.000Z');
  assert.equal(issued.validUntil?.toISOString(), '2030-01-01T01:00:00.000Z');
  await node.advanceClock(86_400_000);
  assert.equal((await node.trust().issue('VerifiedNodeVC', node.did)).validFrom?.toISOString(), '2030-01-02T00:00:00.000Z');
  await using other = await Node.start({ preset: 'ephemeral', listen: [] });
  await fails('unsupported', () => other.advanceClock(1));
});

test('an AbortSignal cancels a call, and its reason is the cause', async () => {
  const controller = new AbortController();
  const call = hang({ signal: controller.signal });
  const reason = new Error('the user left');
  setImmediate(() => controller.abort(reason));
  await assert.rejects(call, (error: AbortError) => {
    assert.ok(error instanceof AbortError);
    assert.deepEqual([error.name, error.code, error.cause], ['AbortError', 'cancelled', reason]);
    return true;
  });
  const started = Node.start({ preset: 'ephemeral', signal: AbortSignal.abort() });
  await assert.rejects(started, { name: 'AbortError' });
});

test('foolish arguments are errors and never crash', async () => {
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  const anything = node as any;
  for (const wrong of [undefined, null, 7, {}, [], Symbol('x'), () => 1, '\ud800', 'nobody']) {
    await fails('invalid_argument', () => anything.connect(wrong));
    await fails('invalid_argument', () => anything.findPeer(wrong));
    await fails('invalid_argument', () => anything.sendMessage(wrong, 'x'));
  }
  await fails('invalid_argument', () => anything.sendMessage(node.did, 'half \udc00 of it'));
  for (const wrong of [-1, NaN, Infinity, 1.5, 2 ** 53, '5', {}, 2 ** 33]) {
    await fails('invalid_argument', () => anything.shutdown({ graceMs: wrong }));
  }
  const options = [7, 'x', [], { preset: 'moon' }, { preset: 7 }, { limits: { inbox: -1 } }, { limits: { unheard: 1 } },
    { limits: { maxMemoryShare: NaN } }, { listen: 'everywhere' }, { listen: [7] }, { name: '\udfff' }, { seed: -1 },
    { seed: 1.5 }, { seed: 2n ** 64n }, { clock: 'yesterday' }, { clock: new Date(NaN) }, { signal: 7 }, { mdns: 'yes' },
    { dataDir: 'a\0b' }, { dataDir: new URL('https://example.org') }];
  for (const wrong of options) {
    const given = typeof wrong === 'object' && !Array.isArray(wrong) ? { preset: 'ephemeral', ...wrong } : wrong;
    await fails('invalid_argument', () => Node.start(given as never));
  }
  await fails('invalid_argument', () => new (Node as any)({}));
  await fails('invalid_argument', () => anything.contribute({ blocks: [{ model: 'x', startBlock: -1, endBlock: 2 }] }));
  await fails('invalid_argument', () => anything.contribute({ blocks: [null] }));
  const unbound = node.info;
  await assert.rejects(async () => unbound.call({} as never), TypeError);
  assert.ok(await node.info(), 'it still works');
});
