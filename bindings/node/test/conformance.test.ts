/** The scenarios of `tests/conformance`, through the public package. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import * as package_ from 'kwaainet';
import { type ErrorCode, EventStream, KwaaiError, type LogRecord, Rag, type RagOptions, TrustGraph, errorClasses } from 'kwaainet';
import * as testing from 'kwaainet/testing';

import { matches } from './matching.js';
import { ROOT, gc, nothingIsLeft, toml, until, withFolder } from './support.js';

interface Step {
  call: string;
  on?: string;
  args?: Record<string, unknown>;
  save?: string;
  expect?: unknown;
  error?: ErrorCode;
  or_error?: ErrorCode;
  skip_on?: { code: ErrorCode; reason: string };
  cancel?: boolean;
  eventually?: boolean;
}

const FOLDER = process.env.KWAAI_SCENARIOS ?? path.join(ROOT, 'tests', 'conformance');
const SURFACE = toml(readFileSync(path.join(ROOT, 'tests', 'surface.toml'), 'utf8'));

/** Arguments that hold the app's own keys, which are not spelled anew. */
const OWN_KEYS = new Set(['claims', 'policy', 'fields', 'document', 'metadata', 'filter', 'endorsement', 'witnessed', 'body']);
/** Instants that the object layer writes as milliseconds since 1970; `at` in a log record alone. */
const EPOCH: Record<string, string> = { ingestedAt: 'ingested_at_ms', at: 'at_ms' };

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** An object of the package or of the app, kept as it is. */
class Kept {
  constructor(readonly value: any) {}
}

/** A stream, of which what was missed is told where it was missed. */
class Reader {
  #missed = 0;
  #ready: unknown[] = [];

  constructor(readonly stream: EventStream<unknown>) {}

  async next(signal?: AbortSignal): Promise<unknown> {
    if (this.#ready.length > 0) return this.#ready.shift();
    const step = await this.stream.next({ signal });
    const value = step.done ? null : plain(step.value);
    const missed = this.stream.missed - this.#missed;
    if (missed === 0) return value;
    this.#missed += missed;
    this.#ready.push(value);
    return { missed };
  }

  /** In JavaScript an iterator that was left yields nothing more, so what was made before is read first. */
  async cancel(): Promise<void> {
    for (const made: unknown[] = []; ; ) {
      const waiting = new AbortController();
      const next = this.next(waiting.signal).catch(() => null);
      await turn();
      waiting.abort();
      const value = await next;
      if (value !== null) made.push(value);
      else {
        this.#ready = made;
        break;
      }
    }
    await this.stream.return();
  }
}

/** What the package answers, as the plain data that the object layer writes. */
function plain(value: any): unknown {
  if (value === undefined || value === null) return null;
  if (value instanceof Date) return value.toISOString().replace('.000Z', 'Z');
  if (value instanceof EventStream) return new Reader(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value.values instanceof Float32Array) {
    const { rows, columns, values } = value as package_.Matrix;
    return { rows, columns, values: Array.from({ length: rows }, (_, row) => [...values.subarray(row * columns, (row + 1) * columns)]) };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof package_.Calibration || value instanceof package_.Evaluation) return plain({ ...value });
  if (typeof value !== 'object') return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return new Kept(value);
  const entries = Object.entries<any>(value).map(([key, entry]) => {
    if (key in EPOCH && entry instanceof Date && !(key === 'at' && 'credentialId' in value)) return [EPOCH[key], entry.getTime()];
    return [snake(key), OWN_KEYS.has(key) ? entry : plain(entry)];
  });
  return Object.fromEntries(entries);
}

const logged: LogRecord[] = [];
const sink = (record: LogRecord): void => void logged.push(record);

function failing(fails: unknown): void {
  if (fails === 'exception') throw new TypeError('an exception on demand');
  if (typeof fails === 'string') throw new errorClasses[fails as ErrorCode]('an error on demand');
}

/** What an app brings is an object of its own, and looked at when it is handed over: so it is, at once. */
async function handOver(tmp: string, supplies: RagOptions): Promise<void> {
  await (await Rag.open(path.join(tmp, 'handed-over'), supplies)).destroy();
}

/** What an app brings, written in JavaScript. */
const PROVIDE: Record<string, (args: any, tmp: string) => unknown> = {
  async embedder({ id, dimension, deadline_ms, fails }, tmp) {
    const embed = async (texts: string[]): Promise<number[][]> => {
      failing(fails);
      return texts.map((text) => {
        const vector = new Array<number>(dimension).fill(0);
        for (const letter of text.toLowerCase().replace(/[^a-z]/g, '')) vector[(letter.charCodeAt(0) - 97) % dimension]! += 1;
        return vector;
      });
    };
    const embedder = { id, dimension, deadlineMs: deadline_ms, embed };
    await handOver(tmp, { embedder });
    return embedder;
  },
  async model({ name, reply, fails }, tmp) {
    const model = {
      name,
      async *generate() {
        failing(fails);
        yield* (reply as string).split(/(?<= )/);
      },
    };
    await handOver(tmp, { embedder: 'none', model });
    return model;
  },
  async reader({ extensions, fails }, tmp) {
    const reader = {
      extensions,
      read(_: string, bytes: Uint8Array) {
        failing(fails);
        const lines = new TextDecoder().decode(bytes).split('\n').filter(Boolean);
        return lines.map((line) => ({ label: line.split(': ', 1)[0], text: line.slice(line.indexOf(': ') + 2) }));
      },
    };
    await handOver(tmp, { embedder: 'none', readers: [reader] });
    return reader;
  },
  async signer({ seed, fails }) {
    const signer = {
      did: testing.seedDid(seed),
      async sign(message: Uint8Array) {
        failing(fails);
        return testing.seedSign(seed, message);
      },
    };
    await (await TrustGraph.open({ signer })).shutdown();
    return signer;
  },
  sink: () => sink,
};

const TESTING: Record<string, (args: any, options: { signal?: AbortSignal }) => unknown> = {
  raise: ({ number }, options) => testing.raise(number, options),
  panic: (_, options) => testing.panic(options),
  hang: (_, options) => testing.hang(options),
  numbers: ({ count, capacity, open }) => testing.numbers(count, capacity, open),
  page: async ({ url }) => new Kept(await fetch(url).then((reply) => reply.text(), () => null)),
  request: async ({ url, token, body }) => {
    const headers = { 'Content-Type': 'application/json', ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }) };
    const sent = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
    const reply = await fetch(url, { headers, ...sent }).catch(() => null);
    return new Kept(reply && { status: reply.status, body: await reply.json() });
  },
  live_handles: async () => {
    gc();
    await turn();
    return new Kept(testing.liveHandles());
  },
};

