// The module with a stand-in for k3s-vm, which can fail in several ways.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Cluster, ForkError, fork } from '../index.js';
import { findProgram } from '../program.js';

const PROGRAM = fileURLToPath(new URL('../../stand-in/k3s-vm', import.meta.url));
const MODULE = new URL('../index.js', import.meta.url).href;
const LAST_LINES = '  | [1/2] Checking the host … 0.0 s: all tools are there';

function directory(t) {
  const project = mkdtempSync(join(tmpdir(), 'k3s-vm-node-'));
  t.after(() => rmSync(project, { recursive: true }));
  return project;
}

function make(project, fromSnapshot, options) {
  return fork({ program: PROGRAM, project, fromSnapshot, timeout: 120_000, closeTimeout: 120_000, ...options });
}

async function errorOf(project, failure, options) {
  try {
    const cluster = await make(project, failure, options);
    await cluster.close();
  } catch (error) {
    assert(error instanceof ForkError, error);
    return { ...error, lines: error.message.replaceAll(dirname(PROGRAM), '/bin').split('\n') };
  }
  return assert.fail('no error');
}

function runs(project) {
  try {
    process.kill(Number(readFileSync(join(project, 'pid'), 'utf8')), 0);
    return true;
  } catch (error) {
    assert.equal(error.code, 'ESRCH');
    return false;
  }
}

test('a cluster says how to reach it and is destroyed by close', async (t) => {
  const project = directory(t);
  const cluster = await make(project);
  assert(cluster instanceof Cluster);
  assert.deepEqual({ ...cluster, environment: cluster.environment.KUBECONFIG_PRIMARY }, {
    name: 'run-1',
    kubeconfig: join(project, 'kubeconfig'),
    webUrl: 'http://127.0.0.1:20001',
    apiUrl: 'https://127.0.0.1:20000',
    webPort: 20001,
    apiPort: 20000,
    sshPort: 20002,
    environment: 'e30=',
    report: { instance: 'k3s-vm-run-1', ready: true },
  });
  assert(runs(project));
  await Promise.all([cluster.close(), cluster.close()]);
  assert(!runs(project));
  assert.equal(readFileSync(join(project, 'ended'), 'utf8'), 'by the end of its input\n');
});

test('it is destroyed by await using', { skip: !Symbol.asyncDispose }, async (t) => {
  const project = directory(t);
  const cluster = await make(project);
  await cluster[Symbol.asyncDispose]();
  assert(existsSync(join(project, 'ended')));
});

test('options reach the program', async (t) => {
  const project = directory(t);
  await errorOf(project, 'dies', { timeout: 10_000 });
  const expected = `run --hold --output json --timeout 9000ms --project ${project} --from dies\n`;
  assert.equal(readFileSync(join(project, 'arguments'), 'utf8'), expected);
});

test('an error has the output of the program, and its advice once', async (t) => {
  const project = directory(t);
  const { lines, exitCode } = await errorOf(project, 'dies');
  assert.equal(exitCode, 6);
  assert.deepEqual(lines, [
    'k3s-vm ended, and with it the fork: exit code 6',
    LAST_LINES,
    '  | Error: port 20001 is taken',
    '  | Next: k3s-vm list    # the instances of this project',
  ]);
  assert.deepEqual((await errorOf(project, 'dies-silently')).lines, [
    'k3s-vm ended, and with it the fork: SIGKILL',
    LAST_LINES,
    "Next: k3s-vm start    # shows whether the project's cluster starts at all",
  ]);
});

for (const [failure, printed] of [['babbles', 'Ready!'], ['forgets', '{"instance": "k3s-vm-run-1"}']]) {
  test(`an unknown first line is shown and the program ended: ${failure}`, async (t) => {
    assert.deepEqual((await errorOf(directory(t), failure)).lines, [
      '/bin/k3s-vm did not tell where its fork is',
      `  It printed '${printed}': that is not the JSON of a fork`,
      LAST_LINES,
      'Next: k3s-vm --version    # is it the k3s-vm that you mean, and as new as this module?',
    ]);
  });
}

test('a fork that is never ready is ended at the deadline', async (t) => {
  const project = directory(t);
  const { lines } = await errorOf(project, 'is-never-ready', { timeout: 300 });
  assert.equal(lines[0], 'the fork was not ready within 300 ms');
  assert.match(lines.at(-1), /^Next: k3s-vm start/);
  assert(!existsSync(join(project, 'pid')) || !runs(project));
});

for (const [failure, code, said] of [['dies-later', 5, /QEMU was killed/], ['fails-to-clean-up', 1, /not destroyed/]]) {
  test(`a later failure is reported by close: ${failure}`, async (t) => {
    const error = await errorOf(directory(t), failure);
    assert.equal(error.lines[0], `k3s-vm ended, and with it the fork: exit code ${code}`);
    assert.match(error.said, said);
  });
}

test('a program that ignores the end of its input is killed after a deadline', async (t) => {
  const project = directory(t);
  const { lines } = await errorOf(project, 'is-deaf', { closeTimeout: 300 });
  assert.equal(lines[0], 'k3s-vm did not end within 300 ms after the fork was closed, and was killed');
  assert(!runs(project));
});

test('much output does not block the program', async (t) => {
  const project = directory(t);
  await (await make(project, 'talks')).close();
  assert(existsSync(join(project, 'ended')));
});

test('a missing program is named', async () => {
  await assert.rejects(fork({ program: '/no/such/k3s-vm' }), {
    name: 'ForkError',
    message: `/no/such/k3s-vm cannot be started: ENOENT\nNext: export K3S_VM=/path/to/bin/k3s-vm    # or fork({ program: '…' })`,
  });
});

test('the nearest program is used', (t) => {
  const root = directory(t);
  const [inner, installed] = [join(root, 'checkout', 'tests', 'deep'), join(root, 'path', 'k3s-vm')];
  const launcher = join(root, 'checkout', 'bin', 'k3s-vm');
  for (const one of [inner, dirname(installed), dirname(launcher)]) mkdirSync(one, { recursive: true });
  const find = (given, variable) => findProgram(given, { PATH: dirname(installed), K3S_VM: variable }, inner);
  assert.equal(find(), undefined);
  writeFileSync(installed, '', { mode: 0o755 });
  assert.equal(find(), installed);
  writeFileSync(launcher, '', { mode: 0o644 });
  assert.equal(find(), installed, 'a file that is not executable is not used');
  chmodSync(launcher, 0o755);
  assert.equal(find(), launcher);
  assert.equal(find(undefined, ''), launcher);
  assert.equal(find(undefined, '/by/variable'), '/by/variable');
  assert.equal(find('given', '/by/variable'), join(inner, 'given'));
});

for (const end of ['', 'process.exit(0)', 'process.kill(process.pid, "SIGKILL")']) {
  test(`the fork is destroyed when the process ends: ${end || 'normally'}`, async (t) => {
    const project = directory(t);
    const options = JSON.stringify({ program: PROGRAM, project });
    const script = `import { fork } from ${JSON.stringify(MODULE)}; await fork(${options}); console.log('forked'); ${end}`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (data) => { said += data; });
    const [code, signal] = await once(child, 'exit');
    assert.equal(said, 'forked\n');
    assert(code === 0 || signal === 'SIGKILL', `${code} ${signal}`);
    // The program is still destroying its fork.
    const pid = readFileSync(join(project, 'pid'), 'utf8').trim();
    assert.equal(spawnSync('tail', [`--pid=${pid}`, '-f', '/dev/null'], { timeout: 120_000 }).status, 0);
    assert(existsSync(join(project, 'ended')));
  });
}
