// Searches, with the reasons for each place.

import { get, post } from './api.js';
import { announce, bar, byId, counted, el, failure, ordinal } from './dom.js';
import { show } from './passage.js';

export function search(current) {
  const form = byId('search');
  const place = byId('hits');
  // What was asked for last is shown, whichever answer comes last.
  let latest = 0;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const query = byId('query').value.trim();
    if (!query) return;
    const base = current().name;
    const path = `/v1/knowledge/${encodeURIComponent(base)}`;
    const mode = new FormData(form).get('mode');
    announce('Searching');
    const turn = (latest += 1);
    const outdated = () => turn !== latest || current().name !== base;
    try {
      const [result, stats] = await Promise.all([post(`${path}/search`, { query, mode, k: 10 }), get(path)]);
      if (outdated()) return;
      place.replaceChildren(...found(base, result, stats.dense_weight));
      announce(`${counted(result.hits.length, 'passage')} found`);
    } catch (error) {
      if (outdated()) return;
      place.replaceChildren(failure(error, 'The search failed'));
    }
  });
}

function found(base, result, weight) {
  const note = result.note ? el('p', { class: 'hint' }, result.note) : undefined;
  if (result.hits.length === 0) return [note, el('p', {}, 'Nothing was found.')].filter(Boolean);
  const best = Math.max(...result.hits.map((hit) => hit.lexical?.score ?? 0), Number.MIN_VALUE);
  return [
    note,
    el('ol', { class: 'hits', 'aria-label': 'Passages found, the best first' }, ...result.hits.map((hit) => line(base, hit, result.mode, best, weight))),
  ].filter(Boolean);
}

function line(base, hit, mode, best, weight) {
  const { start, end } = hit.span;
  const open = () => show(base, hit.document_id, { name: hit.document, place: hit.locator ?? '', from: start, to: end });
  return el(
    'li',
    { class: 'hit' },
    el(
      'div',
      { class: 'hit-head' },
      el('h3', {}, el('button', { type: 'button', class: 'plain', onclick: open }, hit.document)),
      hit.locator ? el('span', { class: 'hint' }, hit.locator) : undefined,
    ),
    el('blockquote', {}, hit.text),
    el('ul', { class: 'scores', 'aria-label': 'Why it stands here' }, ...reasons(hit, mode, best, weight)),
  );
}

function reasons(hit, mode, best, weight) {
  const reason = (what, shape, says) => el('li', {}, el('span', { class: 'what' }, what), shape, el('span', { class: 'says' }, says));
  const all = [];
  if (mode !== 'dense') {
    const rank = hit.lexical;
    const says = rank ? `${ordinal(rank.rank)} by its words, BM25 ${rank.score.toFixed(2)}` : 'not among the first by its words';
    all.push(reason('Words', bar((rank?.score ?? 0) / best), says));
  }
  if (mode !== 'lexical') {
    const rank = hit.dense;
    const says = rank ? `${ordinal(rank.rank)} by its meaning, cosine ${rank.score.toFixed(2)} of 1` : 'not among the first by its meaning';
    all.push(reason('Meaning', bar(rank?.score ?? 0), says));
  }
  if (mode === 'hybrid') {
    const share = Math.round(weight * 100);
    const says = `${hit.score.toFixed(2)}: ${100 - share} % for its words, against the most that the question allows, and ${share} % for its meaning`;
    all.push(reason('Together', bar(hit.score, true), says));
  }
  return all;
}
