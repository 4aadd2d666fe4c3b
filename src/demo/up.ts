import { V6Error } from '../core/errors.ts';
import { BRIDGE_PREFIX, bridgeName, isDemoScope, labelsFor, names } from '../core/labels.ts';
import { addressAt } from '../core/net/ipv4.ts';
import type { Verdict } from '../core/protocol/daemon.ts';
import { renderServerConfig } from './config-files.ts';
import { DEMO_USER, ensureEntities, USER_PASSWORD_FILE } from './entities.ts';
import { startNodes } from './nodes.ts';
import type { DemoParts } from './parts.ts';
import {
  DEMO_PORTS,
  type DemoNode,
  type DemoPlan,
  planConflicts,
  planDemo,
  uplinkPool,
} from './plan.ts';
import { localUrl, PLAN_FILE, type Progress, readPlan } from './progress.ts';
import {
  ensureServerContainer,
  ROOT_PASSWORD_FILE,
  SERVER_CONFIG_FILE,
} from './server-container.ts';

/** Upstream's default port of a coordination server (vantage6 4.14 cli, server new). */
const USUAL_SERVER_PORT = DEMO_PORTS.server;

export interface UpInput {
  readonly nodes: number;
  /** A port of loopback for the server that the user insists on; by default the usual one or the next that is free. */
  readonly serverPort?: number | undefined;
  /** Encrypts the collaboration of a demo that begins; one that is there stays as it is. */
  readonly encrypted?: boolean | undefined;
  readonly signal: AbortSignal;
}

export interface DemoReport {
  readonly scope: string;
  readonly serverUrl: string;
  readonly portalUrl: string;
  readonly user: string;
  readonly passwordFile: string;
  readonly collaboration: number;
  readonly nodes: readonly {
    readonly name: string;
    readonly organization: string;
    readonly vpn: Verdict;
  }[];
  readonly steps: readonly { readonly title: string; readonly durationMs: number }[];
}

export interface DemoStep {
  readonly title: string;
  run(onLine: (line: string) => void): Promise<void>;
}

export interface DemoWork {
  /** False when this `up` begins a demo: what it made is undone when it fails. */
  readonly wasThere: boolean;
  readonly steps: readonly DemoStep[];
  finish(): DemoReport;
}

/**
 * Decides what the demo is made of and returns the steps that make it so. Every step finds what is there and mends or adds
 * the rest, so that a second `up` repairs a half-dead demo and another number of nodes adapts it.
 * Throws V6_USAGE, V6_NET_OVERLAP (a stored plan meets a new network), V6_NET_PORT_IN_USE, V6_NET_TUN_MISSING, V6_IMAGE_NOT_FOUND, V6_ENGINE_*.
 */
export async function prepareDemo(parts: DemoParts, input: UpInput): Promise<DemoWork> {
  if (!isDemoScope(parts.scope))
    throw new V6Error('V6_USAGE', `${parts.scope} is not the scope of a demo`);
  await checkImages(parts);
  const previous = await readPlan(parts);
  const progress: Progress = {
    plan: await decidePlan(parts, input, previous),
    portalUrl: '',
    admin: undefined,
    collaboration: 0,
    verdicts: new Map(),
    timings: [],
  };
  const { plan } = progress;
  const steps: DemoStep[] = [
    {
      title: `Network ${names.uplink(parts.scope, 'net')} (${plan.uplink})`,
      run: () => ensureUplink(parts, plan),
    },
    { title: 'VPN portal and VPN server', run: () => startPortal(parts, progress) },
    {
      title: `Coordination server on http://127.0.0.1:${plan.serverPort}`,
      run: () => startServer(parts, progress, input.signal),
    },
    { title: 'Organizations, collaboration, login', run: () => ensureEntities(parts, progress) },
    {
      title: `${plan.nodes.length} nodes`,
      run: (onLine) => startNodes(parts, progress, onLine, input.signal),
    },
  ];
  return {
    wasThere: previous !== undefined,
    steps: steps.map((step) => timed(parts, progress, step, input.signal)),
    finish: () => report(parts, progress),
  };
}

function timed(
  parts: DemoParts,
  progress: Progress,
  step: DemoStep,
  signal: AbortSignal,
): DemoStep {
  return {
    title: step.title,
    run: async (onLine) => {
      signal.throwIfAborted();
      const from = parts.clock.now().getTime();
      await step.run(onLine);
      signal.throwIfAborted();
      progress.timings.push({ title: step.title, durationMs: parts.clock.now().getTime() - from });
    },
  };
}

async function checkImages(parts: DemoParts): Promise<void> {
  for (const reference of Object.values(parts.images)) {
    if ((await parts.engine.images.find(reference)) === undefined) {
      throw new V6Error('V6_IMAGE_NOT_FOUND', `The image ${reference} is not on this machine`, {
        hints: ['Build it: npx v6 images build'],
      });
    }
  }
}

