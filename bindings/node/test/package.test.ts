/** What is installed from the tarballs works alone. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { PACKAGE, withFolder } from './support.js';

const run = (command: string, args: string[], cwd: string): string => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

test('the tarballs install without a network and serve modules of both kinds, with types', async () => {
  await withFolder(async (folder) => {
    // The packing is tested, not the compiler: a text stands for the module, and the real one is put in its place.
    const stand = path.join(folder, 'stand-in');
    writeFileSync(stand, 'a native module');
    const tarballs = run(process.execPath, ['package.mjs', '--module', stand, '--out', folder], PACKAGE).trim().split('\n');
    assert.equal(tarballs.length, 2);
    const app = path.join(folder, 'app');
    mkdirSync(app);
    writeFileSync(path.join(app, 'package.json'), '{ "private": true }');
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--omit=optional', ...tarballs], app);
    const modules = path.join(app, 'node_modules');
    const names = readdirSync(modules).filter((name) => name.startsWith('kwaainet')).sort();
    assert.equal(names.length, 2);
    const native = path.join(modules, names[1] as string, 'kwaainet.node');
    assert.equal(readFileSync(native, 'utf8'), 'a native module');
    run('rm', [native], app);
    symlinkSync(path.join(PACKAGE, 'native', 'kwaainet.node'), native);
    const program = "Node.start({ preset: 'ephemeral', listen: [] }).then((node) => node.info()).then((info) => console.log(info.version))";
    const { version } = JSON.parse(readFileSync(path.join(modules, 'kwaainet', 'package.json'), 'utf8')) as { version: string };
    assert.equal(run(process.execPath, ['-e', `const { Node } = require('kwaainet'); ${program}`], app).trim(), version);
    assert.equal(run(process.execPath, ['--input-type=module', '-e', `import { Node } from 'kwaainet'; ${program}`], app).trim(), version);
    for (const [file, text] of [
      ['app.mts', "import { Node, type Message } from 'kwaainet';\nimport { Swarm } from 'kwaainet/testing';\nexport type M = Message;\nawait using s = await Swarm.start(1);\nexport const n: Node | undefined = s.nodes[0];\n"],
      ['app.cts', "import kwaainet = require('kwaainet');\nexport const start: typeof kwaainet.Node.start = kwaainet.Node.start;\n"],
    ] as const) {
      writeFileSync(path.join(app, file), text);
    }
    const options = ['--noEmit', '--strict', '--target', 'ES2022', '--lib', 'ES2023,ESNext.Disposable', '--module', 'NodeNext', '--typeRoots', path.join(PACKAGE, 'node_modules', '@types'), '--types', 'node'];
    run(process.execPath, [path.join(PACKAGE, 'node_modules', 'typescript', 'bin', 'tsc'), ...options, 'app.mts', 'app.cts'], app);
    const files = run('tar', ['-tf', tarballs[0] as string], folder).trim().split('\n');
    assert.ok(files.includes('package/README.md') && files.includes('package/LICENSE'), files.join());
    assert.ok(files.every((file) => !/test|node_modules|\.ts$/.test(file.replace(/\.d\.m?ts$|testing/g, ''))), files.join());
  });
});

test('the lock file names no registry of its own', () => {
  const lock = readFileSync(path.join(PACKAGE, 'package-lock.json'), 'utf8');
  const resolved = [...lock.matchAll(/"resolved": "([^"]+)"/g)].map(([, url]) => url as string);
  assert.ok(resolved.every((url) => url.startsWith('https://registry.npmjs.org/')), resolved.join());
});
