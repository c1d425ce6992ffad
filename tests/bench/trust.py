"""How well and how fast a node scores its peers: TG1 to TG5, and a plot of the threats.

The simulations are seeded and print one table; `BENCH_FIRST_SEED` and `BENCH_SEEDS` choose others. Credential
verification runs in turn with `openssl speed ed25519`, which verifies bare signatures on one thread. Writes
`target/bench/trust.jsonl` and `target/bench/trust.svg`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from statistics import median
from typing import Any

from measure import ROOT, RUNS, line, program, results

SEED = os.environ.get("BENCH_FIRST_SEED", "0")
SEEDS = os.environ.get("BENCH_SEEDS", "3")
METRICS = {
    "none": "no trust",
    "paper": "EigenTrust, paper",
    "eigentrust_10": "EigenTrust a=0.1",
    "eigentrust_50": "EigenTrust a=0.5",
    "ours": "kwaainet",
    "ours_bare": "without credentials",
}
COLOURS = dict(zip(METRICS, ("#999999", "#d98c3f", "#e0b84c", "#7a9fd0", "#1f6f4a", "#8fc4a5")))


def run(bench: str, *arguments: str) -> dict[str, Any]:
    return results(bench, *arguments)[-1]


def openssl() -> float:
    """Signatures verified a second."""
    done = subprocess.run(["openssl", "speed", "-seconds", "1", "ed25519"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    row = next(line for line in done.stdout.splitlines() if "Ed25519" in line)
    return float(re.findall(r"[\d.]+", row.split(")")[-1])[-1])


def verification(bench: str) -> dict[str, Any]:
    name, text = "credential verify / raw Ed25519 verify", "one thread"
    if shutil.which("openssl") is None:
        return {**line("TG1", 1, name, 0, "ratio", 0.8, "higher"), "skipped": "openssl is not installed"}
    ours, theirs = [], []
    for _ in range(RUNS):
        ours.append(run(bench, "verify")["per_second"])
        theirs.append(openssl())
    version = subprocess.run(["openssl", "version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    return line("TG1", 1, name, median(ours) / median(theirs), "ratio", 0.8, "higher", peer=f"{version}, {text}",
                peer_value=median(theirs), own_value=median(ours), spread=round((max(ours) - min(ours)) / median(ours), 3))


def threats(found: dict[str, Any]) -> list[dict[str, Any]]:
    rows = {row["threat"]: row for row in found["rows"]}
    runs = {"runs": found["seeds"], "peer": "EigenTrust a=0.5, same choice"}

    def worst(id: str, part: int, name: str, names: list[str], bar: float) -> dict[str, Any]:
        row = max((rows[name] for name in names), key=lambda row: row["ours"])
        return line(id, part, f"{name}: {row['threat']}", 100 * row["ours"], "%", bar, "lower",
                    peer_value=100 * row["eigentrust_50"], own_value=100 * row["ours"], **{**runs, "spread": round(row["worst"] - row["ours"], 4)})

    held_out = [row["threat"] for row in found["rows"] if row["held_out"]]
    return [
        worst("TG2", 1, "bad answers, 40 % malicious", ["A", "B"], 8),
        worst("TG3", 1, "bad answers, camouflage and spies", [name for name in rows if name[0] in "CD"], 10),
        worst("TG3", 2, "bad answers, threats not tuned on", held_out, 10),
        line("TG3", 3, "traffic of whitewashers", 100 * rows["whitewash"]["malicious"], "%", 2, "lower", **runs),
        line("TG3", 4, "honest tiers lowered by 40 % slanderers", 100 * found["slandered"], "%", 1, "lower", **runs),
        line("TG4", 1, "endorsement gain of 10^6 Sybils / of 1", found["sybil_gain"], "ratio", 1.0, "lower"),
    ]


def speeds(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        line("TG5", 1, f"open {found['credentials']:,} credentials, first score included", found["open_ms"] + found["first_score_ms"], "ms", 1000, "lower", runs=1),
        line("TG5", 2, f"score {found['peers']:,} peers", found["scores_ms"], "ms", 50, "lower"),
        line("TG5", 3, f"update a graph of {found['edges']:,} edges", found["update_ms"], "ms", 200, "lower"),
    ]


def table(found: dict[str, Any]) -> None:
    print(f"bad answers in percent, mean of {found['seeds']} seeds from {SEED} on; * marks threats that nothing was tuned on")
    print(f"{'threat':12}" + "".join(f"{title:>20}" for title in METRICS.values()) + f"{'from malicious':>16}")
    for row in found["rows"]:
        name = row["threat"] + ("*" if row["held_out"] else "")
        print(f"{name:12}" + "".join(f"{100 * row[metric]:20.1f}" for metric in METRICS) + f"{100 * row['malicious']:16.1f}")


def plot(found: dict[str, Any]) -> str:
    """Bars of bad answers for each threat and metric."""
    bar, gap, top, height = 9, 16, 40, 300
    group = bar * len(METRICS) + gap
    width = 70 + group * len(found["rows"])
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top + height + 90}" font-family="sans-serif" font-size="11">']
    for percent in range(0, 101, 20):
        y = top + height * (1 - percent / 100)
        parts.append(f'<line x1="45" x2="{width - 10}" y1="{y}" y2="{y}" stroke="#ddd"/><text x="40" y="{y + 4}" text-anchor="end">{percent} %</text>')
    for place, (metric, title) in enumerate(METRICS.items()):
        parts.append(f'<rect x="{50 + 150 * place}" y="12" width="10" height="10" fill="{COLOURS[metric]}"/><text x="{65 + 150 * place}" y="21">{title}</text>')
    for index, row in enumerate(found["rows"]):
        left = 55 + index * group
        for place, metric in enumerate(METRICS):
            tall = height * row[metric]
            parts.append(f'<rect x="{left + place * bar}" y="{top + height - tall:.1f}" width="{bar - 1}" height="{tall:.1f}" fill="{COLOURS[metric]}"/>')
        x, y = left + bar * len(METRICS) / 2, top + height + 14
        parts.append(f'<text x="{x}" y="{y}" text-anchor="end" transform="rotate(-40 {x} {y})">{row["threat"]}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    bench = program("trust")
    found = run(bench, "threats", SEED, SEEDS)
    table(found)
    rows = [verification(bench), *threats(found), *speeds(run(bench, "speed"))]
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "trust.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (out / "trust.svg").write_text(plot(found))
    print(f"\n{'id':4} {'what':60} {'value':>10} {'unit':6} {'bar':>6}")
    for row in rows:
        print(f"{row['id']:4} {row['name']:60} {row['value']:10.3f} {row['unit']:6} {row['bar']:6}" + (f"  skipped: {row['skipped']}" if "skipped" in row else ""))


if __name__ == "__main__":
    main()
