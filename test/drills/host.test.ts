import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownerMark } from '../../src/core/net/guard.ts';
import { DrillGround } from '../support/drill.ts';
import { MeshLab, type MeshNode } from '../support/mesh-lab.ts';

const SPARE = 3;

let lab: MeshLab;
let ground: DrillGround;
let node: MeshNode;

beforeAll(async () => {
  lab = await MeshLab.up('drhost', { config: () => [`spare_slots: ${SPARE}`] });
  ground = await DrillGround.prepare(lab);
  node = lab.node(1);
});
afterAll(() => lab?.remove());

const nft = async (...words: string[]): Promise<string> =>
  (await execa('nft', words, { timeout: 10_000, reject: false })).stdout;
const owner = (): string => `${lab.scope}/${node.name}`;

describe('the rules on the host', () => {
  it('are made again when their table was deleted', async () => {
    await ground.run({
      name: 'guard table of the host deleted',
      hurt: async () => {
        await nft('delete', 'table', 'inet', 'v6guard');
      },
      isBack: async () => (await nft('list', 'table', 'inet', 'v6guard')).includes(owner()),
      limitMs: 3000,
    });
  });

  it('are whole again when an element of theirs was deleted', async () => {
    await ground.run({
      name: 'guard element of the host deleted',
      hurt: async () => {
        await nft('delete', 'element', 'inet', 'v6guard', 'owners', `{ 0x${ownerMark(owner())} }`);
      },
      isBack: async () => (await nft('list', 'table', 'inet', 'v6guard')).includes(owner()),
      limitMs: 3000,
    });
  });

  it('are watched again when their keeper was killed', async () => {
    const keeper = async (): Promise<string> => {
      const filters = [`label=v6.scope=${lab.scope}`, 'label=v6.kind=host-rules'];
      const words = [...filters, `label=v6.node=${node.name}`].flatMap((one) => ['--filter', one]);
      return (await lab.docker('ps', '--quiet', '--no-trunc', ...words)).trim();
    };
    const before = await keeper();
    expect(before).not.toBe('');
    const startedAt = () => lab.docker('inspect', '--format', '{{.State.StartedAt}}', before);
    const start = await startedAt();
    await ground.run({
      name: 'host keeper killed',
      hurt: async () => {
        await lab.docker('kill', before);
        await nft('delete', 'table', 'inet', 'v6guard');
      },
      isBack: async () => {
        const now = await keeper();
        const isNew = now !== '' && (now !== before || (await startedAt()) !== start);
        return isNew && (await nft('list', 'table', 'inet', 'v6guard')).includes(owner());
      },
      limitMs: 10_000,
    });
  });
});

describe('the networks of slots', () => {
  it('are connected to the VPN client again', async () => {
    const { network, client } = await lab.slotOf(ground.near);
    await ground.run({
      name: 'slot’s network disconnected from the client',
      hurt: async () => {
        await lab.docker('network', 'disconnect', '--force', network, node.client);
      },
      isBack: async () => (await node.inClient(`ip -o -4 addr show to ${client}/32`)) !== '',
      limitMs: 5000,
      gapMs: 12_000,
    });
  });

  it('are connected to their algorithm again', async () => {
    const { network, algorithm } = await lab.slotOf(ground.near);
    await ground.run({
      name: 'slot’s network disconnected from the algorithm',
      hurt: async () => {
        await lab.docker('network', 'disconnect', '--force', network, ground.near.container);
      },
      isBack: async () => {
        const { networks } = (await lab.engine.containers.find(ground.near.container)) ?? {};
        return networks?.[network] === algorithm;
      },
      limitMs: 5000,
      gapMs: 12_000,
    });
  });

  it('are made again when the bridge of one was deleted, with the run that has it', async () => {
    const { bridge } = await lab.slotOf(ground.near);
    await ground.run({
      name: 'bridge of a running slot deleted',
      hurt: async () => {
        await execa('ip', ['link', 'delete', bridge]);
      },
      isBack: async () =>
        (await execa('ip', ['link', 'show', bridge], { reject: false })).exitCode === 0,
      limitMs: 5000,
      gapMs: 12_000,
    });
  });

  it('are made again when a spare one was removed', async () => {
    const [spare = ''] = await spareNetworks();
    await ground.run({
      name: 'spare slot’s network removed',
      hurt: async () => {
        await lab.docker('network', 'disconnect', '--force', spare, node.client);
        await lab.docker('network', 'rm', spare);
      },
      isBack: hasSpare,
      limitMs: 35_000,
    });
  });

  it('are made again when all spare ones were pruned while the client was down', async () => {
    const before = await clientStart();
    await ground.run({
      name: 'all spare networks pruned while the client is down',
      hurt: async () => {
        const spare = await spareNetworks();
        expect(spare).toHaveLength(SPARE);
        // The daemon would bring the client back before the last one is gone.
        node.process?.kill('SIGSTOP');
        try {
          await lab.docker('stop', '--time', '1', node.client);
          for (const name of spare) await lab.docker('network', 'rm', name);
        } finally {
          node.process?.kill('SIGCONT');
        }
      },
      isBack: async () => (await clientStart()) !== before && (await hasSpare()),
      limitMs: 20_000,
      gapMs: 30_000,
      otherGapMs: 30_000,
    });
  });
});

it('brings the client back whole when its files were damaged', async () => {
  const before = await clientStart();
  await ground.run({
    name: 'state files damaged, client killed',
    hurt: async () => {
      const folder = path.join(node.daemon.context.runDir, 'state');
      for (const name of await readdir(folder))
        await writeFile(path.join(folder, name), '$(reboot) }; flush ruleset\n\0\xff\n');
      await lab.docker('kill', node.client);
    },
    isBack: async () => (await clientStart()) !== before,
    limitMs: 8000,
    gapMs: 15_000,
    otherGapMs: 15_000,
  });
});

async function spareNetworks(): Promise<string[]> {
  const { slots } = await node.control.network();
  return slots.filter(({ run }) => run === null).map(({ network }) => network);
}

/** As many spare slots as there should be: with a network each, and the client in it. */
async function hasSpare(): Promise<boolean> {
  const spare = await spareNetworks();
  const found = await Promise.all(spare.map((name) => lab.engine.networks.find(name)));
  return spare.length >= SPARE && found.every((one) => node.client in (one?.containers ?? {}));
}

const clientStart = (): Promise<string> =>
  lab.docker('inspect', '--format', '{{.Id}} {{.State.StartedAt}}', node.client);
