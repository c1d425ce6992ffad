// What a knowledge base holds, in numbers and pictures.

import { get } from './api.js';
import { byId, bytes, count, counted, el, failure, svg } from './dom.js';

/** Bars of one picture. */
const MOST = 10;
const WIDTH = 340;
const ROW = 38;
const MODES = { hybrid: 'by words and by meaning', lexical: 'by words', dense: 'by meaning' };

export function statistics(current) {
  const place = byId('statistics');
  return async () => {
    const path = `/v1/knowledge/${encodeURIComponent(current().name)}`;
    try {
      const [stats, { data }] = await Promise.all([get(path), get(`${path}/documents`)]);
      place.replaceChildren(view(stats, data));
    } catch (error) {
      place.replaceChildren(failure(error, 'The statistics cannot be read'));
    }
  };
}

function view(stats, documents) {
  const size = documents.reduce((sum, document) => sum + document.bytes, 0);
  const tile = (name, value) => el('div', { class: 'tile' }, el('dt', {}, name), el('dd', {}, value));
  const fact = (name, value) => (value ? [el('dt', {}, name), el('dd', {}, value)] : []);
  const embedder = stats.embedder ? `${stats.embedder.id}, ${counted(stats.embedder.dimension, 'dimension')}` : 'none';
  const formats = new Map();
  for (const { format } of documents) formats.set(format, (formats.get(format) ?? 0) + 1);
  const by = (a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1);
  const passages = documents.map((document) => [document.name, document.chunks]).sort(by);
  return el(
    'div',
    { class: 'panel-body' },
    el(
      'dl',
      { class: 'tiles' },
      tile('documents', count(stats.documents)),
      tile('passages', count(stats.chunks)),
      tile('vectors', count(stats.vectors)),
      tile('of files', bytes(size)),
    ),
    el(
      'dl',
      { class: 'facts' },
      ...fact('Searches', MODES[stats.mode]),
      ...fact('Together', stats.mode === 'hybrid' ? `meaning counts ${Math.round(stats.dense_weight * 100)} %, words the rest` : undefined),
      ...fact('Embedder', embedder),
      ...fact('Answers are', stats.language_model ? `written by ${stats.language_model}` : 'quoted from the documents'),
      ...fact('Changed', counted(stats.generation, 'time')),
      ...fact('Note', stats.note),
    ),
    documents.length > 0
      ? el(
          'div',
          { class: 'charts' },
          chart('Documents by format', [...formats].sort(by), 'document'),
          chart('Passages per document', passages, 'passage'),
        )
      : undefined,
  );
}

/** Bars that lie, each under its name and number. */
function chart(title, all, unit) {
  const rows = all.slice(0, MOST);
  const most = Math.max(...rows.map(([, value]) => value), 1);
  const rest = all.length - rows.length;
  const said = rows.map(([name, value]) => `${name}: ${counted(value, unit)}`).join('; ');
  const bars = rows.flatMap(([name, value], index) => {
    const top = index * ROW;
    return [
      svg('text', { x: 0, y: top + 13 }, name.length > 42 ? `${name.slice(0, 41)}…` : name),
      svg('text', { x: WIDTH, y: top + 13, 'text-anchor': 'end', class: 'soft' }, count(value)),
      svg('rect', { class: 'value', x: 0, y: top + 19, width: Math.max(2, (value / most) * WIDTH), height: 9, rx: 4.5 }),
    ];
  });
  return el(
    'figure',
    { class: 'chart' },
    el('figcaption', {}, title),
    svg('svg', { viewBox: `0 0 ${WIDTH} ${rows.length * ROW}`, role: 'img', 'aria-label': `${title}. ${said}` }, ...bars),
    rest > 0 ? el('p', { class: 'hint' }, `and ${count(rest)} more`) : undefined,
  );
}
