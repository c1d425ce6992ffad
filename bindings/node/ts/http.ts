/** OpenAI's HTTP API, for programs that know no other. */

import { type CallOptions, finished } from './bridge.js';
import { native } from './errors.js';
import { module, type NativeHttpServer, type NativeServed } from './native.js';
import { type Embedder, type LanguageModel, supplyEmbedder } from './provide.js';
import { type Endpoint, type ModelWriter, supplyWriter } from './rag.js';
import { type Path, count, optional, options as checked, path, recordJson, text, wrong } from './values.js';

/** What a server answers with, where, and to whom. */
export interface ServeHttpOptions extends CallOptions {
  /** Language models by the names that requests call them. */
  models?: Readonly<Record<string, ModelWriter | Endpoint | LanguageModel>> | undefined;
  /** Embedders by the names that requests call them: folders or ids of BERT models, or embedders of the app. */
  embedders?: Readonly<Record<string, Path | Embedder>> | undefined;
  /** The IP address to listen on; 127.0.0.1 unless set. Any that is not loopback needs a token. */
  host?: string | undefined;
  /** The port; 11435 unless set, and 0 takes any that is free. */
  port?: number | undefined;
  /** What every request must carry as its bearer token. */
  token?: string | undefined;
  /** How many requests are answered at the same time; 8 unless set. */
  maxRequests?: number | undefined;
  /** The longest body of a request in bytes; 4 MiB unless set. */
  maxBodyBytes?: number | undefined;
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
    if (!(handle instanceof (module.HttpServer as never))) throw wrong('an HttpServer', 'made by Node.serveHttp', handle);
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

/** @internal The options as the native module takes them: as JSON, and what is served. */
export function serveHttpOptions(given: ServeHttpOptions | undefined): [string, NativeServed] {
  const { models, embedders, host, port, token, maxRequests, maxBodyBytes } = checked(given, [
    'models',
    'embedders',
    'host',
    'port',
    'token',
    'maxRequests',
    'maxBodyBytes',
  ]);
  const served = new module.Served();
  for (const [name, model] of Object.entries(checked(models ?? undefined, undefined, 'models'))) {
    const supplies = new module.Supplies();
    const endpoint = supplyWriter(supplies, model as LanguageModel, `models.${name}`);
    const called = text('the name of a model', name);
    if (endpoint === undefined) served.supplied(called, supplies);
    else native(() => served.endpoint(called, recordJson(endpoint, `models.${name}`)));
  }
  for (const [name, embedder] of Object.entries(checked(embedders ?? undefined, undefined, 'embedders'))) {
    const called = text('the name of an embedder', name);
    if (typeof embedder === 'string' || embedder instanceof URL) {
      served.bert(called, path(`embedders.${name}`, embedder));
      continue;
    }
    const supplies = new module.Supplies();
    supplyEmbedder(supplies, embedder as Embedder);
    served.supplied(called, supplies);
  }
  return [recordJson({ host, port, token, maxRequests, maxBodyBytes }), served];
}
