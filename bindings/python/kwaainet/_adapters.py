"""What the adapters for other frameworks have in common. They take handles of `kwaainet` and of `kwaainet.sync`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from . import sync
from ._checks import home, rule, to_json, wrong_type
from .errors import ConflictError, InvalidArgumentError, UnsupportedError
from .rag import Hit, Rag, SearchResult
from .shard import Model, ShardEngine
from .streams import EventStream
from .vpk import FoundVector, VectorCollection

AnyRag: TypeAlias = Rag | sync.Rag
AnyEngine: TypeAlias = ShardEngine | sync.ShardEngine
AnyModel: TypeAlias = Model | sync.Model
AnyCollection: TypeAlias = VectorCollection | sync.VectorCollection

#: The member of a vector's metadata that has the id by which a framework knows it.
ID = "_id"
#: The most hits of one search.
MOST = 10_000


def may_block(handle: AnyRag | AnyEngine | AnyCollection) -> None:
    """Refuses a call that would hold up the event loop on which it was made.

    What was opened with ``await`` may have left code of the app's on that loop, such as an embedder, and would wait for
    it until its deadline. What ``kwaainet.sync`` opened has a loop of its own.
    """
    if home(handle) == "kwaainet.sync":
        return
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UnsupportedError(
        "this call blocks, and would hold up the event loop that it was made on",
        {"remedy": "await the asynchronous method of the same name, or open what it is about with kwaainet.sync"},
    )


def described(hit: Hit, found: SearchResult) -> dict[str, Any]:
    """What is known of a passage besides its text, as plain data."""
    about = asdict(hit)
    del about["text"]
    return {**about, "mode": found.mode, "note": found.note}


def chat_request(
    turns: Sequence[Mapping[str, Any]], tools: Iterable[Mapping[str, Any]], choice: Any, settings: Mapping[str, Any]
) -> str:
    """A request for a generation. Tools and the choice among them are written as OpenAI's API has them."""
    request: dict[str, Any] = {"messages": list(turns), **settings}
    offered = [] if choice == "none" else [offer(tool) for tool in tools]
    if offered:
        request["tools"] = offered
        request["tool_choice"] = chosen(choice)
    elif choice not in (None, "none", "auto"):
        raise InvalidArgumentError("there is a tool_choice, and no tools to choose from")
    return to_json("request", request)


