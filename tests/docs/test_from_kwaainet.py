"""The map from KwaaiNet says where everything of the original is, and claims nothing that does not exist.

What must be there is taken by machine from KwaaiNet's README; a name that the README has and the map has not fails.
`python tests/docs/test_from_kwaainet.py` prints what was taken, with the numbers that the map's feature table uses.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAP = ROOT / "docs" / "from-kwaainet.md"
SURFACE = ROOT / "tests" / "surface.toml"
CONFIG = ROOT / "kwaai-core" / "src" / "config.rs"
SEED = Path(os.environ.get("KWAAI_SHARED", ROOT.parent / "shared")) / "reference" / "seed-kwaainet-readme.txt"

STATES = {"now", "planned", "not here"}

# The README was saved as text, which glued code to the words around it. Each pair restores one such place; a place that
# is not restored yields a name that no map row has, and so a failure.
UNGLUE = [
    ("--get-depsto", "--get-deps to"),
    ("--helpfor", "--help for"),
    ("--daemonautomatically", "--daemon automatically"),
    ("--no-contributeto", "--no-contribute to"),
    ("with--no-contribute", "with --no-contribute"),
    ("with--features", "with --features"),
    ("--watchfor", "--watch for"),
    ("--localmodel", "--local model"),
    ("--localdetects", "--local detects"),
    ("ifshard serveis", "if shard serve is"),
    (",shard run", ", shard run"),
    ("startreports thatp2pdis", "start reports that p2pd is"),
    ("graph buildextracts", "graph build extracts"),
    ("dream runruns", "dream run runs"),
    ("graph scoreprints", "graph score prints"),
    ("serveexposes", "serve exposes"),
    ("withkwaainet", "with kwaainet"),
    ("peers listtags", "peers list tags"),
    ("trusted_relaysandforce_privatein~", "trusted_relays and force_private in ~"),
    ("announce_addrorpublic_ipis", "announce_addr or public_ip is"),
    ("viaidentify_min_confirmationsandidentify_timeout_secs", "via identify_min_confirmations and identify_timeout_secs"),
    ("public_portlets", "public_port lets"),
    ("config.yamlso", "config.yaml so"),
    ("credentials/with", "credentials/ with"),
    ("identity.keyand", "identity.key and"),
    ("--mode graphor--mode autoon", "--mode graph or --mode auto on"),
    ("--mode graphor", "--mode graph or"),
    ("--mode autoon", "--mode auto on"),
    ("runkwaainet", "run kwaainet"),
    ("models/. shard run", "models/. - shard run"),
    ("zero.- Flash", "zero. - Flash"),
    ("likeFiduciaryPledgeVC,VerifiedNodeVC,UptimeVC,ThroughputVC,EventAttendeeVC, andPeerEndorsementVC",
     "like FiduciaryPledgeVC, VerifiedNodeVC, UptimeVC, ThroughputVC, EventAttendeeVC, and PeerEndorsementVC"),
]

# Lower-case words after a command group that are English and no command.
PROSE = {
    "shard": {"and", "assignment", "benchmark", "chain", "count", "encrypted", "engine", "inference", "resolution", "serving"},
    "storage": {"and", "capacity", "has", "layer", "node", "over", "performance", "serving", "servers", "to", "via", "with"},
    "vpk": set(),
    "rag": set(),
    "peers": {"and", "for", "go", "when", "with"},
    "reputation": {"system", "without"},
}

# Names with underscores that are no name of KwaaiNet's: a variable of the score formula, processor names, file names.
NOT_KEYS = {"age_days", "x86_64", "hnsw_vs_brute_force"}

TERM = re.compile(r"`([^`]+)`")
WORDS = r"(?: [a-z0-9][a-z0-9-]*(?:/[a-z][a-z0-9-]*)*)+"
COMMAND = re.compile(r"\bkwaainet(" + WORDS + r")?")
BARE = re.compile(r"(?<![\w/.-])(" + "|".join(PROSE) + r")(" + WORDS + r")")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9.-]*[a-z0-9]")


@dataclass
class Row:
    """One row of a table with the columns KwaaiNet, kwaainet, state, remark."""

    line: int
    theirs: str
    ours: str
    state: str
    remark: str
    terms: list[str] = field(default_factory=list)


@dataclass
class Taken:
    """What KwaaiNet's README names."""

    commands: list[tuple[str, ...]]
    pairs: list[tuple[tuple[str, ...], str]]
    flags: set[str]
    names: dict[str, set[str]]
    bullets: list[str]
    statuses: list[str]
    roadmap: list[str]


