"""What the decisions say of the build is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "decisions"


def toml(name: str) -> dict:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def shipped() -> dict[str, set[str]]:
    """The dependencies of each crate that is not for tests alone."""
    found = {}
    for member in toml("Cargo.toml")["workspace"]["members"]:
        manifest = toml(f"{member}/Cargo.toml")
        names = set(manifest.get("dependencies", {})) | set(manifest.get("build-dependencies", {}))
        for target in manifest.get("target", {}).values():
            names |= set(target.get("dependencies", {})) | set(target.get("build-dependencies", {}))
        found[member] = names
    return found


def locked() -> set[str]:
    return {package["name"] for package in toml("Cargo.lock")["package"]}


def test_each_decision_is_short_and_says_what_why_and_what_not():
    pages = sorted(FOLDER.glob("*.md"))
    assert [page.name[:3] for page in pages] == [f"{number:03}" for number in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:3]} "), page.name
        assert re.findall(r"^\*\*(\w+(?: \w+)?)\.\*\*", text, re.M) == ["Decision", "Why", "Turned down"], page.name
        assert len(text.splitlines()) <= 14, page.name


def test_001_the_did_key_crate_is_not_shipped():
    assert [member for member, names in shipped().items() if "did-key" in names] == []
    assert "did-key" in toml("kwaai-core/Cargo.toml")["dev-dependencies"]


def test_005_and_011_yaml_and_tls_come_from_where_they_should():
    assert locked() & {"openssl", "openssl-sys", "native-tls", "serde_yaml", "serde_yml"} == set()
    assert {"serde-saphyr", "rustls"} <= locked()


def test_007_nothing_but_measurements_and_packages_asks_for_a_release_build():
    for name in ("Makefile", ".ci/run", ".ci/setup", ".ci/lint"):
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        targets = re.sub(r"^(?:bench|package|install|c-library).*?(?=^\S|\Z)", "", text, flags=re.M | re.S)
        assert "--release" not in targets, name
