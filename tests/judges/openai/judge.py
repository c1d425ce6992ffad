"""The official OpenAI client for Python as a judge of our server.

Reads JSON objects from standard input, one a line, and answers each with one line: `{"ok": …}`, or `{"error": …}`. `do` is
`all`, which runs every check of this file at the same time and says what each found, null for nothing. `base` is the server's
address up to `/v1`, `locked` that of one which wants the token `token`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI

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


@check
def what_cannot_be_done_is_refused(client: OpenAI) -> None:
    for settings, param in [
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": TOOLS, "tool_choice": "required"}, "tool_choice"),
    ]:
        try:
            client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, **settings})
            raise AssertionError(f"{settings} was taken")
        except openai.BadRequestError as error:
            assert error.param == param and error.code == "unsupported_parameter", error


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


def main() -> None:
    for line in sys.stdin:
        command = json.loads(line)
        try:
            match command["do"]:
                case "all":
                    answer = {"ok": everything(command["base"], command["locked"])}
                case other:
                    raise ValueError(other)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
