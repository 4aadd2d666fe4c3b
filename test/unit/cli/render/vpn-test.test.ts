import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderMs, renderVpnTest } from '../../../../src/cli/render/vpn-test.ts';
import { ECHO_LABEL, ECHO_PROTOCOLS, type PairError } from '../../../../src/core/protocol/echo.ts';
import type { TestNode, TestPair, VpnTestReport } from '../../../../src/core/vpn/test-report.ts';

const names = ['alpha', 'beta', 'gamma'];

const node = (index: number, changes: Partial<TestNode> = {}): TestNode => ({
  organization: index + 1,
  node: names[index] ?? `node-${index}`,
  vpnAddress: `10.76.0.${index + 2}`,
  state: 'connected',
  ...changes,
});

function reportOf(
  size: number,
  fate: (from: number, to: number, protocol: string) => PairError | null,
  others: readonly TestNode[] = [],
): VpnTestReport {
  const ids = Array.from({ length: size }, (_, index) => index + 1);
  const pairs: TestPair[] = ids.flatMap((from) =>
    ids.flatMap((to) =>
      ECHO_PROTOCOLS.map((protocol) => {
        const error = fate(from, to, protocol);
        const median = from === to ? 0.3141 : 10 * from + to;
        return {
          from,
          to,
          protocol,
          label: ECHO_LABEL[protocol],
          address: `10.76.0.${to + 1}:49152`,
          ok: error === null,
          rttMs: error === null ? { min: median / 2, median, max: median * 2 } : null,
          error,
        };
      }),
    ),
  );
  const passed = pairs.filter(({ ok }) => ok).length;
  return {
    ok: passed === pairs.length,
    collaboration: 1,
    task: 12,
    nodes: [...ids.map((id) => node(id - 1)), ...others],
    pairs,
    summary: { pairs: pairs.length, passed, failed: pairs.length - passed, durationMs: 1234 },
  };
}

const golden = (name: string): string => path.join(import.meta.dirname, '../../../golden', name);

describe('the result of a VPN test for a human', () => {
  it('is a matrix with median round trips', async () => {
    const text = renderVpnTest(reportOf(3, () => null));
    await expect(text).toMatchFileSnapshot(golden('vpn-test-passed.txt'));
  });

  it('names failed pairs with their hop, then what to do, and nodes that were left out', async () => {
    const report = reportOf(
      3,
      (from, to, protocol) => {
        if (to === 3 && from !== 3)
          return { code: 'V6_TEST_TIMEOUT', message: 'no connection', hop: 'peer-client' };
        if (from === 3 && protocol === 'udp')
          return { code: 'V6_TEST_NO_ADDRESS', message: 'no address appeared', hop: null };
        return null;
      },
      [
        node(3, { node: 'delta', state: 'offline' }),
        node(4, { node: 'epsilon', state: 'skipped', vpnAddress: null }),
      ],
    );
    await expect(renderVpnTest(report)).toMatchFileSnapshot(golden('vpn-test-failed.txt'));
  });

  it('counts failed pairs beyond forty instead of listing them', () => {
    const report = reportOf(6, () => ({
      code: 'V6_TEST_TIMEOUT',
      message: 'no connection',
      hop: 'hub',
    }));
    const text = renderVpnTest(report);
    expect(text).toContain('and 32 more: --json lists all');
    expect(text.match(/→ .*hop: hub/g)).toHaveLength(40);
    expect(text.match(/→ hub:/g)).toHaveLength(1);
  });

  it.each([
    [0.314, '0.31 ms'],
    [12.34, '12.3 ms'],
    [123.4, '123 ms'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(renderMs(ms)).toBe(text);
  });
});
