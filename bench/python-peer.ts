import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ask, memoryOf, type Peer, untilReady } from './peer.ts';
import { addPythonPorts, insertParties } from './python-data.ts';

/** Newest release of 4.x; `vantage6-backend-common` is imported by the server but not declared. */
const PACKAGES = [
  'vantage6==4.15.2',
  'vantage6-server==4.15.2',
  'vantage6-backend-common==4.15.2',
  'uwsgi==2.0.31',
  'setuptools==84.2.1',
];

/**
 * From Python 3.11 on, a text made from a member of a (str, Enum) has its name and no longer its value, and upstream's server
 * makes the names of permissions that way: every call with a permission check would fail.
 */
const ENUM_SHIM = `import enum


def _format(self, spec):
    if self._member_type_ is not object and type(self).__str__ is enum.Enum.__str__:
        return self._member_type_.__format__(self._value_, spec)
    return str.__format__(str(self), spec)


enum.Enum.__format__ = _format
`;

const SECRET = 'a-secret-that-only-the-benchmark-uses';

/** A folder with Python, the pinned packages and uWSGI. */
export interface PythonEnvironment {
  readonly folder: string;
  readonly site: string;
}

/** The environment in `folder`, made there when it is missing (a C compiler and Python's headers are needed). Undefined without folder. */
export function findPython(
  folder: string | undefined,
  said: (line: string) => void,
): PythonEnvironment | undefined {
  if (folder === undefined || folder === '') return undefined;
  const absolute = path.resolve(folder);
  if (!existsSync(path.join(absolute, 'bin/uwsgi'))) {
    said(`Installing ${PACKAGES.join(', ')} in ${absolute}`);
    run('python3', ['-m', 'venv', absolute]);
    run(path.join(absolute, 'bin/pip'), ['install', '--quiet', ...PACKAGES]);
  }
  const lib = path.join(absolute, 'lib');
  const python = readdirSync(lib).find((name) => name.startsWith('python3')) ?? 'python3';
  const site = path.join(lib, python, 'site-packages');
  if (!existsSync(path.join(site, 'enum_format_310.py'))) {
    writeFileSync(path.join(site, 'enum_format_310.py'), ENUM_SHIM);
    writeFileSync(path.join(site, 'enum_format_310.pth'), 'import enum_format_310\n');
  }
  return { folder: absolute, site };
}

function run(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed`, { cause: error });
}

/** As upstream deploys it, but for its 1,000 cores: each websocket takes one, and with a thousand no request is answered. */
const FLAGS =
  '--gevent 2000 --http-websockets --http-chunked-input --http-keepalive --post-buffering 0 --master --callable app --disable-logging'.split(
    ' ',
  );

/** As upstream deploys it: one uWSGI worker with gevent. */
export async function startPython(
  { folder: home, site }: PythonEnvironment,
  input: { readonly folder: string; readonly port: number; readonly nodes: number },
): Promise<Peer> {
  const { folder, port } = input;
  const database = path.join(folder, 'server.sqlite');
  const config = path.join(folder, 'peer.yaml');
  writeFileSync(config, configText(database, port));
  const wsgi = path.join(site, 'vantage6/server/wsgi.py');
  const log = openSync(path.join(folder, 'server.log'), 'w');
  const environment: Record<string, string> = { PATH: process.env.PATH ?? '', HOME: folder };
  for (const [name, sub] of [
    ['XDG_CONFIG_HOME', 'config'],
    ['XDG_DATA_HOME', 'data'],
    ['XDG_CACHE_HOME', 'cache'],
  ] as const) {
    environment[name] = path.join(folder, sub);
    mkdirSync(path.join(folder, sub));
  }
  const child = spawn(
    path.join(home, 'bin/uwsgi'),
    [
      '--http',
      `127.0.0.1:${port}`,
      ...FLAGS,
      '--home',
      home,
      '--wsgi-file',
      wsgi,
      '--pyargv',
      config,
    ],
    { env: environment, cwd: folder, stdio: ['ignore', log, log] },
  );
  const origin = `http://127.0.0.1:${port}`;
  try {
    await untilReady(origin, 60_000);
    const parties = await seed(origin, { database, nodes: input.nodes, home });
    return {
      name: 'python',
      origin,
      ...parties,
      addPorts: (task, perRun) => addPythonPorts(database, task, perRun),
      memory: () => memoryOf(family(child.pid ?? 0)),
      stop: () => stop(child),
    };
  } catch (error) {
    await stop(child);
    throw new Error(
      `The Python server: ${readFileSync(path.join(folder, 'server.log'), 'utf8').slice(-2000)}`,
      {
        cause: error,
      },
    );
  }
}

function configText(database: string, port: number): string {
  return `description: benchmark
ip: 127.0.0.1
port: ${port}
api_path: /api
uri: sqlite:///${database}
allow_drop_all: true
jwt_secret_key: ${SECRET}
server_name: bench
logging: {level: WARNING, use_console: true, backup_count: 2, max_size: 4096, format: "%(asctime)s %(levelname)s %(message)s", datefmt: "%H:%M:%S", file: server.log}
`;
}

async function seed(
  origin: string,
  input: { readonly database: string; readonly nodes: number; readonly home: string },
): Promise<Pick<Peer, 'collaboration' | 'nodes' | 'userToken'>> {
  const { access_token: root } = await ask(
    { origin },
    { method: 'POST', path: '/token/user', body: { username: 'root', password: 'root' } },
  );
  const { collaboration, nodes } = insertParties(input);
  const { id } = await ask(
    { origin },
    {
      method: 'POST',
      path: '/user',
      token: String(root),
      body: {
        username: 'bench',
        password: 'Passw0rd!x',
        organization_id: nodes[0]?.organization,
        email: 'bench@example.org',
        firstname: 'Bench',
        lastname: 'Mark',
        roles: [1],
        rules: [],
      },
    },
  );
  return {
    collaboration,
    nodes: nodes.map((node) => ({ ...node, token: mint('node', node.id) })),
    userToken: mint('user', Number(id)),
  };
}

/** A token as upstream's server makes it: at 0.23 s of hashing per node a thousand logins would take hours. */
function mint(kind: 'user' | 'node', id: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    fresh: false,
    iat: now,
    nbf: now,
    exp: now + 6 * 3600,
    jti: randomUUID(),
    csrf: randomUUID(),
    type: 'access',
    sub: id,
    client_type: kind,
    roles: [],
  };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', SECRET).update(text).digest('base64url')}`;
}

/** The process and its children: master, worker and router. */
function family(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return [pid, ...(children === '' ? [] : children.split(' ').map(Number))];
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  const children = family(child.pid ?? 0).slice(1);
  child.kill('SIGINT');
  const kill = setTimeout(() => {
    for (const pid of [child.pid ?? 0, ...children]) tryKill(pid);
  }, 15_000);
  await exited;
  clearTimeout(kill);
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}
