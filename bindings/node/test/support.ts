/** What the tests share. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import v8 from 'node:v8';
import vm from 'node:vm';

import { KwaaiError, type ErrorCode } from 'kwaainet';
import { liveHandles } from 'kwaainet/testing';

export const ROOT = path.resolve(__dirname, '../../../../../..');
export const PACKAGE = path.join(ROOT, 'bindings', 'node');
export const MODEL = path.join(ROOT, 'examples', 'models', 'tiny-kwaai');
export const QUESTION = 'What is kwaainet?';

v8.setFlagsFromString('--expose-gc');
export const gc = vm.runInNewContext('gc') as () => void;

/** Waits for something that another thread is about to do. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `${what} did not come about`);
    await turn();
  }
}

/** Every test of the file gives back what it took: no handle stays alive. */
export function leavesNothingBehind(): void {
  afterEach(nothingIsLeft);
}

export async function nothingIsLeft(): Promise<void> {
  let left = {};
  await until(() => {
    gc();
    left = liveHandles();
    return Object.keys(left).length === 0;
  }, 'the end of every handle').catch((error: Error) => {
    throw new Error(`${error.message}; left are ${JSON.stringify(left)}`);
  });
}

/** An empty folder that goes with the test. */
export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'kwaainet-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The error of this code that a call rejects with or throws. */
export async function fails(code: ErrorCode, call: () => unknown): Promise<KwaaiError> {
  let error: unknown;
  try {
    await call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error instanceof KwaaiError, `expected ${code}, got ${String(error)}`);
  assert.equal(error.code, code, error.message);
  return error;
}

/**
 * What a program in a Node.js of its own prints. It must end by itself, with code 0. After it has printed the line `signalAfter`
 * it gets a SIGUSR2.
 */
export function program(source: string, { type = 'module', code = 0, signalAfter = '' } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: PACKAGE, timeout: 60_000 };
    const child = execFile(process.execPath, [`--input-type=${type}`, '-e', source], options, (error, stdout, stderr) => {
      const ended = error === null ? 0 : error.killed ? 'a timeout' : error.code;
      if (ended === code) resolve(stdout + stderr);
      else reject(new Error(`the program ended with ${String(ended)}: ${stdout}${stderr}`));
    });
    if (signalAfter === '') return;
    let said = '';
    child.stdout?.on('data', function signal(part: string): void {
      said += part;
      if (!said.split('\n').includes(signalAfter)) return;
      child.stdout?.off('data', signal);
      child.kill('SIGUSR2');
    });
  });
}

/** The part of TOML in which `tests/*.toml` are written. */
export function toml(source: string): Record<string, any> {
  const whole: Record<string, any> = {};
  let table = whole;
  for (const raw of source.split('\n')) {
    const line = raw.replace(/#(?=(?:[^"]*"[^"]*")*[^"]*$).*/, '').trim();
    const header = /^\[(.+)\]$/.exec(line);
    const entry = /^([\w-]+)\s*=\s*(.+)$/.exec(line);
    if (header) {
      table = (header[1] as string).split('.').reduce((at, name) => (at[name] ??= {}), whole);
    } else if (entry) {
      const json = (entry[2] as string).replace(/([{,]\s*)(\w+)\s*=/g, '$1"$2":');
      table[entry[1] as string] = JSON.parse(json);
    } else if (line) throw new Error(`not understood: ${line}`);
  }
  return whole;
}
