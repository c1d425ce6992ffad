"""What the network costs: NN1 to NN5, and a plot of the DHT beside hivemind's.

Nodes of PyPI's hivemind run in the same minutes as ours, in turn with them. `BENCH_RUNS` says how often. Writes
`target/bench/net.jsonl` and `target/bench/net.svg`.
"""

from __future__ import annotations

import json
import os
from math import log10
from statistics import median
from typing import Any

from measure import ROOT, RUNS, line, program, results

JUDGE = ROOT / "tests" / "judges" / "hivemind"


def run(bench: str, *arguments: str) -> dict[str, Any]:
    return results(bench, *arguments)[-1]


def spread(values: list[float]) -> float:
    return round((max(values) - min(values)) / median(values), 3)


def percentile(values: list[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def dht(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The medians over runs of the median and the 99th percentile of a run's times."""
    names = ["store or get, the worse median / hivemind's", "store, 99th percentile / hivemind's", "get, 99th percentile / hivemind's"]
    bars = [0.5, 1.0, 1.0]
    if "skipped" in found:
        return [{**line("NN1", part, name, 0, "ratio", bar, "lower", runs=0), "skipped": found["skipped"]}
                for part, (name, bar) in enumerate(zip(names, bars), 1)]
    rounds = found["rounds"]

    def times(what: str, percent: float) -> list[float]:
        return [percentile(round[what], percent) for round in rounds]

    def ratio(part: int, name: str, bar: float, what: str, percent: float) -> dict[str, Any]:
        ours, theirs = times(what, percent), times(f"their_{what}", percent)
        return line("NN1", part, name, median(ours) / median(theirs), "ratio", bar, "lower", peer="hivemind 1.1.12, five nodes each",
                    peer_value=round(median(theirs), 3), own_value=round(median(ours), 3), spread=spread(ours))

    worse = max((ratio(1, names[0], bars[0], what, 50) for what in ("stores", "gets")), key=lambda row: row["value"])
    return [worse, ratio(2, names[1], bars[1], "stores", 99), ratio(3, names[2], bars[2], "gets", 99)]


def server(found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for place, (how, text) in enumerate({"single": "one in a call", "batched": "64 in a call"}.items()):
        for part, (what, bar) in enumerate({"stores": 5_000, "finds": 10_000}.items(), 1):
            values = found[how][what]
            alone = round(2 * median(found[how][f"{what}_of_a_cpu"]))
            rows.append(line("NN2", 2 * place + part, f"{what}, {text}, the callers on the same {os.cpu_count()} cores", median(values), "1/s", bar,
                             "higher", spread=spread(values), two_cores_alone=alone))
    return rows


def others(bench: str) -> list[dict[str, Any]]:
    slow, streams, memory = run(bench, "line"), run(bench, "streams", str(RUNS)), run(bench, "memory")
    calls, round_trips = slow["calls"], slow["round_trips"]
    call = line("NN3", 1, "a call on a warm connection / a round trip of 100 ms", median(calls) / median(round_trips), "ratio", 1.1, "lower",
                peer="an echo over bare TCP on the same line", peer_value=median(round_trips), own_value=median(calls), runs=len(calls), spread=spread(calls))
    if min(calls) < 0.9 * min(round_trips):
        call["skipped"] = "a call went past the slow line"
    return [
        call,
        line("NN4", 1, "raw stream / libp2p-stream, TCP, noise, yamux", median(streams["ours"]) / median(streams["plain"]), "ratio", 0.9, "higher",
             peer="libp2p-stream 0.5, MiB/s", peer_value=median(streams["plain"]), own_value=median(streams["ours"]), spread=spread(streams["ours"])),
        line("NN5", 1, "memory of an idle node", memory["idle_mib"], "MiB", 25, "lower", runs=1),
        line("NN5", 2, f"the same with {memory['connections']:,} connections", memory["busy_mib"], "MiB", 200, "lower", runs=1),
    ]


def plot(found: dict[str, Any]) -> str:
    """Each store and get as a point: ours and hivemind's, on a logarithmic scale of milliseconds."""
    rows = {"store": ("stores", "their_stores"), "get": ("gets", "their_gets")}
    decades, left, wide = (0.1, 1, 10, 100), 70, 520

    def place(ms: float) -> float:
        steps = len(decades) - 1
        return left + wide * min(max(log10(ms / decades[0]), 0), steps) / steps

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="640" height="190" font-family="sans-serif" font-size="12">']
    for ms in decades:
        parts.append(f'<line x1="{place(ms)}" x2="{place(ms)}" y1="20" y2="160" stroke="#ddd"/><text x="{place(ms)}" y="178" text-anchor="middle">{ms} ms</text>')
    for index, (title, names) in enumerate(rows.items()):
        for side, (name, colour, who) in enumerate(zip(names, ("#1f6f4a", "#d98c3f"), ("kwaainet", "hivemind"))):
            y = 38 + 66 * index + 30 * side
            parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{who}</text>')
            for round in found.get("rounds", []):
                parts += [f'<circle cx="{place(ms):.1f}" cy="{y}" r="2" fill="{colour}" fill-opacity="0.25"/>' for ms in round[name]]
        parts.append(f'<text x="{left + wide}" y="{34 + 66 * index}" text-anchor="end" font-weight="bold">{title}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    bench = program("net")
    beside = run(bench, "dht", str(JUDGE), str(RUNS))
    rows = [*dht(beside), *server(run(bench, "server")), *others(bench)]
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "net.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "net.svg").write_text(plot(beside))
    print(f"{'id':4} {'what':64} {'value':>10} {'unit':6} {'bar':>7} {'ours':>10} {'peer':>10}")
    for row in rows:
        peer = "" if row["peer_value"] is None else f"{row['own_value']:10.2f} {row['peer_value']:10.2f}"
        print(f"{row['id']:4} {row['name']:64} {row['value']:10.3f} {row['unit']:6} {row['bar']:7} {peer}" + (f"  skipped: {row['skipped']}" if "skipped" in row else ""))


if __name__ == "__main__":
    main()
