"""The local index beside those of others: VP1, VP2 and VP3.

Every index is a program of its own that holds the same vectors and is asked in turn, run after run. What others need is built in
`peers`, a workspace of its own; one that cannot be built here is written with its reason, and so is a Qdrant unless `QDRANT_URL` says
where one runs. `BENCH_PEERS` chooses among them. Those that have a breadth of search use the smallest with which they find 99 of 100.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import texts
from measure import ROOT, RUNS, line
from qdrant import Qdrant

PEERS = ROOT / "tests" / "bench" / "peers"
#: Embedding takes minutes, so that its result outlives a checkout.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kwaainet" / "bench"
OURS = "kwaainet"
#: The programs that are built; `qdrant_edge` takes long.
WANTED = os.environ.get("BENCH_PEERS", "hnsw_rs,usearch,qdrant_edge").split(",")
#: By how many efforts a program can search; ours are fast and exact.
EFFORTS = {OURS: 2}
BREADTHS = 11
EXACT = 1
RECALL = 0.99
QUESTIONS = 200


class Index:
    """A program that holds vectors, and does what a line says."""

    def __init__(self, name: str, command: list[str], vectors: Path, questions: Path, dimension: int) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [*command, str(vectors), str(questions), str(dimension)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        # A library may write lines of its own.
        for answer in self.process.stdout:
            if answer.startswith("{"):
                return json.loads(answer)
        raise RuntimeError(f"{self.name} ended with {self.process.wait()} when it was told to {command}")

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def embedded(bench: str, kept: list[str]) -> Path:
    """The file of the vectors of these texts, made by our embedder unless it is there."""
    text = json.dumps(kept)
    found = CACHE / f"minilm-{hashlib.sha256(text.encode()).hexdigest()[:16]}.f32"
    if not found.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(text)
            file.flush()
            subprocess.run([bench, "embed", file.name, str(found)], cwd=ROOT, check=True)
    return found


def built() -> tuple[dict[str, str], dict[str, str]]:
    """The programs of others, and why some are not there."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "peers"
    versions = {p["name"]: p["version"] for p in json.loads(
        subprocess.run(["cargo", "metadata", "--locked", "--format-version=1", "--all-features"], cwd=PEERS, stdout=subprocess.PIPE, text=True, check=True).stdout
    )["packages"]}
    programs, missing = {}, {}
    for program in ["hnsw_rs", "usearch", "qdrant_edge"]:
        package = program if program in versions else program.replace("_", "-")
        name = f"{package} {versions[package]}"
        if program not in WANTED:
            missing[name] = "BENCH_PEERS leaves it out"
            continue
        done = subprocess.run(
            ["cargo", "build", "--locked", "--release", "--features", program, "--bin", program, "--target-dir", str(target)],
            cwd=PEERS, stderr=subprocess.PIPE, text=True,
        )
        if done.returncode == 0:
            programs[name] = str(target / "release" / program)
        else:
            errors = [text for text in done.stderr.splitlines() if text.startswith("error")]
            missing[name] = (errors or ["it does not build"])[0]
    return programs, missing


def recall(found: list[list[int]], truth: list[list[int]]) -> float:
    return sum(len(set(ours) & set(best)) for ours, best in zip(found, truth)) / sum(map(len, truth))


def tuned(index: Index | Qdrant, truth: list[list[int]]) -> tuple[int, float]:
    """The least effort that finds enough, and what it finds; the most there is where none does."""
    for effort in range(EFFORTS.get(index.name, BREADTHS)):
        found = recall(index.ask(f"search {effort}")["found"], truth)
        if found >= RECALL:
            break
    return effort, found


def spread(values: list[float]) -> float:
    return round((max(values) - min(values)) / statistics.median(values), 3)


def measure(bench: str, vectors: Path, questions: Path, dimension: int) -> dict[str, dict[str, Any]]:
    """For each index its times, in run after run."""
    programs, missing = built()
    place = (vectors, questions, dimension)
    indexes: list[Index | Qdrant] = [
        Index(OURS, [bench, "index"], *place), *(Index(name, [program], *place) for name, program in programs.items())
    ]
    times: dict[str, dict[str, Any]] = {name: {"skipped": reason} for name, reason in missing.items()}
    local = list(indexes)
    try:
        if url := os.environ.get("QDRANT_URL"):
            indexes.append(Qdrant(url, *place))
        else:
            times["qdrant by URL"] = {"skipped": "QDRANT_URL names none"}
        ours = indexes[0]
        truth = ours.ask("truth")["found"]
        memory = [ours.ask("bandwidth")["gb_s"]]
        for index in indexes:
            times[index.name] = {"upload_s": [], "reopen_ms": [], "first_ms": [], "p50_ms": [], "p99_ms": [], "exact_ms": []}
        for _ in range(RUNS):
            for index in indexes:
                times[index.name]["upload_s"].append(index.ask("upload")["seconds"])
        for index in indexes:
            times[index.name]["settle_s"] = index.ask("settle")["seconds"]
            effort, found = tuned(index, truth)
            times[index.name] |= {"effort": effort, "recall": found}
        for _ in range(RUNS):
            for index in indexes:
                done = index.ask(f"search {times[index.name]['effort']}")
                times[index.name]["p50_ms"].append(done["p50_ms"])
                times[index.name]["p99_ms"].append(done["p99_ms"])
            done = ours.ask(f"search {EXACT}")
            times[OURS]["exact_ms"].append(done["p50_ms"])
            times[OURS]["exact_recall"] = recall(done["found"], truth)
        for _ in range(RUNS):
            for index in local:
                done = index.ask("reopen")
                times[index.name]["reopen_ms"].append(done["ms"])
                times[index.name]["first_ms"].append(done["first_ms"])
        memory.append(ours.ask("bandwidth")["gb_s"])
        times[OURS]["memory_gb_s"] = " before, ".join(f"{speed:.1f}" for speed in memory) + " after"
    finally:
        for index in indexes:
            index.__exit__()
    return times