def unglue(text: str) -> str:
    for glued, clear in UNGLUE:
        text = text.replace(glued, clear)
    return text


def alternatives(words: str) -> list[tuple[str, ...]]:
    """`rag query/chat` names two commands: `rag query` and `rag chat`."""
    commands: list[tuple[str, ...]] = [()]
    for word in words.split():
        commands = [(*command, choice) for command in commands for choice in word.split("/")]
        if "/" in word:
            break
    return commands


def take(text: str) -> Taken:
    text = unglue(text)
    commands: list[tuple[str, ...]] = []
    pairs: list[tuple[tuple[str, ...], str]] = []
    for line in text.splitlines():
        hits = [(hit.start(), hit.end(), hit.group(1) or "") for hit in COMMAND.finditer(line)]
        taken = [(start, end) for start, end, _ in hits]
        for hit in BARE.finditer(line):
            group, words = hit.group(1), hit.group(2).split()
            if any(start <= hit.start() < end for start, end in taken) or words[0] in PROSE[group]:
                continue
            prefix = "p2p " if group == "peers" else ""
            hits.append((hit.start(), hit.end(), f" {prefix}{group}{hit.group(2)}"))
        hits.sort()
        for index, (_, end, words) in enumerate(hits):
            found = alternatives(words)
            commands += [command for command in found if command]
            limit = hits[index + 1][0] if index + 1 < len(hits) else len(line)
            rest = line[end:limit]
            # A short line that begins with the command is a line of a shell; in prose only flags that follow at once
            # belong to it.
            if hits[index][0] > 0 or len(line) > 120:
                rest = re.match(r"(?:,? (?:--[a-z-]+[a-z]|<[^>]+>|[A-Z]\b)|/--[a-z-]+)*", rest).group(0)
            rest = rest.split("#")[0]
            pairs += [(command, flag) for command in found if command for flag in FLAG.findall(rest)]
    flags = set(FLAG.findall(text))
    names = {
        "keys": set(re.findall(r"(?<![\w-])_?[a-z0-9]+(?:_[a-z0-9]+)+(?![\w-])", text)) - NOT_KEYS,
        "settings": set(re.findall(r"config set ([a-z_.]+)", text)),
        "DHT keys": set(re.findall(r"_kwaai[\w.]*\w", text)),
        "protocols": set(re.findall(r"/kwaai/[\w./-]*\w", text)),
        "HTTP paths": set(re.findall(r"/v1/[\w/]*\w", text)),
        "operations": set(re.findall(r"\b(?:Create|Upload|Search|Delete)[A-Z]\w+", text)),
        "files": {path.rstrip(".") for path in re.findall(r"~/\.kwaainet/[\w./-]*", text)},
        "credentials": set(re.findall(r"\b[A-Z]\w*VC\b", text)),
        "DID methods": set(re.findall(r"\bdid:[a-z]+", text)),
        "ports": set(re.findall(r"(?::|port |--port )(\d{4,5})\b", text)),
        "thresholds": {value.replace(" ", "") for value in re.findall(r"[≥<] ?0\.\d+", text)},
        "tiers": {name for name in re.findall(r"^\| [≥<] 0\.\d+ \| (\w+) \|", text, re.M)},
        "formats": set(re.findall(r"(?<![\w.])\.(?:txt|md|rst|csv|json|yaml|toml|pdf|docx|doc)\b", text)),
        "chunking defaults": set(re.findall(r"\b\d+/\d+/\d+\b", text)),
        "dimensions": set(re.findall(r"\b\d{3,4}-dim\b", text)),
        "modes": {f"--mode {mode}" for mode in re.findall(r"--mode (\w+)", text)},
        "embedding models": set(re.findall(r"\ball-minilm\b|\b\w+-embed-(?:text|large)\b", text)),
        "weights": set(re.findall(r"adds (0\.\d+)", text)),
        "installers": set(
            re.findall(r"brew install|cargo binstall|cargo install|nix (?:build|develop)|installer\.\w+|\w+/build\.sh|ollama pull", text)
        ),
        "documents": set(re.findall(r"(?<=\| )(?:docs|nix)/[\w./-]+\.md|(?<=\| )[A-Z]+\.md", text)),
        "variables": set(re.findall(r"(?<![<\w/])(?:KWAAI|HF|OLLAMA)\w*_[A-Z_]+", text)),
    }
    now = text.split("Today, a KwaaiNet node can:")[1].split("See the latest GitHub Release")[0]
    bullets = [" ".join(item.split()) for item in re.split(r"(?:^|\n| )- (?=[A-Z]|llama|shard)", now) if item.strip()]
    lines = text.splitlines()
    statuses = [
        (line if line.startswith("|") else f"{lines[number - 1]} {line}")
        for number, line in enumerate(lines)
        if "✅ Shipped" in line or "🔄 Phase" in line
    ]
    roadmap = re.findall(r"^\| (?:Trust|Compute|Storage|Network) \|.*", text, re.M)
    return Taken(commands, pairs, flags, names, bullets, statuses, roadmap)


