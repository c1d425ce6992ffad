"""The NAT laboratory: two nodes behind routers of every kind, two public relays, and what comes of it.

Needs Linux, root, iproute2 and nftables; `make nat-lab` builds the node and runs this. Each scenario makes its own network
of namespaces, all named `kn-…`, and takes it away again. The last line says how many scenarios passed, failed and were
skipped.
"""

import os
import queue
import shutil
import subprocess
import sys
import threading
import time

NODE = sys.argv[1]
RELAYED_WITHIN = 5.0
SPARE_WITHIN = 10.0
UPGRADE_WITHIN = 12.0
MOVED_WITHIN = 10.0
SLOW_MS = 8000
RELAYS = {"r1": 11, "r2": 12}

# Which kinds of routers the two nodes are behind, and whether a direct connection is possible between them.
SCENARIOS = [
    ("full cone", "full", "full", True),
    ("port-restricted", "restricted", "restricted", True),
    ("port-restricted and symmetric", "restricted", "symmetric", False),
    ("symmetric", "symmetric", "symmetric", False),
    ("symmetric and full cone", "symmetric", "full", True),
    ("double NAT", "double", "double", True),
    ("UDP blocked", "no-udp", "no-udp", True),
    ("IPv6 only, behind firewalls", "v6", "v6", True),
]


class Skipped(Exception):
    pass


def sh(*words, stdin=None):
    done = subprocess.run(words, input=stdin, text=True, capture_output=True)
    if done.returncode:
        raise Skipped(f"`{' '.join(words)}`: {done.stderr.strip() or done.returncode}")
    return done.stdout


def inside(space, *words, stdin=None):
    return sh("ip", "netns", "exec", f"kn-{space}", *words, stdin=stdin)


def clear():
    for line in subprocess.run(["ip", "netns", "list"], text=True, capture_output=True).stdout.splitlines():
        if line.startswith("kn-"):
            subprocess.run(["ip", "netns", "del", line.split()[0]], capture_output=True)


def make(space, forwards=False):
    sh("ip", "netns", "add", f"kn-{space}")
    inside(space, "ip", "link", "set", "lo", "up")
    inside(space, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    if forwards:
        inside(space, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


def link(one, two, one_name, two_name):
    sh("ip", "link", "add", one_name, "netns", f"kn-{one}", "type", "veth", "peer", "name", two_name, "netns", f"kn-{two}")
    for space, name in ((one, one_name), (two, two_name)):
        inside(space, "ip", "link", "set", name, "up")


def number(space, name, *addresses):
    for address in addresses:
        extra = ["nodad"] if ":" in address else []
        inside(space, "ip", "address", "add", address, "dev", name, *extra)


def public(space, last):
    """A machine of the internet, at 11.0.0.LAST and 2a00:1::LAST."""
    link(space, "net", "wan", f"p-{space}")
    inside("net", "ip", "link", "set", f"p-{space}", "master", "bridge0")
    number(space, "wan", f"11.0.0.{last}/24", f"2a00:1::{last}/64")


MASQUERADE = """add table ip nat
add chain ip nat outwards { type nat hook postrouting priority 100; }
add rule ip nat outwards oifname "wan" masquerade"""
# Without this a router would refuse what it does not know, which ends the other side's attempt.
SILENT = """
add table inet quiet
add chain inet quiet here { type filter hook input priority 0; }
add rule inet quiet here iifname "wan" ct state new meta l4proto { tcp, udp } drop"""
THROUGH = """
add table inet guard
add chain inet guard through { type filter hook forward priority 0; }
add rule inet guard through """

RULES = {
    "full": MASQUERADE + """
add chain ip nat inwards { type nat hook prerouting priority -100; }
add rule ip nat inwards iifname "wan" dnat to HOST""",
    "restricted": MASQUERADE + SILENT,
    "symmetric": MASQUERADE + " fully-random" + SILENT,
    "no-udp": MASQUERADE + SILENT + THROUGH + "meta l4proto udp drop",
    "v6": SILENT + THROUGH + 'iifname "wan" ct state new meta l4proto { tcp, udp } drop',
}


def router(space, kind, wan_gateway, host):
    if wan_gateway:
        inside(space, "ip", "route", "add", "default", "via", wan_gateway)
    inside(space, "nft", "-f", "-", stdin=RULES[kind].replace("HOST", host) + "\n")


def home(name, kind, index):
    """A node's machine behind its router or routers."""
    outer = f"n{name}"
    make(outer, forwards=True)
    public(outer, 20 + index)
    make(name)
    if kind == "v6":
        link(outer, name, "lan", "wan")
        number(outer, "lan", f"2a00:10{index}::1/64")
        number(name, "wan", f"2a00:10{index}::2/64")
        inside(name, "ip", "-6", "route", "add", "default", "via", f"2a00:10{index}::1")
        router(outer, kind, None, "")
        return
    behind, lan = outer, f"192.168.{index}"
    if kind == "double":
        inner = f"m{name}"
        make(inner, forwards=True)
        link(outer, inner, "lan", "wan")
        number(outer, "lan", f"{lan}.1/24")
        number(inner, "wan", f"{lan}.2/24")
        router(inner, "restricted", f"{lan}.1", "")
        behind, lan = inner, f"10.0.{index}"
    link(behind, name, "lan", "wan")
    number(behind, "lan", f"{lan}.1/24")
    number(name, "wan", f"{lan}.2/24")
    inside(name, "ip", "route", "add", "default", "via", f"{lan}.1")
    router(outer, "restricted" if kind == "double" else kind, None, f"{lan}.2")


# A closed port that answers shows that the way is open.
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), 1)
except ConnectionRefusedError:
    sys.exit(0)
