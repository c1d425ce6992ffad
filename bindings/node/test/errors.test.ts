import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { InternalError, KwaaiError, errorClasses, type ErrorCode } from 'kwaainet';
import * as package_ from 'kwaainet';
import { panic, raise } from 'kwaainet/testing';

import { ROOT, fails, leavesNothingBehind, toml } from './support.js';

leavesNothingBehind();

const LISTED = toml(readFileSync(path.join(ROOT, 'tests', 'errors.toml'), 'utf8')) as Record<
  ErrorCode,
  { number: number; retryable: boolean; python: string[] }
>;

test('the classes are those of the list, both ways', () => {
  assert.deepEqual(Object.keys(errorClasses).sort(), Object.keys(LISTED).sort());
  const exported = Object.values(package_)
    .filter((value) => typeof value === 'function' && value.prototype instanceof KwaaiError && 'code' in value)
    .map((value) => (value as { code: string }).code);
  assert.deepEqual([...new Set(exported)].sort(), Object.keys(LISTED).sort());
});

for (const [code, { number, retryable, python }] of Object.entries(LISTED)) {
  test(`${code} arrives with its class, number, details and cause`, async () => {
    const error = await fails(code as ErrorCode, () => raise(number));
    assert.ok(error instanceof errorClasses[code as ErrorCode]);
    assert.ok(error instanceof KwaaiError && error instanceof Error);
    assert.deepEqual([error.number, error.retryable, error.name], [number, retryable, python[0]]);
    assert.deepEqual(error.context, { detail: 'on demand' });
    assert.equal((error.cause as Error).message, 'the cause beneath');
    assert.match(error.message, /on demand/);
    assert.ok(error.stack?.includes(error.message));
    assert.deepEqual(JSON.parse(JSON.stringify(error)).code, code);
    assert.equal(new errorClasses[code as ErrorCode]('mine').retryable, retryable);
  });
}

test('a number without an error, and a panic', async () => {
  await fails('invalid_argument', () => raise(999));
  const error = await fails('internal', () => panic());
  assert.ok(error instanceof InternalError);
  assert.match(error.context['panic'] ?? '', /on demand/);
});
