"""The library inside LangChain, beyond what LangChain's own tests look at."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import models
import pytest
from conftest import ROOT, live, program, until
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool

import kwaainet
from kwaainet import sync
from kwaainet.langchain import ChatKwaainet, KwaainetAnswers, KwaainetEmbeddings, KwaainetRetriever, KwaainetVectorStore

TINY = ROOT / "examples" / "models" / "tiny-kwaai"
SAID = "Herons wait for you at the pond."


@pytest.fixture
def chat(engine: sync.ShardEngine, parrot: sync.Model) -> ChatKwaainet:
    return ChatKwaainet(engine=engine, model=parrot)


@pytest.fixture
def store(vpk: sync.Vpk, engine: sync.ShardEngine, embedder: Path) -> Iterator[KwaainetVectorStore]:
    with vpk.create("store", 16, "seal", ["here"]) as collection:
        yield KwaainetVectorStore(collection, KwaainetEmbeddings(engine, embedder))
        collection.destroy()


@tool
def get_weather(location: str) -> str:
    """The weather at a place."""
    return "rain"


@tool
def both(first: str, second: int) -> str:
    """Takes two things."""
    return first


class TestRetriever:
    def test_a_passage_comes_with_its_place_its_span_and_its_ranks(self, rag: sync.Rag) -> None:
        hit = rag.search("dumplings on fridays", k=1).hits[0]
        (found,) = KwaainetRetriever(rag=rag, k=1).invoke("dumplings on fridays")
        assert (found.page_content, found.id) == (hit.text, hit.chunk_id)
        about = found.metadata
        assert (about["document"], about["document_id"], about["locator"]) == ("food.md", hit.document_id, hit.locator)
        assert about["section"] == "Canteen" and about["mode"] == "hybrid" and about["note"] is None
        assert about["lexical"]["rank"] == about["dense"]["rank"] == 1 and about["score"] == hit.score
        bytes_of = rag.document_text(about["document_id"]).encode()[about["span"]["start"] : about["span"]["end"]]
        assert bytes_of.decode() == found.page_content
        assert json.loads(json.dumps(about)) == about

    def test_every_option_of_a_search_can_be_given(self, rag: sync.Rag) -> None:
        other = next(document for document in rag.documents() if document.name != "food.md")
        retriever = KwaainetRetriever(rag=rag, k=3, search_kwargs={"documents": [other.id], "links": True})
        found = retriever.invoke("dumplings on fridays")
        assert found and {hit.metadata["document"] for hit in found} == {other.name}
        with pytest.raises(TypeError):
            KwaainetRetriever(rag=rag, search_kwargs={"limit": 3}).invoke("dumplings")

    def test_k_and_mode_hold_for_one_call_or_for_all(self, rag: sync.Rag) -> None:
        retriever = KwaainetRetriever(rag=rag, k=2, mode="lexical")
        assert [hit.metadata["dense"] for hit in retriever.invoke("the pond")] == [None, None]
        (found,) = retriever.invoke("the pond", k=1, mode="dense")
        assert found.metadata["mode"] == "dense" and found.metadata["lexical"] is None
        with pytest.raises(kwaainet.InvalidArgumentError, match="mode must be one of"):
            retriever.invoke("the pond", mode="magic")
        with pytest.raises(ValueError, match="limit"):
            KwaainetRetriever(rag=rag, limit=3)
        with pytest.raises(ValueError, match="rag"):
            KwaainetRetriever(rag="a folder")

    async def test_an_awaited_search_leaves_the_loop_to_others(self, tmp_path: Path) -> None:
        """The embedder runs on the loop of the call. Were that held up, no answer would ever come."""

        async def embed(texts: list[str], query: bool) -> list[list[float]]:
            await asyncio.sleep(0)
            return [[float(len(text)), 1.0] for text in texts]

        own = SimpleNamespace(id="own", dimension=2, embed=embed)
        async with kwaainet.Rag.open(tmp_path, embedder=own) as rag:
            await rag.ingest(b"The heron waits.", name="a.txt").done()
            retriever = KwaainetRetriever(rag=rag, mode="dense")
            async with asyncio.timeout(20):
                found, again = await retriever.abatch(["The heron waits.", "x"])
                assert found[0].page_content == again[0].page_content == "The heron waits."
            with pytest.raises(kwaainet.UnsupportedError) as refused:
                retriever.invoke("The heron waits.")
            assert "kwaainet.sync" in refused.value.context["remedy"]
            # A thread has no loop that could be held up.
            (found,) = await asyncio.to_thread(retriever.invoke, "The heron waits.")
            assert found.metadata["dense"]["rank"] == 1

    async def test_what_a_branch_of_a_chain_waits_for_in_vain_ends_with_its_deadline(self, tmp_path: Path) -> None:
        """LangChain calls branches from threads of its own and holds up the loop meanwhile, which nobody can see there."""

        async def embed(texts: list[str], query: bool) -> list[list[float]]:
            return [[1.0] for _ in texts]

        patient = SimpleNamespace(id="own", dimension=1, embed=embed)
        async with kwaainet.Rag.open(tmp_path, embedder=patient) as rag:
            await rag.ingest(b"The heron waits.", name="a.txt").done()
        hasty = SimpleNamespace(id="own", dimension=1, embed=embed, deadline=timedelta(milliseconds=200))
        async with kwaainet.Rag.open(tmp_path, embedder=hasty) as rag:
            retriever = KwaainetRetriever(rag=rag, mode="dense")
            with pytest.raises(TimeoutError):
                RunnableParallel(one=retriever, other=retriever).invoke("x")

    async def test_what_sync_opened_may_block_within_a_loop_and_is_awaited_as_well(self, rag: sync.Rag) -> None:
        retriever = KwaainetRetriever(rag=rag, k=1)
        assert retriever.invoke("dumplings") == await retriever.ainvoke("dumplings")

    async def test_a_search_that_is_cancelled_is_given_up(self, tmp_path: Path) -> None:
        asked = asyncio.Event()
        cancelled = asyncio.Event()

        async def embed(texts: list[str], query: bool) -> list[list[float]]:
            if query:
                asked.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    cancelled.set()
            return [[1.0] for _ in texts]

        own = SimpleNamespace(id="own", dimension=1, embed=embed)
        async with kwaainet.Rag.open(tmp_path, embedder=own) as rag:
            await rag.ingest(b"x", name="a.txt").done()
            search = asyncio.create_task(KwaainetRetriever(rag=rag).ainvoke("x"))
            await asked.wait()
            search.cancel()
            with pytest.raises(asyncio.CancelledError):
                await search
            await asyncio.wait_for(cancelled.wait(), 20)


class TestAnswers:
    QUESTION = "What does the canteen serve on Fridays?"

    def test_an_answer_cites_its_sources_or_is_refused(self, words: sync.Rag) -> None:
        answers = KwaainetAnswers(rag=words)
        answer, refused = answers.batch([self.QUESTION, "Who won the football world cup in 1998?"])
        assert isinstance(answer, kwaainet.Answer) and answer == words.ask(self.QUESTION).done()
        assert not answer.refused and answer.citations[0].document == "food.md" and "dumplings" in answer.text
        assert refused.refused and refused.why and not refused.citations
        assert answers.invoke(self.QUESTION, min_support=1.0).refused

    async def test_it_is_a_part_of_a_chain(self, words: sync.Rag) -> None:
        chain = KwaainetAnswers(rag=words) | (lambda answer: [citation.quote for citation in answer.citations])
        quotes = [citation.quote for citation in words.ask(self.QUESTION).done().citations]
        assert await chain.ainvoke(self.QUESTION) == chain.invoke(self.QUESTION) == quotes and "dumplings" in quotes[0]


class TestEmbeddings:
    async def test_vectors_are_those_of_the_engine(self, engine: sync.ShardEngine, embedder: Path) -> None:
        embeddings = KwaainetEmbeddings(engine, embedder)
        texts = ["a heron", "dumplings on fridays"]
        rows = engine.embed(texts, model=embedder).tolist()
        assert embeddings.embed_documents(texts) == await embeddings.aembed_documents(texts) == rows
        assert embeddings.embed_query("a heron") == await embeddings.aembed_query("a heron")
        assert math.isclose(math.hypot(*rows[0]), 1, rel_tol=1e-5)
        assert embeddings.embed_documents([]) == []
        with pytest.raises(kwaainet.InvalidArgumentError, match="engine must be a ShardEngine, not str"):
            KwaainetEmbeddings("engine")  # type: ignore[arg-type]
        with pytest.raises(kwaainet.KwaaiError):
            KwaainetEmbeddings(engine, embedder / "nowhere").embed_query("x")

    async def test_a_question_gets_the_prompt_that_the_model_wants_before_it(self, engine: sync.ShardEngine, tmp_path: Path) -> None:
        folder = models.embedder(tmp_path)
        (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "pond ", "document": "soup "}}')
        embeddings = KwaainetEmbeddings(engine, folder)
        asked, found = engine.embed(["heron"], model=folder, query=True).tolist(), engine.embed(["heron"], model=folder).tolist()
        assert asked != found
        assert embeddings.embed_query("heron") == await embeddings.aembed_query("heron") == asked[0]
        assert embeddings.embed_documents(["heron"]) == await embeddings.aembed_documents(["heron"]) == found

    async def test_a_blocking_call_is_refused_where_it_would_hold_up_the_loop(self, embedder: Path) -> None:
        async with kwaainet.ShardEngine.open() as engine:
            embeddings = KwaainetEmbeddings(engine, embedder)
            assert len(await embeddings.aembed_query("x")) == 16
            with pytest.raises(kwaainet.UnsupportedError):
                embeddings.embed_query("x")


class TestVectorStore:
    def test_the_nearest_come_with_their_cosines_and_a_relevance(self, store: KwaainetVectorStore) -> None:
        store.add_texts(["a heron", "dumplings and soup"], [{"where": "pond"}, {"where": "canteen", "deep": {"list": [1, 2.5, None]}}])
        (first, near), (second, far) = store.similarity_search_with_score("heron pond", k=5)
        assert first.page_content == "a heron" and 0 < near <= 1.0001 and far < near
        assert second.metadata == {"where": "canteen", "deep": {"list": [1, 2.5, None]}}
        ((_, relevance),) = store.similarity_search_with_relevance_scores("heron pond", k=1)
        assert math.isclose(relevance, (1 + near) / 2)
        (found,) = store.similarity_search("heron", k=5, filter={"where": "canteen"})
        assert found == second
        assert store.similarity_search_by_vector(store.embeddings.embed_query("heron pond"), k=1) == [first]
        assert [found.id for found in store.as_retriever(search_kwargs={"k": 1}).invoke("heron")] == [first.id]

    async def test_awaited_and_waited_for_it_is_the_same(self, store: KwaainetVectorStore) -> None:
        documents = [Document("a heron", metadata={"n": 1}, id="x"), Document("soup")]
        ids = await store.aadd_documents(documents)
        assert ids[0] == "x" and len(ids) == 2
        assert await store.aget_by_ids(ids) == store.get_by_ids(ids)
        assert await store.asimilarity_search_with_score("soup", k=2) == store.similarity_search_with_score("soup", k=2)
        vector = await store.embeddings.aembed_query("soup")
        assert await store.asimilarity_search_by_vector(vector, k=1) == store.similarity_search_by_vector(vector, k=1)
        await store.adelete()
        assert store.similarity_search("soup") == []
        assert store.add_texts([]) == []

    @pytest.mark.parametrize(
        "value",
        [(1, 2), date(2026, 1, 1), math.nan, 2**70, {1: "x"}, {"a", "b"}, b"x", ["ok", (1,)], "\ud800"],
        ids=repr,
    )
    def test_metadata_that_would_come_back_as_something_else_are_refused(self, store: KwaainetVectorStore, value: Any) -> None:
        with pytest.raises(kwaainet.InvalidArgumentError, match=r"metadata\['odd'\]"):
            store.add_texts(["one", "two"], [{"fine": 1}, {"odd": value}])
        assert store.similarity_search("one") == []

    def test_what_cannot_be_is_refused_and_nothing_of_it_is_kept(self, store: KwaainetVectorStore) -> None:
        with pytest.raises(kwaainet.InvalidArgumentError, match="_id in metadata is taken"):
            store.add_texts(["one"], [{"_id": "mine"}])
        with pytest.raises(kwaainet.InvalidArgumentError, match="an id is there twice"):
            store.add_texts(["one", "two"], ids=["a", "a"])
        with pytest.raises(kwaainet.InvalidArgumentError, match="there are 1 metadatas for 2 ids"):
            store.add_texts(["one", "two"], [{}])
        with pytest.raises(kwaainet.InvalidArgumentError, match="there is no batch_size"):
            store.add_texts(["one"], batch_size=3)
        with pytest.raises(kwaainet.InvalidArgumentError, match="there is no fetch_k"):
            store.similarity_search("one", fetch_k=3)
        with pytest.raises(NotImplementedError):
            store.max_marginal_relevance_search("one")
        with pytest.raises(kwaainet.InvalidArgumentError, match="lone surrogate"):
            store.add_texts(["\ud800"])
        assert store.similarity_search("one") == []

    def test_what_is_refused_is_refused_before_it_is_embedded(self, store: KwaainetVectorStore) -> None:
        class Counting(KwaainetEmbeddings):
            asked = 0

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                self.asked += len(texts)
                return super().embed_documents(texts)[1:]

        counting = Counting(store.embeddings._engine, store.embeddings._model)  # type: ignore[attr-defined]
        odd = KwaainetVectorStore(store._collection, counting)
        with pytest.raises(kwaainet.InvalidArgumentError, match="odd"):
            odd.add_texts(["one", "two"], [{}, {"odd": (1,)}])
        assert counting.asked == 0
        with pytest.raises(kwaainet.InvalidArgumentError):
            odd.add_texts(["one", "two"])
        assert counting.asked == 2 and store.similarity_search("one") == []

    def test_a_collection_of_others_or_of_another_shape_is_an_error(self, vpk: sync.Vpk, engine: sync.ShardEngine, embedder: Path) -> None:
        embeddings = KwaainetEmbeddings(engine, embedder)
        with vpk.create("others", 16, "plain", ["here"]) as collection:
            collection.upsert([1], [[1.0] * 16], metadata=[{"theirs": True}])
            with pytest.raises(kwaainet.ConflictError, match="no vector store put in"):
                KwaainetVectorStore(collection, embeddings).similarity_search("x")
            collection.destroy()
        with vpk.create("small", 3, "plain", ["here"], metric="dot") as collection:
            store = KwaainetVectorStore(collection, embeddings)
            with pytest.raises(kwaainet.InvalidArgumentError):
                store.add_texts(["one"])
            with pytest.raises(kwaainet.UnsupportedError, match="dot product"):
                store.similarity_search_with_relevance_scores("one")
            collection.destroy()
        with pytest.raises(kwaainet.InvalidArgumentError, match="collection is missing"):
            KwaainetVectorStore.from_texts(["one"], embeddings)
        with pytest.raises(kwaainet.InvalidArgumentError, match="must be a VectorCollection, not Vpk"):
            KwaainetVectorStore(vpk, embeddings)  # type: ignore[arg-type]

    async def test_texts_at_a_host_that_cannot_read_them_are_found(self, engine: sync.ShardEngine, embedder: Path) -> None:
        async with kwaainet.testing.Swarm(2) as (owner, host):
            await host.vpk().host(64 << 20, min_tier="unknown")
            # anchor: store
            collection = await owner.vpk().create("notes", 16, "seal", [host.peer_id])
            store = KwaainetVectorStore(collection, KwaainetEmbeddings(engine, embedder))
            await store.aadd_texts(["A heron waits at the pond.", "The canteen has soup."], [{"page": 1}, {"page": 2}])
            found = await store.asimilarity_search("Where is the heron?", k=1, filter={"page": 1})
            # end: store
            assert [one.page_content for one in found] == ["A heron waits at the pond."]
            await collection.flush()
            assert not collection.leakage.vectors and (await collection.stats()).buffered == 0
            assert await store.asimilarity_search("Where is the heron?", k=1) == found
            with pytest.raises(kwaainet.UnsupportedError):
                store.get_by_ids(["birds.txt"])
            with pytest.raises(kwaainet.UnsupportedError):
                store.add_texts(["x"])
            with pytest.raises(kwaainet.UnsupportedError):
                store.delete(["x"])
            embeddings = store.embeddings
            again = await KwaainetVectorStore.afrom_texts(["soup"], embeddings, ids=["s"], collection=collection)
            assert [one.id for one in await again.aget_by_ids(["s", "nobody"])] == ["s"]
            await collection.shutdown()


class Heard(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: str, **about: Any) -> None:
        self.tokens.append(token)


class TestChat:
    async def test_what_is_said_comes_in_pieces_with_its_cost_and_its_path(self, chat: ChatKwaainet) -> None:
        heard = Heard()
        chunks = list(chat.stream("hello", config={"callbacks": [heard]}))
        pieces = ["Herons ", "wait ", "for you ", "at the pond."]
        assert [chunk.text for chunk in chunks if chunk.text] == pieces == [token for token in heard.tokens if token]
        whole = chat.invoke("hello")
        assert whole.content == SAID == (await chat.ainvoke("hello")).content
        assert [chunk.text async for chunk in chat.astream("hello")] == [chunk.text for chunk in chunks]
        cost = {"input_tokens": 1, "output_tokens": 4, "total_tokens": 5, "input_token_details": {"cache_read": 0}}
        assert whole.usage_metadata == chunks[-1].usage_metadata == cost
        about = whole.response_metadata
        assert (about["finish_reason"], about["model_id"]) == ("stop", chat.model.id)
        (hop,) = about["path"]
        assert (hop["peer"], hop["start_block"], hop["end_block"]) == (None, 0, 1) and hop["ms"] > 0

    def test_a_stop_text_and_a_limit_end_it(self, chat: ChatKwaainet) -> None:
        assert chat.invoke("hello", stop=["for"]).content == "Herons wait "
        assert ChatKwaainet(engine=chat.engine, model=chat.model, stop=["you"]).invoke("hello").content == "Herons wait for "
        short = chat.bind(max_tokens=2).invoke("hello")
        assert (short.content, short.response_metadata["finish_reason"]) == ("Herons wait ", "length")

    def test_settings_are_those_of_the_engine(self, engine: sync.ShardEngine) -> None:
        with engine.load(TINY) as tiny:
            question = "What is kwaainet?"
            plain = ChatKwaainet(engine=engine, model=tiny, max_tokens=12)
            assert plain.invoke(question).content == engine.chat(tiny, question, max_tokens=12).done().text
            settings: dict[str, Any] = {"temperature": 5.0, "top_p": 0.99, "top_k": 400, "seed": 7, "max_tokens": 12}
            sampled = engine.chat(tiny, question, **settings).done().text
            assert ChatKwaainet(engine=engine, model=tiny, **settings).invoke(question).content == sampled
            assert plain.bind(**settings).invoke(question).content == sampled != plain.invoke(question).content
            assert plain.invoke(question, repetition_penalty=100.0).content != plain.invoke(question).content
            with pytest.raises(kwaainet.UnsupportedError, match="describes no calls"):
                plain.bind_tools([get_weather]).invoke(question)
            closed = plain
        with pytest.raises(kwaainet.ClosedError):
            closed.invoke(question)

    def test_what_there_is_not_is_refused_by_its_name(self, chat: ChatKwaainet) -> None:
        with pytest.raises(kwaainet.InvalidArgumentError, match="there is no frequency"):
            chat.invoke("hello", frequency=1)
        with pytest.raises(kwaainet.InvalidArgumentError, match="there is no model"):
            chat.invoke("hello", model="another")
        with pytest.raises(ValueError, match="timeout"):
            ChatKwaainet(engine=chat.engine, model=chat.model, timeout=3)
        with pytest.raises(kwaainet.UnsupportedError, match="peers|network"):
            ChatKwaainet(engine=chat.engine, model=chat.model, route="peers").invoke("hello")
        with pytest.raises(kwaainet.InvalidArgumentError, match="ends with a question"):
            chat.invoke([HumanMessage("a"), AIMessage("b")])
        with pytest.raises(kwaainet.UnsupportedError, match="'image_url'"):
            chat.invoke([HumanMessage([{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:,"}}])])
        with pytest.raises(kwaainet.UnsupportedError, match="FunctionMessage"):
            chat.invoke([FunctionMessage("x", name="f")])

    def test_two_models_are_told_apart_by_what_they_are(self, chat: ChatKwaainet) -> None:
        """So that an answer of one is not taken from the cache for the other."""
        assert chat._get_llm_string() != ChatKwaainet(engine=chat.engine, model=chat.model, seed=1)._get_llm_string()
        assert chat.model.id in chat._get_llm_string()

    def test_every_turn_reaches_the_model(self, chat: ChatKwaainet) -> None:
        assert chat.invoke([SystemMessage("brief"), HumanMessage("hello")]).content == "Yes."
        assert chat.invoke([SystemMessage([{"type": "text", "text": "brief"}]), HumanMessage("hello")]).content == "Yes."
        assert chat.invoke([("system", "other"), ("human", "hello")]).content == SAID

    async def test_calls_come_with_their_arguments_and_their_answers_go_back(self, chat: ChatKwaainet) -> None:
        first, second = chat.bind_tools([both]).invoke("go").tool_calls
        assert (first["name"], first["args"], second["args"]) == ("both", {"first": "你好", "second": 2}, {"first": "again", "second": 3})
        assert first["id"] and first["id"] != second["id"]
        weather = chat.bind_tools([get_weather])
        asked = await weather.ainvoke("How is the weather in Bern?")
        assert asked.response_metadata["finish_reason"] == "tool_calls"
        call = {**asked.tool_calls[0], "id": "call_7"}
        history = [HumanMessage("How is it?"), AIMessage("", tool_calls=[call]), get_weather.invoke(call)]
        assert isinstance(history[-1], ToolMessage)
        # The model knows this answer for these names, arguments and ids alone.
        assert weather.invoke(history).content == "It rains in Bern."

    def test_a_choice_among_tools_is_the_models_own_or_the_programs(self, chat: ChatKwaainet) -> None:
        assert chat.bind_tools([get_weather], tool_choice="auto").invoke("go").tool_calls
        unasked = chat.bind_tools([get_weather], tool_choice="none").invoke("go")
        assert unasked.content == SAID and not unasked.tool_calls
        for choice in ("any", "required", "get_weather", True, {"type": "function", "function": {"name": "get_weather"}}):
            (called,) = chat.bind_tools([get_weather], tool_choice=choice).invoke("go").tool_calls
            assert (called["name"], called["args"]) == ("get_weather", {"location": "Bern"})
        structured: Any = chat.with_structured_output(get_weather.args_schema).invoke("go")
        assert structured.location == "Bern"
        with pytest.raises(kwaainet.InvalidArgumentError, match="no tools to choose from"):
            chat.invoke("go", tool_choice="required")
        with pytest.raises(kwaainet.InvalidArgumentError, match="tool_choice must be"):
            chat.bind_tools([get_weather], tool_choice=3).invoke("go")
        with pytest.raises(kwaainet.InvalidArgumentError, match="a tool must be"):
            chat.invoke("go", tools=["get_weather"])
        with pytest.raises(kwaainet.UnsupportedError, match="strict"):
            chat.invoke("go", tools=[{"type": "function", "function": {"name": "f", "strict": True}}])

    async def test_who_stops_reading_stops_the_work(self, engine: sync.ShardEngine) -> None:
        with engine.load(TINY) as tiny:
            chat = ChatKwaainet(engine=engine, model=tiny, max_tokens=400, temperature=2.0)
            stream = chat.stream("What is kwaainet?")
            next(stream)
            assert "stream" in live()
            stream.close()  # type: ignore[attr-defined]
            later = chat.astream("What is kwaainet?")
            await anext(later)
            await later.aclose()  # type: ignore[attr-defined]
        until(lambda: "stream" not in live(), "the end of the generations")

    async def test_a_blocking_call_is_refused_where_it_would_hold_up_the_loop(self, parrot: sync.Model) -> None:
        async with kwaainet.ShardEngine.open() as engine:
            chat = ChatKwaainet(engine=engine, model=parrot)
            with pytest.raises(kwaainet.UnsupportedError, match="hold up the event loop"):
                chat.invoke("hello")
            assert (await chat.ainvoke("hello")).content == SAID


async def test_a_chain_of_ours_answers(rag: sync.Rag, chat: ChatKwaainet) -> None:
    def text(documents: list[Document]) -> str:
        return " ".join(document.page_content for document in documents)

    prompt = ChatPromptTemplate.from_template("From {context}: {question}")
    context = {"context": KwaainetRetriever(rag=rag, k=1) | text, "question": RunnablePassthrough()}
    chain = context | prompt | chat | StrOutputParser()
    assert chain.invoke("Where does the heron wait?") == SAID
    assert "".join([piece async for piece in chain.astream("Where does the heron wait?")]) == SAID


def test_without_langchain_it_says_what_to_install() -> None:
    ended = program("import sys; sys.modules['langchain_core'] = None\nimport kwaainet, kwaainet.langchain")
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith("ImportError: kwaainet.langchain needs langchain-core 1.x: pip install kwaainet[langchain]")
