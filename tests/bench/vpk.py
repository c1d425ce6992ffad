"""What private knowledge costs: VP1 to VP11, and a plot of the times.

`BENCH_VECTORS` are searched in dimension 384, 50,000 unless set, and `BENCH_PARTS` chooses among `index`, `private` and `nodes`. Writes
`target/bench/vpk.jsonl`, with a plot of each part beside it. `nodes` is each mode at 1 to 11 hosts, near and far, for each of the
`BENCH_SIZES`; it has no measures of its own, and writes `vpk-nodes.jsonl`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import index
import measure
from measure import ROOT, program, results

VECTORS = int(os.environ.get("BENCH_VECTORS", "50000"))
SIZES = [int(size) for size in os.environ.get("BENCH_SIZES", "1000,10000").split(",")]
DIMENSION = 384
#: Each figure is a median of so many questions, as in `kwaai-core/benches/vpk.rs`.
QUESTIONS = 20
#: How many answers are changed in each mode.
TRIALS = 10_000
line = partial(measure.line, runs=QUESTIONS)


def run(bench: str, vectors: int) -> dict[str, dict[str, Any]]:
    """The cases: one host under `seal`, one of three under `split`, five nodes."""
    seal, split, nodes = results(bench, str(vectors), str(DIMENSION))
    return {"seal": seal, "split": split, "nodes": nodes}


def skipped(id: str, part: int, name: str, unit: str, bar: float, reason: str, better: str = "lower") -> dict[str, Any]:
    return {**line(id, part, name, 0, unit, bar, better, runs=0), "skipped": reason}


def rows(small: dict[str, dict[str, Any]], full: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for part, (cases, bar) in enumerate([(small, 150), (full, 600)], 1):
        seal = cases["seal"]
        name = f"Seal, the host's time for {seal['vectors']:,} x {seal['dimension']}, one thread"
        # A time counts when every score was right.
        wrong = {"skipped": f"{seal['wrong_scores']} scores were wrong"} if seal["wrong_scores"] else {}
        found.append({**line("VP5", part, name, seal["host_ms"], "ms", bar, "lower"), **wrong})
    seal, split, nodes = full["seal"], full["split"], full["nodes"]
    found.append(line("VP6", 1, "Seal, a question", seal["query_bytes"] / 1000, "KB", 120, "lower"))
    found.append(line("VP6", 2, "Seal, a reply", seal["reply_bytes"] / 1000, "KB", 500, "lower"))
    recall = min(seal["recall_at_10"], split["recall_at_10"])
    found.append(line("VP7", 1, "recall@10 against exact f32, the worse of Seal and Split", recall, "ratio", 0.99, "higher"))
    name = "Split, 5 nodes on loopback, one 500 ms late, one lying"
    found.append(line("VP8", 1, f"{name}: latency", nodes["latency_ms"], "ms", 150, "lower"))
    found.append(line("VP8", 2, f"{name}: right", float(nodes["right"]), "yes", 1, "higher"))
    found.append(line("VP8", 3, f"{name}: named", float(nodes["liar_named"]), "yes", 1, "higher"))
    found.append(tampering())
    return found


def tampering() -> dict[str, Any]:
    """VP11: answers of hosts that were changed, in the tests that change them; the worse of both modes."""
    command = ["cargo", "test", "--workspace", "--locked", "--lib", "whatever_a_host_changes", "--", "--nocapture"]
    environment = {**os.environ, "KWAAINET_TAMPER_TRIALS": str(TRIALS)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    counts = [(int(noticed), int(trials)) for noticed, trials in re.findall(r"tampering under \w+: (\d+) of (\d+) noticed", done.stdout)]
    if len(counts) != 2:
        return skipped("VP11", 1, "tampering detected", "%", 100, f"the tests ended with {done.returncode}", "higher")
    share = min(100 * noticed / trials for noticed, trials in counts)
    return line("VP11", 1, f"tampering detected in {TRIALS:,} trials, the worse of Seal and Split", share, "%", 100, "higher", runs=TRIALS)


def plot(full: dict[str, dict[str, Any]]) -> str:
    """Bars of the times of a question, for each mode: asking, the host, opening."""
    colours = {"ask_ms": "#7a9fd0", "host_ms": "#1f6f4a", "open_ms": "#d98c3f"}
    titles = {"ask_ms": "asking", "host_ms": "host", "open_ms": "opening"}
    cases = [full["seal"], full["split"]]
    most = max(sum(case[part] for part in colours) for case in cases)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="640" height="150" font-family="sans-serif" font-size="12">']
    for place, (part, colour) in enumerate(colours.items()):
        parts.append(f'<rect x="{60 + 110 * place}" y="12" width="10" height="10" fill="{colour}"/><text x="{75 + 110 * place}" y="21">{titles[part]}</text>')
    for row, case in enumerate(cases):
        left, y = 60.0, 40 + 45 * row
        parts.append(f'<text x="50" y="{y + 20}" text-anchor="end">{case["mode"]}</text>')
        for part, colour in colours.items():
            wide = 480 * case[part] / most
            parts.append(f'<rect x="{left:.1f}" y="{y}" width="{wide:.1f}" height="30" fill="{colour}"/>')
            left += wide
        parts.append(f'<text x="{left + 6:.1f}" y="{y + 20}">{sum(case[part] for part in colours):.1f} ms</text>')
    return "\n".join([*parts, "</svg>\n"])


def plot_of_nodes(rows: list[dict[str, Any]]) -> str:
    """Bars of the searches of the largest size, those of far hosts behind those of near ones."""
    rows = [row for row in rows if row["vectors"] == max(SIZES)]
    far = {(row["mode"], row["hosts"], row["colluding"]): row for row in rows if row["round_trip_ms"]}
    near = {(row["mode"], row["hosts"], row["colluding"]): row for row in rows if not row["round_trip_ms"]}
    most = max(row["p50_ms"] for row in rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{30 + 24 * len(far)}" font-family="sans-serif" font-size="12">']
    for at, (case, row) in enumerate(far.items()):
        mode, hosts, colluding = case
        y = 14 + 24 * at
        title = f"{mode}, {hosts} hosts" + (f", t = {colluding}" if colluding else "")
        parts.append(f'<text x="170" y="{y + 13}" text-anchor="end">{title}</text>')
        for kept, colour in [(row, "#7a9fd0"), (near[case], "#1f6f4a")]:
            parts.append(f'<rect x="180" y="{y}" width="{400 * kept["p50_ms"] / most:.1f}" height="16" fill="{colour}"/>')
        wide = 400 * max(row["p50_ms"], near[case]["p50_ms"]) / most
        parts.append(f'<text x="{186 + wide:.1f}" y="{y + 13}">{near[case]["p50_ms"]:.0f} and {row["p50_ms"]:.0f} ms</text>')
    return "\n".join([*parts, "</svg>\n"])


def nodes(bench: str, out: Path) -> None:
    """Each mode at several hosts, near and far, as a table and a plot."""
    found = [row for size in SIZES for row in results(bench, "nodes", str(size), str(DIMENSION))]
    short = [row for row in found if row["p50_ms"] < 0.9 * row["round_trip_ms"]]
    if short:
        raise SystemExit(f"some questions went past the slow lines: {short}")
    (out / "vpk-nodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    (out / "vpk-nodes.svg").write_text(plot_of_nodes(found))
    print(f"{'mode':6} {'hosts':>5} {'t':>2} {'vectors':>8} {'round trip':>10} {'p50':>8} {'p99':>8} {'recall':>7} {'durable':>9} {'searchable':>10}")
    for row in found:
        times = [f"{row[kind]:.1f}" for kind in ("round_trip_ms", "p50_ms", "p99_ms")]
        print(f"{row['mode']:6} {row['hosts']:5} {row['colluding']:2} {row['vectors']:8,} {times[0]:>10} {times[1]:>8} {times[2]:>8} "
              f"{row['recall_at_10']:7.3f} {row['durable_ms'] / 1000:8.2f}s {row['searchable_ms'] / 1000:9.2f}s")


def main() -> None:
    bench = program("vpk", "--features", "vpk")
    parts = os.environ.get("BENCH_PARTS", "index,private,nodes").split(",")
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    found = []
    if "index" in parts:
        lines, medians = index.rows(bench, VECTORS, DIMENSION)
        found += lines
        if medians:
            (out / "vpk-index.svg").write_text(index.plot(medians))
    if "private" in parts:
        small, full = run(bench, VECTORS // 5), run(bench, VECTORS)
        found += rows(small, full)
        (out / "vpk.svg").write_text(plot(full))
    if "nodes" in parts:
        nodes(bench, out)
    if not found:
        return
    (out / "vpk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    print(f"{'id':4} {'what':88} {'value':>10} {'unit':6} {'bar':>6}")
    for row in found:
        print(f"{row['id']:4} {row['name']:88} {row['value']:10.3f} {row['unit']:6} {row['bar']:6}" + (f"  skipped: {row['skipped']}" if "skipped" in row else ""))


if __name__ == "__main__":
    main()
