"""The official OpenAI client for Python as a judge of our server.

Reads JSON objects from standard input, one a line, and answers each with one line: `{"ok": …}`, or `{"error": …}`. `do` is
`all`, which runs every check of this file at the same time and says what each found (null for nothing), or `schemas`, which has
`count` JSON schemas made at random from `seed` answered, streaming and not, and judged by jsonschema. `base` is the server's address up to `/v1`,
`locked` that of one which wants the token `token`.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import jsonschema
import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "tiny"
MESSAGES: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a block?"}]
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
                "required": ["city", "days"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "clock"}},
]
CHECKS: list[Callable[[OpenAI], None]] = []


def check(function: Callable[[OpenAI], None]) -> Callable[[OpenAI], None]:
    CHECKS.append(function)
    return function


def text_of(answer: Any, index: int = 0) -> str:
    content = answer.choices[index].message.content
    assert isinstance(content, str)
    return content


@check
def models_are_listed_and_found(client: OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).object == "model"
    try:
        client.models.retrieve("other")
        raise AssertionError("a model that is not there was found")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.param == "model"


@check
def a_conversation_is_answered(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, max_completion_tokens=12, seed=1)
    assert raw.request_id and raw.request_id.startswith("req_")
    answer = raw.parse()
    assert answer.object == "chat.completion" and answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage and answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens <= 12 and answer.system_fingerprint


@check
def what_the_documents_show_works(client: OpenAI) -> None:
    base_url = str(client.base_url)
    # anchor: client
    client = OpenAI(base_url=base_url, api_key="none")
    answer = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "What is a block?"}])
    text = answer.choices[0].message.content
    # end: client
    assert text


@check
def a_stream_says_what_the_whole_answer_says(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=30, seed=2, temperature=0.9, top_p=0.9)
    stream = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=30, seed=2, temperature=0.9, top_p=0.9, stream=True,
        stream_options={"include_usage": True},
    )
    text, reason, usage = "", None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    assert text == text_of(whole) and reason == whole.choices[0].finish_reason and usage == whole.usage


@check
def sampling_follows_its_settings(client: OpenAI) -> None:
    def say(**settings: Any) -> str:
        return text_of(client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=16, **settings))

    assert say(temperature=0) == say(temperature=0, seed=99)
    assert say(seed=5) == say(seed=5) != say(seed=6)
    assert say(seed=5, extra_body={"top_k": 1}) == say(temperature=0)
    assert say(seed=5, top_p=0.0) == say(temperature=0)
    assert say(temperature=0, frequency_penalty=2, presence_penalty=2) != say(temperature=0)
    assert say(temperature=0, extra_body={"repetition_penalty": 1.8}) != say(temperature=0)
    assert say(temperature=0, logit_bias={"40": 100}, stop=None).count("I") == 16
    assert say(seed=5, extra_body={"min_p": 1.0}) == say(temperature=0)


@check
def choices_and_stops(client: OpenAI) -> None:
    three = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=24, seed=3, n=3)
    assert len({text_of(three, index) for index in range(3)}) == 3
    text = text_of(three)
    stop = text[6:9]
    stopped = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=24, seed=3, stop=[stop])
    assert text_of(stopped) == text[: text.index(stop)] and stopped.choices[0].finish_reason == "stop"


@check
def logprobs_add_up(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=12, seed=4, logprobs=True, top_logprobs=4
    )
    content = answer.choices[0].logprobs.content  # type: ignore[union-attr]
    assert content and answer.usage and len(content) == answer.usage.completion_tokens
    assert bytes(byte for token in content for byte in token.bytes or []).decode(errors="replace") == text_of(answer)
    for token in content:
        values = [top.logprob for top in token.top_logprobs]
        assert len(values) == 4 and values == sorted(values, reverse=True) and token.logprob <= values[0] < 0


@check
def texts_are_continued(client: OpenAI) -> None:
    two = client.completions.create(model=MODEL, prompt=["abc", "xyz"], max_tokens=8, seed=1, n=2, logprobs=2)
    assert [choice.index for choice in two.choices] == [0, 1, 2, 3]
    stream = client.completions.create(model=MODEL, prompt="abc", max_tokens=8, seed=1, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == two.choices[0].text
    probabilities = two.choices[0].logprobs
    assert probabilities and probabilities.tokens and len(probabilities.tokens) == len(probabilities.token_logprobs or [])
    client.completions.create(model=MODEL, prompt=[1, 2, 3], max_tokens=2)


@check
def texts_are_embedded(client: OpenAI) -> None:
    coded = client.embeddings.create(model="hash", input=["one two", "three"])
    plain = client.embeddings.create(model="hash", input=["one two", "three"], encoding_format="float")
    for one, other in zip(coded.data, plain.data, strict=True):
        assert one.index == other.index and len(one.embedding) == len(other.embedding) > 0
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding)) < 1e-6


@check
def functions_are_shown_and_their_results_taken(client: OpenAI) -> None:
    # A model of random weights calls nothing by itself; what one that does writes is taken apart in the server's own tests.
    free = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, max_tokens=6, seed=1)
    assert text_of(free) and not free.choices[0].message.tool_calls
    none = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice="none", max_tokens=6, seed=1)
    assert none.usage and free.usage and none.usage.prompt_tokens < free.usage.prompt_tokens
    call: Any = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Bern\"}"}}
    history: list[Any] = [
        *MESSAGES,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    client.chat.completions.create(model=MODEL, messages=history, tools=TOOLS, max_tokens=4)


@check
def a_call_is_an_object_of_its_own(client: OpenAI) -> None:
    """The model `caller` writes a call as Qwen's models do."""
    answer = client.chat.completions.create(model="caller", messages=MESSAGES, tools=TOOLS)
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content == "One moment."
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function" and call.function.name == "weather"
    assert json.loads(call.function.arguments) == {"city": "Bern", "days": 2}
    with client.chat.completions.stream(model="caller", messages=MESSAGES, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    (streamed,) = final.choices[0].message.tool_calls or []
    assert streamed.function.arguments == call.function.arguments


class Point(BaseModel):
    x: int
    kind: Literal["near", "far"]


@check
def objects_are_what_was_asked_for(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, max_tokens=800, seed=2, response_format={"type": "json_object"}
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text_of(answer)), dict)
    parsed = client.chat.completions.parse(model=MODEL, messages=MESSAGES, max_tokens=400, seed=1, response_format=Point)
    point = parsed.choices[0].message.parsed
    assert isinstance(point, Point)


