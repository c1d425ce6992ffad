"""Models of a hub, from one on this machine that gives parts of files."""

import asyncio

import pytest
from local_hub import COMMIT, ID, MODEL, Hub

import kwaainet
from kwaainet import sync


def test_some_blocks_of_a_model_are_downloaded_with_progress_listed_and_removed(hub: Hub) -> None:
    async def main() -> None:
        async with kwaainet.ShardEngine.open() as engine:
            events = [event async for event in engine.download(ID, blocks=(1, 3))]
            found, *progress, last = events
            assert isinstance(found, kwaainet.DownloadFound) and found.bytes is not None
            assert progress[-1] == kwaainet.DownloadProgress(bytes=found.bytes, total=found.bytes)
            assert isinstance(last, kwaainet.DownloadFinished)
            whole = len(hub.files["model.safetensors"])
            assert found.bytes < hub.given < whole, "the header, two of four blocks and the ends"
            (model,) = await engine.downloaded()
            assert (model.id, model.revision, model.whole) == (ID, COMMIT, False)
            assert model.path == last.path and hub.given <= model.bytes < whole
            part = await engine.load(ID, blocks=(1, 3))
            assert part.id == (await engine.load(MODEL, blocks="none")).id
            assert part.info.held_blocks == kwaainet.Span(1, 3)
            given = hub.given
            assert await engine.download(ID, blocks=(2, 3)).done() == last
            assert hub.given == given
            at = await engine.download(ID).done()
            (model,) = await engine.downloaded()
            assert model.whole and model.path == at.path and model.bytes >= whole
            assert await engine.remove_download(ID) >= whole
            assert await engine.downloaded() == []

    asyncio.run(main())


def test_what_can_be_done_with_downloads_can_be_done_without_asyncio(hub: Hub) -> None:
    with sync.ShardEngine.open() as engine:
        events = list(engine.download(f"{ID}@{COMMIT}", blocks="none"))
        assert isinstance(events[0], kwaainet.DownloadFound)
        assert engine.download(ID, blocks="none").done() == events[-1]
        assert [model.whole for model in engine.downloaded()] == [False]
        with pytest.raises(kwaainet.InvalidArgumentError, match="quantisation"):
            engine.remove_download(f"{ID}:Q8_0")
        assert engine.remove_download(ID) > 0


def test_a_download_that_is_left_stops_and_one_that_is_wrong_says_why(hub: Hub) -> None:
    async def main() -> None:
        async with kwaainet.ShardEngine.open() as engine:
            async for _event in engine.download(ID):
                break
            assert all(not model.whole for model in await engine.downloaded())
            with pytest.raises(kwaainet.InvalidArgumentError, match="blocks 3..9"):
                await engine.download(ID, blocks=(3, 9)).done()
            with pytest.raises(kwaainet.InvalidArgumentError):
                await engine.download("not an id").done()

    asyncio.run(main())
