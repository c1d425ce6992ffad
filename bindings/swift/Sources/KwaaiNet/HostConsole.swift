import Foundation
import KwaaiNetNative

/// A page on loopback that says who keeps how much at this node, until it is shut down.
public final class HostConsole: Sendable {
    private let native: NativeConsole

    init(_ native: NativeConsole) {
        self.native = native
    }

    /// Where a browser on this machine finds it.
    public var url: String { native.url() }

    /// Ends it.
    public func shutdown() async throws {
        native.shutdown()
    }
}
