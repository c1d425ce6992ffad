// What the page is built with. Text only ever becomes text: nothing here reads markup.

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return node;
}

/** An element; strings among its children become text. */
export const el = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

/** Says something to whoever cannot see what changed. */
export function announce(text) {
  byId('status').textContent = text;
}

/** A share from 0 to 1 as a bar; what it means stands beside it. */
export function bar(share, second = false) {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return svg(
    'svg',
    { class: 'bar', viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('rect', { class: 'track', width: 100, height: 8 }),
    svg('rect', { class: second ? 'value second' : 'value', width, height: 8 }),
  );
}

export function failure(error, title = 'That did not work') {
  return el('div', { class: 'refusal failure', role: 'alert' }, el('h3', {}, title), el('p', {}, error.message));
}

const ENDINGS = { one: 'st', two: 'nd', few: 'rd', other: 'th' };
const ORDINAL = new Intl.PluralRules('en', { type: 'ordinal' });
const NUMBER = new Intl.NumberFormat('en');

export const ordinal = (number) => `${NUMBER.format(number)}${ENDINGS[ORDINAL.select(number)]}`;
export const count = (number) => NUMBER.format(number);
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB'];
  let unit = 0;
  let value = number;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}
