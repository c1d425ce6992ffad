/** What a caller passes, checked before it crosses: numbers, texts and paths that Rust would otherwise read as others. */

import { fileURLToPath } from 'node:url';

import { InvalidArgumentError } from './errors.js';

/** A path of the file system, or a `file:` URL. */
export type Path = string | URL;

const MAX_DEPTH = 64;
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

/** @internal */
export function wrong(what: string, expected: string, value: unknown): InvalidArgumentError {
  const found = value === null ? 'null' : Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
  return new InvalidArgumentError(`${what} must be ${expected}, not ${found}`);
}

/** @internal A text that is Unicode. */
export function text(what: string, value: unknown): string {
  if (typeof value !== 'string') throw wrong(what, 'a string', value);
  if (LONE_SURROGATE.test(value)) {
    throw new InvalidArgumentError(`${what} holds half of a character (a lone surrogate), which is no text`);
  }
  return value;
}

/** @internal */
export function texts(what: string, value: unknown): string[] {
  return list(what, value).map((entry, index) => text(`${what}[${index}]`, entry));
}

/** @internal */
export function list(what: string, value: unknown): unknown[] {
  if (value === null || typeof value !== 'object' || !(Symbol.iterator in value)) throw wrong(what, 'a list', value);
  return [...(value as Iterable<unknown>)];
}

/** @internal */
export function truth(what: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw wrong(what, 'true or false', value);
  return value;
}

/** @internal A whole number from 0 to `max`. */
export function count(what: string, value: unknown, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw wrong(what, 'a number', value);
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new InvalidArgumentError(`${what} must be a whole number from 0 to ${max}, not ${value}`);
  }
  return value;
}

/** @internal A number. Whether it is finite and in its range is for the library to say. */
export function real(what: string, value: unknown): number {
  if (typeof value !== 'number') throw wrong(what, 'a number', value);
  return value;
}

/** @internal */
export const MAX_U32 = 0xffff_ffff;

/** @internal Tokens, blocks and the like. */
export function index(what: string, value: unknown): number {
  return count(what, value, MAX_U32);
}

/** @internal */
export function path(what: string, value: unknown): string {
  if (value instanceof URL) {
    if (value.protocol !== 'file:') throw new InvalidArgumentError(`${what} must be a path or a file: URL`);
    return fileURLToPath(value);
  }
  return text(what, value);
}

/**
 * @internal The options object of a verb. A value that is no object is refused, and so is an option that is not among the
 * known ones: a slip of the pen would be ignored silently.
 */
export function options<T extends object>(
  value: T | undefined,
  known?: readonly (keyof T & string)[],
  what = 'options',
): Partial<T> {
  if (value === undefined) return {};
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrong(what, 'an object', value);
  const unknown = known && Object.keys(value).find((key) => key !== 'signal' && !(known as readonly string[]).includes(key));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`there is no ${unknown}; there are ${known!.join(', ')}`);
  }
  return value;
}

/** @internal */
export function optional<T, R>(value: T | null | undefined, read: (value: T) => R): R | undefined {
  return value === undefined || value === null ? undefined : read(value);
}

/** @internal `peerId` as `peer_id`. */
export function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** @internal A record as the native module reads it: in snake_case. Errors name its fields as callers write them. */
export function recordJson(fields: object, what = ''): string {
  return json(what, fields, 0, snake);
}

/** @internal JSON in which nothing was changed silently: no NaN as null, no lone surrogate, no function left out. */
export function json(what: string, value: unknown, depth = 0, spell = (key: string): string => key): string {
  if (depth > MAX_DEPTH) throw new InvalidArgumentError(`${what} is nested deeper than ${MAX_DEPTH} levels, or holds itself`);
  if (value === null || value === undefined) return 'null';
  switch (typeof value) {
    case 'string':
      return JSON.stringify(text(what, value));
    case 'boolean':
    case 'bigint':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) throw new InvalidArgumentError(`${what} must be finite, not ${value}`);
      return JSON.stringify(value);
    case 'object':
      if (value instanceof Date) return JSON.stringify(instant(what, value));
      if (Symbol.iterator in value) {
        return `[${list(what, value).map((entry, at) => json(`${what}[${at}]`, entry, depth + 1, spell)).join(',')}]`;
      }
      return `{${Object.entries(value)
        .filter(([, entry]) => entry !== undefined)
        .map(([key, entry]) => {
          const name = what === '' ? key : `${what}.${key}`;
          return `${JSON.stringify(spell(text(name, key)))}:${json(name, entry, depth + 1, spell)}`;
        })
        .join(',')}}`;
    default:
      throw new InvalidArgumentError(`${what} is a ${typeof value}, which is no data`);
  }
}

/** @internal RFC 3339. */
export function instant(what: string, value: Date): string {
  if (Number.isNaN(value.getTime())) throw new InvalidArgumentError(`${what} is an invalid date`);
  return value.toISOString();
}
