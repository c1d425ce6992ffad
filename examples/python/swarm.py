"""Who is in the network and how this node reaches them, in a terminal.

    python examples/python/swarm.py --bootstrap /ip4/192.0.2.1/tcp/8080/p2p/12D3KooW…
    python examples/python/swarm.py --preset desktop           # the node of this machine, with what it remembers
    python examples/python/swarm.py --bootstrap … --once       # one picture, for a script

It starts a node, and shows its peers with their paths, tiers and round trips, the relays that it is reached through, and
the traffic. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

try:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError:
    sys.exit("this example draws with rich: pip install rich")

import kwaainet
from kwaainet import Metrics, Node, NodeInfo, PeerInfo

TIER_STYLE = {"trusted": "bold green", "verified": "green", "known": "yellow", "unknown": "red"}
VERDICT_STYLE = {"public": "green", "private": "yellow", "unknown": "dim"}
#: Between two pictures.
SECONDS = 1.0


def short(peer: str) -> str:
    return f"…{peer[-8:]}"


def relay_of(peer: PeerInfo) -> str | None:
    """The relay on the way to a peer: what stands before the circuit in its address."""
    for address in peer.addresses:
        before, circuit, _ = address.partition("/p2p-circuit")
        if circuit and "/p2p/" in before:
            return before.rsplit("/p2p/", 1)[1]
    return None


def path(peer: PeerInfo) -> str:
    if peer.relayed:
        relay = relay_of(peer)
        return f"through {short(relay)}" if relay else "through a relay"
    transports = {"quic" if "/quic-v1" in address else "tcp" for address in peer.addresses if "/p2p-circuit" not in address}
    return f"{' and '.join(sorted(transports))}, {peer.direction}"


def kind(peer: PeerInfo, relays: tuple[str, ...]) -> str:
    is_one = {"bootstrap": peer.bootstrap, "trusted relay": peer.trusted_relay, "our relay": peer.peer_id in relays}
    return ", ".join(name for name, it_is in is_one.items() if it_is)


def peers_table(peers: list[PeerInfo], relays: tuple[str, ...]) -> Table:
    table = Table("peer", "name", "path", "tier", "score", "round trip", "kind", title=f"{len(peers)} peers", expand=True)
    for peer in sorted(peers, key=lambda peer: (-peer.score, peer.rtt_ms or 1e9)):
        # What a peer calls itself is data: never markup, and it may be empty.
        table.add_row(
            short(peer.peer_id),
            Text(peer.name or peer.agent or "-", overflow="ellipsis", no_wrap=True),
            Text(path(peer)),
            Text(peer.tier, style=TIER_STYLE[peer.tier]),
            f"{peer.score:.3f}",
            "-" if peer.rtt_ms is None else f"{peer.rtt_ms:.1f} ms",
            kind(peer, relays),
        )
    return table


def node_table(node: Node, info: NodeInfo) -> Table:
    table = Table.grid(padding=(0, 2))
    verdict = info.reachability.verdict
    table.add_row("node", Text(f"{info.name}  {node.peer_id}"))
    table.add_row("reachable", Text.assemble((verdict, VERDICT_STYLE[verdict]), f": {info.reachability.why}"))
    table.add_row("relays", Text(", ".join(map(short, info.reachability.relays)) or "none"))
    for place, address in enumerate(info.addresses):
        table.add_row("" if place else "at", Text(address.split("/p2p/")[0]))
    return table


def value(metrics: Metrics, name: str, **attributes: str) -> float:
    """The sum of the measurements of a name; `path="x"` looks for the attribute whose last part is `path`."""
    found = 0.0
    for metric in metrics.metrics:
        own = {key.rsplit(".", 1)[-1]: value for key, value in metric.attributes.items()}
        if metric.name == name and attributes.items() <= own.items():
            found += metric.count if metric.count is not None else metric.value
    return found


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


class Traffic:
    """Bytes so far, and how many came since the last picture."""

    def __init__(self) -> None:
        self.before: tuple[float, float, float] | None = None

    def table(self, metrics: Metrics) -> Table:
        received = value(metrics, "kwaainet.network.io", direction="receive")
        sent = value(metrics, "kwaainet.network.io", direction="transmit")
        now = time.monotonic()
        rates = ("", "")
        if self.before is not None and now > self.before[0]:
            seconds = now - self.before[0]
            rates = (f", {size((received - self.before[1]) / seconds)}/s", f", {size((sent - self.before[2]) / seconds)}/s")
        self.before = (now, received, sent)
        table = Table.grid(padding=(0, 2))
        table.add_row("traffic", f"received {size(received)}{rates[0]}", f"sent {size(sent)}{rates[1]}")
        served = value(metrics, "rpc.server.call.duration")
        called = value(metrics, "rpc.client.call.duration")
        table.add_row("calls", f"served {served:.0f}", f"made {called:.0f}")
        direct, relayed = (value(metrics, "kwaainet.peers", path=name) for name in ("direct", "relayed"))
        table.add_row("paths", f"direct {direct:.0f}", f"relayed {relayed:.0f}")
        circuits = value(metrics, "kwaainet.relay.circuits")
        reserved = value(metrics, "kwaainet.relay.reservations")
        table.add_row("given as a relay", f"reservations {reserved:.0f}", f"circuits {circuits:.0f}")
        return table


async def picture(node: Node, traffic: Traffic) -> Group:
    info, peers, metrics = await asyncio.gather(node.info(), node.peers(), node.metrics())
    return Group(node_table(node, info), "", traffic.table(metrics), "", peers_table(peers, info.reachability.relays))


async def somebody(node: Node, count: int, seconds: float) -> None:
    """Waits until so many peers have said what they run, but not for ever."""
    try:
        async with asyncio.timeout(seconds), node.events() as events:
            while sum(bool(peer.agent) for peer in await node.peers()) < count:
                while not isinstance(await anext(events), kwaainet.PeerIdentified):
                    pass
    except TimeoutError:
        return


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bootstrap", action="append", default=[], metavar="ADDRESS", help="a node to join through")
    parser.add_argument("--preset", choices=["ephemeral", "desktop", "mobile", "server"], default="ephemeral")
    parser.add_argument("--name", default="swarm")
    parser.add_argument("--once", action="store_true", help="print one picture, once there are peers, and end")
    parser.add_argument("--peers", type=int, default=1, metavar="COUNT", help="how many peers --once waits for")
    parser.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help="how long --once waits for them")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, emoji=False)
    # What is not said here is left to `config.yaml` and the environment.
    bootstrap = options.bootstrap or None
    async with Node.start(preset=options.preset, name=options.name, bootstrap=bootstrap) as node:
        traffic = Traffic()
        if options.once:
            await somebody(node, options.peers, options.wait)
            console.print(await picture(node, traffic))
            return
        with Live(await picture(node, traffic), console=console, screen=True, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(SECONDS)
                live.update(await picture(node, traffic), refresh=True)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    except kwaainet.KwaaiError as error:
        sys.exit(f"{error.code}: {error}")
