import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { inTempFolder } from '../support/temp-folder.ts';

const run = (folder: string, file: string) =>
  runCli(['node', 'run', '--config', file, '--vpn-image', 'v6-vpn:none', '--json'], {
    env: { HOME: folder },
  });

it('ends with 78 and the path when there is no configuration', () =>
  inTempFolder(async (folder) => {
    const file = path.join(folder, 'absent.yaml');
    const { status, stdout } = await run(folder, file);
    expect(status).toBe(78);
    const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
    expect(error.code).toBe('V6_CONFIG_NOT_FOUND');
    expect(error.message).toContain(file);
  }));

it('ends with 78 and the key when the configuration is wrong, before anything is asked of engine or server', () =>
  inTempFolder(async (folder) => {
    const file = path.join(folder, 'wrong.yaml');
    await writeFile(file, 'api_key: x\nvpn_subnet: 10.76.0.5/16\n');
    const { status, stdout } = await run(folder, file);
    expect(status).toBe(78);
    expect(stdout).toContain('vpn_subnet');
  }));
