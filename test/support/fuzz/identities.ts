import { createHmac } from 'node:crypto';
import { containerOf, createTask, runOf, type World } from '../server-app.ts';

/** Key of the server under test (test/support/server-app.ts), and one of somebody else. */
const OWN_KEY = Buffer.alloc(32, 7);
const FOREIGN_KEY = Buffer.alloc(32, 8);

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

function token(
  claims: Readonly<Record<string, unknown>>,
  { key = OWN_KEY, alg = 'HS256' }: { readonly key?: Buffer; readonly alg?: string } = {},
): string {
  const signed = `${part({ alg, typ: 'JWT' })}.${part(claims)}`;
  const digest = alg === 'HS512' ? 'sha512' : 'sha256';
  const signature =
    alg === 'none' ? '' : createHmac(digest, key).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}

/** Authorization headers by name: good ones of each kind of caller, and all kinds of bad ones. */
export interface Identities {
  readonly good: Readonly<Record<string, string | undefined>>;
  readonly bad: Readonly<Record<string, string>>;
}

/** Work on the server, so that ids point to something, and who may ask for it. */
export async function createIdentities(world: World): Promise<Identities> {
  const task = await createTask(world);
  const done = await createTask(world, [world.north]);
  await world.store.runs.update(await runOf(world, done, world.north), {
    status: 'completed',
    finishedAt: world.clock.now(),
    result: 'e30=',
  });
  const container = await containerOf(world, world.northNode.token, task);
  const bearer = (text: string): string => `Bearer ${text}`;
  const now = Math.floor(world.clock.now().getTime() / 1000);
  const user = { sub: world.root.id, client_type: 'user', type: 'access', iat: now, nbf: now };
  const life = { exp: now + 1000 };
  return {
    good: {
      nobody: undefined,
      root: bearer(world.root.token),
      researcher: bearer(world.nora.token),
      viewer: bearer(world.vera.token),
      node: bearer(world.northNode.token),
      container: bearer(container),
    },
    bad: {
      refresh: bearer(world.root.refresh),
      expired: bearer(token({ ...user, exp: now - 1 })),
      early: bearer(token({ ...user, ...life, nbf: now + 900 })),
      foreign: bearer(token({ ...user, ...life }, { key: FOREIGN_KEY })),
      unsigned: bearer(token({ ...user, ...life }, { alg: 'none' })),
      otherAlgorithm: bearer(token({ ...user, ...life }, { alg: 'HS512' })),
      nobodyKnown: bearer(token({ ...user, ...life, sub: 4711 })),
      textSubject: bearer(token({ ...user, ...life, sub: String(world.root.id) })),
      hugeSubject: bearer(token({ ...user, ...life, sub: 1e300 })),
      noSubject: bearer(token({ client_type: 'user', type: 'access', ...life })),
      wrongKind: bearer(token({ ...user, ...life, client_type: 'server' })),
      nodeAsUser: bearer(token({ ...user, ...life, sub: world.northNode.node.id })),
      emptyContainer: bearer(token({ sub: {}, client_type: 'container', type: 'access' })),
      strangeContainer: bearer(
        token({
          sub: {
            node_id: 1e300,
            organization_id: -1,
            collaboration_id: 0,
            task_id: 1.0,
            image: '',
          },
          client_type: 'container',
          type: 'access',
        }),
      ),
      garbage: bearer('a.b.c'),
      dots: bearer('....'),
      huge: bearer('x'.repeat(6000)),
      control: bearer('\u0001\u007f'),
      basic: 'Basic cm9vdDpyb290',
      empty: '',
      two: 'Bearer a b',
      bare: 'Bearer',
    },
  };
}
