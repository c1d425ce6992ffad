// A document in a panel, with the cited passage marked.

import { get } from './api.js';
import { byId, counted, el, failure } from './dom.js';

/** Bytes of a document that are shown before and after a passage, and with each step further. */
const REACH = 60_000;

const panel = byId('passage');
const text = byId('passage-text');

byId('passage-close').addEventListener('click', () => panel.close());
panel.addEventListener('click', (event) => {
  if (event.target === panel) panel.close();
});

/** Counts what was opened, so that a document that comes late replaces no later one. */
let opened = 0;

const inside = (byte) => (byte & 0xc0) === 0x80;

/** A place between two characters, not after `place`. */
function boundary(bytes, place) {
  let at = Math.max(0, Math.min(bytes.length, place));
  while (at > 0 && at < bytes.length && inside(bytes[at])) at -= 1;
  return at;
}

function render(bytes, from, to, low, high) {
  const said = (start, end) => new TextDecoder().decode(bytes.subarray(start, end));
  const further = (label, lower, upper) =>
    el('button', { type: 'button', class: 'plain', onclick: () => render(bytes, from, to, lower, upper) }, label);
  const mark = to > from ? el('mark', { tabindex: -1 }, said(from, to)) : undefined;
  text.replaceChildren(
    ...[
      low > 0 ? further('Show what comes before', boundary(bytes, low - REACH), high) : undefined,
      low > 0 ? el('br') : undefined,
      said(low, from),
      mark,
      said(to, high),
      high < bytes.length ? el('br') : undefined,
      high < bytes.length ? further('Show what comes after', low, boundary(bytes, high + REACH)) : undefined,
    ].filter(Boolean),
  );
  (mark ?? text).focus();
  if (mark) mark.scrollIntoView({ block: 'center' });
  else text.scrollTop = 0;
}

/** Opens a document of a knowledge base, at the bytes from one place to another where there are such. */
export async function show(base, id, { name = '', place = '', from = 0, to = 0 } = {}) {
  byId('passage-title').textContent = name;
  byId('passage-place').textContent = place;
  text.replaceChildren('Opening…');
  if (!panel.open) panel.showModal();
  const turn = (opened += 1);
  try {
    const document = await get(`/v1/knowledge/${encodeURIComponent(base)}/documents/${encodeURIComponent(id)}`);
    if (turn !== opened) return;
    const bytes = new TextEncoder().encode(document.text);
    const start = boundary(bytes, from);
    const end = Math.max(start, boundary(bytes, to));
    byId('passage-title').textContent = document.name;
    byId('passage-place').textContent = place || counted(document.chunks, 'passage');
    render(bytes, start, end, boundary(bytes, start - REACH), boundary(bytes, end + REACH));
  } catch (error) {
    if (turn !== opened) return;
    text.replaceChildren(failure(error, 'The document cannot be shown'));
  }
}
