"""The texts whose vectors are searched: sentences, statements and questions of the evaluation data in `../shared/data`."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

from measure import ROOT

DATA = ROOT.parent / "shared" / "data"
END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-ZÄÖÜ0-9])|\n\s*\n")


def sentences(text: str) -> Iterator[str]:
    for sentence in END.split(text):
        sentence = " ".join(sentence.split())
        if len(sentence) >= 20:
            yield sentence[:600]


def passages(data: Path) -> Iterator[str]:
    for title, lines in json.loads((data / "hotpotqa/train100_corpus.json").read_text()).items():
        for line in lines:
            yield from sentences(f"{title}: {line.strip()}")
    for passage in json.loads((data / "musique/train100_corpus.json").read_text()):
        yield from sentences(passage["text"])
    for language in ["en", "de"]:
        for article in json.loads((data / f"xquad/xquad.{language}.json").read_text())["data"]:
            for paragraph in article["paragraphs"]:
                yield from sentences(paragraph["context"])
    for path in [*sorted((data / "chunking_eval").glob("*.md")), data / "christmas_carol/a_christmas_carol.txt"]:
        yield from sentences(path.read_text())
    for passage in json.loads((data / "musique/train100_openie_gpt35.json").read_text())["docs"]:
        for triple in passage["extracted_triples"]:
            yield " ".join(str(part) for part in triple)


def questions(data: Path) -> Iterator[str]:
    for name in ["hotpotqa", "musique"]:
        for row in json.loads((data / name / "train100_qa.json").read_text()):
            yield row["question"]
    with (data / "chunking_eval/questions_df.csv").open() as rows:
        for row in csv.DictReader(rows):
            yield row["question"]
    for article in json.loads((data / "xquad/xquad.en.json").read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for answer in paragraph["qas"]:
                yield answer["question"]


def texts(count: int, asked: int) -> tuple[list[str], list[str]]:
    """`count` different texts and `asked` questions; fewer where the data has fewer, none where there is no data."""
    if not DATA.is_dir():
        return [], []
    found = list(dict.fromkeys(passages(DATA)))
    # Two sentences that follow each other are another text, as a splitter makes them.
    pairs = (f"{one} {two}"[:600] for one, two in zip(found, found[1:]))
    asking = list(dict.fromkeys(questions(DATA)))
    step = max(1, len(asking) // max(asked, 1))
    return list(dict.fromkeys([*found, *pairs]))[:count], asking[::step][:asked]
