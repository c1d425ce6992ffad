/** For tests: connected nodes and, in a checkout of kwaainet itself, failures on demand. */

import { type CallOptions, finished } from './bridge.js';
import { InvalidArgumentError, UnsupportedError, native } from './errors.js';
import { type NativeTesting, module } from './native.js';
import { Node, type NodeOptions } from './node.js';
import { EventStream } from './streams.js';
import { count, options as checked, wrong } from './values.js';

/** The most nodes of a swarm. */
const MOST = 64;

/** What the nodes of a swarm may be told; the rest each has for itself. */
export type SwarmOptions = CallOptions & Pick<NodeOptions, 'bootstrap' | 'clock' | 'limits' | 'listen' | 'mdns'>;

/** Ephemeral nodes that are connected with one another. */
export class Swarm implements AsyncDisposable, Iterable<Node> {
  /** The nodes, in the order of their making. */
  readonly nodes: readonly Node[];

  private constructor(nodes: readonly Node[]) {
    this.nodes = nodes;
  }

  /** Starts 1 to 64 nodes in memory, named `node-0` and so on, and connects each with all others. */
  static async start(size: number, options?: SwarmOptions): Promise<Swarm> {
    if (typeof size !== 'number') throw wrong('size', 'a whole number', size);
    if (!Number.isInteger(size) || size < 1 || size > MOST) {
      throw new InvalidArgumentError(`size must be a whole number from 1 to ${MOST}, not ${size}`);
    }
    checked(options, ['bootstrap', 'clock', 'limits', 'listen', 'mdns']);
    const nodes: Node[] = [];
    try {
      for (let at = 0; at < size; at += 1) {
        const node = await Node.start({ ...options, preset: 'ephemeral', name: `node-${at}` });
        nodes.push(node);
        for (const other of nodes.slice(0, -1)) await join(node, other, options);
      }
    } catch (error) {
      await Promise.all(nodes.map((node) => node.shutdown({ graceMs: 0 })));
      throw error;
    }
    return new Swarm(nodes);
  }

  [Symbol.iterator](): Iterator<Node> {
    return this.nodes[Symbol.iterator]();
  }

  /** Stops every node. */
  async shutdown(options?: CallOptions): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.shutdown({ ...options, graceMs: 0 })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** Connects two nodes, and waits until both know. */
async function join(node: Node, other: Node, options?: CallOptions): Promise<void> {
  const { signal } = options ?? {};
  await using events = other.events({ signal });
  const [address] = (await other.info({ signal })).addresses;
  if (address === undefined) {
    throw new InvalidArgumentError('listen must name an address: the nodes of a swarm dial each other');
  }
  await node.connect(address, { signal });
  for await (const event of events) if (event.kind === 'peer_connected' && event.peer === node.peerId) return;
}

function checkout<K extends keyof NativeTesting>(name: K): NativeTesting[K] {
  const found = module[name] as NativeTesting[K] | undefined;
  if (found === undefined) throw new UnsupportedError('only a build from a checkout has failures on demand');
  return found;
}

/** Fails with the code of this number. */
export async function raise(number: number, options?: CallOptions): Promise<void> {
  await finished(checkout('raiseError')(count('number', number, 0xffff)), options);
}

/** Fails with `internal`, by a panic in Rust. */
export async function panic(options?: CallOptions): Promise<void> {
  await finished(checkout('panic')(), options);
}

/** Never ends, unless it is cancelled. */
export async function hang(options?: CallOptions): Promise<void> {
  await finished(checkout('hang')(), options);
}

/** A stream of the numbers from 0 up to `total`, of which the last `capacity` are kept, and which stays open when `open` is true. */
export function numbers(total: number, capacity: number, open: boolean, options?: CallOptions): EventStream<number> {
  const stream = checkout('numbers')(count('total', total, 0xffff_ffff), count('capacity', capacity, 0xffff_ffff), open);
  return new EventStream(stream, (value: number) => value, options);
}

/** The length of each row of a matrix, whose numbers are read where they lie. */
export function norms(values: Float32Array, columns: number): Float32Array {
  if (!(values instanceof Float32Array)) throw wrong('values', 'a Float32Array', values);
  return native(() => checkout('norms')(values, count('columns', columns, 0xffff_ffff)));
}

/** The DID of the identity that a seed gives. */
export function seedDid(seed: number): string {
  return native(() => checkout('seedDid')(count('seed', seed)));
}

/** The signature of these bytes by the identity that a seed gives. */
export async function seedSign(seed: number, message: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
  if (!(message instanceof Uint8Array)) throw wrong('message', 'a Uint8Array', message);
  return finished(checkout('seedSign')(count('seed', seed), message), options);
}

/** The objects that are alive in this process, by kind. */
export function liveHandles(): Record<string, number> {
  return checkout('liveHandles')();
}
