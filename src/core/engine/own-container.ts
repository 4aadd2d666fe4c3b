import { V6Error } from '../errors.ts';
import { type Kind, LABEL } from '../labels.ts';
import type { ContainerState, Engine } from './engine.ts';

/**
 * The container of this kind with this name, whatever its state. Throws V6_ENGINE_CONFLICT when a stranger has the name: nodes and
 * servers are named as upstream names them.
 */
export async function findOwnContainer(
  engine: Pick<Engine, 'containers'>,
  {
    container,
    kind,
  }: { readonly container: string; readonly kind: Extract<Kind, 'node' | 'server'> },
): Promise<ContainerState | undefined> {
  const found = await engine.containers.find(container);
  if (found === undefined || found.labels[LABEL.kind] === kind) return found;
  throw new V6Error(
    'V6_ENGINE_CONFLICT',
    `A container that v6 did not make has the name ${container}`,
    {
      hints: [
        `It may be a ${kind} of the Python version: stop that one with its own command line.`,
        `If nobody needs it: docker rm ${container}`,
      ],
      details: { container },
    },
  );
}