async function decidePlan(
  parts: DemoParts,
  input: UpInput,
  previous: DemoPlan | undefined,
): Promise<DemoPlan> {
  if (previous !== undefined && input.encrypted === true && previous.encrypted !== true) {
    throw new V6Error('V6_USAGE', 'The demo that is there is not encrypted', {
      hints: ['Begin anew: npx v6 demo down, then npx v6 demo up --encrypted'],
    });
  }
  const taken = await parts.host.takenNetworks(parts.scope);
  if (previous !== undefined) {
    const [conflict] = planConflicts(previous, taken);
    if (conflict !== undefined) {
      throw new V6Error(
        'V6_NET_OVERLAP',
        `The demo's network ${conflict.ours} overlaps ${conflict.theirs}, which was added since`,
        {
          hints: [
            'Let the demo choose anew: npx v6 demo down, then npx v6 demo up',
            `Or remove ${conflict.theirs}.`,
          ],
        },
      );
    }
  }
  const isOurs =
    previous !== undefined && (input.serverPort ?? previous.serverPort) === previous.serverPort;
  const serverPort = isOurs ? previous.serverPort : await choosePort(parts, input.serverPort);
  const plan = {
    ...planDemo({
      nodes: input.nodes,
      taken,
      serverPort,
      encrypted: input.encrypted === true,
      ...(previous === undefined ? {} : { previous }),
    }),
    serverPort,
  };
  // Before anything is made: `down` must know of it even when `up` is killed.
  await parts.files.write(
    PLAN_FILE,
    `${JSON.stringify({ ...plan, nodes: widest(plan, previous) }, null, 2)}\n`,
  );
  return plan;
}

/** While nodes are being taken away both old and new ones count. */
function widest(plan: DemoPlan, previous: DemoPlan | undefined): readonly DemoNode[] {
  return (previous?.nodes.length ?? 0) > plan.nodes.length
    ? (previous?.nodes ?? plan.nodes)
    : plan.nodes;
}

async function choosePort(parts: DemoParts, wanted: number | undefined): Promise<number> {
  if (wanted !== undefined) {
    if (await parts.host.isPortFree(wanted)) return wanted;
    throw new V6Error('V6_NET_PORT_IN_USE', `Port ${wanted} of 127.0.0.1 is in use`, {
      hints: [
        `See by whom: ss -ltnp 'sport = :${wanted}'`,
        'Leave --server-port out, and a free one is chosen.',
      ],
    });
  }
  for (let port = USUAL_SERVER_PORT; port < USUAL_SERVER_PORT + 200; port += 1) {
    if (await parts.host.isPortFree(port)) return port;
  }
  throw new V6Error(
    'V6_NET_PORT_IN_USE',
    `No port from ${USUAL_SERVER_PORT} to ${USUAL_SERVER_PORT + 199} of 127.0.0.1 is free`,
    {
      hints: ['Choose one: npx v6 demo up --server-port N'],
    },
  );
}

async function ensureUplink(parts: DemoParts, plan: DemoPlan): Promise<void> {
  const name = names.uplink(parts.scope, 'net');
  await parts.engine.networks.ensure({
    name,
    labels: labelsFor({ kind: 'uplink', scope: parts.scope }),
    subnet: plan.uplink,
    gateway: addressAt(plan.uplink, 1),
    pool: uplinkPool(plan),
    bridge: bridgeName(BRIDGE_PREFIX.uplink, name),
    form: 'uplink',
  });
}

async function startPortal(parts: DemoParts, progress: Progress): Promise<void> {
  const ready = await parts.portal.start(progress.plan, names.uplink(parts.scope, 'net'));
  progress.portalUrl = ready.url;
  const text = renderServerConfig(progress.plan, ready);
  if ((await parts.files.read(SERVER_CONFIG_FILE)) !== text)
    await parts.files.write(SERVER_CONFIG_FILE, text);
}

async function startServer(
  parts: DemoParts,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const { plan } = progress;
  await ensureServerContainer(parts, plan, signal);
  const password = (await parts.files.read(ROOT_PASSWORD_FILE))?.trim();
  if (password === undefined) {
    throw new V6Error(
      'V6_DEMO_NOT_RUNNING',
      `The coordination server wrote no first password to ${parts.files.root}/${ROOT_PASSWORD_FILE}`,
      {
        hints: ['Begin anew: npx v6 demo down, then npx v6 demo up'],
      },
    );
  }
  progress.admin = await parts.connectAdmin(localUrl(plan), 'root', password);
}

function report(parts: DemoParts, progress: Progress): DemoReport {
  const { plan } = progress;
  return {
    scope: parts.scope,
    serverUrl: localUrl(plan),
    portalUrl: progress.portalUrl,
    user: DEMO_USER,
    passwordFile: `${parts.files.root}/${USER_PASSWORD_FILE}`,
    collaboration: progress.collaboration,
    nodes: plan.nodes.flatMap((node) => {
      const vpn = progress.verdicts.get(node.name);
      return vpn === undefined ? [] : [{ name: node.name, organization: node.organization, vpn }];
    }),
    steps: progress.timings,
  };
}
