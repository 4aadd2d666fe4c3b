import { expect, it } from 'vitest';
import type { Task } from '../../../../src/core/protocol/entities.ts';
import { isInitiatorAllowed } from '../../../../src/node/runs/initiator.ts';
import { FakeCoordinator } from '../../../fakes/coordinator.ts';
import { nodeConfig } from '../../../fakes/node-world.ts';

const { signal } = new AbortController();

/** The task of the fake was started by user 1 of organization 2, North. */
async function isAllowed(
  policies: Partial<ReturnType<typeof nodeConfig>['policies']>,
  task: Partial<Task> = {},
): Promise<{ readonly allowed: boolean; readonly asked: number }> {
  const coordinator = new FakeCoordinator();
  coordinator.setKey(2, '', 'North');
  coordinator.setKey(3, '', 'South');
  const run = coordinator.add({ image: 'echo:1' });
  const config = nodeConfig({ policies: { ...nodeConfig().policies, ...policies } });
  const { identity, organizations } = coordinator;
  const of = { ...run.task, ...task };
  const allowed = await isInitiatorAllowed({ config, identity, organizations }, of, signal);
  return { allowed, asked: coordinator.journal.length };
}

it('lets everybody start tasks where no list says otherwise, and asks nobody', async () => {
  expect(await isAllowed({})).toEqual({ allowed: true, asked: 0 });
});

it.each([
  ['the user by id', { allowedUsers: [1] }, true],
  ['other users', { allowedUsers: [2, 3] }, false],
  ['the organization by id', { allowedOrganizations: ['2'] }, true],
  ['the organization by name', { allowedOrganizations: ['North'] }, true],
  ['another organization by name', { allowedOrganizations: ['South'] }, false],
  ['an organization that is not there', { allowedOrganizations: ['East'] }, false],
  ['a part of the name', { allowedOrganizations: ['Nor', 'north', '%'] }, false],
  [
    'one list that has it and one that has it not',
    { allowedUsers: [9], allowedOrganizations: ['North'] },
    true,
  ],
])('judges %s', async (_what, policies, allowed) => {
  expect((await isAllowed(policies)).allowed).toBe(allowed);
});

it('refuses a task whose initiator the server does not name', async () => {
  const gone = { init_org: null, init_user: null } as unknown as Partial<Task>;
  expect(
    (await isAllowed({ allowedUsers: [1], allowedOrganizations: ['North'] }, gone)).allowed,
  ).toBe(false);
});