def judged_call(call: Any, name: str) -> None:
    assert call.type == "function" and call.id and call.function.name == name
    parameters = TOOLS[0]["function"]["parameters"] if name == "weather" else {"type": "object"}
    jsonschema.validate(json.loads(call.function.arguments), parameters)


@check
def functions_are_called(client: OpenAI) -> None:
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    named = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice=choice, max_tokens=400, seed=1
    )
    assert named.choices[0].finish_reason == "tool_calls" and named.choices[0].message.content is None
    calls = named.choices[0].message.tool_calls
    assert calls and len(calls) == 1
    judged_call(calls[0], "weather")
    history = [*MESSAGES, named.choices[0].message, {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"}]
    client.chat.completions.create(model=MODEL, messages=history, tools=TOOLS, max_tokens=4)
    required = client.chat.completions.create(
        model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice="required", max_tokens=400, seed=5
    )
    call = (required.choices[0].message.tool_calls or [])[0]
    judged_call(call, call.function.name)  # type: ignore[union-attr]
    none = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, tool_choice="none", max_tokens=4)
    assert not none.choices[0].message.tool_calls
    client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=TOOLS, max_tokens=4)
    with client.chat.completions.stream(
        model=MODEL, messages=MESSAGES, tools=[TOOLS[0]], tool_choice=choice, max_tokens=400, seed=1
    ) as stream:
        final = stream.get_final_completion()
    judged_call((final.choices[0].message.tool_calls or [])[0], "weather")


