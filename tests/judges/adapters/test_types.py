"""What plugs into LangChain and LlamaIndex is typed as they are. The rest of the package is checked by its own tests."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_the_adapters_are_clean_for_pyright() -> None:
    checker = ROOT / ".venv" / "bin" / "basedpyright"
    modules = [f"kwaainet/{name}.py" for name in ("_adapters", "langchain", "llama_index")]
    command = [str(checker), "--level", "error", "--pythonpath", sys.executable, *modules]
    checked = subprocess.run(command, cwd=ROOT / "bindings" / "python", capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
