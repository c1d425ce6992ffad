import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import ts from 'typescript';

import * as package_ from 'kwaainet';

import { PACKAGE, ROOT, toml } from './support.js';

interface Verb {
  args?: string[];
  property?: boolean;
  make?: boolean;
  only?: string[];
}

const SURFACE = toml(readFileSync(path.join(ROOT, 'tests', 'surface.toml'), 'utf8')) as Record<
  string,
  { verbs?: Record<string, Verb>; spelled?: Record<string, string[]> }
>;
const CLASSES = Object.keys(SURFACE).filter((name) => SURFACE[name]?.verbs !== undefined && name !== 'Library');

const program = ts.createProgram([path.join(PACKAGE, 'dist', 'index.d.ts')], { module: ts.ModuleKind.NodeNext });
const checker = program.getTypeChecker();
const entry = program.getSourceFile(path.join(PACKAGE, 'dist', 'index.d.ts')) as ts.SourceFile;
const exported = new Map(
  checker.getExportsOfModule(checker.getSymbolAtLocation(entry) as ts.Symbol).map((symbol) => [
    symbol.name,
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
  ]),
);

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The listed verbs that Node.js has, in its spelling. */
function listed(name: string): Map<string, Verb> {
  const verbs = Object.entries(SURFACE[name]?.verbs ?? {}).filter(([, verb]) => verb.only?.includes('node') ?? true);
  return new Map(verbs.map(([verb, entry]) => [camel(verb), entry]));
}

/** Arguments as the list writes them: required ones in their order, then those of the options object. */
function argumentsOf(signature: ts.Signature): [string[], string[]] {
  const required: string[] = [];
  const optional: string[] = [];
  for (const parameter of signature.parameters) {
    const declaration = parameter.valueDeclaration as ts.ParameterDeclaration;
    if (declaration.questionToken === undefined) required.push(parameter.name);
    else {
      const type = checker.getNonNullableType(checker.getTypeOfSymbol(parameter));
      optional.push(...type.getProperties().map((property) => property.name).filter((property) => property !== 'signal'));
    }
  }
  return [required, optional.sort()];
}

/** What the list and this package call the same thing, where a parameter's name differs for the reader's sake. */
const SAME: Record<string, string> = { credentialJson: 'credential', message: 'text', query: 'text', inputs: 'texts', pledged: 'text' };

for (const name of CLASSES) {
  test(`${name} has exactly the listed verbs with the listed arguments`, () => {
    const symbol = exported.get(name) as ts.Symbol;
    const verbs = listed(name);
    const instance = checker.getDeclaredTypeOfSymbol(symbol).getProperties();
    const statics = checker.getTypeOfSymbol(symbol).getProperties().filter((property) => property.name !== 'prototype');
    const found = [...instance, ...statics].filter((property) => !/^__|^#/.test(property.name));
    assert.deepEqual(found.map((property) => property.name).sort(), [...verbs.keys()].sort());
    for (const property of found) {
      const verb = verbs.get(property.name) as Verb;
      const [signature] = checker.getTypeOfSymbol(property).getCallSignatures();
      assert.equal(signature === undefined, verb.property ?? false, property.name);
      assert.equal(statics.includes(property), verb.make ?? false, property.name);
      if (signature === undefined) continue;
      const [required, optional] = argumentsOf(signature);
      const args = (verb.args ?? []).map((argument) => argument);
      const ours = (argument: string): string => SAME[argument] ?? argument;
      assert.deepEqual(required.map(ours), args.filter((a) => !a.endsWith('?')).map(camel), property.name);
      const rest = args.filter((argument) => argument.endsWith('?')).map((argument) => camel(argument.slice(0, -1)));
      assert.deepEqual(optional, rest.sort(), property.name);
    }
    const made = Object.getOwnPropertyNames((package_ as any)[name].prototype).filter((verb) => verb !== 'constructor');
    assert.ok(made.every((verb) => verbs.has(verb)), `${made.join()} at run time`);
  });
}

test('the package has the listed functions, and every class that holds something native is listed', () => {
  for (const [name, verb] of listed('Library')) {
    assert.ok(name in package_, name);
    const [signature] = checker.getTypeOfSymbol(exported.get(name) as ts.Symbol).getCallSignatures();
    assert.equal(signature === undefined, verb.property ?? false, name);
    if (signature !== undefined) assert.deepEqual(argumentsOf(signature)[0], verb.args, name);
  }
  const classes = [...exported].filter(([, symbol]) => symbol.flags & ts.SymbolFlags.Class).map(([name]) => name);
  const handles = classes.filter((name) => !name.endsWith('Error'));
  const holdNothing = ['Calibration', 'Evaluation', 'EventStream', 'Asking', 'Download', 'Generation', 'Ingestion', 'Outsourcing', 'Reembedding', 'Syncing'];
  assert.deepEqual(handles.sort(), [...CLASSES, ...holdNothing].sort());
});

test('streams are spelled as listed', () => {
  const stream = Object.getOwnPropertyNames(package_.EventStream.prototype).filter((name) => name !== 'constructor');
  assert.deepEqual(stream.sort(), SURFACE['Stream']?.spelled?.['node']);
});

test('everything public says what it is', () => {
  for (const [name, symbol] of exported) {
    const documented = symbol.getDocumentationComment(checker).length > 0;
    assert.ok(documented, `${name} has no documentation`);
  }
  for (const name of CLASSES) {
    for (const verb of checker.getDeclaredTypeOfSymbol(exported.get(name) as ts.Symbol).getProperties()) {
      if (!/^__|^#/.test(verb.name)) assert.ok(verb.getDocumentationComment(checker).length > 0, `${name}.${verb.name}`);
    }
  }
});

test('no file of the facade exports the native module', () => {
  for (const file of ['index.d.ts', 'index.d.mts', 'testing.d.ts']) {
    assert.ok(!readFileSync(path.join(PACKAGE, 'dist', file), 'utf8').includes('native'), file);
  }
  assert.ok(readdirSync(path.join(PACKAGE, 'dist')).includes('index.mjs'));
});
