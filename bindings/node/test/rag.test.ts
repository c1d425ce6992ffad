import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { Calibration, Evaluation, Node, Rag, ShardEngine, checkCitations } from 'kwaainet';

import { MODEL, ROOT, fails, leavesNothingBehind, withFolder } from './support.js';

leavesNothingBehind();

const HANDBOOK = '# Keys\n\nThe key of a node is kept in the file identity.key.\n\n# Food\n\nThe canteen serves soup on Tuesdays and dumplings on Fridays.\n';

test('a folder is read, searched and cited', async () => {
  await withFolder(async (folder) => {
    const documents = path.join(folder, 'documents');
    mkdirSync(documents);
    writeFileSync(path.join(documents, 'handbook.md'), HANDBOOK);
    writeFileSync(path.join(documents, 'notes.txt'), 'The meeting about the budget was moved to Thursday at nine.');
    writeFileSync(path.join(documents, 'broken.pdf'), '%PDF-1.7 this is none');
    await using rag = await Rag.open(path.join(folder, 'kb'), { embedder: 'none' });
    const events = [];
    for await (const event of rag.ingest(documents)) events.push(event);
    assert.deepEqual(events[0], { kind: 'found', files: 3 });
    const failed = events.find((event) => event.kind === 'document_failed');
    assert.equal(failed?.name, 'broken.pdf');
    assert.deepEqual(events.at(-1), { kind: 'finished', ingested: 2, unchanged: 0, failed: 1, chunks: 2 });
    const stats = await rag.stats();
    assert.deepEqual([stats.documents, stats.mode, stats.embedder], [2, 'lexical', null]);
    const listed = await rag.documents();
    assert.deepEqual(listed.map((document) => document.name), ['handbook.md', 'notes.txt']);
    assert.ok(listed.every((document) => Math.abs(document.ingestedAt.getTime() - Date.now()) < 60_000));
    const { hits } = await rag.search('dumplings', { k: 1 });
    const [hit] = hits;
    assert.ok(hit);
    const bytes = Buffer.from(await rag.documentText(hit.documentId));
    assert.equal(bytes.subarray(hit.span.start, hit.span.end).toString(), hit.text);
    const answer = await rag.ask('What does the canteen serve on Fridays?').done();
    assert.ok(!answer.refused && answer.text.includes('dumplings') && answer.text.includes('[1]'));
    assert.equal(answer.citations[0]?.document, 'handbook.md');
    const refusal = await rag.ask('Who invented the telescope?').done();
    assert.ok(refusal.refused && refusal.why);
    await rag.deleteDocument(hit.documentId);
    await fails('not_found', () => rag.documentText(hit.documentId));
    assert.equal((await rag.stats()).documents, 1);
  });
});

test('the documents of this project are cited by section, with meaning where an embedding model was fetched', async () => {
  await withFolder(async (folder) => {
    await using rag = await Rag.open(folder);
    const totals = await rag.ingest(path.join(ROOT, 'examples', 'data', 'field-note.pdf')).done();
    assert.equal(totals.ingested, 1);
    await rag.ingest(path.join(ROOT, 'docs', 'trust.md')).done();
    const { embedder, mode } = await rag.stats();
    assert.equal(mode, embedder === null ? 'lexical' : 'hybrid');
    const found = await rag.search('At which score does a peer become Trusted?', { k: 3 });
    assert.equal(found.mode, mode);
    assert.equal(found.hits[0]?.document, 'trust.md');
    assert.equal(found.hits[0].dense === null, embedder === null);
  });
});

