import type { Rung, Verdict } from '../protocol/daemon.ts';
import { causeOf, type LadderFailure } from './ladder-causes.ts';

/**
 * The credential ladder: existing → renew → new → without. Pure: `startLadder` and `climb` say what to do next; whoever
 * drives it does that and reports what it ended in. A rung is left on a definite answer about the credential only. Where
 * nobody answers, or where the fault lies in a configuration, no credential is spent: the ladder ends without VPN at once.
 */
export interface LadderState {
  readonly rung: Rung;
  readonly action: LadderAction;
  /** Requests for a client config so far: at most one renewal and one new one. */
  readonly portalCalls: number;
  readonly steps: Verdict['steps'];
  /** Set when `action` is `finish`. */
  readonly end: LadderEnd | undefined;
}

/**
 * `inspect`: read the stored file, parse it, look at its end, without a connection. `connect`: hand the stored file to
 * openvpn. `renew`: `POST /vpn/update` with the stored file. `fetch`: `GET /vpn`. The last two store a usable answer.
 */
export type LadderAction = 'inspect' | 'connect' | 'renew' | 'fetch' | 'finish';

export type LadderEvent =
  /** Of `inspect`, `renew`, `fetch`: a file that passes the allow-list and has not ended is stored now. */
  | { readonly type: 'usable' }
  /** Of `inspect`: there is no file. */
  | { readonly type: 'absent' }
  /** Of `connect`. */
  | { readonly type: 'connected'; readonly address: string }
  /** Of any action. */
  | { readonly type: 'failed'; readonly failure: LadderFailure };

export type LadderEnd =
  | { readonly state: 'connected'; readonly address: string }
  | { readonly state: 'without'; readonly failure: LadderFailure; readonly retry: Retry };

/** When to climb again, and from where. */
export interface Retry {
  /** `soon`: nobody answered. `late`: somebody must change something first. */
  readonly pace: 'soon' | 'late';
  readonly from: LadderStart;
}

/** `renew`: the stored file is known to be refused, or a renewal is asked for. `new`: it cannot be renewed either. */
export type LadderStart = 'existing' | 'renew' | 'new';

/** A ladder before its first action. `steps`: what led to it, when a tunnel that was up failed by itself. */
export function startLadder(from: LadderStart, steps: Verdict['steps'] = []): LadderState {
  const start: LadderState = {
    rung: from,
    action: 'inspect',
    portalCalls: 0,
    steps,
    end: undefined,
  };
  return from === 'new' ? fetchNew(start) : start;
}

/** The ladder after what its present action ended in. A finished ladder stays as it is. */
export function climb(state: LadderState, event: LadderEvent): LadderState {
  if (state.action === 'finish') return state;
  switch (event.type) {
    case 'failed':
      return afterFailure(state, event.failure);
    case 'absent':
      return fetchNew(noted(state, 'no client config is stored'));
    case 'usable':
      // Only a renewal that was asked for inspects on its own rung.
      return state.action === 'inspect' && state.rung === 'renew'
        ? renew(state)
        : { ...state, action: 'connect' };
    case 'connected':
      return {
        ...noted(state, `connected as ${event.address}`),
        action: 'finish',
        end: { state: 'connected', address: event.address },
      };
  }
}

function afterFailure(state: LadderState, failure: LadderFailure): LadderState {
  const after = noted(state, outcomeOf(failure));
  switch (causeOf(failure)) {
    case 'unreachable':
      return without(after, failure, 'soon');
    case 'configuration':
      return without(after, failure, 'late');
    case 'credential':
      return canRenew(after) ? renew(after) : orNew(after, failure);
    case 'unusable':
      // A portal renews what it once wrote, so a file that it cannot have written is not sent to it.
      return orNew(after, failure);
    case 'ciphers':
      // The portal writes them: a file that came just now holds all that it has to offer.
      return canRenew(after) ? renew(after) : without(after, failure, 'late');
  }
}

function canRenew({ rung, action }: LadderState): boolean {
  return action === 'inspect' || (action === 'connect' && rung === 'existing');
}

function orNew(state: LadderState, failure: LadderFailure): LadderState {
  return state.rung === 'new' ? without(state, failure, 'late') : fetchNew(state);
}

function renew(state: LadderState): LadderState {
  return { ...state, rung: 'renew', action: 'renew', portalCalls: state.portalCalls + 1 };
}

function fetchNew(state: LadderState): LadderState {
  return { ...state, rung: 'new', action: 'fetch', portalCalls: state.portalCalls + 1 };
}

function without(state: LadderState, failure: LadderFailure, pace: Retry['pace']): LadderState {
  return {
    ...state,
    rung: 'without',
    action: 'finish',
    end: { state: 'without', failure, retry: { pace, from: retryFrom(state) } },
  };
}

/** What was asked for and not given is asked for again; what is stored is tried again. */
function retryFrom({ action }: LadderState): LadderStart {
  if (action === 'renew') return 'renew';
  return action === 'fetch' ? 'new' : 'existing';
}

/** A failure as a step tells it. */
export function outcomeOf({ code, message }: LadderFailure): string {
  return `${code}: ${message}`;
}

function noted(state: LadderState, outcome: string): LadderState {
  return { ...state, steps: [...state.steps, { rung: state.rung, outcome }] };
}
