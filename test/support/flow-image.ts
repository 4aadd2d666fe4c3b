import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { ECHO_IMAGE } from '../../src/core/labels.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** Our sources as they are: the Node of the image strips the types. */
const SOURCES = ['src/algorithm', 'src/core', 'test/support/flow-algorithm.ts', 'package.json'];

/** Builds the image of flow-algorithm.ts on top of the echo image, whose port and label it keeps. */
export async function buildFlowImage(folder: string, tag: string): Promise<void> {
  for (const name of SOURCES) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await cp(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  }
  const lines = [
    `FROM ${ECHO_IMAGE}`,
    'COPY . /flow',
    'ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/node", "/flow/test/support/flow-algorithm.ts"]',
  ];
  await writeFile(path.join(folder, 'Dockerfile'), `${lines.join('\n')}\n`);
  await execa('docker', ['build', '--quiet', '--network', 'none', '--tag', tag, folder], {
    timeout: 60_000,
  });
}
