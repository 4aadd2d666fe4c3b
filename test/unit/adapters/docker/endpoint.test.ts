import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { findContextSocket } from '../../../../src/adapters/docker/endpoint.ts';
import { inTempFolder } from '../../../support/temp-folder.ts';

async function withContext(folder: string, name: string, host: string): Promise<void> {
  const hash = createHash('sha256').update(name).digest('hex');
  const meta = path.join(folder, 'contexts/meta', hash);
  await mkdir(meta, { recursive: true });
  await writeFile(
    path.join(meta, 'meta.json'),
    JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }),
  );
}

it('finds the socket of the current context, and of the one that the environment names', () =>
  inTempFolder(async (DOCKER_CONFIG) => {
    await withContext(DOCKER_CONFIG, 'rootless', 'unix:///run/user/1000/docker.sock');
    await withContext(DOCKER_CONFIG, 'far', 'tcp://192.0.2.1:2376');
    await writeFile(path.join(DOCKER_CONFIG, 'config.json'), '{"currentContext":"rootless"}');
    expect(await findContextSocket({ DOCKER_CONFIG })).toBe('/run/user/1000/docker.sock');
    expect(await findContextSocket({ DOCKER_CONFIG, DOCKER_CONTEXT: 'default' })).toBeUndefined();
    expect(await findContextSocket({ DOCKER_CONFIG, DOCKER_CONTEXT: 'far' })).toBeUndefined();
  }));

it('finds nothing without the client’s files, or with broken ones', () =>
  inTempFolder(async (DOCKER_CONFIG) => {
    expect(await findContextSocket({ DOCKER_CONFIG })).toBeUndefined();
    await writeFile(path.join(DOCKER_CONFIG, 'config.json'), '{');
    expect(await findContextSocket({ DOCKER_CONFIG })).toBeUndefined();
  }));
