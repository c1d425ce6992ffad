"""What crossing a language border costs: FF1 to FF3, each language against Rust in the same run, interleaved.

Each program prints one JSON object of these, as far as its language has arrays to hand over: `call_ns` of a trivial call, `handover_ms` of a 50,000 x 384 array of 32-bit floats
and its reduction to a norm a row, `stream_us` for each of 10,000 values of a stream that is read in batches, `cycle_ms` of
starting and shutting down a node, and how many handles are `left`. Writes `target/bench/ffi.jsonl`.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUNS = int(os.environ.get("BENCH_RUNS", "7"))


def library(name: str) -> str:
    return {"darwin": f"lib{name}.dylib", "win32": f"{name}.dll"}.get(sys.platform, f"lib{name}.so")


def built(profile: str) -> tuple[Path, Path]:
    """Builds everything that is measured, once, and says where the libraries lie and which file the Rust program is."""
    packages = ["-p", "kwaai-ffi", "-p", "kwaainet-python", "-p", "kwaainet-node", "-p", "kwaainet-bindgen"]
    command = ["cargo", "build", *packages, "--features", "kwaai-ffi/testing", "--lib", "--bins", "--benches", "--locked"]
    done = subprocess.run(
        [*command, "--profile", profile, "--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    bench = next(m["executable"] for m in messages if m.get("target", {}).get("name") == "ffi" and m.get("executable"))
    return Path(bench).parent.parent, Path(bench)


def python(libraries: Path, stage: Path) -> list[str]:
    shutil.copytree(ROOT / "bindings/python/kwaainet", stage / "python/kwaainet", ignore=shutil.ignore_patterns("*.so"))
    shutil.copy(libraries / library("_native"), stage / "python/kwaainet/_native.abi3.so")
    return ["env", f"PYTHONPATH={stage / 'python'}", sys.executable, str(ROOT / "bindings/python/benches/ffi.py")]


def node(libraries: Path, stage: Path) -> list[str]:
    package = ROOT / "bindings/node"
    subprocess.run(["node", "node_modules/typescript/bin/tsc", "-p", "tsconfig.json"], cwd=package, check=True)
    shutil.copytree(package / "dist", stage / "node/dist")
    shutil.copytree(package / "benches", stage / "node/benches")
    shutil.copy(package / "package.json", stage / "node")
    (stage / "node/native").mkdir()
    shutil.copy(libraries / library("kwaainet_node"), stage / "node/native/kwaainet.node")
    return ["node", "--expose-gc", str(stage / "node/benches/ffi.mjs")]


def c(libraries: Path, stage: Path) -> list[str]:
    program, flags = stage / "ffi", ["-std=c11", "-D_XOPEN_SOURCE=700", "-O2", "-Iinclude", "-Itests/c"]
    # The library asks to be loaded under the name that it is installed as.
    (stage / "libkwaainet.so.1").symlink_to(libraries / library("kwaai_ffi"))
    found = [f"-L{libraries}", f"-Wl,-rpath,{stage}", f"-Wl,-rpath,{libraries}", "-lkwaai_ffi"]
    subprocess.run(["cc", *flags, "tests/bench/ffi.c", "-o", program, *found], cwd=ROOT, check=True)
    return [str(program)]


def kotlin(libraries: Path, stage: Path) -> list[str]:
    folder, classpath = ROOT / "bindings/kotlin", stage / "classpath"
    maven = ["mvn", "-q", "-B", "-ntp", "-f", str(folder / "pom.xml"), f"-Dnative.dir={libraries}"]
    subprocess.run([*maven, "test-compile"], check=True)
    subprocess.run([*maven, "dependency:build-classpath", f"-Dmdep.outputFile={classpath}"], check=True)
    classes = f"{folder}/target/test-classes:{folder}/target/classes:{classpath.read_text().strip()}"
    return ["java", "-cp", classes, f"-Djna.library.path={libraries}", f"-Drepository.root={ROOT}", "ai.kwaai.kwaainet.FfiBenchKt"]


def programs(profile: str, stage: Path) -> dict[str, list[str]]:
    """The programs by language, over one build of the library."""
    libraries, bench = built(profile)
    languages = {"python": python, "node": node, "c": c, "kotlin": kotlin}
    return {"rust": [str(bench)]} | {language: make(libraries, stage) for language, make in languages.items()}


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
    for part, language in enumerate((language for language in others if "handover_ms" in found[language][0]), 1):
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
    with tempfile.TemporaryDirectory() as stage:
        rows = lines(measure(programs(profile, Path(stage))))
    out = ROOT / "target" / "bench" / "ffi.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(f"{'id':5} {'what':45} {'value':>10} {'unit':8} {'bar':>8} {'own':>10} {'rust':>10}")
    for row in rows:
        peer = "" if row["peer_value"] is None else f"{row['peer_value']:10.3f}"
        print(f"{row['id']:5} {row['name']:45} {row['value']:10.3f} {row['unit']:8} {row['bar']:8} {row['own_value']:10.3f} {peer}")


if __name__ == "__main__":
    main()
