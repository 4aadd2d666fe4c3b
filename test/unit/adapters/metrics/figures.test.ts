import { describe, expect, it } from 'vitest';
import { createFigures } from '../../../../src/adapters/metrics/figures.ts';

const report = {
  os: 'posix',
  platform: 'linux',
  values: { cpu_percent: 12.5, gpu_count: 2 },
  gpus: { gpu_load: [10, 20] },
};

/** Value of the one line that begins with this; undefined without one. */
async function value(figures: ReturnType<typeof createFigures>, start: string) {
  const lines = (await figures.registry.metrics()).split('\n');
  const found = lines.filter((line) => line.startsWith(start));
  expect(found.length).toBeLessThan(2);
  return found[0]?.slice(found[0].lastIndexOf(' ') + 1);
}

describe('figures', () => {
  it('count answers by route and status, and refused logins by kind', async () => {
    const figures = createFigures();
    const answer = { method: 'POST', route: '/api/token/node', status: 401, seconds: 0.002 };
    figures.answered(answer);
    figures.answered({ ...answer, status: 200 });
    figures.answered({ ...answer, method: 'GET', route: '/api/node/:id', status: 403 });
    expect(
      await value(
        figures,
        'v6_http_request_duration_seconds_count{method="POST",route="/api/token/node",status="401"}',
      ),
    ).toBe('1');
    expect(await value(figures, 'v6_failed_logins_total{kind="node"}')).toBe('1');
    expect(await value(figures, 'v6_failed_logins_total{kind="user"}')).toBeUndefined();
  });

  it('count what the database fails, and VPN configurations', async () => {
    const figures = createFigures();
    figures.refused('V6_DATABASE');
    figures.refused('V6_REQUEST_INVALID');
    figures.gaveVpn();
    expect(await value(figures, 'v6_database_errors_total')).toBe('1');
    expect(await value(figures, 'v6_refused_requests_total{code="V6_REQUEST_INVALID"}')).toBe('1');
    expect(await value(figures, 'v6_vpn_configurations_given_total')).toBe('1');
  });

  it('have no value for what cannot be looked up, and go on with the rest', async () => {
    const figures = createFigures();
    figures.follow({
      sockets: () => [{ kind: 'node', transport: 'polling', count: 3 }],
      nodesOnline: async () => 7,
      openRuns: async () => {
        throw new Error('away');
      },
    });
    expect(await value(figures, 'v6_sockets{kind="node",transport="polling"}')).toBe('3');
    expect(await value(figures, 'v6_nodes_online')).toBe('7');
    expect(await value(figures, 'v6_runs_open')).toBe('Nan');
  });

  it('hold the last report of a node under upstream names, until it leaves', async () => {
    const figures = createFigures();
    figures.nodeReported(5, report);
    figures.nodeReported(5, { ...report, gpus: { gpu_load: [30] } });
    const labels = 'node_id="5",os="posix",platform="linux"';
    expect(await value(figures, `cpu_percent{${labels}}`)).toBe('12.5');
    expect(await value(figures, `gpu_count{${labels}}`)).toBe('2');
    expect(await value(figures, 'gpu_load{')).toBe('30');
    figures.nodeLeft(5);
    expect(await value(figures, 'cpu_percent{')).toBeUndefined();
    expect(await value(figures, 'gpu_load{')).toBeUndefined();
  });
});
