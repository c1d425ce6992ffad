"""What private knowledge costs: VP1 to VP11, and a plot of the times.

`BENCH_VECTORS` are searched in dimension 384, 50,000 unless set. Writes `target/bench/vpk.jsonl` and `target/bench/vpk.svg`.
"""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

import measure
from measure import ROOT, program, results

VECTORS = int(os.environ.get("BENCH_VECTORS", "50000"))
DIMENSION = 384
#: Each figure is a median of so many questions, as in `kwaai-core/benches/vpk.rs`.
QUESTIONS = 20
line = partial(measure.line, runs=QUESTIONS)


def run(bench: str, vectors: int) -> dict[str, dict[str, Any]]:
    """The cases: one host under `seal`, one of three under `split`, five nodes."""
    seal, split, nodes = results(bench, str(vectors), str(DIMENSION))
    return {"seal": seal, "split": split, "nodes": nodes}


def skipped(id: str, part: int, name: str, unit: str, bar: float, reason: str, better: str = "lower") -> dict[str, Any]:
    return {**line(id, part, name, 0, unit, bar, better, runs=0), "skipped": reason}


def rows(small: dict[str, dict[str, Any]], full: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    local = "the local vector index is not measured here yet"
    found = []
    for id, parts in {
        "VP1": [("local search, p50", "ms", 1.0), ("the same / the best comparator", "ratio", 1.0)],
        "VP2": [("durable and searchable upload", "s", 2.0), ("the same / the best comparator", "ratio", 1.0)],
        "VP3": [("reopen", "ms", 50)],
    }.items():
        found += [skipped(id, part, name, unit, bar, local) for part, (name, unit, bar) in enumerate(parts, 1)]
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
    found.append(skipped("VP11", 1, "tampering detected", "%", 100, "the trials are tests of kwaai-core, in src/vpk/seal and src/vpk/split", "higher"))
    return found


def plot(full: dict[str, dict[str, Any]]) -> str:
    """Bars of the times of a question, for each mode: asking, the host, opening."""
    colours = {"ask_ms": "#7a9fd0", "host_ms": "#1f6f4a", "open_ms": "#d98c3f"}
    titles = {"ask_ms": "asking", "host_ms": "host", "open_ms": "opening"}
    cases = [full["seal"], full["split"]]
    most = max(sum(case[part] for part in colours) for case in cases)
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="640" height="150" font-family="sans-serif" font-size="12">']
    for place, (part, colour) in enumerate(colours.items()):
        parts.append(f'<rect x="{60 + 110 * place}" y="12" width="10" height="10" fill="{colour}"/><text x="{75 + 110 * place}" y="21">{titles[part]}</text>')
    for index, case in enumerate(cases):
        left, y = 60.0, 40 + 45 * index
        parts.append(f'<text x="50" y="{y + 20}" text-anchor="end">{case["mode"]}</text>')
        for part, colour in colours.items():
            wide = 480 * case[part] / most
            parts.append(f'<rect x="{left:.1f}" y="{y}" width="{wide:.1f}" height="30" fill="{colour}"/>')
            left += wide
        parts.append(f'<text x="{left + 6:.1f}" y="{y + 20}">{sum(case[part] for part in colours):.1f} ms</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    bench = program("vpk", "--features", "vpk")
    small, full = run(bench, VECTORS // 5), run(bench, VECTORS)
    found = rows(small, full)
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "vpk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    (out / "vpk.svg").write_text(plot(full))
    print(f"{'id':4} {'what':72} {'value':>10} {'unit':6} {'bar':>6}")
    for row in found:
        print(f"{row['id']:4} {row['name']:72} {row['value']:10.3f} {row['unit']:6} {row['bar']:6}" + (f"  skipped: {row['skipped']}" if "skipped" in row else ""))


if __name__ == "__main__":
    main()
