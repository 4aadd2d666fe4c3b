import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ERROR_CATALOGUE, type ErrorCode } from '../../../../src/core/errors.ts';
import {
  climb,
  type LadderEvent,
  type LadderStart,
  type LadderState,
  startLadder,
} from '../../../../src/core/vpn/ladder.ts';
import { causeOf, type LadderFailure } from '../../../../src/core/vpn/ladder-causes.ts';

const CODES = Object.keys(ERROR_CATALOGUE) as ErrorCode[];

function failed(code: ErrorCode, more: Partial<LadderFailure> = {}): LadderEvent {
  return {
    type: 'failed',
    failure: { code, message: 'why', hints: [], definite: true, ...more },
  };
}

const usable: LadderEvent = { type: 'usable' };
const absent: LadderEvent = { type: 'absent' };
const connected: LadderEvent = { type: 'connected', address: '10.76.0.5' };

function play(start: LadderStart, ...events: LadderEvent[]): LadderState {
  return events.reduce(climb, startLadder(start));
}

describe('the credential ladder', () => {
  it('stays on the existing file without a portal call when it connects', () => {
    expect(play('existing', usable, connected)).toMatchObject({
      rung: 'existing',
      portalCalls: 0,
      end: { state: 'connected', address: '10.76.0.5' },
    });
  });

  it('asks for a new file when there is none', () => {
    expect(play('existing', absent, usable, connected)).toMatchObject({
      rung: 'new',
      portalCalls: 1,
      end: { state: 'connected' },
    });
  });

  it.each([
    'V6_VPN_CERTIFICATE_REFUSED',
    'V6_VPN_SERVER_UNTRUSTED',
    'V6_VPN_CIPHER_MISMATCH',
  ] as const)('renews after %s, and connects with what it got', (code) => {
    const state = play('existing', usable, failed(code), usable, connected);
    expect(state).toMatchObject({ rung: 'renew', portalCalls: 1 });
    expect(state.steps.map((step) => step.rung)).toEqual(['existing', 'renew']);
    expect(state.steps[0]?.outcome).toContain(code);
  });

  it('renews an expired file before it connects', () => {
    expect(play('existing', failed('V6_VPN_CERTIFICATE_EXPIRED')).action).toBe('renew');
    expect(play('renew', failed('V6_VPN_CERTIFICATE_EXPIRED')).action).toBe('renew');
  });

  it('asks for a new file when the renewed one is refused, then goes on without', () => {
    const refused = failed('V6_VPN_CERTIFICATE_REFUSED');
    const state = play('existing', usable, refused, usable, refused, usable, refused);
    expect(state).toMatchObject({
      rung: 'without',
      portalCalls: 2,
      end: { state: 'without', retry: { pace: 'late', from: 'existing' } },
    });
    expect(state.steps.map((step) => step.rung)).toEqual(['existing', 'renew', 'new']);
  });

  it('asks for a new file where an upstream server has no renewal', () => {
    const state = play(
      'existing',
      failed('V6_VPN_CERTIFICATE_EXPIRED'),
      failed('V6_SERVER_REFUSED', { status: 500 }),
    );
    expect(state).toMatchObject({ rung: 'new', action: 'fetch', portalCalls: 2 });
  });

  it('does not send a file for renewal that no portal can have written', () => {
    expect(play('existing', failed('V6_VPN_CONFIG_INVALID'))).toMatchObject({
      action: 'fetch',
      portalCalls: 1,
    });
  });

  it.each([
    'V6_VPN_SERVER_UNREACHABLE',
    'V6_VPN_SUBNET_MISMATCH',
    'V6_NET_OVERLAP',
    'V6_NET_TUN_MISSING',
    'V6_VPN_CLIENT_FAILED',
  ] as const)('spends no credential on %s', (code) => {
    expect(play('existing', usable, failed(code))).toMatchObject({
      rung: 'without',
      portalCalls: 0,
      end: { state: 'without', failure: { code }, retry: { from: 'existing' } },
    });
  });

  it('takes a refusal that is not definite for an unreachable server', () => {
    const state = play(
      'existing',
      usable,
      failed('V6_VPN_CERTIFICATE_REFUSED', { definite: false }),
    );
    expect(state).toMatchObject({ rung: 'without', portalCalls: 0 });
  });

  it.each([
    ['V6_PORTAL_UNREACHABLE', undefined, 'soon'],
    ['V6_SERVER_UNREACHABLE', undefined, 'soon'],
    ['V6_SERVER_REFUSED', 503, 'soon'],
    ['V6_SERVER_REFUSED', 501, 'late'],
    ['V6_PORTAL_ACCOUNT', undefined, 'late'],
    ['V6_PORTAL_QUOTA', undefined, 'late'],
    ['V6_PORTAL_ANSWER', undefined, 'late'],
  ] as const)('stops at a renewal that ends in %s %s and asks again %s', (code, status, pace) => {
    const state = play(
      'existing',
      usable,
      failed('V6_VPN_CERTIFICATE_REFUSED'),
      failed(code, status === undefined ? {} : { status }),
    );
    expect(state).toMatchObject({
      rung: 'without',
      portalCalls: 1,
      end: { state: 'without', retry: { pace, from: 'renew' } },
    });
  });

  it('asks at once when a later attempt has to start with a new file', () => {
    expect(startLadder('new')).toMatchObject({ rung: 'new', action: 'fetch', portalCalls: 1 });
  });
});

