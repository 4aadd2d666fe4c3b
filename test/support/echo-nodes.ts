import { AlgorithmClient } from '../../src/algorithm/client.ts';
import { runMesh } from '../../src/algorithm/echo/mesh.ts';
import { readIdentity } from '../../src/algorithm/token.ts';
import { ECHO_LABEL } from '../../src/core/protocol/echo.ts';
import type { FakeCoordinationServer, FakeRun } from '../fakes/coordination-server.ts';

/**
 * Lets nodes of the fake server run echo tasks for real, in this process: each on its own loopback address, which stands in
 * for its tunnel address.
 */
export function serveEchoTasks(
  server: FakeCoordinationServer,
  options: { readonly patienceMs?: number; readonly addressLimitMs?: number } = {},
): void {
  server.onRun = async (run, _task, at) => {
    run.status = 'active';
    const { kwargs } = JSON.parse(Buffer.from(run.input, 'base64').toString()) as {
      kwargs: { organizations: number[]; probes: number; limitMs: number };
    };
    const token = at.containerToken(run);
    const client = new AlgorithmClient({
      baseUrl: at.url,
      token,
      identity: readIdentity(token),
    });
    const report = await runMesh(
      client,
      {
        ...kwargs,
        ...options,
        ports: { tcp: 0, udp: 0, host: loopbackOf(run.organization) },
        onListening: (ports) => {
          register(run, ports);
        },
      },
      new AbortController().signal,
    );
    at.finish(run, report);
  };
}

/** The loopback address that stands in for the tunnel address of an organization's node. */
export const loopbackOf = (organization: number): string => `127.0.72.${organization}`;

function register(run: FakeRun, ports: { readonly tcp: number; readonly udp: number }): void {
  run.ports = [
    { port: ports.tcp, protocol: 'tcp', label: ECHO_LABEL.tcp },
    { port: ports.udp, protocol: 'udp', label: ECHO_LABEL.udp },
  ];
}
