// Makes forks with `k3s-vm run --hold`, which destroys its fork when its standard input ends.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { findProgram } from './program.js';

/** How many lines of the program's stderr an error shows. */
const ERROR_LINES = 40;
/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE = 10_000;
/** Milliseconds to read the rest of stderr after the program's end; another process may hold the pipe open. */
const STDERR_TIMEOUT = 1_000;
const VARIABLES = ['KUBECONFIG', 'WEB_URL', 'WEB_PORT', 'API_URL', 'API_PORT', 'SSH_PORT', 'K3S_VM_NAME'];
const NAME_IT = "export K3S_VM=/path/to/bin/k3s-vm    # or fork({ program: '…' })";

/** A fork could not be made or destroyed: what happened, the program's output, and the next command. */
export class ForkError extends Error {
  name = 'ForkError';

  constructor(what, said, next, { exitCode, ended = false, cause } = {}) {
    // The program's own advice comes first.
    const advised = ended && said.some((line) => line.trimStart().startsWith('Next:'));
    const lines = [what, ...said.map((line) => `  | ${line}`), ...(advised ? [] : [`Next: ${next}`])];
    super(lines.join('\n'), { cause });
    this.exitCode = exitCode;
    this.said = said.join('\n');
  }
}

/** A fork that is ready. It is destroyed by `close`, or when the process ends. */
export class Cluster {
  #program;

  constructor(program, { environment, ...report }) {
    this.#program = program;
    this.environment = environment;
    this.report = report;
    this.name = environment.K3S_VM_NAME;
    this.kubeconfig = environment.KUBECONFIG;
    this.webUrl = environment.WEB_URL;
    this.apiUrl = environment.API_URL;
    this.webPort = Number(environment.WEB_PORT);
    this.apiPort = Number(environment.API_PORT);
    this.sshPort = Number(environment.SSH_PORT);
  }

  /** Destroys the fork; every further call returns the same promise. */
  close() {
    return this.#program.close();
  }
}

// For `await using`. Where the symbol does not exist, a class member would be named "undefined".
if (Symbol.asyncDispose) {
  Cluster.prototype[Symbol.asyncDispose] = function dispose() {
    return this.close();
  };
}

/** Makes a fork and waits until its cluster and application are ready. */
export async function fork(options = {}) {
  const { program, project, fromSnapshot, timeout = 900_000, closeTimeout = 60_000 } = options;
  const path = findProgram(program);
  if (path === undefined) {
    const where = `There is no bin/k3s-vm in ${process.cwd()} or above it, and none in the PATH.`;
    throw new ForkError(`the program k3s-vm was not found\n  ${where}`, [], NAME_IT);
  }
  // The program gets nine tenths of the time, so that its own error, which says what took so long, comes first.
  const words = ['run', '--hold', '--output', 'json', '--timeout', `${Math.max(1, Math.floor(timeout * 0.9))}ms`];
  if (project !== undefined) words.push('--project', String(project));
  if (fromSnapshot !== undefined) words.push('--from', fromSnapshot);
  const held = new Program(path, words, closeTimeout);
  return new Cluster(held, await held.greeting(timeout));
}

/** The running program: its first line, its stderr and its end, each with a deadline. */
class Program {
  #path;
  #child;
  #closeTimeout;
  #said = [];
  #firstLine;
  #ended;
  #stderrEnd;
  #hasEnded = false;
  #closing;

