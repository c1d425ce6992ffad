import assert from 'node:assert/strict';
import { setTimeout as after } from 'node:timers/promises';
import test from 'node:test';

import { BusyError, type DocumentReader, type Embedder, type IngestEvent, type LanguageModel, NotFoundError, Rag, type RagOptions } from 'kwaainet';

import { fails, leavesNothingBehind, until, withFolder } from './support.js';

leavesNothingBehind();

const FOOD = Buffer.from('The canteen serves dumplings on Fridays.');
const QUESTION = 'What does the canteen serve on Fridays?';

/** Counts the letters of a text. */
function letters(text: string): number[] {
  const vector = new Array<number>(8).fill(1);
  for (const letter of text.toLowerCase().replace(/[^a-z]/g, '')) vector[(letter.charCodeAt(0) - 97) % 8]! += 1;
  return vector;
}

const embedder: Embedder = { id: 'letters', dimension: 8, embed: (texts) => texts.map(letters) };

function withRag(options: RagOptions, use: (rag: Rag) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    await using rag = await Rag.open(folder, options);
    await use(rag);
  });
}

test('an embedder of the app finds passages, whether sync or async, rows or one array', async () => {
  const queries: boolean[] = [];
  const forms: Embedder['embed'][] = [
    (texts, { query }) => (queries.push(query), texts.map(letters)),
    async (texts) => texts.map((text) => Float32Array.from(letters(text))),
    async (texts) => (await after(1), Float32Array.from(texts.flatMap(letters))),
  ];
  for (const embed of forms) {
    await withRag({ embedder: { id: 'letters', dimension: 8, embed } }, async (rag) => {
      await rag.ingest(FOOD, { name: 'food.txt' }).done();
      const stats = await rag.stats();
      assert.deepEqual([stats.embedder, stats.mode, stats.vectors], [{ id: 'letters', dimension: 8 }, 'hybrid', 1]);
      assert.ok((await rag.search('dumplings')).hits[0]?.dense);
    });
  }
  assert.deepEqual(queries, [false, true]);
});

test('what an embedder throws arrives: an error of ours with its code, another as internal', async () => {
  const throwing: [() => unknown, string, RegExp][] = [
    [() => { throw new TypeError('no such layer'); }, 'internal', /TypeError: no such layer/],
    [async () => { throw new BusyError('the model is loading'); }, 'busy', /the model is loading/],
    [() => Promise.reject(7), 'internal', /7/],
    [() => { throw null; }, 'internal', /null/],
    [() => undefined, 'invalid_argument', /list/],
    [() => [[1, 2]], 'invalid_argument', /2 numbers/],
    [() => new Float32Array(3), 'invalid_argument', /3 numbers/],
    [() => [new Array(8).fill(NaN)], 'invalid_argument', /not finite/],
    [() => [new Array(8).fill(0)], 'invalid_argument', /no length/],
  ];
  for (const [embed, code, message] of throwing) {
    await withRag({ embedder: { id: 'broken', dimension: 8, embed: embed as never } }, async (rag) => {
      const events: IngestEvent[] = [];
      const outcome = await (async () => {
        for await (const event of rag.ingest(FOOD, { name: 'food.txt' })) events.push(event);
      })().catch((error: { code: string; message: string }) => error);
      const failed = events.find((event) => event.kind === 'document_failed') ?? outcome;
      assert.equal(failed?.code, code);
      assert.match(failed.message, message);
    });
  }
  const cause = new NotFoundError('no weights', { cause: new Error('the disk is empty') });
  let broken = false;
  const late: Embedder = { ...embedder, embed: (texts) => { if (broken) throw cause; return texts.map(letters); } };
  await withRag({ embedder: late }, async (rag) => {
    await rag.ingest(FOOD, { name: 'food.txt' }).done();
    broken = true;
    const error = await fails('not_found', () => rag.search('dumplings', { mode: 'dense' }));
    assert.match((error.cause as Error).message, /no weights/);
    assert.equal(error.context['provider'], 'embedder');
  });
});

test('an embedder that is slower than its deadline is given up, and its work is cancelled', async () => {
  let signal: AbortSignal | undefined;
  const slow: Embedder = {
    ...embedder,
    deadlineMs: 30,
    embed: (_, context) => ((signal = context.signal), new Promise<never>(() => {})),
  };
  await withRag({ embedder: slow }, async (rag) => {
    const events: IngestEvent[] = [];
    const end = await (async () => {
      for await (const event of rag.ingest(FOOD, { name: 'food.txt' })) events.push(event);
    })().catch((error: { code: string }) => error);
    assert.equal((events.find((event) => event.kind === 'document_failed') ?? end)?.code, 'timeout');
    await until(() => signal?.aborted === true, 'the cancellation of the work');
  });
});

