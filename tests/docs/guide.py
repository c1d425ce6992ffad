"""Writes the pages of `docs/guide` from the guide's files in `examples`: the same task in six languages side by side.

`make guide` runs it; `tests/docs/test_guide_pages.py` fails when a page is stale or a language lacks a task.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from test_markdown import region  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide"

LANGUAGES = [
    ("Python", "python", "examples/python/guide.py"),
    ("Node.js", "ts", "examples/node/guide.mts"),
    ("Kotlin", "kotlin", "examples/kotlin/Guide.kt"),
    ("Swift", "swift", "examples/swift/Guide.swift"),
    ("C", "c", "examples/c/guide.c"),
    ("Rust", "rust", "kwaai-core/tests/guide.rs"),
]


@dataclass(frozen=True)
class Task:
    anchor: str
    title: str
    prose: str
    only: str | None = None
    """The one language that has it, where it is about something that the others have not."""

    def concerns(self, language: str) -> bool:
        return self.only in (None, language)


TASKS = [
    Task("start", "Start a node", """\
A node needs nothing: it makes an identity, listens on loopback, and dials nobody. With the preset `ephemeral` it keeps
everything in memory; without a preset it keeps its data in `~/.kwaainet`. The name is for people, the PeerId names it on the
network, and the DID signs its credentials. Whoever starts a node shuts it down, or lets the language do that at the end of
a block."""),
    Task("messages", "Send a message", """\
A node is dialled at one of the addresses in its `info`, and from then on reached by its PeerId or DID. Messages are texts of
up to 64 KiB from authenticated senders; sending returns when the text has arrived. What arrives before somebody reads is kept
for the first reader."""),
    Task("trust", "Trust a peer, for a reason", """\
A score counts credentials of issuers that this node trusts for their type, and fades with their age. It comes with its
arithmetic: each credential, what it contributes, and why it counts or does not. [Trust](../trust.md) has the formula."""),
    Task("policy", "Refuse strangers", """\
A policy is a minimum tier for each purpose. The host decides where the call arrives, on the PeerId that the connection
authenticated: a caller below the minimum gets `permission_denied`. Asking the policy about a peer answers `untrusted_peer`."""),
    Task("share_blocks", "Share blocks of a model", """\
