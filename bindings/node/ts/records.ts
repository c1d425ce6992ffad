/** Records of the object layer, which arrive as JSON with `snake_case` keys, as the objects that users see. */

import { snake } from './values.js';

/** @internal How one field of a record is read; `wire` is its name in JSON where that is not its own in snake_case. */
export interface Field {
  readonly wire?: string;
  readonly shape?: Shape<any>;
  readonly read: (value: any) => any;
}

/** @internal A reader for every field of a record. Fields that it does not know are left out. */
export type Shape<T> = { readonly [K in keyof T]-?: Field };

/** @internal The object of this shape. */
export function record<T>(shape: Shape<T>, data: Record<string, unknown>): T {
  const read: Record<string, unknown> = {};
  for (const [name, field] of Object.entries<Field>(shape)) read[name] = field.read(data[field.wire ?? snake(name)]);
  return read as T;
}

/** @internal */
export const plain: Field = { read: (value) => value };

/** @internal RFC 3339 as a date. */
export const instant: Field = { read: (value: string | null) => (value === null ? null : new Date(value)) };

/** @internal Milliseconds since 1970 as a date. */
export function epoch(wire: string): Field {
  return { wire, read: (value: number) => new Date(value) };
}

/** @internal A record in a record; `null` stays. */
export function one<T>(shape: Shape<T>): Field {
  return { shape, read: (value) => (value === null ? null : record(shape, value)) };
}

/** @internal */
export function many<T>(shape: Shape<T>): Field {
  return { shape, read: (values: Record<string, unknown>[]) => values.map((value) => record(shape, value)) };
}

/** @internal Records by names that are no fields. */
export function each<T>(shape: Shape<T>): Field {
  return {
    shape,
    read: (values: Record<string, Record<string, unknown>>) =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, record(shape, value)])),
  };
}

/** @internal A reader of JSON texts. */
export function reads<T>(shape: Shape<T>): (json: string) => T {
  return (json) => record(shape, JSON.parse(json) as Record<string, unknown>);
}

/** @internal A reader of JSON texts that may be `null`. */
export function readsMaybe<T>(shape: Shape<T>): (json: string) => T | null {
  return (json) => one(shape).read(JSON.parse(json)) as T | null;
}

/** @internal */
export function readsAll<T>(shape: Shape<T>): (json: string) => T[] {
  return (json) => (JSON.parse(json) as Record<string, unknown>[]).map((data) => record(shape, data));
}

/** @internal The shape of each kind of event. */
export type Kinds<E extends { kind: string }> = {
  readonly [K in E['kind']]: Shape<Extract<E, { kind: K }>>;
};

/** @internal The event that `kind` names; one of a kind that this version has no name for becomes `other`. */
export function tagged<E extends { kind: string }>(kinds: Kinds<E>, data: { kind: string }): E {
  const shape = (kinds as Record<string, Shape<E> | undefined>)[data.kind];
  return shape === undefined ? ({ kind: 'other' } as E) : record(shape, data);
}
