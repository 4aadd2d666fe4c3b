import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { generatePrivateKey, type PrivateKey } from '../../src/core/crypto/keys.ts';
import { decryptMessage } from '../../src/core/crypto/message.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { composeUserSide, type UserSide } from '../../src/diagnose/compose.ts';
import type { Login } from '../../src/diagnose/interfaces/login-store.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { dockerSandbox } from '../support/docker.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { buildTestAlgorithm, TestNodeDaemon } from '../support/test-node.ts';
import { until } from '../support/wait.ts';

const SCOPE = 'demo-ecrypt';
const IMAGE = 'v6-test-encryption-algorithm:1';
const RUN_LIMIT_MS = 40_000;
const ROOT_ORGANIZATION = 1;

/**
 * What its input says: `echo` returns the input; `talk` writes lines, the last when the test lets it; `central` lets every
 * organization of the input echo what it is given, and returns the answer of `GET /result?task_id=`, `GET /result/<id>` and
 * `/task/<id>/result`.
 */
const PROGRAM = String.raw`
d=$(echo /mnt/data/task-*); in=$(cat $d/input); t=$(cat $d/token)
call() { socat -t 10 - TCP:proxyserver:8080,shut-none | tr -d '\r' | sed '1,/^$/d'; }
get() { printf 'GET %s HTTP/1.0\r\nHost: proxyserver\r\nAuthorization: Bearer %s\r\n\r\n' "$1" "$t" | call; }
post() { printf 'POST %s HTTP/1.0\r\nHost: proxyserver\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' "$1" "$t" "$(printf %s "$2" | wc -c)" "$2" | call; }
field() { sed 's/.*"'$1'":"\{0,1\}\([^",]*\).*/\1/'; }
case "$in" in
  *'"central"'*)
    input=$(printf %s "$in" | field inner); orgs=$(printf %s "$in" | field organizations | tr ';' ' ')
    list=''
    for o in $orgs; do list="$list,{\"id\":$o,\"input\":\"$input\"}"; done
    made=$(post /task "{\"name\":\"sub\",\"image\":\"v6-test-encryption-algorithm:1\",\"collaboration_id\":COLLABORATION,\"organizations\":[$(printf %s "$list" | cut -c2-)],\"databases\":[]}")
    id=$(printf %s "$made" | sed 's/^{"id":\([0-9]*\).*/\1/')
    case "$id" in *[!0-9]*) printf '%s' "$made" > $d/output; exit 0;; esac
    for i in $(seq 100); do case "$(get /task/$id/status)" in *completed*) break;; *failed*|*crashed*) break;; esac; sleep 0.3; done
    all=$(get "/result?task_id=$id"); one=$(printf %s "$all" | sed 's/.*"id":\([0-9]*\),"result".*/\1/')
    printf '{"page":%s,"one":%s,"old":%s}' "$all" "$(get /result/$one)" "$(get /task/$id/result)" > $d/output;;
  *'"talk"'*) for i in 1 2 3 4 5; do echo "line $i $t"; sleep 0.3; done; while [ ! -e /mnt/tmp/go ]; do sleep 0.1; done; echo "line 6 $t"; printf '"done"' > $d/output;;
  *'"echo"'*) printf '{"got":%s}' "$in" > $d/output;;
esac
`;

let engine: Engine;
let vpnImage: string;
let folder: TempFolder;
let world: TestCoordination;
let nodes: readonly TestNode[];
let user: UserSide;
let login: Login;
let userKey: string;
const keys = new Map<string, PrivateKey>();
let daemons: TestNodeDaemon[] = [];

/** A key file of its own per name. */
async function keyFile(name: string): Promise<string> {
  const file = path.join(folder.path, `${name}.pem`);
  if (keys.has(name)) return file;
  const { key, pem } = await generatePrivateKey();
  keys.set(name, key);
  await writeFile(file, pem, { mode: 0o600 });
  return file;
}

