"""The guide's pieces of Python, one function for each task. Each is run by a test with what it must bring about."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import numpy

import kwaainet
from kwaainet import BlockShare, Node, Rag, TrustGraph


# anchor: start
async def start() -> None:
    async with Node.start(preset="ephemeral", name="alice") as node:
        print(node.name, node.peer_id, node.did)
# end: start


# anchor: messages
async def messages(alice: Node, bob: Node) -> str:
    info = await bob.info()
    await alice.connect(info.addresses[0])
    await alice.send_message(bob.did, "hello")
    async for message in bob.messages():
        print(message.sender, message.text, message.received_at)
        return message.text
    raise EOFError("the node was shut down")
# end: messages


# anchor: trust
async def trust(node: Node, issuer: TrustGraph, peer_did: str) -> kwaainet.Score:
    credential = await issuer.issue("VerifiedNodeVC", peer_did)

    graph = node.trust()
    await graph.import_credential(credential.json)
    await graph.trust_issuer(issuer.did, ["VerifiedNodeVC"])
    score = await graph.score(peer_did)
    print(score.value, score.tier)
    for reason in score.reasons:
        print(reason.type, reason.weight, "x", reason.factor, "=", reason.contribution, reason.why)
    return score
# end: trust


# anchor: policy
async def policy(node: Node, stranger_did: str) -> bool:
    graph = node.trust()
    await graph.set_policy({"use_blocks": "verified"})
    try:
        await graph.require(stranger_did, "use_blocks")
    except kwaainet.UntrustedPeerError as error:
        print(error.context["tier"], "is not", error.context["needed"])
        return False
    return True
# end: policy


# anchor: share_blocks
async def share_blocks(host: Node, model: str | os.PathLike[str]) -> list[kwaainet.Offer]:
    offers = await host.contribute(blocks=[BlockShare(model, 0, 4)], min_tier="known")
    for offer in offers:
        print("blocks", offer.start_block, "to", offer.end_block, "of", offer.model)
    return offers
# end: share_blocks


# anchor: chat
async def chat(app: Node, model: str | os.PathLike[str]) -> kwaainet.Done:
    shards = app.shards()
    async with shards.chat(await shards.load(model, blocks="none"), "What is kwaainet?") as answer:
        async for event in answer:
            if isinstance(event, kwaainet.Token):
                print(event.text, end="", flush=True)
            else:
                print()
                for hop in event.path:
                    print("blocks", hop.start_block, "to", hop.end_block, "at", hop.peer)
                return event
    raise EOFError("the generation was stopped")
# end: chat


# anchor: documents
async def documents(rag: Rag, folder: str | os.PathLike[str]) -> None:
    ingestion = rag.ingest(folder)
    async for event in ingestion:
        match event:
            case kwaainet.IngestDocumentDone(name=name, chunks=chunks):
                print(f"{ingestion.progress.done}/{ingestion.progress.total}", name, chunks, "passages")
            case kwaainet.IngestDocumentFailed(name=name, message=message):
                print(name, "was not read:", message)
# end: documents


# anchor: ask
async def ask(rag: Rag, question: str) -> kwaainet.Answer:
    answer = await rag.ask(question).done()
    if answer.refused:
        print("This is not in the documents:", answer.why)
        return answer
    print(answer.text)
    for citation in answer.citations:
        print(f"[{citation.number}]", citation.document, citation.section, citation.quote)
    return answer
# end: ask


# anchor: errors
async def errors(node: Node) -> str:
    try:
        async with asyncio.timeout(5):
            await node.connect("/ip4/127.0.0.1/tcp/1")
    except kwaainet.KwaaiError as error:
        print(error.code, error.retryable, error)
        return error.code
    except TimeoutError:
        return "took too long, and was cancelled"
    return "connected"
# end: errors


# anchor: bring_your_own
class Embedder:
    id, dimension = "my-embedder-1", 384

    def __init__(self, encode: Callable[[list[str]], Awaitable[Any]]) -> None:
        self.encode = encode

    async def embed(self, texts: list[str], query: bool) -> Any:
        return numpy.asarray(await self.encode(texts), dtype=numpy.float32)


async def bring_your_own(folder: str, encode: Callable[[list[str]], Awaitable[Any]]) -> kwaainet.SearchResult:
    logging.basicConfig(level=logging.INFO)
    kwaainet.init_logging("info")

    async with Rag.open(folder, embedder=Embedder(encode)) as rag:
        await rag.ingest(b"The canteen serves dumplings on Fridays.", name="canteen.txt").done()
        return await rag.search("dumplings", mode="dense")
# end: bring_your_own


# anchor: ask_others
async def ask_others(app: Node, host: Node, subject_did: str) -> kwaainet.Status:
    graph = host.trust()
    credential = await graph.issue("FiduciaryPledgeVC", subject_did, revocable=True)
    await graph.import_credential(credential.json)
    await graph.trust_issuer(host.did, ["FiduciaryPledgeVC"])
    await graph.set_disclosures({"unknown": "tier"})

    await app.connect((await host.info()).addresses[0])
    before = await app.ask_trust(host.did, subject_did)
    print("the host says", before.tier)

    await graph.revoke(credential.id)
    status = await graph.status(credential.json)
    after = await app.ask_trust(host.did, subject_did)
    print("the credential is", status.state, "and the host says", after.answer)
    return status
# end: ask_others


# anchor: keep_vectors
async def keep_vectors(owner: Node, host: Node, other: Node) -> kwaainet.FoundVectors:
    await host.vpk().host(64 << 20, min_tier="unknown")
    address = (await host.info()).addresses[0]
    await owner.connect(address)

    notes = await owner.vpk().create("notes", 3, "seal", [host.peer_id])
    print("the host learns", notes.leakage.learned)
    vectors = numpy.array([[1, 0, 0], [0, 1, 0]], dtype=numpy.float32)
    await notes.upsert([1, 2], vectors, payloads=[b"dumplings", b"soup"], metadata=[{"day": "Friday"}, None])
    await notes.flush()

    key = await notes.export_key("a long walk")
    await other.connect(address)
    recovered = await other.vpk().recover("notes", key, passphrase="a long walk")
    found = await recovered.search([0.9, 0.1, 0], k=1)
    print(found.hits[0].payload, found.hits[0].score)
    return found
# end: keep_vectors


# anchor: serve_openai
async def serve_openai(node: Node, model: str | os.PathLike[str]) -> kwaainet.HttpServer:
    engine = node.shards()
    tiny = kwaainet.ModelWriter(engine, await engine.load(model))
    server = await node.serve_http(models={"tiny": tiny}, port=0)
    print(f"OPENAI_BASE_URL={server.base_url}")
    return server
# end: serve_openai


# anchor: serve_knowledge
async def serve_knowledge(rag: Rag) -> kwaainet.HttpServer:
    await rag.ingest(b"The canteen serves dumplings on Fridays.", name="food.txt").done()
    server = await rag.serve(port=0)
    print(f"open http://{server.address} in a browser, or ask the model kwaainet-knowledge at {server.base_url}")
    return server
# end: serve_knowledge


# anchor: plug_in
async def langchain(rag: Rag, engine: kwaainet.ShardEngine, model: kwaainet.Model, question: str) -> str:
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_core.runnables import RunnablePassthrough
    from kwaainet.langchain import ChatKwaainet, KwaainetRetriever

    passages = KwaainetRetriever(rag=rag, k=3) | (lambda found: "\n".join(one.page_content for one in found))
    prompt = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\n{question}")
    chat = ChatKwaainet(engine=engine, model=model)
    chain = {"context": passages, "question": RunnablePassthrough()} | prompt | chat | StrOutputParser()
    return await chain.ainvoke(question)


async def llama_index(rag: Rag, engine: kwaainet.ShardEngine, model: kwaainet.Model, question: str) -> str:
    from llama_index.core.query_engine import RetrieverQueryEngine
    from kwaainet.llama_index import KwaainetLLM, KwaainetRetriever

    llm = KwaainetLLM(engine, model)
    answer = await RetrieverQueryEngine.from_args(KwaainetRetriever(rag, k=3), llm=llm).aquery(question)
    print([source.metadata["document"] for source in answer.source_nodes])
    return str(answer)
# end: plug_in


# anchor: search_together
async def search_together(bob: Node, gardens: Rag, alice: Node, kitchen: Rag) -> kwaainet.FederatedResult:
    capability = await bob.share_knowledge(gardens, alice.did, name="Bob's gardens", valid_for=timedelta(days=30))
    shared = await alice.shared_knowledge(bob.peer_id, capability.text)
    together = await alice.federation({"kitchen": kitchen}, [shared], embedder="none")
    found = await together.search("What do tomatoes need?")
    for hit in found.hits:
        proven = kwaainet.check_provenance(hit.hit, hit.provenance)
        print(f"{hit.member}: {hit.hit.text!r}, signed by {proven.owner}")
    return found
# end: search_together
