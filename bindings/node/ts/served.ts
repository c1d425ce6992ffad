/** What an HTTP server answers with. */

import { held } from './bridge.js';
import { native } from './errors.js';
import { SERVE_OPTIONS, type ServeOptions, serveJson } from './http.js';
import { module, type NativeRag, type NativeServed } from './native.js';
import { type Embedder, type LanguageModel, supplyEmbedder } from './provide.js';
import { type Endpoint, type ModelWriter, type Rag, supplyWriter } from './rag.js';
import { type Path, options as checked, path, recordJson, text } from './values.js';

/** What a server answers with, where, and to whom. */
export interface ServeHttpOptions extends ServeOptions {
  /** Language models by the names that requests call them. */
  models?: Readonly<Record<string, ModelWriter | Endpoint | LanguageModel>> | undefined;
  /** Embedders by the names that requests call them: folders or ids of BERT models, or embedders of the app. */
  embedders?: Readonly<Record<string, Path | Embedder>> | undefined;
  /** Knowledge bases by the names that requests call them; each is a model too, which answers from its documents. */
  knowledge?: Readonly<Record<string, Rag>> | undefined;
}

/** @internal The options as the native module takes them: as JSON, and what is served. */
export function serveHttpOptions(given: ServeHttpOptions | undefined): [string, NativeServed] {
  const options = checked(given, ['models', 'embedders', 'knowledge', ...SERVE_OPTIONS]);
  const { models, embedders, knowledge } = options;
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
  for (const [name, rag] of Object.entries(checked(knowledge ?? undefined, undefined, 'knowledge'))) {
    const called = text('the name of a knowledge base', name);
    native(() => served.knowledge(called, held<NativeRag>('Rag', rag)));
  }
  return [serveJson(options), served];
}