def random_recall(bench: str, count: int, dimension: int) -> dict[str, float]:
    """What ours finds of vectors that mean nothing."""
    with tempfile.TemporaryDirectory() as folder:
        vectors, questions = Path(folder) / "vectors", Path(folder) / "questions"
        for path, number, seed in [(vectors, count, 42), (questions, QUESTIONS, 77)]:
            subprocess.run([bench, "random", str(number), str(dimension), str(seed), str(path)], check=True)
        with Index(OURS, [bench, "index"], vectors, questions, dimension) as index:
            index.ask("upload")
            truth = index.ask("truth")["found"]
            searched = [index.ask(f"search {effort}") for effort in range(EFFORTS[OURS])]
    fast, exact = (recall(done["found"], truth) for done in searched)
    return {"random_fast_recall": fast, "random_exact_recall": exact, "random_exact_ms": searched[EXACT]["p50_ms"]}


def summary(times: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Medians."""
    middle = lambda value: round(statistics.median(value), 4) if isinstance(value, list) and value else value  # noqa: E731
    return {name: {part: middle(value) for part, value in parts.items() if value != []} for name, parts in times.items()}


def rows(bench: str, vectors: int, dimension: int) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """The lines of VP1 to VP3, and the times of every index."""
    kept, asking = texts.texts(vectors, QUESTIONS)
    if not kept:
        lines = [("VP1", 1, "local search, p50", "ms", 1.0), ("VP1", 2, "the same / the best comparator", "ratio", 1.0),
                 ("VP2", 1, "durable and searchable upload", "s", 2.0), ("VP2", 2, "the same / the best comparator", "ratio", 1.0),
                 ("VP3", 1, "reopen", "ms", 50)]
        reason = f"there are no texts to embed at {texts.DATA}"
        return [{**line(*parts[:3], 0, *parts[3:], "lower", runs=0), "skipped": reason} for parts in lines], {}
    times = measure(bench, embedded(bench, kept), embedded(bench, asking), dimension)
    noise = random_recall(bench, len(kept), dimension)
    medians = summary(times)
    ours = medians[OURS]
    others = {name: parts for name, parts in medians.items() if name != OURS}
    able = {name: parts for name, parts in others.items() if parts.get("recall", 0) >= RECALL}
    here = f"{len(kept):,} x {dimension} of texts"
    wrong = {}
    if ours["recall"] < RECALL or noise["random_exact_recall"] < RECALL:
        wrong = {"skipped": f"it found {ours['recall']} of texts' vectors and {noise['random_exact_recall']} of random ones"}
    found = [{
        **line("VP1", 1, f"local search of {here}, p50 at recall {ours['recall']:.4f}", ours["p50_ms"], "ms", 1.0, "lower",
               spread=spread(times[OURS]["p50_ms"]), questions=len(asking), **{k: v for k, v in ours.items() if k != "p50_ms"}, **noise),
        **wrong,
    }]

    def beside(id: str, what: str, of: str, own: float, candidates: dict[str, dict[str, Any]]) -> dict[str, Any]:
        if not candidates:
            return {**line(id, 2, what, 0, "ratio", 1.0, "lower", runs=0, peers=others), "skipped": "no comparator could be built, or found enough"}
        best = min(candidates, key=lambda name: candidates[name][of])
        value = candidates[best][of]
        return {**line(id, 2, f"{what} / {best}", own / value, "ratio", 1.0, "lower", peer=best, peer_value=value, own_value=own, peers=others)}

    found.append({**beside("VP1", "the same", "p50_ms", ours["p50_ms"], able), **wrong})
    found.append(line("VP2", 1, f"durable and searchable upload of {here}", ours["upload_s"], "s", 2.0, "lower", spread=spread(times[OURS]["upload_s"])))
    found.append(beside("VP2", "the same", "upload_s", ours["upload_s"], {n: p for n, p in others.items() if "upload_s" in p}))
    found.append(line("VP3", 1, f"reopen of {here}", ours["reopen_ms"], "ms", 50, "lower", spread=spread(times[OURS]["reopen_ms"]), first_ms=ours["first_ms"]))
    return found, medians


def plot(medians: dict[str, dict[str, Any]]) -> str:
    """Bars of search, upload and reopening, for each index; each kind on a scale of its own."""
    kinds = [("p50_ms", "search, ms"), ("upload_s", "upload, s"), ("reopen_ms", "reopen, ms")]
    names = [name for name, parts in medians.items() if "p50_ms" in parts]
    height = 40 + 24 * len(names)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{height}" font-family="sans-serif" font-size="12">']
    for column, (kind, title) in enumerate(kinds):
        left = 160 + 250 * column
        most = max(medians[name].get(kind, 0) for name in names)
        parts.append(f'<text x="{left}" y="20">{title}</text>')
        for row, name in enumerate(names):
            y = 30 + 24 * row
            if column == 0:
                parts.append(f'<text x="150" y="{y + 13}" text-anchor="end">{name}</text>')
            if kind not in medians[name]:
                continue
            wide = max(1.0, 150 * medians[name][kind] / most)
            colour = "#1f6f4a" if name == OURS else "#7a9fd0"
            parts.append(f'<rect x="{left}" y="{y}" width="{wide:.1f}" height="16" fill="{colour}"/>')
            parts.append(f'<text x="{left + wide + 5:.1f}" y="{y + 13}">{medians[name][kind]:.3g}</text>')
    return "\n".join([*parts, "</svg>\n"])
