// The official OpenAI client for JavaScript as a judge of our server.
//
// Reads JSON objects from standard input, one a line, and answers each with one line: {"ok": …}, or {"error": …}. `do` is `all`,
// which runs every check of this file at the same time and says what each found, null for nothing. `base` is the server's address
// up to /v1, `locked` that of one which wants the token `token`.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import OpenAI from "openai";

const model = "tiny";
const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "What is a block?" }];
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "weather", description: "The weather of a city", parameters } }];

const checks = {
  async modelsAreListedAndFound(client) {
    const names = [];
    for await (const found of client.models.list()) names.push(found.id);
    assert(names.includes(model));
    assert.equal((await client.models.retrieve(model)).object, "model");
    await assert.rejects(client.models.retrieve("other"), (error) => {
      return error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && error.param === "model";
    });
  },

  async aStreamSaysWhatTheWholeAnswerSays(client) {
    const asked = { model, messages, max_tokens: 30, seed: 2, temperature: 0.9 };
    const whole = await client.chat.completions.create(asked);
    const { choices: [choice], usage } = whole;
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    let [text, reason, cost] = ["", null, null];
    for await (const chunk of stream) {
      cost = chunk.usage ?? cost;
      for (const { delta, finish_reason } of chunk.choices) {
        text += delta.content ?? "";
        reason = finish_reason ?? reason;
      }
    }
    assert.deepEqual([text, reason, cost], [choice.message.content, choice.finish_reason, usage]);
    const helper = client.chat.completions.stream(asked);
    assert.equal(await helper.finalContent(), choice.message.content);
  },

  async choicesStopsAndLogprobs(client) {
    const asked = { model, messages, max_tokens: 24, seed: 3 };
    const three = await client.chat.completions.create({ ...asked, n: 3 });
    assert.equal(new Set(three.choices.map((choice) => choice.message.content)).size, 3);
    const text = three.choices[0].message.content;
    const stop = [...text].slice(6, 9).join("");
    const stopped = await client.chat.completions.create({ ...asked, stop });
    assert.equal(stopped.choices[0].message.content, text.slice(0, text.indexOf(stop)));
    const { choices: [choice], usage } = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
    const content = choice.logprobs.content;
    assert.equal(content.length, usage.completion_tokens);
    assert.equal(Buffer.from(content.flatMap((token) => token.bytes)).toString(), choice.message.content);
    assert(content.every((token) => token.top_logprobs.length === 2 && token.logprob <= token.top_logprobs[0].logprob));
  },

  async textsAreContinued(client) {
    const two = await client.completions.create({ model, prompt: ["abc", "xyz"], max_tokens: 8, seed: 1, logprobs: 2 });
    assert.deepEqual(two.choices.map((choice) => choice.index), [0, 1]);
    const stream = await client.completions.create({ model, prompt: "abc", max_tokens: 8, seed: 1, stream: true });
    let text = "";
    for await (const chunk of stream) text += chunk.choices[0].text;
    assert.equal(text, two.choices[0].text);
  },

  async textsAreEmbedded(client) {
    const coded = await client.embeddings.create({ model: "hash", input: ["one two", "three"] });
    const plain = await client.embeddings.create({ model: "hash", input: ["one two", "three"], encoding_format: "float" });
    coded.data.forEach((entry, index) => {
      const other = plain.data[index].embedding;
      assert(entry.embedding.length === other.length && other.length > 0);
      assert(entry.embedding.every((value, place) => Math.abs(value - other[place]) < 1e-6));
    });
  },

  async aCallIsAnObjectOfItsOwn(client) {
    const { choices: [choice] } = await client.chat.completions.create({ model: "caller", messages, tools });
    assert.deepEqual([choice.finish_reason, choice.message.content], ["tool_calls", "One moment."]);
    const [call] = choice.message.tool_calls;
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["weather", { city: "Bern", days: 2 }]);
    const streamed = await client.chat.completions.stream({ model: "caller", messages, tools }).finalChatCompletion();
    assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);
    const answered = [...messages, choice.message, { role: "tool", tool_call_id: call.id, content: "rain" }];
    await client.chat.completions.create({ model, messages: answered, tools, max_tokens: 4 });
  },

  async objectsAreWhatWasAskedFor(client) {
    const schema = {
      type: "object",
      properties: { x: { type: "integer" }, kind: { enum: ["near", "far"] } },
      required: ["x", "kind"],
      additionalProperties: false,
    };
    const response_format = { type: "json_schema", json_schema: { name: "point", schema, strict: true } };
    const answer = await client.chat.completions.parse({ model, messages, max_tokens: 400, seed: 1, response_format });
    const point = answer.choices[0].message.parsed;
    assert(Number.isInteger(point.x) && ["near", "far"].includes(point.kind));
  },

  async functionsAreCalled(client) {
    const tool_choice = { type: "function", function: { name: "weather" } };
    const asked = { model, messages, tools, tool_choice, max_tokens: 400, seed: 1 };
    const { choices: [choice] } = await client.chat.completions.create(asked);
    assert.equal(choice.finish_reason, "tool_calls");
    const [call] = choice.message.tool_calls;
    assert.equal(call.function.name, "weather");
    assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
    const answered = [...messages, choice.message, { role: "tool", tool_call_id: call.id, content: "rain" }];
    await client.chat.completions.create({ model, messages: answered, tools, max_tokens: 4 });
    const streamed = await client.chat.completions.stream(asked).finalChatCompletion();
    assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);
  },

  async whatIsWrongIsSaid(client) {
    await assert.rejects(client.chat.completions.create({ model, messages, temperature: 9 }), (error) => {
      return error instanceof OpenAI.BadRequestError && error.param === "temperature" && error.type === "invalid_request_error";
    });
  },

  async aFailureIsAnExceptionAndNeverText(client) {
    let text = "";
    await assert.rejects(async () => {
      for await (const chunk of await client.chat.completions.create({ model: "broken", messages, stream: true })) {
        text += chunk.choices[0].delta.content ?? "";
      }
    }, (error) => error instanceof OpenAI.APIError && error.code === "unreachable");
    assert.equal(text, "half an answer");
    await assert.rejects(client.chat.completions.create({ model: "silent", messages }), { status: 503 });
  },

  async aKnowledgeBaseAnswersWithItsSources(client) {
    const asked = { model: "notes", messages: [...messages, { role: "user", content: "When is the pump in the cellar checked?" }] };
    const whole = await client.chat.completions.create(asked);
    const { content, annotations } = whole.choices[0].message;
    assert.match(content, /every Monday .*\[1\]/);
    assert.deepEqual(whole.kwaainet.sources.map((source) => [source.number, source.document]), [[1, "pumps.md"]]);
    const [{ type, url_citation: cited }] = annotations;
    assert.equal(type, "url_citation");
    assert.equal([...content].slice(cited.start_index, cited.end_index).join(""), "[1]");
    assert(cited.title.startsWith("pumps.md") && new URL(cited.url).hash.includes(whole.kwaainet.sources[0].document_id));
    const helper = client.chat.completions.stream(asked);
    assert.equal(await helper.finalContent(), content);
    assert.deepEqual((await helper.finalMessage()).annotations, annotations);
    let sources;
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) sources ??= chunk.kwaainet?.sources;
    assert.deepEqual(sources, whole.kwaainet.sources);
    const refused = await client.chat.completions.create({ model: "notes", messages: [{ role: "user", content: "Who rules Mongolia?" }] });
    assert(refused.kwaainet.refused && refused.choices[0].message.content.startsWith("This is not in your documents."));
    await assert.rejects(client.chat.completions.create({ ...asked, n: 2 }), (error) => error.param === "n");
    await assert.rejects(client.embeddings.create({ model: "notes", input: "x" }), (error) => error.code === "model_not_found");
  },

  async manyAskAtTheSameTime(client) {
    const ask = (seed) => client.chat.completions.create({ model, messages, max_tokens: 12, seed: seed % 4 });
    const answers = await Promise.all(Array.from({ length: 8 }, (_, seed) => ask(seed)));
    const texts = answers.map((answer) => answer.choices[0].message.content);
    assert.deepEqual(texts.slice(0, 4), texts.slice(4));
    assert.equal(new Set(texts).size, 4);
  },

  async whoStopsReadingDisturbsNobody(client) {
    const stream = await client.chat.completions.create({ model, messages, max_tokens: 300, seed: 1, stream: true });
    for await (const _ of stream) break;
    await client.chat.completions.create({ model, messages, max_tokens: 2 });
  },

  async theTokenOpens(_, locked) {
    const with_key = (apiKey) => new OpenAI({ baseURL: locked, apiKey, maxRetries: 0 }).models.list();
    await assert.rejects(with_key("wrong"), (error) => error instanceof OpenAI.AuthenticationError);
    await with_key("token");
  },
};

async function everything({ base, locked }) {
  const client = new OpenAI({ baseURL: base, apiKey: "none", maxRetries: 0, timeout: 300_000 });
  const run = async ([name, check]) => [name, await check(client, locked).then(() => null, (error) => String(error.stack))];
  return Object.fromEntries(await Promise.all(Object.entries(checks).map(run)));
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    if (command.do !== "all") throw new Error(command.do);
    answer = { ok: await everything(command) };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}
