/** What can go wrong. One class for each code; decide on the class or on `code`, not on the message. */

/** The fixed code of an error, the same in every language. */
export type ErrorCode =
  | 'invalid_argument'
  | 'not_found'
  | 'already_exists'
  | 'permission_denied'
  | 'untrusted_peer'
  | 'unreachable'
  | 'timeout'
  | 'cancelled'
  | 'closed'
  | 'busy'
  | 'resource_exhausted'
  | 'corrupt_data'
  | 'unsupported'
  | 'conflict'
  | 'io'
  | 'internal';

/** What an error may carry besides its message. */
export interface ErrorDetails {
  /** Named details such as `file`, `peer` or `limit`. */
  context?: Readonly<Record<string, string>>;
  /** The failure underneath. */
  cause?: unknown;
}

const NUMBERS: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 1,
  not_found: 2,
  already_exists: 3,
  permission_denied: 4,
  untrusted_peer: 5,
  unreachable: 6,
  timeout: 7,
  cancelled: 8,
  closed: 9,
  busy: 10,
  resource_exhausted: 11,
  corrupt_data: 12,
  unsupported: 13,
  conflict: 14,
  io: 15,
  internal: 16,
};

const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['unreachable', 'timeout', 'busy', 'conflict']);

/** An error of kwaainet. Code of an app may throw one too, for example from its embedder: it keeps its code. */
export class KwaaiError extends Error {
  /** The fixed code. */
  readonly code: ErrorCode;
  /** The number of the code. */
  readonly number: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** Named details such as `file`, `peer` or `limit`. */
  readonly context: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code in NUMBERS ? code : 'internal';
    this.number = NUMBERS[this.code];
    this.retryable = RETRYABLE.has(this.code);
    this.context = Object.freeze({ ...details.context });
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'KwaaiError', configurable: true, writable: true });
  }

  /** The error as plain data, for logs and for other threads. */
  toJSON(): { code: ErrorCode; number: number; message: string; retryable: boolean; context: Readonly<Record<string, string>> } {
    return { code: this.code, number: this.number, message: this.message, retryable: this.retryable, context: this.context };
  }
}

/** The class of a code, under this name. */
interface KwaaiErrorClass<C extends ErrorCode> {
  new (message: string, details?: ErrorDetails): KwaaiError & { readonly code: C };
  readonly code: C;
}

function errorClass<C extends ErrorCode>(code: C, name: string): KwaaiErrorClass<C> {
  const named = {
    [name]: class extends KwaaiError {
      static readonly code = code;
      constructor(message: string, details: ErrorDetails = {}) {
        super(code, message, details);
      }
    },
  }[name] as unknown as KwaaiErrorClass<C>;
  Object.defineProperty(named.prototype, 'name', { value: name, configurable: true, writable: true });
  return named;
}

/** An argument, a document or a message is malformed; the same call never succeeds. */
export class InvalidArgumentError extends errorClass('invalid_argument', 'InvalidArgumentError') {}
/** What was named does not exist. */
export class NotFoundError extends errorClass('not_found', 'NotFoundError') {}
/** What was to be made exists already. */
export class AlreadyExistsError extends errorClass('already_exists', 'AlreadyExistsError') {}
/** The other side, or the operating system, refuses this caller. */
export class PermissionDeniedError extends errorClass('permission_denied', 'PermissionDeniedError') {}
/** A peer stands below the minimum tier that this node's own policy asks for. */
export class UntrustedPeerError extends errorClass('untrusted_peer', 'UntrustedPeerError') {}
/** A peer could not be reached. */
export class UnreachableError extends errorClass('unreachable', 'UnreachableError') {}
/** The deadline passed. */
export class KwaaiTimeoutError extends errorClass('timeout', 'KwaaiTimeoutError') {}
/** The call was cancelled. */
export class CancelledError extends errorClass('cancelled', 'CancelledError') {}
/** The handle was shut down. */
export class ClosedError extends errorClass('closed', 'ClosedError') {}
/** Something else holds the resource just now. */
export class BusyError extends errorClass('busy', 'BusyError') {}
/** A limit on memory, size, streams or storage was reached. */
export class ResourceExhaustedError extends errorClass('resource_exhausted', 'ResourceExhaustedError') {}
/** Stored or received data fails its checks. */
export class CorruptDataError extends errorClass('corrupt_data', 'CorruptDataError') {}
/** This build, platform or version cannot do it; the message says why. */
export class UnsupportedError extends errorClass('unsupported', 'UnsupportedError') {}
/** The state changed underneath the call. */
export class ConflictError extends errorClass('conflict', 'ConflictError') {}
/** The operating system reported a failure of a file or a socket. */
export class KwaaiIOError extends errorClass('io', 'KwaaiIOError') {}
/** A defect of kwaainet, or an exception in the app's own code that it called. */
export class InternalError extends errorClass('internal', 'InternalError') {}

/** The call was cancelled by its `AbortSignal`; `cause` is the signal's reason. */
export class AbortError extends CancelledError {
  static {
    Object.defineProperty(this.prototype, 'name', { value: 'AbortError', configurable: true, writable: true });
  }
}

/** The class of each code. */
export const errorClasses: Readonly<Record<ErrorCode, new (message: string, details?: ErrorDetails) => KwaaiError>> =
  Object.freeze({
    invalid_argument: InvalidArgumentError,
    not_found: NotFoundError,
    already_exists: AlreadyExistsError,
    permission_denied: PermissionDeniedError,
    untrusted_peer: UntrustedPeerError,
    unreachable: UnreachableError,
    timeout: KwaaiTimeoutError,
    cancelled: CancelledError,
    closed: ClosedError,
    busy: BusyError,
    resource_exhausted: ResourceExhaustedError,
    corrupt_data: CorruptDataError,
    unsupported: UnsupportedError,
    conflict: ConflictError,
    io: KwaaiIOError,
    internal: InternalError,
  });

/** @internal The error whose record the native module wrote. */
export function fromNative(record: string): KwaaiError {
  const { code, message, context, cause } = JSON.parse(record) as {
    code: ErrorCode;
    message: string;
    context: Record<string, string>;
    cause: string | null;
  };
  const known = errorClasses[code] ?? InternalError;
  return new known(message, { context, cause: cause === null ? undefined : new Error(cause) });
}

/** @internal Runs a call of the native module that throws at once. */
export function native<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === 'KWAAI') throw fromNative((error as Error).message);
    throw error;
  }
}
