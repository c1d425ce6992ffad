"""What ``python -m kwaainet doctor`` looks at: whether this machine and this process can run a node."""

from __future__ import annotations

import multiprocessing
import os
import platform
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import _native, sync
from .errors import KwaaiError, NotFoundError

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    state: State
    said: str
    remedy: str | None = None


def examine() -> Iterator[Finding]:
    """Every check, one after the other. None raises, and none writes outside of memory."""
    for name, check in _CHECKS.items():
        try:
            yield from check(name)
        except KwaaiError as error:
            yield Finding(name, "fail", f"{error.code}: {error.message}", error.context.get("remedy"))
        except Exception as error:
            yield Finding(name, "fail", f"{type(error).__name__}: {error}")


def _versions(name: str) -> Iterator[Finding]:
    yield Finding(name, "ok", f"kwaainet {_native.VERSION}, Python {platform.python_version()}")


def _platform(name: str) -> Iterator[Finding]:
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    if sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc":
        yield Finding(name, "ok", system)
    else:
        yield Finding(name, "warn", f"{system}: nobody has tested it here", "see the support matrix in the documentation")


def data_dir() -> Path:
    """Where a node keeps its data unless it is told otherwise."""
    home = os.environ.get("KWAAINET_HOME")
    return Path(home) if home else Path.home() / ".kwaainet"


def _data(name: str) -> Iterator[Finding]:
    folder = data_dir()
    if not folder.exists():
        parent = next(parent for parent in folder.absolute().parents if parent.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            yield Finding(name, "ok", f"{folder} will be made at the first start")
        else:
            yield Finding(name, "fail", f"{folder} cannot be made", f"make {parent} writable, or set KWAAINET_HOME")
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(name, "fail", f"{folder} is no folder that can be written", "mend it, or set KWAAINET_HOME")
        return
    if os.name == "posix" and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o022:
        yield Finding(name, "warn", f"{folder} can be written by others (mode {mode:o})", f"chmod go-w {folder}")
    else:
        yield Finding(name, "ok", str(folder))


def _key(name: str) -> Iterator[Finding]:
    key = Path(os.environ.get("KWAAINET_IDENTITY_KEY") or data_dir() / "identity.key")
    if not key.exists():
        yield Finding(name, "ok", f"{key} will be made at the first start")
    elif os.name == "posix" and (mode := stat.S_IMODE(key.stat().st_mode)) & 0o077:
        yield Finding(name, "fail", f"{key} can be read by others (mode {mode:o})", f"chmod 600 {key}")
    else:
        yield Finding(name, "ok", f"{key}, readable by its owner alone")


def _embedder(name: str) -> Iterator[Finding]:
    with sync.ShardEngine.open() as engine:
        try:
            vectors = engine.embed(["a test"])
        except NotFoundError as error:
            yield Finding(name, "warn", "none: knowledge bases search by words alone", error.context.get("remedy"))
            return
    yield Finding(name, "ok", f"all-MiniLM-L6-v2, {vectors.nbytes // vectors.itemsize} dimensions")


def _ports(name: str) -> Iterator[Finding]:
    for kind, protocol in ((socket.SOCK_STREAM, "TCP"), (socket.SOCK_DGRAM, "UDP")):
        for address in ("127.0.0.1", "0.0.0.0"):
            try:
                with socket.socket(socket.AF_INET, kind) as bound:
                    bound.bind((address, 0))
            except OSError as error:
                remedy = "allow this program to listen" if address == "127.0.0.1" else "listen on loopback alone"
                yield Finding(name, "fail" if address == "127.0.0.1" else "warn", f"{protocol} {address}: {error}", remedy)
                return
    yield Finding(name, "ok", "TCP and UDP, on loopback and on every interface")


def _node(name: str) -> Iterator[Finding]:
    with sync.Node.start(preset="ephemeral") as node:
        yield Finding(name, "ok", f"one in memory started as {node.peer_id}, and stopped")


def _exchange(name: str) -> Iterator[Finding]:
    with sync.Node.start(preset="ephemeral") as one, sync.Node.start(preset="ephemeral") as other:
        other.connect(one.info().addresses[0])
        with one.messages() as inbox:
            other.send_message(one.peer_id, "hello")
            said = next(inbox)
    if (said.sender, said.text) == (other.peer_id, "hello"):
        yield Finding(name, "ok", "two nodes in memory met over loopback and one heard the other")
    else:
        yield Finding(name, "fail", "a message over loopback arrived changed")


def _process(name: str) -> Iterator[Finding]:
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    threads = f"{threading.active_count()} thread{'s' if threading.active_count() > 1 else ''} of Python"
    if method == "fork":
        yield Finding(
            name,
            "warn",
            f"{threads}; multiprocessing forks, and a forked child of a process with nodes or models can have neither",
            'multiprocessing.set_start_method("spawn"), or fork before the first node',
        )
    else:
        yield Finding(name, "ok", f"{threads}; multiprocessing uses {method}")


_CHECKS: dict[str, Callable[[str], Iterator[Finding]]] = {
    "versions": _versions,
    "platform": _platform,
    "data directory": _data,
    "key file": _key,
    "embedding model": _embedder,
    "ports": _ports,
    "node": _node,
    "loopback": _exchange,
    "processes": _process,
}
