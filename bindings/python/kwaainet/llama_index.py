"""What LlamaIndex asks for, answered by this library: ``pip install kwaainet[llama-index]``.

    retriever = KwaainetRetriever(rag, k=4)
    index = VectorStoreIndex.from_vector_store(KwaainetVectorStore(collection), KwaainetEmbedding(engine))
    llm = KwaainetLLM(engine, model)

Each takes handles of ``kwaainet`` and of ``kwaainet.sync`` and has LlamaIndex's blocking and asynchronous methods. Within an
event loop, blocking ones are refused for handles of ``kwaainet``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import asdict
from os import fspath
from typing import Any

from . import sync
from ._adapters import (
    ID,
    MOST,
    AnyCollection,
    AnyEngine,
    AnyModel,
    AnyRag,
    adelete_found,
    adelete_texts,
    anywhere,
    arguments_of,
    begun,
    begun_blocking,
    called,
    chat_request,
    delete_found,
    delete_texts,
    described,
    ended,
    kept,
    may_block,
    packed,
    rows,
)
from .errors import InvalidArgumentError, NotFoundError, ResourceExhaustedError, UnsupportedError
from .rag import Answer, Mode, Rag, SearchResult
from .shard import Model, Path, Route, ShardEngine
from .vpk import FoundVectors, VectorCollection

try:
    from llama_index.core.base.base_query_engine import BaseQueryEngine
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.base.llms.generic_utils import (
        achat_to_completion_decorator,
        astream_chat_to_completion_decorator,
        chat_to_completion_decorator,
        stream_chat_to_completion_decorator,
    )
    from llama_index.core.base.llms.types import (
        ChatMessage,
        ChatResponse,
        CompletionResponse,
        ContentBlock,
        LLMMetadata,
        MessageRole,
        TextBlock,
        ToolCallBlock,
    )
    from llama_index.core.base.response.schema import Response
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
    from llama_index.core.llms.function_calling import FunctionCallingLLM
    from llama_index.core.llms.llm import ToolSelection
    from llama_index.core.schema import (
        BaseNode,
        MetadataMode,
        NodeRelationship,
        NodeWithScore,
        QueryBundle,
        RelatedNodeInfo,
        TextNode,
    )
    from llama_index.core.tools.types import BaseTool
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        FilterCondition,
        FilterOperator,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
except ImportError as error:
    raise ImportError(
        "kwaainet.llama_index needs llama-index-core 0.14: pip install kwaainet[llama-index]", name=error.name
    ) from error

__all__ = ["KwaainetEmbedding", "KwaainetLLM", "KwaainetQueryEngine", "KwaainetRetriever", "KwaainetVectorStore"]

#: What a language model is shown of a passage besides its text.
_SHOWN = ("document", "locator")
#: What comes out of a collection as it went in.
_NODES = ("TextNode", "Node", "IndexNode", "ImageNode")


class KwaainetRetriever(BaseRetriever):
    """The passages of a knowledge base that fit a question best.

    A node's id is that of the passage, its source the document; its metadata have ``document``, ``document_id``, ``chunk_id``,
    ``section``, ``locator``, ``span`` (bytes of the document's text, ``start`` and ``end``), ``score``, ``lexical`` and ``dense``
    (``rank`` and ``score`` in each search, or ``None``), and the ``mode`` of the search with a ``note`` on why it is not the one
    asked for. A model is shown ``document`` and ``locator``. ``search_kwargs`` are further options of ``Rag.search``, such as
    ``links`` or ``documents``.
    """

    def __init__(
        self,
        rag: AnyRag,
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        search_kwargs: Mapping[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._rag = _is(rag, "rag", Rag, sync.Rag)
        self._options: dict[str, Any] = {"k": k, "mode": mode, **(search_kwargs or {})}
        super().__init__(callback_manager=callback_manager)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        may_block(self._rag)
        return _nodes(sync.Rag(self._rag._native).search(_question(query_bundle), **self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await Rag(self._rag._native).search(_question(query_bundle), **self._options))


def _question(bundle: QueryBundle) -> str:
    if bundle.custom_embedding_strs or bundle.embedding or bundle.image_path:
        raise UnsupportedError("a knowledge base embeds the text of the question itself, and takes nothing in its place")
    return bundle.query_str


def _nodes(found: SearchResult) -> list[NodeWithScore]:
    return [_node(hit.chunk_id, hit.document_id, hit.text, described(hit, found), hit.score) for hit in found.hits]


def _node(id: str, document_id: str, text: str, metadata: dict[str, Any], score: float | None) -> NodeWithScore:
    node = TextNode(
        id_=id,
        text=text,
        metadata=metadata,
        excluded_embed_metadata_keys=list(metadata),
        excluded_llm_metadata_keys=[name for name in metadata if name not in _SHOWN],
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document_id)},
    )
    return NodeWithScore(node=node, score=score)


class KwaainetQueryEngine(BaseQueryEngine):
    """Answers a question from a knowledge base, with citations, or refuses. Options as in ``Rag.ask``; ``ask_kwargs`` are further
    ones, such as ``history``, ``documents`` or ``max_unsupported``.

    The source nodes are what ``[n]`` in the answer stands for, in that order, each with its quote. The response's metadata
    have the other fields of ``kwaainet.Answer``, ``refused`` and ``why`` among them.
    """

    def __init__(
        self,
        rag: AnyRag,
        *,
        k: int = 8,
        mode: Mode = "hybrid",
        min_support: float = 0.5,
        max_tokens: int = 400,
        ask_kwargs: Mapping[str, Any] | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        self._rag = _is(rag, "rag", Rag, sync.Rag)
        self._options: dict[str, Any] = {"k": k, "mode": mode, "min_support": min_support, "max_tokens": max_tokens}
        self._options.update(ask_kwargs or {})
        super().__init__(callback_manager)

    def _query(self, query_bundle: QueryBundle) -> Response:
        may_block(self._rag)
        return _response(sync.Rag(self._rag._native).ask(_question(query_bundle), **self._options).done())

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        return _response(await Rag(self._rag._native).ask(_question(query_bundle), **self._options).done())

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}


def _response(answer: Answer) -> Response:
    about = asdict(answer)
    text, citations = about.pop("text"), about.pop("citations")
    sources = [
        _node(citation["chunk_id"], citation["document_id"], citation.pop("quote"), citation, None)
        for citation in citations
    ]
    return Response(response=text, source_nodes=sources, metadata=about)


class KwaainetEmbedding(BaseEmbedding):
    """Vectors of length one by an embedding model of this machine, which is told what is a question and what a passage.

    ``model`` is its folder or hub id, as in ``ShardEngine.embed``; all-MiniLM-L6-v2 as it was fetched unless set.
    """

    _engine: AnyEngine = PrivateAttr()
    _model: Path | None = PrivateAttr()

    def __init__(self, engine: AnyEngine, model: Path | None = None, **kwargs: Any) -> None:
        super().__init__(model_name="all-MiniLM-L6-v2" if model is None else fspath(model), **kwargs)
        self._engine = _is(engine, "engine", ShardEngine, sync.ShardEngine)
        self._model = model

    @classmethod
    def class_name(cls) -> str:
        return "KwaainetEmbedding"

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._embed(texts, False)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self._aembed(texts, False)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embed([text], False)[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aembed([text], False))[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embed([query], True)[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self._aembed([query], True))[0]

    def _embed(self, texts: list[str], query: bool) -> list[list[float]]:
        may_block(self._engine)
        return rows(sync.ShardEngine(self._engine._native).embed(texts, model=self._model, query=query))

    async def _aembed(self, texts: list[str], query: bool) -> list[list[float]]:
        return rows(await ShardEngine(self._engine._native).embed(texts, model=self._model, query=query))


class KwaainetVectorStore(BasePydanticVectorStore):
    """Nodes in a collection of vectors, at hosts that cannot read them.

    The collection must have the dimension of the embeddings and be this store's own. Texts are its payloads; everything
    else of a node is kept as JSON, and metadata that JSON would change are refused. Filters are equalities that hold all together;
    hosts are not told of them. Ids are kept under 53 bits of their hash, so that of a million nodes two get in each other's way with
    a probability of one in 18,000. What was added is durable and found at once, and goes to the hosts when there is enough of
    it, or at ``flush`` of the collection. Queries of other modes than the default are ``UnsupportedError``.
    """

    stores_text: bool = True
    flat_metadata: bool = False

    _collection: AnyCollection = PrivateAttr()

    def __init__(self, collection: AnyCollection) -> None:
        super().__init__(stores_text=True)
        self._collection = _is(collection, "collection", VectorCollection, sync.VectorCollection)

    @classmethod
    def class_name(cls) -> str:
        return "KwaainetVectorStore"

    @property
    def client(self) -> AnyCollection:
        """The collection."""
        return self._collection

    @property
    def _blocking(self) -> sync.VectorCollection:
        may_block(self._collection)
        return sync.VectorCollection(self._collection._native)

    @property
    def _awaited(self) -> VectorCollection:
        return VectorCollection(self._collection._native)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        _nothing_else(kwargs)
        places, vectors, payloads, values = _packed(nodes)
        if nodes:
            self._blocking.upsert(places, vectors, payloads=payloads, metadata=values)
        return [node.node_id for node in nodes]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        _nothing_else(kwargs)
        places, vectors, payloads, values = _packed(nodes)
        if nodes:
            await self._awaited.upsert(places, vectors, payloads=payloads, metadata=values)
        return [node.node_id for node in nodes]

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        _nothing_else(kwargs)
        vector, k, chosen = _asked(query)
        return _result(self._blocking.search(vector, k=k, filter=chosen))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        _nothing_else(kwargs)
        vector, k, chosen = _asked(query)
        return _result(await self._awaited.search(vector, k=k, filter=chosen))

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        collection = self._blocking
        searches = _choices(node_ids, filters)
        found = [collection.search(anywhere(collection), k=MOST, filter=chosen) for chosen in searches]
        return [node for one in found for node in _all(one)]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        collection = self._awaited
        searches = _choices(node_ids, filters)
        found = [await collection.search(anywhere(collection), k=MOST, filter=chosen) for chosen in searches]
        return [node for one in found for node in _all(one)]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        _nothing_else(delete_kwargs)
        delete_found(self._blocking, {"ref_doc_id": ref_doc_id})

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        _nothing_else(delete_kwargs)
        await adelete_found(self._awaited, {"ref_doc_id": ref_doc_id})

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        _nothing_else(delete_kwargs)
        if filters is None:
            delete_texts(self._blocking, _given(node_ids))
            return
        for chosen in _choices(node_ids, filters):
            delete_found(self._blocking, chosen)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        _nothing_else(delete_kwargs)
        if filters is None:
            await adelete_texts(self._awaited, _given(node_ids))
            return
        for chosen in _choices(node_ids, filters):
            await adelete_found(self._awaited, chosen)

    def clear(self) -> None:
        delete_texts(self._blocking, None)

    async def aclear(self) -> None:
        await adelete_texts(self._awaited, None)

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Nothing is left to do: what was added is durable already."""


def _is(handle: Any, name: str, *kinds: type[Any]) -> Any:
    if not isinstance(handle, kinds):
        raise InvalidArgumentError(f"{name} must be a {kinds[0].__name__}, not {type(handle).__name__}")
    return handle


def _nothing_else(options: Mapping[str, Any]) -> None:
    if options:
        raise InvalidArgumentError(f"there is no {next(iter(options))}")


def _packed(
    nodes: Sequence[BaseNode],
) -> tuple[list[int], list[list[float]], list[bytes | None], list[Mapping[str, Any] | None]]:
    for node in nodes:
        if node.class_name() not in _NODES:
            raise UnsupportedError(f"a {node.class_name()} would not come out as one; there are {', '.join(_NODES)}")
        if node.embedding is None:
            raise InvalidArgumentError(f"the node {node.node_id} has no embedding")
    texts = [node.get_content(metadata_mode=MetadataMode.NONE) for node in nodes]
    places, payloads, values = packed([node.node_id for node in nodes], texts, [_metadata(node) for node in nodes])
    return places, [node.get_embedding() for node in nodes], payloads, values


def _metadata(node: BaseNode) -> dict[str, Any]:
    written = node_to_metadata_dict(node, remove_text=True)
    changed = [name for name, value in node.metadata.items() if written[name] != value]
    if changed:
        raise InvalidArgumentError(f"metadata[{changed[0]!r}] would not come out as it is; there must be what JSON has")
    return written


def _result(found: FoundVectors) -> VectorStoreQueryResult:
    texts = [kept(hit) for hit in found.hits]
    return VectorStoreQueryResult(
        nodes=[metadata_dict_to_node(text.metadata, text=text.text) for text in texts],
        similarities=[text.score for text in texts],
        ids=[text.id for text in texts],
    )


def _all(found: FoundVectors) -> Sequence[BaseNode]:
    if len(found.hits) == MOST:
        raise ResourceExhaustedError(f"there are {MOST} nodes or more, where fewer can be handed out at once")
    return _result(found).nodes or []


def _asked(query: VectorStoreQuery) -> tuple[list[float], int, dict[str, Any]]:
    if query.mode != VectorStoreQueryMode.DEFAULT:
        raise UnsupportedError(f"a collection searches by vectors alone, not in the mode {query.mode.value}")
    if query.query_embedding is None:
        raise InvalidArgumentError("the query has no embedding")
    chosen = _filter(query.filters)
    for name, ids in (("ref_doc_id", query.doc_ids), (ID, query.node_ids)):
        if ids and len(ids) > 1:
            raise UnsupportedError("a search is held to one document or node, or to none")
        if ids:
            chosen[name] = ids[0]
    return query.query_embedding, query.similarity_top_k, chosen


def _given(node_ids: list[str] | None) -> list[str]:
    if node_ids is None:
        raise InvalidArgumentError("node_ids and filters are both missing; clear forgets everything")
    return node_ids


def _choices(node_ids: list[str] | None, filters: MetadataFilters | None) -> list[dict[str, Any]]:
    """The filters that choose these nodes, a search each."""
    chosen = _filter(filters)
    return [chosen] if node_ids is None else [{**chosen, ID: id} for id in node_ids]


def _filter(filters: MetadataFilters | None) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if filters is None:
        return chosen
    if filters.condition != FilterCondition.AND:
        raise UnsupportedError("filters hold all together (and); or and not are not known")
    for one in filters.filters:
        if isinstance(one, MetadataFilters):
            parts = _filter(one)
        elif one.operator == FilterOperator.EQ:
            parts = {one.key: one.value}
        else:
            raise UnsupportedError(f"a filter is an equality, not {one.operator.value}")
        if any(name in chosen and chosen[name] != value for name, value in parts.items()):
            raise InvalidArgumentError("no node has two values of one name")
        chosen |= parts
    return chosen


class KwaainetLLM(FunctionCallingLLM):
    """A model of a ``ShardEngine``, whole on this machine or in blocks over peers.

    Texts alone are understood. Every setting of a generation may be given for one call, such as ``min_p`` or
    ``repetition_penalty``; what there is not is refused. ``function_calling`` says that the model's chat template describes
    calls of functions; with ``tool_required`` the answer is held to one call. ``raw`` of the last
    response has the usage and the ``path``: where the blocks were computed, with milliseconds.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: list[str] = []
    function_calling: bool = False

    _engine: AnyEngine = PrivateAttr()
    _model: AnyModel = PrivateAttr()
    _route: Route | None = PrivateAttr()

    def __init__(self, engine: AnyEngine, model: AnyModel, *, route: Route | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._engine = _is(engine, "engine", ShardEngine, sync.ShardEngine)
        self._model = _is(model, "model", Model, sync.Model)
        self._route = route

    @classmethod
    def class_name(cls) -> str:
        return "KwaainetLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self._model.info.max_context,
            num_output=self.max_tokens,
            is_chat_model=True,
            is_function_calling_model=self.function_calling,
            model_name=self._model.name,
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        said = _Said(self._model)
        with begun_blocking(self._engine, self._model, self._request(messages, kwargs), self._route) as events:
            for event in events:
                said.take(event)
        return said.response()

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        said = _Said(self._model)
        async with begun(self._engine, self._model, self._request(messages, kwargs), self._route) as events:
            async for event in events:
                said.take(event)
        return said.response()

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        events = begun_blocking(self._engine, self._model, self._request(messages, kwargs), self._route)

        def pieces() -> Generator[ChatResponse, None, None]:
            said = _Said(self._model)
            with events:
                for event in events:
                    yield said.response(said.take(event))

        return pieces()

    @llm_chat_callback()
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        events = begun(self._engine, self._model, self._request(messages, kwargs), self._route)

        async def pieces() -> AsyncGenerator[ChatResponse, None]:
            said = _Said(self._model)
            async with events:
                async for event in events:
                    yield said.response(said.take(event))

        return pieces()

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return chat_to_completion_decorator(self.chat)(prompt, **kwargs)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return await achat_to_completion_decorator(self.achat)(prompt, **kwargs)

    @llm_completion_callback()
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> Generator[CompletionResponse, None, None]:
        return stream_chat_to_completion_decorator(self.stream_chat)(prompt, **kwargs)

    @llm_completion_callback()
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> AsyncGenerator[CompletionResponse, None]:
        return await astream_chat_to_completion_decorator(self.astream_chat)(prompt, **kwargs)

    def _request(self, messages: Sequence[ChatMessage], own: dict[str, Any]) -> str:
        own = dict(own)
        tools, choice = own.pop("tools", ()), own.pop("tool_choice", None)
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed", "stop")
        settings = {**{name: getattr(self, name) for name in names}, **own}
        return chat_request([_turn(message) for message in messages], tools, choice, settings)

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        asked = ChatMessage(user_msg, role=MessageRole.USER) if isinstance(user_msg, str) else user_msg
        return {
            "messages": [*(chat_history or []), *([] if asked is None else [asked])],
            "tools": [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools],
            "tool_choice": "required" if tool_required else "auto",
            **kwargs,
        }

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        """Of several calls, only the first one stays where one is asked for at a time."""
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not allow_parallel_tool_calls and len(calls) > 1:
            others = calls[1:]
            response.message.blocks = [block for block in response.message.blocks if block not in others]
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise NotFoundError("the model called no function")
        return [
            ToolSelection(tool_id=call.tool_call_id or "", tool_name=call.tool_name, tool_kwargs=_arguments(call))
            for call in calls
        ]


def _turn(message: ChatMessage) -> dict[str, Any]:
    """A message as a turn of a conversation."""
    texts: list[str] = []
    calls: list[dict[str, str]] = []
    for block in message.blocks:
        match block:
            case TextBlock(text=text):
                texts.append(text)
            case ToolCallBlock(tool_call_id=id, tool_name=name):
                calls.append({"id": id or "", "name": name, "arguments": json.dumps(_arguments(block))})
            case _:
                raise UnsupportedError(f"the model reads texts alone, not a {type(block).__name__}")
    if message.additional_kwargs.get("tool_calls") and not calls:
        raise UnsupportedError("calls of functions are read from ToolCallBlock, not from additional_kwargs")
    turn: dict[str, Any] = {"role": message.role.value, "content": "\n".join(texts), "tool_calls": calls}
    if message.role == MessageRole.TOOL:
        turn["tool_call_id"] = message.additional_kwargs.get("tool_call_id")
    return turn


def _arguments(call: ToolCallBlock) -> dict[str, Any]:
    return arguments_of({"arguments": call.tool_kwargs}) if isinstance(call.tool_kwargs, str) else call.tool_kwargs


class _Said:
    """What a model has said so far."""

    def __init__(self, model: AnyModel) -> None:
        self._model = model
        self._text = ""
        self._calls: list[ContentBlock] = []
        self._raw: dict[str, Any] | None = None

    def take(self, event: Mapping[str, Any]) -> str:
        if event["kind"] == "token":
            self._text += event["text"]
            piece: str = event["text"]
            return piece
        self._calls = [
            ToolCallBlock(tool_call_id=call["id"], tool_name=call["name"], tool_kwargs=arguments_of(call))
            for call in called(event)
        ]
        usage = event["usage"]
        self._raw = {**ended(event, self._model), "usage": {**usage, "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]}}
        return ""

    def response(self, piece: str | None = None) -> ChatResponse:
        blocks: list[ContentBlock] = [TextBlock(text=self._text), *self._calls]
        message = ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks)
        return ChatResponse(message=message, delta=piece, raw=self._raw)
