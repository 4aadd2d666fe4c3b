import type { Operation, Resource, RuleRecord, Scope } from '../interfaces/records.ts';

/** `resource operation scope`, for example `task create collaboration`. */
export type RuleName = `${Resource} ${Operation} ${Scope}`;

const WIDTH: Readonly<Record<Scope, number>> = {
  own: 0,
  organization: 1,
  collaboration: 2,
  global: 3,
};

const WHERE: Readonly<Record<Scope, string>> = {
  own: 'of oneself only',
  organization: 'of the own organization',
  collaboration: 'in collaborations of the own organization',
  global: 'on the whole server',
};

const PLURAL: Partial<Record<Resource, string>> = { study: 'studies' };

const ALL = ['global', 'collaboration', 'organization'] as const;
const WITH_OWN = [...ALL, 'own'] as const;

/** Which scopes each right has (vantage6 4.14 server, `register` of each resource). The order makes the ids: add at the end only. */
const RIGHTS: readonly (readonly [Resource, Operation, readonly Scope[]])[] = [
  ['node', 'view', ALL],
  ['node', 'edit', ALL],
  ['node', 'create', ALL],
  ['node', 'delete', ALL],
  ['collaboration', 'view', ['global', 'organization']],
  ['collaboration', 'edit', ['global', 'collaboration']],
  ['collaboration', 'create', ['global']],
  ['collaboration', 'delete', ['global', 'collaboration']],
  ['organization', 'view', ALL],
  ['organization', 'edit', ALL],
  ['organization', 'create', ['global']],
  ['organization', 'delete', ['global']],
  ['task', 'view', WITH_OWN],
  ['task', 'create', ['global', 'collaboration']],
  ['task', 'delete', WITH_OWN],
  ['run', 'view', WITH_OWN],
  ['user', 'view', ALL],
  ['user', 'edit', WITH_OWN],
  ['user', 'create', ALL],
  ['user', 'delete', WITH_OWN],
  ['role', 'view', ALL],
  ['role', 'edit', ALL],
  ['role', 'create', ALL],
  ['role', 'delete', ALL],
  ['study', 'view', ALL],
  ['study', 'edit', ALL],
  ['study', 'create', ['global', 'collaboration']],
  ['study', 'delete', ALL],
  ['port', 'view', ['global', 'organization']],
  ['event', 'receive', ALL],
  ['event', 'send', ALL],
];

/** All rules there are, with the ids that they have on every server of ours: 1 to 86. */
export const RULES: readonly RuleRecord[] = RIGHTS.flatMap(([resource, operation, scopes]) =>
  scopes.map((scope) => ({ resource, operation, scope })),
).map((rule, at) => ({
  id: at + 1,
  ...rule,
  description: `${rule.operation} ${PLURAL[rule.resource] ?? `${rule.resource}s`} ${WHERE[rule.scope]}`,
}));

/** The rule of this name. Throws for one that there is not: names stand in our own code only. */
export function ruleNamed(name: RuleName): RuleRecord {
  const found = RULES.find(
    ({ resource, operation, scope }) => `${resource} ${operation} ${scope}` === name,
  );
  if (found === undefined) throw new TypeError(`There is no rule ${name}`);
  return found;
}

/** The rules with these ids; unknown ids give none. */
export function rulesOf(ids: Iterable<number>): readonly RuleRecord[] {
  const wanted = new Set(ids);
  return RULES.filter((rule) => wanted.has(rule.id));
}

/** The widest scope in which these rules allow the operation; undefined when none does. A wider scope holds all narrower ones. */
export function scopeOf(
  rules: readonly RuleRecord[],
  resource: Resource,
  operation: Operation,
): Scope | undefined {
  let widest: Scope | undefined;
  for (const rule of rules) {
    if (rule.resource !== resource || rule.operation !== operation) continue;
    if (widest === undefined || WIDTH[rule.scope] > WIDTH[widest]) widest = rule.scope;
  }
  return widest;
}

/** The first of the `wanted` rules that `rules` do not hold in at least its scope; undefined when they cover all. */
export function firstNotCovered(
  rules: readonly RuleRecord[],
  wanted: readonly RuleRecord[],
): RuleRecord | undefined {
  return wanted.find(({ resource, operation, scope }) => {
    const have = scopeOf(rules, resource, operation);
    return have === undefined || WIDTH[have] < WIDTH[scope];
  });
}
