import { planAccepts } from './accept-plan.ts';
import { planGuard } from './guard-plan.ts';
import { conflictsFor } from './host-conflicts.ts';
import { checkRules, type HostPlan } from './host-rules.ts';
import type { HostState } from './host-state.ts';
import { planMasquerade } from './masquerade.ts';
import type { Aim, PlanPart } from './plan-part.ts';

/** A plan for people, and what carries it out. */
export interface DecidedPlan extends Omit<PlanPart, 'changes'> {
  readonly plan: HostPlan;
}

/** Desired minus present for one owner; the parts of others stay as they are. Throws V6_FIREWALL_APPLY for words that cannot be in a rule. */
export function planHost(state: HostState, aim: Aim): DecidedPlan {
  const { owner, wanted } = aim;
  if (wanted !== undefined) checkRules(wanted);
  const parts = [
    planGuard(state, aim),
    ...state.filters.map((filter) => planAccepts(state, filter, aim)),
    planMasquerade(state, aim),
  ];
  return {
    plan: {
      owner,
      backend: state.backend,
      changes: parts.flatMap(({ changes }) => changes),
      conflicts: wanted === undefined ? [] : conflictsFor(state, wanted),
    },
    writes: parts.flatMap(({ writes }) => writes),
    faults: parts.flatMap(({ faults }) => faults),
  };
}
