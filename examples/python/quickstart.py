"""Four nodes in one process: an app, two hosts of a model's blocks, and a stranger.

    make run                                                  # or, in an environment with kwaainet installed:
    python examples/python/quickstart.py --documents ~/notes --ask "When does the lease end?"

It shows who the app trusts and why, reads documents and answers from them with citations, refuses what they do not
answer, and chats with a model whose blocks run on the two hosts, while the stranger is not used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

import kwaainet
from kwaainet import BlockShare, Node, TrustGraph

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "examples" / "models" / "tiny-kwaai"
DOCUMENTS = [ROOT / "docs", ROOT / "examples" / "data" / "field-note.pdf", ROOT / "examples" / "data" / "charter.docx"]
QUESTIONS = [
    "At which score does a peer become Trusted?",
    "How much do the four laptops draw while they answer a question?",
    "What does the library pay for each lent computer?",
    "What happens when the redb transaction is committed but the process is killed?",
    "Who won the football world cup in 1998?",
]
CHATS = ["What is kwaainet?", "What can a stranger do with my node?"]

TIER_STYLE = {"trusted": "bold green", "verified": "green", "known": "yellow", "unknown": "red"}
console = Console(width=None if sys.stdout.isatty() else 110, emoji=False)


def heading(number: int, text: str) -> None:
    console.print()
    console.rule(f"[bold]{number}. {text}", align="left")


async def give_credentials(issuer: TrustGraph, node: Node, *types: str) -> None:
    """The issuer signs credentials about a node, and the node keeps them to show to others."""
    for kind in types:
        credential = await issuer.issue(kind, node.did)
        await node.trust().import_credential(credential.json)


async def meet(app: Node, others: list[Node]) -> None:
    """The others connect to the app; it waits until each has said what it runs."""
    address = (await app.info()).addresses[0]
    missing = {node.peer_id for node in others}
    async with app.events() as events:
        for node in others:
            await node.connect(address)
        async for event in events:
            if isinstance(event, kwaainet.PeerIdentified):
                missing.discard(event.peer)
            if not missing:
                return


async def show_trust(app: Node) -> None:
    table = Table("peer", "identity", "tier", "score", "why", expand=True)
    for peer in await app.peers():
        why = [
            f"{reason.type} {reason.weight:.2f} × {reason.factor:.3f} = {reason.contribution:.3f}"
            for reason in peer.reasons
            if reason.counted
        ]
        table.add_row(
            escape(peer.name),
            f"{peer.did[:16]}…{peer.did[-4:]}" if peer.did else "-",
            f"[{TIER_STYLE[peer.tier]}]{peer.tier}",
            f"{peer.score:.3f}",
            "\n".join(why) or "no credential from an issuer that the app trusts",
        )
    console.print(table)


async def read_documents(rag: kwaainet.Rag, sources: list[Path]) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    failed = []
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        for source in sources:
            task = progress.add_task(escape(source.name), total=None)
            async for event in rag.ingest(source):
                match event:
                    case kwaainet.IngestFound(files=files):
                        progress.update(task, total=files)
                    case kwaainet.IngestEmbedded(name=name, done=done, total=total):
                        progress.update(task, description=escape(f"{source.name}: {name} {done}/{total}"))
                    case kwaainet.IngestDocumentDone(name=name, warnings=warnings):
                        progress.advance(task)
                        failed += [f"{name}: {warning}" for warning in warnings]
                    case kwaainet.IngestDocumentUnchanged():
                        progress.advance(task)
                    case kwaainet.IngestDocumentFailed(name=name, message=message):
                        progress.advance(task)
                        failed.append(f"{name}: {message}")
                    case kwaainet.IngestFinished():
                        progress.update(task, description=escape(source.name))
    for line in failed:
        console.print(f"[yellow]not read:[/] {escape(line)}")
    stats = await rag.stats()
    console.print(f"{stats.documents} documents in {stats.chunks} passages, searched by {stats.mode}")


async def ask(rag: kwaainet.Rag, question: str) -> None:
    console.print(f"\n[bold cyan]? {escape(question)}")
    answer = await rag.ask(question).done()
    console.print(f"  [yellow]{escape(answer.text)}" if answer.refused else f"  {escape(answer.text)}")
    for citation in answer.citations:
        place = f"{citation.document}, {citation.section}" if citation.section else citation.document
        console.print(f"  [dim]\\[{citation.number}] {escape(place)}")


async def chat(app: Node, model: kwaainet.Model, names: dict[str, str]) -> None:
    for question in CHATS:
        console.print(f"\n[bold cyan]? {question}\n  [/]", end="")
        began = time.perf_counter()
        async for event in app.shards().chat(model, question, max_tokens=64):
            match event:
                case kwaainet.Token(text=text):
                    console.print(escape(text), end="", highlight=False)
                case kwaainet.Done(usage=usage, path=path):
                    seconds = time.perf_counter() - began
                    hops = " → ".join(
                        f"{names.get(hop.peer or '', 'here')} blocks {hop.start_block}–{hop.end_block} ({hop.ms:.1f} ms)"
                        for hop in path
                    )
                    speed = usage.completion_tokens / seconds
                    console.print(f"\n  [dim]{hops} · {usage.completion_tokens} tokens, {speed:.0f} a second")


async def refused(stranger: Node, model: kwaainet.Model) -> None:
    try:
        async for _ in stranger.shards().chat(model, CHATS[0], max_tokens=4):
            raise RuntimeError("the hosts let a stranger in")
    except kwaainet.PermissionDeniedError as error:
        console.print(f"[dim]the stranger asks the hosts:[/] [red]{error.code}[/] {escape(error.message)}")


async def main(arguments: argparse.Namespace) -> None:
    sources = arguments.documents or DOCUMENTS
    for path in [*sources, arguments.model]:
        if not path.exists():
            sys.exit(f"there is no {path}")
    questions = arguments.ask or ([] if arguments.documents else QUESTIONS)

    heading(1, "Four nodes in this process")
    issuer = await TrustGraph.open()
    async with (
        Node.start(name="app", preset="ephemeral") as app,
        Node.start(name="heron", preset="ephemeral") as heron,
        Node.start(name="wren", preset="ephemeral") as wren,
        Node.start(name="stranger", preset="ephemeral") as stranger,
    ):
        nodes = {"app": app, "heron": heron, "wren": wren, "stranger": stranger}
        names = {node.peer_id: name for name, node in nodes.items()}
        kinds = ["FiduciaryPledgeVC", "VerifiedNodeVC", "UptimeVC"]
        for node in nodes.values():
            await node.trust().trust_issuer(issuer.did, kinds)
        await give_credentials(issuer, heron, *kinds)
        await give_credentials(issuer, wren, "FiduciaryPledgeVC", "VerifiedNodeVC")
        await give_credentials(issuer, app, "VerifiedNodeVC")

        await meet(app, [heron, wren, stranger])
        await show_trust(app)

        heading(2, "A private knowledge base")
        rag = await app.rag("quickstart")
        await read_documents(rag, [Path(source) for source in sources])
        for question in questions:
            await ask(rag, question)

        heading(3, "A model in blocks over two hosts")
        shards = app.shards()
        model = await shards.load(arguments.model, blocks="none")
        half = model.blocks // 2
        await heron.contribute(blocks=[BlockShare(arguments.model, 0, half)], min_tier="known")
        await wren.contribute(blocks=[BlockShare(arguments.model, half, model.blocks)], min_tier="known")
        await stranger.contribute(blocks=[BlockShare(arguments.model, 0, model.blocks)])
        for host in await shards.coverage(model):
            use = "used" if host.usable else f"not used: {host.why}"
            name = names.get(host.peer, host.peer)
            console.print(f"{name} offers blocks {host.start_block} to {host.end_block}: {escape(use)}")
        await chat(app, model, names)
        console.print()
        await refused(stranger, await stranger.shards().load(arguments.model, blocks="none"))
    console.print()
    console.print(Panel("Next: the README, docs/ and the other examples. Your own: --documents DIR --ask \"…\" --model DIR"))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", nargs="+", type=Path, help="files and folders to read instead of docs/")
    parser.add_argument("--ask", nargs="+", metavar="QUESTION", help="questions to answer from the documents")
    parser.add_argument("--model", type=Path, default=MODEL, help="directory of a Llama-family model in safetensors")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        asyncio.run(main(parse()))
    except kwaainet.KwaaiError as error:
        console.print(f"[red]{error.code}:[/] {escape(str(error))}")
        sys.exit(1)
