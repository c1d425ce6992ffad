// Requests to the server that this page came from.

import { byId } from './dom.js';

const KEPT = 'kwaainet.token';

let asking;

function headers(more = {}) {
  const token = sessionStorage.getItem(KEPT);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

/** What the server said instead of an answer. */
export class Refusal extends Error {
  constructor(status, error) {
    super(error?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = error?.code;
  }
}

async function refusal(response) {
  const body = await response.json().catch(() => undefined);
  return new Refusal(response.status, body?.error);
}

/** Asks for the token; everything that waits for it waits for the same. */
function token(again) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = byId('token');
    const form = byId('token-form');
    byId('token-text').textContent = again
      ? 'That is not the token of this server.'
      : 'This server asks for its token. It is kept until this tab is closed.';
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, byId('token-value').value.trim());
      byId('token-value').value = '';
      dialog.close('given');
    };
    dialog.onclose = () => {
      asking = undefined;
      if (dialog.returnValue === 'given') resolve();
      else reject(new Refusal(401, { message: 'Without its token the server says nothing. Reload the page to enter it.' }));
    };
    dialog.returnValue = '';
    dialog.showModal();
  });
  return asking;
}

async function send(path, options) {
  for (;;) {
    let response;
    try {
      response = await fetch(path, { ...options, headers: headers(options.headers) });
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new Refusal(0, { message: 'The server cannot be reached.' });
    }
    if (response.status !== 401) {
      if (!response.ok) throw await refusal(response);
      return response;
    }
    await token(sessionStorage.getItem(KEPT) !== null);
  }
}

export async function get(path) {
  return (await send(path, {})).json();
}

export async function remove(path) {
  return (await send(path, { method: 'DELETE' })).json();
}

const json = (body) => ({ method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });

export async function post(path, body) {
  return (await send(path, json(body))).json();
}

/** Splits a text that grows into its events. */
function reader(told) {
  let rest = '';
  return (text) => {
    const events = (rest + text).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith('data: ')) continue;
      const value = JSON.parse(event.slice(6));
      if (value.error) throw new Refusal(200, value.error);
      told(value);
    }
  };
}

/** Calls `told` with each event of an answer. */
export async function events(path, body, signal, told) {
  const response = await send(path, { ...json(body), signal });
  const pieces = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const read = reader(told);
  for (;;) {
    const { done, value } = await pieces.read();
    if (done) return;
    read(value);
  }
}

/** Sends a file; `sent` hears the share that is on its way, `told` each event of its reading. */
export function upload(path, file, sent, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let seen = 0;
    const read = reader(told);
    const news = () => {
      if (request.status !== 200) return;
      const text = request.responseText.slice(seen);
      seen += text.length;
      read(text);
    };
    const settle = (work) => {
      try {
        work();
      } catch (error) {
        reject(error);
      }
    };
    request.upload.onprogress = (event) => event.lengthComputable && sent(event.loaded / event.total);
    request.upload.onload = () => sent(1);
    request.onprogress = () => settle(news);
    request.onerror = () => reject(new Refusal(0, { message: 'The server ended the connection before it had the file.' }));
    request.onload = () =>
      settle(() => {
        if (request.status !== 200) {
          let error;
          try {
            error = JSON.parse(request.responseText).error;
          } catch {
            error = undefined;
          }
          throw new Refusal(request.status, error);
        }
        news();
        resolve();
      });
    request.open('POST', path);
    for (const [name, value] of Object.entries(headers({ Accept: 'text/event-stream' }))) request.setRequestHeader(name, value);
    // Whatever the file is: it is bytes until the server has read it.
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.send(file);
  });
}
