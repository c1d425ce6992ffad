"""Blocks by ggml, alone, together and over hosts: SE1 to SE9 and SE12, with a plot of the rates.

Ours and llama.cpp run in one process and in turn, llama.cpp through the library that our own blocks are linked with: what is
compared is our graphs and our way around them, not two builds. `BENCH_RUNS` prefills and `BENCH_STEPS` single tokens, 7 and 40
unless set; `BENCH_THREADS`, as many as there are cores; `BENCH_ENCODINGS` chooses among Q8_0, Q4_0 and Q4_K; `BENCH_ROWS` chooses
among alone, together, hosts, way, overlap and memory. The models are random, of the shape of a Llama 3.2 of 1 B parameters, and
written into `target/bench/models`, about 2.8 GB. SE1 and SE8 take a model whose blocks have next to nothing to compute, SE8 with
timers for what they would have. The hosts are nodes of this process with sockets of this machine. Writes
`target/bench/shard.jsonl`.
"""

from __future__ import annotations

import json
import os
from typing import Any

from measure import ROOT, RUNS, line, program, results

STEPS = int(os.environ.get("BENCH_STEPS", "40"))
THREADS = int(os.environ.get("BENCH_THREADS", str(os.cpu_count() or 1)))
ENCODINGS = os.environ.get("BENCH_ENCODINGS", "Q8_0,Q4_0,Q4_K").split(",")
ROWS = os.environ.get("BENCH_ROWS", "alone,together,hosts,way,overlap,memory").split(",")
PREFILL = 512
PEER = "llama.cpp of llama-cpp-sys-2 0.1.160"


def skipped(id: str, name: str, bar: float, reason: str) -> dict[str, Any]:
    return {**line(id, 1, name, 0, "ratio", bar, "higher", runs=0), "skipped": reason}


def worst(cases: list[dict[str, Any]], id: str, what: str, name: str, bar: float, runs: int) -> dict[str, Any]:
    """The encoding in which we stand worst beside llama.cpp."""
    case = min(cases, key=lambda case: case[what]["span"] / case[what]["llama_cpp"])
    ratio = case[what]["span"] / case[what]["llama_cpp"]
    found = line(id, 1, f"{name}, worst: {case['encoding']}", ratio, "ratio", bar, "higher", runs=runs, peer=PEER,
                 peer_value=case[what]["llama_cpp"], own_value=case[what]["span"], spread=case[f"{what}_spread"])
    return found if case["bit_equal"] else {**found, "skipped": "the logits were not those of llama.cpp"}


def alone(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [worst(cases, "SE4", "decode", "span engine / llama.cpp, decode", 0.95, STEPS),
             worst(cases, "SE5", "prefill", f"span engine / llama.cpp, prefill {PREFILL}", 0.9, RUNS)]
    dense = next((case for case in cases if case["encoding"] == "Q8_0"), None)
    if dense:
        share = 100 * dense["weights"] * dense["decode"]["span"] / dense["bandwidth"]
        theirs = 100 * dense["weights"] * dense["decode"]["llama_cpp"] / dense["bandwidth"]
        found.append(line("SE6", 1, "share of the probed memory bandwidth, 1 B Q8_0, one token at a time", share, "%", 83, "higher",
                          runs=STEPS, peer=PEER, peer_value=theirs, own_value=share))
    else:
        found.append(skipped("SE6", "share of the probed memory bandwidth", 83, "Q8_0 was not measured"))
    deep = min(cases, key=lambda case: case["deep_invariant"] / case["deep_flash"])
    found.append(line("SE12", 1, f"invariant attention / default, decode at a depth of 1,024, worst: {deep['encoding']}",
                      deep["deep_invariant"] / deep["deep_flash"], "ratio", 0.8, "higher", runs=STEPS, own_value=deep["deep_invariant"]))
    return found


def plot(cases: list[dict[str, Any]]) -> str:
    """Bars of decoded tokens a second, of each engine in each encoding."""
    engines = {"llama_cpp": ("llama.cpp", "#7a9fd0"), "span": ("one span", "#1f6f4a"), "two_spans": ("two spans", "#d98c3f")}
    most = max(case["decode"][engine] for case in cases for engine in engines)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{40 + 80 * len(cases)}" font-family="sans-serif" font-size="12">',
             '<text x="60" y="16">tokens a second, one at a time</text>']
    for row, case in enumerate(cases):
        parts.append(f'<text x="50" y="{70 + 80 * row}" text-anchor="end">{case["encoding"]}</text>')
        for place, (engine, (title, colour)) in enumerate(engines.items()):
            wide, y = 420 * case["decode"][engine] / most, 30 + 80 * row + 22 * place
            parts.append(f'<rect x="60" y="{y}" width="{wide:.1f}" height="18" fill="{colour}"/>')
            parts.append(f'<text x="{66 + wide:.1f}" y="{y + 13}">{case["decode"][engine]:.1f} {title}</text>')
    return "\n".join([*parts, "</svg>\n"])


