import { Agent } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { request } from './http-request.ts';
import { wallClock } from './statistics.ts';

/** A steady REST call beside the measurement. */
export interface Probe {
  /** Times in ms of the calls that ran at some moment between the two wall-clock times. */
  between(from: number, to: number): number[];
  stop(): Promise<void>;
}

const EVERY_MS = 10;

/** `GET path` every 10 ms, whether the last ones were answered or not. */
export function startProbe(origin: string, path: string, token: string): Probe {
  const agent = new Agent({ keepAlive: true });
  const calls: { readonly began: number; readonly took: number }[] = [];
  const open = new Set<Promise<void>>();
  const state = { isOn: true };
  const call = async (): Promise<void> => {
    const began = wallClock();
    await request(agent, { url: `${origin}/api${path}`, token });
    calls.push({ began, took: wallClock() - began });
  };
  const loop = async (): Promise<void> => {
    while (state.isOn) {
      const one = call();
      open.add(one);
      one.then(
        () => open.delete(one),
        () => undefined,
      );
      await setTimeout(EVERY_MS);
    }
  };
  const running = loop();
  return {
    between: (from, to) =>
      calls
        .filter(({ began, took }) => began <= to && began + took >= from)
        .map(({ took }) => took),
    stop: async () => {
      state.isOn = false;
      await running;
      await Promise.all(open);
      agent.destroy();
    },
  };
}
