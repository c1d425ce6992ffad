import Foundation
import KwaaiNetNative

/// A call that waits: cancelling the task cancels the work in the library, and errors come in their cases.
func call<T: Sendable>(_ body: @Sendable (NativeCancel) async throws -> T) async throws -> T {
    let cancel = NativeCancel()
    do {
        return try await withTaskCancellationHandler {
            try await body(cancel)
        } onCancel: {
            cancel.cancel()
        }
    } catch {
        try Task.checkCancellation()
        throw typed(error)
    }
}

/// A call that does not wait.
func ask<T>(_ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch {
        throw typed(error)
    }
}

extension Duration {
    /// Whole milliseconds, rounded up so that a short span is not none at all.
    var milliseconds: Int64 {
        let (seconds, attoseconds) = components
        let perMillisecond: Int64 = 1_000_000_000_000_000
        let whole = seconds.multipliedReportingOverflow(by: 1_000)
        if whole.overflow { return seconds < 0 ? Int64.min : Int64.max }
        let rest = attoseconds / perMillisecond + (attoseconds % perMillisecond > 0 ? 1 : 0)
        let sum = whole.partialValue.addingReportingOverflow(rest)
        return sum.overflow ? Int64.max : sum.partialValue
    }
}

extension Date {
    /// The instant as the library reads it: RFC 3339 in UTC.
    var instant: String {
        let formatter = ISO8601DateFormatter()
        formatter.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        return formatter.string(from: self)
    }
}
