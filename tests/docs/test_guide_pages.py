"""The guide's pages are what its files say, in every language."""

from __future__ import annotations

import pytest
from guide import GUIDE, LANGUAGES, ROOT, TASKS, pages
from test_markdown import region


@pytest.mark.parametrize("title, file", [(title, file) for title, _, file in LANGUAGES], ids=lambda value: value)
def test_a_language_has_every_task(title: str, file: str) -> None:
    assert [task.anchor for task in TASKS if task.concerns(title) and region(ROOT / file, task.anchor) is None] == []


def test_the_pages_are_as_make_guide_writes_them() -> None:
    stale = [path.name for path, text in pages().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "make guide"
    assert {path.name for path in GUIDE.iterdir()} == {path.name for path in pages()}