async function create(at: 0 | 1, config: readonly string[] = [], key?: string) {
  const name = ['alpha', 'beta'][at] ?? '';
  const daemon = new TestNodeDaemon({
    name,
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage,
    apiKey: nodes[at]?.apiKey ?? '',
    port: world.port,
    config: [
      `isolated_range: 10.${207 + at}.0.0/24`,
      `encryption: {enabled: true, private_key: ${key ?? (await keyFile(name))}}`,
      ...config,
    ],
  });
  daemons.push(daemon);
  return daemon;
}

/** A task of the user, encrypted as `v6` does it; the ids of its runs in the order of the organizations. */
async function createTask(
  input: { method: string; args?: readonly unknown[]; kwargs?: Record<string, unknown> },
  organizations: readonly number[],
) {
  const ring = await user.openKeys(login, userKey);
  const client = user.client(login);
  const task = await client.createTask({
    collaboration: world.collaboration,
    image: IMAGE,
    name: 'test',
    organizations,
    input,
    seal: (payload, organization) => ring.seal(payload, organization),
  });
  const runs = await client.listRuns(task);
  return {
    task,
    runs: organizations.map((id) => runs.find((run) => run.organization.id === id)?.id ?? 0),
  };
}

const ended = (run: number) =>
  until(
    `run ${run} ends`,
    RUN_LIMIT_MS,
    () => world.run(run),
    ({ finished_at }) => finished_at !== null,
  );

async function rawResult(run: number): Promise<string> {
  const { result: text } = await world.ask('GET', `/result/${run}`);
  return typeof text === 'string' ? text : '';
}

async function result(run: number): Promise<unknown> {
  const ring = await user.openKeys(login, userKey);
  return JSON.parse(Buffer.from(ring.open(await rawResult(run), 'a result')).toString());
}

/** The database of the server with its journal, as it lies on disk. */
async function database(): Promise<string> {
  const file = path.join(folder.path, 'server/server.sqlite');
  const parts = [file, `${file}-wal`].map((at) => readFile(at).catch(() => Buffer.alloc(0)));
  return Buffer.concat(await Promise.all(parts)).toString('latin1');
}

const registered = async (organization: number) =>
  String((await world.ask('GET', `/organization/${organization}`)).public_key);
const register = (organization: number, key: PrivateKey | undefined) =>
  world.ask('PATCH', `/organization/${organization}`, { public_key: key?.publicKey.wire ?? '' });

beforeAll(async () => {
  ({ engine, image: vpnImage } = await dockerSandbox('encryption'));
  folder = await tempFolder();
  world = await TestCoordination.start(path.join(folder.path, 'server'));
  nodes = await world.createNodes(['alpha', 'beta'], true);
  const program = PROGRAM.replaceAll('COLLABORATION', String(world.collaboration));
  await buildTestAlgorithm(engine, path.join(folder.path, 'image'), vpnImage, IMAGE, program);
  const home = path.join(folder.path, 'home');
  await mkdir(home);
  user = await composeUserSide({ home, isRoot: false });
  const password = (await readFile(world.server.passwordFile ?? '', 'utf8')).trim();
  const serverUrl = `http://127.0.0.1:${world.port}/api`;
  login = await user.logIn({ serverUrl, username: 'root', password });
  userKey = await keyFile('user');
});
afterEach(async () => {
  for (const daemon of daemons) await daemon.clean();
  daemons = [];
});
afterAll(async () => {
  await world?.server.stop();
  await engine?.images.remove(IMAGE);
  await folder?.remove();
});

