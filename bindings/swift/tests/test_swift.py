"""The Swift package as far as it can be judged without a Swift compiler: its sources parse, what they use of the generated
interface exists there, and what they offer is what `tests/surface.toml` and `tests/errors.toml` list.

None of this says that the package compiles, and the support matrix does not either.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import tree_sitter_swift
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).resolve().parents[3]
FACADE = sorted((ROOT / "bindings/swift/Sources/KwaaiNet").glob("*.swift"))
GUIDE = ROOT / "examples/swift/Guide.swift"
SURFACE = tomllib.loads((ROOT / "tests/surface.toml").read_text())
ERRORS = tomllib.loads((ROOT / "tests/errors.toml").read_text())
TASKS = ["start", "messages", "trust", "policy", "share_blocks", "chat", "documents", "ask", "errors", "bring_your_own", "ask_others", "keep_vectors", "serve_openai", "serve_knowledge", "search_together"]
PARSER = Parser(Language(tree_sitter_swift.language()))


def parse(source: bytes) -> Node:
    return PARSER.parse(source).root_node


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node | None) -> str:
    assert node is not None and node.text is not None
    return node.text.decode()


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with its generated sources."""
    folder = tmp_path_factory.mktemp("swift")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    subprocess.run([ROOT / "bindings/swift/generate", target / "debug", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def generated(package: Path) -> Node:
    source = (package / "Sources/KwaaiNetNative/KwaaiNetNative.swift").read_bytes()
    # The grammar knows neither this attribute nor the empty tuple alone in a closure; both are Swift.
    return parse(source.replace(b"@_documentation(visibility: private)", b"").replace(b"{ () }", b"{ Void() }"))


@cache
def facade() -> dict[str, Node]:
    return {path.name: parse(path.read_bytes()) for path in FACADE}


def faults(root: Node) -> list[str]:
    if root.is_error or root.is_missing:
        return [f"line {root.start_point.row + 1}: {text(root)[:60]!r}"]
    return [fault for child in root.children if child.has_error for fault in faults(child)]


def labels(function: Node) -> list[str]:
    """The labels of a function's parameters: those a caller writes."""
    found = []
    for child in function.children:
        if child.type == "parameter":
            outer = child.child_by_field_name("external_name") or child.child_by_field_name("name")
            found.append(text(outer).strip("`"))
    return found


def optional(function: Node) -> list[bool]:
    """Which of a function's parameters have a default."""
    children = function.children
    return [
        place + 1 < len(children) and children[place + 1].type == "="
        for place, child in enumerate(children)
        if child.type == "parameter"
    ]


def types(root: Node) -> dict[str, Node]:
    """The outermost classes, structs, enums and protocols by name."""
    found: dict[str, Node] = {}
    for node in root.children:
        if node.type in ("class_declaration", "protocol_declaration") and (name := node.child_by_field_name("name")):
            kind = node.child_by_field_name("declaration_kind")
            if kind is None or text(kind) != "extension":
                found.setdefault(text(name), node)
    return found


def members(node: Node) -> list[Node]:
    body = node.child_by_field_name("body")
    return body.children if body else []


def functions(node: Node) -> dict[str, list[list[str]]]:
    """The functions of a type with their labels."""
    found: dict[str, list[list[str]]] = {}
    for member in members(node):
        if member.type in ("function_declaration", "protocol_function_declaration"):
            found.setdefault(text(member.child_by_field_name("name")).strip("`"), []).append(labels(member))
        elif member.type == "init_declaration":
            found.setdefault("init", []).append(labels(member))
        elif member.type == "enum_entry":
            case = text(member)
            found[text(member.child_by_field_name("name"))] = [re.findall(r"[(,]\s*(\w+): ", re.sub(r"/\*.*?\*/", "", case, flags=re.S))]
    return found


def modifiers(member: Node) -> str:
    return " ".join(text(child) for child in member.children if child.type == "modifiers")


def is_public(member: Node) -> bool:
    return "public" in modifiers(member)


def exported(node: Node) -> dict[str, Node]:
    """The public functions and properties of a type."""
    found = {}
    for member in members(node):
        if is_public(member) and member.type in ("function_declaration", "property_declaration"):
            name = member.child_by_field_name("name")
            found[text(name).strip("`")] = member
    return found


@pytest.mark.parametrize("path", [*FACADE, GUIDE, ROOT / "bindings/swift/Package.swift"], ids=lambda path: path.name)
def test_every_source_parses(path: Path) -> None:
    assert faults(parse(path.read_bytes())) == []


def test_the_generated_sources_are_there_and_parse(package: Path, generated: Node) -> None:
    assert (package / "Sources/CKwaaiNet/include/CKwaaiNet.h").read_text().count("uniffi_kwaai_ffi_fn_") > 100
    assert faults(generated) == []


def test_a_fault_is_found() -> None:
    assert faults(parse(b"func f( { let = }"))


def calls(root: Node) -> Iterator[tuple[str, str, list[str]]]:
    """Every call of a member: on what, its name, its labels."""
    for node in walk(root):
        if node.type != "call_expression":
            continue
        target, suffix = node.children[0], node.children[-1]
        if suffix.type != "call_suffix" or not suffix.children or suffix.children[0].type != "value_arguments":
            continue
        arguments = [child for child in suffix.children[0].children if child.type == "value_argument"]
        names = [text(name) for argument in arguments if (name := argument.child_by_field_name("name"))]
        if target.type == "navigation_expression":
            on, name = text(target.child_by_field_name("target")), text(target.child_by_field_name("suffix"))
            yield on, name.lstrip("."), names
        elif target.type == "simple_identifier":
            yield "", text(target), names


def test_what_the_facade_calls_exists_in_the_generated_interface(generated: Node) -> None:
    known = types(generated)
    made = {name: functions(node) for name, node in known.items()}
    free = {text(n.child_by_field_name("name")): labels(n) for n in generated.children if n.type == "function_declaration"}
    owner = {"Node.swift": "NativeNode", "TrustGraph.swift": "NativeTrustGraph", "Rag.swift": "NativeRag"}
    owner |= {"ShardEngine.swift": "NativeShardEngine", "Vpk.swift": "NativeVpk", "VectorCollection.swift": "NativeCollection"}
    owner |= {"HostConsole.swift": "NativeConsole", "HttpServer.swift": "NativeHttpServer"}
    owner |= {"SharedKnowledge.swift": "NativeSharedKnowledge", "Federation.swift": "NativeFederation"}
    # A type of the facade hides the generated one of the same name.
    own = {name for root in facade().values() for name in types(root)}
    seen = 0
    for file, root in facade().items():
        for on, name, names in calls(root):
            if on == "native" and file in owner:
                # The model's two verbs stand in the file of the engine.
                options = [made[owner[file]], made["NativeModel"]] if file == "ShardEngine.swift" else [made[owner[file]]]
                assert any(names in option.get(name, []) for option in options), f"{file}: native.{name}({names})"
                seen += 1
            elif on == "stream" and name == "nextBatch":
                assert all(names in made[kind][name] for kind in made if "nextBatch" in made[kind] and kind.endswith("Protocol"))
                seen += 1
            elif on in made and on.startswith("Native"):
                assert names in made[on].get(name, []), f"{file}: {on}.{name}({names})"
                seen += 1
            elif not on and name in made and name not in own:
                assert names in made[name]["init"], f"{file}: {name}({names})"
                seen += 1
            elif not on and name in free:
                assert names == free[name], f"{file}: {name}({names})"
                seen += 1
    assert seen > 60


def test_the_adapters_have_the_functions_that_the_library_calls(generated: Node) -> None:
    known = types(generated)
    adapters = {name: node for name, node in types(facade()["Provide.swift"]).items() if name.endswith("Adapter")}
    assert len(adapters) == 5
    for name, node in adapters.items():
        protocol = re.search(r"class \w+: (\w+)", text(node))
        assert protocol, name
        wanted = functions(known[protocol[1]])
        assert wanted.items() <= functions(node).items(), name


def test_every_record_that_is_named_again_exists(generated: Node) -> None:
    known = types(generated)
    renamed = re.findall(r"typealias \w+ = KwaaiNetNative\.(\w+)", text(facade()["Records.swift"]))
    assert len(renamed) > 35
    assert [name for name in renamed if name not in known] == []
    inner = {"NodeOptions", "ChatOptions", "EvaluateOptions", "FolderOptions", "RagOptions", "EmbedderChoice", "ErrorCodeInfo", "NativeError", "NativeFinish"}
    inner |= {"NativeMatrix", "Minimum", "ServerOptions", "NamedWriter", "NamedEndpoint", "NamedEmbedder", "NamedBert", "NamedKnowledge", "NamedOwn"}
    records = {name for name, node in known.items() if re.match(r"public\s+(struct|enum)\b", text(node))}
    records = {name for name in records if not name.endswith("Batch") and not name.startswith("FfiConverter")}
    assert records - set(renamed) - inner == set()


CLASSES = {name: entry["verbs"] for name, entry in SURFACE.items() if name != "Stream"}


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_has_exactly_the_listed_verbs(name: str) -> None:
    found = next(types(root)[name] for root in facade().values() if name in types(root))
    verbs = {verb: how for verb, how in CLASSES[name].items() if "swift" in how.get("only", ["swift"])}
    assert sorted(exported(found)) == sorted(camel(verb) for verb in verbs)
    for verb, how in verbs.items():
        member = exported(found)[camel(verb)]
        if how.get("property"):
            assert member.type == "property_declaration", verb
            continue
        wanted = [camel(argument.removesuffix("?").removesuffix("_ms")) for argument in how["args"]]
        assert labels(member) == wanted, verb
        head = text(member).split("{")[0]
        assert ("static" in modifiers(member)) == (how.get("make", False) or name == "Library"), verb
        if how.get("stream"):
            assert "-> EventStream<" in head, verb
        assert optional(member) == [argument.endswith("?") for argument in how["args"]], verb


def test_a_stream_has_the_listed_names() -> None:
    stream = types(facade()["EventStream.swift"])["EventStream"]
    assert sorted(exported(stream)) == sorted(SURFACE["Stream"]["spelled"]["swift"])


def test_the_codes_are_those_of_the_list() -> None:
    source = text(facade()["KwaaiError.swift"])
    rows = re.findall(r'case \.(\w+)\(let details\): return \("(\w+)", (\d+), (true|false), details\)', source)
    assert {code: (case, int(number), flag == "true") for case, code, number, flag in rows} == {
        code: (camel(code), entry["number"], entry["retryable"]) for code, entry in ERRORS.items()
    }
    back = dict(re.findall(r'case "(\w+)": return \.(\w+)\(details\)', source)) | {"internal": "internal"}
    assert back == {code: camel(code) for code in ERRORS}


def test_every_task_of_the_guide_is_shown() -> None:
    source = GUIDE.read_text()
    assert re.findall(r"^// anchor: (\w+)$", source, re.M) == TASKS
    assert re.findall(r"^// end: (\w+)$", source, re.M) == TASKS


def test_the_guide_calls_only_what_the_package_has() -> None:
    known = {name: functions(node) for root in facade().values() for name, node in types(root).items()}
    owner = {"node": "Node", "alice": "Node", "bob": "Node", "host": "Node", "app": "Node", "trust": "TrustGraph"}
    owner |= {"owner": "Node", "vpk": "Vpk", "notes": "VectorCollection", "other": "Node", "theirs": "Vpk", "recovered": "VectorCollection", "issuer": "TrustGraph", "engine": "ShardEngine", "model": "Model", "rag": "Rag"}
    owner |= {"together": "Federation"}
    owner |= {name: name for name in ("Node", "TrustGraph", "ShardEngine", "Rag", "Library")}
    seen = 0
    for on, name, names in calls(parse(GUIDE.read_bytes())):
        if on not in owner:
            continue
        offered = known[owner[on]].get(name, [])
        assert any(in_order(names, full) for full in offered), f"{on}.{name}({names})"
        seen += 1
    assert seen > 15


def in_order(some: list[str], every: list[str]) -> bool:
    """Whether the labels stand among the others in the same order, as Swift asks."""
    rest = iter(every)
    return all(label in rest for label in some)
