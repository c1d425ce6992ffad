"""Judges did:peer with the packages did-peer-2 and did-peer-4.

Reads one JSON object from standard input: `resolve`, texts of did:peer:2 and of long did:peer:4; `write2`, objects with
`keys`, pairs of a purpose code and a Multikey, and `services`; `write4`, input documents. Answers `resolved`, for each text
its document, its short form and the short form's document, or `null` where it refuses; `written2`; and `written4`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import did_peer_2
import did_peer_4


def resolve(did: str) -> dict[str, Any] | None:
    try:
        if did.startswith("did:peer:2"):
            return {
                "document": did_peer_2.resolve(did),
                "short": did_peer_2.peer2to3(did),
                "short_document": did_peer_2.resolve_peer3(did),
            }
        return {
            "document": did_peer_4.resolve(did),
            "short": did_peer_4.long_to_short(did),
            "short_document": did_peer_4.resolve_short(did),
        }
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError):
        return None


def write2(order: dict[str, Any]) -> str:
    keys = [did_peer_2.KeySpec(did_peer_2.PurposeCode(code), key) for code, key in order["keys"]]
    return did_peer_2.generate(keys, order["services"])


asked = json.load(sys.stdin)
json.dump(
    {
        "resolved": [resolve(did) for did in asked["resolve"]],
        "written2": [write2(order) for order in asked["write2"]],
        "written4": [did_peer_4.encode(document) for document in asked["write4"]],
    },
    sys.stdout,
)
