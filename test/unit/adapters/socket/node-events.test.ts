import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { NodeEvents } from '../../../../src/adapters/socket/node-events.ts';
import { systemClock } from '../../../../src/core/clock.ts';
import { silentLogger } from '../../../../src/core/logger.ts';

const WAIT_MS = 300;

it('opens no connection when it is told to stop while it waits for a token', async () => {
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    response.writeHead(500).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const life = new AbortController();
  const token = {
    current: async () => {
      life.abort();
      return 'token';
    },
    discard: () => {},
  };
  const origin = `http://127.0.0.1:${port}`;
  const events = new NodeEvents({ origin, token, clock: systemClock, logger: silentLogger });
  events.listen({ onSync: () => {} } as never, life.signal);
  await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  server.close();
  expect(asked).toBe(0);
});
