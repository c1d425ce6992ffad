"""What knowledge bases are measured beside, in an environment of its own: a reference BM25, and LanceDB.

`rag_peers.py bm25 SET` prints the first passages for each question; `rag_peers.py lancedb FOLDER VECTORS QUESTIONS QUESTION_VECTORS` prints how
fast the sections of the files are kept and found.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def bm25(path: Path) -> None:
    """bm25s with k1 = 1.2, b = 0.75 and the language's Snowball stemmer."""
    import bm25s
    import Stemmer

    given = json.loads(path.read_text())
    stemmer = Stemmer.Stemmer(given["language"])
    options: dict[str, Any] = {"stemmer": stemmer, "stopwords": None, "show_progress": False, "token_pattern": r"(?u)\b\w+\b"}
    index = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    index.index(bm25s.tokenize([passage["text"] for passage in given["passages"]], **options), show_progress=False)
    asked = bm25s.tokenize([question["text"] for question in given["questions"]], **options)
    found, _ = index.retrieve(asked, k=20, show_progress=False)
    print(json.dumps([[int(place) for place in row] for row in found]))


def lancedb(folder: Path, vectors: Path, questions: Path, asked: Path) -> None:
    """A table with a full-text index; every vector is compared. Hybrid searches are fused by LanceDB's own reciprocal ranks. It does not read
    documents, so the files are cut at their headings here, which counts as ingestion as it does for a knowledge base."""
    import warnings

    os.environ["LANCEDB_LOG"] = os.environ["RUST_LOG"] = "error"
    import lancedb
    import numpy as np
    import pyarrow as pa

    warnings.simplefilter("ignore")
    asking = json.loads(questions.read_text())
    points = np.fromfile(asked, "<f4").reshape(len(asking), -1)
    rows = np.fromfile(vectors, "<f4").reshape(-1, points.shape[1])
    heading = re.compile(r"^# \d+\n\n", re.MULTILINE)
    with tempfile.TemporaryDirectory() as home:
        base = lancedb.connect(home)
        began = time.perf_counter()
        files = sorted(folder.iterdir(), key=lambda path: int(path.stem))
        kept = [section.strip() for path in files for section in heading.split(path.read_text())[1:]]
        assert len(kept) == len(rows)
        flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
        table = base.create_table("kept", pa.table({"id": pa.array(range(len(kept))), "text": pa.array(kept), "vector": flat}))
        table.create_fts_index("text")
        seconds = time.perf_counter() - began
        print(json.dumps({"ingest": {"chunks": len(kept), "seconds": seconds, "per_second": len(kept) / seconds}}))

        def timed(search: Any) -> tuple[list[float], list[list[int]]]:
            times, found = [], []
            for text, point in zip(asking, points):
                began = time.perf_counter()
                hits = search(text, point)
                times.append((time.perf_counter() - began) * 1000)
                found.append([int(hit["id"]) for hit in hits])
            return sorted(times), found

        words = lambda text: " ".join(part for part in "".join(c if c.isalnum() else " " for c in text).split())  # noqa: E731
        searches = {
            "lexical": lambda text, point: table.search(words(text), query_type="fts").limit(10).select(["id", "text"]).to_list(),
            "dense": lambda text, point: table.search(point).distance_type("cosine").limit(10).select(["id", "text"]).to_list(),
            "hybrid": lambda text, point: table.search(query_type="hybrid").vector(point).text(words(text)).distance_type("cosine")
            .limit(10).select(["id", "text"]).to_list(),
        }
        for mode, search in searches.items():
            times, found = timed(search)
            at = lambda share: times[int((len(times) - 1) * share)]  # noqa: E731
            print(json.dumps({"search": {"mode": mode, "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}, "found": found}))


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"bm25": bm25, "lancedb": lancedb}[command](*map(Path, paths))