test('a calibrated knowledge base answers as many questions as are tolerated', async () => {
  const question = 'What does the canteen serve on Fridays?';
  await withFolder(async (folder) => {
    await using rag = await Rag.open(path.join(folder, 'kb'), { embedder: 'none' });
    await rag.ingest(Buffer.from(HANDBOOK), { name: 'handbook.md' }).done();
    await fails('conflict', () => rag.ask(question, { maxUnsupported: 0.2 }).done());
    const [handbook] = await rag.documents();
    assert.ok(handbook);
    const others = ['Faust', 'Emma', 'Ulysses', 'Dracula'].map((book) => ({ question: `Who wrote ${book}?` }));
    const calibration = await rag.calibrate({ questions: [{ question, documents: [handbook.id] }, ...others] });
    assert.ok(calibration instanceof Calibration && !calibration.fromPassages);
    assert.deepEqual([calibration.answerable.length, calibration.unanswerable.length], [1, 5]);
    assert.equal(calibration.generation, (await rag.stats()).generation);
    assert.deepEqual([calibration.threshold(0.1), calibration.answered(0.1)], [null, 0]);
    assert.equal(calibration.threshold(0.2), Math.max(...calibration.unanswerable));
    assert.deepEqual([calibration.answered(0.2), calibration.auroc], [1, 1]);
    assert.equal((await rag.ask(question, { maxUnsupported: 0.2 }).done()).refused, false);
    assert.equal((await rag.ask(question, { maxUnsupported: 0.1 }).done()).refused, true);
    assert.ok((await rag.calibrate({ mode: 'lexical', k: 4 })).fromPassages);
    await fails('invalid_argument', async () => calibration.threshold(1.5));
    await fails('invalid_argument', async () => calibration.answered(NaN));
  });
  const kept = new Calibration({ answerable: [0.9, 0.2], unanswerable: [0.5, 0.1, 0.2], fromPassages: false, generation: 0 });
  assert.deepEqual([kept.threshold(0.5), kept.answered(0.5), kept.auroc], [0.2, 0.5, 4.5 / 6]);
});

test('an evaluation takes what search and ask take, and keys of metadata stay as they are written', async () => {
  await withFolder(async (folder) => {
    await using rag = await Rag.open(path.join(folder, 'kb'), { embedder: 'none', cache: { answers: 3, ttlMs: 60_000, similarity: 1 } });
    await rag.ingest(Buffer.from(HANDBOOK), { name: 'handbook.md', metadata: { camelCase: 'kept' } }).done();
    assert.deepEqual((await rag.documents())[0]!.metadata, { camelCase: 'kept' });
    const found = await rag.search('canteen', { k: 1, neighbours: 1, timed: true, metadata: { camelCase: 'kept' }, names: ['hand*'] });
    assert.ok(found.hits[0]!.around!.text.includes(found.hits[0]!.text) && found.timings!.totalMs > 0);
    const questions = [
      { question: 'What does the canteen serve on Fridays?', documents: ['handbook.md'], expectedKeywords: ['dumplings', ['food', 'Fridays']] },
      { id: 'none', question: 'What is the capital of Mongolia?', unanswerable: true },
    ];
    const plain = await rag.evaluate(questions, { name: 'plain' });
    assert.ok(plain instanceof Evaluation && plain.means['mrr']!.value === 1 && plain.questions[1]!.id === 'none');
    const other = await rag.evaluate(questions, { search: { metadata: { camelCase: 'other' } }, ask: { k: 4 } });
    assert.deepEqual([other.means['mrr']!.value, other.means['keywords']!.value], [0, 1]);
    assert.equal(other.compare(plain)['mrr']!.mean.value, -1);
    assert.ok(other.toMarkdown().includes('| mrr | 0.000 |') && other.toHtml(plain).includes('Against plain'));
    assert.equal(JSON.parse(plain.toJson()).means.mrr.value, 1);
    assert.equal((await rag.cacheStats()).answers, 2);
    await rag.cacheClear();
    assert.equal((await rag.cacheStats()).answers, 0);
    await fails('invalid_argument', () => rag.evaluate(questions, { search: { k: 3 } as never }));
    await fails('invalid_argument', () => rag.evaluate(questions, { ask: { minSupport: 'much' } as never }));
    await fails('unsupported', () => rag.search('canteen', { wordings: 1 }));
  });
});

