// `npm run build`: compiles src to dist, bundles it, and writes the manifest of commands. Run with the pinned Node.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUILD_INPUTS, hashInputs, writeStamp } from './inputs.mjs';
import { writeManifest } from './manifest.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

function run(file, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      code === 0
        ? resolve()
        : reject(new Error(`${path.basename(args[0] ?? file)} ended with ${signal ?? code}.`)),
    );
  });
}

/** tsc leaves the output of sources that are gone, and a command among them would still be found. */
async function removeOrphans() {
  const dist = path.join(root, 'dist');
  const entries = await fs.readdir(dist, { recursive: true }).catch(() => []);
  for (const name of entries) {
    if (!name.endsWith('.js') || name.startsWith('bundle') || name.startsWith('.')) continue;
    if (!existsSync(path.join(root, 'src', name.replace(/\.js$/, '.ts'))))
      await fs.rm(path.join(dist, name));
  }
}

try {
  const hash = await hashInputs(root, BUILD_INPUTS);
  await removeOrphans();
  const ended = await Promise.allSettled([
    run(process.execPath, [
      path.join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      'tsconfig.json',
    ]),
    run(process.execPath, [path.join(root, 'scripts/bundle.mjs')]),
  ]);
  for (const { reason } of ended) if (reason !== undefined) throw reason;
  await writeManifest(root, { indent: 2 });
  await writeStamp(root, 'build', hash);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
