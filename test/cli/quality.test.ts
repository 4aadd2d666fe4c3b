import path from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';

it('the sources are linted, formatted, type-checked, and import what they may', async () => {
  const root = path.join(import.meta.dirname, '../..');
  const { exitCode, all } = await execa('npm', ['run', '--silent', 'check'], {
    cwd: root,
    all: true,
    reject: false,
    timeout: 170_000,
  });
  expect(exitCode, all?.slice(-4000)).toBe(0);
}, 180_000);
