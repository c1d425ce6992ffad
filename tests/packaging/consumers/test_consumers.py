"""What `make package` made, installed into empty projects as its users do it. `make try-packages` runs it.

Nothing of the checkout is on any path of these projects but the guide's files, which are typed in, so to speak, and the
documents and the small model that they read.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
PACKAGES = ROOT / "target" / "package"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
MODEL = ROOT / "examples" / "models" / "tiny-kwaai"
DOCUMENTS = ROOT / "examples" / "data"


def package(pattern: str) -> Path:
    """The one package of this version, on this platform."""
    (found,) = sorted(PACKAGES.glob(pattern)) or pytest.fail(f"there is no {pattern} in target/package; run make package")
    return found


def run(*command: str | Path, cwd: Path, minutes: int = 10, **environment: str) -> str:
    """What a program prints; it must end well, and in time."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "NODE_PATH", "CARGO_TARGET_DIR")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean | environment, text=True, timeout=60 * minutes,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_python_installs_the_wheel_and_does_the_guides_tasks(project: Path) -> None:
    run(sys.executable, "-m", "venv", "venv", cwd=project)
    python = project / "venv" / "bin" / "python"
    wheel = package("kwaainet-*.whl")
    run(python, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check", wheel, cwd=project)
    wanted = {line.split("==")[0]: line for line in (ROOT / "bindings/python/requirements-test.txt").read_text().split() if "==" in line}
    tools = [wanted[name] for name in ("fastapi", "httpx", "uvicorn", "numpy", "pytest", "mypy")]
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *tools, cwd=project)
    for name in ("guide.py", "fastapi_app.py"):
        shutil.copy(ROOT / "examples" / "python" / name, project)
    shutil.copy(HERE / "app.py", project)
    said = run(python, "app.py", DOCUMENTS, MODEL, cwd=project, EMBEDDER="none")
    assert said.splitlines()[-1] == "done", said
    assert "no issues found" in run(python, "-m", "mypy", "--strict", "guide.py", cwd=project)


def test_node_installs_the_tarballs_and_does_the_guides_tasks(project: Path) -> None:
    (project / "package.json").write_text('{ "private": true, "type": "module" }')
    tarballs = [package(f"kwaainet-{VERSION}.tgz"), *PACKAGES.glob(f"kwaainet-*-*-{VERSION}.tgz")]
    quiet = ("--no-audit", "--no-fund", "--silent")
    # The package of this platform comes as a tarball too, since nothing is published.
    run("npm", "install", *quiet, "--omit=optional", *tarballs, cwd=project)
    run("npm", "install", *quiet, "--omit=optional", "express@5", "typescript@5.9", "@types/node@20", "@types/express@5", cwd=project)
    for name in ("guide.mts", "worker.mts"):
        shutil.copy(ROOT / "examples" / "node" / name, project)
    shutil.copy(HERE / "app.mts", project)
    compiled = ("--module", "nodenext", "--target", "es2022", "--strict", "--skipLibCheck", "--lib", "es2023,esnext.disposable")
    run("npx", "tsc", *compiled, "guide.mts", "worker.mts", "app.mts", cwd=project)
    said = run("node", "app.mjs", DOCUMENTS, MODEL, cwd=project)
    assert said.splitlines()[-1] == "done", said


@pytest.fixture
def local_repository(tmp_path: Path) -> Iterator[Path]:
    """A Maven repository with the artifact alone; what Maven copied from it is taken away again."""
    cached = Path.home() / ".m2" / "repository" / "ai" / "kwaai" / "kwaainet"
    shutil.rmtree(cached, ignore_errors=True)
    folder = tmp_path / "maven" / "ai" / "kwaai" / "kwaainet" / VERSION
    folder.mkdir(parents=True)
    for ending in (".jar", ".pom"):
        shutil.copy(package(f"kwaainet-{VERSION}{ending}"), folder)
    yield tmp_path / "maven"
    shutil.rmtree(cached, ignore_errors=True)


