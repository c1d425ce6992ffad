/** The names of one key: DIDs in every spelling, and PeerIds. */

import { native } from './errors.js';
import { module } from './native.js';
import { type Shape, plain, reads } from './records.js';
import { text } from './values.js';

/** What a DID, or a PeerId, says by itself; nobody is asked. */
export interface ResolvedDid {
  /** `kwaainet` is `did:peer:<PeerId>`, KwaaiNet's own form. */
  spelling: 'key' | 'peer_0' | 'peer_1' | 'peer_2' | 'peer_3' | 'peer_4_short' | 'peer_4_long' | 'kwaainet' | 'peer_id';
  /** The same identity as `did:key`; `null` when the text carries no key, or several. */
  did: string | null;
  peerId: string | null;
  /** Where the peer says it can be dialled. Nobody vouches for them. */
  addresses: string[];
  /** The DID document; `null` when the text carries none and no key to make one of. */
  document: Record<string, unknown> | null;
}

/** @internal */
export const resolvedDid: Shape<ResolvedDid> = {
  spelling: plain,
  did: plain,
  peerId: plain,
  addresses: plain,
  document: plain,
};

/** Reads a `did:key`, a `did:peer` of any kind or a PeerId, without the network. */
export function resolveDid(did: string): ResolvedDid {
  return reads(resolvedDid)(native(() => module.resolveDid(text('did', did))));
}