def offer(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        raise wrong_type("a tool", 'a mapping such as {"type": "function", "function": {...}}', tool)
    beyond = [name for name, value in function.items() if value and name not in ("name", "description", "parameters")]
    if beyond:
        raise UnsupportedError(f"a function cannot be given {beyond[0]}")
    return {name: function[name] for name in ("name", "description", "parameters") if function.get(name) is not None}


def chosen(choice: Any) -> Any:
    """Which tools are called, in the words of the library."""
    match choice:
        case None | False | "auto":
            return "auto"
        case True | "any" | "required":
            return "required"
        case str():
            return {"named": choice}
        case {"type": "function", "function": {"name": str(name)}}:
            return {"named": name}
    raise wrong_type("tool_choice", "auto, none, required, or the name of a tool", choice)


def begun(engine: AnyEngine, model: AnyModel, request: str, route: str | None) -> EventStream[dict[str, Any]]:
    """The events of a generation as the native module has them, with the tools that were called."""
    return EventStream(engine._native.generate(model._native, request, route), dict)


def begun_blocking(
    engine: AnyEngine, model: AnyModel, request: str, route: str | None
) -> sync.EventStream[dict[str, Any]]:
    may_block(engine)
    return sync.EventStream(engine._native.generate(model._native, request, route), dict)


def called(event: Mapping[str, Any]) -> list[dict[str, str]]:
    """The calls at the end of a generation: id, name, and the arguments as the text of a JSON object."""
    calls: list[dict[str, str]] = event.get("tool_calls", [])
    return calls


def ended(event: Mapping[str, Any], model: AnyModel) -> dict[str, Any]:
    """Why a generation ended and where it was computed."""
    reason = "tool_calls" if called(event) else event["finish_reason"]
    return {"finish_reason": reason, "model_name": model.name, "model_id": model.id, "path": event["path"]}


def rows(vectors: Any) -> list[list[float]]:
    """An array of two dimensions as lists."""
    listed: list[list[float]] = vectors.tolist() if vectors.nbytes else []
    return listed


@dataclass(frozen=True)
class Kept:
    """A text of a collection."""

    id: str
    text: str
    metadata: dict[str, Any]
    score: float


def place(id: str) -> int:
    """The number that stands for an id in a collection: 53 bits of its BLAKE2b hash."""
    rule(str)("an id", id)
    return int.from_bytes(blake2b(id.encode(), digest_size=7).digest(), "big") >> 3


def packed(
    ids: Sequence[str], texts: Sequence[str], metadatas: Sequence[Mapping[str, Any]]
) -> tuple[list[int], list[bytes | None], list[Mapping[str, Any] | None]]:
    """Ids, payloads and metadata for a collection. Metadata that would not come back as they are, are refused."""
    for count, name in ((len(texts), "texts"), (len(metadatas), "metadatas")):
        if count != len(ids):
            raise InvalidArgumentError(f"there are {count} {name} for {len(ids)} ids")
    payloads: list[bytes | None] = []
    values: list[Mapping[str, Any] | None] = []
    for at, (id, text, metadata) in enumerate(zip(ids, texts, metadatas, strict=True)):
        rule(str)(f"texts[{at}]", text)
        rule(Mapping[str, Any])("metadata", metadata)
        if ID in metadata:
            raise InvalidArgumentError(f"the name {ID} in metadata is taken: it holds the id")
        for name, value in metadata.items():
            _keep(f"metadata[{name!r}]", value)
        payloads.append(text.encode())
        values.append({**metadata, ID: id})
    places = [place(id) for id in ids]
    if len(set(places)) != len(places):
        raise InvalidArgumentError("an id is there twice")
    return places, payloads, values


def _keep(name: str, value: Any) -> None:
    """Refuses what JSON would bring back as something else."""
    match value:
        case None | bool():
            return
        case str():
            rule(str)(name, value)
        case int():
            if not -(2**63) <= value < 2**64:
                raise InvalidArgumentError(f"{name} is a number of more than 64 bits")
        case float():
            rule(float)(name, value)
        case list():
            for at, item in enumerate(value):
                _keep(f"{name}[{at}]", item)
        case dict():
            for key, item in value.items():
                rule(str)(f"the keys of {name}", key)
                _keep(f"{name}[{key!r}]", item)
        case _:
            raise wrong_type(name, "what JSON has: a str, a number, True or False, None, a list or a dict", value)


def kept(hit: FoundVector) -> Kept:
    """What was put into a collection by `packed`."""
    metadata = dict(hit.metadata)
    id = metadata.pop(ID, None)
    if not isinstance(id, str) or hit.payload is None:
        raise ConflictError(
            "the collection has vectors that no vector store put in",
            {"remedy": "give each vector store a collection of its own", "id": str(hit.id)},
        )
    return Kept(id, hit.payload.decode(), metadata, hit.score)


def anywhere(collection: AnyCollection) -> list[float]:
    """A question that all vectors answer, for what is chosen by metadata alone."""
    return [1.0] + [0.0] * (collection.config.dimension - 1)


def delete_texts(collection: sync.VectorCollection, ids: Sequence[str] | None) -> None:
    """Forgets the texts of these ids, or all of them."""
    if ids is None:
        delete_found(collection, {})
    elif ids:
        collection.delete([place(id) for id in ids])


async def adelete_texts(collection: VectorCollection, ids: Sequence[str] | None) -> None:
    if ids is None:
        await adelete_found(collection, {})
    elif ids:
        await collection.delete([place(id) for id in ids])


def delete_found(collection: sync.VectorCollection, chosen: Mapping[str, Any]) -> None:
    """Forgets what has all these values in its metadata."""
    while hits := collection.search(anywhere(collection), k=MOST, filter=chosen).hits:
        collection.delete([hit.id for hit in hits])


async def adelete_found(collection: VectorCollection, chosen: Mapping[str, Any]) -> None:
    while hits := (await collection.search(anywhere(collection), k=MOST, filter=chosen)).hits:
        await collection.delete([hit.id for hit in hits])


def arguments_of(call: Mapping[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = json.loads(call["arguments"])
    return arguments
