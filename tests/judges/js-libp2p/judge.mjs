// Runs nodes of js-libp2p, and does with them what it is told.
//
// Reads JSON objects from standard input, one a line, and answers each with one line: `{"ok": …}`, or `{"error": …}`.
// Every command has `do`, and `node`, a name: `start` with `relays`, whether it relays for others, `via`, the relay that it
// is reached through, in which case it listens nowhere else, and `reply`, with which it answers calls, in base64; `ping` and
// `agent` with `address`; `call` with `address` and `request` in base64.

import { createInterface } from 'node:readline'

import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'

// js-libp2p calls it, and Node.js has it from version 22 on.
Promise.withResolvers ??= function withResolvers () {
  const made = {}
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}
const { createLibp2p } = await import('libp2p')

const CALL = '/kwaainet/rpc/1.0.0'
const RELAYED = { runOnLimitedConnection: true }
const nodes = new Map()

// A reply says how long it is: two bytes of status, four of length.
async function read (stream, prefix, length) {
  let bytes = Buffer.alloc(0)
  for await (const chunk of stream) {
    bytes = Buffer.concat([bytes, chunk.subarray()])
    if (bytes.length >= prefix && bytes.length >= length(bytes)) break
  }
  return bytes
}

async function send (stream, bytes) {
  for (let at = 0; at < bytes.length; at += 16384) {
    if (!stream.send(bytes.subarray(at, at + 16384))) await stream.onDrain()
  }
}

const replyLength = (bytes) => 6 + bytes.readUInt32BE(2)
const requestLength = (bytes) => 9 + bytes[8] + bytes.readUInt32BE(0)

async function start ({ node: name, relays, via, reply }) {
  const node = await createLibp2p({
    addresses: { listen: [via === undefined ? '/ip4/127.0.0.1/tcp/0' : `${via}/p2p-circuit`] },
    transports: [tcp(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      ping: ping({ runOnLimitedConnection: true }),
      ...(relays ? { relay: circuitRelayServer({ reservations: { defaultDataLimit: 1n << 24n } }) } : {})
    }
  })
  await node.handle(CALL, async (stream) => {
    await read(stream, 9, requestLength)
    await send(stream, Buffer.from(reply ?? '', 'base64'))
    await stream.close()
  }, RELAYED)
  nodes.set(name, node)
  const wanted = (address) => via === undefined || address.includes('/p2p-circuit')
  const addresses = () => node.getMultiaddrs().map(String).filter(wanted)
  while (addresses().length === 0) {
    await new Promise((resolve) => node.addEventListener('self:peer:update', resolve, { once: true }))
  }
  return { peer: node.peerId.toString(), addresses: addresses() }
}

const commands = {
  start,
  async ping ({ node, address }) {
    return await nodes.get(node).services.ping.ping(multiaddr(address)) >= 0
  },
  async agent ({ node, address }) {
    const connection = await nodes.get(node).dial(multiaddr(address))
    const { agentVersion, protocols } = await nodes.get(node).services.identify.identify(connection)
    return { agent: agentVersion, protocols }
  },
  async call ({ node, address, request }) {
    const stream = await nodes.get(node).dialProtocol(multiaddr(address), CALL, RELAYED)
    await send(stream, Buffer.from(request, 'base64'))
    const reply = await read(stream, 6, replyLength)
    await stream.close()
    return { reply: reply.toString('base64') }
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    const command = JSON.parse(line)
    answer = { ok: await commands[command.do](command) }
  } catch (error) {
    answer = { error: `${error.name}: ${error.message}` }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
}
process.exit()
