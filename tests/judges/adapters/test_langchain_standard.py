"""LangChain's own tests of what plugs into it. What they skip is in `tests/skips.toml` with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from kwaainet import sync
from kwaainet.langchain import ChatKwaainet, KwaainetEmbeddings, KwaainetRetriever, KwaainetVectorStore


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _handles(self, rag: sync.Rag) -> None:
        self._rag = rag

    @property
    def retriever_constructor(self) -> type[KwaainetRetriever]:
        return KwaainetRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"rag": self._rag}

    @property
    def retriever_query_example(self) -> str:
        return "a heron at the pond, dumplings in the canteen"


class Embedding:
    @pytest.fixture(autouse=True)
    def _handles(self, engine: sync.ShardEngine, embedder: Path) -> None:
        self._params = {"engine": engine, "model": embedder}

    @property
    def embeddings_class(self) -> type[KwaainetEmbeddings]:
        return KwaainetEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return self._params


class TestEmbeddings(Embedding, EmbeddingsIntegrationTests):
    pass


class TestEmbeddingsAlone(Embedding, EmbeddingsUnitTests):
    pass


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture(params=["plain", "seal"])
    def vectorstore(self, vpk: sync.Vpk, request: pytest.FixtureRequest) -> Iterator[KwaainetVectorStore]:
        with vpk.create("standard", 6, request.param, ["here"]) as collection:
            yield KwaainetVectorStore(collection, self.get_embeddings())
            collection.destroy()


class Chat:
    @pytest.fixture(autouse=True)
    def _handles(self, engine: sync.ShardEngine, parrot: sync.Model) -> None:
        self._params = {"engine": engine, "model": parrot}

    @property
    def chat_model_class(self) -> type[ChatKwaainet]:
        return ChatKwaainet

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return self._params

    @property
    def has_tool_choice(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def supports_model_override(self) -> bool:
        return False


class TestChatModelAlone(Chat, ChatModelUnitTests):
    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # No time limit and no trying again of its own: there are asyncio.timeout, sync.timeout and with_retry.
        return {"temperature": 0, "max_tokens": 100, "stop": []}


NO_CHOICE = "a model in blocks decides by itself whether it calls a function"


class TestChatModel(Chat, ChatModelIntegrationTests):
    @pytest.mark.xfail(reason=NO_CHOICE, strict=True)
    def test_structured_few_shot_examples(self, *arguments: Any) -> None:
        super().test_structured_few_shot_examples(*arguments)

    @pytest.mark.xfail(reason=NO_CHOICE, strict=True)
    def test_unicode_tool_call_integration(self, model: Any) -> None:
        super().test_unicode_tool_call_integration(model)
