"""Knowledge bases of two nodes searched as one, and passages that are proven where no node is."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest
from conftest import run

import kwaainet
from kwaainet import Node, Rag, sync

GARDENS = b"Tomatoes want sun and a stake. Water them at the root, never on the leaves.\n"
KITCHEN = b"Tomatoes, garlic and basil make a sauce in half an hour.\n"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


# anchor: several
async def several(owner: Node, gardens: Rag, asker: Node, kitchen: Rag) -> kwaainet.FederatedResult:
    capability = await owner.share_knowledge(gardens, asker.did, name="gardens", valid_for=timedelta(days=30))
    shared = await asker.shared_knowledge(owner.peer_id, capability.text)
    federation = await asker.federation({"kitchen": kitchen}, [shared], embedder="none")
    found = await federation.search("watering tomatoes")
    for hit in found.hits:
        proven = kwaainet.check_provenance(hit.hit, hit.provenance)
        print(f"{hit.member}: {hit.hit.text!r}, signed by {proven.owner} on {proven.signed_at:%x}")
    return found
# end: several


def test_what_two_nodes_know_is_ranked_together_and_stays_proven() -> None:
    async def main() -> tuple[str, str]:
        async with Node.start(preset="ephemeral", clock=NOON) as bob, Node.start(preset="ephemeral", clock=NOON) as alice:
            await alice.connect((await bob.info()).addresses[0])
            gardens = await bob.rag("gardens", embedder="none")
            kitchen = await alice.rag("kitchen", embedder="none")
            await gardens.ingest(GARDENS, name="tomatoes.md").done()
            await kitchen.ingest(KITCHEN, name="sauce.md").done()
            assert [hit.member for hit in (await several(bob, gardens, alice, kitchen)).hits] == ["gardens", "kitchen"]
            capability = await bob.share_knowledge(gardens, alice.did, name="Bob's gardens", valid_for=timedelta(days=1))
            assert (capability.owner, capability.expires_at) == (bob.did, NOON + timedelta(days=1))
            assert kwaainet.read_knowledge_capability(capability.text) == capability
            shared = await alice.shared_knowledge(bob.peer_id, capability.text)
            federation = await alice.federation({"kitchen": kitchen}, [shared], embedder="none")
            assert federation.members == ("kitchen", "Bob's gardens")
            found = await federation.search("watering tomatoes")
            assert [hit.member for hit in found.hits] == ["Bob's gardens", "kitchen"] and found.failures == ()
            await gardens.revoke_share(capability.id)
            (failure,) = (await federation.search("watering tomatoes")).failures
            assert (failure.member, failure.code) == ("Bob's gardens", "permission_denied")
            return bob.did, json.dumps(asdict(found.hits[0]))

    owner, kept = run(main())
    hit = json.loads(kept)
    proven = kwaainet.check_provenance(hit["hit"], hit["provenance"])
    assert (proven.owner, proven.passages, proven.signed_at) == (owner, 1, NOON)
    hit["hit"]["text"] = "Tomatoes want shade."
    with pytest.raises(kwaainet.CorruptDataError):
        kwaainet.check_provenance(hit["hit"], hit["provenance"])


def test_an_own_embedder_scores_what_all_found() -> None:
    class Alike:
        id, dimension = "alike", 2

        def embed(self, texts: list[str], query: bool) -> list[list[float]]:
            return [[1.0, 0.0] if query or "sauce" in text else [0.0, 1.0] for text in texts]

    with sync.Node.start(preset="ephemeral", listen=[]) as node:
        gardens, kitchen = (node.rag(name, embedder="none") for name in ("gardens", "kitchen"))
        gardens.ingest(GARDENS, name="tomatoes.md").done()
        kitchen.ingest(KITCHEN, name="sauce.md").done()
        federation = node.federation({"gardens": gardens, "kitchen": kitchen}, embedder=Alike())
        found = federation.search("tomatoes", mode="dense", k=1)
        assert [(hit.member, round(hit.hit.score, 3)) for hit in found.hits] == [("kitchen", 1.0)]
        (proven,) = node.prove(kitchen, [found.hits[0].hit])
        assert kwaainet.check_provenance(proven.hit, proven.provenance).owner == node.did
        changed = replace(found.hits[0].hit, text="Something else.")
        assert node.prove(kitchen, [changed]) == []
        assert repr(federation) == "<kwaainet.sync.Federation of 'gardens', 'kitchen'>"