except OSError as error:
    sys.exit(str(error))
"""


def until_open(space, ip):
    """Waits until the relay's machine is reached: IPv6 looks for its neighbours first, and a router drops what comes meanwhile."""
    for attempt in range(10):
        try:
            return inside(space, sys.executable, "-c", KNOCK, ip)
        except Skipped:
            if attempt == 9:
                raise
            time.sleep(0.5)


class Node:
    def __init__(self, space, *arguments):
        words = ["ip", "netns", "exec", f"kn-{space}", NODE, *arguments]
        log = open(f"/tmp/nat-lab-{space}.log", "w")
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.space, self.lines, self.seen = space, queue.Queue(), []
        threading.Thread(target=self.read, daemon=True).start()
        self.peer = self.wait("peer", 10)[1]

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.split())

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait(self, first, seconds, *others):
        """The next line that begins so; what came in between is kept, and `None` stands for nothing."""
        for i, words in enumerate(self.seen):
            if words[0] in (first, *others):
                return self.seen.pop(i)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                words = self.lines.get(timeout=left)
            except queue.Empty:
                break
            if words and words[0] in (first, *others):
                return words
            self.seen.append(words)
        return None

    def kill(self):
        self.process.kill()
        self.process.wait()


def addresses_of(node):
    node.say("addresses")
    return (node.wait("addresses", 5) or ["addresses"])[1:]


