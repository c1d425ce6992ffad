// Documents: brought, listed, shown and deleted.

import { get, remove, upload } from './api.js';
import { announce, byId, bytes, count, counted, el, failure } from './dom.js';
import { show } from './passage.js';

export function documents(current, changed) {
  const place = byId('documents');
  const uploads = byId('uploads');
  const drop = byId('drop');
  const files = byId('files');
  const path = (base, id) => {
    const all = `/v1/knowledge/${encodeURIComponent(base)}/documents`;
    return id === undefined ? all : `${all}/${encodeURIComponent(id)}`;
  };
  let waiting = Promise.resolve();

  async function refresh() {
    const base = current().name;
    try {
      const { data } = await get(path(base));
      if (base === current().name) place.replaceChildren(listed(base, data));
    } catch (error) {
      place.replaceChildren(failure(error, 'The documents cannot be listed'));
    }
  }

  function listed(base, all) {
    if (all.length === 0) return el('p', { class: 'hint' }, 'There are no documents yet.');
    const head = ['Document', 'Format', 'Size', 'Passages', 'Added', 'Delete'];
    const classes = [undefined, 'wide', 'count', 'count', 'wide', undefined];
    return el(
      'div',
      { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Documents' },
      el(
        'table',
        {},
        el('caption', { class: 'sr-only' }, counted(all.length, 'document')),
        el('thead', {}, el('tr', {}, ...head.map((name, index) => el('th', { scope: 'col', class: classes[index] }, name)))),
        el('tbody', {}, ...all.map((document) => row(base, document))),
      ),
    );
  }

  function row(base, document) {
    const added = new Date(document.ingested_at_ms);
    return el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        el('button', { type: 'button', class: 'plain', onclick: () => show(base, document.id, { name: document.name }) }, document.name),
        metadata(document.metadata),
        warnings(document.warnings),
      ),
      el('td', { class: 'wide' }, document.format),
      el('td', { class: 'count' }, bytes(document.bytes)),
      el('td', { class: 'count' }, count(document.chunks)),
      el('td', { class: 'wide' }, el('time', { datetime: added.toISOString() }, added.toLocaleDateString())),
      el(
        'td',
        {},
        el('button', { type: 'button', class: 'danger', 'aria-label': `Delete ${document.name}`, onclick: () => ask(base, document) }, 'Delete'),
      ),
    );
  }

  function ask(base, document) {
    const dialog = byId('confirm');
    byId('confirm-text').textContent = `${document.name} and everything found in it are removed from the knowledge base.`;
    byId('confirm-no').onclick = () => dialog.close('no');
    byId('confirm-yes').onclick = () => dialog.close('yes');
    dialog.returnValue = 'no';
    dialog.onclose = async () => {
      if (dialog.returnValue !== 'yes') return;
      try {
        await remove(path(base, document.id));
        announce(`${document.name} was deleted`);
      } catch (error) {
        announce(`${document.name} was not deleted: ${error.message}`);
        place.prepend(failure(error, `${document.name} was not deleted`));
        return;
      }
      await refresh();
      changed();
      // The button that had the focus is gone.
      (place.querySelector('.scroll') ?? files).focus();
    };
    dialog.showModal();
    byId('confirm-no').focus();
  }

  function take(list) {
    const base = current();
    for (const file of list) {
      const line = item(file);
      uploads.prepend(line.node);
      // One after the other, as they are stored.
      waiting = waiting.then(() => bring(base, file, line));
    }
  }

  function item(file) {
    const progress = el('progress', { max: 1, value: 0, 'aria-label': `Upload of ${file.name}` });
    const state = el('span', { class: 'hint' }, 'waiting');
    const node = el('li', {}, el('span', { class: 'name' }, file.name), progress, state);
    return { node, progress, state };
  }

  async function bring(base, file, { node, progress, state }) {
    const say = (text) => {
      state.textContent = text;
    };
    const finish = (text, failed) => {
      progress.remove();
      say(text);
      state.classList.toggle('failed', Boolean(failed));
      announce(`${file.name}: ${text}`);
    };
    if (file.size > base.max_upload_bytes) {
      finish(`not taken: it has ${bytes(file.size)}, and this server takes at most ${bytes(base.max_upload_bytes)}`, true);
      return;
    }
    announce(`${file.name} is being uploaded`);
    const sent = (share) => {
      progress.value = share;
      say(share < 1 ? `uploading, ${Math.round(share * 100)} %` : 'reading');
    };
    let document;
    try {
      await upload(`${path(base.name)}?name=${encodeURIComponent(file.name)}`, file, sent, (event) => {
        if (event.object === 'document') document = event;
        else if (event.kind === 'reading') progress.removeAttribute('value');
        else if (event.kind === 'embedded') {
          progress.value = event.total > 0 ? event.done / event.total : 1;
          say(`reading, ${count(event.done)} of ${counted(event.total, 'passage')}`);
        }
      });
      if (!document) throw new Error('the server did not say what became of it');
    } catch (error) {
      finish(`not taken: ${error.message}`, true);
      return;
    }
    const passages = counted(document.chunks, 'passage');
    finish(document.outcome === 'unchanged' ? `was there already, with ${passages}` : `taken, with ${passages}`);
    const more = warnings(document.warnings);
    if (more) node.append(more);
    await refresh();
    changed();
  }

  files.addEventListener('change', () => {
    take([...files.files]);
    files.value = '';
  });
  for (const name of ['dragenter', 'dragover']) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add('over');
    });
  }
  for (const name of ['dragleave', 'drop']) drop.addEventListener(name, () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
  return refresh;
}

function metadata(all) {
  const pairs = Object.entries(all);
  if (pairs.length === 0) return undefined;
  return el('ul', { class: 'metadata', 'aria-label': 'Metadata' }, ...pairs.map(([key, value]) => el('li', {}, `${key}: ${value}`)));
}

function warnings(all) {
  if (all.length === 0) return undefined;
  return el('ul', { class: 'warnings', 'aria-label': 'Warnings' }, ...all.map((text) => el('li', {}, text)));
}
