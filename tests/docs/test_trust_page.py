"""The worked example of docs/trust.md is what the formula gives."""

from __future__ import annotations

import re
from pathlib import Path

import score_picture

PAGE = Path(__file__).resolve().parents[2] / "docs" / "trust.md"
HELD = 0.02


def weights(text: str) -> dict[str, float]:
    return {name: float(weight) for name, weight in re.findall(r"^\| `(\w+)VC` \| (0\.\d+) \|", text, re.M)}


def thresholds(text: str) -> list[tuple[str, float]]:
    return [(tier, float(score)) for tier, score in re.findall(r"^\| (\w+) \| at least (0\.\d+) \|$", text, re.M)]


def example(text: str) -> list[list[str]]:
    return [row.strip("| ").split(" | ") for row in re.findall(r"^\| \d+ \| 0?1?\.?\d+ .*\|$", text, re.M)]


def computed(text: str, day: int) -> list[str]:
    weight = weights(text)
    factor = 0.5 ** (day / 365)
    parts = [weight[name] * factor for name in ("FiduciaryPledge", "VerifiedNode", "Uptime")]
    # Rounded as the library keeps it, in units of 10^-15.
    score = round(sum(round(part * 1e15) for part in parts)) / 1e15
    # Each tier was reached on the first day, and is held until the score lies 0.02 below its threshold.
    tier = next((tier for tier, least in thresholds(text) if score >= least - HELD), "Unknown")
    return [str(day), *(f"{value:.4f}" for value in (factor, *parts, score)), tier]


def test_every_line_of_the_worked_example_is_right():
    text = PAGE.read_text(encoding="utf-8")
    rows = example(text)
    assert len(rows) >= 9
    for row in rows:
        assert row == computed(text, int(row[0]))


def test_the_weights_are_kwaainets():
    text = PAGE.read_text(encoding="utf-8")
    assert round(sum(weights(text).values()), 10) == 1.0
    assert thresholds(text) == [("Trusted", 0.70), ("Verified", 0.40), ("Known", 0.10)]


def test_the_sentences_below_the_example_are_right():
    text = PAGE.read_text(encoding="utf-8")
    weight = weights(text)

    def days(score: float, least: float) -> int:
        return next(day for day in range(10_000) if score * 0.5 ** (day / 365) < least - HELD) - 1

    said = [int(days) for days in re.findall(r"(?:Trusted|Known) for (\d+) days", text)]
    assert said == [days(0.70, 0.70), days(weight["SummitAttendee"], 0.10), days(weight["VerifiedNode"], 0.10)]
    assert weight["VerifiedNode"] < 0.40


def test_the_picture_is_drawn_from_the_formula_and_loses_tiers_on_the_days_of_the_table():
    assert score_picture.FILE.read_text(encoding="utf-8") == score_picture.draw()
    days = [int(row[0]) for row in example(PAGE.read_text(encoding="utf-8"))]
    for day, before, after in score_picture.falls():
        assert {day - 1, day} <= set(days)
        text = PAGE.read_text(encoding="utf-8")
        assert (computed(text, day - 1)[-1], computed(text, day)[-1]) == (before, after)


def test_a_wrong_digit_is_found():
    text = PAGE.read_text(encoding="utf-8").replace("0.6987 | Trusted", "0.6988 | Trusted")
    assert any(row != computed(text, int(row[0])) for row in example(text))
