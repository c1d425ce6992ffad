/**
 * A KwaaiNet node inside your own process.
 *
 * ```ts
 * await using node = await Node.start({ preset: 'ephemeral' });
 * console.log(node.did, (await node.info()).addresses);
 * ```
 */

import { module } from './native.js';

/** The version of the library. */
export const version: string = module.version();

export type { CallOptions } from './bridge.js';
export * from './errors.js';
export { type ResolvedDid, resolveDid } from './identity.js';
export { type LogRecord, type LogSink, initLogging } from './logging.js';
export {
  type AskTrustOptions,
  type BlockShare,
  type ContributeOptions,
  type Diagnosis,
  type DiagnosisCause,
  type Limits,
  type Measurement,
  type MeasurementBucket,
  type Message,
  type Metrics,
  Node,
  type NodeEvent,
  type NodeInfo,
  type NodeOptions,
  type PeerInfo,
  type Preset,
  type Reachability,
  type RelayLimits,
  type TestCredentialOptions,
} from './node.js';
export type {
  DocumentPart,
  DocumentReader,
  Embedder,
  GenerateEnd,
  GenerateRequest,
  LanguageModel,
  Pieces,
  ProvideContext,
  Provided,
  Rows,
  Signer,
} from './provide.js';
export {
  type Answer,
  type AskEvent,
  type AskOptions,
  Asking,
  type Chunking,
  type Citation,
  type DocumentInfo,
  type EmbedderInfo,
  type Endpoint,
  type Evidence,
  type Hit,
  type IngestEvent,
  type IngestTotals,
  Ingestion,
  type Mode,
  type ModelWriter,
  Rag,
  type RagOptions,
  type Rank,
  type SearchOptions,
  type SearchResult,
  type Stats,
} from './rag.js';
export {
  type BlockHost,
  type Blocks,
  type ChatMessage,
  type ChatOptions,
  type Completion,
  type Coverage,
  type FinishReason,
  type GenerateEvent,
  Generation,
  type Hop,
  type Matrix,
  Model,
  type ModelInfo,
  type Offer,
  type Route,
  ShardEngine,
  type Span,
  type Usage,
} from './shard.js';
export { EventStream } from './streams.js';
export {
  type ClaimTest,
  type Credential,
  type CredentialFilter,
  type CredentialSummary,
  type Disclosure,
  type Disclosures,
  type DtgCredential,
  type DtgShape,
  type GlobalTrust,
  type IdentityBinding,
  type ImportedCredentials,
  type IssueBindingOptions,
  type IssueOptions,
  type IssuePledgeOptions,
  type IssueUptimeOptions,
  type KeptStatusList,
  type LegacyCredential,
  type LinkType,
  type Minimum,
  type Outcome,
  type PledgeOptions,
  type PledgeWithdrawal,
  type Policy,
  type PropagateOptions,
  type Purpose,
  type Reason,
  type RecommendationOptions,
  type RecordOptions,
  type RefusedCredential,
  type Reputation,
  type Score,
  type Sightings,
  type Status,
  type StatusRefresh,
  type TakenWord,
  type Thresholds,
  type Tier,
  TrustGraph,
  type TrustGraphOptions,
  type TrustStatement,
  type TrustedIssuer,
  type Verdict,
  type VerifiedPresentation,
  type WalletState,
  type WantedStatusList,
} from './trust.js';
export type { Path } from './values.js';
export {
  type CollectionConfig,
  type CollectionStats,
  type CreateOptions,
  type FoundVector,
  type FoundVectors,
  type HostOptions,
  type HostReport,
  type HostedVectors,
  type Leakage,
  type Metric,
  type PartState,
  type Privacy,
  type Tenant,
  type UpsertOptions,
  VectorCollection,
  type VectorSearchOptions,
  Vpk,
} from './vpk.js';
