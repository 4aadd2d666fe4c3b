import type { Verdict } from '../core/protocol/daemon.ts';
import type { DemoAdmin, DemoParts } from './parts.ts';
import { type DemoPlan, parsePlan } from './plan.ts';

/** File in the demo's folder that holds its plan. */
export const PLAN_FILE = 'plan.json';

/** The plan of the demo that is there; undefined when there is none, or none that this version wrote. */
export async function readPlan({ files }: Pick<DemoParts, 'files'>): Promise<DemoPlan | undefined> {
  return parsePlan((await files.read(PLAN_FILE)) ?? '');
}

/** What the steps of one `up` hand on to each other. */
export interface Progress {
  plan: DemoPlan;
  portalUrl: string;
  admin: DemoAdmin | undefined;
  collaboration: number;
  verdicts: Map<string, Verdict>;
  timings: { title: string; durationMs: number }[];
}

/** The coordination server as this host reaches it, without api path. */
export const localUrl = (plan: DemoPlan): string => `http://127.0.0.1:${plan.serverPort}`;
