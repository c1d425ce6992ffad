"""`python -m kwaainet doctor`: what it looks at, and that it notices."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

import kwaainet
from kwaainet import doctor


def doctors(home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    surroundings = os.environ | {"KWAAINET_HOME": str(home), "PYTHONPATH": str(ROOT / "bindings" / "python")} | environment
    command = [sys.executable, "-m", "kwaainet", "doctor", *arguments]
    ended = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=60)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def found(home: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    status, said = doctors(home, "--json", **environment)
    report = json.loads(said)
    assert report["sound"] == (status == 0)
    return status, {finding["check"]: finding for finding in report["findings"]}


def test_a_sound_machine_is_told_so_line_by_line(tmp_path: Path) -> None:
    status, said = doctors(tmp_path)
    assert status == 0
    checks = [line[5:].split(":")[0] for line in said.splitlines() if not line.startswith(" ")]
    assert checks == list(doctor._CHECKS)
    assert all(line[:5].strip() in ("ok", "warn", "") for line in said.splitlines())
    assert f"kwaainet {kwaainet.version}" in said
    assert not list(tmp_path.iterdir()), "it looks and leaves nothing"


def test_a_key_that_others_can_read_is_a_failure_with_its_remedy(tmp_path: Path) -> None:
    key = tmp_path / "identity.key"
    key.write_bytes(b"secret")
    key.chmod(0o644)
    status, report = found(tmp_path)
    assert (status, report["key file"]["state"]) == (1, "fail")
    assert report["key file"]["remedy"] == f"chmod 600 {key}"
    key.chmod(0o600)
    status, report = found(tmp_path)
    assert (status, report["key file"]["state"]) == (0, "ok")


def test_a_folder_that_is_none_or_open_to_others_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert found(tmp_path / "file")[1]["data directory"]["state"] == "fail"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    status, report = found(tmp_path / "open")
    assert (status, report["data directory"]["state"]) == (0, "warn")


def test_a_missing_embedding_model_is_a_warning(tmp_path: Path) -> None:
    status, report = found(tmp_path, KWAAINET_MODELS=str(tmp_path / "empty"))
    assert (status, report["embedding model"]["state"]) == (0, "warn")
    assert report["embedding model"]["remedy"]


def test_ports_that_cannot_be_bound_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    (finding,) = doctor._ports("ports")
    assert finding.state == "fail" and finding.remedy


def test_a_check_that_breaks_is_a_failure_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise kwaainet.BusyError("the port is taken", {"remedy": "take another"})
        yield

    monkeypatch.setattr(doctor, "_CHECKS", {"a": broken, "b": doctor._versions})
    first, second = doctor.examine()
    assert (first.state, first.said, first.remedy) == ("fail", "busy: the port is taken", "take another")
    assert second.state == "ok"
