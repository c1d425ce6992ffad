package ai.kwaai.kwaainet

import ai.kwaai.kwaainet.internal.NativeConsole

/** A page on loopback that says who keeps how much at this node, until it is shut down. */
public class HostConsole internal constructor(private val native: NativeConsole) : Handle {
    /** Where a browser on this machine finds it. */
    public val url: String = call { native.url() }

    /** Ends it. */
    override suspend fun shutdown(): Unit = call { native.shutdown() }
}
