import type { KeyReader } from './key-reader.ts';
import type { NodeConfig } from './node-config.ts';

/** The `policies` section of a node's configuration; what is wrong with it goes to the reader. */
export function readPolicies(policies: KeyReader): NodeConfig['policies'] {
  refuseStores(policies);
  return {
    allowedAlgorithms: policies.texts('allowed_algorithms'),
    allowedUsers: allowedUsers(policies),
    allowedOrganizations: list(policies, 'allowed_organizations').map(String),
    requireAlgorithmPull: policies.flag('require_algorithm_pull') ?? true,
    readOnlyRoot: policies.flag('read_only_root') ?? false,
  };
}

/** By id only: servers do not tell nodes the names of users (vantage6 4.15 server, resource/user.py, `with_user`). */
function allowedUsers(policies: KeyReader): readonly number[] {
  return list(policies, 'allowed_users').flatMap((item) => {
    const id = Number(item);
    if (Number.isSafeInteger(id) && id > 0) return [id];
    policies.problem(
      'allowed_users',
      `holds ${JSON.stringify(item)}: users are named by their id, because servers tell nodes no names of users`,
    );
    return [];
  });
}

/** Texts and numbers; one alone, absent and empty are fine. */
function list(policies: KeyReader, key: string): readonly (string | number)[] {
  const value = policies.raw(key);
  if (value === undefined) return [];
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  const good = items.filter((item) => typeof item === 'number' || typeof item === 'string');
  if (good.length !== items.length) policies.problem(key, 'must be a list of ids or names');
  return good.map((item) => (typeof item === 'string' ? item.trim() : item));
}

/** A policy that would not be enforced must not look as if it were: there is no algorithm store to ask. */
function refuseStores(policies: KeyReader): void {
  const value = policies.raw('allowed_algorithm_stores');
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return;
  policies.problem(
    'allowed_algorithm_stores',
    'is not enforced by this version, which asks no algorithm store: list images in allowed_algorithms',
  );
}
