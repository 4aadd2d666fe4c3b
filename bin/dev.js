#!/usr/bin/env node
// Runs the sources: no build, no manifest. Needs the pinned Node, which strips types by itself.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Config, flush, handle, run, settings } from '@oclif/core';

settings.debug = true;
settings.enableAutoTranspile = false;
const root = path.join(import.meta.dirname, '..');
const pjson = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
pjson.oclif.commands.target = './src/commands';
try {
  await run(process.argv.slice(2), await Config.load({ root, pjson, ignoreManifest: true }));
  await flush();
} catch (error) {
  await handle(error);
}
