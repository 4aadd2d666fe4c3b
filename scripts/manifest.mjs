// The manifest of commands, as `oclif manifest` makes it, with the commands in the order of their names: oclif's own order
// is that of the folder on disk, and the same sources have to give the same bytes.
import * as fs from 'node:fs/promises';
import path from 'node:path';

/** Loads the commands of the package at `root` (with the pinned Node) and writes oclif.manifest.json there. */
export async function writeManifest(root, { indent = 0 } = {}) {
  const { Plugin } = await import('@oclif/core');
  const plugin = new Plugin({
    errorOnManifestCreate: true,
    ignoreManifest: true,
    respectNoCacheDefault: true,
    root,
    type: 'core',
  });
  await plugin.load();
  const { commands, ...rest } = plugin.manifest;
  const sorted = Object.entries(commands).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify({ commands: Object.fromEntries(sorted), ...rest }, null, indent);
  await fs.writeFile(path.join(root, 'oclif.manifest.json'), text);
}
