import type { ContainerState } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import { LABEL } from '../core/labels.ts';
import type { Verdict } from '../core/protocol/daemon.ts';
import type { DemoParts } from './parts.ts';
import { localUrl, readPlan } from './progress.ts';

export interface DemoStatus {
  readonly scope: string;
  readonly serverUrl: string;
  readonly isServerHealthy: boolean;
  readonly containers: readonly {
    readonly name: string;
    readonly kind: string;
    readonly state: ContainerState['state'];
  }[];
  readonly nodes: readonly { readonly name: string; readonly vpn: Verdict | null }[];
}

/** What of the demo is there, and what each part says of itself. Throws V6_DEMO_NOT_RUNNING when there is none. */
export async function demoStatus(parts: DemoParts): Promise<DemoStatus> {
  const plan = await readPlan(parts);
  if (plan === undefined) {
    throw new V6Error(
      'V6_DEMO_NOT_RUNNING',
      `There is no demo of scope ${parts.scope} on this machine`,
      { hints: ['Start one: npx v6 demo up'] },
    );
  }
  const serverUrl = localUrl(plan);
  const containers = await parts.engine.containers.list({ [LABEL.scope]: parts.scope });
  return {
    scope: parts.scope,
    serverUrl,
    isServerHealthy: await parts.host.isHealthy(serverUrl),
    containers: containers
      .map(({ name, labels, state }) => ({ name, kind: labels[LABEL.kind] ?? '', state }))
      .toSorted((a, b) => a.name.localeCompare(b.name)),
    nodes: await Promise.all(
      plan.nodes.map(async (node) => ({
        name: node.name,
        vpn: (await parts.nodes.verdict(node)) ?? null,
      })),
    ),
  };
}