  constructor(path, words, closeTimeout) {
    this.#path = path;
    this.#closeTimeout = closeTimeout;
    const child = spawn(path, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    // The program may have ended before its input is closed; its exit code tells.
    child.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => resolve({ error }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    }).then((end) => {
      this.#hasEnded = true;
      return end;
    });
    const result = createInterface({ input: child.stdout });
    this.#firstLine = new Promise((resolve) => {
      // Further lines are read and discarded, so that a full pipe does not block the program.
      result.on('line', resolve);
      result.once('close', () => resolve(undefined));
    });
    const stderr = createInterface({ input: child.stderr });
    stderr.on('line', (line) => {
      this.#said.push(line);
      if (this.#said.length > ERROR_LINES) this.#said.shift();
    });
    this.#stderrEnd = new Promise((resolve) => stderr.once('close', resolve));
  }

  async greeting(timeout) {
    const line = await within(timeout, this.#firstLine, LATE);
    if (line === LATE) {
      await this.#terminate();
      const next = 'k3s-vm start    # once: forks of a cluster that has been ready take seconds';
      throw new ForkError(`the fork was not ready within ${timeout} ms`, await this.#lastLines(), next);
    }
    if (line === undefined) throw await this.#endedError();
    const { greeting, why } = read(line);
    if (why) {
      await this.#terminate();
      const what = `${this.#path} did not tell where its fork is\n  It printed '${line.slice(0, 200)}': ${why}`;
      const next = 'k3s-vm --version    # is it the k3s-vm that you mean, and as new as this module?';
      throw new ForkError(what, await this.#lastLines(), next);
    }
    // An open fork must not keep this process running: when this process ends, so does the fork's input, and the fork.
    this.#hold(false);
    return greeting;
  }

  close() {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close() {
    const endedBefore = this.#hasEnded;
    this.#hold(true);
    this.#child.stdin.end();
    const end = await within(this.#closeTimeout, this.#ended, LATE);
    if (end === LATE) {
      await this.#terminate();
      const what = `k3s-vm did not end within ${this.#closeTimeout} ms after the fork was closed, and was killed`;
      throw new ForkError(what, await this.#lastLines(), 'k3s-vm list    # is it still there?');
    }
    if (endedBefore || end.code !== 0) throw await this.#endedError();
  }

  /** Ends the program by SIGTERM, and by SIGKILL if it does not end in time. */
  async #terminate() {
    this.#hold(true);
    this.#child.stdin.end();
    this.#child.kill('SIGTERM');
    if ((await within(Math.min(GRACE, this.#closeTimeout), this.#ended, LATE)) === LATE) {
      this.#child.kill('SIGKILL');
      await this.#ended;
    }
  }

  async #endedError() {
    let end = await within(GRACE, this.#ended, LATE);
    if (end === LATE) {
      await this.#terminate();
      end = await this.#ended;
    }
    if (end.error) {
      return new ForkError(`${this.#path} cannot be started: ${end.error.code}`, [], NAME_IT, { cause: end.error });
    }
    const how = end.code === null ? end.signal : `exit code ${end.code}`;
    const next = "k3s-vm start    # shows whether the project's cluster starts at all";
    const options = { exitCode: end.code ?? undefined, ended: true };
    return new ForkError(`k3s-vm ended, and with it the fork: ${how}`, await this.#lastLines(), next, options);
  }

  async #lastLines() {
    await within(STDERR_TIMEOUT, this.#stderrEnd);
    return [...this.#said];
  }

  /** Whether the program keeps this process from ending. */
  #hold(keeps) {
    for (const one of [this.#child, this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      if (keeps) one.ref?.();
      else one.unref?.();
    }
  }
}

const LATE = Symbol('late');

/** The value of `promise`, or `late` after so many milliseconds. */
async function within(milliseconds, promise, late) {
  let timer;
  const end = new Promise((resolve) => {
    // A timer with more than 2^31 - 1 ms fires at once.
    timer = setTimeout(resolve, Math.min(milliseconds, 2 ** 31 - 1), late);
  });
  try {
    return await Promise.race([promise, end]);
  } finally {
    clearTimeout(timer);
  }
}

function read(line) {
  let greeting;
  try {
    greeting = JSON.parse(line);
  } catch {
    greeting = undefined;
  }
  if (typeof greeting?.environment !== 'object' || greeting.environment === null) {
    return { why: 'that is not the JSON of a fork' };
  }
  const missing = VARIABLES.find((name) => !(name in greeting.environment));
  return missing ? { why: `its environment has no ${missing}` } : { greeting };
}
