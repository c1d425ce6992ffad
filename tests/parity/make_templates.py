"""Writes kwaai-core/tests/golden/chat_templates.json: templates that use Jinja as the published ones of each family do,
and what jinja2 makes of them in the setting of transformers.

    python tests/parity/make_templates.py

The templates are written for this file; they are no family's own. Needs jinja2.
"""

import json
import pathlib

import jinja2.sandbox

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "  What is\na \"block\"? "}
ANSWER = {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nA function."}
AGAIN = {"role": "user", "content": "Why?"}
CONVERSATIONS = [[USER], [SYSTEM, USER], [USER, ANSWER, AGAIN], [SYSTEM, USER, ANSWER, AGAIN]]

TEMPLATES = {
    # Headers, a system turn with the date, trimmed contents, tools that are not there.
    "llama": """{{- bos_token }}
{%- if not day is defined %}
    {%- if strftime_now is defined %}
        {%- set day = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set day = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set task = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set task = "" %}
{%- endif %}
{{- "<|head|>system<|tail|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Tools:\\n" }}
{%- endif %}
{{- "Today: " + day + "\\n\\n" }}
{{- task }}
{{- "<|end|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|head|>' + message['role'] + '<|tail|>\\n\\n'+ message['content'] | trim + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|tail|>\\n\\n' }}
{%- endif %}
""",
    # Turns that must alternate, the system text inside of the last turn, indices of a namespace.
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set task = messages[0]["content"] %}
    {%- set turns = messages[1:] %}
{%- else %}
    {%- set turns = messages %}
{%- endif %}
{%- set questions = turns | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in turns %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("turns must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and task is defined %}
            {{- "[I] " + task + "\\n\\n" + message["content"] + "[/I]" }}
        {%- else %}
            {{- "[I] " + message["content"] + "[/I]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("only user and assistant roles") }}
    {%- endif %}
{%- endfor %}
{{- "(" ~ questions|length ~ ")" }}
""",
    # A default system turn, and conditions over the kind of a message.
    "qwen2": """{%- if tools %}
    {{- '<|start|>tools\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|start|>system\\n' + messages[0]['content'] + '<|stop|>\\n' }}
    {%- else %}
        {{- '<|start|>system\\nYou help.<|stop|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|start|>' + message.role + '\\n' + message.content + '<|stop|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|start|>user' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\\n' }}
{%- endif %}
""",
    # The list backwards, tests of types, methods of Python's texts, thoughts that are taken out of earlier turns.
    "qwen3": """{%- set ns = namespace(searching=true, last_question=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<reply>') and message.content.endswith('</reply>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_question = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system") %}
        {{- '<|start|>' + message.role + '\\n' + content + '<|stop|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set thoughts = '' %}
        {%- if message.thoughts is string %}
            {%- set thoughts = message.thoughts %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_question %}
            {{- '<|start|>' + message.role + '\\n<think>\\n' + thoughts.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|stop|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start|>assistant\\n' }}
    {%- if aloud is defined and aloud is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
""",
    # What else published templates have: macros, blocks of generation aside, calls, joins, whole numbers, escapes.
    "others": """{% macro turn(who, what) %}[{{ who | upper }}|{{ what.strip() | replace('"', "'") }}]{% endmacro %}
{% for m in messages %}
{% if loop.first %}first {% elif loop.last %}last {% endif %}
{{ turn(m.role, m['content'].split('\\n') | join(' / ')) }}{{ {'role': m.role} | tojson }}
{{ m.get('name', 'nobody') }} {% for key, value in m.items() if key == 'role' %}{{ key }}={{ value }}{% endfor %}

{% endfor %}
{{ [1, 2] | length }} {{ messages | map(attribute='role') | join(',') }}{{ '\\t' }}{% set x = 3 // 2 %}{{ x }}
""",
}


def main():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["strftime_now"] = lambda form: "01 Jan 1970"

    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    environment.globals["raise_exception"] = refuse
    cases = []
    for family, source in TEMPLATES.items():
        template = environment.from_string(source)
        conversations = [
            {"messages": messages,
             "text": template.render(messages=messages, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")}
            for messages in CONVERSATIONS
        ]
        cases.append({"family": family, "template": source, "bos_token": "<s>", "eos_token": "</s>",
                      "conversations": conversations})
    golden = pathlib.Path(__file__).parents[2] / "kwaai-core/tests/golden/chat_templates.json"
    golden.write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
