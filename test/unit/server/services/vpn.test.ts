import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addNode,
  addOrganization,
  createTask,
  createWorld,
  runOf,
  type World,
} from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const getVpn = (token = world.northNode.token) => world.call('GET', '/vpn', { token });
const update = (token = world.northNode.token) =>
  world.call('POST', '/vpn/update', { token, body: { vpn_config: 'client\n' } });
/** Beyond the time in which a repeated request gets the same answer. */
const later = () => world.clock.turn(10_000);

describe('client configs', () => {
  it('come from an authorization of each node its own', async () => {
    const north = await getVpn();
    const south = await getVpn(world.southNode.token);
    expect(north.status).toBe(200);
    expect(north.body.ovpn_config).toContain(world.northNode.node.vpnId);
    expect(south.body.ovpn_config).toContain(world.southNode.node.vpnId);
    expect(world.portal.authorizations).toBe(2);
    expect(world.portal.live).toStrictEqual(['config-1', 'config-2']);
  });

  it('are made before the old one is ended', async () => {
    await getVpn();
    await later();
    world.portal.calls.length = 0;
    await getVpn();
    expect(world.portal.calls).toStrictEqual(['authorize', 'findProfile', 'connect', 'disconnect']);
    expect(world.portal.live).toStrictEqual(['config-2']);
  });

  it('are the same for a quick retry, and for two requests at once', async () => {
    const [first, second] = await Promise.all([getVpn(), getVpn()]);
    expect(first.body).toStrictEqual(second.body);
    expect((await getVpn()).body).toStrictEqual(first.body);
    expect(world.portal.calls.filter((call) => call === 'connect')).toHaveLength(1);
  });

  it('are renewed on the same authorization', async () => {
    await getVpn();
    await later();
    world.portal.calls.length = 0;
    expect((await update()).body.ovpn_config).toContain('config-2');
    expect(world.portal.calls).toStrictEqual(['connect']);
    expect(world.portal.authorizations).toBe(1);
  });

  it('are renewed with refreshed tokens when the access token has ended', async () => {
    await getVpn();
    await world.clock.turn(2 * 3_600_000);
    const { token } = await relogin();
    world.portal.calls.length = 0;
    expect((await update(token)).status).toBe(200);
    expect(world.portal.calls).toStrictEqual(['refresh', 'connect']);
    await world.clock.turn(59 * 60_000);
    expect((await update(token)).status).toBe(200);
    expect(world.portal.calls).toStrictEqual(['refresh', 'connect', 'connect']);
  });

  it('are new ones when the authorization is gone', async () => {
    await getVpn();
    await later();
    world.portal.forget();
    expect((await update()).body.ovpn_config).toContain('config-2');
    expect(world.portal.live).toStrictEqual(['config-2']);
  });

  it('are new ones when the authorization has ended by its date, or never was', async () => {
    world.portal.expiresAt = new Date(world.clock.now().getTime() + 1000);
    await update();
    await later();
    world.portal.calls.length = 0;
    await update();
    expect(world.portal.calls[0]).toBe('authorize');
  });

  it('of a full portal: the old one of the same node makes room', async () => {
    world.portal.quota = 1;
    await getVpn();
    await later();
    expect((await getVpn()).status).toBe(200);
    expect(world.portal.live).toStrictEqual(['config-2']);
    const refused = await getVpn(world.southNode.token);
    expect([refused.status, refused.body.code]).toStrictEqual([503, 'V6_PORTAL_QUOTA']);
    expect(world.portal.live).toStrictEqual(['config-2']);
  });

  it.each([
    ['authorize', 'V6_PORTAL_ACCOUNT', 502],
    ['findProfile', 'V6_PORTAL_NO_PROFILE', 502],
    ['connect', 'V6_PORTAL_UNREACHABLE', 503],
  ] as const)(
    'keep the code of a portal that fails at %s, and the old config',
    async (call, code, status) => {
      await getVpn();
      await later();
      world.portal.failNext = { call, code };
      const answer = await getVpn();
      expect([answer.status, answer.body.code]).toStrictEqual([status, code]);
      expect(world.portal.live).toStrictEqual(['config-1']);
      expect(world.portal.authorizations).toBe(1);
      await later();
      expect((await update()).body.ovpn_config).toContain('config-2');
    },
  );

  it('are given although the old authorization cannot be ended', async () => {
    await getVpn();
    await later();
    world.portal.failNext = { call: 'disconnect', code: 'V6_PORTAL_UNREACHABLE' };
    expect((await getVpn()).status).toBe(200);
  });

  it('are limited per node', async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 11; i += 1) {
      world.portal.failNext = { call: 'authorize', code: 'V6_PORTAL_UNREACHABLE' };
      statuses.push((await getVpn()).status);
    }
    expect(statuses).toStrictEqual([...Array.from({ length: 10 }, () => 503), 429]);
    world.portal.failNext = undefined;
    expect((await getVpn(world.southNode.token)).status).not.toBe(429);
  });

  it('are given back when the node is deleted', async () => {
    await getVpn();
    const id = world.northNode.node.id;
    expect((await world.call('DELETE', `/node/${id}`, { token: world.root.token })).status).toBe(
      200,
    );
    expect(world.portal.live).toStrictEqual([]);
  });

  it('are given back when the organization leaves, and with the collaboration', async () => {
    const { token } = world.root;
    await getVpn();
    await getVpn(world.southNode.token);
    const path = `/collaboration/${world.trial}`;
    await world.call('DELETE', `${path}/organization`, { token, body: { id: world.south } });
    expect(world.portal.live).toStrictEqual(['config-1']);
    await world.call('DELETE', `${path}?delete_dependents=1`, { token });
    expect(world.portal.live).toStrictEqual([]);
  });

  it('and tokens of the portal are in no log line and in no readable column', async () => {
    const { body } = await getVpn();
    await later();
    await update();
    const grant = await world.store.vpnGrants.find(world.northNode.node.id);
    expect(grant?.current).toBeTruthy();
    const seen = `${world.lines.join('\n')} ${JSON.stringify(grant)}`;
    expect(seen).not.toMatch(/portal-(access|refresh)/);
    expect(seen).not.toContain(String(body.ovpn_config).trim());
    expect(world.lines.some((line) => line.startsWith('Client config issued'))).toBe(true);
  });
});

