"""One version for everything, and it comes from one place: `Cargo.toml`."""

from __future__ import annotations

import json
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def test_the_crates_take_the_version_of_the_workspace() -> None:
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    for member in workspace["members"]:
        assert tomllib.loads((ROOT / member / "Cargo.toml").read_text())["package"]["version"] == {"workspace": True}, member
    for name in ("kwaai-core", "kwaai-ffi"):
        assert workspace["dependencies"][name]["version"] == VERSION


def test_the_python_package_takes_the_version_of_its_crate() -> None:
    project = tomllib.loads((ROOT / "bindings" / "python" / "pyproject.toml").read_text())["project"]
    assert "version" in project["dynamic"] and "version" not in project


def test_the_npm_package_has_the_version() -> None:
    package = json.loads((ROOT / "bindings" / "node" / "package.json").read_text())
    assert package["version"] == VERSION
    assert set(package.get("optionalDependencies", {}).values()) <= {VERSION}


def test_the_maven_artifact_has_the_version() -> None:
    pom = ElementTree.parse(ROOT / "bindings" / "kotlin" / "pom.xml").getroot()
    assert pom.findtext("{http://maven.apache.org/POM/4.0.0}version") == VERSION

