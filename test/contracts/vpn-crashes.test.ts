import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import { systemClock } from '../../src/core/clock.ts';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { isV6Error } from '../../src/core/errors.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { openServerStore } from '../../src/server/compose-admin.ts';
import type { PortalConnector } from '../../src/server/interfaces/portal-connector.ts';
import type { NodeRecord } from '../../src/server/interfaces/records.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { createNode } from '../../src/server/services/nodes.ts';
import { createVpnService, type VpnService } from '../../src/server/services/vpn.ts';
import {
  type PortalSimulator,
  SIMULATED,
  startPortalSimulator,
} from '../support/portal-simulator.ts';
import { addOrganization } from '../support/server-app.ts';

const KEY = Buffer.alloc(32, 7);
const LIMIT = 3;

let folder: string;
let store: Store;
let portal: PortalSimulator;
let nodes: readonly NodeRecord[];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-crash-'));
  const config = parseServerConfig('uri: sqlite:///crash.sqlite\nport: 7601\n', 'crash.yaml');
  store = await openServerStore(config, folder);
  const collaboration = await store.collaborations.create({ name: 'Trial', encrypted: false });
  const made: NodeRecord[] = [];
  for (const name of ['A', 'B', 'C', 'D']) {
    const organizationId = await addOrganization(store, name);
    await store.collaborations.setMembers(collaboration, [organizationId]);
    const { node } = await createNode(
      { store, apiKeyDigestKey: KEY },
      { organizationId, collaborationId: collaboration, name },
    );
    made.push(node);
  }
  nodes = made;
  portal = await startPortalSimulator({ maxActiveConfigurations: LIMIT });
}, 60_000);

afterAll(async () => {
  await portal?.close();
  await store?.close();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  portal.mend();
  portal.endAuthorizations();
  portal.configuration.tokenSeconds = 3600;
  for (const node of nodes) await store.vpnGrants.remove(node.id);
});

/** The process is gone: nothing after this happens. */
class Crash extends Error {}

/** Ends everything at call number `at` to the portal or of a write about leases: `before` it is made, or `after` it. */
function crashAt(at: number, when: 'before' | 'after') {
  let step = 0;
  let isDead = false;
  const wrap = <T extends object>(target: T, names: readonly string[]): T =>
    new Proxy(target, {
      get(inner, name) {
        const method: unknown = Reflect.get(inner, name);
        if (typeof method !== 'function') return method;
        if (!names.includes(String(name))) return method.bind(inner) as unknown;
        return async (...parameters: unknown[]): Promise<unknown> => {
          step += 1;
          const mine = step;
          if (isDead || (mine === at && when === 'before')) {
            isDead = true;
            throw new Crash();
          }
          const result: unknown = await (method.apply(inner, parameters) as Promise<unknown>);
          if (mine !== at) return result;
          isDead = true;
          throw new Crash();
        };
      },
    });
  return {
    portal: (real: PortalConnector) =>
      wrap(real, ['authorize', 'refresh', 'findProfile', 'connect', 'disconnect']),
    store: (real: Store): Store => {
      const grants = wrap(real.vpnGrants, ['save', 'remove', 'setRevoked']);
      return new Proxy(real, {
        get: (inner, name) => {
          if (name === 'vpnGrants') return grants;
          const value: unknown = Reflect.get(inner, name);
          return typeof value === 'function' ? (value.bind(inner) as unknown) : value;
        },
      });
    },
    hasHappened: () => isDead,
  };
}

function service(crash?: ReturnType<typeof crashAt>, timeoutMs = 5000): VpnService {
  const connector = createPortalConnector({ ...SIMULATED, url: portal.url }, { timeoutMs });
  return createVpnService({
    store: crash === undefined ? store : crash.store(store),
    portal: crash === undefined ? connector : crash.portal(connector),
    clock: systemClock,
    logger: silentLogger,
    key: KEY,
    leaseGraceMs: 3_600_000,
  });
}

const nodeAt = (at: number): NodeRecord => nodes[at] as NodeRecord;

function commonNameOf(text: string): string {
  const pem = /<cert>\n([\s\S]*?)<\/cert>/.exec(text)?.[1] ?? '';
  // Node writes subjects with RFC 2253's escapes.
  const subject = new X509Certificate(pem).subject.replaceAll('\\', '');
  return /CN=(.*)/.exec(subject)?.[1] ?? '';
}

/** Common names of what the nodes were given last; undefined where the portal has no room. */
async function ask(vpn: VpnService, at: number): Promise<string | undefined> {
  try {
    return commonNameOf((await vpn.issue(nodeAt(at))).text);
  } catch (error) {
    if (!isV6Error(error, 'V6_PORTAL_QUOTA')) throw error;
    return undefined;
  }
}

const held = (at: number) =>
  portal.configurations().filter(({ node }) => node === nodeAt(at).vpnId);
const live = () => portal.configurations().map(({ commonName }) => commonName);

type Act = (vpn: VpnService) => Promise<unknown>;

