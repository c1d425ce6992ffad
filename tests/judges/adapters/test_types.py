"""What plugs into LangChain and LlamaIndex is typed as they are. The rest of the package is checked by its own tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import ROOT

HERE = Path(__file__).resolve().parent


def test_the_adapters_are_clean_for_pyright() -> None:
    checker = ROOT / ".venv" / "bin" / "basedpyright"
    command = [str(checker), "--level", "error", "--project", str(HERE), "--pythonpath", sys.executable, "--verbose"]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "Found 3 source files" in checked.stdout, checked.stdout
