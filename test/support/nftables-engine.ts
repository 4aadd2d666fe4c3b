import { existsSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import type { PrivateEngineOptions } from './private-engine.ts';

/**
 * Folder with `dockerd` (29 or newer) and a `runc` that it can use; docs/host-rules.md says how to make it. Without it the
 * installed engine stands in, which knows nothing of nftables.
 */
const PROGRAMS = process.env.V6_TEST_NFTABLES_ENGINE ?? '';
export const isRealNftablesEngine = PROGRAMS !== '';

/** How an engine whose own firewall is nftables is started, or one that makes no rules. */
export function nftablesEngine(): PrivateEngineOptions {
  if (!isRealNftablesEngine) return { iptables: 'none' };
  if (!existsSync(path.join(PROGRAMS, 'dockerd')))
    throw new Error(`V6_TEST_NFTABLES_ENGINE is ${PROGRAMS}, where no dockerd is`);
  // A runc of one's own may be without seccomp; nothing here depends on it.
  const args = ['--firewall-backend=nftables', '--seccomp-profile=unconfined'];
  return { iptables: 'nft', programs: PROGRAMS, args };
}

/**
 * Rules of the kind that Docker 29 makes with `--firewall-backend=nftables`, as they were listed on one: base chains that look
 * up the bridge, and two chains for each of its bridges.
 */
export function tablesOfNftablesEngine(bridge: string): string {
  return `table ip docker-bridges {
  map filter-forward-in-jumps {
    type ifname : verdict
    elements = { "${bridge}" : jump filter-forward-in__${bridge} }
  }
  map filter-forward-out-jumps {
    type ifname : verdict
    elements = { "${bridge}" : jump filter-forward-out__${bridge} }
  }
  chain filter-FORWARD {
    type filter hook forward priority filter; policy accept;
    oifname vmap @filter-forward-in-jumps
    iifname vmap @filter-forward-out-jumps
  }
  chain filter-forward-in__${bridge} {
    ct state established,related counter accept
    iifname "${bridge}" counter accept comment "ICC"
    counter drop comment "UNPUBLISHED PORT DROP"
  }
  chain filter-forward-out__${bridge} {
    ct state established,related counter accept
    counter accept comment "OUTGOING"
  }
}
`;
}

/**
 * A socket before an engine's: everything passes, but the engine also says which firewall it uses, as later ones do in
 * `GET /info`.
 */
export async function sayFirewall(engineSocket: string, socket: string, driver: string) {
  const server = net.createServer((client) => {
    client.once('data', (first) => {
      if (/^GET \/(v[\d.]+\/)?info /.test(first.toString('latin1'))) {
        void answerInfo(engineSocket, driver).then((answer) => client.end(answer));
        return;
      }
      const engine = net.createConnection(engineSocket);
      engine.write(first);
      client.pipe(engine).pipe(client);
      for (const end of [client, engine]) end.on('error', () => client.destroy());
    });
    client.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => {
    server.listen(socket, resolve);
  });
  return server;
}

async function answerInfo(socketPath: string, driver: string): Promise<string> {
  const text = await new Promise<string>((resolve, reject) => {
    const request = http.get({ socketPath, path: '/info', agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve(body));
    });
    request.on('error', reject);
  });
  const info = JSON.parse(text) as Record<string, unknown>;
  const body = JSON.stringify({ ...info, FirewallBackend: { Driver: driver } });
  const head = ['HTTP/1.1 200 OK', 'Content-Type: application/json', 'Connection: close'];
  return `${[...head, `Content-Length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`;
}
