import { ACCOUNT_OPERATIONS } from './accounts.ts';
import { COMPATIBILITY_OPERATIONS } from './compatibility.ts';
import type { Operations } from './operation.ts';
import { PARTY_OPERATIONS } from './parties.ts';
import { SERVICE_OPERATIONS } from './service.ts';
import { STUDY_OPERATIONS } from './studies.ts';
import { WORK_OPERATIONS } from './work.ts';

/** Everything that the server does, by method and path. A test fails when a route has no entry, or an entry no route. */
export const OPERATIONS: Operations = {
  ...SERVICE_OPERATIONS,
  ...ACCOUNT_OPERATIONS,
  ...PARTY_OPERATIONS,
  ...STUDY_OPERATIONS,
  ...WORK_OPERATIONS,
  ...COMPATIBILITY_OPERATIONS,
};
