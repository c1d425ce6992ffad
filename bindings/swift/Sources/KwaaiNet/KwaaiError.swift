import Foundation
import KwaaiNetNative

/// Every error of the library: a case for each of the codes that all languages share.
public enum KwaaiError: Error, Sendable {
    /// An argument, a document or a message is malformed; the same call never succeeds.
    case invalidArgument(Details)
    /// What was named does not exist.
    case notFound(Details)
    /// What was to be made exists already.
    case alreadyExists(Details)
    /// The other side, or the operating system, refuses this caller.
    case permissionDenied(Details)
    /// A peer stands below the minimum tier that this node's own policy asks for.
    case untrustedPeer(Details)
    /// A peer could not be reached.
    case unreachable(Details)
    /// The deadline passed.
    case timeout(Details)
    /// The work was cancelled from elsewhere. A task that is cancelled itself gets a `CancellationError`.
    case cancelled(Details)
    /// The handle was shut down.
    case closed(Details)
    /// Something else holds the resource just now.
    case busy(Details)
    /// A limit on memory, size, streams or storage was reached.
    case resourceExhausted(Details)
    /// Stored or received data fails its checks.
    case corruptData(Details)
    /// This build, platform or version cannot do it; the message says why.
    case unsupported(Details)
    /// The state changed underneath the call.
    case conflict(Details)
    /// The operating system reported a failure of a file or socket.
    case io(Details)
    /// A defect of the library, or an error of the app's own code that says nothing more precise.
    case `internal`(Details)

    /// What an error says beside its code. The message is for people and not part of the API.
    public struct Details: Sendable {
        public var message: String
        /// Named details, for example `file`, `peer` or `limit`.
        public var context: [String: String]
        /// The failures underneath, outermost first.
        public var cause: String?

        public init(_ message: String, context: [String: String] = [:], cause: String? = nil) {
            self.message = message
            self.context = context
            self.cause = cause
        }
    }

    /// The fixed string of the code, for example `not_found`.
    public var code: String { entry.0 }

    /// The fixed number of the code.
    public var number: Int { entry.1 }

    /// Whether the same call may succeed later without the caller changing anything.
    public var isRetryable: Bool { entry.2 }

    /// What the error says.
    public var details: Details { entry.3 }

    private var entry: (String, Int, Bool, Details) {
        switch self {
        case .invalidArgument(let details): return ("invalid_argument", 1, false, details)
        case .notFound(let details): return ("not_found", 2, false, details)
        case .alreadyExists(let details): return ("already_exists", 3, false, details)
        case .permissionDenied(let details): return ("permission_denied", 4, false, details)
        case .untrustedPeer(let details): return ("untrusted_peer", 5, false, details)
        case .unreachable(let details): return ("unreachable", 6, true, details)
        case .timeout(let details): return ("timeout", 7, true, details)
        case .cancelled(let details): return ("cancelled", 8, false, details)
        case .closed(let details): return ("closed", 9, false, details)
        case .busy(let details): return ("busy", 10, true, details)
        case .resourceExhausted(let details): return ("resource_exhausted", 11, false, details)
        case .corruptData(let details): return ("corrupt_data", 12, false, details)
        case .unsupported(let details): return ("unsupported", 13, false, details)
        case .conflict(let details): return ("conflict", 14, true, details)
        case .io(let details): return ("io", 15, false, details)
        case .internal(let details): return ("internal", 16, false, details)
        }
    }

    static func of(code: String, details: Details) -> KwaaiError {
        switch code {
        case "invalid_argument": return .invalidArgument(details)
        case "not_found": return .notFound(details)
        case "already_exists": return .alreadyExists(details)
        case "permission_denied": return .permissionDenied(details)
        case "untrusted_peer": return .untrustedPeer(details)
        case "unreachable": return .unreachable(details)
        case "timeout": return .timeout(details)
        case "cancelled": return .cancelled(details)
        case "closed": return .closed(details)
        case "busy": return .busy(details)
        case "resource_exhausted": return .resourceExhausted(details)
        case "corrupt_data": return .corruptData(details)
        case "unsupported": return .unsupported(details)
        case "conflict": return .conflict(details)
        case "io": return .io(details)
        default: return .internal(details)
        }
    }
}

extension KwaaiError: LocalizedError {
    public var errorDescription: String? { details.message }
}

/// The error of a call in its case; other errors as they are.
func typed(_ error: Error) -> Error {
    guard let native = error as? NativeError else { return error }
    switch native {
    case .Failed(let code, _, let reason, let context, _, let beneath):
        return KwaaiError.of(code: code, details: KwaaiError.Details(reason, context: context, cause: beneath))
    }
}

/// An error of the app's own code, as the library takes it.
func native(_ error: Error) -> NativeError {
    let own = error as? KwaaiError
    let text = String(describing: error)
    let failure = own ?? KwaaiError.internal(KwaaiError.Details("\(type(of: error)): \(text)", cause: text))
    return NativeError.Failed(
        code: failure.code,
        number: Int32(failure.number),
        reason: failure.details.message,
        context: failure.details.context,
        retryable: failure.isRetryable,
        beneath: failure.details.cause
    )
}
