"""Language models, whole on this machine or in blocks over several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ctypes import c_float
from dataclasses import asdict, dataclass
from os import PathLike, fspath
from typing import Any, Literal, TypeAlias

from . import _native
from ._bridge import Opening, finished
from ._checks import checked, home, to_json
from ._records import Floats, record, records, tagged
from .streams import EventStream

Path: TypeAlias = str | PathLike[str]
Blocks: TypeAlias = Literal["all", "none"] | tuple[int, int]
Route: TypeAlias = Literal["local", "peers"]


@dataclass(frozen=True)
class Span:
    """From the first up to and without the last."""

    start: int
    end: int


@dataclass(frozen=True)
class ModelInfo:
    """What a model is."""

    id: str
    """The same on every machine that has the same weights."""
    name: str
    blocks: int
    held_blocks: Span | None
    hidden_size: int
    vocab_size: int
    max_context: int


@dataclass(frozen=True)
class Offer:
    """Blocks that this node serves."""

    model: str
    start_block: int
    end_block: int


@dataclass(frozen=True)
class BlockHost:
    """A run of blocks that a peer offers."""

    peer: str
    start_block: int
    end_block: int
    usable: bool
    """Whether this node uses it."""
    why: str | None
    """Why not."""


@dataclass(frozen=True)
class Coverage:
    """Which blocks of a model are up, and from whom. Iterates over the hosts."""

    blocks: int
    counts: tuple[int, ...]
    """For each block, how many hosts that this node would use have it."""
    hosts: tuple[BlockHost, ...]

    def __iter__(self) -> Iterator[BlockHost]:
        return iter(self.hosts)


@dataclass(frozen=True)
class BlockCalibration:
    """How many blocks of a model this machine can serve, and how fast."""

    model: str
    """The model's id."""
    blocks: int
    """How many blocks the model has."""
    backend: Literal["candle", "ggml"]
    processor: str | None
    """The processor by its maker's name, where the system says it."""
    cores: int
    """Cores that this process may run on."""
    memory_bytes: int
    """Bytes that blocks may take with what their sessions keep."""
    reserve_bytes: int
    """Bytes that were left out of that; 0 where the memory was given."""
    weight_bytes: int
    """Bytes that the weights of the largest block take in memory."""
    cache_bytes: int
    """Bytes that all sessions together keep for one block."""
    fitting: int
    """How many blocks of this size fit, however many the model has."""
    recommended: int
    """How many to serve: those that fit, and no more than the model has."""
    block_ms: float
    """Milliseconds that one block takes for the next token of a text."""
    block_prefill_tokens_per_second: float
    """Tokens of prompts that one block reads in a second."""
    decode_tokens_per_second: float
    """Tokens in a second that the recommended blocks are expected to compute, one after the other in one text."""
    prefill_tokens_per_second: float
    """Tokens of prompts in a second that the recommended blocks are expected to read."""


@dataclass(frozen=True)
class DownloadFound:
    """First of all, unless nothing is missing: what there is to fetch."""

    files: int
    bytes: int | None
    """Where the hub says it of all files."""


@dataclass(frozen=True)
class DownloadProgress:
    """So much of it is here."""

    bytes: int
    """Less than before where a file had to be begun anew."""
    total: int | None
    """How much there will be, where it is known."""


@dataclass(frozen=True)
class DownloadFinished:
    """Last of all: everything is here."""

    path: str
    """The folder of the model, or its GGUF file."""


DownloadEvent: TypeAlias = DownloadFound | DownloadProgress | DownloadFinished


@dataclass(frozen=True)
class DownloadedModel:
    """One revision of a model of a hub that is on this machine."""

    id: str
    """``owner/name``."""
    revision: str
    """The commit."""
    bytes: int
    """How long its files are together; of those in part what is there."""
    whole: bool
    """Whether all of it is here, and not only the bytes that some blocks needed."""
    path: str
    """The folder of its files."""


@dataclass(frozen=True)
class ChatMessage:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


Messages: TypeAlias = str | Sequence[ChatMessage | Mapping[str, str]]


