import { describe, expect, it } from 'vitest';
import { FIXED_ROLES } from '../../../../src/server/auth/roles.ts';
import {
  firstNotCovered,
  RULES,
  ruleNamed,
  rulesOf,
  scopeOf,
} from '../../../../src/server/auth/rules.ts';

const rulesOfRoles = (...names: string[]) =>
  FIXED_ROLES.filter((role) => names.includes(role.name)).flatMap((role) => role.rules);

describe('rules', () => {
  it('are the 86 of vantage6 4.14, with ids that never move', () => {
    expect(RULES).toHaveLength(86);
    expect(new Set(RULES.map((rule) => rule.id)).size).toBe(86);
    expect(ruleNamed('node view global').id).toBe(1);
    expect(ruleNamed('task create collaboration').id).toBe(33);
    expect(ruleNamed('event send organization').id).toBe(86);
    expect(RULES.filter((rule) => rule.resource === 'role')).toHaveLength(12);
    expect(() => ruleNamed('task create own')).toThrow('no rule');
  });

  it('give the widest scope, and none where there is no rule', () => {
    expect(scopeOf(rulesOfRoles('Root'), 'node', 'delete')).toBe('global');
    expect(scopeOf(rulesOfRoles('Viewer'), 'task', 'create')).toBeUndefined();
    expect(scopeOf(rulesOfRoles('Viewer', 'Researcher'), 'task', 'create')).toBe('collaboration');
    expect(scopeOf([], 'task', 'view')).toBeUndefined();
    expect(rulesOf([1, 99])).toStrictEqual([RULES[0]]);
  });

  it('are covered by those that allow at least as much', () => {
    const covers = (one: string, other: string): boolean =>
      firstNotCovered(rulesOfRoles(one), rulesOfRoles(other)) === undefined;
    expect(covers('Collaboration Admin', 'Researcher')).toBe(true);
    expect(covers('Researcher', 'Organization Admin')).toBe(false);
    expect(covers('Collaboration Admin', 'Root')).toBe(false);
    expect(covers('Root', 'Collaboration Admin')).toBe(true);
  });
});
