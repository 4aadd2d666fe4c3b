import type { Engine } from '../core/engine/engine.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import { LABEL, V6_VERSION } from '../core/labels.ts';
import { nodesOfScope } from './nodes.ts';
import type { DemoParts } from './parts.ts';
import type { DemoStep } from './up.ts';

/**
 * The steps that take a demo away: everything with its scope's label and every file of it, nothing else. What is absent is
 * fine; every step runs even when one before it failed, and one error lists all failures.
 */
export async function prepareDown(parts: DemoParts): Promise<readonly DemoStep[]> {
  const failures: unknown[] = [];
  const nodes = await nodesOfScope(parts);
  const steps: DemoStep[] = [
    {
      title: `${nodes.length} nodes`,
      run: async () => {
        await Promise.all(nodes.map(async (name) => collect(failures, parts.nodes.stop(name))));
      },
    },
    { title: 'VPN portal and VPN server', run: () => collect(failures, parts.portal.stop()) },
    { title: 'Containers and networks', run: () => collect(failures, sweep(parts)) },
    {
      title: 'Login and files',
      run: async () => {
        await collect(failures, parts.logins.remove(parts.scope));
        // Files go last and only when all else went: they say what there is to remove.
        if (failures.length === 0) await collect(failures, parts.files.removeAll());
        if (failures.length > 0) throw failed(failures);
      },
    },
  ];
  return steps;
}

async function collect(failures: unknown[], work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    failures.push(error);
  });
}

function failed(failures: readonly unknown[]): V6Error {
  const reasons = failures.map((failure) =>
    failure instanceof Error ? failure.message : String(failure),
  );
  return new V6Error(
    'V6_ENGINE_REQUEST',
    `The demo could not be removed entirely: ${reasons.join('; ')}`,
    {
      cause: failures[0],
      hints: ['Run `npx v6 demo down` again once this is mended: what is gone is gone.'],
    },
  );
}

/** Whatever carries the scope's label, also what no stored plan knows of. */
async function sweep({ engine, scope }: DemoParts): Promise<void> {
  const label = { [LABEL.scope]: scope };
  for (const container of await engine.containers.list(label))
    await engine.containers.remove(container.id);
  for (const network of await engine.networks.list(label))
    await engine.networks.remove(network.name);
}

/** Our images that no container uses, removed; their names. */
export async function removeUnusedImages(
  engine: Pick<Engine, 'images'>,
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const image of await engine.images.list({ [LABEL.version]: V6_VERSION })) {
    for (const tag of image.tags) {
      try {
        await engine.images.remove(tag);
        removed.push(tag);
      } catch (error) {
        if (!isV6Error(error, 'V6_ENGINE_CONFLICT')) throw error;
      }
    }
  }
  return removed;
}
