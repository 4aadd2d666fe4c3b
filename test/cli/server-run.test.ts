import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { inTempFolder } from '../support/temp-folder.ts';

interface Failure {
  readonly error: { readonly code: string; readonly message: string };
}

/** Runs `v6 server run` on a file with this text, or on none. */
function runOn(text: string | undefined): Promise<{ status: number; failure: Failure }> {
  return inTempFolder(async (folder) => {
    const file = path.join(folder, 'trial.yaml');
    if (text !== undefined) await writeFile(file, text);
    const args = ['server', 'run', '--user', '--config', file, '--json'];
    const { status, stdout } = await runCli(args, { env: { HOME: folder } });
    return { status, failure: JSON.parse(stdout) as Failure };
  });
}

describe('v6 server run', () => {
  it('names a configuration file that is not there', async () => {
    const { status, failure } = await runOn(undefined);
    expect([status, failure.error.code]).toStrictEqual([78, 'V6_CONFIG_NOT_FOUND']);
    expect(failure.error.message).toContain('trial.yaml');
  });

  it('checks the portal block before it starts anything', async () => {
    const block = 'vpn_server:\n  url: https://vpn.example.org\n';
    const { status, failure } = await runOn(`uri: sqlite:///x.sqlite\n${block}`);
    expect([status, failure.error.code]).toStrictEqual([78, 'V6_CONFIG_INVALID']);
  });

  it('refuses a database that it does not know, without its password', async () => {
    const { status, failure } = await runOn('uri: mysql://user:hidden@host/name\n');
    expect([status, failure.error.code]).toStrictEqual([78, 'V6_CONFIG_INVALID']);
    expect(JSON.stringify(failure)).not.toContain('hidden');
  });

  it('says so when its database cannot be opened', async () => {
    const { status, failure } = await runOn('uri: sqlite:////no/such/folder/x.sqlite\n');
    expect([status, failure.error.code]).toStrictEqual([69, 'V6_DATABASE']);
  });

  it('refuses an address that this machine does not have', async () => {
    const { status, failure } = await runOn('uri: sqlite:///x.sqlite\nip: 192.0.2.1\n');
    expect([status, failure.error.code]).toStrictEqual([78, 'V6_CONFIG_INVALID']);
  });
});