test('a search looks where and when it was told, and a question follows the one before', async () => {
  await withFolder(async (folder) => {
    await using rag = await Rag.open(path.join(folder, 'kb'), { embedder: 'none' });
    await rag.ingest(Buffer.from(HANDBOOK), { name: 'handbook.md' }).done();
    await rag.ingest(Buffer.from('The budget stands in a file.'), { name: 'notes.txt' }).done();
    const [handbook, notes] = await rag.documents();
    assert.ok(handbook && notes);
    const found = async (options: Parameters<Rag['search']>[1]) => (await rag.search('file', options)).hits.map((hit) => hit.document);
    assert.deepEqual((await found({ links: true, diversity: 0.5, denseWeight: 0.5 })).sort(), ['handbook.md', 'notes.txt']);
    assert.deepEqual(await found({ documents: [notes.id] }), ['notes.txt']);
    const soon = notes.ingestedAt.getTime() + 3_600_000;
    assert.deepEqual([(await found({ sinceMs: soon })).length, (await found({ beforeMs: soon })).length], [0, 2]);
    const earlier = notes.ingestedAt.getTime() - 3_600_000;
    assert.deepEqual([(await found({ sinceMs: earlier })).length, (await found({ beforeMs: earlier })).length], [2, 0]);
    const history = [{ role: 'user', content: 'What does the canteen serve on Tuesdays?' }, { role: 'assistant', content: 'Soup [1].' }] as const;
    assert.ok((await rag.ask('How often?').done()).refused);
    const answer = await rag.ask('How often?', { history, documents: [handbook.id], links: false }).done();
    assert.ok(!answer.refused && answer.text.includes('dumplings'));
    await fails('not_found', () => rag.search('file', { documents: ['0'.repeat(32)] }));
  });
});

test('citations that do not hold are told by their bytes', async () => {
  const sources = ['Die Brücke öffnet um sechs Uhr morgens.', 'Sie ist grün.'];
  assert.deepEqual(checkCitations('Die Brücke öffnet um sechs Uhr morgens [1].', sources), []);
  const text = 'Fünf! Die Brücke öffnet um sechs Uhr morgens [2].';
  const [fault, ...rest] = checkCitations(text, sources);
  assert.ok(fault && rest.length === 0);
  assert.deepEqual([fault.kind, fault.cited, fault.foundIn], ['misattributed', [2], 1]);
  assert.ok(Buffer.from(text).subarray(fault.span.start, fault.span.end).toString().startsWith('Die Brücke'));
  await fails('invalid_argument', async () => checkCitations(3 as never, []));
});

test('a document from memory is read once, and what another holds is busy', async () => {
  await withFolder(async (folder) => {
    const dir = path.join(folder, 'kb');
    const rag = await Rag.open(dir, { embedder: 'none', chunking: { strategy: 'paragraph', size: 400 }, language: 'english' });
    const bytes = Buffer.from(`--${HANDBOOK}`).subarray(2);
    assert.deepEqual(await rag.ingest(bytes, { name: 'handbook.md' }).done(), { ingested: 1, unchanged: 0, failed: 0, chunks: 1 });
    assert.equal((await rag.ingest(new Uint8Array(bytes), { name: 'handbook.md' }).done()).unchanged, 1);
    let text = '';
    for await (const event of rag.ask('In which file is the key of a node kept?')) if (event.kind === 'text') text += event.text;
    assert.match(text, /identity\.key/);
    await fails('busy', () => Rag.open(dir, { embedder: 'none' }));
    await rag.shutdown();
    await fails('closed', () => rag.stats());
    const again = await Rag.open(dir, { embedder: 'none' });
    assert.equal((await again.stats()).documents, 1);
    await again.destroy();
    assert.throws(() => readFileSync(dir), { code: 'ENOENT' });
  });
});

