import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { labelsFor, type Scope } from '../../core/labels.ts';
import { GUARD_TABLE, type GuardOwners, parseGuard, renderGuard } from '../../core/net/guard.ts';
import type { HostGuard, HostGuardInput } from '../../node/interfaces/host-guard.ts';

/** One name for all nodes of a host: the engine lets only one hold it, so that a reader never decides on an old table. */
const NAME = 'v6-host-guard';
const TURN_LIMIT_MS = 20_000;
const TURN_PAUSE_MS = 100;
/** A turn takes about a second: whoever holds the name longer has crashed. */
const TURN_MS = 10_000;

export interface GuardDeps {
  readonly engine: Pick<Engine, 'containers'>;
  /** The v6-vpn image, which holds nft. */
  readonly image: string;
  readonly scope: Scope;
  readonly clock: Clock;
}

/** Reads and writes the guard from a one-shot container that shares the host's network. */
export function createHostGuard(deps: GuardDeps): HostGuard {
  return {
    apply: (input: HostGuardInput) => apply(deps, input),
    remove: (owner) => remove(deps, owner),
    show: () => inOneShot(deps, (run) => read(run)),
  };
}

interface ProgramEnd {
  readonly exitCode: number;
  readonly output: string;
}
type Run = (command: readonly string[]) => Promise<ProgramEnd>;

async function apply(deps: GuardDeps, { owner, localRemotes }: HostGuardInput): Promise<void> {
  await inOneShot(deps, async (run) => {
    const owners = new Map(await readOwners(run));
    owners.set(owner, localRemotes);
    await write(run, owners);
  });
}

async function remove(deps: GuardDeps, owner: string): Promise<void> {
  await inOneShot(deps, async (run) => {
    const owners = new Map(await readOwners(run));
    if (owners.delete(owner)) await write(run, owners);
  });
}

async function readOwners(run: Run): Promise<GuardOwners> {
  return parseGuard((await read(run)) ?? '');
}

/** The table as text; undefined when it does not exist. */
async function read(run: Run): Promise<string | undefined> {
  const tables = await run(['nft', 'list', 'tables']);
  if (tables.exitCode !== 0) throw failure('V6_FIREWALL_READ', 'read', tables.output);
  if (!tables.output.split('\n').includes(`table ${GUARD_TABLE}`)) return undefined;
  const table = await run(['nft', 'list', 'table', ...GUARD_TABLE.split(' ')]);
  if (table.exitCode !== 0) throw failure('V6_FIREWALL_READ', 'read', table.output);
  return table.output;
}

async function write(run: Run, owners: GuardOwners): Promise<void> {
  // One argument holds the whole batch: one transaction, and no shell.
  const { exitCode, output } = await run(['nft', renderGuard(owners)]);
  if (exitCode !== 0) throw failure('V6_FIREWALL_APPLY', 'apply', output);
}

function failure(
  code: 'V6_FIREWALL_READ' | 'V6_FIREWALL_APPLY',
  verb: string,
  output: string,
): V6Error {
  return new V6Error(code, `Could not ${verb} the rules of v6 on this host: ${output.trim()}`, {
    hints: [
      'The engine must be allowed to start a container with the host’s network and NET_ADMIN.',
      'The kernel must have nf_tables: `modprobe nf_tables`.',
    ],
    details: { output },
  });
}

async function inOneShot<T>(deps: GuardDeps, work: (run: Run) => Promise<T>): Promise<T> {
  const { containers } = deps.engine;
  const id = await takeTurn(deps);
  try {
    await containers.start(id);
    return await work((command) => containers.exec(id, command));
  } finally {
    await containers.remove(id);
  }
}

/** Waits until the name is free, or takes it from one that crashed. */
async function takeTurn(deps: GuardDeps): Promise<string> {
  const { containers } = deps.engine;
  for (let waitedMs = 0; ; waitedMs += TURN_PAUSE_MS) {
    try {
      return await containers.create({
        name: NAME,
        image: deps.image,
        labels: labelsFor({ kind: 'one-shot', scope: deps.scope }),
        entrypoint: ['/usr/bin/tini', '--', '/bin/sleep'],
        command: ['60'],
        networkMode: 'host',
        capabilities: ['NET_ADMIN'],
        readOnlyRoot: true,
        stopTimeoutSeconds: 1,
      });
    } catch (error) {
      if (!isV6Error(error, 'V6_ENGINE_CONFLICT') || waitedMs >= TURN_LIMIT_MS) throw error;
      const holder = await containers.find(NAME);
      const heldMs = deps.clock.now().getTime() - (holder?.startedAt?.getTime() ?? Number.NaN);
      const isOver = holder?.state === 'exited' || holder?.state === 'dead' || heldMs > TURN_MS;
      if (holder && isOver) await containers.remove(holder.id);
      else await deps.clock.sleep(TURN_PAUSE_MS);
    }
  }
}