@check
def what_is_wrong_is_said(client: OpenAI) -> None:
    for settings, param in [
        ({"temperature": 9}, "temperature"),
        ({"n": 0}, "n"),
        ({"stop": ["a"] * 9}, "stop"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages[0].content[0].type"),
    ]:
        try:
            client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **settings})
            raise AssertionError(f"{settings} was taken")
        except openai.BadRequestError as error:
            assert error.param == param and error.type == "invalid_request_error", error
    try:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 2000}])
        raise AssertionError("a text that is too long was taken")
    except openai.BadRequestError as error:
        assert error.code == "context_length_exceeded"


@check
def a_failure_is_an_exception_and_never_text(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="broken", messages=MESSAGES, stream=True)
    text = ""
    try:
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        raise AssertionError("the stream ended as if all was well")
    except openai.APIError as error:
        assert error.code == "unreachable" and "a host is gone" in error.message
    assert text == "half an answer"
    try:
        client.chat.completions.create(model="silent", messages=MESSAGES, stream=True)
        raise AssertionError("nothing was answered as if all was well")
    except openai.InternalServerError as error:
        assert error.status_code == 503


@check
def a_knowledge_base_answers_with_its_sources(client: OpenAI) -> None:
    question: list[Any] = [*MESSAGES, {"role": "user", "content": "When is the pump in the cellar checked?"}]
    whole = client.chat.completions.create(model="notes", messages=question, temperature=0.2)
    message = whole.choices[0].message
    text = text_of(whole)
    assert "every Monday" in text and text.endswith("[1]") and whole.choices[0].finish_reason == "stop"
    about: Any = whole.model_extra and whole.model_extra["kwaainet"]
    (source,) = about["sources"]
    assert (source["number"], source["document"]) == (1, "pumps.md") and "every Monday" in source["quote"]
    assert not about["refused"] and 0.5 <= about["support"] <= 1
    (annotation,) = message.annotations or []
    cited = annotation.url_citation
    assert text[cited.start_index : cited.end_index] == "[1]" and cited.title.startswith("pumps.md")
    assert source["document_id"] in cited.url

    stream = client.chat.completions.create(model="notes", messages=question, stream=True)
    said, sources, reason = "", None, None
    for chunk in stream:
        said += chunk.choices[0].delta.content or ""
        reason = chunk.choices[0].finish_reason or reason
        sources = (chunk.model_extra or {}).get("kwaainet", {}).get("sources") or sources
    assert (said, sources, reason) == (text, about["sources"], "stop")
    with client.chat.completions.stream(model="notes", messages=question) as helper:
        assert helper.get_final_completion().choices[0].message.content == text

    refused = client.chat.completions.create(model="notes", messages=[{"role": "user", "content": "Who rules Mongolia?"}])
    assert text_of(refused).startswith("This is not in your documents.")
    assert refused.model_extra and refused.model_extra["kwaainet"]["refused"] and not refused.choices[0].message.annotations
    try:
        client.chat.completions.create(model="notes", messages=question, n=2)
        raise AssertionError("two answers were promised")
    except openai.BadRequestError as error:
        assert error.param == "n"


@check
def many_ask_at_the_same_time(client: OpenAI) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(base_url=client.base_url, api_key="none", max_retries=0) as many:

            async def one(seed: int) -> str:
                stream = await many.chat.completions.create(
                    model=MODEL, messages=MESSAGES, max_tokens=12, seed=seed % 4, stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            texts = await asyncio.gather(*(one(seed) for seed in range(8)))
            assert texts[:4] == texts[4:] and len(set(texts)) == 4

    asyncio.run(ask())


@check
def who_stops_reading_disturbs_nobody(client: OpenAI) -> None:
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=300, seed=1, stream=True)
    next(iter(stream))
    stream.close()
    client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=2)


def the_token_opens(locked: str) -> None:
    try:
        OpenAI(base_url=locked, api_key="wrong", max_retries=0).models.list()
        raise AssertionError("a wrong token was taken")
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    list(OpenAI(base_url=locked, api_key="token", max_retries=0).models.list())


