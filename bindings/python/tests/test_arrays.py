"""Numbers in rows cross as one buffer, in and out."""

from __future__ import annotations

import array
import time
import tracemalloc
from typing import Any

import numpy
import pytest
from conftest import ROOT, run

import kwaainet
from kwaainet import ShardEngine, sync, testing

MODEL = ROOT / "examples" / "models" / "tiny-kwaai"


def test_numpy_takes_logits_without_copying_them() -> None:
    with sync.ShardEngine.open() as engine, engine.load(MODEL) as model:
        logits = engine.logits(model, numpy.array([1, 2, 3]))  # type: ignore[arg-type]
        taken = numpy.asarray(logits)
        assert (taken.dtype, taken.shape) == (numpy.float32, (3, model.info.vocab_size))
        assert numpy.shares_memory(taken, numpy.frombuffer(logits, dtype=numpy.float32))
        assert logits[1, 2] == taken[1, 2]


def test_texts_become_unit_vectors_and_alike_texts_alike_vectors() -> None:
    async def main() -> None:
        async with ShardEngine.open() as engine:
            try:
                vectors = numpy.asarray(await engine.embed(["a cat sleeps", "a kitten naps", "the tax law of 1987"]))
            except kwaainet.NotFoundError as error:
                pytest.skip(f"skipped: the weights of all-MiniLM-L6-v2 are not in the model cache: {error}")
            assert vectors.shape == (3, 384) and vectors.dtype == numpy.float32
            assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-5)
            near, far, _ = (vectors @ vectors.T)[numpy.triu_indices(3, 1)]
            assert near > 0.5 > far
            assert numpy.asarray(await engine.embed([])).shape == (0, 384)

    run(main())


def test_a_large_array_is_handed_over_without_making_objects_of_it() -> None:
    rows = numpy.random.default_rng(7).standard_normal((50_000, 384), dtype=numpy.float32)
    tracemalloc.start()
    began = time.perf_counter()
    norms = numpy.asarray(testing.norms(rows))
    seconds = time.perf_counter() - began
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"50,000 x 384 floats handed over and measured in {seconds * 1000:.0f} ms")
    assert numpy.allclose(norms, numpy.linalg.norm(rows, axis=1), rtol=1e-4)
    assert most < 1_000_000, "Python made objects of the numbers"


@pytest.mark.parametrize(
    "given",
    [
        numpy.zeros(3, dtype=numpy.float32),
        numpy.zeros((2, 2), dtype=numpy.int32),
        numpy.full((2, 2), numpy.nan, dtype=numpy.float32),
        array.array("f", [1.0]),
        [[1.0]],
        b"bytes",
        None,
        object(),
    ],
    ids=repr,
)
def test_what_is_no_matrix_of_finite_floats_is_refused(given: Any) -> None:
    with pytest.raises(kwaainet.InvalidArgumentError):
        testing.norms(given)


def test_arrays_without_rows_and_with_columns_first_are_read_too() -> None:
    assert len(testing.norms(numpy.zeros((0, 4), dtype=numpy.float32))) == 0
    with pytest.raises(kwaainet.InvalidArgumentError):
        testing.norms(numpy.zeros((4, 0), dtype=numpy.float32))
    assert list(testing.norms(numpy.asfortranarray(numpy.array([[3, 0], [4, 1]], dtype=numpy.float32)))) == [3, pytest.approx(17**0.5)]


def test_vectors_go_in_from_any_array_and_embeddings_as_they_are() -> None:
    with sync.Node.start(preset="ephemeral", listen=[]) as node:
        node.vpk().host(1 << 24)
        notes = node.vpk().create("notes", 2, "plain", ["here"])
        rows = [[1.0, 0.0], [0.0, 1.0]]
        whole = numpy.array(rows, dtype=numpy.float32)
        flat = memoryview(whole.tobytes()).cast("f", (2, 2))
        for vectors in (rows, whole, whole.astype(numpy.float64), whole.T, flat, list(whole), [array.array("f", row) for row in rows]):
            notes.upsert(numpy.array([1, 2]), vectors)  # type: ignore[arg-type]
            for question in (rows[1], whole[1], whole[1:], array.array("d", rows[1])):
                (hit,) = notes.search(question, k=1).hits
                assert (hit.id, round(hit.score, 2)) == (2, 1.0)
        assert notes.stats().vectors == 2
