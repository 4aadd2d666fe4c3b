import { execFile } from 'node:child_process';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/core/engine/engine.ts';
import { LABEL, names } from '../../src/core/labels.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { dockerSandbox } from '../support/docker.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { TestNodeDaemon } from '../support/test-node.ts';
import { until } from '../support/wait.ts';

const run_ = promisify(execFile);
const SCOPE = 'demo-images';
const RUN_LIMIT_MS = 30_000;
const PIDS = 48;
const NOBODY = 65534;

/** What gosu does: groups, group and user of somebody else, then the program in its own place. */
const GOSU = `exec busybox start-stop-daemon -S -c ${NOBODY}:${NOBODY} -x`;

/** Each image: lines of its Dockerfile, and its program, which finds its folder in $d. */
const IMAGES = {
  gosu: {
    lines: [],
    program: `chown -R ${NOBODY} $d /mnt/tmp && ${GOSU} /bin/sh -- -c "id -u > $d/output; echo more > $d/own && echo more > /mnt/tmp/own && echo wrote"`,
  },
  'own-user': {
    lines: ['RUN mkdir -p /results && chmod 755 /results', 'WORKDIR /results', `USER ${NOBODY}`],
    program:
      'cat $d/input > /dev/null; cat $d/token > /dev/null; id -u > $d/output; echo x > /mnt/tmp/x && echo wrote; echo x > $d/other || echo kept out',
  },
  'read-only': {
    lines: ['LABEL v6.read-only-root=true'],
    program: String.raw`echo x > /x || echo kept out
printf '#!/bin/sh\necho ran' > /tmp/program && chmod 755 /tmp/program && /tmp/program > $d/output; echo x > /mnt/tmp/x && echo wrote`,
  },
  forks: {
    lines: [],
    // For longer than any machine takes for what the test does meanwhile.
    program: '(while :; do sleep 600 & done) 2> /dev/null; exec sleep 600',
  },
  memory: { lines: [], program: 'exec dd if=/dev/zero of=/dev/null bs=200M count=1' },
  /** Shows all that it can find of anybody, and waits. */
  curious: {
    lines: [],
    program: String.raw`{ ls -A /mnt/data; grep /mnt /proc/mounts; cat /proc/[0-9]*/environ | tr '\0' '\n'; ps; hostname; } > /mnt/tmp/seen 2>&1
find / \( -name token -o -name input -o -name output \) ! -path '/proc/*' ! -path '/sys/*' -type f 2> /dev/null > /mnt/tmp/files
for f in $(cat /mnt/tmp/files); do cat $f; echo; done > /mnt/tmp/contents 2> /dev/null
touch /mnt/tmp/done; while [ ! -e /mnt/tmp/go ]; do sleep 0.1; done; echo '"held"' > $d/output`,
  },
} as const;
type Image = keyof typeof IMAGES;
const tagOf = (image: Image): string => `v6-test-image-${image}:1`;

let engine: Engine;
let base: string;
let folder: TempFolder;
let world: TestCoordination;
let node: TestNode;
let alpha: TestNodeDaemon;

async function build(image: Image): Promise<void> {
  const { lines, program } = IMAGES[image];
  const context = path.join(folder.path, `image-${image}`);
  await mkdir(context, { recursive: true });
  const text = `d=$(echo /mnt/data/task-*)\n${program}\n`;
  await writeFile(path.join(context, 'program.sh'), text, { mode: 0o755 });
  const all = [
    `FROM ${base}`,
    'COPY program.sh /program.sh',
    ...lines,
    'ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/bin/sh", "/program.sh"]',
    'CMD []',
  ];
  await writeFile(path.join(context, 'Dockerfile'), `${all.join('\n')}\n`);
  await engine.images.build({ folder: context, tags: [tagOf(image)], labels: {} });
}

const start = async (image: Image, input: unknown = {}): Promise<number> =>
  (await world.createTask(tagOf(image), [node.organization], input)).runs[0] ?? 0;

