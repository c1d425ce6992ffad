import Foundation
import KwaaiNetNative

/// What a node keeps for others, and what others keep for it. The page on private vectors says what each privacy hides.
public final class Vpk: Sendable {
    private let native: NativeVpk

    init(_ native: NativeVpk) {
        self.native = native
    }

    /// Begins to keep collections for peers that the policy's `store_vectors` admits, and for this node, on `capacityBytes` of the
    /// disk. Nothing is kept for anybody before; what was kept in an earlier run is there again.
    ///
    /// One owner may take `tenantBytes`, a quarter of all unless set, in `tenantCollections`, 64 unless set. `memoryBytes` are for
    /// answering; as many as on the disk, up to 1 GiB, unless set. Without `minTier` the policy's minimum stays as it is.
    public func host(
        capacityBytes: Int64, tenantBytes: Int64? = nil, tenantCollections: Int? = nil, memoryBytes: Int64? = nil,
        minTier: Tier? = nil
    ) async throws {
        try await call {
            try await native.host(
                capacityBytes: capacityBytes, tenantBytes: tenantBytes,
                tenantCollections: tenantCollections.map(Int64.init), memoryBytes: memoryBytes, minTier: minTier?.rawValue,
                cancel: $0)
        }
    }

    /// Ends that. What is kept stays on the disk.
    public func stopHosting() async throws {
        try await call { try await native.stopHosting(cancel: $0) }
    }

    /// What this node keeps, and for whom; `nil` when it does not host.
    public func hosted() async throws -> HostedVectors? {
        try await call { try await native.hosted(cancel: $0) }
    }

    /// Forgets everything that is kept for one owner, a DID or a PeerId.
    public func evict(owner: String) async throws {
        try await call { try await native.evict(owner: owner, cancel: $0) }
    }

    /// Makes a collection at its hosts, under a new key.
    ///
    /// `hosts` are PeerIds, DIDs, or `here` for this node: 1 to 16 with a copy each under `plain` and `seal`, twice `colluding` and one
    /// more, 16 at most, under `split`. `colluding` is how many of them may work together and still learn nothing, 1 unless set.
    /// Vectors are compared by their cosine unless `metric` says otherwise.
    ///
    /// With an empty list independent hosts are found, as by `discover`: `replicas` of them, or as many as are needed and one to
    /// spare.
    public func create(
        name: String, dimension: Int, privacy: Privacy, hosts: [String], metric: Metric? = nil, colluding: Int? = nil,
        replicas: Int? = nil, freeBytes: Int64? = nil, minTier: Tier? = nil, distinctNetworks: Bool? = nil
    ) async throws -> VectorCollection {
        try await call {
            VectorCollection(
                try await native.create(
                    name: name, dimension: Int64(dimension), privacy: privacy.rawValue, hosts: hosts, metric: metric?.rawValue,
                    colluding: colluding.map(Int64.init), replicas: replicas.map(Int64.init), freeBytes: freeBytes,
                    minTier: minTier?.rawValue, distinctNetworks: distinctNetworks, cancel: $0))
        }
    }

    /// The nodes that say that they host, each as it answered just now; those that can be used first, the fastest of them first.
    /// Each must have `freeBytes` left, 16 MiB unless set, and `minTier`, the policy's minimum of `store_vectors` unless set.
    public func discover(
        freeBytes: Int64? = nil, minTier: Tier? = nil, distinctNetworks: Bool? = nil
    ) async throws -> [HostOffer] {
        try await call {
            try await native.discover(
                freeBytes: freeBytes, minTier: minTier?.rawValue, distinctNetworks: distinctNetworks, cancel: $0)
        }
    }

    /// Attacks what the hosts keep of a collection, beside copies that must fall to the same attacks. It needs 128 sealed vectors,
    /// and takes minutes at the largest dimensions.
    public func audit(name: String) async throws -> AuditReport {
        try await call { try await native.audit(name: name, cancel: $0) }
    }

    /// Opens a collection that was made before. While it is open, the same name returns the same one.
    public func open(name: String) async throws -> VectorCollection {
        try await call { VectorCollection(try await native.open(name: name, cancel: $0)) }
    }

    /// Measures searches on this machine, at the first of `hosts` and at all of them, one row for each. It begins with the first
    /// step that is asked for.
    ///
    /// `sizes` are numbers of vectors, 1,000 and 10,000 unless set and 100,000 at most, of 384 dimensions unless set. `split` needs
    /// three hosts; without `privacies` all are measured that are possible. The random vectors of a `seed` are always the same, and each
    /// row asks 100 `questions` unless set. What is made at the hosts is deleted again, also when the stream is left early.
    public func benchmark(
        sizes: [Int]? = nil, dimension: Int? = nil, privacies: [Privacy]? = nil, hosts: [String]? = nil, questions: Int? = nil,
        seed: Int64? = nil
    ) -> EventStream<BenchmarkStep> {
        EventStream { [native] in
            let stream = try await call {
                try await native.benchmark(
                    sizes: sizes.map { $0.map(Int64.init) }, dimension: dimension.map(Int64.init),
                    privacies: privacies.map { $0.map(\.rawValue) }, hosts: hosts, questions: questions.map(Int64.init), seed: seed,
                    cancel: $0)
            }
            return .init(
                next: {
                    let batch = try await call { try await stream.nextBatch(max: batchSize, cancel: $0) }
                    return batch.map { ($0.values, $0.missed) }
                },
                stop: { stream.cancel() })
        }
    }

    /// What this machine says of itself, so that `VectorCollection.exportKeyTo` can encrypt a key to it. It is no secret.
    public func device() async throws -> String {
        try await call { try await native.device(cancel: $0) }
    }

    /// The PeerIds of the nodes that say in the DHT that they have a record of a collection. What they have is worth nothing without
    /// the collection's key.
    public func resolve(collectionId: String) async throws -> [String] {
        try await call { try await native.resolve(collectionId: collectionId, cancel: $0) }
    }

    /// Makes a collection one of this node, whose key another machine has exported and which that machine may have lost.
    ///
    /// The key opens with the `passphrase`, or, when it was exported to this machine, with the DID of the node that did it as
    /// `exportedBy`. What the hosts keep is found, checked, and sealed anew under a key that no other machine has, at the same hosts
    /// or at `hosts`. With `partial` it is recovered without payloads that no host has.
    public func recover(
        name: String, exported: String, passphrase: String? = nil, exportedBy: String? = nil, hosts: [String]? = nil,
        partial: Bool? = nil
    ) async throws -> VectorCollection {
        try await call {
            VectorCollection(
                try await native.recover(
                    name: name, exported: exported, passphrase: passphrase, exportedBy: exportedBy, hosts: hosts,
                    partial: partial, cancel: $0))
        }
    }

    /// Serves a page on loopback for whoever is on this machine: who keeps how much here, and how much room is left. The `port` is
    /// 7432 unless set, and 0 takes any that is free. It ends with what is returned, and with the node.
    public func console(port: Int? = nil) async throws -> HostConsole {
        try await call { HostConsole(try await native.console(port: port.map(Int64.init), cancel: $0)) }
    }

    /// The names of the collections of this node.
    public func collections() async throws -> [String] {
        try await call { try await native.collections(cancel: $0) }
    }

    /// Forgets a collection, here and at its hosts. When a host cannot be reached it stays, and can be destroyed again.
    public func destroy(name: String) async throws {
        try await call { try await native.destroy(name: name, cancel: $0) }
    }
}
