import Foundation
import KwaaiNetNative

/// Vectors with ids and payloads, at hosts that cannot read them.
public final class VectorCollection: Sendable {
    let native: NativeCollection

    init(_ native: NativeCollection) {
        self.native = native
    }

    /// The name under which this node has it.
    public var name: String { native.name() }

    /// The id by which hosts know it.
    public var id: String { native.id() }

    /// What it is, as it was made.
    public var config: CollectionConfig { native.config() }

    /// What its hosts learn.
    public var leakage: Leakage { native.leakage() }

    /// How it stands.
    public func stats() async throws -> CollectionStats {
        try await call { try await native.stats(cancel: $0) }
    }

    /// Puts vectors in, all or none; those with an id that is there replace it.
    ///
    /// `vectors` has a row for each id, as `ShardEngine.embed` returns them; ids are at most 2^53 - 1. `payloads` come back with the
    /// vectors, and by `metadata`, each a JSON object, hits can be chosen; both are as many as there are ids. What was put in is
    /// durable and found when this returns, and goes to the hosts when there is enough of it, or at `flush`.
    public func upsert(
        ids: [Int64], vectors: Matrix, payloads: [Data?]? = nil, metadata: [String?]? = nil
    ) async throws {
        try await call {
            try await native.upsert(ids: ids, vectors: vectors.native, payloads: payloads, metadata: metadata, cancel: $0)
        }
    }

    /// Takes vectors out, with their payloads, and returns how many there were. The hosts keep their numbers until the segment is
    /// empty, or `rotate` leaves them out.
    @discardableResult
    public func delete(ids: [Int64]) async throws -> Int64 {
        try await call { try await native.delete(ids: ids, cancel: $0) }
    }

    /// The `k` vectors that are most like this one, 10 unless set, among those whose metadata have all the values of `filter`, a JSON
    /// object. Hosts are not told of the filter, nor, but under `plain`, of what was found.
    public func search(vector: [Float], k: Int? = nil, filter: String? = nil) async throws -> FoundVectors {
        try await call {
            try await native.search(
                vector: Matrix(rows: 1, columns: vector.count, values: vector).native, k: k.map(Int64.init), filter: filter,
                cancel: $0)
        }
    }

    /// Seals what is buffered and brings everything to the hosts. Nothing is lost when that fails.
    public func flush() async throws {
        try await call { try await native.flush(cancel: $0) }
    }

    /// Fetches everything from the hosts and checks it; as much traffic as bringing it there was. Flush before: what waits for a
    /// host is missing there.
    public func verify() async throws -> [HostReport] {
        try await call { try await native.verify(cancel: $0) }
    }

    /// Verifies what the hosts have, and puts others in the place of those that are lost or lie: those of `hosts` in their order, or
    /// ones that are found. Everything is sealed anew under a new key. Searches go on meanwhile.
    public func repair(hosts: [String]? = nil) async throws -> Repair {
        try await call { try await native.repair(hosts: hosts, cancel: $0) }
    }

    /// Seals everything anew under a new key, without what was deleted. The hosts need room for both meanwhile.
    public func rotate() async throws {
        try await call { try await native.rotate(cancel: $0) }
    }

    /// The recovery key, as a text that opens with a passphrase, for a backup or `Vpk.recover` on another machine. It is good over
    /// repairs and whatever is put in, until the next `rotate`.
    public func exportKey(passphrase: String) async throws -> String {
        try await call { try await native.exportKey(passphrase: passphrase, cancel: $0) }
    }

    /// The same, as a text that opens on one machine alone: the one that said by `Vpk.device` who it is.
    public func exportKeyTo(device: String) async throws -> String {
        try await call { try await native.exportKeyTo(device: device, cancel: $0) }
    }

    /// Lets go of the collection, which stays, here and at its hosts.
    public func shutdown() async throws {
        native.shutdown()
    }

    /// Forgets the collection, here and at its hosts. A copy that a host keeps is worth nothing without the key.
    public func destroy() async throws {
        try await call { try await native.destroy(cancel: $0) }
    }
}
