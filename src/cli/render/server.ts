import { renderTable } from './table.ts';

interface PrintedStart {
  readonly name: string;
  readonly state: 'started' | 'unchanged';
  readonly how: 'container' | 'process';
  readonly container: string | null;
  readonly pid: number | null;
  readonly url: string;
  readonly logFile: string | null;
}

/** What `v6 server start` prints. */
export function renderStartedServer(started: PrintedStart): string {
  const { name, state, how, container, pid, url, logFile } = started;
  const place = how === 'container' ? `container ${container}` : `process ${pid}`;
  return [
    state === 'started'
      ? `The server ${name} runs and is healthy.`
      : `The server ${name} was running already and is healthy; nothing was changed.`,
    `  ${place}`,
    `  ${url}`,
    ...(logFile === null ? [] : [`  log ${logFile}`]),
  ].join('\n');
}

interface PrintedStatus {
  readonly name: string;
  readonly scope: string;
  readonly configFile: string;
  readonly running: boolean;
  readonly how: string | null;
  readonly container: {
    readonly name: string;
    readonly image: string;
    readonly state: string;
  } | null;
  readonly pid: number | null;
  readonly url: string | null;
  readonly healthy: boolean | null;
  readonly version: string | null;
  readonly protocol: string | null;
  readonly since: string | null;
  readonly database: { readonly kind: string; readonly location: string } | null;
  readonly nodes: { readonly online: number; readonly total: number } | null;
  readonly logFile: string | null;
}

/** What `v6 server status` prints; lines of what is not known are left out. */
export function renderServerStatus(status: PrintedStatus): string {
  const { container, database, nodes } = status;
  const state = status.running
    ? status.healthy === true
      ? 'running, healthy'
      : 'running, not healthy'
    : 'not running';
  const facts: readonly (readonly [string, string | null])[] = [
    ['server', `${status.name} (${status.scope})`],
    ['state', state],
    ['container', container && `${container.name} (${container.state}), image ${container.image}`],
    ['process', status.pid === null ? null : String(status.pid)],
    ['URL', status.url],
    ['version', status.version && `${status.version} (vantage6 ${status.protocol ?? '?'})`],
    ['since', status.since],
    ['nodes', nodes && `${nodes.online} of ${nodes.total} online`],
    ['database', database && `${database.kind} ${database.location}`],
    ['configuration', status.configFile],
    ['log', status.logFile],
  ];
  return facts
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name.padEnd(13)}  ${value}`)
    .join('\n');
}

interface PrintedServer {
  readonly name: string;
  readonly scope: string;
  readonly configFile: string;
  readonly hasConfig: boolean;
  readonly running: boolean;
  readonly how: string | null;
  readonly foreground: boolean;
  readonly url: string | null;
}

/** What `v6 server list` prints. */
export function renderServers(servers: readonly PrintedServer[]): string {
  if (servers.length === 0) return 'There is no server on this machine. Make one: v6 server new';
  return renderTable(
    ['SERVER', 'SCOPE', 'STATE', 'URL', 'CONFIGURATION'],
    servers.map(({ name, scope, configFile, hasConfig, running, how, foreground, url }) => [
      name,
      scope,
      running ? `running (${foreground ? 'foreground' : how})` : 'not running',
      url ?? '-',
      hasConfig ? configFile : `${configFile} (gone)`,
    ]),
  );
}

interface PrintedPlace {
  readonly what: string;
  readonly path: string;
  readonly exists: boolean;
}

/** What `v6 server files` prints. */
export function renderPlaces(places: readonly PrintedPlace[]): string {
  return places
    .map(({ what, path, exists }) => `${what.padEnd(13)}  ${path}${exists ? '' : '  (not there)'}`)
    .join('\n');
}