/** Who holds something before; what node 0 does then. */
const SCENES: Readonly<Record<string, readonly [readonly number[], Act, (() => void)?]>> = {
  'a first config': [[1], (vpn) => vpn.issue(nodeAt(0))],
  'a config in place of another, with room': [[0, 1], (vpn) => vpn.issue(nodeAt(0))],
  'a config in place of another, without room': [[0, 1, 2], (vpn) => vpn.issue(nodeAt(0))],
  'a renewed config': [[0, 1, 2], (vpn) => vpn.renew(nodeAt(0))],
  'a renewed config with an access token that has ended': [
    [0, 1, 2],
    (vpn) => vpn.renew(nodeAt(0)),
    () => {
      portal.configuration.tokenSeconds = 20;
    },
  ],
  'a lease given back': [[0, 1, 2], (vpn) => vpn.release(nodeAt(0).id)],
  'a revocation': [[0, 1, 2], (vpn) => vpn.revoke(nodeAt(0).id)],
};

describe.each(Object.entries(SCENES))('a server that dies during %s', (_name, scene) => {
  const [holders, act, prepare] = scene;

  it('costs no other node its config, whatever the step, and leaves nothing behind that the next request does not end', async () => {
    for (const when of ['before', 'after'] as const) {
      for (let at = 1; ; at += 1) {
        portal.mend();
        portal.endAuthorizations();
        for (const node of nodes) await store.vpnGrants.remove(node.id);
        prepare?.();
        const first = service();
        const given = new Map<number, string | undefined>();
        for (const holder of holders) given.set(holder, await ask(first, holder));
        const crash = crashAt(at, when);
        await act(service(crash)).catch((error: unknown) => {
          if (!(error instanceof Crash)) throw error;
        });
        if (!crash.hasHappened()) break;

        const again = service();
        for (const other of [3, 2, 1]) {
          const answer = await ask(again, other);
          if (answer !== undefined) given.set(other, answer);
        }
        const name = `step ${at}, ${when}`;
        expect(portal.evictions, name).toEqual([]);
        for (const [other, commonName] of given)
          if (other !== 0) expect(live(), `${name}, node ${other}`).toContain(commonName);

        await again.allow(nodeAt(0).id);
        const own = await ask(service(), 0);
        expect(portal.evictions, name).toEqual([]);
        // Either it got its one config, or others hold all of them and it has none.
        expect(
          held(0).map(({ commonName }) => commonName),
          name,
        ).toEqual(own === undefined ? [] : [own]);
        for (const [other, commonName] of given)
          if (other !== 0) expect(live(), `${name}, node ${other}`).toContain(commonName);
      }
    }
  }, 120_000);
});

describe('a portal that does its work and does not answer', () => {
  it('holds a config that nobody got: it counts until the portal has ended it', async () => {
    const vpn = service();
    await ask(vpn, 1);
    await ask(vpn, 2);
    portal.fail('connect', { kind: 'cut', when: 'after' }, 1);
    portal.fail('disconnect', { kind: 'status', status: 503 });
    await expect(vpn.issue(nodeAt(0))).rejects.toMatchObject({ code: 'V6_PORTAL_UNREACHABLE' });
    expect(live()).toHaveLength(3);
    // Nobody holds it, so another node may have its place: but only once the portal has ended it. So may the node itself.
    await expect(vpn.issue(nodeAt(3))).rejects.toMatchObject({ code: 'V6_PORTAL_UNREACHABLE' });
    await expect(vpn.issue(nodeAt(0))).rejects.toMatchObject({ code: 'V6_PORTAL_UNREACHABLE' });
    expect(portal.evictions).toEqual([]);
    portal.mend();
    const own = await ask(service(), 0);
    expect(held(0).map(({ commonName }) => commonName)).toEqual([own]);
    expect(portal.evictions).toEqual([]);
  });

  it('cannot end the config that was replaced: it counts on, and ends with the next request', async () => {
    await ask(service(), 0);
    portal.fail('disconnect', { kind: 'status', status: 503 });
    const second = await ask(service(), 0);
    expect(held(0)).toHaveLength(2);
    expect((await service().leases()).map(({ configurations }) => configurations)).toEqual([2]);
    portal.mend();
    await ask(service(), 1);
    expect(await ask(service(), 2)).toBeUndefined();
    expect(live()).toContain(second);
    const third = await ask(service(), 0);
    expect(held(0).map(({ commonName }) => commonName)).toEqual([third]);
    expect(await ask(service(), 2)).toBeDefined();
    expect(portal.evictions).toEqual([]);
  });
});

describe('two servers that share a database', () => {
  it('do not lead past the limit together, whoever is asked by whom', async () => {
    const evictedBefore = portal.evictions.length;
    const [one, two] = [service(), service()];
    const asked = [0, 1, 2, 3].flatMap((at) => [ask(one, at), ask(two, at)]);
    const given = (await Promise.all(asked)).filter((name) => name !== undefined);
    expect(portal.evictions.length).toBe(evictedBefore);
    expect(live()).toHaveLength(LIMIT);
    // Of two answers to one node the later one counts, and it is live.
    expect(live().every((name) => given.includes(name))).toBe(true);
  });
});
