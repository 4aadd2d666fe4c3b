import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, runCli } from '../support/run-cli.ts';

let home: string;

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-portal-'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

function portal(...args: string[]): Promise<CliResult> {
  return runCli(['portal', ...args, '--scope', 'demo-cli', '--json'], {
    env: {
      HOME: home,
      XDG_DATA_HOME: `${home}/data`,
      XDG_RUNTIME_DIR: home,
      DOCKER_HOST: `unix://${home}/no-engine.sock`,
    },
  });
}

const errorOf = ({ stdout }: CliResult) =>
  (JSON.parse(stdout) as { error: { code: string; message: string; hints: string[] } }).error;

describe('v6 portal', () => {
  it.each([
    [['start'], 69, 'V6_ENGINE_MISSING'],
    [['stop'], 69, 'V6_ENGINE_MISSING'],
    [['status'], 69, 'V6_ENGINE_MISSING'],
    [['revoke', 'alpha'], 69, 'V6_PORTAL_NOT_RUNNING'],
    [['run'], 78, 'V6_CONFIG_NOT_FOUND'],
    [['start', '--remote', 'vpn.example.org'], 2, 'V6_USAGE'],
    [['start', '--session-expiry', '1w'], 2, 'V6_USAGE'],
    [['start', '--network', 'x', '--portal-address', '10.1'], 78, 'V6_CONFIG_SUBNET'],
    [['start', '--portal-address', '10.0.0.1'], 2, 'V6_USAGE'],
    [['start', '--http-port', '70000'], 2, 'V6_USAGE'],
    [['start', '--portal-password-file', '/absent'], 2, 'V6_USAGE'],
    [['stop', '--remove-data'], 2, 'V6_USAGE_MISSING_ANSWER'],
  ])('%j ends with %i and %s, a next step, and leaves no file', async (args, status, code) => {
    const result = await portal(...args);
    expect([result.status, errorOf(result).code]).toEqual([status, code]);
    expect(errorOf(result).hints.length).toBeGreaterThan(0);
    expect(await readdir(home)).toEqual([]);
  });
});
