"""Questions whose passages are known, of the evaluation data in `../shared/data`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import texts
from texts import DATA

#: A passage of the long documents is about so long.
PASSAGE = 800


@dataclass
class Set:
    """Passages, and questions with the places of those that answer them."""

    name: str
    language: str
    passages: list[str]
    questions: list[tuple[str, list[int]]]
    #: Whether its questions need more than one passage.
    hops: bool = False


def hotpotqa(data: Path) -> Set:
    corpus = json.loads((data / "hotpotqa/train100_corpus.json").read_text())
    place = {title: at for at, title in enumerate(corpus)}
    passages = [title + "\n" + "".join(lines) for title, lines in corpus.items()]
    rows = json.loads((data / "hotpotqa/train100_qa.json").read_text())
    questions = [(row["question"], sorted({place[title] for title, _ in row["supporting_facts"]})) for row in rows]
    return Set("HotpotQA", "english", passages, questions, hops=True)


def musique(data: Path) -> Set:
    corpus = json.loads((data / "musique/train100_corpus.json").read_text())
    place = {(row["title"], row["text"]): at for at, row in enumerate(corpus)}
    questions = []
    for row in json.loads((data / "musique/train100_qa.json").read_text()):
        gold = {place[part["title"], part["paragraph_text"]] for part in row["paragraphs"] if part["is_supporting"]}
        questions.append((row["question"], sorted(gold)))
    return Set("MuSiQue", "english", [f"{row['title']}\n{row['text']}" for row in corpus], questions, hops=True)


def xquad(data: Path, code: str, language: str) -> Set:
    passages: list[str] = []
    questions = []
    for article in json.loads((data / f"xquad/xquad.{code}.json").read_text())["data"]:
        for paragraph in article["paragraphs"]:
            questions += [(asked["question"], [len(passages)]) for asked in paragraph["qas"]]
            passages.append(paragraph["context"])
    return Set(f"XQuAD {code}", language, passages, questions)


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Sentences together, as long as a passage."""
    start = end = 0
    for match in [*texts.END.finditer(text), None]:
        stop = match.end() if match else len(text)
        if stop - start > PASSAGE and end > start:
            yield start, end
            start = end
        end = stop
    yield start, len(text)


def long_documents(data: Path) -> Iterator[Set]:
    with (data / "chunking_eval/questions_df.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in sorted({row["corpus_id"] for row in rows}):
        text = (data / f"chunking_eval/{name}.md").read_text()
        spans = list(pieces(text))
        questions = []
        for row in rows:
            if row["corpus_id"] != name:
                continue
            gold = set()
            for found in json.loads(row["references"]):
                first, last = found["start_index"], found["end_index"]
                gold |= {at for at, (start, end) in enumerate(spans) if 2 * (min(end, last) - max(start, first)) > last - first}
            if gold:
                questions.append((row["question"], sorted(gold)))
        yield Set(name, "english", [text[start:end] for start, end in spans], questions)


def sets() -> list[Set]:
    """Every set; none where there is no data."""
    if not DATA.is_dir():
        return []
    return [hotpotqa(DATA), musique(DATA), xquad(DATA, "en", "english"), xquad(DATA, "de", "german"), *long_documents(DATA)]