def everything(base: str, locked: str) -> dict[str, str | None]:
    def run(function: Callable[[], None]) -> str | None:
        try:
            function()
        except Exception:
            return traceback.format_exc(limit=-3)
        return None

    with ThreadPoolExecutor(8) as pool:
        client = OpenAI(base_url=base, api_key="none", max_retries=0, timeout=300)
        running = {function.__name__: pool.submit(run, lambda function=function: function(client)) for function in CHECKS}
        running["the_token_opens"] = pool.submit(run, lambda: the_token_opens(locked))
        return {name: future.result() for name, future in running.items()}


#: What no text is held to: a schema with one of them is refused.
BEYOND: list[dict[str, Any]] = [
    {"not": {"type": "string"}},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 2},
    {"type": "array", "contains": {"const": 1}, "maxItems": 2},
    {"if": {"type": "integer"}, "then": {"minimum": 3}, "type": ["integer", "null"]},
    {"type": "object", "propertyNames": {"maxLength": 3}, "maxProperties": 1},
    {"type": "object", "dependentRequired": {"a": ["b"]}, "maxProperties": 2},
    {"type": "object", "unevaluatedProperties": False},
    {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 2, "maxProperties": 2},
    {"type": "string", "format": "regex"},
    {"type": "string", "pattern": "^(?!a)b$"},
    {"type": "integer", "minimum": 5, "maximum": 4},
    {"type": "string", "minLength": 5, "maxLength": 4},
    {"enum": [9007199254740993]},
    {"type": "integer", "multipleOf": 999983},
    {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "integer", "maximum": 3}]},
    {"$ref": "#/$defs/nothing"},
    {"type": "strong"},
]


