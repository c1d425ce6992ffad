// Questions and answers.

import { events } from './api.js';
import { announce, bar, byId, el, failure } from './dom.js';
import { show } from './passage.js';

/** Messages that are sent along with a question. */
const HISTORY = 12;
const MARKS = /\[(\d+(?:\s*,\s*\d+)*)\]/g;

export function chat(current) {
  const form = byId('ask');
  const question = byId('question');
  const turns = byId('turns');
  const welcome = byId('welcome');
  let stopping;
  // What was said before, which a short question may be about; it goes with the page's turns.
  let history = [];

  const grow = () => {
    question.rows = Math.min(6, question.value.split('\n').length);
  };
  question.addEventListener('input', grow);
  question.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  byId('stop').addEventListener('click', () => stopping?.abort());

  const busy = (controller) => {
    stopping = controller;
    byId('send').hidden = Boolean(controller);
    byId('stop').hidden = !controller;
  };

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (!text || stopping) return;
    const base = current().name;
    const controller = new AbortController();
    busy(controller);
    question.value = '';
    grow();
    if (!welcome.hidden) history = [];
    welcome.hidden = true;
    const answer = el('p', { class: 'answer pending' }, 'Looking through the documents');
    const turn = el('article', { class: 'turn', 'aria-label': 'Question and answer' }, el('h2', { class: 'asked' }, text), answer);
    turns.append(turn);
    turn.scrollIntoView({ block: 'start' });
    announce('Looking through the documents');
    try {
      let written = '';
      await events(`/v1/knowledge/${encodeURIComponent(base)}/ask`, { question: text, history, stream: true }, controller.signal, (said) => {
        if (said.kind === 'text') {
          written += said.text;
          answer.textContent = written;
        } else if (said.kind === 'retracted') {
          // What was written so far does not count.
          written = '';
          answer.textContent = 'What was written does not stand in its sources; looking again';
        } else if (said.kind === 'done') {
          answer.replaceWith(...answered(base, said.answer));
          const turns = [{ role: 'user', content: text }, { role: 'assistant', content: said.answer.text }];
          history = [...history, ...turns].slice(-HISTORY);
          announce(said.answer.refused ? `Not answered. ${said.answer.text}` : `Answer. ${said.answer.text}`);
        }
      });
    } catch (error) {
      if (error.name === 'AbortError') {
        answer.replaceWith(el('p', { class: 'hint' }, 'Stopped.'));
        announce('Stopped');
      } else {
        answer.replaceWith(failure(error));
      }
    } finally {
      busy(undefined);
      question.focus();
    }
  });
}

function answered(base, answer) {
  if (answer.refused) {
    const said = answer.why && answer.text.endsWith(answer.why) ? answer.text.slice(0, -answer.why.length).trim() : answer.text;
    return [
      el(
        'div',
        { class: 'refusal' },
        el('h3', {}, said || 'This is not in your documents.'),
        answer.why ? el('p', {}, answer.why) : undefined,
        about(answer),
      ),
    ];
  }
  const cited = new Map(answer.citations.map((citation) => [String(citation.number), citation]));
  const sources = answer.citations.map((citation) =>
    el(
      'li',
      {},
      el(
        'button',
        { type: 'button', class: 'source', onclick: () => open(base, citation) },
        el('span', { class: 'number' }, String(citation.number)),
        el('span', { class: 'name' }, title(citation)),
        el('span', { class: 'quote' }, citation.quote),
      ),
    ),
  );
  return [
    el('p', { class: 'answer' }, ...pieces(base, answer.text, cited)),
    about(answer),
    el('ol', { class: 'sources', 'aria-label': 'Sources' }, ...sources),
  ];
}

const title = (citation) => (citation.locator ? `${citation.document} · ${citation.locator}` : citation.document);

function open(base, citation) {
  const { start, end } = citation.span;
  show(base, citation.document_id, { name: citation.document, place: citation.locator ?? '', from: start, to: end });
}

/** Whether the number stands in a source as it stands here, as the index of a name: `argv[1]`. */
function isIndex(text, match, cited) {
  const [name] = text.slice(0, match.index).match(/[\w.:$]+$/) ?? [''];
  return name !== '' && [...cited.values()].some((citation) => citation.quote.includes(name + match[0]));
}

/** The text, whose numbers in brackets are buttons where they stand for a source. */
function pieces(base, text, cited) {
  const all = [];
  let done = 0;
  for (const match of text.matchAll(MARKS)) {
    if (isIndex(text, match, cited)) continue;
    const numbers = match[1].split(',').map((number) => number.trim());
    if (!numbers.every((number) => cited.has(number))) continue;
    all.push(text.slice(done, match.index));
    for (const number of numbers) {
      const citation = cited.get(number);
      const label = `Source ${number}: ${title(citation)}`;
      all.push(
        el('button', { type: 'button', class: 'cite', 'aria-label': label, title: label, onclick: () => open(base, citation) }, number),
      );
    }
    done = match.index + match[0].length;
  }
  return [...all, text.slice(done)];
}

/** How well the documents support an answer, and who wrote it. */
function about(answer) {
  const writer = answer.model ? `written by ${answer.model}` : 'quoted from the documents';
  const why = answer.refused ? undefined : answer.why;
  return el(
    'div',
    { class: 'about' },
    bar(answer.support),
    el('span', {}, `support ${answer.support.toFixed(2)} of 1`),
    answer.refused ? undefined : el('span', {}, writer),
    why ? el('span', {}, why) : undefined,
    answer.note ? el('span', {}, answer.note) : undefined,
  );
}
