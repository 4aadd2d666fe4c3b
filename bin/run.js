#!/usr/bin/env node
// Starts oclif under the pinned Node: a shell that finds an older one is taken over to ours.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import path from 'node:path';

const NEEDED = 24;
const root = path.join(
  import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname),
  '..',
);

if (Number(process.versions.node.split('.')[0]) < NEEDED) {
  const pinned = path.join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  if (!existsSync(pinned) || process.env.V6_REEXEC) {
    process.stderr.write(
      `v6 needs Node ${NEEDED} or newer; this is ${process.versions.node}. Run \`npm ci\` in ${root} first.\n`,
    );
    process.exit(78);
  }
  const child = spawnSync(pinned, process.argv.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, V6_REEXEC: '1' },
  });
  if (child.signal) process.kill(process.pid, child.signal);
  process.exit(child.status ?? 1);
}

process.stdout.on('error', (error) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
module.enableCompileCache?.();
const { execute } = await import('@oclif/core');
await execute({ dir: import.meta.url });
