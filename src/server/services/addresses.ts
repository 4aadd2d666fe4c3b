import { V6Error } from '../../core/errors.ts';
import type { ContainerIdentity } from '../auth/identity.ts';
import type { AddressQuery, Store } from '../interfaces/store.ts';

const FLAGS = [
  'only_children',
  'only_parent',
  'only_siblings',
  'only_self',
  'include_children',
  'include_parent',
] as const;
export type AddressFlag = (typeof FLAGS)[number];

/** Clients of 3.8 to 4.0.2 send every flag with the text `False`. */
const OFF = new Set(['', '0', 'false', 'no', 'off', 'none']);

/** The flags that are on. */
export function parseFlags(
  query: Readonly<Record<string, string | undefined>>,
): ReadonlySet<AddressFlag> {
  return new Set(FLAGS.filter((flag) => !OFF.has((query[flag] ?? '').trim().toLowerCase())));
}

/**
 * Which tasks and organizations are meant (vantage6 4.14 server, resource/port.py:VPNAddress.get). Undefined: nobody, as for
 * the parent of a task that has none. Throws V6_REQUEST_INVALID for two `only_…`.
 */
export function planAddresses(
  on: ReadonlySet<AddressFlag>,
  parentId: number | null,
): Pick<AddressQuery, 'tasks' | 'organizations'> | undefined {
  const only = [...on].filter((flag) => flag.startsWith('only_'));
  if (only.length > 1)
    throw new V6Error('V6_REQUEST_INVALID', `Only one of these at once: ${only.join(', ')}`);
  const parent = parentId ?? undefined;
  if (on.has('only_self') || on.has('only_siblings')) {
    return {
      tasks: { own: true, children: false, parentId: undefined },
      organizations: on.has('only_self') ? 'own' : 'others',
    };
  }
  if (on.has('only_parent')) {
    if (parent === undefined) return undefined;
    return { tasks: { own: false, children: false, parentId: parent }, organizations: 'all' };
  }
  return {
    tasks: {
      own: !on.has('only_children'),
      children: on.has('only_children') || on.has('include_children'),
      parentId: on.has('include_parent') ? parent : undefined,
    },
    organizations: 'all',
  };
}

/** JSON of the registered ports that an algorithm asks for, as far as they can be reached now; its own always. */
export async function findAddresses(
  store: Store,
  container: ContainerIdentity,
  query: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const plan = planAddresses(parseFlags(query), container.parentId);
  if (plan === undefined) return '[]';
  const { runId, taskId, organizationId } = container;
  return store.ports.addresses({ ...plan, runId, taskId, organizationId, label: query.label });
}