@dataclass(frozen=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Those of the prompt's tokens that were not read anew, for they were kept from an answer before."""


@dataclass(frozen=True)
class Hop:
    """One station of a generation's path."""

    peer: str | None
    """``None`` is this process."""
    start_block: int
    end_block: int
    ms: float
    """Milliseconds from sending to having the answer, median over the tokens."""


@dataclass(frozen=True)
class ModelBenchmark:
    """How fast a model answers."""

    prefill_tokens_per_second: float
    """Tokens of the prompt in a second."""
    decode_tokens_per_second: float
    """Tokens of the answer in a second, in a single one."""
    first_token_ms: float
    """Milliseconds until the first token."""
    throughput_tokens_per_second: float
    """Tokens in a second of all answers at the same time together."""
    sessions: int
    """How many answers these were."""
    path: tuple[Hop, ...]
    """Where the blocks were computed, in order, and how long one token took there."""


@dataclass(frozen=True)
class Token:
    """A piece of text, always whole characters."""

    text: str


@dataclass(frozen=True)
class Done:
    """The end of a generation."""

    finish_reason: Literal["stop", "length"]
    usage: Usage
    path: tuple[Hop, ...]


@dataclass(frozen=True)
class Completion:
    """A generation, whole."""

    text: str
    finish_reason: Literal["stop", "length"]
    usage: Usage
    path: tuple[Hop, ...]


GenerateEvent: TypeAlias = Token | Done


class Generation(EventStream[GenerateEvent]):
    """Tokens as they are made, then ``Done``."""

    async def done(self) -> Completion:
        """Reads to the end and returns the whole text."""
        return completion([event async for event in self])


class Download(EventStream[DownloadEvent]):
    """What comes from a hub. Leaving it early stops it; what came stays."""

    async def done(self) -> DownloadFinished:
        """Reads to the end and returns where the model is."""
        return downloaded_at([event async for event in self])


@checked
class Model:
    """A loaded model."""

    def __init__(self, native: _native.Model) -> None:
        self._native = native
        self._info = record(ModelInfo, native.info())

    @property
    def id(self) -> str:
        """The same on every machine that has the same weights."""
        return self._info.id

    @property
    def name(self) -> str:
        """The name of its directory, for people."""
        return self._info.name

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return self._info.blocks

    @property
    def info(self) -> ModelInfo:
        """Its shape, and which blocks are held here."""
        return self._info

    async def shutdown(self) -> None:
        """Lets go of the weights."""
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_model(self)


@checked
class ShardEngine:
    """Loads models, serves their blocks, and generates."""

    def __init__(self, native: _native.ShardEngine) -> None:
        self._native = native

    @staticmethod
    def open() -> Opening[ShardEngine]:
        """An engine without a network: models run whole, here."""
        return Opening(_open())

    async def load(self, model: Path, *, blocks: Blocks = "all") -> Model:
        """Loads a model: all blocks, none, or those from the first up to the second.

        ``model`` is its directory, its GGUF file, or the id of one at a hub, as ``"owner/name"``, ``"owner/name@revision"`` or
        ``"owner/name:Q4_K_M"``, from where it is fetched the first time. What exists on the disk is a path.
        """
        return Model(await finished(self._native.load(fspath(model), block_choice(blocks))))

    def download(self, model: Path, *, blocks: Blocks = "all") -> Download:
        """Fetches from its hub what ``load`` needs for these blocks and is not here, and says how far it is.

        The hub is asked what the model is now, which ``load`` does only for one that is not here. A model that is a path is there
        already. It begins when the first event is asked for.
        """
        return Download(self._native.download(fspath(model), block_choice(blocks)), read_download)

    async def downloaded(self) -> list[DownloadedModel]:
        """The models of a hub that are on this machine, whole or in part."""
        return records(DownloadedModel, await finished(self._native.downloaded()))

    async def remove_download(self, model: str) -> int:
        """Takes a model of a hub from this machine, or with ``"owner/name@revision"`` a revision of it, and returns how many bytes
        that freed. What is loaded stays loaded.
        """
        return await finished(self._native.remove_download(model))

    async def serve(self, model: Path, start_block: int, end_block: int) -> Offer:
        """Serves a run of blocks to peers that are trusted enough."""
        return record(Offer, await finished(self._native.serve(fspath(model), start_block, end_block)))

    async def stop_serving(self, model_id: str) -> None:
        """Stops serving the blocks of a model; what runs on them ends."""
        await finished(self._native.stop_serving(model_id))

    async def served(self) -> list[Offer]:
        """What this node serves."""
        return records(Offer, await finished(self._native.served()))

    async def coverage(self, model: Model) -> Coverage:
        """Which blocks of a model are up, from whom, and whom this node would not use."""
        return record(Coverage, await finished(self._native.coverage(model._native)))

    async def calibrate(
        self, model: Path, *, memory_bytes: int | None = None, sessions: int | None = None, tokens: int | None = None
    ) -> BlockCalibration:
        """How many blocks of a model this machine can serve, and how fast, measured on the first of them.

        Blocks may take what is free on this machine, or what a limit on this process leaves, without a quarter of it and at most
        1 GiB; ``memory_bytes`` says otherwise. With them there is room for ``sessions`` at the same time, 4 unless set, of
        ``tokens`` each, 4,096 unless set or the model's context is shorter.
        """
        options = sizing_options(memory_bytes, sessions, tokens)
        return record(BlockCalibration, await finished(self._native.calibrate(fspath(model), options)))

    async def benchmark(
        self,
        model: Model,
        *,
        prompt_tokens: int | None = None,
        warm_up: int | None = None,
        steps: int | None = None,
        sessions: int | None = None,
        seed: int | None = None,
        route: Route | None = None,
    ) -> ModelBenchmark:
        """How fast a model answers, on the path that an answer would take now.

        It reads ``prompt_tokens``, 128 unless set, and writes ``warm_up`` tokens that do not count, 5 unless set, and ``steps`` that
        do, 20 unless set; then ``sessions`` answers at the same time, 1 unless set and 64 at most.
        """
        options = speed_options(prompt_tokens, warm_up, steps, sessions, seed, route)
        return record(ModelBenchmark, await finished(self._native.benchmark(model._native, options)))

    def chat(
        self,
        model: Model,
        messages: Messages,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        stop: Sequence[str] = (),
        route: Route | None = None,
    ) -> Generation:
        """Answers a question or continues a conversation.

        A temperature of 0 takes the likeliest token each time. Without a route the model runs here when all its blocks
        are here, and over peers otherwise. It begins when the first token is asked for.
        """
        request = generate_request(messages, max_tokens, temperature, top_p, top_k, seed, stop)
        return Generation(self._native.generate(model._native, request, route), read_token)

    async def logits(self, model: Model, tokens: Sequence[int], *, route: Route | None = None) -> Floats:
        """The logits of every token: 32-bit floats, a row for each token, as long as the vocabulary.

        ``numpy.asarray`` takes the result without copying it.
        """
        return matrix(await finished(self._native.logits(model._native, list(tokens), route)))

    async def embed(self, texts: Sequence[str], *, model: Path | None = None, query: bool = False) -> Floats:
        """A vector of length one for each text: 32-bit floats, a row for each text.

        ``model`` is the folder or the hub id of an embedding model; all-MiniLM-L6-v2 as it was fetched unless set. The
        last one stays loaded. ``query`` says that the texts are questions, before which some models want something else than
        before what is to be found. ``numpy.asarray`` takes the result without copying it.
        """
        return matrix(await finished(self._native.embed(list(texts), None if model is None else fspath(model), query)))

    async def shutdown(self) -> None:
        """Lets go of the engine. That of a node stays open with the node."""
        self._native.shutdown()

    def __repr__(self) -> str:
        return shown_engine(self)


async def _open() -> ShardEngine:
    return ShardEngine(await finished(_native.ShardEngine.open()))


def shown_model(model: Any) -> str:
    state = "loaded" if model._native.is_open() else "let go"
    held = model.info.held_blocks
    here = "none here" if held is None else f"{held.start} to {held.end} here"
    return f"<{home(model)}.Model {model.name!r} {model.blocks} blocks, {here}, {state}>"


def shown_engine(engine: Any) -> str:
    state = "open" if engine._native.is_open() else "closed"
    return f"<{home(engine)}.ShardEngine {state}>"


def block_choice(blocks: Blocks) -> str:
    return to_json("choice of blocks", blocks if isinstance(blocks, str) else {"span": list(blocks)})


def sizing_options(memory_bytes: int | None, sessions: int | None, tokens: int | None) -> str:
    return to_json("options", {"memory_bytes": memory_bytes, "sessions": sessions, "tokens": tokens})


def speed_options(
    prompt_tokens: int | None,
    warm_up: int | None,
    steps: int | None,
    sessions: int | None,
    seed: int | None,
    route: Route | None,
) -> str:
    return to_json(
        "options",
        {
            "prompt_tokens": prompt_tokens,
            "warm_up": warm_up,
            "steps": steps,
            "sessions": sessions,
            "seed": seed,
            "route": route,
        },
    )


def generate_request(
    messages: Messages,
    max_tokens: int,
    temperature: float,
    top_p: float,
    top_k: int,
    seed: int,
    stop: Sequence[str],
) -> str:
    turns = [ChatMessage("user", messages)] if isinstance(messages, str) else messages
    return to_json(
        "request",
        {
            "messages": [asdict(turn) if isinstance(turn, ChatMessage) else dict(turn) for turn in turns],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "seed": seed,
            "stop": list(stop),
        },
    )


def matrix(rows: tuple[bytes, int, int]) -> Floats:
    data, height, width = rows
    if height == 0 or width == 0:
        # A cast refuses a shape with a zero in it.
        empty: Floats = memoryview((c_float * width * height)())
        return empty
    return memoryview(data).cast("f", (height, width))


def read_token(data: dict[str, Any]) -> GenerateEvent:
    event: GenerateEvent = tagged({"token": Token, "done": Done}, data)
    return event


_DOWNLOAD: dict[str, type[Any]] = {
    "found": DownloadFound,
    "progress": DownloadProgress,
    "finished": DownloadFinished,
}


def read_download(data: dict[str, Any]) -> DownloadEvent:
    event: DownloadEvent = tagged(_DOWNLOAD, data)
    return event


def downloaded_at(events: Sequence[DownloadEvent]) -> DownloadFinished:
    last = events[-1] if events else None
    assert isinstance(last, DownloadFinished), "a download ends with where the model is, or an error"
    return last


def completion(events: Sequence[GenerateEvent]) -> Completion:
    last = events[-1]
    assert isinstance(last, Done), "a generation ends with Done or an error"
    text = "".join(event.text for event in events if isinstance(event, Token))
    return Completion(text, last.finish_reason, last.usage, last.path)
