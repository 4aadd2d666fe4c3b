import type { ContainerState } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import { untilEngineAnswers } from '../engine-patience.ts';
import type { PortLease, RunFolder, RunRecord } from '../interfaces/run-files.ts';
import { exposedPorts } from '../ports/exposed.ts';
import { hashToken } from '../proxy/slot-proxy.ts';
import { untilAnswered } from '../server-patience.ts';
import { createAlgorithm, startOnce } from './algorithm-container.ts';
import { obtainImage } from './algorithm-image.ts';
import { algorithmSpec } from './algorithm-spec.ts';
import { awaitListening } from './await-listening.ts';
import { isInitiatorAllowed } from './initiator.ts';
import { isImageAllowed } from './policy.ts';
import type { RunContext } from './run-context.ts';
import { parentOf } from './run-deps.ts';
import { RunRefused } from './run-ending.ts';
import { RunRegistration } from './run-registration.ts';

/** From the first word to the server to the running container. What was taken on the way is in the context, for the end. */
export async function startRun(context: RunContext): Promise<void> {
  const { deps, signal, id, open } = context;
  const { image, id: task } = open.task;
  context.enter('initializing');
  const startedAt = deps.clock.now();
  await context.tell({ status: 'initializing', startedAt });
  await checkPolicy(context, image);
  if (open.isInBlobStore === true) throw inputElsewhere();
  const input = deps.payloads.open(open.input, `the input of run ${id}`);
  context.enter('pulling');
  const found = await context.as('non-existing Docker image', () =>
    untilEngineAnswers(deps, 'image', signal, () =>
      obtainImage(deps.engine.images, image, deps.config.policies, signal),
    ),
  );
  context.enter('preparing');
  const token = await untilAnswered(deps, 'container token', signal, () =>
    deps.runs.containerToken(task, image, signal),
  );
  context.token = token;
  const folder = await deps.files.create(id, { input, token });
  context.enter('waiting for the VPN');
  await deps.gate.ready(signal);
  context.enter('waiting for a slot');
  const slot = await untilEngineAnswers(deps, 'slot', signal, () => deps.slots.acquire(id));
  context.slot = slot;
  const ports = deps.gate.enabled ? deps.ports.take(id, exposedPorts(found)) : [];
  await context.keepRecord({
    run: id,
    task,
    image,
    startedAt: startedAt.toISOString(),
    slot: slot.index,
    ports,
    tokenHash: hashToken(token),
  });
  const isReachable = await openTheWay(context, slot, ports);
  context.enter('starting');
  const container = await context.as('start failed', () =>
    startContainer(context, slot, folder, found.labels),
  );
  // An image that exposes nothing has one port by convention, and most of them never listen on it.
  if (isReachable && found.exposedPorts.length > 0)
    await awaitListening(deps, container, ports, signal);
  context.enter('active');
  const head = context.log('').trimEnd();
  await context.tell({ status: 'active', startedAt, ...(head === '' ? {} : { log: head }) });
  context.emit('active');
  context.streamLog({ isContinued: false });
}

function inputElsewhere(): V6Error {
  return new V6Error(
    'V6_RUN_FAILED',
    'The server keeps the input of this run in a blob store, which this node does not read',
    {
      hints: [
        'Ask the administrator of the server to keep inputs in its database: no large_result_store.',
      ],
    },
  );
}

