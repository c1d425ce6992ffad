/**
 * Makes the npm tarballs: `kwaainet`, which is JavaScript alone, and `kwaainet-<platform>` with the native module of this machine. Both
 * have the version of the workspace and depend on each other at exactly that.
 *
 *     node package.mjs [--module <file>] [--out <folder>]
 *
 * Without `--module` the native module is built as it is shipped: optimised, stripped, without failures on demand.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, '..', '..');
const PLATFORMS = ['linux-x64-gnu', 'linux-arm64-gnu', 'darwin-x64', 'darwin-arm64', 'win32-x64-msvc'];
const LIBRARIES = { linux: 'libkwaainet_node.so', darwin: 'libkwaainet_node.dylib', win32: 'kwaainet_node.dll' };

function run(command, args, cwd = ROOT) {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

/** Builds the module as it is shipped. */
function built() {
  run('cargo', ['build', '--release', '--locked', '-p', 'kwaainet-node', '--no-default-features']);
  const file = path.join(process.env.CARGO_TARGET_DIR ?? path.join(ROOT, 'target'), 'release', LIBRARIES[process.platform]);
  if (process.platform !== 'win32') run('strip', process.platform === 'darwin' ? ['-x', file] : ['--strip-unneeded', file]);
  return file;
}

/** Packs a folder into the output folder and says where the tarball is. */
function pack(folder, out) {
  const [{ filename }] = JSON.parse(run('npm', ['pack', '--json', '--silent', '--pack-destination', out], folder));
  return path.join(out, filename);
}

/** What goes into every tarball beside its own files. */
function common(folder) {
  for (const file of ['LICENSE', 'target/package/THIRD-PARTY-NOTICES.txt']) {
    if (existsSync(path.join(ROOT, file))) cpSync(path.join(ROOT, file), path.join(folder, path.basename(file)));
  }
}

const { values } = parseArgs({ options: { module: { type: 'string' }, out: { type: 'string' } } });
const out = path.resolve(values.out ?? path.join(ROOT, 'target', 'package'));
mkdirSync(out, { recursive: true });
const stage = mkdtempSync(path.join(tmpdir(), 'kwaainet-npm-'));
try {
  if (!existsSync(path.join(HERE, 'dist', 'index.js'))) run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'], HERE);
  const module = values.module === undefined ? built() : path.resolve(values.module);
  const { platform } = createRequire(import.meta.url)('./dist/platform.js');
  const here = platform();
  const { scripts, devDependencies, ...manifest } = JSON.parse(readFileSync(path.join(HERE, 'package.json'), 'utf8'));
  const version = /^version = "(.+)"$/m.exec(readFileSync(path.join(ROOT, 'Cargo.toml'), 'utf8'))[1];
  if (manifest.version !== version) throw new Error(`package.json says ${manifest.version}, Cargo.toml ${version}`);

  const main = path.join(stage, 'kwaainet');
  mkdirSync(main);
  cpSync(path.join(HERE, 'dist'), path.join(main, 'dist'), { recursive: true });
  cpSync(path.join(HERE, 'README.md'), path.join(main, 'README.md'));
  common(main);
  const optionalDependencies = Object.fromEntries(PLATFORMS.map((name) => [`kwaainet-${name}`, version]));
  const files = [...manifest.files, 'THIRD*'];
  writeFileSync(path.join(main, 'package.json'), `${JSON.stringify({ ...manifest, files, optionalDependencies }, null, 2)}\n`);

  const native = path.join(stage, `kwaainet-${here}`);
  mkdirSync(native);
  cpSync(module, path.join(native, 'kwaainet.node'));
  chmodSync(path.join(native, 'kwaainet.node'), 0o755);
  common(native);
  const [os, cpu, libc] = here.split('-');
  const about = {
    name: `kwaainet-${here}`,
    version,
    description: `The native module of kwaainet for ${here}.`,
    license: manifest.license,
    engines: manifest.engines,
    main: 'kwaainet.node',
    files: ['kwaainet.node', 'LICENSE', 'THIRD*'],
    os: [os],
    cpu: [cpu],
    ...(libc === 'gnu' ? { libc: ['glibc'] } : {}),
  };
  writeFileSync(path.join(native, 'package.json'), `${JSON.stringify(about, null, 2)}\n`);
  for (const folder of [main, native]) console.log(pack(folder, out));
} finally {
  rmSync(stage, { recursive: true, force: true });
}
