// The page of the status: what this server has, who computes it, and how fast.

import { get } from './api.js';
import { announce, byId, count, counted, el, failure, svg } from './dom.js';

/** Milliseconds between two looks. */
const EVERY = 2000;
/** Looks that the picture of the speed remembers: two minutes. */
const LOOKS = 60;

const short = (peer) => (peer.length > 16 ? `${peer.slice(0, 6)}…${peer.slice(-6)}` : peer);
const run = (start, end) => (end - start === 1 ? `${start}` : `${start} to ${end - 1}`);
const ms = (number) => (number === null ? '–' : `${number < 10 ? number.toFixed(1) : Math.round(number)} ms`);

function lasting(seconds) {
  const parts = [
    ['day', Math.floor(seconds / 86_400)],
    ['hour', Math.floor(seconds / 3600) % 24],
    ['minute', Math.floor(seconds / 60) % 60],
  ];
  const first = parts.findIndex(([, number]) => number > 0);
  if (first < 0) return counted(seconds % 60, 'second');
  return parts.slice(first, first + 2).filter(([, number]) => number > 0).map(([unit, number]) => counted(number, unit)).join(', ');
}

/** The speed between looks: when, and how many tokens a second. */
const speeds = [];
let before;

function measured(tokens) {
  const now = performance.now();
  if (before && now > before.when) {
    speeds.push(Math.max(0, ((tokens.output - before.output) * 1000) / (now - before.when)));
    if (speeds.length > LOOKS) speeds.shift();
  }
  before = { when: now, output: tokens.output };
  return speeds.at(-1) ?? 0;
}

function tiles(status, speed) {
  const tile = (name, value) => el('div', { class: 'tile' }, el('dt', {}, name), el('dd', {}, value));
  byId('tiles').replaceChildren(
    tile('tokens per second', speed < 10 ? speed.toFixed(1) : count(Math.round(speed))),
    tile('tokens written', count(status.tokens.output)),
    tile(`of ${count(status.requests.at_once)} requests at once`, count(status.requests.active)),
    ...(status.node ? [tile(status.node.peers.length === 1 ? 'peer' : 'peers', count(status.node.peers.length))] : []),
  );
}

function picture() {
  const most = Math.max(1, ...speeds);
  // The newest at the right.
  const x = (index) => ((index + LOOKS - speeds.length) * 600) / (LOOKS - 1);
  const at = (speed, index) => `${x(index).toFixed(1)},${(78 - (speed / most) * 72).toFixed(1)}`;
  const points = speeds.map(at);
  byId('speed').replaceChildren(
    svg(
      'svg',
      {
        viewBox: '0 0 600 80', preserveAspectRatio: 'none', role: 'img',
        'aria-label': `Now ${(speeds.at(-1) ?? 0).toFixed(1)} tokens per second, at most ${Math.max(0, ...speeds).toFixed(1)}`,
      },
      speeds.length > 1 ? svg('polygon', { class: 'area', points: `${x(0).toFixed(1)},80 ${points.join(' ')} 600,80` }) : undefined,
      speeds.length > 1 ? svg('polyline', { class: 'line', points: points.join(' ') }) : undefined,
    ),
  );
}

