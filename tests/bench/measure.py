"""What every benchmark does: builds its program, runs it, and writes lines as `measures` are written."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = int(os.environ.get("BENCH_RUNS", "7"))


def program(name: str, *options: str) -> str:
    """The program of one of the core's benches, optimized unless `KWAAI_PROFILE` says otherwise."""
    profile = os.environ.get("KWAAI_PROFILE", "release")
    built = subprocess.run(
        ["cargo", "build", "--locked", "-p", "kwaai-core", *options, "--bench", name, "--profile", profile, "--message-format=json"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )
    messages = [json.loads(text) for text in built.stdout.splitlines() if text.startswith("{")]
    return next(m["executable"] for m in messages if m.get("target", {}).get("name") == name and m.get("executable"))


def results(bench: str, *arguments: str) -> list[dict[str, Any]]:
    """The objects that the program prints, one a line."""
    done = subprocess.run([bench, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]


def line(id: str, part: int, name: str, value: float, unit: str, bar: float, better: str, **more: Any) -> dict[str, Any]:
    cpu = next((text.split(":")[1].strip() for text in open("/proc/cpuinfo") if text.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    return {"id": id, "part": part, "name": name, "value": round(value, 4), "unit": unit, "bar": bar, "better": better,
            "peer": None, "peer_value": None, "own_value": value, "runs": RUNS, "spread": 0.0, **more,
            "load": os.getloadavg()[0], "cpu": cpu, "commit": commit}