/** A run whose container outlived an earlier daemon: it gets back what that daemon held for it. */
export async function resumeRun(
  context: RunContext,
  record: RunRecord,
  container: ContainerState,
): Promise<void> {
  const { deps, signal, id } = context;
  context.enter('adopting');
  context.record = record;
  context.container = container.id;
  // First of all: whatever fails from here on, the end takes its entries back.
  context.registration = new RunRegistration(deps, id, record.ports, signal);
  context.registration.takeOver(context.open.ports);
  deps.ports.adopt(id, record.ports);
  const slot = await deps.slots.acquire(id);
  context.slot = slot;
  deps.logger.info('A run that outlived the daemon is carried on', { run: id });
  deps.proxy.assign(slot.index, { run: id, task: record.task, tokenHash: record.tokenHash });
  // The rules that the earlier daemon had for it stand, whatever happens to it now.
  context.hasRules = true;
  if (record.ports.length > 0) {
    await joinFamily(context, slot, record.ports);
    await context.registration.register();
  }
  // The earlier daemon may not have seen it listen.
  if (context.open.status !== 'active')
    await awaitListening(deps, container.id, record.ports, signal);
  context.enter('active');
  await context.tell({ status: 'active', startedAt: new Date(record.startedAt) });
  context.streamLog({ isContinued: true });
}

/**
 * Everything that the algorithm may need in its first moment: its proxy, its addresses at the server, its port map. True when
 * others can find it.
 */
async function openTheWay(
  context: RunContext,
  slot: Slot,
  ports: readonly PortLease[],
): Promise<boolean> {
  const { deps, signal, id } = context;
  const { task, tokenHash } = context.record as RunRecord;
  deps.proxy.assign(slot.index, { run: id, task, tokenHash });
  if (ports.length === 0) return false;
  context.enter('registering');
  context.registration = new RunRegistration(deps, id, ports, signal);
  const registering = context.registration.register();
  const [isRegistered] = await Promise.all([
    registering,
    joinFamily(context, slot, ports, registering),
  ]);
  if (!isRegistered) {
    context.notes.push(
      'The VPN tunnel of this node is down: other nodes reach this algorithm only once it is up.',
    );
  }
  signal.throwIfAborted();
  return isRegistered;
}

/** Its ports, who may reach them, and whom it may reach, in the rules. */
async function joinFamily(
  context: RunContext,
  slot: Slot,
  ports: readonly PortLease[],
  ready?: Promise<unknown>,
): Promise<void> {
  const { deps, id, open } = context;
  const { algorithm } = slot;
  context.hasRules = true;
  const mappings = ports.map((lease) => ({ ...lease, address: algorithm }));
  const local = { run: id, task: open.task.id, parent: parentOf(open), algorithm, mappings };
  await deps.families.join(local, ready);
  context.signal.throwIfAborted();
}

async function startContainer(
  context: RunContext,
  slot: Slot,
  folder: RunFolder,
  imageLabels: Readonly<Record<string, string>>,
): Promise<string> {
  const { deps, open, id, signal } = context;
  const spec = algorithmSpec({
    scope: deps.node.scope,
    node: deps.node.name,
    run: id,
    image: open.task.image,
    imageLabels,
    databases: open.task.databases,
    config: deps.config,
    slot,
    folder,
  });
  // An answer that is lost with the engine leaves a container of this name: the end removes it.
  const container = await createAlgorithm(deps, spec, signal, (name) => {
    context.container = name;
  });
  context.container = container;
  signal.throwIfAborted();
  await startOnce(deps, container, signal);
  return container;
}

async function checkPolicy({ deps, open, signal }: RunContext, image: string): Promise<void> {
  const isAllowed = await untilAnswered(deps, 'organizations', signal, () =>
    isInitiatorAllowed(deps, open.task, signal),
  );
  if (!isAllowed) {
    throw new RunRefused(
      'not allowed',
      new V6Error('V6_RUN_NOT_ALLOWED', 'This node takes no tasks of who started this one', {
        hints: [
          'Ask the node to list the user in policies.allowed_users, or the organization in policies.allowed_organizations.',
        ],
      }),
    );
  }
  if (isImageAllowed(image, deps.config.policies.allowedAlgorithms)) return;
  throw new RunRefused(
    'not allowed',
    new V6Error('V6_IMAGE_NOT_ALLOWED', `This node does not allow the image ${image}`, {
      hints: ['Ask the node to list the image in policies.allowed_algorithms.'],
    }),
  );
}