test('a folder is followed until the loop is left', async () => {
  await withFolder(async (folder) => {
    const documents = path.join(folder, 'documents');
    mkdirSync(documents);
    writeFileSync(path.join(documents, 'handbook.md'), HANDBOOK);
    writeFileSync(path.join(documents, 'notes.txt'), 'The meeting about the budget was moved to Thursday at nine.');
    await using rag = await Rag.open(path.join(folder, 'kb'), { embedder: 'none' });
    const totals = await rag.sync(documents, { extensions: ['md', 'txt'] }).done();
    assert.deepEqual(totals, { added: 2, changed: 0, moved: 0, deleted: 0, missing: 0, unchanged: 0, failed: 0 });
    for await (const event of rag.sync(documents, { delete: true, watch: true })) {
      if (event.kind === 'watching') renameSync(path.join(documents, 'notes.txt'), path.join(documents, 'minutes.txt'));
      if (event.kind === 'moved' && event.before === 'notes.txt') rmSync(path.join(documents, 'handbook.md'));
      if (event.kind === 'deleted' && event.name === 'handbook.md') break;
    }
    assert.deepEqual((await rag.documents()).map((document) => document.name), ['minutes.txt']);
    await fails('invalid_argument', () => rag.sync(documents, { watch: true, intervalMs: 0 }).done());
    await fails('invalid_argument', () => rag.sync(documents, { extensions: ['exe'] }).done());
    await fails('not_found', () => rag.sync(path.join(folder, 'nowhere')).done());
  });
});

const letters = (dimension: number) => ({
  id: `letters-${dimension}`,
  dimension,
  embed: (texts: string[]) => texts.map((text) => Float32Array.from({ length: dimension }, (_, at) => [...text].filter((letter) => letter.charCodeAt(0) % dimension === at).length)),
});

test('a knowledge base gets another embedder', async () => {
  await withFolder(async (folder) => {
    const dir = path.join(folder, 'kb');
    {
      await using rag = await Rag.open(dir, { embedder: letters(8) });
      await rag.ingest(Buffer.from('The meeting was moved to Thursday at nine.'), { name: 'notes.txt' }).done();
      const events = [];
      for await (const event of rag.reembed(letters(16))) events.push(event);
      assert.deepEqual(events, [
        { kind: 'found', passages: 1, done: 0 },
        { kind: 'embedded', done: 1, total: 1 },
        { kind: 'finished', passages: 1, embedded: 1 },
      ]);
      assert.deepEqual((await rag.stats()).embedder, { id: 'letters-16', dimension: 16 });
      await fails('invalid_argument', () => rag.reembed('none').done());
      await fails('invalid_argument', () => rag.reembed({ baseUrl: 'http://127.0.0.1:9', model: 'm', dimension: 0 }).done());
    }
    await fails('conflict', () => Rag.open(dir, { embedder: letters(8) }));
    await using rag = await Rag.open(dir, { embedder: letters(16) });
    assert.deepEqual(await rag.reembed(letters(16)).done(), { passages: 1, embedded: 0 });
  });
});

test('the vectors of a knowledge base are kept elsewhere', async () => {
  await withFolder(async (folder) => {
    const dir = path.join(folder, 'kb');
    await using node = await Node.start({ preset: 'ephemeral', listen: [] });
    await node.vpk().host(2 ** 24);
    await using collection = await node.vpk().create('kb', 8, 'plain', ['here']);
    {
      await using rag = await Rag.open(dir, { embedder: letters(8) });
      await rag.ingest(Buffer.from('The meeting was moved to Thursday at nine.'), { name: 'notes.txt' }).done();
      await using short = await node.vpk().create('short', 4, 'plain', ['here']);
      await fails('invalid_argument', () => rag.outsource(short).done());
      await fails('invalid_argument', () => rag.outsource({} as never).done());
      const events = [];
      for await (const event of rag.outsource(collection)) events.push(event);
      assert.deepEqual(events, [
        { kind: 'found', passages: 1, done: 0 },
        { kind: 'brought', done: 1, total: 1 },
        { kind: 'finished', passages: 1, brought: 1 },
      ]);
      assert.deepEqual((await rag.stats()).outsourced, { collection: collection.id, attached: true, complete: true, waiting: 0 });
      assert.equal((await rag.search('a meeting', { mode: 'dense' })).hits[0]?.document, 'notes.txt');
    }
    await using rag = await Rag.open(dir, { embedder: letters(8) });
    await fails('conflict', () => rag.search('a meeting', { mode: 'dense' }));
    assert.equal((await rag.search('a meeting', { mode: 'lexical' })).hits.length, 1);
    assert.deepEqual(await rag.outsource(collection).done(), { passages: 1, brought: 0 });
    assert.equal((await rag.search('a meeting', { mode: 'dense' })).hits.length, 1);
  });
});