def try_call(node, peer, seconds):
    """How long it took until a call was answered, over which kind of way, and at which address."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        node.say(f"call {peer}")
        words = node.wait("answered", seconds, "failed")
        if words and words[0] == "answered":
            return time.monotonic() - began, words[3], words[4]
        time.sleep(0.2)
    return None, None, None


def scenario(kind_a, kind_b, direct_expected):
    """Measures one pair; returns the cells of its row and what is wrong."""
    nodes, wrong = [], []
    make("net")
    inside("net", "ip", "link", "add", "bridge0", "type", "bridge")
    inside("net", "ip", "link", "set", "bridge0", "up")
    v6 = kind_a == "v6"
    for space, last in RELAYS.items():
        make(space)
        public(space, last)
    home("a", kind_a, 1)
    home("b", kind_b, 2)
    if v6:
        for space in (*RELAYS, "na", "nb"):
            for index, gateway in ((1, "na"), (2, "nb")):
                if space != gateway:
                    inside(space, "ip", "-6", "route", "add", f"2a00:10{index}::/64", "via", f"2a00:1::{20 + index}")
    try:
        at = {space: f"/ip6/2a00:1::{last}" if v6 else f"/ip4/11.0.0.{last}" for space, last in RELAYS.items()}
        for space in ("a", "b"):
            for ip in at.values():
                until_open(space, ip.split("/")[2])
        listen = lambda ip: [f"listen={ip}/tcp/4001", f"listen={ip}/udp/4001/quic-v1"]
        relays = {space: Node(space, f"public={at[space].split('/')[2]}", *listen(at[space])) for space in RELAYS}
        nodes.extend(relays.values())
        tcp = [f"{at[space]}/tcp/4001/p2p/{relays[space].peer}" for space in RELAYS]
        quic = [f"{at[space]}/udp/4001/quic-v1/p2p/{relays[space].peer}" for space in RELAYS]
        own = listen("/ip6/::" if v6 else "/ip4/0.0.0.0")
        known = [f"bootstrap={tcp[0]}", f"bootstrap={quic[1]}", f"bootstrap={tcp[1]}"]
        b = Node("b", *own, *known, f"relay={tcp[0]}", f"relay={tcp[1]}")
        a = Node("a", *own, *known)
        nodes.extend((b, a))
        # What a node finds out about its router takes a few seconds; only then is what it announces worth dialling.
        deadline = time.monotonic() + 20
        verdict = None
        while time.monotonic() < deadline:
            words = b.wait("verdict", 0.5)
            verdict = words[1] if words else verdict
            circuits = [address for address in addresses_of(b) if "p2p-circuit" in address]
            if verdict == "public" or (verdict == "private" and len(circuits) >= 2):
                break
        began = time.monotonic()
        a.say(f"slow {b.peer} {SLOW_MS}")
        first, way, _ = try_call(a, b.peer, 20)
        if first is None or first > RELAYED_WITHIN:
            wrong.append(f"no answer within {RELAYED_WITHIN:.0f} s")
        upgraded = None
        if way == "relayed" and (a.wait("direct", UPGRADE_WITHIN)):
            upgraded = time.monotonic() - began
        slow = a.wait("slow-answered", 20, "failed")
        kept = bool(slow and slow[0] == "slow-answered")
        if not kept:
            wrong.append(f"the call under way was lost: {' '.join(slow or ['no answer'])}")
        _, later, at_last = try_call(a, b.peer, 10)
        if direct_expected and later != "direct":
            wrong.append("no direct connection")
        spare = None
        if later == "relayed":
            next(relay for relay in relays.values() if f"{relay.peer}/p2p-circuit" in at_last).kill()
            spare, _, _ = try_call(a, b.peer, 20)
            if spare is None or spare > SPARE_WITHIN:
                wrong.append(f"the spare relay did not take over within {SPARE_WITHIN:.0f} s")
        seconds = lambda value: "-" if value is None else f"{value:.1f} s"
        cells = [verdict or "unknown", seconds(first), way or "-", seconds(upgraded), later or "-", "yes" if kept else "no"]
        return [*cells, seconds(spare)], wrong
    finally:
        for node in nodes:
            node.kill()


def moving(transport):
    """A node gets another address while it is connected; both sides go on calling each other."""
    nodes, wrong = [], []
    make("net")
    inside("net", "ip", "link", "add", "bridge0", "type", "bridge")
    inside("net", "ip", "link", "set", "bridge0", "up")
    for space, last in (("a", 31), ("b", 32)):
        make(space)
        public(space, last)
    until_open("a", "11.0.0.32")
    try:
        tail = "tcp/4001" if transport == "TCP" else "udp/4001/quic-v1"
        b = Node("b", f"listen=/ip4/0.0.0.0/{tail}")
        a = Node("a", f"listen=/ip4/0.0.0.0/{tail}", f"bootstrap=/ip4/11.0.0.32/{tail}/p2p/{b.peer}")
        nodes.extend((a, b))
        first, way, _ = try_call(a, b.peer, 10)
        change = ("11.0.0.77/24", "11.0.0.31/24")
        inside("a", "ip", "address", "add", change[0], "dev", "wan")
        inside("a", "ip", "address", "del", change[1], "dev", "wan")
        # Where the first goes, the kernel takes the second along.
        subprocess.run(["ip", "netns", "exec", "kn-a", "ip", "address", "add", change[0], "dev", "wan"], capture_output=True)
        again, later, _ = try_call(a, b.peer, MOVED_WITHIN + 5)
        back, _, _ = try_call(b, a.peer, MOVED_WITHIN + 5)
        for what, took in (("it calls", again), ("it is called", back)):
            if took is None or took > MOVED_WITHIN:
                wrong.append(f"{what} no more within {MOVED_WITHIN:.0f} s")
        if any("11.0.0.31/" in address for address in addresses_of(a)):
            wrong.append("it announces the address that it lost")
        seconds = lambda value: "-" if value is None else f"{value:.1f} s"
        return ["-", seconds(first), way or "-", "-", later or "-", "-", seconds(max(again or 99, back or 99))], wrong
    finally:
        for node in nodes:
            node.kill()


def main():
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
        print("skipped: needs root, iproute2 and nftables")
        print(f"0 passed, 0 failed, {len(SCENARIOS) + 2} skipped")
        return 0
    wanted = sys.argv[2:]
    head = ["routers", "verdict", "answer", "over", "direct after", "later", "call kept", "again after", "result"]
    rows, failed, skipped = [head], 0, 0
    measures = [(name, lambda pair=pair: scenario(*pair)) for name, *pair in SCENARIOS]
    measures += [(f"another address, {transport}", lambda transport=transport: moving(transport)) for transport in ("TCP", "QUIC")]
    for name, measure in measures:
        if wanted and not any(text in name for text in wanted):
            continue
        clear()
        try:
            cells, wrong = measure()
            failed += bool(wrong)
            rows.append([name, *cells, "; ".join(wrong) or "ok"])
        except Skipped as reason:
            skipped += 1
            rows.append([name, *["-"] * 7, f"skipped: {reason}"])
        finally:
            clear()
        print(" | ".join(rows[-1]), flush=True)
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    print()
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"{len(rows) - 1 - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
