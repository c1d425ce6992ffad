/** The matchers of `tests/conformance/README.md`. */

import { isDeepStrictEqual } from 'node:util';

const MATCHERS: Record<string, (value: any, wanted: any) => boolean> = {
  $exists: (value, wanted) => (value !== null && value !== undefined) === wanted,
  $gte: (value, wanted) => typeof value === 'number' && value >= wanted,
  $lte: (value, wanted) => typeof value === 'number' && value <= wanted,
  $approx: (value, [wanted, by]) => typeof value === 'number' && Math.abs(value - wanted) <= by,
  $len: (value, wanted) => length(value) === wanted,
  $min_len: (value, wanted) => length(value) >= wanted,
  $matches: (value, wanted) => typeof value === 'string' && new RegExp(wanted).test(value),
  $contains: (value, wanted) =>
    typeof value === 'string' ? value.includes(wanted) : Array.isArray(value) && value.some((entry) => matches(entry, wanted)),
  $not: (value, wanted) => !matches(value, wanted),
  $all: (value, wanted) => (wanted as unknown[]).every((each) => matches(value, each)),
};

/** Whether a value is what a scenario expects. */
export function matches(value: any, wanted: any): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(value) && value.length === wanted.length && wanted.every((each, at) => matches(value[at], each));
  }
  if (wanted === null || typeof wanted !== 'object') return isDeepStrictEqual(value ?? null, wanted);
  const [key, ...more] = Object.keys(wanted);
  if (key?.startsWith('$') && more.length === 0) {
    const matcher = MATCHERS[key];
    if (matcher === undefined) throw new Error(`there is no matcher ${key}`);
    return matcher(value, wanted[key]);
  }
  return value !== null && typeof value === 'object' && Object.entries(wanted).every(([name, each]) => matches(value[name], each));
}

function length(value: any): number {
  if (typeof value === 'string' || Array.isArray(value)) return value.length;
  return value !== null && typeof value === 'object' ? Object.keys(value).length : -1;
}
