"""What crossing a language border costs: FF1 to FF3, each language against Rust in the same run, interleaved.

Each program prints one JSON object: `call_ns` of a trivial call, `handover_ms` of a 50,000 x 384 array of 32-bit floats
and its reduction to a norm a row, `stream_us` for each of 10,000 values of a stream that is read in batches, `cycle_ms` of
starting and shutting down a node, and how many handles are `left`. Writes `target/bench/ffi.jsonl`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = int(os.environ.get("BENCH_RUNS", "7"))


def programs(profile: str) -> dict[str, list[str]]:
    """The programs by language; the Rust one is built by cargo and found by asking it."""
    built = subprocess.run(
        ["cargo", "build", "--workspace", "--benches", "--bins", "--lib", "--profile", profile, "--message-format=json"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    bench = next(m["executable"] for m in messages if m.get("target", {}).get("name") == "ffi" and m.get("executable"))
    return {
        "rust": [bench],
        "python": [sys.executable, "bindings/python/benches/ffi.py"],
        "node": ["node", "bindings/node/benches/ffi.mjs"],
    }


def measure(commands: dict[str, list[str]]) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {language: [] for language in commands}
    for run in range(RUNS):
        for language, command in commands.items():
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            found[language].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"run {run + 1} of {RUNS}", file=sys.stderr)
    return found


def lines(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    def of(language: str, key: str) -> list[float]:
        return [run[key] for run in found[language]]

    common = {
        "runs": RUNS,
        "load": os.getloadavg()[0],
        "cpu": next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine()),
        "commit": subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip(),
    }

    def line(id: str, part: int, name: str, value: float, unit: str, bar: float, own: list[float], peer: float | None) -> dict[str, Any]:
        spread = (max(own) - min(own)) / median(own) if median(own) else 0.0
        return {"id": id, "part": part, "name": name, "value": round(value, 4), "unit": unit, "bar": bar, "better": "lower",
                "peer": "rust, same run", "peer_value": peer, "own_value": median(own), "spread": round(spread, 3), **common}

    rust = {key: median(of("rust", key)) for key in found["rust"][0]}
    others = [language for language in found if language != "rust"]
    rows = []
    for part, language in enumerate(others, 1):
        own = of(language, "handover_ms")
        rows.append(line("FF1", part, f"50,000 x 384 from {language}", median(own) / rust["handover_ms"], "ratio", 1.1, own, rust["handover_ms"]))
    worst = max(others, key=lambda language: median(of(language, "stream_us")))
    own = of(worst, "stream_us")
    rows.append(line("FF2", 1, f"added for each streamed value ({worst})", median(own) - rust["stream_us"], "us", 20, own, rust["stream_us"]))
    worst = max(others, key=lambda language: median(of(language, "cycle_ms")))
    own = of(worst, "cycle_ms")
    rows.append(line("FF3", 1, f"start and shutdown of a node ({worst})", median(own), "ms", 300, own, rust["cycle_ms"]))
    left = [sum(of(language, "left")) for language in found]
    rows.append(line("FF3", 2, "handles left, all languages", float(sum(left)), "handles", 0, [float(sum(left))], None))
    for language in others:
        own = of(language, "call_ns")
        rows.append(line("FF4", others.index(language) + 1, f"trivial call from {language}", median(own), "ns", 10_000, own, rust["call_ns"]))
    return rows


def main() -> None:
    profile = os.environ.get("KWAAI_PROFILE", "release")
    rows = lines(measure(programs(profile)))
    out = ROOT / "target" / "bench" / "ffi.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{'id':5} {'what':45} {'value':>10} {'unit':8} {'bar':>8} {'own':>10} {'rust':>10}")
    for row in rows:
        peer = "" if row["peer_value"] is None else f"{row['peer_value']:10.3f}"
        print(f"{row['id']:5} {row['name']:45} {row['value']:10.3f} {row['unit']:8} {row['bar']:8} {row['own_value']:10.3f} {peer}")


if __name__ == "__main__":
    main()