/** Something is not there that is no part of the repository. */
class Skipped extends Error {}

class Scenario {
  readonly #saved = new Map<string, unknown>();

  constructor(readonly tmp: string) {
    this.#saved.set('tmp', tmp);
    this.#saved.set('root', ROOT);
  }

  /** Something saved, or a part of it. */
  #look(reference: string): any {
    const [name = '', ...fields] = reference.split('.');
    assert.ok(this.#saved.has(name), `nothing was saved as ${name}`);
    return fields.reduce<any>((at, field) => {
      if (at instanceof Kept) return plain(at.value[camel(field)]);
      return at[field];
    }, this.#saved.get(name));
  }

  /** A value of a scenario with what it stands for. */
  value(raw: unknown): any {
    if (typeof raw === 'string') {
      if (/^\$\w/.test(raw)) return this.#look(raw.slice(1));
      return raw.replace(/\$\{([^}]+)\}/g, (_, reference: string) => String(this.#look(reference)));
    }
    if (Array.isArray(raw)) return raw.map((entry) => this.value(entry));
    if (raw === null || typeof raw !== 'object') return raw;
    const { $base64, $repeat, $number } = raw as Record<string, any>;
    if ($base64 !== undefined) return Buffer.from($base64, 'base64');
    if ($repeat !== undefined) return ($repeat[0] as string).repeat($repeat[1]);
    if ($number !== undefined) return $number === 'nan' ? NaN : Infinity;
    return Object.fromEntries(Object.entries(raw).map(([key, entry]) => [key, this.value(entry)]));
  }

  /** An argument as a user of this package writes it. */
  #argument(name: string, value: unknown): unknown {
    if (value instanceof Kept || value instanceof Reader) return value instanceof Kept ? value.value : value.stream;
    if (Array.isArray(value)) return value.map((entry) => this.#argument('', entry));
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array || OWN_KEYS.has(name)) return value;
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [camel(key), this.#argument(key, entry)]));
  }

  async #call(step: Step, signal?: AbortSignal): Promise<unknown> {
    const [group = '', verb = ''] = step.call.split('.');
    const args = Object.fromEntries(
      Object.entries(step.args ?? {}).map(([name, raw]) => [name, this.#argument(name, this.value(raw))]),
    );
    const on = step.on === undefined ? undefined : this.#look(step.on.slice(1));
    if (on instanceof Reader) {
      if (verb === 'cancel') return plain(await on.cancel());
      if (verb === 'next') return on.next();
      const all: unknown[] = [];
      for (let value = await on.next(); value !== null; value = await on.next()) {
        if (verb === 'until' && matches(value, this.value(step.args?.['match']))) return value;
        all.push(value);
      }
      assert.equal(verb, 'collect', 'no value matched before the end');
      return all;
    }
    if (step.call === 'Provide.logged') return logged.map(plain);
    if (step.call === 'Object.shutdown') return plain(await on.value.shutdown());
    if (step.call === 'Library.compare_evaluations') {
      return plain(new package_.Evaluation(args['evaluation'] as any).compare(new package_.Evaluation(args['other'] as any)));
    }
    if (step.call === 'Library.evaluation_report') {
      const own = new package_.Evaluation(args['evaluation'] as any);
      const beside = args['beside'] === undefined ? undefined : new package_.Evaluation(args['beside'] as any);
      return args['form'] === 'markdown' ? own.toMarkdown() : own.toHtml(beside);
    }
    if (group === 'Provide') return new Kept(await PROVIDE[verb]!(args, this.tmp));
    if (group === 'Testing') {
      const answer = await TESTING[verb]!(args, signal === undefined ? {} : { signal });
      return answer instanceof Kept ? answer.value : plain(answer);
    }
    const { args: declared, property, make } = SURFACE[group].verbs[verb];
    const target = group === 'Library' ? package_ : make ? (package_ as any)[group] : on.value;
    if (property) return plain(target[camel(verb)]);
    const required = (declared as string[]).filter((name) => !name.endsWith('?')).map((name) => args[name]);
    const optional = (declared as string[]).filter((name) => name.endsWith('?')).map((name) => name.slice(0, -1));
    const options = Object.fromEntries(optional.filter((name) => name in args).map((name) => [camel(name), args[name]]));
    const answer = await target[camel(verb)](...required, ...(optional.length > 0 ? [options] : []));
    // A stream begins when its first value is asked for.
    if (answer instanceof EventStream && step.error !== undefined) await answer.next();
    return plain(answer);
  }

  async run(step: Step): Promise<void> {
    if (step.cancel) {
      const controller = new AbortController();
      const call = this.#call(step, controller.signal);
      await until(() => 'hang' in testing.liveHandles(), 'the call');
      controller.abort();
      await assert.rejects(call, { name: 'AbortError', code: 'cancelled' });
      return;
    }
    const deadline = Date.now() + 10_000;
    for (;;) {
      let answer: unknown;
      let failure: unknown;
      try {
        answer = await this.#call(step);
      } catch (error) {
        failure = error;
      }
      if (failure !== undefined) {
        if (!(failure instanceof KwaaiError)) throw failure;
        if (step.skip_on?.code === failure.code) throw new Skipped(step.skip_on.reason);
        if (step.or_error === failure.code) return;
        assert.equal(failure.code, step.error, failure.message);
        return;
      }
      assert.equal(step.error, undefined, `the call succeeded with ${JSON.stringify(answer)}`);
      if (!('expect' in step) || matches(answer, this.value(step.expect))) {
        if (step.save !== undefined) this.#saved.set(step.save, answer);
        return;
      }
      assert.ok(step.eventually && Date.now() < deadline, `answered ${JSON.stringify(answer)}`);
      await turn();
    }
  }

  async end(): Promise<void> {
    for (const kept of [...this.#saved.values()].reverse()) {
      if (kept instanceof Reader) await kept.stream.return();
      if (kept instanceof Kept && typeof kept.value.shutdown === 'function') await kept.value.shutdown();
    }
  }
}

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.json')).sort()) {
  const { title, steps } = JSON.parse(readFileSync(path.join(FOLDER, file), 'utf8')) as { title: string; steps: Step[] };
  test(`${file}: ${title}`, async (t) => {
    await withFolder(async (tmp) => {
      const scenario = new Scenario(tmp);
      try {
        for (const [at, step] of steps.entries()) {
          await scenario.run(step).catch((error: Error) => {
            if (error instanceof Skipped) throw error;
            throw new Error(`step ${at + 1}, ${step.call}: ${error.message}`, { cause: error });
          });
        }
      } catch (error) {
        if (!(error instanceof Skipped)) throw error;
        t.skip(`skipped: ${error.message}`);
      } finally {
        await scenario.end();
      }
    });
    await nothingIsLeft();
  });
}
