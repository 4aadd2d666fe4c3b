import type { RuleRecord } from '../interfaces/records.ts';
import { RULES, type RuleName, ruleNamed } from './rules.ts';

/** The fixed roles of upstream (vantage6 4.14 server, default_roles.py), which every server has and nobody changes. */
export interface FixedRole {
  readonly name: string;
  readonly description: string;
  readonly rules: readonly RuleRecord[];
}

const CONTAINER: readonly RuleName[] = [
  'node view organization',
  'collaboration view organization',
  'organization view organization',
  'organization view collaboration',
  'task view collaboration',
  'run view collaboration',
  'study view organization',
];

const NODE: readonly RuleName[] = [
  ...CONTAINER,
  'node edit organization',
  'organization edit organization',
];

const VIEWER: readonly RuleName[] = [
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
  'port view organization',
  'event receive organization',
  'event receive collaboration',
  'study view organization',
];

const RESEARCHER: readonly RuleName[] = [
  ...VIEWER,
  'task create collaboration',
  'task delete organization',
];

const ORGANIZATION_ADMIN: readonly RuleName[] = [
  ...VIEWER,
  'user create organization',
  'user edit organization',
  'user delete organization',
  'organization edit organization',
  'role create organization',
  'role edit organization',
  'role delete organization',
  'node create organization',
  'node edit organization',
  'event send organization',
];

const COLLABORATION_ADMIN: readonly RuleName[] = [
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
  'study view collaboration',
  'study create collaboration',
  'study edit collaboration',
  'study delete collaboration',
];

const named = (names: readonly RuleName[]): readonly RuleRecord[] =>
  [...new Set(names)].map(ruleNamed);

/** In the order of their ids; Root is 1, as on a Python server. */
export const FIXED_ROLES: readonly FixedRole[] = [
  { name: 'Root', description: 'May do everything', rules: RULES },
  {
    name: 'container',
    description: 'Of algorithm containers; not for users',
    rules: named(CONTAINER),
  },
  { name: 'node', description: 'Of nodes; not for users', rules: named(NODE) },
  {
    name: 'Viewer',
    description: 'Sees what the organization takes part in',
    rules: named(VIEWER),
  },
  { name: 'Researcher', description: 'Viewer who creates tasks', rules: named(RESEARCHER) },
  {
    name: 'Organization Admin',
    description: 'Manages users and nodes of the organization',
    rules: named(ORGANIZATION_ADMIN),
  },
  {
    name: 'Collaboration Admin',
    description: 'Manages the collaborations of the organization',
    rules: named(COLLABORATION_ADMIN),
  },
];

/** Fixed roles that are no user's. */
export const isForUsers = (role: { readonly name: string; readonly isDefault: boolean }): boolean =>
  !role.isDefault || (role.name !== 'node' && role.name !== 'container');
