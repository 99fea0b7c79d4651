// Which program makes the forks.

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';

/**
 * The program that is ordered, else that of K3S_VM, of the checkout around the working directory, of the PATH.
 * What is named counts even where there is no such file, and then fails by name. Nothing where there is none.
 */
export function findProgram(ordered, environment = process.env, directory = process.cwd()) {
  const named = ordered ?? (environment.K3S_VM || undefined);
  if (named !== undefined) return resolve(directory, String(named));
  const launchers = above(directory).map((one) => join(one, 'bin', 'k3s-vm'));
  const installed = (environment.PATH ?? '').split(delimiter).filter(Boolean).map((one) => join(one, 'k3s-vm'));
  return [...launchers, ...installed].find(isProgram);
}

function above(directory) {
  const parent = dirname(directory);
  return parent === directory ? [directory] : [directory, ...above(parent)];
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
