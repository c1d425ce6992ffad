"""What LangChain asks for, answered by this library: ``pip install kwaainet[langchain]``.

    retriever = KwaainetRetriever(rag=rag, k=4)
    store = KwaainetVectorStore(collection, KwaainetEmbeddings(engine))
    model = ChatKwaainet(engine=engine, model=loaded)

Each takes handles of ``kwaainet`` and of ``kwaainet.sync`` and has LangChain's blocking and asynchronous methods. Within an
event loop, blocking ones are refused for handles of ``kwaainet``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self
from uuid import uuid4

from . import sync
from ._adapters import (
    ID,
    AnyCollection,
    AnyEngine,
    AnyModel,
    AnyRag,
    adelete_texts,
    anywhere,
    begun,
    begun_blocking,
    called,
    chat_request,
    delete_texts,
    described,
    ended,
    kept,
    may_block,
    packed,
    rows,
)
from .errors import InvalidArgumentError, UnsupportedError
from .rag import Answer, Mode, Rag, SearchResult
from .shard import Path, Route, ShardEngine
from .vpk import FoundVectors, VectorCollection

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForLLMRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import (
        BaseChatModel,
        LangSmithParams,
        LanguageModelInput,
    )
    from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
    from langchain_core.messages import (
        AIMessage,
        AIMessageChunk,
        BaseMessage,
        ChatMessage,
        HumanMessage,
        SystemMessage,
        ToolMessage,
    )
    from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
    from langchain_core.messages.tool import tool_call_chunk
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
    from langchain_core.utils.function_calling import convert_to_openai_tool
    from langchain_core.vectorstores import VectorStore
    from pydantic import ConfigDict, Field
except ImportError as error:
    raise ImportError(
        "kwaainet.langchain needs langchain-core 1.x: pip install kwaainet[langchain]", name=error.name
    ) from error

__all__ = ["ChatKwaainet", "KwaainetAnswers", "KwaainetEmbeddings", "KwaainetRetriever", "KwaainetVectorStore"]


class KwaainetRetriever(BaseRetriever):
    """The passages of a knowledge base that fit a question best.

    A document's ``id`` is that of the passage; its metadata have ``document``, ``document_id``, ``chunk_id``, ``section``,
    ``locator``, ``span`` (bytes of the document's text, ``start`` and ``end``), ``score``, ``lexical`` and ``dense`` (``rank`` and
    ``score`` in each search, or ``None``), and the ``mode`` of the search with a ``note`` on why it is not the one asked for.
    ``k`` and ``mode`` may be given for one call too; ``search_kwargs`` are further options of ``Rag.search``, such as ``links`` or
    ``documents``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    rag: AnyRag
    k: int = 8
    mode: Mode = "hybrid"
    search_kwargs: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        mode: Mode | None = None,
    ) -> list[Document]:
        may_block(self.rag)
        return _documents(sync.Rag(self.rag._native).search(query, **self._asked(k, mode)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        mode: Mode | None = None,
    ) -> list[Document]:
        return _documents(await Rag(self.rag._native).search(query, **self._asked(k, mode)))

    def _asked(self, k: int | None, mode: Mode | None) -> dict[str, Any]:
        return {"k": self.k if k is None else k, "mode": self.mode if mode is None else mode, **self.search_kwargs}


def _documents(found: SearchResult) -> list[Document]:
    return [Document(id=hit.chunk_id, page_content=hit.text, metadata=described(hit, found)) for hit in found.hits]


class KwaainetAnswers(RunnableSerializable[str, Answer]):
    """Answers a question from a knowledge base, with citations, or refuses: a ``kwaainet.Answer``. Options as in ``Rag.ask``."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    rag: AnyRag
    k: int = 8
    mode: Mode = "hybrid"
    min_support: float = 0.5
    max_tokens: int = 400

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        may_block(self.rag)
        return self._call_with_config(lambda question: self._ask(question, kwargs), input, config)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        async def ask(question: str) -> Answer:
            return await Rag(self.rag._native).ask(question, **self._options(kwargs)).done()

        return await self._acall_with_config(ask, input, config)

    def _ask(self, question: str, options: Mapping[str, Any]) -> Answer:
        return sync.Rag(self.rag._native).ask(question, **self._options(options)).done()

    def _options(self, own: Mapping[str, Any]) -> dict[str, Any]:
        options = {"k": self.k, "mode": self.mode, "min_support": self.min_support, "max_tokens": self.max_tokens}
        return {**options, **own}


class KwaainetEmbeddings(Embeddings):
    """Vectors of length one by an embedding model of this machine, which is told what is a question and what a passage.

    ``model`` is its folder or hub id, as in ``ShardEngine.embed``; all-MiniLM-L6-v2 as it was fetched unless set.
    """

    def __init__(self, engine: AnyEngine, model: Path | None = None) -> None:
        if not isinstance(engine, (ShardEngine, sync.ShardEngine)):
            raise InvalidArgumentError(f"engine must be a ShardEngine, not {type(engine).__name__}")
        self._engine = engine
        self._model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embed(texts, False)

    def embed_query(self, text: str) -> list[float]:
        return self._embed([text], True)[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await self._aembed(texts, False)

    async def aembed_query(self, text: str) -> list[float]:
        return (await self._aembed([text], True))[0]

    def _embed(self, texts: list[str], query: bool) -> list[list[float]]:
        may_block(self._engine)
        return rows(sync.ShardEngine(self._engine._native).embed(texts, model=self._model, query=query))

    async def _aembed(self, texts: list[str], query: bool) -> list[list[float]]:
        return rows(await ShardEngine(self._engine._native).embed(texts, model=self._model, query=query))


class KwaainetVectorStore(VectorStore):
    """Texts in a collection of vectors, at hosts that cannot read them.

    The collection must have the dimension of the embeddings and be this store's own. Texts are its payloads; metadata are
    kept as JSON, and what JSON would change is refused. A ``filter`` has the values that a text's metadata must have, all
    of them; hosts are not told of it. Ids are any strings; they are kept under 53 bits of their hash, so that of a million texts
    two get in each other's way with a probability of one in 18,000. What was added is durable and found at once, and goes
    to the hosts when there is enough of it, or at ``flush`` of the collection. ``get_by_ids`` costs a search for each id.

    Searches for maximal marginal relevance are ``NotImplementedError``, since a collection does not hand out its vectors.
    """

    def __init__(self, collection: AnyCollection, embedding: Embeddings) -> None:
        if not isinstance(collection, (VectorCollection, sync.VectorCollection)):
            raise InvalidArgumentError(f"collection must be a VectorCollection, not {type(collection).__name__}")
        self._collection = collection
        self._embedding = embedding

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    @property
    def _blocking(self) -> sync.VectorCollection:
        may_block(self._collection)
        return sync.VectorCollection(self._collection._native)

    @property
    def _awaited(self) -> VectorCollection:
        return VectorCollection(self._collection._native)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        _nothing_else(kwargs)
        texts, metadatas, ids = _named(texts, metadatas, ids)
        places, payloads, values = packed(ids, texts, metadatas)
        if texts:
            collection, vectors = self._blocking, self._embedding.embed_documents(texts)
            collection.upsert(places, vectors, payloads=payloads, metadata=values)
        return ids

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        _nothing_else(kwargs)
        texts, metadatas, ids = _named(texts, metadatas, ids)
        places, payloads, values = packed(ids, texts, metadatas)
        if texts:
            vectors = await self._embedding.aembed_documents(texts)
            await self._awaited.upsert(places, vectors, payloads=payloads, metadata=values)
        return ids

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Forgets these texts, or without ids all of them. An id that is not there is no error."""
        _nothing_else(kwargs)
        delete_texts(self._blocking, ids)
        return True

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        _nothing_else(kwargs)
        await adelete_texts(self._awaited, ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        collection = self._blocking
        found = [collection.search(anywhere(collection), k=1, filter={ID: id}) for id in ids]
        return [document for one in found for document, _ in _scored(one)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        collection = self._awaited
        found = [await collection.search(anywhere(collection), k=1, filter={ID: id}) for id in ids]
        return [document for one in found for document, _ in _scored(one)]

    def similarity_search(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter, **kwargs)]

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        found = await self.asimilarity_search_with_score(query, k, filter=filter, **kwargs)
        return [document for document, _ in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """With each the cosine, or the dot product of a collection that has that; the best first."""
        _nothing_else(kwargs)
        found = self._blocking.search(self._embedding.embed_query(query), k=k, filter=filter)
        return _scored(found)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        _nothing_else(kwargs)
        found = await self._awaited.search(await self._embedding.aembed_query(query), k=k, filter=filter)
        return _scored(found)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        _nothing_else(kwargs)
        return [document for document, _ in _scored(self._blocking.search(embedding, k=k, filter=filter))]

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        _nothing_else(kwargs)
        found = await self._awaited.search(embedding, k=k, filter=filter)
        return [document for document, _ in _scored(found)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self._collection.config.metric != "cosine":
            raise UnsupportedError("a dot product has no bounds, so that it makes no relevance from 0 to 1")
        return lambda cosine: (1 + cosine) / 2

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        collection: AnyCollection | None = None,
        **kwargs: Any,
    ) -> Self:
        """``collection`` is the one to put them in, as ``Vpk.create`` made it."""
        _nothing_else(kwargs)
        store = cls(_given(collection), embedding)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        collection: AnyCollection | None = None,
        **kwargs: Any,
    ) -> Self:
        _nothing_else(kwargs)
        store = cls(_given(collection), embedding)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store


def _given(collection: AnyCollection | None) -> AnyCollection:
    if collection is None:
        raise InvalidArgumentError("collection is missing: Vpk.create makes one, and Vpk.open opens it again")
    return collection


def _nothing_else(options: Mapping[str, Any]) -> None:
    if options:
        raise InvalidArgumentError(f"there is no {next(iter(options))}")


def _named(
    texts: Iterable[str], metadatas: list[dict[str, Any]] | None, ids: Sequence[str | None] | None
) -> tuple[list[str], list[dict[str, Any]], list[str]]:
    """Texts with metadata and an id each; those without an id get one."""
    texts = list(texts)
    given = [None] * len(texts) if ids is None else ids
    return texts, [{} for _ in texts] if metadatas is None else metadatas, [str(uuid4()) if id is None else id for id in given]


def _scored(found: FoundVectors) -> list[tuple[Document, float]]:
    texts = [kept(hit) for hit in found.hits]
    return [(Document(id=text.id, page_content=text.text, metadata=text.metadata), text.score) for text in texts]


class ChatKwaainet(BaseChatModel):
    """A model of a ``ShardEngine``, whole on this machine or in blocks over peers.

    Texts alone are understood, and the names of those who speak are not told to the model. Every setting of a generation may be
    bound or given for one call, such as ``min_p`` or ``repetition_penalty``; what there is not is refused. Tools work where the
    model's chat template describes calls of functions; with ``tool_choice`` of a tool or of any, and so with
    ``with_structured_output``, the answer is held to one call with arguments by its schema. The response's metadata have the
    ``path``: where the blocks were computed, with milliseconds. For a time limit there are ``asyncio.timeout`` and ``kwaainet.sync.timeout``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    engine: AnyEngine
    model: AnyModel
    route: Route | None = None
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: list[str] = []
    streaming: bool = False

    @property
    def _llm_type(self) -> str:
        return "kwaainet"

    @property
    def _settings(self) -> dict[str, Any]:
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed")
        return {name: getattr(self, name) for name in names}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model.id, **self._settings, "stop": self.stop}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop or None, **kwargs)
        params.setdefault("ls_model_name", self.model.name)
        return params

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The same with functions that the model may call, or has to: ``tool_choice``."""
        offered: list[dict[str, Any]] = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=offered, tool_choice=tool_choice, **kwargs)

    def _request(self, messages: Sequence[BaseMessage], stop: list[str] | None, own: dict[str, Any]) -> str:
        own = dict(own)
        tools, choice = own.pop("tools", ()), own.pop("tool_choice", None)
        settings = {**self._settings, "stop": self.stop if stop is None else stop, **own}
        return chat_request([_turn(message) for message in messages], tools, choice, settings)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs)
        with begun_blocking(self.engine, self.model, request, self.route) as events:
            for event in events:
                yield self._chunk(event)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs)
        async with begun(self.engine, self.model, request, self.route) as events:
            async for event in events:
                yield self._chunk(event)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, **kwargs))

    def _chunk(self, event: Mapping[str, Any]) -> ChatGenerationChunk:
        if event["kind"] == "token":
            return ChatGenerationChunk(message=AIMessageChunk(content=event["text"]))
        read, written = event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"]
        calls = [
            tool_call_chunk(name=call["name"], args=call["arguments"], id=call["id"], index=index)
            for index, call in enumerate(called(event))
        ]
        message = AIMessageChunk(
            content="",
            tool_call_chunks=calls,
            usage_metadata=UsageMetadata(
                input_tokens=read,
                output_tokens=written,
                total_tokens=read + written,
                input_token_details=InputTokenDetails(cache_read=event["usage"]["cached_tokens"]),
            ),
            response_metadata=ended(event, self.model),
            chunk_position="last",
        )
        return ChatGenerationChunk(message=message)