test('aborting a search cancels what the embedder of the app does for it', async () => {
  let hanging: AbortSignal | undefined;
  const patient: Embedder = {
    ...embedder,
    embed: (texts, { query, signal }) => {
      if (!query) return texts.map(letters);
      hanging = signal;
      return new Promise<never>(() => {});
    },
  };
  await withRag({ embedder: patient }, async (rag) => {
    await rag.ingest(FOOD, { name: 'food.txt' }).done();
    const controller = new AbortController();
    const search = rag.search('dumplings', { mode: 'dense', signal: controller.signal });
    await until(() => hanging !== undefined, 'the call of the embedder');
    assert.equal(hanging?.aborted, false);
    controller.abort();
    await assert.rejects(search, { name: 'AbortError' });
    await until(() => hanging?.aborted === true, 'the cancellation of the work');
  });
});

test('a language model of the app writes the answers, as a text, a list or a generator', async () => {
  const reply = 'Dumplings on Fridays [1].';
  const seen: string[] = [];
  const models: LanguageModel['generate'][] = [
    () => reply,
    () => reply.split(/(?<= )/),
    async function* (request) {
      seen.push(request.messages.at(-1)?.content ?? '');
      assert.ok(request.maxTokens > 0);
      for (const piece of reply.split(/(?<= )/)) yield await after(1, piece);
      return { finishReason: 'length', usage: { promptTokens: 3, completionTokens: 4 } };
    },
  ];
  for (const generate of models) {
    await withRag({ embedder: 'none', model: { name: 'parrot', generate } }, async (rag) => {
      await rag.ingest(FOOD, { name: 'food.txt' }).done();
      let text = '';
      let answer;
      for await (const event of rag.ask(QUESTION)) {
        if (event.kind === 'text') text += event.text;
        if (event.kind === 'done') answer = event.answer;
      }
      assert.deepEqual([answer?.text, answer?.model, text], [reply, 'parrot', reply]);
    });
  }
  assert.match(seen[0] as string, /canteen/);
});

test('a model that fails midway is replaced by quotes that say so, and one that nobody reads is stopped', async () => {
  let ended = false;
  const failing: LanguageModel = {
    name: 'moody',
    async *generate() {
      yield 'Dump';
      throw new RangeError('out of ink');
    },
  };
  await withRag({ embedder: 'none', model: failing }, async (rag) => {
    await rag.ingest(FOOD, { name: 'food.txt' }).done();
    const answer = await rag.ask(QUESTION).done();
    assert.match(answer.why ?? '', /RangeError: out of ink/);
    assert.deepEqual([answer.model, answer.text.includes('dumplings')], [null, true], 'quotes stand in');
  });
  const endless: LanguageModel = {
    name: 'endless',
    async *generate(_, { signal }) {
      try {
        while (!signal.aborted) yield await after(1, 'and ');
      } finally {
        ended = true;
      }
    },
  };
  await withRag({ embedder: 'none', model: endless }, async (rag) => {
    await rag.ingest(FOOD, { name: 'food.txt' }).done();
    for await (const event of rag.ask(QUESTION)) if (event.kind === 'text') break;
    await until(() => ended, 'the end of the generator');
  });
});

test('a document reader of the app reads its own format', async () => {
  const reader: DocumentReader = {
    extensions: ['menu'],
    read: async (name, bytes) => {
      assert.equal(name, 'week.menu');
      const lines = new TextDecoder().decode(bytes).trim().split('\n');
      return lines.map((line) => ({ label: line.split(': ')[0] ?? null, text: line.split(': ')[1] ?? '' }));
    },
  };
  await withRag({ embedder: 'none', readers: [reader] }, async (rag) => {
    await rag.ingest(Buffer.from('Friday: The canteen serves dumplings.\nMonday: The canteen is closed.\n'), { name: 'week.menu' }).done();
    const answer = await rag.ask('What does the canteen serve?').done();
    assert.equal(answer.citations[0]?.section, 'Friday');
  });
  const broken: DocumentReader = { extensions: ['menu'], read: () => [{ label: 7, text: 8 } as never] };
  await withRag({ embedder: 'none', readers: [broken] }, async (rag) => {
    let code;
    for await (const event of rag.ingest(Buffer.from('x'), { name: 'week.menu' })) if (event.kind === 'document_failed') code = event.code;
    assert.equal(code, 'invalid_argument');
  }).catch((error: { code: string }) => assert.equal(error.code, 'invalid_argument'));
});
