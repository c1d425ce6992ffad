"""What a knowledge base finds, answers and refuses, and how fast: RG1 to RG22, and a plot.

`BENCH_PARTS` chooses among `quality`, `citations` and `speed`; `BENCH_CHUNKS` are searched for the speed, 100,000 unless set. Of each long set
`BENCH_EVIDENCE` questions are asked to be answered and refused, 100 unless set. Writes `target/bench/rag.jsonl`.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from functools import partial
from pathlib import Path
from typing import Any

import array
import index
import measure
import texts
from measure import ROOT, program, results
from sets import Set, sets

HERE = Path(__file__).parent
CHUNKS = int(os.environ.get("BENCH_CHUNKS", "100000"))
EVIDENCE = int(os.environ.get("BENCH_EVIDENCE", "100"))
DIMENSION = 384
#: So many texts are the sections of one file.
PER_FILE = 500
QUESTIONS = 200
ALPHA = 0.10
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kwaainet" / "bench"
line = partial(measure.line, runs=1)


def skipped(id: str, part: int, name: str, unit: str, bar: float, reason: str, better: str) -> dict[str, Any]:
    return {**line(id, part, name, 0, unit, bar, better, runs=0), "skipped": reason}


def peers() -> str:
    """The Python of an environment with the peers."""
    home = CACHE / "rag-peers"
    wanted = (HERE / "rag-peers.txt").read_text()
    stamp = home / "installed"
    python = home / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted:
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-r", HERE / "rag-peers.txt"], check=True)
        stamp.write_text(wanted)
    return str(python)


def peer(*arguments: str) -> list[Any]:
    done = subprocess.run([peers(), str(HERE / "rag_peers.py"), *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(text) for text in done.stdout.splitlines()]


def by_ranks(*rankings: list[int]) -> list[int]:
    """What reciprocal ranks make of both searches, with KwaaiNet's 60 (Cormack, Clarke and Buettcher, 2009)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, place in enumerate(ranking):
            scores[place] = scores.get(place, 0) + 1 / (61 + rank)
    return sorted(scores, key=lambda place: (-scores[place], place))


