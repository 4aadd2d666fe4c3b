/**
 * Who may do what: rules (resource, operation, scope) as upstream names them, and its fixed roles
 * (vantage6 4.14 server, default_roles.py). Roles stand here, and the database knows which user has which.
 */
export type Scope = 'own' | 'organization' | 'collaboration' | 'global';
export type Resource =
  | 'user'
  | 'organization'
  | 'collaboration'
  | 'role'
  | 'node'
  | 'task'
  | 'run'
  | 'event';
export type Operation = 'view' | 'edit' | 'create' | 'delete' | 'send' | 'receive';

/** `resource operation scope`, for example `task create collaboration`. */
export type Rule = `${Resource} ${Operation} ${Scope}`;

const WIDTH: Readonly<Record<Scope, number>> = {
  own: 0,
  organization: 1,
  collaboration: 2,
  global: 3,
};

const VIEWER: readonly Rule[] = [
  'user edit own',
  'user delete own',
  'user view organization',
  'organization view organization',
  'organization view collaboration',
  'collaboration view organization',
  'role view organization',
  'node view organization',
  'node view collaboration',
  'task view collaboration',
  'run view collaboration',
  'event receive organization',
  'event receive collaboration',
];

const RESEARCHER: readonly Rule[] = [
  ...VIEWER,
  'task create collaboration',
  'task delete organization',
];

const ORGANIZATION_ADMIN: readonly Rule[] = [
  ...VIEWER,
  'user create organization',
  'user edit organization',
  'user delete organization',
  'organization edit organization',
  'node create organization',
  'node edit organization',
  'event send organization',
];

const COLLABORATION_ADMIN: readonly Rule[] = [
  ...RESEARCHER,
  ...ORGANIZATION_ADMIN,
  'user view collaboration',
  'user create collaboration',
  'user edit collaboration',
  'organization view global',
  'organization edit collaboration',
  'collaboration edit collaboration',
  'role view collaboration',
  'node create collaboration',
  'node view collaboration',
  'node delete collaboration',
  'event send collaboration',
];

interface FixedRole {
  readonly name: string;
  readonly description: string;
  /** `all`: every rule. */
  readonly rules: readonly Rule[] | 'all';
}

/** In the order of their ids; Root is 1, as on a Python server. */
export const FIXED_ROLES: readonly FixedRole[] = [
  { name: 'Root', description: 'May do everything', rules: 'all' },
  { name: 'container', description: 'Of algorithm containers; not for users', rules: [] },
  { name: 'node', description: 'Of nodes; not for users', rules: [] },
  { name: 'Viewer', description: 'Sees what the organization takes part in', rules: VIEWER },
  { name: 'Researcher', description: 'Viewer who creates tasks', rules: RESEARCHER },
  {
    name: 'Organization Admin',
    description: 'Manages users and nodes of the organization',
    rules: ORGANIZATION_ADMIN,
  },
  {
    name: 'Collaboration Admin',
    description: 'Manages the collaborations of the organization',
    rules: COLLABORATION_ADMIN,
  },
];

/** The widest scope in which roles of these names allow the operation; undefined when none does. */
export function scopeOf(
  roles: readonly string[],
  resource: Resource,
  operation: Operation,
): Scope | undefined {
  let widest: Scope | undefined;
  for (const name of roles) {
    const rules = FIXED_ROLES.find((role) => role.name === name)?.rules ?? [];
    if (rules === 'all') return 'global';
    for (const rule of rules) {
      const [what, how, scope] = rule.split(' ') as [Resource, Operation, Scope];
      if (what !== resource || how !== operation) continue;
      if (widest === undefined || WIDTH[scope] > WIDTH[widest]) widest = scope;
    }
  }
  return widest;
}

/** True when roles of these names allow everything that `role` allows. */
export function rolesCover(roles: readonly string[], role: string): boolean {
  const rules = FIXED_ROLES.find((candidate) => candidate.name === role)?.rules;
  if (rules === undefined || rules === 'all') return roles.includes('Root');
  return rules.every((rule) => {
    const [resource, operation, scope] = rule.split(' ') as [Resource, Operation, Scope];
    const have = scopeOf(roles, resource, operation);
    return have !== undefined && WIDTH[have] >= WIDTH[scope];
  });
}
