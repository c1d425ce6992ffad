"""TrustGraph from Python."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from conftest import run

import kwaainet
from kwaainet import TrustGraph, sync


def test_an_issuer_makes_a_stranger_known_with_arithmetic() -> None:
    async def main() -> None:
        async with TrustGraph.open() as issuer, TrustGraph.open() as app, TrustGraph.open() as peer:
            assert (await app.score(peer.did)).tier == "unknown"
            credential = await issuer.issue("VerifiedNodeVC", peer.did, {"level": 2}, valid_for=timedelta(days=30))
            assert credential.claims["level"] == 2
            assert credential.valid_until is not None and credential.valid_from is not None
            assert credential.valid_until - credential.valid_from == timedelta(days=30)
            await app.import_credential(credential.json)
            (reason,) = (await app.score(peer.did)).reasons
            assert not reason.counted
            await app.trust_issuer(issuer.did, ["VerifiedNodeVC"])
            assert [known.did for known in await app.issuers()] == [issuer.did]
            score = await app.score(peer.did)
            assert (score.value, score.tier) == (0.2, "known")
            (reason,) = score.reasons
            assert (reason.type, reason.weight, reason.age_days, reason.factor) == ("VerifiedNodeVC", 0.2, 0, 1.0)
            await app.require(peer.did, "use_blocks")
            await app.set_policy({"use_blocks": "verified"})
            assert (await app.policy())["use_blocks"] == "verified"
            with pytest.raises(kwaainet.UntrustedPeerError) as raised:
                await app.require(peer.did, "use_blocks")
            assert (raised.value.context["tier"], raised.value.context["needed"]) == ("known", "verified")
            await app.distrust_issuer(issuer.did)
            assert (await app.score(peer.did)).value == 0

    run(main())


def test_a_changed_credential_is_not_taken() -> None:
    with sync.TrustGraph.open() as issuer:
        text = issuer.issue("UptimeVC", issuer.did, {"days": 3}).json
        assert issuer.verify(text).claims["days"] == 3
        with pytest.raises(kwaainet.KwaaiError):
            issuer.verify(text.replace('"days":3', '"days":4'))
        with pytest.raises(kwaainet.InvalidArgumentError):
            issuer.issue("NoSuchVC", issuer.did)
        with pytest.raises(kwaainet.InvalidArgumentError):
            issuer.score("nobody")


def test_what_is_kept_survives_and_the_directory_is_locked_meanwhile(tmp_path: Path) -> None:
    with sync.TrustGraph.open(tmp_path) as graph:
        kept = graph.import_credential(graph.issue("UptimeVC", graph.did).json)
        with pytest.raises(kwaainet.BusyError) as raised:
            sync.TrustGraph.open(tmp_path)
        assert isinstance(raised.value, BlockingIOError)
        did = graph.did
    with pytest.raises(kwaainet.ClosedError):
        graph.score(did)
    with sync.TrustGraph.open(str(tmp_path)) as again:
        assert again.did == did
        assert again.credentials(type="UptimeVC") == [kept]
        assert again.credentials(type="SummitAttendeeVC") == []
        assert again.credential(kept.id).id == kept.id
        again.remove_credential(kept.id)
        with pytest.raises(kwaainet.NotFoundError):
            again.credential(kept.id)