describe('a portal with a limit', () => {
  const quotaOf = (answer: { status: number; body: Readonly<Record<string, unknown>> }) => [
    answer.status,
    answer.body.code,
  ];

  it('never ends the configuration of another node: the fourth of ten is told why', async () => {
    world.portal.known = 3;
    const tokens: string[] = [];
    for (let n = 0; n < 10; n += 1) {
      const organization = await addOrganization(world.store, `Hospital ${n}`);
      await world.store.collaborations.setMembers(world.trial, [
        ...(await world.store.collaborations.members(world.trial)),
        organization,
      ]);
      tokens.push((await addNode(world, organization, world.trial)).token);
    }
    const answers = await Promise.all(tokens.map((token) => getVpn(token)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toStrictEqual([
      ...Array.from({ length: 3 }, () => 200),
      ...Array.from({ length: 7 }, () => 503),
    ]);
    expect(world.portal.live).toStrictEqual(['config-1', 'config-2', 'config-3']);
    const refused = answers.find(({ status }) => status === 503);
    expect(refused?.body.code).toBe('V6_PORTAL_QUOTA');
    expect(refused?.body.msg).toContain('maxActiveConfigurations');
    expect(refused?.body.msg).toContain('v6 server vpn revoke');
    await later();
    const [holder] = await world.vpn.leases();
    await world.vpn.revoke(holder?.nodeId ?? 0);
    const waiting = tokens[answers.findIndex(({ status }) => status === 503)] ?? '';
    expect((await getVpn(waiting)).status).toBe(200);
    expect(world.portal.live).toHaveLength(3);
  });

  it('replaces a configuration of the same node by ending it first', async () => {
    world.portal.known = 1;
    await getVpn();
    await later();
    world.portal.calls.length = 0;
    expect((await getVpn()).status).toBe(200);
    expect(world.portal.calls).toStrictEqual(['authorize', 'findProfile', 'disconnect', 'connect']);
    expect(world.portal.live).toStrictEqual(['config-2']);
  });

  it('does not end a configuration whose tunnel carries a run, unless its end is near', async () => {
    world.portal.known = 1;
    world.portal.expiresAt = new Date(world.clock.now().getTime() + 100 * 60_000);
    await getVpn();
    const { node } = world.northNode;
    await world.store.nodes.update(node.id, { isOnline: true, ip: '10.76.0.5' });
    const task = await createTask(world);
    const run = await runOf(world, task, world.north);
    await world.store.runs.update(run, { status: 'active' });
    await later();
    expect(quotaOf(await getVpn())).toStrictEqual([503, 'V6_PORTAL_QUOTA']);
    expect(world.portal.live).toStrictEqual(['config-1']);
    await world.clock.turn(91 * 60_000);
    const { token } = await relogin();
    expect((await getVpn(token)).status).toBe(200);
    expect(world.portal.live).toStrictEqual(['config-2']);
  });

  it('takes the lease of a node that has been away for long, and says whose', async () => {
    world.portal.known = 1;
    await getVpn();
    await world.clock.turn(23 * 3_600_000);
    const south = () => world.login.issueFor(world.southNode.node).then(({ access }) => access);
    expect((await getVpn(await south())).status).toBe(503);
    await world.clock.turn(2 * 3_600_000);
    const answer = await getVpn(await south());
    const { id, name } = world.northNode.node;
    expect(answer.body.reclaimed).toStrictEqual({ node: id, name });
    expect(world.portal.live).toStrictEqual(['config-2']);
    expect(world.lines.some((line) => line.startsWith('The portal is full'))).toBe(true);
  });

  it('leaves the lease of an absent node alone when the new one cannot be had', async () => {
    world.portal.known = 1;
    await getVpn();
    await world.clock.turn(25 * 3_600_000);
    world.portal.failNext = { call: 'authorize', code: 'V6_PORTAL_UNREACHABLE' };
    const { access } = await world.login.issueFor(world.southNode.node);
    expect((await getVpn(access)).status).toBe(503);
    expect(world.portal.live).toStrictEqual(['config-1']);
  });
});

describe('a lease', () => {
  it('is given back by a node that says so, also with an old access token of the portal', async () => {
    await getVpn();
    await world.clock.turn(2 * 3_600_000);
    const { token } = await relogin();
    world.portal.calls.length = 0;
    expect((await world.call('POST', '/vpn/release', { token })).status).toBe(200);
    expect(world.portal.calls).toStrictEqual(['refresh', 'disconnect']);
    expect(world.portal.live).toStrictEqual([]);
    expect(await world.vpn.leases()).toStrictEqual([]);
    expect((await getVpn(token)).status).toBe(200);
  });

  it('that was revoked is gone, and stays so until the node is allowed again', async () => {
    await getVpn();
    await later();
    const { id } = world.northNode.node;
    await world.vpn.revoke(id);
    expect(world.portal.live).toStrictEqual([]);
    for (const answer of [await getVpn(), await update()]) {
      expect([answer.status, answer.body.code]).toStrictEqual([403, 'V6_VPN_REVOKED']);
      expect(answer.body.msg).toContain('v6 server vpn allow');
    }
    await world.call('POST', '/vpn/release', { token: world.northNode.token });
    expect((await world.vpn.leases()).map(({ revokedAt }) => revokedAt)).toHaveLength(1);
    await world.vpn.allow(id);
    expect((await getVpn()).status).toBe(200);
  });

  it('shows who holds what until when, and no token', async () => {
    await getVpn();
    const [lease, ...others] = await world.vpn.leases();
    expect(others).toStrictEqual([]);
    expect(lease).toMatchObject({
      nodeId: world.northNode.node.id,
      configurations: 1,
      issuedAt: world.clock.now(),
      expiresAt: world.portal.expiresAt,
      revokedAt: undefined,
    });
    expect(JSON.stringify(lease)).not.toMatch(/portal-/);
  });
});

describe('the routes of the VPN', () => {
  it('are for nodes only', async () => {
    for (const token of [world.nora.token, world.root.token]) {
      expect((await getVpn(token)).status).toBe(403);
      expect((await update(token)).status).toBe(403);
    }
  });

  it('want the old file for an update', async () => {
    const answer = await world.call('POST', '/vpn/update', {
      token: world.northNode.token,
      body: {},
    });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toHaveProperty('vpn_config');
  });

  it('refuse plain http outside loopback and private networks', async () => {
    const from = (address: string) =>
      world.call('GET', '/vpn', { token: world.northNode.token, from: address });
    for (const address of ['203.0.113.7', '::ffff:203.0.113.7', '2001:db8::1']) {
      const answer = await from(address);
      expect([answer.status, answer.body.code]).toStrictEqual([403, 'V6_VPN_PLAIN_HTTP']);
    }
    expect(world.portal.calls).toStrictEqual([]);
    for (const address of ['127.0.0.1', '10.1.2.3', '172.31.0.1', '192.168.1.1', 'fd00::1'])
      expect((await from(address)).status).toBe(200);
    const warnings = world.lines.filter((line) => line.includes('plain http inside'));
    expect(warnings).toHaveLength(4);
  });

  it('answer 501 without a portal', async () => {
    const without = await createWorld({ hasVpn: false });
    const answer = await without.call('GET', '/vpn', { token: without.northNode.token });
    expect([answer.status, answer.body.code]).toStrictEqual([501, 'V6_VPN_OFF']);
    await without.close();
  });
});

async function relogin(): Promise<{ readonly token: string }> {
  const { access } = await world.login.node(world.northNode.apiKey);
  return { token: access };
}
