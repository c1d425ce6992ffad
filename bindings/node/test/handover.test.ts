import assert from 'node:assert/strict';
import test from 'node:test';

import { norms } from 'kwaainet/testing';

test('50,000 rows of 384 numbers are read where they lie', (t) => {
  const [rows, columns] = [50_000, 384];
  const values = new Float32Array(rows * columns).fill(0.5);
  const peak = process.resourceUsage().maxRSS;
  const began = performance.now();
  const lengths = norms(values, columns);
  const took = performance.now() - began;
  const more = (process.resourceUsage().maxRSS - peak) / 2 ** 10;
  t.diagnostic(`${(values.byteLength / 1e6).toFixed(0)} MB in ${took.toFixed(0)} ms, ${more.toFixed(1)} MB more at the peak`);
  assert.ok(more < 20, `${more} MB more at the peak: the numbers were copied`);
  assert.equal(lengths.length, rows);
  assert.ok(lengths.every((length) => Math.abs(length - Math.sqrt(columns) / 2) < 1e-3));
  const part = norms(values.subarray(columns, 3 * columns), columns);
  assert.equal(part.length, 2, 'a part of a buffer is read from its own start');
});

test('numbers that fill no rows, are not finite or are no array are refused', () => {
  assert.throws(() => norms(new Float32Array(5), 3), { code: 'invalid_argument' });
  assert.throws(() => norms(new Float32Array(5), 0), { code: 'invalid_argument' });
  assert.throws(() => norms(Float32Array.of(NaN), 1), { code: 'invalid_argument' });
  assert.throws(() => norms([1] as never, 1), { code: 'invalid_argument' });
  assert.equal(norms(new Float32Array(0), 3).length, 0);
});
