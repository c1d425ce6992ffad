// The page: its tabs, and which knowledge base it shows.

import { get } from './api.js';
import { chat } from './chat.js';
import { documents } from './documents.js';
import { announce, byId, counted, el, failure } from './dom.js';
import { show } from './passage.js';
import { search } from './search.js';
import { statistics } from './statistics.js';

const KEPT = 'kwaainet.knowledge';

let bases = [];
let base;
const current = () => base;

const refresh = {
  documents: documents(current, () => about()),
  statistics: statistics(current),
};
chat(current);
search(current);

const tabs = [...byId('tabs').children];

function choose(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute('aria-selected', String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    byId(other.getAttribute('aria-controls')).hidden = !chosen;
  }
  if (base) refresh[tab.id.slice('tab-'.length)]?.();
}

byId('tabs').addEventListener('click', (event) => {
  const tab = event.target.closest('[role="tab"]');
  if (tab) choose(tab);
});
byId('tabs').addEventListener('keydown', (event) => {
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  const tab = tabs[(to + tabs.length) % tabs.length];
  tab.focus();
  choose(tab);
});

/** Says on the first page what can be asked. */
async function about() {
  const { name } = base;
  try {
    const stats = await get(`/v1/knowledge/${encodeURIComponent(name)}`);
    if (name !== base.name) return;
    base = stats;
  } catch {
    return;
  }
  byId('welcome-text').textContent =
    base.documents === 0
      ? 'There are no documents yet. Bring some under Documents, then ask.'
      : `${name} holds ${counted(base.documents, 'document')} in ${counted(base.chunks, 'passage')}. Answers say where each statement stands; what is not in the documents is not answered.`;
}

function use(name) {
  base = bases.find((other) => other.name === name) ?? bases[0];
  sessionStorage.setItem(KEPT, base.name);
  byId('base').value = base.name;
  document.title = `${base.name} · kwaainet`;
  byId('turns').replaceChildren(byId('welcome'));
  byId('welcome').hidden = false;
  byId('uploads').replaceChildren();
  for (const id of ['documents', 'hits', 'statistics']) byId(id).replaceChildren();
  about();
  choose(tabs.find((tab) => tab.getAttribute('aria-selected') === 'true'));
}

byId('base').addEventListener('change', (event) => {
  use(event.target.value);
  announce(`${base.name} is shown`);
});

/** Opens the passage that the address names, as citations in other programs do. */
function follow() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const name = asked.get('knowledge');
  if (name !== null && bases.some((other) => other.name === name) && name !== base.name) use(name);
  const id = asked.get('document');
  if (id) show(base.name, id, { from: Number(asked.get('from')) || 0, to: Number(asked.get('to')) || 0 });
}

async function start() {
  try {
    bases = (await get('/v1/knowledge')).data;
  } catch (error) {
    byId('panels').replaceChildren(el('section', { class: 'panel' }, failure(error, 'The knowledge bases cannot be listed')));
    return;
  }
  byId('base').replaceChildren(...bases.map(({ name }) => el('option', { value: name }, name)));
  byId('bases').hidden = bases.length < 2;
  use(sessionStorage.getItem(KEPT) ?? bases[0].name);
  addEventListener('hashchange', follow);
  follow();
}

start();
