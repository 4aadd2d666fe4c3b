import { describe, expect, it } from 'vitest';
import { renderNodeStatus, renderVerdict } from '../../../../src/cli/render/node.ts';
import type { DaemonStatus, Verdict } from '../../../../src/core/protocol/daemon.ts';

const CONNECTED: Verdict = {
  state: 'connected',
  rung: 'existing',
  vpnAddress: '10.76.0.5',
  portalCalls: 0,
  warning: null,
  steps: [{ rung: 'existing', outcome: 'connected as 10.76.0.5' }],
};

const STATUS: DaemonStatus = {
  node: { id: 3, name: 'alpha', organization: 2, collaboration: 1 },
  pid: 4711,
  startedAt: '2030-01-01T00:00:00.000Z',
  server: { url: 'http://server.example.test:7601/api', connected: true },
  vpn: {
    ...CONNECTED,
    certificateExpiresAt: '2030-03-01T00:00:00.000Z',
    connectedSince: '2030-01-01T00:00:01.000Z',
  },
  encryption: null,
  engine: { version: '20.10.24', liveRestore: false },
  slots: { total: 4, busy: 1 },
  runs: [
    {
      run: 41,
      task: 17,
      image: 'v6-echo:0.1.0',
      state: 'active',
      since: '2030-01-01T00:01:00.000Z',
    },
    ...[42, 43].map((run) => ({
      run,
      task: 18,
      image: 'v6-echo:0.1.0',
      state: 'queued',
      since: '2030-01-01T00:02:00.000Z',
    })),
  ],
  queued: 2,
};

describe('what a node shows', () => {
  it('is one line when the stored file worked', () => {
    expect(renderVerdict(CONNECTED)).toBe(
      'VPN: connected as 10.76.0.5 with the stored client config',
    );
  });

  it('lists the steps when a rung was left', () => {
    const text = renderVerdict({
      ...CONNECTED,
      rung: 'renew',
      portalCalls: 1,
      steps: [
        { rung: 'existing', outcome: 'V6_VPN_CERTIFICATE_REFUSED: the VPN server refused it' },
        { rung: 'renew', outcome: 'connected as 10.76.0.5' },
      ],
    });
    expect(text).toBe(
      [
        'VPN: connected as 10.76.0.5 with a renewed client config',
        '  existing: V6_VPN_CERTIFICATE_REFUSED: the VPN server refused it',
        '  renew: connected as 10.76.0.5',
        '  client configs asked for: 1',
      ].join('\n'),
    );
  });

  it.each([
    ['without', 'VPN: the node runs without'],
    ['off', 'VPN: off (vpn_subnet is empty)'],
    ['trying', 'VPN: still trying'],
  ] as const)('names the state %s', (state, line) => {
    expect(renderVerdict({ ...CONNECTED, state, steps: [] })).toBe(line);
  });

  it('tells what each waiting run waits for, and what of the network cannot be repaired', () => {
    const reason = '1 of 1 runs are active (max_runs)';
    const text = renderNodeStatus({
      ...STATUS,
      queue: [42, 43].map((run, index) => ({ run, task: 18, position: index + 1, reason })),
      network: {
        lastCheck: '2030-01-01T00:03:00.000Z',
        repairs: 1,
        lastRepair: {
          at: '2030-01-01T00:02:00.000Z',
          what: 'slot network v6z-user-alpha-0',
          trigger: 'timer',
        },
        failing: [
          {
            what: 'uplink network site',
            code: 'V6_CONFIG_INVALID',
            message: 'uplink_network site does not exist',
            since: '2030-01-01T00:01:00.000Z',
          },
        ],
      },
    });
    expect(text).toContain(`queued, 1. in line: ${reason}`);
    expect(text).toContain(`queued, 2. in line: ${reason}`);
    expect(text).toContain('NOT as it must be, checked 2030-01-01T00:03:00.000Z; repairs');
    expect(text).toContain('last: slot network v6z-user-alpha-0, 2030-01-01T00:02:00.000Z');
    expect(text).toContain('V6_CONFIG_INVALID: uplink network site: uplink_network site does not');
  });

  it('is a list of facts and a table of runs for its status', () => {
    const text = renderNodeStatus(STATUS);
    expect(text).toContain('node              alpha (id 3)');
    expect(text).toContain('server            http://server.example.test:7601/api connected');
    expect(text).toContain('certificate ends  2030-03-01T00:00:00.000Z');
    expect(text).toContain('runs              1 active, 2 waiting');
    expect(text).toMatch(/^41 +17 +v6-echo:0\.1\.0 +active/m);
    expect(renderNodeStatus({ ...STATUS, runs: [] })).not.toContain('IMAGE');
  });
});
