import type { Kysely } from 'kysely';
import { V6Error } from '../../core/errors.ts';
import type { InTurn } from '../../core/turns.ts';
import type { Store } from '../../server/interfaces/store.ts';
import { attemptStore, recoveryStore } from './attempts.ts';
import { collaborationStore } from './collaborations.ts';
import { nodeStore } from './nodes.ts';
import { organizationStore } from './organizations.ts';
import { portStore } from './ports.ts';
import { replicaStore } from './replicas.ts';
import { roleStore, ruleStore } from './roles.ts';
import { runStore } from './runs.ts';
import type { Schema } from './schema.ts';
import { secondFactorStore, sessionStore } from './sessions.ts';
import { studyStore } from './studies.ts';
import { taskStore } from './tasks.ts';
import { inTransaction } from './transactions.ts';
import { userStore } from './users.ts';
import { metaStore, vpnGrantStore } from './vpn-grants.ts';

/** What a store has beside its tables. */
export interface StoreParts {
  /** Several processes may use the database at once. */
  readonly isShared: boolean;
  readonly exclusively: InTurn;
  /** Throws V6_DATABASE when the database can be read at most; its message may be shown to everybody. */
  readonly checkWritable: () => Promise<void>;
  /** Repeating it is fine. */
  readonly close: () => Promise<void>;
}

/** The store on one connection pool, or inside one transaction. */
export function storeOf(db: Kysely<Schema>, parts: StoreParts): Store {
  return {
    organizations: organizationStore(db),
    collaborations: collaborationStore(db),
    nodes: nodeStore(db),
    users: userStore(db),
    roles: roleStore(db),
    rules: ruleStore(db),
    studies: studyStore(db),
    tasks: taskStore(db),
    runs: runStore(db),
    ports: portStore(db),
    vpnGrants: vpnGrantStore(db),
    meta: metaStore(db),
    replicas: replicaStore(db),
    sessions: sessionStore(db),
    secondFactors: secondFactorStore(db),
    recoveries: recoveryStore(db),
    attempts: attemptStore(db),
    ...parts,
    transaction: (work) => inTransaction(db, (trx) => work(storeOf(trx, parts))),
    check: async () => {
      try {
        await db.selectFrom('role').select('id').limit(1).execute();
      } catch (error) {
        throw new V6Error('V6_DATABASE', 'The database does not answer', { cause: error });
      }
      await parts.checkWritable();
    },
  };
}
