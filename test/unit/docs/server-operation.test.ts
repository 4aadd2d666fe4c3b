import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { load } from 'js-yaml';
import { describe, expect, it } from 'vitest';
import { inTempFolder } from '../../support/temp-folder.ts';

const ANALYZE = '/usr/bin/systemd-analyze';
const text = readFileSync(path.join(import.meta.dirname, '../../../docs/server.md'), 'utf8');

const block = (language: string): string =>
  new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1] ?? '';

describe('the unit file in docs/server.md', () => {
  const unit = block('ini');

  it('has sections with keys, and ends a server in the time that it takes', () => {
    const lines = unit.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    for (const line of lines) expect(line).toMatch(/^(\[\w+\]|[A-Z]\w+=.*)$/);
    expect(lines.filter((line) => line.startsWith('['))).toStrictEqual([
      '[Unit]',
      '[Service]',
      '[Install]',
    ]);
    expect(unit).toContain('ExecStart=/opt/v6/bin/run.js server run --system --name %i');
    expect(Number(/TimeoutStopSec=(\d+)/.exec(unit)?.[1])).toBeGreaterThanOrEqual(15);
  });

  it.runIf(existsSync(ANALYZE))('is what systemd takes', () =>
    inTempFolder(async (folder) => {
      const file = path.join(folder, 'v6-server@trial.service');
      // The program and the other unit are not on this machine.
      await writeFile(file, unit.replace('/opt/v6/bin/run.js', '/bin/true'));
      const { status, stderr } = spawnSync(
        ANALYZE,
        ['verify', '--man=no', '--recursive-errors=no', file],
        { encoding: 'utf8' },
      );
      // What it does not know it only warns of.
      expect({ status, stderr }).toStrictEqual({ status: 0, stderr: '' });
    }),
  );
});

describe('the container example in docs/server.md', () => {
  it('is YAML with a server that has no privilege and enough time to stop', () => {
    const yaml = /```yaml\n(services:[\s\S]*?)```/.exec(text)?.[1] ?? '';
    expect(load(yaml)).toMatchObject({
      services: {
        server: { cap_drop: ['ALL'], read_only: true, stop_grace_period: '20s' },
      },
    });
  });
});
