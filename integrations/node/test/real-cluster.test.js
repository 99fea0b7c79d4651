// The module on a real cluster. It must run in a started project, as bin/test does it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { test } from 'node:test';

import { fork } from '../index.js';

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const WRITTEN = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'written-by-node' }, data: { key: 'value' } };

/** The status and object of a request with the administrator's certificate. */
async function api(cluster, method, path, body) {
  // The same as the file in KUBECONFIG, as JSON.
  const kubeconfig = JSON.parse(Buffer.from(cluster.environment.KUBECONFIG_PRIMARY, 'base64'));
  const pem = (text) => Buffer.from(text, 'base64');
  const [{ cluster: server }] = kubeconfig.clusters;
  const [{ user }] = kubeconfig.users;
  assert.equal(server.server, cluster.apiUrl);
  const outgoing = request(server.server + path, {
    method,
    ca: pem(server['certificate-authority-data']),
    cert: pem(user['client-certificate-data']),
    key: pem(user['client-key-data']),
    headers: { 'Content-Type': 'application/json' },
    agent: false,
    timeout: 60_000,
  });
  outgoing.end(body && JSON.stringify(body));
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode, object: JSON.parse(Buffer.concat(await response.toArray())) };
}

test('the application answers, and forks are isolated', async (t) => {
  const [one, other] = await Promise.all([fork(), fork()]);
  t.after(() => Promise.all([one.close(), other.close()]));
  assert.notEqual(one.name, other.name);
  for (const cluster of [one, other]) {
    assert.equal((await fetch(cluster.webUrl)).status, 200);
  }
  assert.equal((await api(one, 'POST', CONFIG_MAPS, WRITTEN)).status, 201);
  assert.deepEqual((await api(one, 'GET', `${CONFIG_MAPS}/written-by-node`)).object.data, { key: 'value' });
  assert.equal((await api(other, 'GET', `${CONFIG_MAPS}/written-by-node`)).status, 404);
  await Promise.all([one.close(), other.close()]);
  for (const cluster of [one, other]) {
    assert(!existsSync(dirname(cluster.kubeconfig)), 'the directory is still there');
    const [error] = await once(connect(cluster.webPort, '127.0.0.1'), 'error');
    assert.equal(error.code, 'ECONNREFUSED');
  }
});
