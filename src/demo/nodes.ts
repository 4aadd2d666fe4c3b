import { LABEL } from '../core/labels.ts';
import { COLLABORATION } from './entities.ts';
import type { DemoParts } from './parts.ts';
import { PLAN_FILE, type Progress, readPlan } from './progress.ts';

/** Starts what is missing, keeps what answers, takes away what is too many. All are tried; the first failure is thrown. */
export async function startNodes(
  parts: DemoParts,
  progress: Progress,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { plan } = progress;
  const wanted = new Set(plan.nodes.map((node) => node.name));
  for (const name of await nodesOfScope(parts)) {
    if (wanted.has(name)) continue;
    onLine(`taking ${name} away`);
    await parts.nodes.stop(name);
    await progress.admin?.removeNode(COLLABORATION, name);
    await parts.files.remove(`node/${name}`);
  }
  const results = await Promise.allSettled(
    plan.nodes.map(async (node) => {
      const running = await parts.nodes.verdict(node);
      if (running === undefined) await parts.nodes.stop(node.name);
      const verdict = running ?? (await parts.nodes.start(node, signal));
      progress.verdicts.set(node.name, verdict);
      onLine(
        `${node.name}: ${verdict.state}${verdict.vpnAddress === null ? '' : ` at ${verdict.vpnAddress}`}`,
      );
    }),
  );
  await parts.files.write(PLAN_FILE, `${JSON.stringify(plan, null, 2)}\n`);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Names of all nodes that have a container in this scope, or stand in the stored plan. */
export async function nodesOfScope(
  parts: Pick<DemoParts, 'engine' | 'scope' | 'files'>,
): Promise<readonly string[]> {
  const containers = await parts.engine.containers.list({ [LABEL.scope]: parts.scope });
  const labelled = containers
    .map((container) => container.labels[LABEL.node])
    .filter((name) => name !== undefined && name !== '');
  const planned = (await readPlan(parts))?.nodes.map((node) => node.name) ?? [];
  return [...new Set([...(labelled as string[]), ...planned])]
    .filter((name) => name.startsWith('hospital-'))
    .toSorted();
}
