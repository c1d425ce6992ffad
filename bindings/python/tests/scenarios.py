"""Runs the scenarios of `tests/conformance` through the public package, asynchronous or blocking.

Generic by reflection: a verb is looked up by its name, and its arguments are passed by theirs. What each entry of a file
means stands in the README beside the scenarios.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gc
import inspect
import json
import math
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy
from conftest import ROOT

import kwaainet
from kwaainet import node, rag, shard, sync, testing

KINDS: dict[type, str] = {
    **{cls: kind for kinds in (node._EVENTS, rag._PROGRESS, rag._SYNC, rag._REEMBED, rag._OUTSOURCE, shard._DOWNLOAD) for kind, cls in kinds.items()},
    kwaainet.MessageReceived: "message_received",
    kwaainet.Token: "token",
    kwaainet.Done: "done",
    kwaainet.AnswerText: "text",
    kwaainet.AnswerRetracted: "retracted",
    kwaainet.AnswerDone: "done",
}
#: The one sink of this process, and what it got.
LOGGED: list[Any] = []


class Failed(AssertionError):
    """A step did not do what the scenario says."""


class Skipped(Exception):
    """Something is not there that is no part of the repository."""


class OwnError(Exception):
    """An exception of the app's own."""


class Scenario:
    """One run of one file. `module` is `kwaainet` or `kwaainet.sync`; everything is awaited that can be."""

    def __init__(self, module: ModuleType, tmp: Path) -> None:
        self.module = module
        self.names: dict[str, Any] = {"tmp": str(tmp), "root": str(ROOT)}
        self.saved: list[Any] = []
        self.pending: dict[int, list[Any]] = {}
        self.told_missed: dict[int, int] = {}

    async def run(self, file: Path) -> None:
        try:
            for number, step in enumerate(json.loads(file.read_text())["steps"], 1):
                try:
                    await self.step(step)
                except Skipped:
                    raise
                except Exception as error:
                    raise Failed(f"{file.name}, step {number}, {step['call']}: {type(error).__name__}: {error}") from error
        finally:
            for thing in reversed(self.saved):
                await self.end(thing)

    async def step(self, step: dict[str, Any]) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                result = await self.call(step)
                failure = None
            except kwaainet.KwaaiError as error:
                result, failure = None, error
            if failure is not None and failure.code == step.get("skip_on", {}).get("code"):
                raise Skipped(step["skip_on"]["reason"])
            fault = self.fault(step, result, failure)
            if fault is None:
                break
            if not step.get("eventually") or time.monotonic() > deadline:
                raise Failed(fault) from failure
            await asyncio.sleep(0.02)
        if "save" in step and failure is None:
            self.names[step["save"]] = result
            self.saved.append(result)

    def fault(self, step: dict[str, Any], result: Any, failure: kwaainet.KwaaiError | None) -> str | None:
        if failure is not None:
            allowed = (step.get("error"), step.get("or_error"))
            return None if failure.code in allowed else f"failed with {failure.code}: {failure}"
        if "error" in step:
            return f"did not fail with {step['error']}"
        if "expect" in step:
            return mismatch(plain(result), plain(self.value(step["expect"], pattern=True)))
        return None

    async def call(self, step: dict[str, Any]) -> Any:
        owner, verb = step["call"].split(".")
        arguments = {name: self.value(value) for name, value in step.get("args", {}).items()}
        if owner in ("Stream", "Object", "Provide", "Testing", "Library"):
            thing = self.value(step["on"]) if "on" in step else None
            result = await getattr(self, f"{owner.lower()}_{verb}")(*([thing] if thing is not None else []), **arguments)
        else:
            target = self.value(step["on"]) if "on" in step else getattr(self.module, owner)
            result = await self.verb(target, verb, arguments)
        if step.get("cancel"):
            return await self.cancelled(result)
        if "error" in step and is_stream(result):
            # A stream begins when its first value is asked for.
            await self.stream_next(result)
        return result

    async def verb(self, target: Any, verb: str, arguments: dict[str, Any]) -> Any:
        found = getattr(target, verb)
        if not callable(found):
            return found
        given = {}
        for name, value in arguments.items():
            if name in ("since_ms", "before_ms"):
                name = name.removesuffix("_ms")
                value = datetime.fromtimestamp(value / 1000, UTC) if _number(value) else value
            elif name.endswith("_ms"):
                name = name.removesuffix("_ms")
                # What is no number is left as it is, for the verb to refuse.
                value = timedelta(milliseconds=value) if _number(value) else value
            given[name] = self.rich(name, value, verb)
        result = found(**given)
        return await result if inspect.isawaitable(result) else result

    def rich(self, name: str, value: Any, verb: str = "") -> Any:
        """Plain data as the class that Python has for it."""
        try:
            if name == "blocks" and isinstance(value, list) and value and isinstance(value[0], dict):
                return [kwaainet.BlockShare(**share) for share in value]
            if name == "cache" and isinstance(value, dict):
                kept = {("ttl" if key == "ttl_ms" else key): given for key, given in value.items()}
                if "ttl" in kept:
                    kept["ttl"] = timedelta(milliseconds=kept["ttl"])
                return kwaainet.AnswerCache(**kept)
            if name == "questions" and isinstance(value, list) and verb != "evaluate":
                return [kwaainet.CalibrationQuestion(**asked) if isinstance(asked, dict) else asked for asked in value]
            if name == "thresholds" and isinstance(value, dict):
                return kwaainet.Thresholds(**value)
            if name == "models" and isinstance(value, dict):
                return {called: self.rich("model", model) for called, model in value.items()}
            if name == "embedder" and isinstance(value, dict):
                return kwaainet.EmbeddingEndpoint(**value)
            if name == "model" and isinstance(value, dict):
                return self.module.ModelWriter(**value) if "engine" in value else kwaainet.Endpoint(**value)
        except TypeError as error:
            # What Python's own classes do not let through counts as an invalid argument.
            raise kwaainet.InvalidArgumentError(str(error)) from error
        return value

    async def end(self, thing: Any) -> None:
        shutdown = getattr(thing, "aclose", None) or getattr(thing, "shutdown", None) or getattr(thing, "close", None)
        if shutdown is not None:
            done = shutdown()
            if inspect.isawaitable(done):
                await done

    # ---- values

    def value(self, written: Any, pattern: bool = False) -> Any:
        """What stands in a scenario, with the names in it replaced. In a pattern, matchers stay as they are."""
        if isinstance(written, str):
            if re.fullmatch(r"\$[a-z_]\w*(\.\w+)*", written):
                return self.named(written[1:])
            return re.sub(r"\$\{([\w.]+)\}", lambda match: str(self.named(match[1])), written)
        if isinstance(written, list):
            return [self.value(item, pattern) for item in written]
        if isinstance(written, dict):
            if "$base64" in written:
                return base64.b64decode(written["$base64"])
            if "$repeat" in written:
                text, times = written["$repeat"]
                return text * times
            if "$number" in written:
                return float(written["$number"])
            return {key: self.value(item, pattern) for key, item in written.items()}
        return written

    def named(self, path: str) -> Any:
        name, *parts = path.split(".")
        found = self.names[name]
        for part in parts:
            found = plain(found)
            found = found[int(part)] if isinstance(found, list) else found[part] if isinstance(found, dict) else getattr(found, part)
        return found

    # ---- calls that are not verbs

    async def stream_next(self, stream: Any) -> Any:
        key = id(stream)
        if self.pending.get(key):
            return self.pending[key].pop(0)
        value = await anext(stream, None) if isinstance(stream, AsyncIterator) else next(stream, None)
        if stream.missed > self.told_missed.get(key, 0):
            missed = stream.missed - self.told_missed.get(key, 0)
            self.told_missed[key] = stream.missed
            self.pending.setdefault(key, []).append(value)
            return {"missed": missed}
        return value

    async def stream_until(self, stream: Any, match: Any) -> Any:
        while (value := await self.stream_next(stream)) is not None:
            if mismatch(plain(value), match) is None:
                return value
        raise Failed(f"the stream ended without {match}")

    async def stream_collect(self, stream: Any) -> list[Any]:
        values = []
        while (value := await self.stream_next(stream)) is not None:
            values.append(value)
        return values

    async def stream_cancel(self, stream: Any) -> None:
        # `aclose` ends the iteration as well, as that of a generator. The scenarios want to see what was made before.
        source = stream._source
        source.native.cancel() if source.native is not None else source.close()

    async def object_shutdown(self, thing: Any) -> None:
        await self.end(thing)

    async def library_version(self) -> str:
        return kwaainet.version

    async def library_resolve_did(self, did: str) -> kwaainet.ResolvedDid:
        return kwaainet.resolve_did(did)

    async def library_check_citations(self, text: str, sources: list[str]) -> list[kwaainet.Fault]:
        return kwaainet.check_citations(text, sources)

    async def library_check_provenance(self, hit: Any, provenance: Any) -> kwaainet.Proven:
        return kwaainet.check_provenance(hit, provenance)

    async def library_read_knowledge_capability(self, capability: str) -> kwaainet.KnowledgeCapability:
        return kwaainet.read_knowledge_capability(capability)

    async def library_compare_evaluations(self, evaluation: Any, other: Any) -> Any:
        return evaluation.compare(other)

    async def library_evaluation_report(self, evaluation: Any, form: str, beside: Any = None) -> str:
        return evaluation.to_markdown() if form == "markdown" else evaluation.to_html(beside)  # type: ignore[no-any-return]

    async def library_init_logging(self, filter: str, sink: Any) -> None:
        kwaainet.init_logging(filter, sink)

    async def provide_sink(self) -> Callable[[Any], None]:
        return LOGGED.append

    async def provide_logged(self, sink: object) -> list[Any]:
        return list(LOGGED)

    async def provide_embedder(
        self, id: str, dimension: int, deadline_ms: int | None = None, fails: str | None = None
    ) -> Any:
        def embed(texts: list[str], query: bool) -> list[list[float]]:
            check(fails)
            vectors = numpy.zeros((len(texts), dimension), dtype=numpy.float32)
            for vector, text in zip(vectors, texts, strict=True):
                for letter in text:
                    vector[(ord(letter) - ord("a")) % dimension] += 1
            return vectors  # type: ignore[return-value]

        embedder = SimpleNamespace(id=id, dimension=dimension, embed=self.either(embed))
        if deadline_ms is not None:
            embedder.deadline = timedelta(milliseconds=deadline_ms)
        return await self.handed_over(embedder, embedder=embedder)

    async def provide_model(self, name: str, reply: str, fails: str | None = None) -> Any:
        def generate(request: kwaainet.GenerateRequest) -> Iterator[str]:
            check(fails)
            yield from re.findall(r"\S+\s*", reply)

        async def generate_later(request: kwaainet.GenerateRequest) -> AsyncIterator[str]:
            for piece in generate(request):
                yield piece

        model = SimpleNamespace(name=name, generate=generate if self.module is sync else generate_later)
        return await self.handed_over(model, embedder="none", model=model)

    async def provide_reader(self, extensions: list[str], fails: str | None = None) -> Any:
        def read(name: str, data: bytes) -> list[tuple[str | None, str]]:
            check(fails)
            return [(label, text) for label, _, text in (line.partition(": ") for line in data.decode().splitlines())]

        reader = SimpleNamespace(extensions=extensions, read=self.either(read))
        return await self.handed_over(reader, embedder="none", readers=[reader])

    async def provide_signer(self, seed: int, fails: str | None = None) -> Any:
        async def sign(message: bytes) -> bytes:
            check(fails)
            return await testing.seed_sign(seed, message)

        signer = SimpleNamespace(did=testing.seed_did(seed), sign=sign)
        await self.end(await self.verb(self.module.TrustGraph, "open", {"signer": signer}))
        return signer

    async def handed_over(self, brought: Any, **supplies: Any) -> Any:
        """What an app brings is an object of its own, and looked at when it is handed over: so it is, at once."""
        folder = Path(self.names["tmp"]) / "handed-over"
        rag = await self.verb(self.module.Rag, "open", {"dir": folder, **supplies})
        await self.verb(rag, "destroy", {})
        return brought

    def either(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is for blocking Python, and as a coroutine for asynchronous Python."""
        if self.module is sync:
            return function

        async def later(*arguments: Any) -> Any:
            return function(*arguments)

        return later

    async def testing_raise(self, number: int) -> None:
        await self.made(testing.raise_error(number))

    async def testing_panic(self) -> None:
        await self.made(testing.panic())

    async def testing_hang(self) -> Any:
        return testing.hang()

    async def testing_numbers(self, count: int, capacity: int, open: bool) -> Any:
        stream = testing.numbers(count, capacity=capacity, open=open)
        return stream if self.module is kwaainet else sync.EventStream(stream._source.native, int)  # type: ignore[arg-type]

    async def testing_live_handles(self) -> dict[str, int]:
        gc.collect()
        return testing.live_handles()

    async def testing_page(self, url: str) -> str | None:
        def read() -> str | None:
            try:
                with urllib.request.urlopen(url, timeout=10) as reply:
                    return str(reply.read(), "utf-8")
            except (urllib.error.URLError, ConnectionError):
                return None

        return await asyncio.to_thread(read)

    async def testing_request(self, url: str, token: str | None = None, body: Any = None) -> Any:
        def read() -> Any:
            request = urllib.request.Request(url, None if body is None else json.dumps(body).encode())
            request.add_header("Content-Type", "application/json")
            if token is not None:
                request.add_header("Authorization", f"Bearer {token}")
            try:
                with urllib.request.urlopen(request, timeout=10) as reply:
                    return {"status": reply.status, "body": json.load(reply)}
            except urllib.error.HTTPError as refusal:
                return {"status": refusal.code, "body": json.load(refusal)}
            except (urllib.error.URLError, ConnectionError):
                return None

        return await asyncio.to_thread(read)

    async def made(self, call: testing.Call[Any]) -> Any:
        return call.wait() if self.module is sync else await call

    async def cancelled(self, call: testing.Call[Any]) -> None:
        """Starts the call, waits until it is under way, and cancels it by the means of the language."""
        # The call of the step before may take a moment to be gone.
        while "hang" in testing.live_handles():
            await asyncio.sleep(0)
        if self.module is kwaainet:
            task = asyncio.ensure_future(self.made(call))
            while "hang" not in testing.live_handles():
                await asyncio.sleep(0)
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended
            return
        caught: list[BaseException] = []

        def wait() -> None:
            try:
                call.wait()
            except kwaainet.CancelledError as error:
                caught.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        while "hang" not in testing.live_handles():
            await asyncio.sleep(0)
        call.cancel()
        thread.join(30)
        assert caught, "the blocking call did not end as cancelled"


def check(fails: str | None) -> None:
    if fails == "exception":
        raise OwnError("an exception of the app")
    if fails is not None:
        raise kwaainet.errors.BY_CODE[fails]("an error of the app")


def is_stream(thing: Any) -> bool:
    return isinstance(thing, (kwaainet.EventStream, sync.EventStream))


def plain(value: Any) -> Any:
    """A value in the form that the object layer writes."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, memoryview):
        rows, columns = value.shape or (0, 0)
        return {"rows": rows, "columns": columns, "values": numpy.asarray(value).tolist()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        kind = KINDS.get(type(value))
        return fields if kind is None else {"kind": kind} | fields
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def mismatch(value: Any, pattern: Any) -> str | None:
    """Why a value does not match; `None` when it does."""
    if isinstance(pattern, dict) and len(pattern) == 1 and (name := next(iter(pattern))).startswith("$"):
        return MATCHERS[name[1:]](value, pattern[name])
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return f"{value!r:.300} is no object"
        for key, inner in pattern.items():
            if key not in value:
                return f"{key} is missing in {value!r:.300}"
            if (fault := mismatch(value[key], inner)) is not None:
                return f"{key}: {fault}"
        return None
    if isinstance(pattern, list):
        if not isinstance(value, list) or len(value) != len(pattern):
            return f"{value!r:.300} is no list of {len(pattern)}"
        faults = (mismatch(item, inner) for item, inner in zip(value, pattern, strict=True))
        return next((fault for fault in faults if fault is not None), None)
    same = value == pattern and isinstance(value, bool) == isinstance(pattern, bool)
    return None if same else f"{value!r:.300} is not {pattern!r:.300}"


def _test(holds: Callable[[Any, Any], bool], what: str) -> Callable[[Any, Any], str | None]:
    return lambda value, wanted: None if holds(value, wanted) else f"{value!r:.300} is not {what} {wanted!r:.300}"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return wanted in value
    return isinstance(value, list) and any(mismatch(item, wanted) is None for item in value)


MATCHERS: dict[str, Callable[[Any, Any], str | None]] = {
    "exists": _test(lambda value, wanted: (value is not None) == wanted, "there:"),
    "gte": _test(lambda value, wanted: _number(value) and value >= wanted, "at least"),
    "lte": _test(lambda value, wanted: _number(value) and value <= wanted, "at most"),
    "approx": _test(lambda value, wanted: _number(value) and abs(value - wanted[0]) <= wanted[1], "near"),
    "len": _test(lambda value, wanted: hasattr(value, "__len__") and len(value) == wanted, "as long as"),
    "min_len": _test(lambda value, wanted: hasattr(value, "__len__") and len(value) >= wanted, "at least as long as"),
    "matches": _test(lambda value, wanted: isinstance(value, str) and re.search(wanted, value) is not None, "like"),
    "contains": _test(_contains, "with"),
    "not": lambda value, inner: "it matches what it must not" if mismatch(value, inner) is None else None,
    "all": lambda value, inner: next((fault for one in inner if (fault := mismatch(value, one)) is not None), None),
}
