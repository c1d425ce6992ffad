"""The documents hold: links lead somewhere, code is code that runs, and nothing in them belongs to one machine.

A fenced block in a language that can run stands below one of these comments:

    <!-- from: examples/python/x.py#name -->   the lines between `anchor: name` and `end: name` of a file that a test runs
    <!-- run: make run -->                     commands that CI runs itself, each a target of the Makefile
    <!-- output -->                            what a command printed
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

RUNNABLE = {"python", "bash", "sh", "console", "rust", "c", "cpp", "toml", "yaml", "json", "js", "ts", "kotlin", "swift"}
PLAIN = {"text"}

BANNED = [
    (re.compile(r"(?<![\w.~])/(?:work|root|tmp|home)/"), "a path of one machine"),
    (re.compile(r"artifactory|\bnexus\.|index\.crates\.io", re.I), "the name of a package registry's host"),
    (re.compile(r"\b(?:TODO|FIXME|TBD|XXX)\b"), "a note to ourselves"),
]

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
IMAGE = re.compile(r"(?:src|srcset)=\"([^\"]+)\"")
MARK = re.compile(r"<!--\s*(from|run|output)(?::\s*(.+?))?\s*-->")


def blocks(text: str):
    """Every fenced block as (line, language, the mark above it or None, its text)."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        fence = re.match(r"^(\s*)(```+)\s*(\w*)", lines[number])
        if not fence:
            number += 1
            continue
        above = next((line for line in reversed(lines[:number]) if line.strip()), "")
        end = next((i for i in range(number + 1, len(lines)) if lines[i].strip() == fence.group(2)), None)
        if end is None:
            yield number + 1, "unclosed", None, ""
            return
        body = textwrap.dedent("\n".join(lines[number + 1 : end]))
        yield number + 1, fence.group(3), MARK.fullmatch(above.strip()), body
        number = end + 1


def prose(text: str) -> str:
    """The page without its code, in which brackets are no links."""
    without = re.sub(r"^\s*```.*?^\s*```\s*$", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", without)


def headings(text: str) -> set[str]:
    """The names by which a page's headings are linked."""
    found = re.findall(r"^#+\s+(.+?)\s*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def region(path: Path, name: str) -> str | None:
    """The lines between `anchor: name` and `end: name`, which stand in comments of whatever language; without a name the whole file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not name:
        return "\n".join(lines).strip("\n")
    starts = [i for i, line in enumerate(lines) if re.search(rf"(?:#|//|/\*|<!--)\s*anchor:\s*{re.escape(name)}\b", line)]
    ends = [i for i, line in enumerate(lines) if re.search(rf"(?:#|//|/\*|<!--)\s*end:\s*{re.escape(name)}\b", line)]
    if len(starts) != 1 or len(ends) != 1 or ends[0] < starts[0]:
        return None
    return textwrap.dedent("\n".join(lines[starts[0] + 1 : ends[0]])).strip("\n")


def targets(makefile: str) -> set[str]:
    return {name for line in re.findall(r"^([\w -]+?)\s*:(?!=)", makefile, re.M) for name in line.split()}


def link_faults(page: Path, text: str) -> list[str]:
    out = []
    for link in LINK.findall(prose(text)) + IMAGE.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            out.append(f"{page.name}: {link} leads nowhere")
        elif ROOT not in target.parents and target != ROOT:
            out.append(f"{page.name}: {link} leads out of the repository")
        elif anchor and target.suffix == ".md" and anchor not in headings(target.read_text(encoding="utf-8")):
            out.append(f"{page.name}: {link} names no heading")
    return out


def block_faults(page: Path, text: str, root: Path = ROOT) -> list[str]:
    out = []
    for line, language, mark, body in blocks(text):
        where = f"{page.name}:{line}"
        if language in PLAIN:
            continue
        if mark is None:
            out.append(f"{where}: a {language or 'nameless'} block that no test runs and no comment explains")
            continue
        kind, argument = mark.group(1), mark.group(2) or ""
        if kind == "from":
            name, _, anchor = argument.partition("#")
            path = root / name
            if not path.is_file():
                out.append(f"{where}: {name} does not exist")
            elif (code := region(path, anchor)) is None:
                out.append(f"{where}: {name} has no region {anchor}")
            elif code != body.strip("\n"):
                out.append(f"{where}: differs from {argument}")
        elif kind == "run":
            makefile = root / "Makefile"
            known = targets(makefile.read_text(encoding="utf-8")) if makefile.is_file() else set()
            commands = [command.split("#")[0].strip() for command in body.splitlines() if command.strip()]
            if commands != [command.strip() for command in argument.split(",")]:
                out.append(f"{where}: the block is not {argument}")
            for command in commands:
                words = command.split()
                if words[0] != "make" or not set(words[1:]) <= known:
                    out.append(f"{where}: {command} is no target of the Makefile")
    return out


def banned(page: Path, text: str) -> list[str]:
    return [
        f"{page.name}:{number}: {match.group(0)!r} is {what}"
        for number, line in enumerate(text.splitlines(), 1)
        for pattern, what in BANNED
        if (match := pattern.search(line))
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    assert link_faults(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_code_block_is_code_that_runs(page):
    assert block_faults(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_belongs_to_one_machine(page):
    assert banned(page, page.read_text(encoding="utf-8")) == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        for link in LINK.findall(prose(page.read_text(encoding="utf-8"))):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md":
                waiting.append(target)
            elif target.is_dir():
                waiting += sorted(target.glob("*.md"))
    assert [name(page) for page in PAGES if page not in reached] == []


def test_faults_are_found(tmp_path):
    page = ROOT / "docs" / "made-up.md"
    assert link_faults(page, "[a](nowhere.md) [b](../README.md) [c](https://example.org/x)") == [
        "made-up.md: nowhere.md leads nowhere"
    ]
    assert link_faults(page, "[a](architecture.md#no-such-heading)")
    assert link_faults(page, "[a](../../outside.md)")
    assert block_faults(page, "```python\nx = 1\n```")
    assert block_faults(page, "```\nx = 1\n```")
    assert block_faults(page, "```text\na picture\n```") == []
    assert block_faults(page, "<!-- output -->\n```console\n42\n```") == []
    assert block_faults(page, "<!-- output -->\n```console\n42\n") != []

    (tmp_path / "x.py").write_text("if True:\n    # anchor: one\n    x = 1\n    # end: one\n")
    (tmp_path / "Makefile").write_text("run test: all\n\techo\nVAR := 1\n")
    same = "<!-- from: x.py#one -->\n```python\nx = 1\n```"
    assert block_faults(page, same, tmp_path) == []
    assert block_faults(page, same.replace("x = 1", "x = 2"), tmp_path) == ["made-up.md:2: differs from x.py#one"]
    assert block_faults(page, same.replace("#one", "#two"), tmp_path)
    assert block_faults(page, same.replace("x.py", "y.py"), tmp_path)
    run = "<!-- run: make run, make test -->\n```bash\nmake run    # everything\nmake test\n```"
    assert block_faults(page, run, tmp_path) == []
    assert block_faults(page, run.replace("make test", "make tea"), tmp_path)
    assert block_faults(page, run.replace("<!-- run: make run, make test", "<!-- run: make run"), tmp_path)
    assert block_faults(page, "<!-- run: rm -r x -->\n```bash\nrm -r x\n```", tmp_path)

    for text in ("see /wor" + "k/x", "in /roo" + "t/y", "a TO" + "DO", "an arti" + "factory"):
        assert banned(page, text), text
    assert banned(page, "a mastodon in docs/work/x.md") == []