A contribution says exactly what a node gives: which blocks of which model, and to whom. What is not named is not shared, and
the next contribution replaces this one. Blocks are counted from 0; the end is one past the last. Without them, a `count` of
blocks or as many as fit this machine go where the swarm [has them least](../shards.md#sharing-blocks); `ShardEngine.calibrate` says how
many that are and how fast."""),
    Task("chat", "Chat with a model in blocks", """\
A model can be loaded without any of its blocks: only its tokenizer and its ends stay here, and peers that are trusted enough
compute the rest. The answer comes piece by piece; its last event has the path with the milliseconds of each hop."""),
    Task("documents", "Read documents", """\
A knowledge base lives in a folder of its own and reads text, Markdown, PDF and Word. Reading reports its progress; a file that
cannot be read is reported and the rest goes on. Reading the same file again changes nothing."""),
    Task("ask", "Ask, and get sources or nothing", """\
An answer quotes the documents, with `[n]` after what a source supports. When they hold no answer it says so instead of
guessing, and why."""),
    Task("errors", "Errors, time limits, cancelling", """\
Every error has one of sixteen codes, the same in every language, and says whether trying again may help; the
[table](../errors.md) tells what each means. A call is cancelled by the language's own means. What is durable is then either
done or not done, never half."""),
    Task("bring_your_own", "Bring your own embedder", """\
An app can bring an embedder, a language model, a document reader, a signer and a place for log records, written in its own
language. The library calls them off its own threads, waits no longer than a deadline, and passes their errors on. An embedder
has an id, so that vectors of two kinds are never mixed."""),
    Task("ask_others", "Ask others, and withdraw", """\
A node can ask a peer where somebody stands with it. The peer's owner decides with the disclosures who may know how much; at
first nobody may know anything. An issuer that issued a credential revocable can withdraw it: its signed status lists say so
to everybody who keeps the credential, and it counts no more. Here the host is its own issuer. [Trust](../trust.md) tells
how lists travel, and how a node asks a peer for its word about everybody that it dealt with."""),
    Task("keep_vectors", "Keep vectors at another's machine", """\
A host keeps vectors that it cannot read, and finds the nearest all the same; what it learns nevertheless, the collection says
itself. The owner of the host decides how much it keeps and for whom. Vectors, here three numbers long, are usually those of
an embedder; what was put in is found at once, and `flush` brings it to the host. With the exported key another machine of the
owner takes everything over, also when the first one is lost. The vectors of a whole knowledge base go to a collection by one call,
`Rag.outsource`, and its texts [stay at home](../knowledge.md#vectors-elsewhere). [Private vectors](../vpk.md) has the modes."""),
    Task("serve_openai", "Serve programs that speak OpenAI's API", """\
Programs that know OpenAI's API and no other use a model of this node when their base address points at it. It listens on loopback,
on port 11435 unless another is named, and 0 takes any that is free; elsewhere only with a token. Models of an engine, of the app
or behind another endpoint go by the names that `model` takes, and embedders beside them. [The HTTP server](../http.md) says what
it answers and whom."""),
    Task("serve_knowledge", "Serve a knowledge base", """\
A served knowledge base has a page for people, at the root of its address: ask, follow a citation into its document, bring and
delete documents, search, see what there is. For programs that speak OpenAI's API it is a model that answers from the documents,
with its sources. It listens on loopback, on port 9090 unless another is named; elsewhere only with a token. A node serves several
beside its models. [The HTTP server](../http.md) has the addresses."""),
    Task("plug_in", "Plug it into LangChain and LlamaIndex", """\
Whoever has a chain, an agent or an index already takes a knowledge base for its retriever, a collection at other people's nodes
for its vector store, and models of this library for its embeddings and its answers. `pip install kwaainet[langchain]` or
`kwaainet[llama-index]` brings what the adapters need. This task is in Python alone, for the adapters are a part of the Python
package; elsewhere, what speaks OpenAI's API reaches a model through [the HTTP server](13-serve-openai.md). [Frameworks](../frameworks.md)
has every adapter, and what each refuses.""", "Python"),
    Task("search_together", "Search what several nodes know", """\
The owner of a knowledge base lets one peer search it, until a time, by a text that is handed over by whatever way. The peer's
federation searches it beside knowledge bases of its own and ranks all passages by one measure. Each is proven to be the owner's,
also later and elsewhere; the owner's node learns the question. [Several knowledge bases](../retrieval.md#several-knowledge-bases)
tells what is sent and what is proven."""),
]


def number(task: Task) -> str:
    return f"{TASKS.index(task) + 1:02}-{task.anchor.replace('_', '-')}.md"


def page(task: Task) -> str:
    parts = [f"# {task.title}\n\n{task.prose}\n"]
    for title, fence, file in LANGUAGES:
        if not task.concerns(title):
            continue
        code = region(ROOT / file, task.anchor)
        if code is None:
            raise SystemExit(f"{file} has no region {task.anchor}")
        parts.append(f"## {title}\n\n<!-- from: {file}#{task.anchor} -->\n```{fence}\n{code}\n```\n")
    at = TASKS.index(task)
    links = []
    if at > 0:
        links.append(f"Before: [{TASKS[at - 1].title}]({number(TASKS[at - 1])})")
    if at + 1 < len(TASKS):
        links.append(f"Next: [{TASKS[at + 1].title}]({number(TASKS[at + 1])})")
    return "\n".join(parts) + "\n" + " · ".join(links) + "\n"


def contents() -> str:
    rows = "\n".join(
        f"{at}. [{task.title}]({number(task)})" + (f", in {task.only} alone" if task.only else "")
        for at, task in enumerate(TASKS, 1)
    )
    return f"""# Guide

Fifteen tasks, each in Python, Node.js, Kotlin, Swift, C and Rust, and one that only Python has. Every block is a part of a file
that a test compiles and runs, but for Swift, which is checked as the [support matrix](../support-matrix.md) says. `await using` in
the Node.js blocks needs TypeScript 5.2 or a Node.js that knows it (24); elsewhere call `shutdown` in `finally`.

{rows}
"""


def pages() -> dict[Path, str]:
    return {GUIDE / "README.md": contents()} | {GUIDE / number(task): page(task) for task in TASKS}


if __name__ == "__main__":
    GUIDE.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
