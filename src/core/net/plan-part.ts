import type { HostChange, HostRules } from './host-rules.ts';
import type { IptablesTool } from './host-state.ts';

/** Whom a plan is about, and what that node wants; undefined: nothing any more. */
export interface Aim {
  readonly owner: string;
  readonly wanted: HostRules | undefined;
}

/** One transaction: what the tool reads on its standard input. */
export interface HostWrite {
  readonly tool: 'nft' | IptablesTool;
  readonly batch: string;
  /** A host that cannot do this keeps its node all the same. */
  readonly isOptional?: boolean;
}

/** What one of our places on a host adds to a plan. */
export interface PlanPart {
  readonly changes: readonly HostChange[];
  /** None when everything stands as wanted. */
  readonly writes: readonly HostWrite[];
  /** What was found instead, one sentence for each thing that is not as wanted. */
  readonly faults: readonly string[];
}