def schema(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """A schema with an answer of bounded length: what a model of random weights writes has no other reason to end."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const", "pattern", "format", "types"]
    if depth < 3:
        kinds += ["object", "object", "object", "array", "array", "tuple", "anyOf", "oneOf", "allOf", "names", "free", "ref", "list"]
    match kind := chance.choice(["object", "array", "oneOf", "allOf"] if depth == 0 else kinds):
        case "string":
            least = chance.randrange(4)
            return {"type": "string", "minLength": least, "maxLength": least + chance.randrange(12)}
        case "integer" | "number":
            low = chance.randrange(-1000, 1000)
            bounds: dict[str, Any] = {"minimum": low, "maximum": low + chance.randrange(1, 5000)}
            if chance.random() < 0.3:
                step = chance.choice([2, 5, 10] if kind == "integer" else [0.5, 0.25, 3])
                bounds = {"exclusiveMinimum": 0, "maximum": 1000, "multipleOf": step}
            return {"type": kind, **bounds}
        case "boolean" | "null":
            return {"type": kind}
        case "types":
            return {"type": ["integer", "null", "boolean"], "minimum": 0, "maximum": 9}
        case "enum":
            return {"enum": chance.sample(["red", "grün", 7, 2.5, True, None, "a \"b\"", "\\", [], {"n": -3}], 3)}
        case "const":
            return {"const": chance.choice(["fixed", 12, False, {"a": [1]}, [1, "x"], "two\nlines"])}
        case "pattern":
            pattern = chance.choice([r"^[a-z]{2,5}$", r"^\d{3}-\d{2}$", r"^(ab|cd)+x?$", r"^[^a-y\s]{1,4}$", r"^\w+/é?$"])
            return {"type": "string", "pattern": pattern, "maxLength": 20}
        case "format":
            return {"type": "string", "format": chance.choice(["date", "uuid", "ipv4", "time", "date-time", "ipv6"]), "maxLength": 60}
        case "object":
            names = chance.sample(["id", "name", "größe", "a b", "x", "tags", "$y", "z_1", "const"], chance.randrange(1, 5))
            needed = [name for name in names if chance.random() < 0.6]
            properties = {name: schema(chance, depth + 1) for name in names}
            return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}
        case "array":
            least = chance.randrange(3)
            most = least + chance.randrange(3)
            return {"type": "array", "items": schema(chance, depth + 1), "minItems": least, "maxItems": most}
        case "tuple":
            first = [schema(chance, depth + 1) for _ in range(chance.randrange(1, 3))]
            return {"type": "array", "prefixItems": first, "items": False, "minItems": chance.randrange(len(first) + 1)}
        case "anyOf":
            return {"anyOf": [schema(chance, depth + 2) for _ in range(2)]}
        case "oneOf":
            return {"oneOf": [part(kind, schema(chance, depth + 1)) for kind in ("near", "far")]}
        case "allOf":
            parts = [{"type": "object", "properties": {name: schema(chance, depth + 1)}, "required": [name]} for name in "ab"]
            return {"type": "object", "allOf": parts, "maxProperties": 2}
        case "names":
            patterns = {"^x_[a-z]{1,3}$": schema(chance, depth + 1)}
            return {"type": "object", "patternProperties": patterns, "additionalProperties": False, "maxProperties": 2}
        case "free":
            one = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"]}
            return {**one, "additionalProperties": {"type": "null"}, "maxProperties": 1 + chance.randrange(2)}
        case "list":
            return {"$ref": "#/$defs/list"}
        case _:
            return {"$ref": "#/$defs/part"}


def part(kind: str, inner: dict[str, Any]) -> dict[str, Any]:
    """One of several, told apart by its kind."""
    properties = {"kind": {"const": kind}, "it": inner}
    return {"type": "object", "properties": properties, "required": ["kind"], "additionalProperties": False}


def written(client: OpenAI, wanted: Any, seed: int) -> tuple[str, str | None]:
    """The text of an answer and why it ended; every second is streamed."""
    settings: dict[str, Any] = {"model": MODEL, "messages": MESSAGES[1:], "max_tokens": 1500, "seed": seed, "response_format": wanted}
    if seed % 2:
        answer = client.chat.completions.create(**settings)
        return text_of(answer), answer.choices[0].finish_reason
    text, ended = "", None
    for chunk in client.chat.completions.create(**settings, stream=True):
        for choice in chunk.choices:
            text += choice.delta.content or ""
            ended = choice.finish_reason or ended
    return text, ended


def schemas(base: str, count: int, seed: int) -> dict[str, Any]:
    """What was wrong with the answers to random schemas, how many were refused, and how many had no end."""
    chance = random.Random(seed)
    listed = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/list"}]}
    entry = {"type": "object", "properties": {"at": {"type": "boolean"}, "next": listed}, "required": ["next"], "additionalProperties": False}
    made = [{**schema(chance), "$defs": {"part": schema(chance, 3), "list": entry}} for _ in range(count)]
    refused = [number for number in range(count) if number % 9 == 8]
    for place, number in enumerate(refused):
        properties = {"it": {"type": "null"}, "beyond": BEYOND[place % len(BEYOND)]}
        made[number] = {"type": "object", "properties": properties, "required": ["beyond"]}

    def judge(number: int) -> str | None:
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "random", "schema": made[number], "strict": True}}
        client = OpenAI(base_url=base, api_key="none", max_retries=0, timeout=300)
        try:
            text, ended = written(client, wanted, number)
            assert number not in refused, f"it was taken, and answered with {text[:200]}"
            if ended == "length" and "#/$defs/list" in json.dumps(made[number]):
                return ""
            assert ended == "stop", f"it ended by {ended}"
            judged = jsonschema.Draft202012Validator
            jsonschema.validate(json.loads(text), made[number], judged, format_checker=judged.FORMAT_CHECKER)
        except openai.BadRequestError as error:
            if number not in refused or error.param != "response_format":
                return f"{json.dumps(made[number])}: {error}"
        except Exception as error:
            return f"{json.dumps(made[number])}: {type(error).__name__}: {str(error)[:400]}"
        return None

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(judge, range(count)))
    return {"wrong": [wrong for wrong in found if wrong], "refused": len(refused), "endless": found.count("")}


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        try:
            match command["do"]:
                case "all":
                    answer = {"ok": everything(command["base"], command["locked"])}
                case "schemas":
                    answer = {"ok": schemas(command["base"], command["count"], command["seed"])}
                case other:
                    raise ValueError(other)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
