"""A web service with a node inside: documents go in, cited answers come out.

    uvicorn --app-dir examples/python fastapi_app:app

Then PUT a file to /documents/notes.txt, and GET /ask?question=...
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

import kwaainet
from kwaainet import Node


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The node lives as long as the service."""
    async with (
        Node.start(preset="ephemeral", name="web") as node,
        node.rag("documents", embedder=os.environ.get("EMBEDDER")) as rag,
    ):
        app.state.node, app.state.rag = node, rag
        yield


app = FastAPI(title="kwaainet in a web service", lifespan=lifespan)

STATUS = {"invalid_argument": 422, "not_found": 404, "permission_denied": 403, "untrusted_peer": 403, "busy": 503}


@app.exception_handler(kwaainet.KwaaiError)
async def failed(request: Request, error: kwaainet.KwaaiError) -> JSONResponse:
    """Every error of the library keeps its code on the way to the browser."""
    said = {"code": error.code, "message": error.message, "retryable": error.retryable}
    return JSONResponse(said, status_code=STATUS.get(error.code, 500))


@app.get("/node")
async def about() -> dict[str, Any]:
    return asdict(await app.state.node.info())


@app.put("/documents/{name}")
async def store(name: str, request: Request) -> dict[str, Any]:
    done = await app.state.rag.ingest(await request.body(), name=name).done()
    return asdict(done)


@app.get("/documents/{id}/text")
async def text(id: str) -> dict[str, str]:
    return {"text": await app.state.rag.document_text(id)}


@app.get("/ask")
async def ask(question: str) -> dict[str, Any]:
    answer = await app.state.rag.ask(question).done()
    return {"text": answer.text, "refused": answer.refused, "citations": [asdict(one) for one in answer.citations]}


@app.get("/ask/stream")
async def ask_stream(question: str) -> StreamingResponse:
    """The answer as it is written. A browser that leaves stops the work."""

    async def pieces() -> AsyncIterator[str]:
        async with app.state.rag.ask(question) as events:
            async for event in events:
                if isinstance(event, kwaainet.AnswerText):
                    yield event.text

    return StreamingResponse(pieces(), media_type="text/plain")
