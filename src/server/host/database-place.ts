import path from 'node:path';
import type { ServerConfig } from '../../core/config/server-config.ts';
import { V6Error } from '../../core/errors.ts';

/** Where a server's database is, without its password. */
export interface DatabasePlace {
  readonly kind: 'sqlite' | 'postgresql';
  /** A file, or `host:port/name`. */
  readonly location: string;
}

/** From `uri` as the configuration has it. `dataDir` is where a relative file lies. */
export function databasePlace(uri: string, dataDir: string): DatabasePlace {
  const file = /^sqlite(?:\+[a-z0-9_]+)?:\/\/\/?(.*)$/.exec(uri)?.[1];
  if (file !== undefined) {
    const isMemory = file === '' || file === ':memory:';
    return { kind: 'sqlite', location: isMemory ? ':memory:' : path.resolve(dataDir, file) };
  }
  const url = URL.parse(uri.replace(/^postgres(ql)?(\+\w+)?:/, 'http:'));
  const place = url === null ? '' : `${url.hostname}:${url.port || 5432}${url.pathname}`;
  return { kind: 'postgresql', location: place };
}

/** True for a uri that holds a password: it may stand in a file, never in an environment or on a command line. */
export function hasPassword(uri: string): boolean {
  return /^[\w+]+:\/\/[^/@]*:[^/@]+@/.test(uri) || /[?&]password=/i.test(uri);
}

/** True when the host in a URL means the machine it is used on. */
export function isLoopbackUrl(text: string): boolean {
  const host = URL.parse(text.replace(/^[\w+]+:/, 'http:'))?.hostname ?? '';
  return host === 'localhost' || host.startsWith('127.') || host === '[::1]';
}

/** A container cannot be told a uri with a password: its environment shows in `inspect`. Throws V6_USAGE. */
export function refuseSecretInEnvironment(uri: string | undefined): void {
  if (uri === undefined || !hasPassword(uri)) return;
  throw new V6Error('V6_USAGE', 'VANTAGE6_DB_URI holds a password and cannot go to a container', {
    hints: [
      'Write it as uri into the configuration file (mode 0600) and unset the variable.',
      'Or start with --detached: the variable is then passed to the process only.',
    ],
  });
}

/** What of a configuration means another machine when it is read in a container; a sentence each. */
export function containerWarnings(
  { uri, vpn }: Pick<ServerConfig, 'uri' | 'vpn'>,
  network: string,
): readonly string[] {
  if (network === 'host') return [];
  const advice = 'there the container itself is meant. Use --network host or --detached.';
  return [
    ...(isLoopbackUrl(uri) ? [`The database is on localhost: ${advice}`] : []),
    ...(vpn !== undefined && isLoopbackUrl(vpn.url)
      ? [`The VPN portal is on localhost: ${advice}`]
      : []),
  ];
}