function table(title, heads, rows) {
  return el(
    'div',
    { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': title },
    el(
      'table',
      { class: 'listing' },
      el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col' }, head)))),
      el('tbody', {}, rows.map((cells) => el('tr', {}, cells.map((cell) => el('td', {}, cell))))),
    ),
  );
}

function strip(name, counts) {
  const rarest = Math.min(...counts);
  const gaps = counts.filter((number) => number === 0).length;
  const said = gaps > 0 ? `${counted(gaps, 'block')} of ${counts.length} ${gaps === 1 ? 'is' : 'are'} at nobody` : `every one of ${counts.length} blocks is at ${counted(rarest, 'host')} or more`;
  const kind = (number) => (number === 0 ? 'nobody' : number === 1 ? 'one' : 'several');
  return [
    el('p', { class: 'status-note' }, `${said[0].toUpperCase()}${said.slice(1)}.`),
    el(
      'ul',
      { class: 'blocks', 'aria-label': `Blocks of ${name}` },
      counts.map((number, block) => {
        const text = `block ${block}: ${number === 0 ? 'nobody' : counted(number, 'host')}`;
        return el('li', { class: kind(number), title: text }, el('span', { class: 'sr-only' }, text));
      }),
    ),
  ];
}

function model({ name, id, blocks, error }) {
  const about = () => {
    if (error) return [failure({ message: error }, 'Its hosts cannot be asked')];
    if (!blocks) return [el('p', { class: 'status-note' }, 'Behind another endpoint, or of this app’s own.')];
    if (blocks.here) return [el('p', { class: 'status-note' }, `Runs on this machine, all ${counted(blocks.counts.length, 'block')}.`)];
    const hosts = blocks.hosts.map((host) => [
      el('span', { title: host.peer }, short(host.peer)),
      run(host.start_block, host.end_block),
      ms(host.round_trip_ms),
      ms(host.block_ms),
      count(host.waiting),
      host.refused ? el('span', { class: 'refused' }, host.refused) : 'used',
    ]);
    return [
      ...strip(name, blocks.counts),
      hosts.length > 0 ? table(`Hosts of ${name}`, ['Host', 'Blocks', 'Way', 'A block', 'Waiting', ''], hosts) : undefined,
    ];
  };
  return el('article', { class: 'model' }, el('h3', {}, name), el('p', { class: 'hint' }, id), ...about());
}

function models(status) {
  const others = [
    ...status.embedders.map((name) => [name, 'turns texts into vectors']),
    ...status.knowledge.map((name) => [name, 'a knowledge base']),
  ];
  const nothing = status.models.length + others.length === 0;
  byId('models').replaceChildren(
    ...status.models.map(model),
    ...others.map(([name, what]) => el('article', { class: 'model' }, el('h3', {}, name), el('p', { class: 'status-note' }, `${what[0].toUpperCase()}${what.slice(1)}.`))),
    ...(nothing ? [el('p', { class: 'status-note' }, 'This server has no models.')] : []),
  );
}

function node(status) {
  const { node } = status;
  byId('who').textContent = `${node ? `${node.name}, ${short(node.peer_id)} · ` : ''}up for ${lasting(status.uptime_seconds)}`;
  byId('shared-panel').hidden = !node || node.served.length === 0;
  byId('peers-panel').hidden = !node || node.peers.length === 0;
  if (!node) return;
  byId('shared').replaceChildren(
    el('p', { class: 'status-note' }, `${counted(node.open_sessions, 'session')} now; ${counted(node.served_block_tokens, 'step')} of a block for a token so far.`),
    table('Blocks that are shared', ['Model', 'Blocks'], node.served.map(({ model, start, end }) => [model, run(start, end)])),
  );
  byId('peers').replaceChildren(
    table(
      'Connected peers',
      ['Peer', 'Name', 'Tier', 'Way', '', 'Runs'],
      node.peers.map((peer) => [
        el('span', { title: peer.peer_id }, short(peer.peer_id)),
        peer.name,
        peer.tier,
        ms(peer.rtt_ms),
        peer.relayed ? 'through a relay' : 'direct',
        peer.agent,
      ]),
    ),
  );
}

let failed = false;

async function look() {
  if (document.hidden) return;
  try {
    const status = await get('/v1/status');
    const speed = measured(status.tokens);
    tiles(status, speed);
    picture();
    // What somebody is reading, or has the keyboard in, is not taken away under their hands.
    if (!byId('models').contains(document.activeElement)) models(status);
    if (!byId('peers').contains(document.activeElement) && !byId('shared').contains(document.activeElement)) node(status);
    if (failed) announce('The server answers again');
    failed = false;
  } catch (error) {
    if (!failed) byId('models').replaceChildren(failure(error, 'The status cannot be read'));
    failed = true;
  }
}

async function always() {
  await look();
  setTimeout(always, EVERY);
}

always();
