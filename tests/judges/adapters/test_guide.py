"""The piece of the guide about other frameworks does what the guide says."""

from __future__ import annotations

import importlib.util
from ast import literal_eval

import pytest
from conftest import DOCUMENTS, ROOT

import kwaainet
from kwaainet import sync


async def test_a_chain_and_an_index_answer(rag: sync.Rag, parrot: sync.Model, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("guide", ROOT / "examples" / "python" / "guide.py")
    assert spec is not None and spec.loader is not None
    guide = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guide)
    async with kwaainet.ShardEngine.open() as engine:
        asked = (kwaainet.Rag(rag._native), engine, kwaainet.Model(parrot._native), "Where does the heron wait?")
        assert await guide.langchain(*asked) == await guide.llama_index(*asked) == "Herons wait for you at the pond."
    shown = literal_eval(capsys.readouterr().out)
    assert len(shown) == 3 and set(shown) <= set(DOCUMENTS)
