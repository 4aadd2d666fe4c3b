import { existsSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import { vpnImage } from '../support/docker.ts';
import { startPrivateEngine } from '../support/private-engine.ts';

/** What the drills of engines and firewalls stand on. */
describe('a private engine', () => {
  it('has a network of its own, and nothing is left of it', async () => {
    const before = await machineLinks();
    const engine = await startPrivateEngine({ iptables: 'legacy' });
    try {
      expect(await readlink(engine.netns)).not.toBe(await readlink('/proc/self/ns/net'));
      // docker0 and the loopback: nothing that leads anywhere.
      const links = await engine.exec(['ip', '-o', 'link']);
      expect(links.stdout.match(/^\d+: [\w-]+/gm)?.map((line) => line.split(' ')[1])).toEqual([
        'lo',
        'docker0',
      ]);
      expect((await engine.exec(['iptables', '--version'])).stdout).toContain('legacy');
      expect((await engine.exec(['iptables', '-S', 'DOCKER-USER'])).exitCode).toBe(0);
      expect(await machineLinks()).toEqual(before);
    } finally {
      await engine[Symbol.asyncDispose]();
    }
    expect(existsSync(engine.folder)).toBe(false);
    const { stdout } = await execa('find', ['/sys/fs/cgroup', '-name', 'v6pe-*']);
    expect(stdout).toBe('');
  });

  it.each([
    { liveRestore: true, states: ['running', 'running'] },
    { liveRestore: false, states: ['exited', 'exited'] },
  ])(
    'with live-restore $liveRestore leaves containers $states after a kill and a restart',
    async ({ liveRestore, states }) => {
      const image = await vpnImage(await connectEngine());
      await using engine = await startPrivateEngine({ iptables: 'nft', liveRestore });
      await engine.load([image]);
      for (const network of ['host', 'bridge']) {
        const program = ['--entrypoint', '/usr/bin/tini', image, '--', '/bin/sleep', '60'];
        const run = ['docker', 'run', '--detach', '--name', `on-${network}`, '--network', network];
        expect(await engine.exec([...run, ...program])).toMatchObject({ exitCode: 0 });
      }
      await engine.kill();
      await engine.start();
      await engine.restart();
      const { stdout } = await engine.exec(['docker', 'ps', '--all', '--format', '{{.State}}']);
      expect(stdout.split('\n')).toEqual(states);
    },
  );
});

async function machineLinks(): Promise<string[]> {
  const { stdout } = await execa('ip', ['-o', 'link', 'show', 'type', 'bridge']);
  return stdout.split('\n').filter((line) => line.includes('docker0'));
}
