"""What an app brings: an embedder, a language model, document readers, a signer.

Any object with these attributes will do; no class of this package needs to be its base. Its function may be written with
``async def``: then it runs on the event loop that opened the knowledge base or the trust graph, and is cancelled when its
answer becomes unwanted. A plain function runs on a thread of its own, and holds up no event loop. Through
``kwaainet.sync``, what is asynchronous runs on an event loop of the package's own, on a thread.

An exception in the app's code is raised where the app called the library: one of ours as it is, any other as an
``InternalError``; either way the exception itself is the ``__cause__``. Each may set ``deadline``, a timedelta, after
which its answer is given up; two minutes unless set.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias

from . import _native
from ._checks import milliseconds, rule, wrong_type
from ._records import record
from .errors import ClosedError, InvalidArgumentError, KwaaiError, described
from .shard import ChatMessage, Done, Token

#: A two-dimensional array of 32-bit floats (numpy, or any buffer), taken with one copy, or a list of lists of numbers.
Vectors: TypeAlias = Any
#: A document's text, or its parts, each with what a citation calls it, such as ``page 3``.
Parts: TypeAlias = "str | Iterable[str | tuple[str | None, str]]"
#: Text as it is written; ``Done`` at the end tells why it ended and how many tokens it took.
Piece: TypeAlias = str | Token | Done


@dataclass(frozen=True)
class GenerateRequest:
    """What a language model is asked for."""

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float
    """0 takes the likeliest token each time."""
    top_p: float
    top_k: int
    """0 is all tokens."""
    seed: int
    stop: tuple[str, ...]
    """The text ends before the first of these."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def id(self) -> str:
        """Changes whenever the vectors would: a knowledge base refuses to be opened with another one."""
        ...

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        ...

    def embed(self, texts: list[str], query: bool, /) -> Vectors | Awaitable[Vectors]:
        """A vector for each text. ``query`` is true for what is looked for, false for what is found."""
        ...


class LanguageModel(Protocol):
    """Continues conversations."""

    @property
    def name(self) -> str:
        """What answers say wrote them."""
        ...

    def generate(
        self, request: GenerateRequest, /
    ) -> str | Iterable[Piece] | AsyncIterator[Piece] | Awaitable[str | Iterable[Piece] | AsyncIterator[Piece]]:
        """Writes the next turn, whole or piece by piece. A generator is closed when nobody reads any more."""
        ...


class DocumentReader(Protocol):
    """Reads documents of formats that the library does not."""

    @property
    def extensions(self) -> Sequence[str]:
        """The endings of its files, without the dot."""
        ...

    def read(self, name: str, data: bytes, /) -> Parts | Awaitable[Parts]:
        """The text of a document."""
        ...


class Signer(Protocol):
    """Signs for an identity whose key the app keeps."""

    @property
    def did(self) -> str:
        """The ``did:key`` of an Ed25519 key."""
        ...

    def sign(self, message: bytes, /) -> bytes | Awaitable[bytes]:
        """The Ed25519 signature of exactly these bytes, 64 bytes long."""
        ...


Readers: TypeAlias = Sequence[DocumentReader] | Mapping[str, Callable[[str, bytes], Any]]


class Host:
    """Where the app's code runs: plain functions on threads, asynchronous ones on an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def submit(self, answer: _native.Answer, work: Callable[[], Awaitable[None]]) -> None:
        """Runs ``work`` as a task that is cancelled when its answer becomes unwanted."""
        loop = self._loop or private_loop()
        try:
            loop.call_soon_threadsafe(self._begin, loop, answer, work)
        except RuntimeError:
            fail(answer, ClosedError("the event loop that the app's code runs on was closed"))

    @staticmethod
    def _begin(loop: asyncio.AbstractEventLoop, answer: _native.Answer, work: Callable[[], Awaitable[None]]) -> None:
        task = loop.create_task(_settled(answer, work))
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)
        answer.unwanted(partial(_cancel, loop, task))


def running_host() -> Host:
    """The host of what is opened from a coroutine."""
    return Host(asyncio.get_running_loop())


#: The host of ``kwaainet.sync``.
PRIVATE_HOST = Host(None)

_TASKS: set[asyncio.Task[None]] = set()
_private: asyncio.AbstractEventLoop | None = None
_private_lock = threading.Lock()


def private_loop() -> asyncio.AbstractEventLoop:
    """The package's own event loop, for programs that have none."""
    global _private
    with _private_lock:
        if _private is None:
            _private = asyncio.new_event_loop()
            threading.Thread(target=_private.run_forever, name="kwaainet-app-loop", daemon=True).start()
        return _private


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(RuntimeError):  # The loop was closed, and its tasks ended with it.
        loop.call_soon_threadsafe(task.cancel)


async def _settled(answer: _native.Answer, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except BaseException as error:
        fail(answer, error)
        if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit)):
            raise


def fail(answer: _native.Answer, error: BaseException) -> None:
    """Fails the answer with an exception of the app's code."""
    if isinstance(error, asyncio.CancelledError):
        answer.fail("cancelled", "the app's code was cancelled", None)
    else:
        answer.fail(*described(error))