const ended = (run: number) =>
  until(
    `run ${run} ends`,
    RUN_LIMIT_MS,
    () => world.run(run),
    ({ finished_at }) => finished_at !== null,
  );

const own = (kind: 'data' | 'temporary', run: number): string => {
  const name = `${kind === 'data' ? 'task' : 'tmp'}-${String(run).padStart(9, '0')}`;
  return path.join(alpha.context.dataDir, 'data', name);
};

/** What the engine says that a container was made with. */
async function inspect(name: string): Promise<Record<string, unknown>> {
  const { stdout } = await run_('docker', ['inspect', '--format', '{{json .HostConfig}}', name]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

beforeAll(async () => {
  ({ engine, image: base } = await dockerSandbox('images'));
  folder = await tempFolder();
  for (const image of Object.keys(IMAGES) as Image[]) await build(image);
  world = await TestCoordination.start(path.join(folder.path, 'server'));
  const [first] = await world.createNodes(['alpha', 'beta']);
  if (first === undefined) throw new Error('no node');
  node = first;
  alpha = new TestNodeDaemon({
    name: 'alpha',
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage: base,
    apiKey: node.apiKey,
    port: world.port,
    config: [
      'isolated_range: 10.211.0.0/24',
      `algorithm_limits: {memory: 64m, pids: ${PIDS}, cpus: 0.5}`,
    ],
  });
  await alpha.start();
});
afterAll(async () => {
  await alpha?.clean();
  await world?.server.stop();
  for (const image of Object.keys(IMAGES) as Image[]) await engine?.images.remove(tagOf(image));
  await folder?.remove();
});

describe('an image', () => {
  it('that begins as root and goes on as somebody else, as with gosu, reads and writes as it likes', async () => {
    const run = await start('gosu');
    expect(await ended(run)).toMatchObject({ status: 'completed', log: 'wrote\n' });
    expect((await world.result(run))?.trim()).toBe(String(NOBODY));
  });

  it('with a user of its own and folders of root writes its output, and nothing else into its run', async () => {
    const run = await start('own-user');
    const { status, log } = await ended(run);
    expect(status).toBe('completed');
    // stdout and stderr come in no order.
    for (const line of ['wrote\n', 'Permission denied\n', 'kept out\n'])
      expect(log).toContain(line);
    expect((await world.result(run))?.trim()).toBe(String(NOBODY));
  });

  it('that says that it can do with a read-only root has one, and may run what it puts into /tmp', async () => {
    const run = await start('read-only');
    const { status, log } = await ended(run);
    expect(status).toBe('completed');
    for (const line of ['wrote\n', 'Read-only file system\n', 'kept out\n'])
      expect(log).toContain(line);
    expect((await world.result(run))?.trim()).toBe('ran');
  });

  it('that starts processes without end comes to its limit, and the node goes on', async () => {
    const run = await start('forks');
    const running = async () => (await world.run(run)).status !== 'initializing';
    await until('it runs', RUN_LIMIT_MS, running);
    const processes = async (): Promise<number> => {
      const container = names.algorithm('alpha', run, SCOPE);
      const top = await run_('docker', ['top', container]).catch(() => undefined);
      return top === undefined ? 0 : top.stdout.trim().split('\n').length - 1;
    };
    await until('it has many processes', RUN_LIMIT_MS, processes, (count) => count > PIDS / 2);
    expect(await processes()).toBeLessThanOrEqual(PIDS);
    const other = await start('gosu');
    expect(await ended(other)).toMatchObject({ status: 'completed' });
    await world.ask('POST', '/kill/task', {
      id: ((await world.run(run)).task as { id: number }).id,
    });
    expect(await ended(run)).toMatchObject({ status: 'killed by user' });
  });

  it('that takes more memory than it may is ended, and its log says why', async () => {
    const run = await start('memory');
    const { status, log } = await ended(run);
    expect(status).toBe('crashed');
    expect(log).toContain('used more memory than it may');
  });
});

describe('two runs at once', () => {
  let runs: readonly [number, number];
  const SECRETS = ['first secret input', 'second secret input'] as const;
  const seen = async (run: number, file: string): Promise<string> =>
    (await run_('cat', [path.join(own('temporary', run), file)])).stdout;

  beforeAll(async () => {
    runs = [await start('curious', SECRETS[0]), await start('curious', SECRETS[1])];
    for (const run of runs) {
      await until('it has looked around', RUN_LIMIT_MS, async () =>
        (await readdir(own('temporary', run)).catch(() => [] as string[])).includes('done'),
      );
    }
  });

  it('see their own input and token, and nothing of the other: no file, mount, process or variable', async () => {
    for (const [at, run] of runs.entries()) {
      const other = runs[1 - at] ?? 0;
      const contents = await seen(run, 'contents');
      // The probe works: it finds what is its own.
      expect(contents).toContain(SECRETS[at]);
      expect(contents).toMatch(/eyJ[\w-]+\.[\w-]+\./);
      expect(contents).not.toContain(SECRETS[1 - at]);
      const [token] = /eyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(await seen(other, 'contents')) ?? [];
      expect(token).toBeDefined();
      const all = contents + (await seen(run, 'seen')) + (await seen(run, 'files'));
      expect(all).not.toContain(token);
      expect(all).not.toContain(path.basename(own('data', other)));
      expect(all).toContain(path.basename(own('data', run)));
    }
  });

  it('are closed to other users of the host', async () => {
    const input = path.join(own('data', runs[0]), 'input');
    const asNobody = run_('cat', [input], { uid: NOBODY, gid: NOBODY, cwd: '/' });
    await expect(asNobody).rejects.toMatchObject({ stderr: expect.stringMatching(/denied/) });
    for (const closed of ['data', 'runs']) {
      const { mode } = await stat(path.join(alpha.context.dataDir, closed));
      expect((mode & 0o777).toString(8)).toBe('700');
    }
  });

  it('and all containers around them have their limits at the engine', async () => {
    const algorithm = await inspect(names.algorithm('alpha', runs[0], SCOPE));
    expect(algorithm).toMatchObject({
      Memory: 64 * 2 ** 20,
      PidsLimit: PIDS,
      NanoCpus: 500_000_000,
      OomScoreAdj: 500,
      Privileged: false,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      PidMode: '',
      IpcMode: expect.not.stringContaining('host'),
    });
    const writable = (algorithm.Mounts as { Source: string; ReadOnly?: boolean }[]).map(
      ({ Source, ReadOnly }) => [Source, ReadOnly ?? false],
    );
    expect(writable).toEqual([
      [own('data', runs[0]), false],
      [own('temporary', runs[0]), false],
    ]);
    const labels = { [LABEL.scope]: SCOPE, [LABEL.node]: 'alpha' };
    const others = (await engine.containers.list(labels)).filter(
      ({ labels: of }) => of[LABEL.kind] !== 'algorithm',
    );
    expect(others.map(({ labels: of }) => of[LABEL.kind])).toContain('vpn-client');
    for (const { name } of others) {
      const spec = await inspect(name);
      expect(spec, name).toMatchObject({
        ReadonlyRootfs: true,
        Privileged: false,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
      });
      expect(Number(spec.Memory), name).toBeGreaterThan(0);
      expect(Number(spec.PidsLimit), name).toBeGreaterThan(0);
    }
  });

  it('leave nothing of their folders behind when they end', async () => {
    for (const run of runs) await writeFile(path.join(own('temporary', run), 'go'), '');
    for (const run of runs) expect(await ended(run)).toMatchObject({ status: 'completed' });
    await until('the folders are gone', RUN_LIMIT_MS, async () => {
      const entries = await readdir(path.join(alpha.context.dataDir, 'data'));
      return entries.length === 0;
    });
  });
});
