import type { Expression, ExpressionBuilder, SqlBool } from 'kysely';
import { isFailed, type RunStatus } from '../../core/protocol/entities.ts';
import type { Schema } from './schema.ts';

const NOT_FAILED = ['pending', 'initializing', 'active', 'completed'] as const;
/** The strongest first. */
const OPEN = ['active', 'initializing', 'pending'] as const;

/** `taskStatus` of core/protocol as a condition on `task`: failed runs win, then the first open status that any run has. */
export function hasStatus(
  eb: ExpressionBuilder<Schema, 'task'>,
  wanted: RunStatus,
): Expression<SqlBool> {
  const runs = () => eb.selectFrom('run').select('run.id').whereRef('run.task_id', '=', 'task.id');
  const failed = () => runs().where('run.status', 'not in', NOT_FAILED);
  if (isFailed(wanted)) {
    const isAgreed = eb.and([
      eb.exists(failed()),
      eb.not(eb.exists(failed().where('run.status', '!=', wanted))),
    ]);
    if (wanted !== 'failed') return isAgreed;
    const kinds = failed()
      .clearSelect()
      .select((inner) => inner.fn.count<number>('run.status').distinct().as('kinds'));
    return eb.or([isAgreed, eb(kinds, '>', 1)]);
  }
  const at = OPEN.findIndex((status) => status === wanted);
  const stronger = at < 0 ? OPEN : OPEN.slice(0, at);
  const none = [
    eb.not(eb.exists(failed())),
    ...stronger.map((status) => eb.not(eb.exists(runs().where('run.status', '=', status)))),
  ];
  return eb.and(at < 0 ? none : [...none, eb.exists(runs().where('run.status', '=', wanted))]);
}