def together(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the encodings whose batches are those of the text alone; what the others give is printed beside."""
    exact = [case for case in cases if case["batching"] == "Exact"]
    if not exact:
        return [skipped("SE7", "8 texts together / llama.cpp's 8 sequences", 1.0, "no encoding was measured that is batched by itself")]
    beside = min(exact, key=lambda case: case["together"] / case["llama_cpp"])
    above = min(exact, key=lambda case: case["together"] / case["alone"])
    found = []
    for case, name, other, bar in ((beside, "llama.cpp's 8 sequences", "llama_cpp", 1.0), (above, "1 text", "alone", 2.4)):
        row = line("SE7", 1, f"8 texts together / {name}, worst: {case['encoding']}", case["together"] / case[other], "ratio", bar, "higher",
                   peer=PEER if other == "llama_cpp" else None, peer_value=case[other], own_value=case["together"])
        found.append(row if case["bit_equal"] else {**row, "skipped": "the logits were not those of llama.cpp"})
    return found


def hosts(case: dict[str, Any]) -> list[dict[str, Any]]:
    name = f"decode over {case['hosts']} local hosts / the model whole, {case['encoding']}"
    return [line("SE2", 1, name, case["over_hosts"] / case["unsplit"], "ratio", 0.95, "higher", own_value=case["over_hosts"]),
            line("SE3", 1, "answers by the model whole / llama.cpp, decode", case["unsplit"] / case["llama_cpp"], "ratio", 0.97, "higher",
                 peer=PEER, peer_value=case["llama_cpp"], own_value=case["unsplit"])]


def way(case: dict[str, Any]) -> list[dict[str, Any]]:
    name = f"added time of a hop and token over {case['transport'].upper()}"
    return [line("SE1", 1, f"{name}, {share}", case[share], "ms", bar, "lower", runs=case["tokens"]) for share, bar in (("p50", 0.25), ("p99", 2))]


def overlap(case: dict[str, Any]) -> list[dict[str, Any]]:
    name = f"prompt in {case['chunks']} chunks over {case['hosts']} timed hosts / one chunk after the other, 50 ms there and back"
    return [line("SE8", 1, name, case["overlapped"] / case["serial"], "ratio", 0.45, "lower", own_value=case["overlapped"])]


def memory(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    case = max(cases, key=lambda case: case["ratio"])
    name = f"memory / (weights + keys and values), worst: {case['encoding']}"
    return [line("SE9", 1, name, case["ratio"], "ratio", 1.15, "lower", runs=1, own_value=case["taken"] / 1e6)]


def main() -> None:
    bench = program("shard", "--features", "ggml")
    out = ROOT / "target" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    folder = str(out / "models")
    found: list[dict[str, Any]] = []
    if "alone" in ROWS:
        cases = results(bench, "alone", folder, str(RUNS), str(STEPS), str(PREFILL), str(THREADS), *ENCODINGS)
        found += alone(cases)
        (out / "shard.svg").write_text(plot(cases))
        for case in cases:
            for what in ("prefill", "decode"):
                rates = ", ".join(f"{engine} {rate:.1f}" for engine, rate in case[what].items())
                print(f"{case['encoding']:5} {what:8} tokens a second: {rates}; logits bit-equal: {case['bit_equal']}")
    if "together" in ROWS:
        cases = results(bench, "together", folder, str(RUNS), str(THREADS), *ENCODINGS)
        found += together(cases)
        for case in cases:
            print(f"{case['encoding']:5} tokens a second of {case['texts']} texts: together {case['together']:.1f} ({case['batching']}), llama.cpp "
                  f"{case['llama_cpp']:.1f}; of one: {case['alone']:.1f}; logits bit-equal: {case['bit_equal']}")
    if "hosts" in ROWS:
        found += hosts(results(bench, "hosts", folder, str(RUNS), str(STEPS), str(THREADS), "Q8_0")[0])
    if "way" in ROWS:
        for transport in ("tcp", "quic"):
            found += way(results(bench, "way", folder, str(10 * STEPS), transport)[0])
    if "overlap" in ROWS:
        found += overlap(results(bench, "overlap", folder, str(RUNS))[0])
    if "memory" in ROWS:
        # A process for each, so that none counts what another has left.
        found += memory([case for encoding in ENCODINGS for case in results(bench, "memory", folder, str(THREADS), encoding)])
    (out / "shard.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    print(f"{'id':5} {'what':96} {'value':>8} {'unit':6} {'bar':>6}")
    for row in found:
        print(f"{row['id']:5} {row['name']:96} {row['value']:8.3f} {row['unit']:6} {row['bar']:6}" + (f"  skipped: {row['skipped']}" if "skipped" in row else ""))


if __name__ == "__main__":
    main()