describe('an encrypted collaboration', () => {
  it('runs a task and sub-tasks: the server holds no plain text, the user reads the results', async () => {
    await (await create(0)).start();
    await (await create(1)).start();
    const [alpha, beta] = nodes;
    expect(await registered(alpha?.organization ?? 0)).toBe(keys.get('alpha')?.publicKey.wire);
    const secret = `secret${randomBytes(9).toString('hex')}`;
    const inner = Buffer.from(JSON.stringify({ method: 'echo', args: [secret] })).toString(
      'base64',
    );
    const kwargs = {
      inner,
      organizations: nodes.map(({ organization }) => organization).join(';'),
    };
    const { task, runs } = await createTask({ method: 'central', kwargs }, [
      alpha?.organization ?? 0,
    ]);
    const [run = 0] = runs;
    const end = await ended(run);
    expect(end, String(end.log)).toMatchObject({ status: 'completed' });
    const got = (await result(run)) as {
      page: { data: { result: string }[] };
      one: { result: string };
      old: { result: string }[];
    };
    const plain = (text: string) => JSON.parse(Buffer.from(text, 'base64').toString()) as unknown;
    const echoed = { got: { method: 'echo', args: [secret] } };
    expect(got.page.data.map((item) => plain(item.result))).toEqual([echoed, echoed]);
    expect(plain(got.one.result)).toEqual(echoed);
    expect(got.old.map((item) => plain(item.result))).toEqual([echoed, echoed]);
    // What travels is for one organization each: the input for the node, the result for the user.
    const { input } = await world.run(run);
    expect(() => decryptMessage(String(input), keys.get('alpha')?.key as never, '')).not.toThrow();
    expect(() => decryptMessage(String(input), keys.get('user')?.key as never, '')).toThrow();
    const sub = await world.ask('GET', `/task?parent_id=${task}`);
    const [child] = sub.data as { id: number }[];
    const childRuns = (await world.ask('GET', `/run?task_id=${child?.id}`)).data as {
      input: string;
      organization: { id: number };
    }[];
    expect(childRuns.map(({ input: text }) => text.split('$').length)).toEqual([3, 3]);
    const ofBeta = childRuns.find(({ organization }) => organization.id === beta?.organization);
    expect(() =>
      decryptMessage(ofBeta?.input ?? '', keys.get('beta')?.key as never, ''),
    ).not.toThrow();
    const stored = await database();
    expect(stored).toContain('completed');
    for (const form of [secret, inner, Buffer.from(inner).toString('base64').slice(4, -8)])
      expect(stored).not.toContain(form);
    expect(daemons.map(({ log }) => log.join('')).join('')).not.toContain(secret);
  });

  it('streams the log of a running algorithm, without its token, and the end does not double it', async () => {
    const node = await create(0);
    await node.start();
    const [alpha] = nodes;
    const { runs } = await createTask({ method: 'talk' }, [alpha?.organization ?? 0]);
    const [run = 0] = runs;
    const live = await until(
      'lines arrive while it runs',
      RUN_LIMIT_MS,
      () => world.run(run),
      ({ log }) => typeof log === 'string' && log.includes('line 2'),
    );
    expect(live).toMatchObject({ status: 'active', finished_at: null });
    expect(live.log).not.toContain('line 6');
    expect(live.log).toContain('line 1 [token]');
    const temporary = `data/tmp-${String(run).padStart(9, '0')}`;
    await writeFile(path.join(node.context.dataDir, temporary, 'go'), '');
    const { log } = await ended(run);
    expect(log).toBe([1, 2, 3, 4, 5, 6].map((i) => `line ${i} [token]\n`).join(''));
  });

  it('notices a server that swaps the key of another organization, and reads on when it is trusted', async () => {
    const alpha = await create(0);
    const daemon = await alpha.start();
    const beta = await create(1);
    await beta.start();
    const [first, second] = nodes;
    const kwargs = { inner: 'e30=', organizations: String(second?.organization) };
    const once = await createTask({ method: 'central', kwargs }, [first?.organization ?? 0]);
    expect(await ended(once.runs[0] ?? 0)).toMatchObject({ status: 'completed' });
    const toBeta = () => createTask({ method: 'echo' }, [second?.organization ?? 0]);
    const [toRead = 0] = (await toBeta()).runs;
    await ended(toRead);
    await keyFile('thief');
    await register(second?.organization ?? 0, keys.get('thief'));
    await expect(toBeta()).rejects.toMatchObject({ code: 'V6_ENCRYPTION_KEY_CHANGED' });
    const again = await createTask({ method: 'central', kwargs }, [first?.organization ?? 0]);
    await ended(again.runs[0] ?? 0);
    expect(await result(again.runs[0] ?? 0)).toMatchObject({ code: 'V6_ENCRYPTION_KEY_CHANGED' });
    expect(daemon.status().encryption?.refused).toMatchObject([
      { organization: second?.organization, code: 'V6_ENCRYPTION_KEY_CHANGED' },
    ]);
    expect(alpha.log.join('')).toContain('The public key of an organization is refused');
    await beta.daemon?.stop();
    await expect((await create(1)).start()).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_OWN_KEY',
    });
    expect(await registered(second?.organization ?? 0)).toBe(keys.get('thief')?.publicKey.wire);
    await register(second?.organization ?? 0, keys.get('beta'));
    await (await create(1)).start();
    const third = await createTask({ method: 'central', kwargs }, [first?.organization ?? 0]);
    await ended(third.runs[0] ?? 0);
    expect(await result(third.runs[0] ?? 0)).toHaveProperty('page');
    expect(daemon.status().encryption?.refused).toEqual([]);
  });

  it('has a clear error for a wrong key: another one, one that is open to others, none', async () => {
    const [first] = nodes;
    await register(first?.organization ?? 0, keys.get('alpha'));
    await expect((await create(0, [], await keyFile('wrong'))).start()).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_OWN_KEY',
    });
    const open = path.join(folder.path, 'open.pem');
    await writeFile(open, await readFile(await keyFile('alpha')));
    await chmod(open, 0o644);
    for (const file of [open, path.join(folder.path, 'absent.pem')])
      await expect((await create(0, [], file)).start()).rejects.toMatchObject({
        code: 'V6_ENCRYPTION_KEY_FILE',
      });
    const off = await create(0);
    const plain = new TestNodeDaemon({
      name: 'alpha',
      scope: SCOPE,
      root: folder.path,
      engine,
      vpnImage,
      port: world.port,
      apiKey: first?.apiKey ?? '',
    });
    daemons.push(plain);
    await expect(plain.start()).rejects.toMatchObject({ code: 'V6_NODE_ENCRYPTION_MISMATCH' });
    expect(await off.held()).toEqual([]);
  });

  it('fails a run whose input is for another key, with its own cause', async () => {
    await (await create(0)).start();
    const [first] = nodes;
    const { encryptMessage } = await import('../../src/core/crypto/message.ts');
    await keyFile('wrong');
    const wrong = keys.get('wrong')?.publicKey.key;
    const task = await world.ask('POST', '/task', {
      name: 'test',
      image: IMAGE,
      collaboration_id: world.collaboration,
      organizations: [
        {
          id: first?.organization,
          input: encryptMessage(Buffer.from('{"method":"echo"}'), wrong as never),
        },
      ],
      databases: [],
    });
    const [run] = (await world.ask('GET', `/run?task_id=${String(task.id)}`)).data as {
      id: number;
    }[];
    const end = await ended(run?.id ?? 0);
    expect(end).toMatchObject({ status: 'failed' });
    expect(end.log).toContain('V6_ENCRYPTION_UNREADABLE');
    expect(await rawResult(run?.id ?? 0)).toBe('');
  });

  it('takes tasks only of those that its policies name', async () => {
    const policies = (who: string) => `policies: {require_algorithm_pull: false, ${who}}`;
    const [first] = nodes;
    const run = async (who: string) => {
      // The server knows nothing of the policies, so that it is the node that refuses.
      const node = await create(0, [policies(who), 'share_config: false']);
      await node.start();
      const { runs } = await createTask({ method: 'echo' }, [first?.organization ?? 0]);
      const end = await ended(runs[0] ?? 0);
      await node.daemon?.stop();
      return end;
    };
    const other = await run('allowed_organizations: [beta, 99], allowed_users: [7]');
    expect(other).toMatchObject({ status: 'not allowed' });
    expect(other.log).toContain('V6_RUN_NOT_ALLOWED');
    const { name } = await world.ask('GET', `/organization/${ROOT_ORGANIZATION}`);
    expect(await run(`allowed_organizations: [${String(name)}]`)).toMatchObject({
      status: 'completed',
    });
  });
});
