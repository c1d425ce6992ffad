"""For the tests of programs that use kwaainet: nodes that know each other, and failures on demand.

The failures, and what counts and measures, need a library that was built for tests, as a checkout has it. The one that is
shipped answers with ``UnsupportedError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from . import _native, sync
from ._bridge import finished
from ._checks import checked_function, rule
from ._records import Floats
from .errors import InvalidArgumentError, UnsupportedError
from .node import Node, NodeInfo, PeerConnected
from .streams import EventStream

T = TypeVar("T")

#: The most nodes of a swarm, and what its nodes may be told: the rest each has for itself.
_MOST = 64
_OPTIONS = ("bootstrap", "clock", "limits", "listen", "mdns")


class Swarm:
    """Nodes in memory, named ``node-0`` and so on, that are all connected with each other; the end of ``with`` shuts them down.

    ``async with Swarm(3) as (a, b, c)`` gives nodes of ``kwaainet``, ``with`` those of ``kwaainet.sync``. Options are those of
    ``Node.start``, without what each node has for itself.
    """

    def __init__(self, size: int, **options: Any) -> None:
        rule(int)("size", size)
        if not 1 <= size <= _MOST:
            raise InvalidArgumentError(f"size must be a whole number from 1 to {_MOST}, not {size}")
        for name in options:
            if name not in _OPTIONS:
                raise InvalidArgumentError(f"there is no {name}; there are {', '.join(_OPTIONS)}")
        self._size = size
        self._options = options
        self._nodes: list[Node] = []
        self._blocking: list[sync.Node] = []

    def _told(self, place: int) -> dict[str, Any]:
        return {"preset": "ephemeral", "name": f"node-{place}", **self._options}

    async def __aenter__(self) -> list[Node]:
        try:
            for place in range(self._size):
                node = await Node.start(**self._told(place))
                self._nodes.append(node)
                for other in self._nodes[:-1]:
                    async with other.events() as events:
                        await node.connect(_address(await other.info()))
                        # Who was dialled learns of the connection a moment after who dialled.
                        async for event in events:
                            if isinstance(event, PeerConnected) and event.peer == node.peer_id:
                                break
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return list(self._nodes)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        nodes, self._nodes = self._nodes, []
        await asyncio.gather(*(node.shutdown() for node in nodes))

    def __enter__(self) -> list[sync.Node]:
        try:
            for place in range(self._size):
                node = sync.Node.start(**self._told(place))
                self._blocking.append(node)
                for other in self._blocking[:-1]:
                    with other.events() as events:
                        node.connect(_address(other.info()))
                        for event in events:
                            if isinstance(event, PeerConnected) and event.peer == node.peer_id:
                                break
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return list(self._blocking)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        nodes, self._blocking = self._blocking, []
        for node in nodes:
            node.__exit__(kind, error, traceback)


def _address(info: NodeInfo) -> str:
    if not info.addresses:
        raise InvalidArgumentError("listen must name an address: the nodes of a swarm dial each other")
    return info.addresses[0]


class Call(Generic[T]):
    """A call that is awaited, or waited for with ``wait()``."""

    def __init__(self, operation: _native.Operation[T]) -> None:
        self._operation = operation

    def __await__(self) -> Generator[Any, None, T]:
        return finished(self._operation).__await__()

    def wait(self) -> T:
        """Blocks until it is done, within the limit of ``sync.timeout``."""
        return sync.waited(self._operation)

    def cancel(self) -> None:
        """Ends the wait of another thread with ``CancelledError``."""
        self._operation.cancel()


@checked_function
def raise_error(number: int) -> Call[None]:
    """Fails with the error code of this number."""
    return Call(_on_demand("raise_error")(min(number, 0xFFFF)))


def panic() -> Call[None]:
    """Fails with ``InternalError``, as a defect of the library would."""
    return Call(_on_demand("panic")())


def hang() -> Call[None]:
    """Never ends. ``live_handles()["hang"]`` counts those that are under way."""
    return Call(_on_demand("hang")())


@checked_function
def numbers(count: int, *, capacity: int = 1024, open: bool = False) -> EventStream[int]:
    """The numbers from 0 up to ``count``, of which a slow reader loses the first; ``open`` keeps the stream open."""
    return EventStream(_on_demand("numbers")(count, capacity, open), int)


def live_handles() -> dict[str, int]:
    """How many objects of each kind are alive in this process. Empty when everything was let go."""
    return cast(dict[str, int], _on_demand("live_handles")())


def norms(array: Any) -> Floats:
    """The length of each row of a two-dimensional array of 32-bit floats, which is read where it lies."""
    return memoryview(_on_demand("norms")(array)).cast("f")


@checked_function
def seed_did(seed: int) -> str:
    """The DID of the identity that a seed gives."""
    return cast(str, _on_demand("seed_did")(seed))


@checked_function
def seed_sign(seed: int, message: bytes) -> Call[bytes]:
    """The signature of these bytes by that identity."""
    return Call(_on_demand("seed_sign")(seed, message))


def _on_demand(name: str) -> Any:
    try:
        return getattr(_native, name)
    except AttributeError:
        raise UnsupportedError("this build of kwaainet has no failures on demand; those of a checkout have") from None
