"""The library inside LlamaIndex, which has no tests of its own for what plugs into it: its parts are put together instead."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import models
import pytest
from conftest import DOCUMENTS, ROOT, live, program, until
from llama_index.core import Document, PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    NodeRelationship,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
    TransformComponent,
)
from llama_index.core.tools import FunctionTool
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

import kwaainet
from kwaainet import sync
from kwaainet.llama_index import (
    KwaainetEmbedding,
    KwaainetLLM,
    KwaainetQueryEngine,
    KwaainetRetriever,
    KwaainetVectorStore,
)

TINY = ROOT / "examples" / "models" / "tiny-kwaai"
SAID = "Herons wait for you at the pond."
QUESTION = "What does the canteen serve on Fridays?"


@pytest.fixture
def embedding(engine: sync.ShardEngine, embedder: Path) -> KwaainetEmbedding:
    return KwaainetEmbedding(engine, embedder)


@pytest.fixture
def llm(engine: sync.ShardEngine, parrot: sync.Model) -> KwaainetLLM:
    return KwaainetLLM(engine, parrot)


@pytest.fixture
def store(vpk: sync.Vpk) -> Iterator[KwaainetVectorStore]:
    with vpk.create("store", 16, "seal", ["here"]) as collection:
        yield KwaainetVectorStore(collection)
        collection.destroy()


class Split(TransformComponent):
    """A node for each document."""

    def __call__(self, nodes: Any, **kwargs: Any) -> list[TextNode]:
        return [
            TextNode(text=node.text, relationships={NodeRelationship.SOURCE: node.as_related_node_info()}) for node in nodes
        ]


def get_weather(location: str) -> str:
    """The weather at a place."""
    return f"rain at {location}"


def both(first: str, second: int) -> str:
    """Takes two things."""
    return f"{first} {second}"


WEATHER, BOTH = FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(both)


def said(role: str, text: str) -> ChatMessage:
    return ChatMessage(text, role=MessageRole(role))


class TestRetriever:
    def test_every_option_of_a_search_can_be_given(self, rag: sync.Rag) -> None:
        other = next(document for document in rag.documents() if document.name != "food.md")
        retriever = KwaainetRetriever(rag, k=3, search_kwargs={"documents": [other.id], "links": True})
        found = retriever.retrieve("dumplings on fridays")
        assert found and {hit.metadata["document"] for hit in found} == {other.name}

    async def test_a_passage_is_a_node_with_its_place_its_span_and_its_ranks(self, rag: sync.Rag) -> None:
        hit = rag.search("dumplings on fridays", k=1).hits[0]
        retriever = KwaainetRetriever(rag, k=1)
        (found,) = retriever.retrieve("dumplings on fridays")
        assert (found.text, found.node_id, found.score) == (hit.text, hit.chunk_id, hit.score)
        assert found.node.ref_doc_id == hit.document_id
        about = found.metadata
        assert about["document"] == "food.md" and about["lexical"]["rank"] == about["dense"]["rank"] == 1
        span = about["span"]
        assert rag.document_text(hit.document_id).encode()[span["start"] : span["end"]].decode() == found.text
        assert json.loads(json.dumps(about)) == about
        told = found.get_content(metadata_mode="llm")  # type: ignore[arg-type]
        assert "food.md" in told and "chunk_id" not in told and hit.text in told
        assert await retriever.aretrieve("dumplings on fridays") == [found]

    async def test_an_awaited_search_leaves_the_loop_to_others(self, tmp_path: Path) -> None:
        """The embedder runs on the loop of the call. Were that held up, no answer would ever come."""

        async def embed(texts: list[str], query: bool) -> list[list[float]]:
            await asyncio.sleep(0)
            return [[float(len(text)), 1.0] for text in texts]

        own = SimpleNamespace(id="own", dimension=2, embed=embed)
        async with kwaainet.Rag.open(tmp_path, embedder=own) as rag:
            await rag.ingest(b"The heron waits.", name="a.txt").done()
            retriever = KwaainetRetriever(rag, mode="dense")
            async with asyncio.timeout(20):
                assert [found.text for found in await retriever.aretrieve("x")] == ["The heron waits."]
            with pytest.raises(kwaainet.UnsupportedError) as refused:
                retriever.retrieve("x")
            assert "kwaainet.sync" in refused.value.context["remedy"]
            assert await asyncio.to_thread(retriever.retrieve, "x")

    def test_what_is_no_question_in_words_is_refused(self, rag: sync.Rag) -> None:
        retriever = KwaainetRetriever(rag)
        for bundle in (QueryBundle("x", custom_embedding_strs=["y"]), QueryBundle("x", embedding=[1.0])):
            with pytest.raises(kwaainet.UnsupportedError, match="embeds the text of the question itself"):
                retriever.retrieve(bundle)
        with pytest.raises(kwaainet.InvalidArgumentError, match="mode must be one of"):
            KwaainetRetriever(rag, mode="magic").retrieve("x")  # type: ignore[arg-type]
        with pytest.raises(kwaainet.InvalidArgumentError, match="rag must be a Rag, not str"):
            KwaainetRetriever("a folder")  # type: ignore[arg-type]


class TestQueryEngine:
    async def test_an_answer_has_its_quotes_as_sources_or_is_refused(self, words: sync.Rag) -> None:
        answers = KwaainetQueryEngine(words)
        answer, whole = answers.query(QUESTION), words.ask(QUESTION).done()
        assert str(answer) == whole.text and answer.metadata is not None and not answer.metadata["refused"]
        quotes = [citation.quote for citation in whole.citations]
        assert [node.text for node in answer.source_nodes] == quotes and "dumplings" in quotes[0]
        source = answer.source_nodes[0]
        assert (source.metadata["number"], source.metadata["document"]) == (1, "food.md")
        assert source.node.ref_doc_id == whole.citations[0].document_id and answer.metadata["support"] == whole.support
        again = await answers.aquery(QUESTION)
        assert str(again) == str(answer) and [node.text for node in again.source_nodes] == quotes
        refused = answers.query("Who won the football world cup in 1998?")
        assert refused.metadata is not None and refused.metadata["refused"] and refused.metadata["why"]
        assert refused.source_nodes == []

    async def test_it_keeps_to_every_option_of_a_question(self, words: sync.Rag) -> None:
        other = next(document for document in words.documents() if document.name != "food.md")
        elsewhere = KwaainetQueryEngine(words, ask_kwargs={"documents": [other.id]})
        for answer in (elsewhere.query(QUESTION), await elsewhere.aquery(QUESTION)):
            assert answer.metadata is not None and answer.metadata["refused"]
        uncalibrated = KwaainetQueryEngine(words, ask_kwargs={"max_unsupported": 0.1})
        with pytest.raises(kwaainet.ConflictError, match="not calibrated"):
            uncalibrated.query(QUESTION)

    def test_passages_of_ours_are_the_context_of_a_model_of_ours(self, rag: sync.Rag, llm: KwaainetLLM) -> None:
        prompt = PromptTemplate("{context_str} {query_str}")
        engine = RetrieverQueryEngine.from_args(KwaainetRetriever(rag, k=2), llm=llm, text_qa_template=prompt)
        answer = engine.query("Where does the heron wait?")
        assert str(answer) == SAID and len(answer.source_nodes) == 2


class TestEmbedding:
    async def test_vectors_are_those_of_the_engine(self, engine: sync.ShardEngine, embedder: Path) -> None:
        embedding = KwaainetEmbedding(engine, embedder, embed_batch_size=2)
        texts = ["a heron", "dumplings on fridays", "soup"]
        rows = engine.embed(texts, model=embedder).tolist()
        assert embedding.get_text_embedding_batch(texts) == rows == await embedding.aget_text_embedding_batch(texts)
        assert embedding.get_text_embedding("soup") == rows[2] == await embedding.aget_text_embedding("soup")
        assert embedding.get_query_embedding("soup") == rows[2] == await embedding.aget_query_embedding("soup")
        assert embedding.model_name == str(embedder)
        with pytest.raises(kwaainet.InvalidArgumentError, match="engine must be a ShardEngine, not str"):
            KwaainetEmbedding("engine")  # type: ignore[arg-type]

    async def test_a_question_gets_the_prompt_that_the_model_wants_before_it(self, engine: sync.ShardEngine, tmp_path: Path) -> None:
        folder = models.embedder(tmp_path)
        (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "pond ", "document": "soup "}}')
        embedding = KwaainetEmbedding(engine, folder)
        (asked,), (found,) = (engine.embed(["heron"], model=folder, query=query).tolist() for query in (True, False))
        assert asked != found
        assert embedding.get_query_embedding("heron") == await embedding.aget_query_embedding("heron") == asked
        assert embedding.get_text_embedding("heron") == await embedding.aget_text_embedding("heron") == found
        assert embedding.get_text_embedding_batch(["heron"]) == [found]

    async def test_a_blocking_call_is_refused_where_it_would_hold_up_the_loop(self, embedder: Path) -> None:
        async with kwaainet.ShardEngine.open() as engine:
            embedding = KwaainetEmbedding(engine, embedder)
            assert len(await embedding.aget_query_embedding("x")) == 16
            with pytest.raises(kwaainet.UnsupportedError):
                embedding.get_query_embedding("x")


def equal(key: str, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value)])


class TestVectorStore:
    def nodes(self, embedding: KwaainetEmbedding) -> list[TextNode]:
        source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="book", metadata={"year": 1999})}
        nodes = [
            TextNode(id_="a", text="a heron at the pond", metadata={"where": "pond", "n": 1, "deep": {"list": [1, None]}}),
            TextNode(id_="b", text="dumplings and soup", metadata={"where": "canteen", "n": 2}, relationships=source),
            TextNode(id_="c", text="more soup", metadata={"where": "canteen", "n": 3}, relationships=source),
        ]
        for node in nodes:
            node.embedding = embedding.get_text_embedding(node.text)
        return nodes

    async def test_nodes_come_out_as_they_went_in(self, store: KwaainetVectorStore, embedding: KwaainetEmbedding) -> None:
        nodes = self.nodes(embedding)
        link = IndexNode(id_="d", text="see a", index_id="a", embedding=nodes[0].embedding)
        picture = ImageNode(id_="e", text="of a heron", image_url="https://example.org/heron.png", embedding=nodes[0].embedding)
        assert store.add(nodes) == ["a", "b", "c"] and await store.async_add([link, picture]) == ["d", "e"]
        wanted = [node.model_copy(update={"embedding": None}) for node in (*nodes, link, picture)]
        assert store.get_nodes(["a", "b", "c", "d", "e"]) == wanted == await store.aget_nodes(["a", "b", "c", "d", "e"])
        assert store.get_nodes(["nobody"]) == [] and store.add([]) == []
        assert {node.node_id for node in store.get_nodes(filters=equal("where", "canteen"))} == {"b", "c"}

    async def test_the_nearest_come_first_among_those_that_fit(self, store: KwaainetVectorStore, embedding: KwaainetEmbedding) -> None:
        store.add(self.nodes(embedding))
        question = VectorStoreQuery(embedding.get_query_embedding("soup"), similarity_top_k=2)
        found = store.query(question)
        assert found.ids == ["c", "b"] and found.similarities is not None and found.similarities[0] > found.similarities[1]
        assert (await store.aquery(question)).ids == found.ids
        question.filters = MetadataFilters(filters=[MetadataFilter(key="where", value="canteen"), equal("n", 2)])
        assert store.query(question).ids == ["b"]
        question.filters = None
        question.doc_ids = ["book"]
        assert store.query(question).ids == ["c", "b"]
        question.doc_ids, question.node_ids = [], ["a"]
        assert store.query(question).ids == ["a"]

    async def test_what_is_deleted_is_found_no_more(self, store: KwaainetVectorStore, embedding: KwaainetEmbedding) -> None:
        nodes = self.nodes(embedding)
        store.add(nodes)
        store.delete("book")
        assert [node.node_id for node in store.get_nodes(["a", "b", "c"])] == ["a"]
        store.add(nodes)
        await store.adelete("book")
        store.add(nodes[1:])
        store.delete_nodes(["b", "nobody"])
        await store.adelete_nodes(filters=equal("n", 3))
        assert [node.node_id for node in store.get_nodes(filters=MetadataFilters(filters=[]))] == ["a"]
        store.add(nodes)
        store.delete_nodes(["a", "b"], equal("where", "pond"))
        assert {node.node_id for node in store.get_nodes(filters=MetadataFilters(filters=[]))} == {"b", "c"}
        await store.aclear()
        store.add(nodes[:1])
        store.clear()
        assert store.query(VectorStoreQuery(nodes[0].embedding, similarity_top_k=3)).ids == []

    @pytest.mark.parametrize("value", [(1, 2), date(2026, 1, 1), {1: "x"}, 2**70], ids=repr)
    def test_metadata_that_would_come_back_as_something_else_are_refused(self, store: KwaainetVectorStore, value: Any) -> None:
        with pytest.raises(kwaainet.InvalidArgumentError, match=r"metadata\['odd'\]"):
            store.add([TextNode(text="x", metadata={"odd": value}, embedding=[1.0] * 16)])
        assert store.get_nodes(filters=MetadataFilters(filters=[])) == []

    def test_what_cannot_be_is_refused(self, store: KwaainetVectorStore, vpk: sync.Vpk) -> None:
        vector = [1.0] * 16
        for query in (
            VectorStoreQuery(vector, mode=VectorStoreQueryMode.MMR),
            VectorStoreQuery(vector, doc_ids=["a", "b"]),
            VectorStoreQuery(vector, filters=MetadataFilters(filters=[], condition=FilterCondition.OR)),
            VectorStoreQuery(vector, filters=MetadataFilters(filters=[MetadataFilter(key="n", value=1, operator=FilterOperator.GT)])),
        ):
            with pytest.raises(kwaainet.UnsupportedError):
                store.query(query)
        contradiction = MetadataFilters(filters=[MetadataFilter(key="n", value=1), MetadataFilter(key="n", value=2)])
        for bad in (VectorStoreQuery(query_str="x"), VectorStoreQuery(vector, filters=contradiction), VectorStoreQuery([1.0])):
            with pytest.raises(kwaainet.InvalidArgumentError):
                store.query(bad)
        with pytest.raises(kwaainet.UnsupportedError, match="a Document would not come out as one"):
            store.add([Document(text="x", embedding=vector)])
        with pytest.raises(kwaainet.InvalidArgumentError, match="the node x has no embedding"):
            store.add([TextNode(id_="x", text="x")])
        with pytest.raises(kwaainet.InvalidArgumentError, match="clear forgets everything"):
            store.delete_nodes()
        with pytest.raises(kwaainet.InvalidArgumentError, match="there is no batch_size"):
            store.add([], batch_size=1)
        with pytest.raises(kwaainet.InvalidArgumentError, match="must be a VectorCollection, not Vpk"):
            KwaainetVectorStore(vpk)  # type: ignore[arg-type]

    async def test_an_index_lives_in_a_collection_at_a_host(self, embedding: KwaainetEmbedding) -> None:
        async with kwaainet.testing.Swarm(2) as (owner, host):
            await host.vpk().host(64 << 20, min_tier="unknown")
            async with await owner.vpk().create("notes", 16, "seal", [host.peer_id]) as collection:
                store = KwaainetVectorStore(collection)
                documents = [Document(text=text, id_=name) for name, text in DOCUMENTS.items()]
                await IngestionPipeline(transformations=[Split(), embedding], vector_store=store).arun(documents=documents)
                await collection.flush()
                index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
                retriever = index.as_retriever(similarity_top_k=1)
                (found,) = await retriever.aretrieve("the heron at the pond")
                assert (found.node.ref_doc_id, found.text) == ("birds.txt", DOCUMENTS["birds.txt"])
                await index.adelete_ref_doc("birds.txt")
                (found,) = await retriever.aretrieve("the heron at the pond")
                assert found.node.ref_doc_id == "pond.txt"
                with pytest.raises(kwaainet.UnsupportedError, match="hold up the event loop"):
                    retriever.retrieve("x")


class TestLLM:
    async def test_what_is_said_comes_in_pieces_with_its_cost_and_its_path(self, llm: KwaainetLLM) -> None:
        pieces = ["Herons ", "wait ", "for you ", "at the pond.", ""]
        asked = [said("user", "hello")]
        stream = list(llm.stream_chat(asked))
        assert [response.delta for response in stream] == pieces and stream[-1].message.content == SAID
        assert [response.delta async for response in await llm.astream_chat(asked)] == pieces
        for whole in (llm.chat(asked), await llm.achat(asked), stream[-1]):
            assert whole.message.content == SAID and whole.message.role == MessageRole.ASSISTANT
            assert whole.raw["usage"] == {"prompt_tokens": 1, "completion_tokens": 4, "cached_tokens": 0, "total_tokens": 5}
            assert whole.raw["finish_reason"] == "stop" and whole.raw["path"][0]["end_block"] == 1
        assert llm.complete("hello").text == SAID == (await llm.acomplete("hello")).text
        assert [response.delta for response in llm.stream_complete("hello")] == pieces
        assert [response.delta async for response in await llm.astream_complete("hello")] == pieces
        assert llm.predict(PromptTemplate("{word}"), word="hello") == SAID

    def test_what_the_model_is_told_of_itself(self, llm: KwaainetLLM) -> None:
        about = llm.metadata
        assert (about.context_window, about.num_output, about.is_chat_model, about.is_function_calling_model) == (4096, 256, True, False)
        assert about.model_name.startswith("parrot") and KwaainetLLM.class_name() == "KwaainetLLM"

    def test_settings_are_those_of_the_engine(self, engine: sync.ShardEngine) -> None:
        with engine.load(TINY) as tiny:
            question = "What is kwaainet?"
            settings: dict[str, Any] = {"temperature": 5.0, "top_p": 0.99, "top_k": 400, "seed": 7, "max_tokens": 12}
            sampled = engine.chat(tiny, question, **settings).done().text
            assert KwaainetLLM(engine, tiny, **settings).complete(question).text == sampled
            plain = KwaainetLLM(engine, tiny, max_tokens=12)
            assert plain.complete(question, **settings).text == sampled != plain.complete(question).text
            assert plain.complete(question, stop=["library"]).text == plain.complete(question).text.partition("library")[0]
            with pytest.raises(kwaainet.UnsupportedError, match="describes no calls"):
                plain.chat_with_tools([WEATHER], "go")
        with pytest.raises(kwaainet.ClosedError):
            plain.complete(question)

    def test_what_there_is_not_is_refused(self, llm: KwaainetLLM, engine: sync.ShardEngine) -> None:
        with pytest.raises(kwaainet.InvalidArgumentError, match="there is no frequency"):
            llm.complete("hello", frequency=1)
        with pytest.raises(kwaainet.UnsupportedError, match="ImageBlock"):
            llm.chat([ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(image=b"")])])
        with pytest.raises(kwaainet.InvalidArgumentError, match="role"):
            llm.chat([said("developer", "x"), said("user", "y")])
        with pytest.raises(kwaainet.UnsupportedError, match="ToolCallBlock"):
            llm.chat([ChatMessage("x", role=MessageRole.ASSISTANT, additional_kwargs={"tool_calls": [1]}), said("user", "y")])
        with pytest.raises(kwaainet.InvalidArgumentError, match="model must be a Model, not str"):
            KwaainetLLM(engine, "model")  # type: ignore[arg-type]

    def test_every_turn_reaches_the_model(self, llm: KwaainetLLM) -> None:
        assert llm.chat([said("system", "brief"), said("user", "hello")]).message.content == "Yes."
        call = ToolCallBlock(tool_call_id="call_7", tool_name="get_weather", tool_kwargs={"location": "Bern"})
        answer = ChatMessage("rain", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "call_7"})
        # The model knows this answer for these names, arguments and ids alone.
        for kwargs in ({"location": "Bern"}, '{"location": "Bern"}'):
            told = ChatMessage(blocks=[call.model_copy(update={"tool_kwargs": kwargs})], role=MessageRole.ASSISTANT)
            assert llm.chat([said("user", "How is it?"), told, answer]).message.content == "It rains in Bern."

    async def test_calls_are_made_and_chosen_by_the_model(self, llm: KwaainetLLM) -> None:
        response = llm.chat_with_tools([BOTH], "go", allow_parallel_tool_calls=True)
        first, second = llm.get_tool_calls_from_response(response)
        assert (first.tool_name, first.tool_kwargs) == ("both", {"first": "你好", "second": 2})
        assert second.tool_kwargs == {"first": "again", "second": 3}
        assert first.tool_id != second.tool_id and response.raw["finish_reason"] == "tool_calls"
        assert len(llm.get_tool_calls_from_response(llm.chat_with_tools([BOTH], "go"))) == 1
        (required,) = llm.get_tool_calls_from_response(llm.chat_with_tools([BOTH], "go", tool_required=True))
        assert required.tool_kwargs == {"first": "你好", "second": 2}
        with pytest.raises(kwaainet.NotFoundError, match="called no function"):
            llm.get_tool_calls_from_response(llm.chat([said("user", "hello")]))
        assert llm.get_tool_calls_from_response(llm.chat([said("user", "hello")]), error_on_no_tool_call=False) == []
        last = [response async for response in await llm.astream_chat_with_tools([WEATHER], "go")][-1]
        assert [call.tool_kwargs for call in llm.get_tool_calls_from_response(last)] == [{"location": "Bern"}]

    async def test_an_agent_calls_a_function_and_answers(self, engine: sync.ShardEngine, parrot: sync.Model) -> None:
        llm = KwaainetLLM(engine, parrot, function_calling=True)
        assert str(llm.predict_and_call([WEATHER], "How is the weather?")) == "rain at Bern"
        result = await FunctionAgent(tools=[WEATHER], llm=llm, streaming=True).run("How is the weather in Bern?")
        assert [call.tool_output.content for call in result.tool_calls] == ["rain at Bern"]
        assert result.response.content == SAID

    async def test_who_stops_reading_stops_the_work(self, engine: sync.ShardEngine) -> None:
        with engine.load(TINY) as tiny:
            llm = KwaainetLLM(engine, tiny, max_tokens=400, temperature=2.0)
            stream = llm.stream_complete("What is kwaainet?")
            next(stream)
            assert "stream" in live()
            stream.close()
            later = await llm.astream_complete("What is kwaainet?")
            await anext(later)
            await later.aclose()
            # LlamaIndex leaves its inner generators to the loop, which closes them when it comes to that.
            del stream, later
        await asyncio.to_thread(until, lambda: "stream" not in live(), "the end of the generations")

    async def test_a_blocking_call_is_refused_where_it_would_hold_up_the_loop(self, parrot: sync.Model) -> None:
        async with kwaainet.ShardEngine.open() as engine:
            llm = KwaainetLLM(engine, parrot)
            for blocking in (llm.complete, llm.stream_complete):
                with pytest.raises(kwaainet.UnsupportedError, match="hold up the event loop"):
                    blocking("hello")
            assert (await llm.acomplete("hello")).text == SAID


def test_without_llama_index_it_says_what_to_install() -> None:
    ended = program("import sys; sys.modules['llama_index'] = None\nimport kwaainet, kwaainet.llama_index")
    assert ended.returncode == 1
    wanted = "ImportError: kwaainet.llama_index needs llama-index-core 0.14: pip install kwaainet[llama-index]"
    assert ended.stderr.strip().endswith(wanted)