describe('the credential ladder, over all orders of events', () => {
  const event = fc.oneof(
    fc.constantFrom(usable, absent, connected),
    fc
      .record({
        code: fc.constantFrom(...CODES),
        definite: fc.boolean(),
        status: fc.option(fc.constantFrom(400, 401, 404, 500, 501, 503), { nil: undefined }),
      })
      .map(({ code, definite, status }) =>
        failed(code, status === undefined ? { definite } : { definite, status }),
      ),
  );
  const start = fc.constantFrom<LadderStart>('existing', 'renew', 'new');
  const fits = (state: LadderState, { type }: LadderEvent): boolean =>
    type === 'failed' ||
    (type === 'connected' && state.action === 'connect') ||
    (type === 'absent' && state.action === 'inspect') ||
    (type === 'usable' && ['inspect', 'renew', 'fetch'].includes(state.action));

  function walk(from: LadderStart, events: readonly LadderEvent[]): readonly LadderState[] {
    const states = [startLadder(from)];
    for (const one of events) {
      const last = states.at(-1) as LadderState;
      if (last.action !== 'finish' && fits(last, one)) states.push(climb(last, one));
    }
    return states;
  }

  it('ends after at most six answers, with at most one renewal and one new file', () => {
    fc.assert(
      fc.property(start, fc.array(event, { maxLength: 30 }), (from, events) => {
        const states = walk(from, events);
        expect(states.length).toBeLessThanOrEqual(7);
        const actions = states.map((state) => state.action);
        expect(actions.filter((action) => action === 'renew').length).toBeLessThanOrEqual(1);
        expect(actions.filter((action) => action === 'fetch').length).toBeLessThanOrEqual(1);
        const calls = actions.filter((action) => action === 'renew' || action === 'fetch').length;
        expect(states.at(-1)?.portalCalls).toBe(calls);
        expect((states.at(-1)?.end === undefined) === (actions.at(-1) !== 'finish')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('asks the portal for nothing after a failure that says nothing about the credential', () => {
    fc.assert(
      fc.property(start, fc.array(event, { maxLength: 30 }), (from, events) => {
        let state = startLadder(from);
        for (const one of events) {
          if (state.action === 'finish' || !fits(state, one)) continue;
          const next = climb(state, one);
          if (one.type === 'failed') {
            const cause = causeOf(one.failure);
            if (cause === 'unreachable' || cause === 'configuration') {
              expect(next.action).toBe('finish');
              expect(next.portalCalls).toBe(state.portalCalls);
            }
          }
          state = next;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('connects only with a file that was found usable just before', () => {
    fc.assert(
      fc.property(start, fc.array(event, { maxLength: 30 }), (from, events) => {
        const states = walk(from, events);
        for (const [at, state] of states.entries()) {
          if (state.action !== 'connect') continue;
          expect(['inspect', 'renew', 'fetch']).toContain(states[at - 1]?.action);
        }
      }),
    );
  });

  it('ends as its last answer says, and remembers each answer but a usable file', () => {
    fc.assert(
      fc.property(start, fc.array(event, { maxLength: 30 }), (from, events) => {
        let state = startLadder(from);
        let last: LadderEvent | undefined;
        let noted = 0;
        for (const one of events) {
          if (state.action === 'finish' || !fits(state, one)) continue;
          state = climb(state, one);
          last = one;
          if (one.type !== 'usable') noted += 1;
        }
        expect(state.steps).toHaveLength(noted);
        if (state.end?.state === 'connected')
          expect(last).toEqual({ type: 'connected', address: state.end.address });
        if (state.end?.state !== 'without') return;
        expect(last).toEqual({ type: 'failed', failure: state.end.failure });
        expect(state.rung).toBe('without');
        // `soon` is for whom nobody answered, and for nobody else.
        expect(state.end.retry.pace === 'soon').toBe(causeOf(state.end.failure) === 'unreachable');
      }),
      { numRuns: 2000 },
    );
  });

  it('only ever goes down a rung, and never moves again once it has ended', () => {
    const order = ['existing', 'renew', 'new', 'without'];
    fc.assert(
      fc.property(start, fc.array(event, { maxLength: 30 }), (from, events) => {
        const states = walk(from, events);
        const rungs = states.map(({ rung }) => order.indexOf(rung));
        expect(rungs).toEqual(rungs.toSorted((a, b) => a - b));
        const last = states.at(-1) as LadderState;
        if (last.action !== 'finish') return;
        for (const one of events) expect(climb(last, one)).toBe(last);
      }),
      { numRuns: 2000 },
    );
  });

  it('can always end: any failure repeated ends it within four answers', () => {
    fc.assert(
      fc.property(start, fc.constantFrom(...CODES), fc.boolean(), (from, code, definite) => {
        const failures = Array.from({ length: 4 }, () => failed(code, { definite }));
        expect(failures.reduce(climb, startLadder(from)).action).toBe('finish');
      }),
    );
  });
});
