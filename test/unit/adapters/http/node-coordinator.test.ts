import { describe, expect, it } from 'vitest';
import {
  createHttpCoordinator,
  type HttpCoordinator,
} from '../../../../src/adapters/http/node-coordinator.ts';
import { NodeSession, type SessionRequest } from '../../../../src/adapters/http/node-session.ts';
import { systemClock } from '../../../../src/core/clock.ts';
import { V6Error } from '../../../../src/core/errors.ts';
import type { Unknowns } from '../../../../src/core/protocol/json.ts';

/** A session that nobody is behind: each path is answered from here. */
class ScriptedSession extends NodeSession {
  readonly #answer: (path: string) => Unknowns;

  constructor(answer: (path: string) => Unknowns) {
    super({
      serverUrl: 'http://server.test',
      port: 80,
      apiPath: '/api',
      apiKey: '',
      clock: systemClock,
    });
    this.#answer = answer;
  }

  override async login(): Promise<number> {
    return 3;
  }

  override async send({ path }: SessionRequest): Promise<Unknowns> {
    if (/^\/(node|organization|collaboration)\//.test(path))
      return { name: 'north', organization: { id: 2 }, collaboration: { id: 1 } };
    return this.#answer(path);
  }
}

async function connect(answer: (path: string) => Unknowns): Promise<HttpCoordinator> {
  const coordinator = createHttpCoordinator(new ScriptedSession(answer));
  await coordinator.session.login();
  return coordinator;
}

const refuse = (status: number) => () => {
  throw new V6Error('V6_SERVER_REFUSED', 'Task id=5 does not exist!', { details: { status } });
};

describe('the open runs of a node', () => {
  it.each([400, 404])('are none of a task that was deleted: status %i', async (status) => {
    const { runs } = await connect(refuse(status));
    expect(await runs.listOpen(5)).toEqual([]);
    await expect(runs.listOpen()).rejects.toMatchObject({ details: { status } });
  });

  it('are told with the ports that the server lists for them', async () => {
    const run = { id: 7, status: 'active', task: { id: 5, image: 'echo:1' } };
    const ports = [{ port: 49_152, label: null }, { port: 49_153, protocol: 'udp' }, { port: 0 }];
    const { runs } = await connect(() => ({
      data: [
        { ...run, ports },
        { ...run, id: 8 },
      ],
    }));
    expect((await runs.listOpen()).map((open) => open.ports)).toEqual([
      [
        { port: 49_152, protocol: undefined },
        { port: 49_153, protocol: 'udp' },
      ],
      [],
    ]);
  });

  it.each([401, 500])('are not known of a task when the server says %i', async (status) => {
    const { runs } = await connect(refuse(status));
    await expect(runs.listOpen(5)).rejects.toMatchObject({ details: { status } });
  });
});