def recalls(found: list[list[int]], given: Set, k: int) -> list[float]:
    return [len(set(places[:k]) & set(gold)) / len(gold) for places, (_, gold) in zip(found, given.questions)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def interval(ours: list[float], theirs: list[float]) -> list[float]:
    """The middle 95 of 100 differences of resampled questions: a paired bootstrap."""
    draw = random.Random(11)
    pairs = [own - other for own, other in zip(ours, theirs)]
    means = sorted(mean(draw.choices(pairs, k=len(pairs))) for _ in range(2_000))
    return [round(100 * means[int(share * len(means))], 2) for share in (0.025, 0.975)]


def quality(bench: str, given: Set, folder: Path) -> dict[str, Any]:
    """What is found in each mode, by the reference too, and the supports of answers."""
    path = folder / "set.json"
    passages = [{"name": "", "text": text} for text in given.passages]
    questions = [{"text": text, "gold": gold} for text, gold in given.questions]
    path.write_text(json.dumps({"language": given.language, "passages": passages, "questions": questions, "evidence": EVIDENCE}))
    about, *rows = results(bench, "quality", str(path), str(CACHE / "rag-vectors"))
    found = {mode: [row["found"][mode] for row in rows] for mode in rows[0]["found"]}
    found["reference"] = peer("bm25", str(path))[0]
    found["ranks"] = [by_ranks(row["found"]["lexical"], row["found"]["dense"]) for row in rows]
    asked = [row for row in rows if "with" in row]
    supports = {kind: [row[kind]["support"] for row in asked] for kind in ("with", "without")}
    told = subprocess.run(
        [bench, "conformal"], input=json.dumps({"answerable": supports["with"], "unanswerable": supports["without"], "alpha": ALPHA}),
        stdout=subprocess.PIPE, text=True, check=True,
    )
    return {"set": given, "about": about, "found": found, "refusal": json.loads(told.stdout)}


def rows_of_quality(measured: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = {each["set"].name: each for each in measured}

    def points(each: dict[str, Any], mode: str, k: int = 5) -> float:
        return 100 * mean(recalls(each["found"][mode], each["set"], k))

    def difference(each: dict[str, Any], mode: str, other: str, k: int = 5) -> dict[str, Any]:
        ours, theirs = (recalls(each["found"][name], each["set"], k) for name in (mode, other))
        return {"set": each["set"].name, "interval": interval(ours, theirs), "own_value": 100 * mean(ours), "peer_value": 100 * mean(theirs)}

    def worst(differences: list[tuple[float, dict[str, Any]]]) -> tuple[float, dict[str, Any]]:
        return min(differences, key=lambda pair: pair[0])

    lines = []
    hops = [each for each in measured if each["set"].hops]
    value, more = worst([(points(each, "lexical") - points(each, "reference"), difference(each, "lexical", "reference")) for each in hops])
    lines.append(line("RG1", 1, f"words alone, R@5 minus a reference BM25, worst of the sets of questions in hops ({more['set']})", value, "points", -1, "higher", peer="bm25s 0.3.16", **more))
    better = lambda each: max(("lexical", "dense"), key=lambda mode: points(each, mode))  # noqa: E731
    value, more = worst([(points(each, "hybrid") - points(each, better(each)), difference(each, "hybrid", better(each))) for each in measured])
    lines.append(line("RG3", 1, f"both, R@5 minus the better of words and meaning, worst set ({more['set']})", value, "points", -1, "higher", **more))
    value, more = worst([(points(each, "links") - points(each, "dense"), difference(each, "links", "dense")) for each in hops])
    lines.append(line("RG5", 1, f"following names, R@5 minus meaning alone, worst of the sets of questions in hops ({more['set']})", value, "points", 3, "higher", **more))
    lines.append(line("RG10", 1, "XQuAD in English, R@1", points(at["XQuAD en"], "hybrid", 1), "%", 93, "higher"))
    german = at["XQuAD de"]
    value = points(german, "hybrid", 1) - points(german, "lexical", 1)
    lines.append(line("RG10", 2, "XQuAD in German, R@1 minus words alone", value, "points", -1, "higher", **difference(german, "hybrid", "lexical", 1)))
    known = [each for each in measured if each["set"].hops or each["set"].name.startswith("XQuAD")]
    least = min(known, key=lambda each: each["refusal"]["auroc"])
    every = {each["set"].name: round(each["refusal"]["auroc"], 3) for each in measured}
    lines.append(line("RG11", 1, f"refusal AUROC with the passages of the answer out of sight, worst set ({least['set'].name})", least["refusal"]["auroc"], "ratio", 0.75, "higher", sets=every))
    most = max(measured, key=lambda each: each["refusal"]["unsupported"])
    lines.append(line("RG12", 1, f"unsupported answers at alpha {ALPHA}, mean over 200 held-out halves, worst set ({most['set'].name})", most["refusal"]["unsupported"], "ratio", 0.11, "lower",
                      sets={each["set"].name: round(each["refusal"]["unsupported"], 3) for each in measured}))
    return lines


def table(measured: list[dict[str, Any]]) -> str:
    """What each set gives, for people."""
    modes = ["reference", "lexical", "dense", "ranks", "hybrid", "links"]
    rows = [f"{'R@5':22}" + "".join(f"{mode:>11}" for mode in modes) + f"{'weight':>9}{'AUROC':>8}{'answered':>10}"]
    for each in measured:
        values = "".join(f"{100 * mean(recalls(each['found'][mode], each['set'], 5)):11.1f}" for mode in modes)
        rows.append(f"{each['set'].name:22}{values}{each['about']['dense_weight']:9.2f}{each['refusal']['auroc']:8.3f}{each['refusal']['answered']:10.2f}")
    return "\n".join(rows)


def citations(bench: str, given: list[Set], folder: Path) -> list[dict[str, Any]]:
    """RG13: false citations made of the sets' passages, and true ones."""
    flagged, alarms, kinds = [0, 0], [0, 0], {}
    for each in given[:3]:
        path = folder / "citations.json"
        path.write_text(json.dumps({"passages": [{"text": text} for text in each.passages]}))
        for row in results(bench, "citations", str(path)):
            honest = row["kind"] in ("quoted", "taken over", "behind the full stop")
            count = alarms if honest else flagged
            count[0] += row["flagged"]
            count[1] += row["trials"]
            kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["flagged"]
    return [
        line("RG13", 1, f"false citations flagged, of {flagged[1]:,}", 100 * flagged[0] / flagged[1], "%", 100, "higher", kinds=kinds, runs=flagged[1]),
        line("RG13", 2, f"true citations flagged, of {alarms[1]:,}", 100 * alarms[0] / alarms[1], "%", 0, "lower", runs=alarms[1]),
    ]


def floats(path: Path) -> array.array[float]:
    values = array.array("f")
    values.frombytes(path.read_bytes())
    return values


def speed(bench: str, folder: Path) -> list[dict[str, Any]]:
    """RG20 and RG21: the same files and vectors here and in LanceDB. RG22: what embedding makes of the machine."""
    names = [("RG20", 1, "ingest with vectors given / LanceDB", "ratio", 1.0, "higher"), ("RG21", 1, "search, question embedded, p50", "ms", 25, "lower"),
             ("RG21", 2, "search, vectors given, p50 / LanceDB", "ratio", 1.0, "lower"),
             ("RG22", 1, "embedding / its matrix multiplications alone", "ratio", 0.5, "higher")]
    kept, asking = texts.texts(CHUNKS, QUESTIONS)
    if not kept:
        return [skipped(*parts[:5], f"there are no texts at {texts.DATA}", parts[5]) for parts in names]
    vpk = program("vpk", "--features", "vpk")
    own = kept[: CHUNKS // 2]
    vectors, asked = index.embedded(vpk, own), index.embedded(vpk, asking)
    rows = floats(vectors)
    # What stands between two texts has a vector between theirs: enough to be searched, and not to be embedded for an hour.
    while len(rows) < len(kept) * DIMENSION:
        at = len(rows) - len(own) * DIMENSION
        pair = [a + b for a, b in zip(rows[at: at + DIMENSION], rows[at + DIMENSION: at + 2 * DIMENSION])]
        length = sum(value * value for value in pair) ** 0.5
        rows.extend(value / length for value in pair)
    paths = [folder / name for name in ("files", "vectors", "questions")]
    paths[0].mkdir()
    for number in range(0, len(kept), PER_FILE):
        sections = (f"# {number + place}\n\n{text}\n\n" for place, text in enumerate(kept[number: number + PER_FILE]))
        (paths[0] / f"{number // PER_FILE}.md").write_text("".join(sections))
    (folder / "texts").write_text(json.dumps(kept))
    paths[1].write_bytes(rows.tobytes())
    paths[2].write_text(json.dumps(asking))
    arguments = [*map(str, paths), str(asked)]
    ours, theirs = results(bench, "speed", *arguments), peer("lancedb", *arguments)
    ingest = lambda rows: next(row["ingest"] for row in rows if "ingest" in row)  # noqa: E731
    searches = lambda rows: {row["search"]["mode"]: row for row in rows if "search" in row}  # noqa: E731
    here, there = searches(ours), searches(theirs)
    exact = there["dense"]["found"]
    recall = mean([len(set(own) & set(best)) / len(best) for own, best in zip(here["dense"]["found"], exact)])
    p50 = lambda searched, mode: searched[mode]["search"]["p50_ms"]  # noqa: E731
    times = {"ours": [row["search"] for row in here.values()], "lancedb": [row["search"] for row in there.values()], "dense_recall": recall}
    print(json.dumps(times, indent=1), file=sys.stderr)
    lancedb = "lancedb 0.40.0 with a full-text index"
    embedded = results(bench, "embedding", str(folder / "texts"))[0]["embedding"]
    return [
        line("RG20", 1, f"{len(kept):,} chunks of {len(list(paths[0].iterdir()))} files a second with vectors given / LanceDB", ingest(ours)["per_second"] / ingest(theirs)["per_second"], "ratio", 1.0, "higher",
             peer=lancedb, own_value=ingest(ours)["per_second"], peer_value=ingest(theirs)["per_second"]),
        line("RG21", 1, f"hybrid search of {len(kept):,} chunks, question embedded, p50", p50(here, "hybrid, question embedded"), "ms", 25, "lower", times=times, runs=len(asking)),
        line("RG21", 2, f"the search part / LanceDB, dense recall {recall:.4f}", p50(here, "hybrid") / p50(there, "hybrid"), "ratio", 1.0, "lower",
             peer=lancedb, own_value=p50(here, "hybrid"), peer_value=p50(there, "hybrid"), runs=len(asking)),
        line("RG22", 1, f"embedding {embedded['passages']:,} passages / its matrix multiplications alone", embedded["share"], "ratio", 0.5, "higher", times=embedded),
    ]


def plot(measured: list[dict[str, Any]]) -> str:
    """Bars of what is found among the first five, for each set and mode."""
    colours = {"lexical": "#d98c3f", "dense": "#7a9fd0", "hybrid": "#1f6f4a", "links": "#7b4a8e"}
    height = 40 + 60 * len(measured)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" font-family="sans-serif" font-size="12">']
    for place, (mode, colour) in enumerate(colours.items()):
        parts.append(f'<rect x="{160 + 110 * place}" y="12" width="10" height="10" fill="{colour}"/><text x="{175 + 110 * place}" y="21">{mode}</text>')
    for row, each in enumerate(measured):
        top = 36 + 60 * row
        parts.append(f'<text x="150" y="{top + 30}" text-anchor="end">{each["set"].name}</text>')
        for place, (mode, colour) in enumerate(colours.items()):
            value = 100 * mean(recalls(each["found"][mode], each["set"], 5))
            parts.append(f'<rect x="160" y="{top + 12 * place}" width="{5 * value:.1f}" height="10" fill="{colour}"/>')
            parts.append(f'<text x="{166 + 5 * value:.1f}" y="{top + 12 * place + 9}" font-size="10">{value:.1f}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    # With the features of the other program, so that nothing is built twice.
    bench = program("rag", "--features", "vpk")
    parts = os.environ.get("BENCH_PARTS", "quality,citations,speed").split(",")
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    given = sets()
    if not given:
        raise SystemExit(f"there is no evaluation data at {texts.DATA}")
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        if "quality" in parts:
            measured = [quality(bench, each, Path(folder)) for each in given]
            found += rows_of_quality(measured)
            (out / "rag.svg").write_text(plot(measured))
            print(table(measured))
        if "citations" in parts:
            found += citations(bench, given, Path(folder))
        if "speed" in parts:
            found += speed(bench, Path(folder))
    (out / "rag.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    print(f"{'id':5} {'what':100} {'value':>10} {'unit':6} {'bar':>6}")
    for row in found:
        print(f"{row['id']:5} {row['name']:100} {row['value']:10.3f} {row['unit']:6} {row['bar']:6}" + (f"  skipped: {row['skipped']}" if "skipped" in row else ""))


if __name__ == "__main__":
    main()