def test_kotlin_takes_the_maven_artifact_and_does_the_guides_tasks(project: Path, local_repository: Path) -> None:
    sources, tests = project / "src" / "main" / "kotlin", project / "src" / "test" / "kotlin"
    sources.mkdir(parents=True)
    tests.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "kotlin" / "Guide.kt", sources)
    shutil.copy(HERE / "AppTest.kt", tests)
    shutil.copy(HERE / "pom.xml", project)
    properties = (f"-Dkwaainet.repository={local_repository.as_uri()}", f"-Dkwaainet.version={VERSION}")
    said = run("mvn", "-B", "-ntp", "-q", "test", *properties, f"-Ddocuments={DOCUMENTS}", f"-Dmodel={MODEL}", cwd=project)
    report = next((project / "target" / "surefire-reports").glob("*.xml")).read_text()
    assert 'errors="0"' in report and 'failures="0"' in report and 'skipped="0"' in report, said


def test_c_unpacks_the_archive_and_does_the_guides_tasks(project: Path) -> None:
    archive = package(f"kwaainet-c-{VERSION}-{platform.system().lower()}-{platform.machine()}.tar.gz")
    run("tar", "-xzf", archive, "--strip-components=1", cwd=project)
    examples = project / "share" / "doc" / "kwaainet" / "examples"
    warnings = "-Wall -Wextra -Wpedantic -Werror"
    flags = "$(pkg-config --cflags --libs kwaainet) -lm -lpthread"
    found = {"PKG_CONFIG_PATH": str(project / "lib" / "pkgconfig"), "LD_LIBRARY_PATH": str(project / "lib")}
    programs = (("cc -std=c11 -D_XOPEN_SOURCE=700", "hello.c"), ("c++ -std=c++17", "hello.cpp"), ("cc -std=c11 -D_XOPEN_SOURCE=700", "guide.c"))
    for compiler, source in programs:
        run("sh", "-c", f"{compiler} {warnings} {examples / source} -o {source}.out {flags}", cwd=project, **found)
    assert '"peer_id":"12D3KooW' in run("./hello.c.out", cwd=project, **found)
    assert '"text":"hello from C++"' in run("./hello.cpp.out", cwd=project, **found)
    # The guide looks for the small model and the documents under a root.
    said = run("./guide.c.out", ROOT, project, cwd=project, **found)
    assert "alice is 12D3KooW" in said and "the slow call ended: cancelled" in said, said
    exported = run("sh", "-c", "nm --dynamic --defined-only --format=posix lib/libkwaainet.so", cwd=project).splitlines()
    assert exported and all(line.startswith("kwaai_") for line in exported), exported


def test_rust_takes_the_packed_crate_without_cmake_or_clang(project: Path) -> None:
    """`cargo check` of a program over the packed crate, with programs in place of cmake and clang that fail."""
    run("tar", "-xzf", package(f"kwaai-core-{VERSION}.crate"), cwd=project)
    missing = project / "missing"
    missing.mkdir()
    for name in ("cmake", "clang", "clang++", "libclang"):
        (missing / name).write_text(f"#!/bin/sh\necho {name} was called >&2\nexit 1\n")
        (missing / name).chmod(0o755)
    run("cargo", "init", "-q", "--name", "app", "--bin", "app", cwd=project)
    run("cargo", "add", "-q", "--path", f"../kwaai-core-{VERSION}", cwd=project / "app")
    run("cargo", "add", "-q", "tokio", "--features", "rt-multi-thread,macros", cwd=project / "app")
    shutil.copy(HERE / "main.rs", project / "app" / "src" / "main.rs")
    shutil.copy(ROOT / "Cargo.lock", project / "app")
    target = os.environ.get("CONSUMER_TARGET_DIR", str(project / "target"))
    # Four hundred crates, from nothing.
    run("cargo", "check", "-q", cwd=project / "app", minutes=40, PATH=f"{missing}:{os.environ['PATH']}", CARGO_TARGET_DIR=target)
