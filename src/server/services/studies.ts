import { V6Error } from '../../core/errors.ts';
import type { StudyRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { closeTasks } from './kills.ts';
import { notFound } from './nodes.ts';
import { depends, getCollaboration, type PartyServiceDeps } from './parties.ts';
import type { TaskServiceDeps } from './tasks.ts';

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getStudy(store: Store, id: number): Promise<StudyRecord> {
  const study = await store.studies.find(id);
  if (study === undefined) throw notFound('study', id);
  return study;
}

/** A study with its members, or nothing. Throws V6_REQUEST_NOT_FOUND, _INVALID (no member of the collaboration), _CONFLICT (name). */
export async function createStudy(
  { store }: Pick<PartyServiceDeps, 'store'>,
  fields: Omit<StudyRecord, 'id'>,
  members: readonly number[],
): Promise<StudyRecord> {
  const id = await store.transaction(async (tx) => {
    await getCollaboration(tx, fields.collaborationId);
    await assertInside(tx, fields.collaborationId, members);
    const created = await tx.studies.create(fields);
    await tx.studies.setMembers(created, members);
    return created;
  });
  return getStudy(store, id);
}

/** Name and members at once, or nothing. Throws V6_REQUEST_INVALID, _CONFLICT. */
export async function changeStudy(
  { store }: Pick<PartyServiceDeps, 'store'>,
  study: StudyRecord,
  changes: {
    readonly name?: string | undefined;
    readonly members?: ((now: readonly number[]) => readonly number[]) | undefined;
  },
): Promise<StudyRecord> {
  await store.transaction(async (tx) => {
    if (changes.name !== undefined) await tx.studies.rename(study.id, changes.name);
    if (changes.members === undefined) return;
    const now = await tx.studies.members(study.id);
    const next = changes.members(now);
    await assertInside(
      tx,
      study.collaborationId,
      next.filter((one) => !now.includes(one)),
    );
    await tx.studies.setMembers(study.id, next);
  });
  return getStudy(store, study.id);
}

/** Throws V6_REQUEST_CONFLICT when tasks depend on it, unless `withDependents`; these are killed first. */
export async function removeStudy(
  deps: TaskServiceDeps,
  study: StudyRecord,
  options: { readonly withDependents: boolean },
): Promise<void> {
  const tasks = await deps.store.tasks.list(
    { studyId: study.id },
    { offset: 0, limit: 1, sort: [] },
  );
  if (tasks.total > 0 && !options.withDependents) throw depends('The study has tasks');
  await closeTasks(deps, { studyId: study.id });
  await deps.store.transaction((tx) => tx.studies.remove(study.id));
}

async function assertInside(
  store: Store,
  collaboration: number,
  organizations: readonly number[],
): Promise<void> {
  const members = await store.collaborations.members(collaboration);
  const strangers = organizations.filter((one) => !members.includes(one));
  if (strangers.length === 0) return;
  const message = `Not in collaboration ${collaboration}: ${strangers.join(', ')}`;
  throw new V6Error('V6_REQUEST_INVALID', message, {
    details: { errors: { organization_ids: [`${message}.`] } },
  });
}
