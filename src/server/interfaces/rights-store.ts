import type { PageRequest, Pattern, Rows } from './paging.ts';
import type { Operation, Resource, RoleRecord, RuleRecord, Scope, StudyRecord } from './records.ts';

/** Roles as one sees or asks for them: one that fits any of these. */
export interface RoleScope {
  readonly ids: readonly number[];
  readonly organizationIds: readonly number[];
  /** Those without an organization. */
  readonly serverWide: boolean;
}

export interface RoleFilter {
  readonly name?: Pattern | undefined;
  readonly description?: Pattern | undefined;
  readonly wanted?: RoleScope | undefined;
  readonly visible?: RoleScope | undefined;
  readonly ruleId?: number | undefined;
  readonly userId?: number | undefined;
}

export interface RoleStore {
  find(id: number): Promise<RoleRecord | undefined>;
  list(filter: RoleFilter, page: PageRequest): Promise<Rows<RoleRecord>>;
  /** Names are unique per organization: V6_REQUEST_CONFLICT. */
  create(fields: {
    readonly name: string;
    readonly description: string;
    readonly organizationId: number | null;
    readonly rules: readonly number[];
  }): Promise<number>;
  update(
    id: number,
    changes: {
      readonly name?: string | undefined;
      readonly description?: string | undefined;
      readonly rules?: readonly number[] | undefined;
    },
  ): Promise<void>;
  /** Users lose it. */
  remove(id: number): Promise<void>;
}

export interface RuleFilter {
  readonly ids?: readonly number[] | undefined;
  readonly resource?: Resource | undefined;
  readonly operation?: Operation | undefined;
  readonly scope?: Scope | undefined;
  readonly roleId?: number | undefined;
  /** Rules of the user, directly given or through a role. */
  readonly userId?: number | undefined;
}

export interface RuleStore {
  find(id: number): Promise<RuleRecord | undefined>;
  list(filter: RuleFilter, page: PageRequest): Promise<Rows<RuleRecord>>;
  /** Ids of all rules that any of these roles has. */
  ofRoles(roles: readonly number[]): Promise<readonly number[]>;
}

export interface StudyFilter {
  readonly ids?: readonly number[] | undefined;
  readonly name?: Pattern | undefined;
  /** Studies that the organization takes part in. */
  readonly organizationId?: number | undefined;
  /** As above, beside what the caller asks for. */
  readonly memberId?: number | undefined;
  readonly collaborationIds?: readonly number[] | undefined;
}

export interface StudyStore {
  find(id: number): Promise<StudyRecord | undefined>;
  list(filter: StudyFilter, page: PageRequest): Promise<Rows<StudyRecord>>;
  create(fields: Omit<StudyRecord, 'id'>): Promise<number>;
  rename(id: number, name: string): Promise<void>;
  /** Removes it with its tasks. */
  remove(id: number): Promise<void>;
  /** Ids of the organizations in it. */
  members(id: number): Promise<readonly number[]>;
  setMembers(id: number, organizations: readonly number[]): Promise<void>;
  /** Takes organizations out of all studies of a collaboration. */
  removeMembers(collaboration: number, organizations: readonly number[]): Promise<void>;
}