def rows(text: str) -> list[Row]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 4 or cells[2] == "State":
            continue
        found.append(Row(number, *cells, terms=TERM.findall(cells[0])))
    return found


def mapped(map_rows: list[Row]) -> tuple[dict[tuple[str, ...], set[str]], set[str], set[str]]:
    """The commands of the map with their flags, all flags, and all terms."""
    commands: dict[tuple[str, ...], set[str]] = {}
    flags: set[str] = set()
    terms: set[str] = set()
    for row in map_rows:
        own = {flag for term in row.terms for flag in FLAG.findall(term)}
        for term in row.terms:
            terms.add(term)
            terms.update(term.split())
            terms.update(re.findall(r"--[a-z-]+ [a-z]+", term))
            match = COMMAND.match(term)
            if match and match.group(1):
                for command in alternatives(match.group(1)):
                    commands.setdefault(command, set()).update(own)
        flags |= own
    return commands, flags, terms


def missing(seed: str, map_text: str) -> list[str]:
    """What KwaaiNet's README names and the map does not."""
    taken = take(seed)
    commands, flags, terms = mapped(rows(map_text))

    def leaf(command: tuple[str, ...]) -> tuple[str, ...] | None:
        return next((command[:n] for n in range(len(command), 0, -1) if command[:n] in commands), None)

    out = [f"command `kwaainet {' '.join(command)}`" for command in taken.commands if leaf(command) is None]
    for command, flag in taken.pairs:
        known = leaf(command)
        if known is not None and flag not in commands[known]:
            out.append(f"`{flag}` in the row of `kwaainet {' '.join(known)}`")
    out += [f"flag `{flag}`" for flag in sorted(taken.flags - flags)]
    for kind, found in taken.names.items():
        out += [f"{kind}: `{name}`" for name in sorted(found - terms)]
    for letter, items in (("B", taken.bullets), ("S", taken.statuses), ("R", taken.roadmap)):
        listed = set(re.findall(rf"\b{letter}\d+\b", " ".join(row.theirs for row in rows(map_text))))
        wanted = {f"{letter}{number}" for number in range(1, len(items) + 1)}
        out += [f"feature {number}" for number in sorted(wanted - listed)]
        out += [f"feature {number}, which the README has not" for number in sorted(listed - wanted)]
    return sorted(set(out))


def seed_text() -> str:
    if not SEED.exists():
        import pytest

        pytest.skip("skipped: KwaaiNet's README is not at $KWAAI_SHARED/reference/seed-kwaainet-readme.txt")
    return SEED.read_text(encoding="utf-8")


def map_text() -> str:
    return MAP.read_text(encoding="utf-8")


def test_everything_that_kwaainets_readme_names_is_in_the_map():
    assert missing(seed_text(), map_text()) == []


def test_a_command_a_flag_a_key_or_a_feature_that_the_map_lacks_is_found():
    seed = seed_text() + (
        "\nkwaainet rag frobnicate\nkwaainet teleport --now\nkwaainet rag sync --sideways\nwarp_factor at ~/.kwaainet/warp\n"
        "port 4242, WarpVC, /kwaai/warp/1.0.0\nWarp drive | ✅ Shipped |\nthe storage teleport command\n"
    )
    found = missing(seed, map_text())
    for name in (
        "command `kwaainet rag frobnicate`",
        "command `kwaainet teleport`",
        "command `kwaainet storage teleport command`",
        "flag `--now`",
        "`--sideways` in the row of `kwaainet rag sync`",
        "keys: `warp_factor`",
        "files: `~/.kwaainet/warp`",
        "ports: `4242`",
        "credentials: `WarpVC`",
        "protocols: `/kwaai/warp/1.0.0`",
    ):
        assert name in found, name
    assert any(name.startswith("feature S") for name in found)


