/** OpenAI's HTTP API for programs that know no other, and a page for people. */

import { type CallOptions, finished } from './bridge.js';
import { module, type NativeHttpServer } from './native.js';
import { count, optional, options as checked, recordJson, wrong } from './values.js';

/** Where a server listens, and to whom. */
export interface ServeOptions extends CallOptions {
  /** The IP address to listen on; 127.0.0.1 unless set. Any that is not loopback needs a token. */
  host?: string | undefined;
  /** The port; 11435 unless set, 9090 where a knowledge base is served alone, and 0 takes any that is free. */
  port?: number | undefined;
  /** What every request must carry as its bearer token. */
  token?: string | undefined;
  /** How many requests are answered at the same time; 8 unless set. */
  maxRequests?: number | undefined;
  /** The longest body of a request in bytes; 4 MiB unless set. */
  maxBodyBytes?: number | undefined;
  /** The longest document that is taken in bytes; 64 MiB unless set. */
  maxUploadBytes?: number | undefined;
}

/** Answers programs that speak OpenAI's HTTP API, until it is shut down. `docs/http.md` says what it answers. */
export class HttpServer implements AsyncDisposable {
  readonly #native: NativeHttpServer;
  /** Where it listens, such as `127.0.0.1:11435`. */
  readonly address: string;
  /** The port of that address. */
  readonly port: number;
  /** What clients take for their base address, such as `http://127.0.0.1:11435/v1`. */
  readonly baseUrl: string;

  private constructor(handle: NativeHttpServer) {
    if (!(handle instanceof (module.HttpServer as never))) throw wrong('an HttpServer', 'made by Node.serveHttp or Rag.serve', handle);
    this.#native = handle;
    this.address = handle.address();
    this.port = handle.port();
    this.baseUrl = handle.baseUrl();
  }

  /** @internal */
  static of(native: NativeHttpServer): HttpServer {
    return new HttpServer(native);
  }

  /**
   * Takes no further request, lets what is under way finish within `graceMs`, five seconds unless set, and ends the rest. When it
   * resolves, every connection is closed and the port is free. Idempotent.
   */
  async shutdown(options?: CallOptions & { graceMs?: number | undefined }): Promise<void> {
    const graceMs = optional(checked(options, ['graceMs']).graceMs, (ms) => count('graceMs', ms));
    await finished(this.#native.shutdown(graceMs), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

/** @internal The options of a server by their names. */
export const SERVE_OPTIONS: readonly (keyof ServeOptions & string)[] = ['host', 'port', 'token', 'maxRequests', 'maxBodyBytes', 'maxUploadBytes'];

/** @internal The options as the native module takes them. */
export function serveJson({ host, port, token, maxRequests, maxBodyBytes, maxUploadBytes }: ServeOptions): string {
  return recordJson({ host, port, token, maxRequests, maxBodyBytes, maxUploadBytes });
}
