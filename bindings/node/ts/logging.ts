/** Log records for the app, when it asks for them. The library prints nothing itself. */

import { native } from './errors.js';
import { module } from './native.js';
import { type Shape, epoch, plain, reads } from './records.js';
import { text, wrong } from './values.js';

/** Something that happened inside the library. Never holds a prompt, a document, a vector or a key. */
export interface LogRecord {
  at: Date;
  level: 'error' | 'warn' | 'info' | 'debug' | 'trace';
  /** The part of the library, for example `kwaai_core::net`. */
  target: string;
  message: string;
  fields: Record<string, string>;
  /** How many records before this one were dropped because the sink was too slow. */
  dropped: number;
}

/** Where log records go. What it throws is dropped. */
export type LogSink = (record: LogRecord) => void | Promise<void>;

/** @internal */
export const logRecord: Shape<LogRecord> = {
  at: epoch('at_ms'),
  level: plain,
  target: plain,
  message: plain,
  fields: plain,
  dropped: plain,
};

/**
 * Sends what the library says from now on to a sink. `filter` is written like `info` or `warn,kwaai_core::net=debug`. Once for each
 * process.
 */
export function initLogging(filter: string, sink: LogSink): void {
  if (typeof sink !== 'function') throw wrong('sink', 'a function', sink);
  const read = reads(logRecord);
  const log = async (json: string): Promise<void> => sink(read(json));
  native(() => module.initLogging(text('filter', filter), (json) => void log(json).catch(() => undefined)));
}
