// Finds the program k3s-vm.

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';

/**
 * The given program, else that of K3S_VM, else bin/k3s-vm in the working directory or above it, else k3s-vm in the PATH;
 * undefined if there is none. A program that is given or in K3S_VM is not checked: starting it fails with its name.
 */
export function findProgram(given, environment = process.env, directory = process.cwd()) {
  const named = given ?? (environment.K3S_VM || undefined);
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
