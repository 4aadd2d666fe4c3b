import type { NodeConfig } from '../../core/config/node-config.ts';
import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { CoordinatorOrganizations, NodeIdentity, OpenRun } from '../interfaces/coordinator.ts';

/**
 * Whether the node's `policies.allowed_users` and `allowed_organizations` let whoever started this task use the node: it is
 * enough to stand in one of the lists, and without lists everybody may (vantage6 4.14 node_client.py,
 * check_user_allowed_to_send_task). For a sub-task the organization is that of the node where its parent runs. Names are looked
 * up in all pages of the collaboration's organizations. Throws what the coordinator throws.
 */
export async function isInitiatorAllowed(
  deps: {
    readonly config: Pick<NodeConfig, 'policies'>;
    readonly identity: Pick<NodeIdentity, 'collaboration'>;
    readonly organizations: Pick<CoordinatorOrganizations, 'list'>;
  },
  task: OpenRun['task'],
  signal: AbortSignal,
): Promise<boolean> {
  const { allowedUsers, allowedOrganizations } = deps.config.policies;
  if (allowedUsers.length === 0 && allowedOrganizations.length === 0) return true;
  const user = relationId(task.init_user);
  if (user !== undefined && allowedUsers.includes(user)) return true;
  const organization = relationId(task.init_org);
  if (organization === undefined) return false;
  if (allowedOrganizations.includes(String(organization))) return true;
  const names = allowedOrganizations.filter((item) => !/^\d+$/.test(item));
  if (names.length === 0) return false;
  const all = await deps.organizations.list(deps.identity.collaboration, signal);
  return all.some(({ id, name }) => id === organization && names.includes(name));
}

/** The organization that gets the result of a run. Throws V6_SERVER_ANSWER. */
export function resultOwner(run: OpenRun): number {
  const owner = relationId(run.task.init_org);
  if (owner !== undefined) return owner;
  throw new V6Error(
    'V6_SERVER_ANSWER',
    `The server does not say who started the task of run ${run.id}`,
    {
      hints: ['Check that the server is a vantage6 4.x server.'],
    },
  );
}

/** Servers answer null for who was deleted. */
function relationId(value: unknown): number | undefined {
  const id = isRecord(value) ? value.id : undefined;
  return typeof id === 'number' ? id : undefined;
}
