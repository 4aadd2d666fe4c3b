import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openVpnText } from '../../src/adapters/eduvpn/client-text.ts';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import type { PortalSettings } from '../../src/core/config/portal-settings.ts';
import { parseVpnServerBlock } from '../../src/core/config/vpn-server-block.ts';
import {
  type PortalReplay,
  recorded,
  recordedStep,
  startPortalReplay,
} from '../support/portal-replay.ts';
import {
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../support/server-app.ts';

let world: World;
let replay: PortalReplay | undefined;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(async () => {
  await world.close();
  await replay?.close();
  replay = undefined;
});

const patch = (path: string, body: object, token: string) =>
  world.call('PATCH', path, { token, body });
const register = (run: number, port: number, token: string) =>
  world.call('POST', '/port', { token, body: { run_id: run, port } });

/** Both nodes online with an address, both runs active with one port; the token of the northern algorithm. */
async function bringUp() {
  const task = await createTask(world);
  const run = {
    north: await runOf(world, task, world.north),
    south: await runOf(world, task, world.south),
  };
  const nodes = [
    [world.northNode, run.north, 5],
    [world.southNode, run.south, 6],
  ] as const;
  for (const [{ node, token }, id, last] of nodes) {
    await world.presence.connected(node.id);
    await patch(`/node/${node.id}`, { ip: `10.76.0.${last}` }, token);
    await register(id, 50_000 + last, token);
    await patch(`/run/${id}`, { status: 'active' }, token);
  }
  return { task, run, token: await containerOf(world, world.northNode.token, task) };
}

const addresses = (token: string, query = '') =>
  world.call('GET', `/vpn/algorithm/addresses${query}`, { token });

async function portsOf(token: string, query = ''): Promise<readonly number[]> {
  const answer = await addresses(token, query);
  expect(answer.status).toBe(200);
  return (answer.body.addresses as { port: number }[]).map(({ port }) => port);
}

describe('upstream weakness: addresses of algorithms', () => {
  const ways: readonly (readonly [string, (at: { run: { south: number } }) => Promise<unknown>])[] =
    [
      [
        'a finished run',
        ({ run }) => patch(`/run/${run.south}`, { status: 'completed' }, world.southNode.token),
      ],
      [
        'a killed run',
        () =>
          world.call('POST', '/kill/node/tasks', {
            token: world.root.token,
            body: { id: world.southNode.node.id },
          }),
      ],
      [
        'a node that is offline',
        () => world.store.nodes.update(world.southNode.node.id, { isOnline: false }),
      ],
      [
        'a node without an address',
        () => patch(`/node/${world.southNode.node.id}`, { clear_ip: true }, world.southNode.token),
      ],
    ];
  it.each(ways)('are served for the dead, with ip null: ours not for %s', async (_what, end) => {
    const { token, run } = await bringUp();
    expect(await portsOf(token)).toStrictEqual([50_005, 50_006]);
    await end({ run });
    expect(await portsOf(token)).toStrictEqual([50_005]);
  });

  it('only_parent of a top-level task is the task itself: ours is nobody', async () => {
    const { token } = await bringUp();
    expect(await portsOf(token, '?only_parent=1')).toStrictEqual([]);
  });

  it('flags are true for any text, so clients of 3.9 to 4.0.2 never succeed: ours read False as off', async () => {
    const { token } = await bringUp();
    const names = ['only_children', 'only_parent', 'include_children', 'include_parent'];
    for (const off of ['False', 'false', '0', 'no', ''])
      expect(
        await portsOf(token, `?${names.map((name) => `${name}=${off}`).join('&')}`),
      ).toStrictEqual([50_005, 50_006]);
    expect(await portsOf(token, '?only_self=False&only_siblings=1')).toStrictEqual([50_006]);
  });

  it('the check of include_ with only_ is dead code: ours has one answer for each pair, and refuses two only_', async () => {
    const { token } = await bringUp();
    expect((await addresses(token, '?only_self=1&only_siblings=1')).status).toBe(400);
    expect(await portsOf(token, '?only_self=1&include_children=1')).toStrictEqual([50_005]);
    expect(await portsOf(token, '?only_siblings=1&include_parent=1')).toStrictEqual([50_006]);
    const child = await world.call('POST', '/task', {
      token,
      body: { image: IMAGE, organizations: [{ id: world.north, input: INPUT }] },
    });
    const inner = await containerOf(world, world.northNode.token, child.body.id as number);
    expect(await portsOf(inner, '?only_parent=1&include_children=1')).toStrictEqual([
      50_005, 50_006,
    ]);
  });

  it('one deleted node breaks all addresses: ours leaves out its own', async () => {
    const { token } = await bringUp();
    const path = `/node/${world.southNode.node.id}`;
    await world.call('DELETE', path, { token: world.root.token });
    expect(await portsOf(token)).toStrictEqual([50_005]);
  });

  it('no event tells that a sibling registered its port: ours tells when its run is active, and the address is served by then', async () => {
    const { task, run, token } = await bringUp();
    const second = await createTask(world);
    expect(second).not.toBe(task);
    world.events.length = 0;
    await patch(`/run/${run.south}`, { status: 'initializing' }, world.southNode.token);
    expect(await portsOf(token)).toStrictEqual([50_005]);
    await patch(`/run/${run.south}`, { status: 'active' }, world.southNode.token);
    expect(world.events.at(-1)).toStrictEqual({
      type: 'run-changed',
      collaborationId: world.trial,
      runId: run.south,
    });
    expect(await portsOf(token)).toStrictEqual([50_005, 50_006]);
  });
});

describe('upstream weakness: what nodes register', () => {
  it('any address is taken, IPv6 and that of another node too: ours none that a tunnel cannot have, and none that is in use', async () => {
    const path = `/node/${world.southNode.node.id}`;
    const set = (ip: string) => patch(path, { ip }, world.southNode.token);
    for (const ip of ['fd00::1', '127.0.0.1', '169.254.1.1', '0.0.0.0', '224.0.0.5', 'x'])
      expect([ip, (await set(ip)).status]).toStrictEqual([ip, 400]);
    await bringUp();
    expect((await set('10.76.0.5')).body.code).toBe('V6_REQUEST_CONFLICT');
    expect((await set('10.76.0.7')).status).toBe(200);
  });

  it('a port of a node can be registered twice: ours belongs to one run, which may say it again', async () => {
    const { run } = await bringUp();
    const other = await runOf(world, await createTask(world), world.north);
    const { token } = world.northNode;
    expect((await register(other, 50_005, token)).body.code).toBe('V6_REQUEST_CONFLICT');
    expect((await register(run.north, 50_005, token)).status).toBe(201);
    const { body } = await world.call('GET', `/port?run_id=${run.north}`, { token });
    expect(body.data).toHaveLength(1);
  });
});

const SETTINGS: PortalSettings = {
  url: '',
  redirectUrl: 'https://localhost',
  clientId: 'some-client.vantage6.ai',
  clientSecret: 'canary-client-secret',
  username: 'nodes',
  password: 'canary-portal-password',
};
const UNTIL_LOGIN = [recorded('01-discovery', 0), recorded('02-login-authorize', 0)];
const LOGIN = recorded('02-login-authorize', 1);
const AUTHORIZE = recorded('02-login-authorize', 2);

async function connector(
  exchanges: Parameters<typeof startPortalReplay>[0],
  settings: Partial<PortalSettings> = {},
) {
  replay = await startPortalReplay(exchanges);
  return createPortalConnector({ ...SETTINGS, ...settings, url: replay.url }, { timeoutMs: 5000 });
}

describe('upstream weakness: the portal', () => {
  it('a redirect to http://localhost cannot work: ours is read from the answer and never contacted', async () => {
    const answer = {
      ...AUTHORIZE,
      response: {
        status: 302,
        headers: { Location: 'http://localhost?code=abc&state=<STATE>' },
        body: '',
      },
    };
    const portal = await connector([...UNTIL_LOGIN, LOGIN, answer, recorded('05-token', 0)], {
      redirectUrl: 'http://localhost',
    });
    expect((await portal.authorize()).accessToken).toBe(replay?.valueOf('<ACCESS_TOKEN>'));
  });

  it('Location is read before it is tested, wrong credentials are 500: ours name the account', async () => {
    const { response } = recordedStep('03-login-errors', 'wrong password');
    const portal = await connector([...UNTIL_LOGIN, { ...LOGIN, response }]);
    await expect(portal.authorize()).rejects.toMatchObject({ code: 'V6_PORTAL_ACCOUNT' });
  });

  it('statuses are not looked at, and the first profile is taken: ours fail, and ask which of several', async () => {
    const { response } = recorded('07-info', 0);
    const tokens = {
      accessToken: 'a',
      refreshToken: 'r',
      accessExpiresAt: new Date('2030-01-01'),
    };
    const failing = { ...recorded('07-info', 0), response: { ...response, status: 500 } };
    const portal = await connector([recorded('01-discovery', 0), failing]);
    await expect(portal.findProfile(tokens)).rejects.toMatchObject({ code: 'V6_PORTAL_ANSWER' });
    await replay?.close();
    const info = JSON.parse(response.body) as { info: { profile_list: { profile_id: string }[] } };
    info.info.profile_list.push({ ...info.info.profile_list[0], profile_id: 'second' });
    const several = { ...response, body: JSON.stringify(info) };
    const choosy = await connector([
      recorded('01-discovery', 0),
      { ...recorded('07-info', 0), response: several },
    ]);
    await expect(choosy.findProfile(tokens)).rejects.toMatchObject({
      code: 'V6_PORTAL_SEVERAL_PROFILES',
    });
  });

  it('a portal that hangs holds the request for ever: ours gives up with a code', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const portal = createPortalConnector({ ...SETTINGS, url }, { timeoutMs: 80 });
      await expect(portal.authorize()).rejects.toMatchObject({ code: 'V6_PORTAL_UNREACHABLE' });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('one shared authorization ends the first config when a fourth node comes: ours has one for each node', async () => {
    for (const node of [world.northNode, world.southNode, world.northOther, world.eastNode])
      expect((await world.call('GET', '/vpn', { token: node.token })).status).toBe(200);
    expect(world.portal.authorizations).toBe(4);
    expect(world.portal.live).toHaveLength(4);
  });

  it('a config is put together without testing that its parts are there: ours is refused with what is missing', () => {
    const answer = {
      contentType: 'application/x-openvpn-profile',
      text: 'client\nremote vpn.example.org 1194\n',
      status: 200,
      url: new URL('https://vpn.example.org/api'),
    };
    const read = (): string => openVpnText(answer as never, ['ca', 'remote']);
    expect(read).toThrow(expect.objectContaining({ code: 'V6_PORTAL_NOT_OPENVPN' }));
  });

  it('an error body can become the config of a node: ours answers an error and no config', async () => {
    world.portal.failNext = { call: 'connect', code: 'V6_PORTAL_ANSWER' };
    const answer = await world.call('GET', '/vpn', { token: world.northNode.token });
    expect([answer.status, answer.body.code]).toStrictEqual([502, 'V6_PORTAL_ANSWER']);
    expect(answer.body).not.toHaveProperty('ovpn_config');
  });

  it('config problems surface when a node asks, an empty block is a TypeError: ours are named when the file is read', () => {
    const problemsOf = (text: string): readonly string[] => {
      const problems: string[] = [];
      parseVpnServerBlock(text, 'server.yaml', problems);
      return problems;
    };
    expect(problemsOf('vpn_server:\n').join()).toMatch(/vpn_server\.(url|client_id)/);
    const missing = problemsOf('vpn_server:\n  url: https://vpn.example.org\n');
    expect(missing.join()).toContain('vpn_server.client_id');
    expect(problemsOf('port: 7601\n')).toStrictEqual([]);
  });
});