test('leaving an ingestion early stops between documents', async () => {
  await withFolder(async (folder) => {
    for (let at = 0; at < 60; at += 1) writeFileSync(path.join(folder, `note-${at}.txt`), `Note ${at}. ${'More words. '.repeat(400)}`);
    await using rag = await Rag.open(path.join(folder, '.kb'), { embedder: 'none' });
    for await (const event of rag.ingest(folder)) if (event.kind === 'document_done') break;
    const { documents } = await rag.stats();
    assert.ok(documents < 60, `${documents} documents were read`);
    assert.equal((await rag.ingest(folder).done()).failed, 0);
    assert.equal((await rag.stats()).documents, 60);
  });
});

test('foolish arguments are errors', async () => {
  await withFolder(async (folder) => {
    await using rag = await Rag.open(path.join(folder, 'kb'), { embedder: 'none' });
    const any = rag as any;
    await fails('not_found', () => rag.ingest(path.join(folder, 'nowhere')).done());
    for (const source of [undefined, null, 7, {}, '', 'a\0b', '\ud800']) await fails('invalid_argument', () => any.ingest(source).done());
    await fails('invalid_argument', () => rag.ask('').done());
    for (const question of [null, 7, '\ud800']) await fails('invalid_argument', () => any.ask(question).done());
    for (const options of [{ k: -1 }, { k: 1e9 * 1e9 }, { mode: 'psychic' }, { minSupport: NaN }, { maxTokens: 1.5 }, 7]) {
      await fails('invalid_argument', () => any.ask('What?', options).done());
    }
    for (const options of [{ k: -1 }, { k: NaN }, { mode: 'psychic' }]) await fails('invalid_argument', () => any.search('x', options));
    await fails('unsupported', () => rag.search('x', { mode: 'dense' }));
    const other = path.join(folder, 'other');
    await fails('not_found', () => Rag.open(other, { embedder: path.join(folder, 'nowhere') }));
    for (const options of [{ chunking: { sise: 3 } }, { chunking: { size: -3 } }, { language: 'klingon' }, { model: {} }, { model: 7 },
      { embedder: 7 }, { embedder: {} }, { readers: 7 }, { readers: [{}] }]) {
      await fails('invalid_argument', () => Rag.open(other, { embedder: 'none', ...options } as never));
    }
    await fails('invalid_argument', () => Rag.open(null as never));
  });
});

test('a node has knowledge bases under their names', async () => {
  await using node = await Node.start({ preset: 'ephemeral', listen: [] });
  const rag = await node.rag('handbook', { embedder: 'none' });
  await rag.ingest(Buffer.from(HANDBOOK), { name: 'handbook.md' }).done();
  assert.equal((await (await node.rag('handbook', { embedder: 'none' })).stats()).documents, 1);
  assert.equal((await (await node.rag('other', { embedder: 'none' })).stats()).documents, 0);
  await fails('invalid_argument', () => node.rag('../escape', { embedder: 'none' }));
  await node.shutdown();
  await fails('closed', () => rag.stats());
});

test('a model of a shard engine writes the answers of a knowledge base', async () => {
  await withFolder(async (folder) => {
    await using engine = await ShardEngine.open();
    await using model = await engine.load(MODEL);
    await using rag = await Rag.open(folder, { embedder: 'none', model: { engine, model } });
    await rag.ingest(Buffer.from('The canteen serves dumplings on Fridays.'), { name: 'food.txt' }).done();
    assert.ok((await rag.stats()).languageModel);
    const answer = await rag.ask('What does the canteen serve on Fridays?').done();
    assert.ok(!answer.refused && answer.text.includes('dumplings'));
  });
});
