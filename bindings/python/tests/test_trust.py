"""TrustGraph from Python."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import run

import kwaainet
from kwaainet import Node, TrustGraph, sync, testing


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


def test_a_revoked_credential_counts_no_more_where_the_list_arrives() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    later = timedelta(hours=1)

    async def main() -> None:
        async with TrustGraph.open(seed=1, clock=noon) as issuer, TrustGraph.open(seed=2, clock=noon) as app:
            plain = await issuer.issue("UptimeVC", app.did)
            assert await app.status(plain.json) == kwaainet.Status("not_revocable", None, None)
            assert await issuer.status_lists() == []
            credential = await issuer.issue("VerifiedNodeVC", app.did, revocable=True)
            await app.import_credential(credential.json)
            wanted = await app.wanted_status_lists()
            assert sorted(each.url for each in wanted) == sorted(await issuer.status_lists())
            assert {each.issuer for each in wanted} == {issuer.did}
            unknown = await app.status(credential.json)
            assert unknown.state == "unknown" and unknown.why

            async def renew() -> None:
                for each in wanted:
                    kept = await app.keep_status_list(await issuer.status_list(each.url))
                    assert (kept.issuer, kept.url, len(kept.purposes)) == (issuer.did, each.url, 1)
                    assert kept.entries >= 131072 and kept.fresh_until > kept.as_of

            await renew()
            assert await app.wanted_status_lists() == []
            assert await app.status(credential.json) == kwaainet.Status("clear", noon, None)
            for verb, state in [("suspend", "suspended"), ("reinstate", "clear"), ("revoke", "revoked")]:
                for graph in (issuer, app):
                    await graph.advance_clock(later)
                await getattr(issuer, verb)(credential.id)
                await renew()
                assert (await app.status(credential.json)).state == state
            with pytest.raises(kwaainet.InvalidArgumentError):
                await issuer.reinstate(credential.id)
            with pytest.raises(kwaainet.NotFoundError):
                await issuer.revoke(plain.id)
            with pytest.raises(kwaainet.InvalidArgumentError):
                await app.keep_status_list(plain.json)

    run(main())


def test_a_bundle_moves_what_holds_and_says_what_does_not() -> None:
    with sync.TrustGraph.open() as issuer, sync.TrustGraph.open() as one, sync.TrustGraph.open() as other:
        kept = [one.import_credential(issuer.issue("UptimeVC", one.did, {"days": days}).json) for days in (1, 2)]
        bundle = json.loads(one.export_credentials())
        bundle["credentials"].append(bundle["credentials"][0].replace('"days":', '"days":1'))
        imported = other.import_credentials(json.dumps(bundle))
        assert sorted(imported.kept, key=lambda each: each.id) == sorted(kept, key=lambda each: each.id)
        (refused,) = imported.refused
        assert (refused.place, refused.code) == (2, "corrupt_data") and refused.message
        with pytest.raises(kwaainet.InvalidArgumentError):
            other.import_credentials("{}")


def test_a_passphrase_keeps_credentials_out_of_reach() -> None:
    with sync.TrustGraph.open() as graph:
        kept = graph.import_credential(graph.issue("UptimeVC", graph.did).json)
        assert graph.wallet_state() == "plain"
        graph.set_passphrase("correct horse")
        assert graph.wallet_state() == "unlocked"
        graph.lock()
        assert graph.wallet_state() == "locked"
        with pytest.raises(kwaainet.PermissionDeniedError) as raised:
            graph.credentials()
        assert isinstance(raised.value, PermissionError)
        with pytest.raises(kwaainet.PermissionDeniedError):
            graph.unlock("wrong horse")
        graph.unlock("correct horse")
        assert graph.credentials() == [kept]
        graph.remove_passphrase()
        assert graph.wallet_state() == "plain"


def test_a_pledge_is_requested_certified_carried_and_taken_back() -> None:
    text = "We serve the interests of those whose data we hold."
    with sync.TrustGraph.open() as issuer, sync.TrustGraph.open() as holder:
        request = holder.request_pledge(issuer.did, text)
        with pytest.raises(kwaainet.InvalidArgumentError):
            issuer.issue_pledge(request, text + " Perhaps.")
        with pytest.raises(kwaainet.InvalidArgumentError):
            issuer.issue_pledge(request, text, name="Another pledge")
        credential = issuer.issue_pledge(request, text, valid_for=timedelta(days=365))
        assert (credential.type, credential.subject) == ("FiduciaryPledgeVC", holder.did)
        kept = holder.accept_pledge(credential.json, text)
        assert kept.id == credential.id
        withdrawal = holder.withdraw_pledge(kept.id)
        assert holder.credentials() == []
        assert issuer.import_withdrawal(withdrawal) == credential.id
        with pytest.raises(kwaainet.NotFoundError):
            holder.withdraw_pledge(kept.id)
        named = holder.request_pledge(issuer.did, text, name="Our own pledge")
        assert issuer.issue_pledge(named, text, name="Our own pledge").subject == holder.did


def test_a_peer_says_no_more_than_its_owner_allows() -> None:
    async def main() -> None:
        quiet = {"preset": "ephemeral"}
        async with TrustGraph.open() as issuer, Node.start(**quiet) as asker, Node.start(**quiet) as asked:  # type: ignore[arg-type]
            about = testing.seed_did(3)
            graph = asked.trust()
            await graph.import_credential((await issuer.issue("VerifiedNodeVC", about)).json)
            await graph.trust_issuer(issuer.did, ["VerifiedNodeVC"])
            await asker.connect((await asked.info()).addresses[0])
            assert set((await graph.disclosures()).values()) == {"nothing"}
            silent = await asker.ask_trust(asked.peer_id, about)
            assert (silent.answer, silent.value, silent.tier, silent.holds) == ("unknown", None, None, None)
            await graph.set_disclosures({"unknown": "value"})
            assert await graph.disclosures() == dict.fromkeys(("unknown", "known", "verified", "trusted"), "value")
            told = await asker.ask_trust(asked.did, about)
            assert (told.responder, told.asker, told.about) == (asked.did, asker.did, about)
            assert (told.answer, told.value, told.tier, told.holds) == ("score", 0.2, "known", None)
            assert told.expires_at - told.made_at == timedelta(minutes=10)
            assert (await asker.ask_trust(asked.did, about, at_least="known")).holds is True
            assert (await asker.ask_trust(asked.did, about, at_least=0.5)).holds is False
            with pytest.raises(kwaainet.InvalidArgumentError):
                await asker.ask_trust(asked.did, asked.did)
            with pytest.raises(kwaainet.InvalidArgumentError):
                await asker.ask_trust(asked.did, about, at_least=2.0)

    run(main())


def test_a_report_counts_when_it_is_good_enough() -> None:
    claims = {"upShare": 0.9, "observedFrom": "2026-01-01T00:00:00Z", "observedUntil": "2026-01-31T00:00:00Z"}
    with sync.TrustGraph.open() as issuer, sync.TrustGraph.open() as graph:
        about = testing.seed_did(3)
        graph.trust_issuer(issuer.did, ["UptimeVC"])
        graph.import_credential(issuer.issue("UptimeVC", about, claims).json)
        assert graph.thresholds() == kwaainet.Thresholds()
        assert graph.score(about).value == 0
        graph.set_thresholds(kwaainet.Thresholds(uptime_min_share=0.9))
        assert graph.score(about).value > 0
        for wrong in (float("nan"), float("inf"), "most", None, object()):
            with pytest.raises(kwaainet.InvalidArgumentError):
                graph.set_thresholds(kwaainet.Thresholds(throughput_tolerance=wrong))  # type: ignore[arg-type]
        assert graph.thresholds() == kwaainet.Thresholds(uptime_min_share=0.9)


def test_own_experience_is_measured_and_forgotten() -> None:
    peer = testing.seed_did(3)
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with sync.TrustGraph.open(clock=noon) as graph:
        assert graph.reputation(peer) is None
        graph.record(peer, "good", latency=timedelta(microseconds=1500), promised=10, delivered=5)
        graph.record(peer, "transport_fault")
        seen = graph.reputation(peer)
        assert seen is not None
        assert (seen.peer, seen.good, seen.bad, seen.transport_faults, seen.reliability) == (peer, 1, 0, 1, 0.5)
        assert (seen.latency_ms, seen.throughput, seen.last) == (1.5, 0.5, noon)
        with pytest.raises(kwaainet.InvalidArgumentError):
            graph.record(graph.did, "good")
        graph.reset_reputation(peer)
        with pytest.raises(kwaainet.NotFoundError):
            graph.reset_reputation(peer)


def test_the_word_of_others_replaces_what_they_said_before() -> None:
    recommender, about = testing.seed_did(3), testing.seed_did(4)
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with sync.TrustGraph.open(clock=noon) as graph:
        graph.record(recommender, "good")
        graph.record(about, "good")
        assert [seen.good for seen in graph.reputations()] == [1, 1]
        graph.add_recommendation(recommender, about, 10, 0.5, at=noon - timedelta(days=1))
        graph.add_recommendation(recommender, about, 10, 0.5)
        for ahead in (noon + timedelta(days=1), "tomorrow"):
            with pytest.raises(kwaainet.InvalidArgumentError):
                graph.add_recommendation(recommender, about, 1, 0, at=ahead)
        for weight in (-1, float("nan"), 2e9):
            with pytest.raises(kwaainet.InvalidArgumentError):
                graph.add_recommendation(recommender, about, weight, 0)
        with pytest.raises(kwaainet.InvalidArgumentError):
            graph.add_recommendation(recommender, graph.did, 1, 0)


def test_several_peers_are_scored_at_once_and_trust_spreads() -> None:
    friend, peer = testing.seed_did(3), testing.seed_did(4)
    with sync.TrustGraph.open(clock=datetime(2026, 1, 31, 12, tzinfo=UTC)) as graph:
        graph.record(friend, "good")
        graph.add_recommendation(friend, peer, 3, 1)
        assert [score.value > 0 for score in graph.scores((peer, friend))] == [False, True]
        assert [share.peer for share in graph.propagate()] == [graph.did, friend, peer]
        assert graph.propagate(pretrusted=[peer], alpha=1)[0] == kwaainet.GlobalTrust(peer, 1.0)
        for alpha in (0, -1, 1.5, float("nan")):
            with pytest.raises(kwaainet.InvalidArgumentError):
                graph.propagate(alpha=alpha)
        with pytest.raises(kwaainet.InvalidArgumentError):
            graph.scores([peer, "nobody"])
        graph.flush()


def test_a_peer_gives_its_word_where_its_owner_allows_it() -> None:
    with sync.Node.start(preset="ephemeral") as host, sync.Node.start(preset="ephemeral") as asker:
        host.trust().record(testing.seed_did(3), "good")
        asker.connect(host.info().addresses[0])
        assert asker.ask_word(host.did).count == 0
        host.trust().set_disclosures({"unknown": "experience"})
        taken = asker.ask_word(host.peer_id)
        assert (taken.recommender, taken.count, taken.made_at.tzinfo) == (host.did, 1, UTC)
        with pytest.raises(kwaainet.InvalidArgumentError):
            asker.ask_word(asker.did)


def test_a_link_is_proven_by_both_sides() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with sync.TrustGraph.open(clock=noon) as person, sync.TrustGraph.open(clock=noon) as node:
        node.import_credential(person.issue_binding(node.did, "person", valid_for=timedelta(days=1)).json)
        assert node.bindings(node.did) == []
        node.import_credential(node.issue_binding(person.did, "node").json)
        link = kwaainet.IdentityBinding(node=node.did, identity=person.did, link_type="person", since=noon)
        assert node.bindings(node.did) == node.bindings(person.did) == [link]
        with pytest.raises(kwaainet.InvalidArgumentError):
            node.issue_binding(node.did, "node")


def test_a_claim_is_put_to_the_test() -> None:
    observed = {"observedFrom": "2026-01-01T00:00:00Z", "observedUntil": "2026-01-31T00:00:00Z", "samples": 30}
    with (
        sync.Node.start(preset="ephemeral") as host,
        sync.Node.start(preset="ephemeral") as tester,
        sync.TrustGraph.open() as issuer,
    ):
        tester.connect(host.info().addresses[0])
        graph = tester.trust()
        kept = graph.import_credential(issuer.issue("UptimeVC", host.did, {"upShare": 0.9} | observed).json)
        test = tester.test_credential(kept.id, seed=2**53 - 1)
        assert (test.verdict, test.measured, test.samples, test.seed) == ("inconclusive", 1, 1, 2**53 - 1)
        drawn = tester.test_credential(kept.id, tolerance=0)
        assert graph.tests(kept.id) == [test, drawn]
        for wrong in ({"seed": 2**53}, {"seed": -1}, {"tokens": 7}, {"tolerance": 1.5}, {"tolerance": float("nan")}):
            with pytest.raises(kwaainet.InvalidArgumentError):
                tester.test_credential(kept.id, **wrong)  # type: ignore[arg-type]


def test_a_presentation_is_for_one_audience() -> None:
    with sync.TrustGraph.open() as issuer, sync.TrustGraph.open() as holder:
        kept = holder.import_credential(issuer.issue("UptimeVC", holder.did).json)
        shown = holder.present("app", "1")
        verified = issuer.verify_presentation(shown, "app", "1")
        assert (verified.holder, verified.about_others) == (holder.did, ())
        assert [each.id for each in verified.credentials] == [kept.id]
        with pytest.raises(kwaainet.PermissionDeniedError):
            issuer.verify_presentation(shown, "app", "2")


def test_a_policy_may_ask_for_a_score_between_the_tiers() -> None:
    with sync.TrustGraph.open() as graph:
        graph.set_policy({"message": 0.55, "use_blocks": "verified"})
        policy = graph.policy()
        assert (policy["message"], policy["use_blocks"]) == (0.55, "verified")
        with pytest.raises(kwaainet.UntrustedPeerError):
            graph.require(testing.seed_did(3), "message")
        graph.set_policy({"message": 0})
        graph.require(testing.seed_did(3), "message")


def test_a_did_is_read_in_every_spelling() -> None:
    with sync.TrustGraph.open(seed=4) as graph:
        key = kwaainet.resolve_did(graph.did)
    assert (key.spelling, key.did, key.addresses) == ("key", graph.did, ())
    assert key.document is not None and key.document["id"] == graph.did
    assert key.peer_id is not None
    by_peer = kwaainet.resolve_did(key.peer_id)
    assert (by_peer.spelling, by_peer.did) == ("peer_id", graph.did)
    own = kwaainet.resolve_did(f"did:peer:{key.peer_id}")
    assert (own.spelling, own.did, own.peer_id) == ("kwaainet", graph.did, key.peer_id)
    with pytest.raises(kwaainet.InvalidArgumentError):
        kwaainet.resolve_did("nobody")
    with pytest.raises(kwaainet.UnsupportedError):
        kwaainet.resolve_did("did:web:example.org")