def test_a_row_taken_out_of_the_map_is_missed():
    seed, full = seed_text(), map_text()
    assert missing(seed, full) == []
    for victim in ("`kwaainet rag sync", "`kwaainet p2p info`", "`UptimeVC`", "`force_private`", "`7432`", "| B7 "):
        lines = [line for line in full.splitlines() if victim not in line]
        assert len(lines) < len(full.splitlines()), victim
        assert missing(seed, "\n".join(lines)), victim


def test_every_row_has_a_state_and_every_refusal_a_reason():
    table = rows(map_text())
    assert len(table) > 100
    for row in table:
        assert row.state in STATES, f"{MAP.name}:{row.line}: state {row.state!r}"
        if row.state == "not here":
            assert row.remark.startswith("because "), f"{MAP.name}:{row.line}: a `not here` needs its reason"
        if row.state == "planned":
            assert row.remark, f"{MAP.name}:{row.line}: a `planned` names its area"


def claims(text: str) -> list[tuple[int, str, str]]:
    """The verbs that rows with the state `now` point to, as (line, class, member)."""
    return [
        (row.line, kind, member)
        for row in rows(text)
        if row.state == "now"
        for kind, member in re.findall(r"`(Node|TrustGraph|ShardEngine|Rag|Config)\.(\w+)", row.ours)
    ]


def unknown(text: str, surface: dict, config: str) -> list[str]:
    """Verbs and options that the map claims to exist and that do not."""

    def names(value) -> set[str]:
        if isinstance(value, dict):
            return set(value).union(*(names(inner) for inner in value.values()), set())
        if isinstance(value, list):
            return set().union(*(names(inner) for inner in value), set())
        return {value} if isinstance(value, str) else set()

    def section(value, kind: str):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == kind:
                    yield inner
                yield from section(inner, kind)
        elif isinstance(value, list):
            for inner in value:
                if isinstance(inner, dict) and kind in inner.values():
                    yield inner
                yield from section(inner, kind)

    options = set(re.findall(r"^\s*pub (\w+):", config, re.M))
    out = []
    for line, kind, member in claims(text):
        if kind == "Config":
            known = options
        else:
            known = set().union(*(names(part) for part in section(surface, kind)), set())
            known |= {name.partition(".")[2] for name in names(surface) if name.startswith(f"{kind}.")}
        if member not in known:
            out.append(f"{MAP.name}:{line}: {kind}.{member}")
    return out


def test_what_the_map_says_exists_now_exists():
    surface = tomllib.loads(SURFACE.read_text(encoding="utf-8"))
    assert unknown(map_text(), surface, CONFIG.read_text(encoding="utf-8")) == []


def test_every_row_that_is_now_points_to_something():
    for row in rows(map_text()):
        if row.state == "now":
            assert TERM.search(row.ours), f"{MAP.name}:{row.line}: `now` names no verb, option or file"


def test_a_verb_or_an_option_that_does_not_exist_is_found():
    text = "| `x` | `Node.teleport`, `Node.start`, `Config.warp` | now | |\n"
    surface = {"Node": {"start": {"python": "start"}}}
    assert unknown(text, surface, "pub struct Config {\n    pub name: String,\n}") == [
        f"{MAP.name}:1: Node.teleport",
        f"{MAP.name}:1: Config.warp",
    ]
    assert unknown(text, {"verbs": ["Node.start", "Node.teleport"]}, "    pub warp: u8,") == []
    listed = {"class": [{"name": "Node", "methods": ["start", "teleport"]}]}
    assert unknown(text, listed, "    pub warp: u8,") == []


def _print() -> None:
    taken = take(SEED.read_text(encoding="utf-8"))
    for command in sorted(set(taken.commands)):
        print("command", " ".join(command), *sorted({flag for other, flag in taken.pairs if other == command}))
    print("flags", *sorted(taken.flags))
    for kind, found in taken.names.items():
        print(kind, *sorted(found))
    for letter, items in (("B", taken.bullets), ("S", taken.statuses), ("R", taken.roadmap)):
        for number, item in enumerate(items, 1):
            print(f"{letter}{number}", item[:90])


if __name__ == "__main__":
    _print()
