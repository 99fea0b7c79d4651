// A fork: made by `k3s-vm run --hold`, kept until that program's standard input ends.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { findProgram } from './program.js';

/** How many lines of the program's talk are kept for errors. */
const KEPT_LINES = 40;
/** Milliseconds it may take to clean up after SIGTERM, before it is killed. */
const GRACE = 10_000;
/** Milliseconds for the rest of its talk once it has ended; a process that it left behind may keep the pipe open. */
const LAST_WORDS = 1_000;
const VARIABLES = ['KUBECONFIG', 'WEB_URL', 'WEB_PORT', 'API_URL', 'API_PORT', 'SSH_PORT', 'K3S_VM_NAME'];
const NAME_IT = "export K3S_VM=/path/to/bin/k3s-vm    # or fork({ program: '…' })";

/** There is no fork, or it did not go: what happened, what the program said, and what to type next. */
export class ForkError extends Error {
  name = 'ForkError';

  constructor(what, said, next, { exitCode, ended = false, cause } = {}) {
    // The program's own advice is the better one.
    const advised = ended && said.some((line) => line.trimStart().startsWith('Next:'));
    const lines = [what, ...said.map((line) => `  | ${line}`), ...(advised ? [] : [`Next: ${next}`])];
    super(lines.join('\n'), { cause });
    this.exitCode = exitCode;
    this.said = said.join('\n');
  }
}

/** A fork that is ready. Closed, or with the process, it is gone. */
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

  /** Ends it; every call after the first gives the same promise. */
  close() {
    return this.#program.close();
  }
}

// Where the language has `await using`. A class member would be named "undefined" elsewhere.
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
  // The program gets nine tenths, so that its own word on what took so long comes first.
  const words = ['run', '--hold', '--output', 'json', '--timeout', `${Math.max(1, Math.floor(timeout * 0.9))}ms`];
  if (project !== undefined) words.push('--project', String(project));
  if (fromSnapshot !== undefined) words.push('--from', fromSnapshot);
  const held = new Program(path, words, closeTimeout);
  return new Cluster(held, await held.greeting(timeout));
}

/** The program: its first line, what it says, and its end, each with a deadline. */
class Program {
  #path;
  #child;
  #closeTimeout;
  #said = [];
  #firstLine;
  #ended;
  #silent;
  #hasEnded = false;
  #closing;

  constructor(path, words, closeTimeout) {
    this.#path = path;
    this.#closeTimeout = closeTimeout;
    const child = spawn(path, words, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    // It may be gone before its input is ended; its exit code says so.
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
      // What comes after the first line is nobody's, but is read: the program must not be stopped by a full pipe.
      result.on('line', resolve);
      result.once('close', () => resolve(undefined));
    });
    const talk = createInterface({ input: child.stderr });
    talk.on('line', (line) => {
      this.#said.push(line);
      if (this.#said.length > KEPT_LINES) this.#said.shift();
    });
    this.#silent = new Promise((resolve) => talk.once('close', resolve));
  }

  async greeting(timeout) {
    const line = await within(timeout, this.#firstLine, LATE);
    if (line === LATE) {
      await this.#terminate();
      const next = 'k3s-vm start    # once: forks of a cluster that has been ready take seconds';
      throw new ForkError(`the fork was not ready within ${timeout} ms`, await this.#lastWords(), next);
    }
    if (line === undefined) throw await this.#endedError();
    const { greeting, why } = read(line);
    if (why) {
      await this.#terminate();
      const what = `${this.#path} did not tell where its fork is\n  It printed '${line.slice(0, 200)}': ${why}`;
      const next = 'k3s-vm --version    # is it the k3s-vm that you mean, and as new as this module?';
      throw new ForkError(what, await this.#lastWords(), next);
    }
    // A fork that nobody closes must not keep the process: with the process its input ends, and it goes.
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
      throw new ForkError(what, await this.#lastWords(), 'k3s-vm list    # is it still there?');
    }
    if (endedBefore || end.code !== 0) throw await this.#endedError();
  }

  /** Makes it end: it may clean up, then it is killed. */
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
    return new ForkError(`k3s-vm ended, and with it the fork: ${how}`, await this.#lastWords(), next, options);
  }

  async #lastWords() {
    await within(LAST_WORDS, this.#silent);
    return [...this.#said];
  }

  /** Whether it keeps this process from ending. */
  #hold(keeps) {
    for (const one of [this.#child, this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      if (keeps) one.ref?.();
      else one.unref?.();
    }
  }
}

const LATE = Symbol('late');

/** What `promise` gives, or `late` after so many milliseconds. */
async function within(milliseconds, promise, late) {
  let timer;
  const end = new Promise((resolve) => {
    // Longer ones would end at once (a timer's most is 2^31 - 1).
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
