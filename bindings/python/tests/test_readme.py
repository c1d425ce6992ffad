"""The examples of the package's page run."""

from __future__ import annotations

import re

from conftest import ROOT, python


def test_the_example_of_the_readme_runs() -> None:
    text = (ROOT / "bindings" / "python" / "README.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ended = python(example)
    assert ended.returncode == 0, ended.stderr
    sender, message = ended.stdout.split()
    assert sender.startswith("12D3KooW") and message == "hello"