def begin(
    host: Host,
    function: Callable[..., Any],
    hand_over: Callable[[_native.Answer, Any], Awaitable[None] | None],
    answer: _native.Answer,
    *arguments: Any,
) -> None:
    """Begins the app's work elsewhere and returns at once. ``hand_over`` takes what the function gave; what of that must be
    awaited, it leaves to a coroutine."""

    async def later(value: Any) -> None:
        if inspect.isawaitable(value):
            value = await value
        rest = hand_over(answer, value)
        if rest is not None:
            await rest

    def now() -> None:
        try:
            value = function(*arguments)
            if inspect.isawaitable(value):
                host.submit(answer, lambda: later(value))
            elif (rest := hand_over(answer, value)) is not None:
                host.submit(answer, lambda: rest)
        except BaseException as error:
            fail(answer, error)

    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        host.submit(answer, lambda: later(function(*arguments)))
        return
    try:
        threading.Thread(target=now, name="kwaainet-app", daemon=True).start()
    except RuntimeError as error:
        fail(answer, error)


def native_embedder(embedder: Embedder, host: Host) -> _native.Embedder:
    id, dimension, embed = _parts_of("embedder", embedder, "id", "dimension", "embed")
    rule(str)("the id of the embedder", id)
    rule(int)("dimension", dimension)
    if dimension > 2**32 - 1:
        raise InvalidArgumentError("the dimension of the embedder is too large")
    return _native.Embedder(id, dimension, _deadline(embedder), partial(begin, host, embed, _give))


def native_model(model: LanguageModel, host: Host) -> _native.Writer:
    name, generate = _parts_of("language model", model, "name", "generate")
    rule(str)("the name of the language model", name)

    def ask(answer: _native.Answer, request: dict[str, Any]) -> None:
        begin(host, generate, _write, answer, record(GenerateRequest, request))

    return _native.Writer(name, _deadline(model), ask)


def native_readers(readers: Readers, host: Host) -> list[_native.Reader]:
    if isinstance(readers, Mapping):
        return [_native_reader([extension], function, None, host) for extension, function in readers.items()]
    if isinstance(readers, (str, bytes)) or not isinstance(readers, Iterable):
        raise wrong_type("readers", "a list of document readers", readers)
    found = [(_parts_of("document reader", reader, "extensions", "read"), reader) for reader in readers]
    return [_native_reader(endings, read, _deadline(reader), host) for (endings, read), reader in found]


def _native_reader(endings: Any, read: Any, deadline_ms: int | None, host: Host) -> _native.Reader:
    rule(Sequence[str])("the extensions of a document reader", endings)
    rule(Callable[..., Any])("a document reader", read)
    return _native.Reader(list(endings), deadline_ms, partial(begin, host, read, _give_parts))


def native_signer(signer: Signer | None, host: Host) -> _native.Signer | None:
    if signer is None:
        return None
    did, sign = _parts_of("signer", signer, "did", "sign")
    rule(str)("the did of the signer", did)
    return _native.Signer(did, _deadline(signer), partial(begin, host, sign, _give))


def _parts_of(what: str, thing: object, *names: str) -> list[Any]:
    missing = [name for name in names if not hasattr(thing, name)]
    if missing:
        raise InvalidArgumentError(f"this {type(thing).__name__} is no {what}: it has no {' and no '.join(missing)}")
    values = [getattr(thing, name) for name in names]
    if not callable(values[-1]):
        raise wrong_type(f"{names[-1]} of the {what}", "a function", values[-1])
    return values


def _deadline(thing: object) -> int | None:
    deadline = getattr(thing, "deadline", None)
    if deadline is None:
        return None
    rule(timedelta)("the deadline", deadline)
    return milliseconds(deadline)


def _give(answer: _native.Answer, value: Any) -> None:
    try:
        answer.give(value)
    except KwaaiError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgumentError(f"an answer of the app cannot be a {type(value).__name__} like this") from error


def _give_parts(answer: _native.Answer, value: Any) -> None:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        raise wrong_type("the answer of the document reader", "a str or a list of parts", value)
    _give(answer, [(None, part) if isinstance(part, str) else part for part in parts])


def _write(answer: _native.Answer, value: Any) -> Awaitable[None] | None:
    """Writes what a language model gave; what it gives asynchronously, in a coroutine."""
    if isinstance(value, AsyncIterator):
        return _write_later(answer, value)
    if not isinstance(value, Iterable):
        raise wrong_type("the answer of the language model", "a str or its pieces", value)
    writer = _Written(answer)
    pieces: Any = iter([value] if isinstance(value, str) else value)
    try:
        for piece in pieces:
            if not writer.write(piece):
                return None
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    writer.finish()
    return None


async def _write_later(answer: _native.Answer, pieces: AsyncIterator[Piece]) -> None:
    writer = _Written(answer)
    try:
        async for piece in pieces:
            if not writer.write(piece):
                return
    finally:
        if (close := getattr(pieces, "aclose", None)) is not None:
            await close()
    writer.finish()


class _Written:
    """What a language model has written so far."""

    def __init__(self, answer: _native.Answer) -> None:
        self._answer = answer
        self._reason: Literal["stop", "length"] = "stop"
        self._usage: tuple[int, int, int] | None = None

    def write(self, piece: Piece) -> bool:
        match piece:
            case Done():
                self._reason = piece.finish_reason
                self._usage = piece.usage.prompt_tokens, piece.usage.completion_tokens, piece.usage.cached_tokens
                return True
            case Token(text) | str(text):
                rule(str)("a piece of the answer", text)
                return self._answer.write(text)
        raise wrong_type("a piece of the answer", "a str", piece)

    def finish(self) -> None:
        self._answer.finish(self._reason, self._usage)