def _turn(message: BaseMessage) -> dict[str, Any]:
    """A message as a turn of a conversation."""
    match message:
        case HumanMessage():
            return {"role": "user", "content": _text(message)}
        case SystemMessage():
            return {"role": "system", "content": _text(message)}
        case AIMessage(tool_calls=calls):
            told = [{"id": call["id"] or "", "name": call["name"], "arguments": json.dumps(call["args"])} for call in calls]
            return {"role": "assistant", "content": _text(message), "tool_calls": told}
        case ToolMessage(tool_call_id=id):
            return {"role": "tool", "content": _text(message), "tool_call_id": id}
        case ChatMessage(role=role):
            return {"role": role, "content": _text(message)}
    raise UnsupportedError(f"a {type(message).__name__} is no turn of a conversation")


def _text(message: BaseMessage) -> str:
    """What a message says. Calls are read from elsewhere in it, and are left out here."""
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        match block:
            case str():
                parts.append(block)
            case {"type": "text", "text": str(text)}:
                parts.append(text)
            case {"type": "tool_use" | "tool_call"} if isinstance(message, AIMessage):
                pass
            case _:
                kind = block.get("type") if isinstance(block, dict) else type(block).__name__
                raise UnsupportedError(f"the model reads texts alone, not a part of a message of the type {ascii(kind)}")
    return "".join(parts)
