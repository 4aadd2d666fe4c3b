/** What a new configuration of a server says; the rest keeps its defaults. */
export interface NewServerConfig {
  readonly description: string;
  readonly ip: string;
  readonly port: number;
  readonly apiPath: string;
  readonly uri: string;
  /** Undefined: not in the file. */
  readonly serverUrl: string | undefined;
  readonly twoFactor: boolean;
  readonly allowDropAll: boolean;
  readonly logLevel: LogLevelName;
  /** Undefined: the server makes a secret of its own. */
  readonly jwtSecretKey: string | undefined;
  /** Absolute paths; undefined: plain http. */
  readonly tls: { readonly certificate: string; readonly key: string } | undefined;
}

/** Those that upstream's validator accepts; its wizard offers NOTSET beside, which it then refuses. */
export const LOG_LEVEL_NAMES = ['INFO', 'DEBUG', 'WARNING', 'ERROR', 'CRITICAL'] as const;
export type LogLevelName = (typeof LOG_LEVEL_NAMES)[number];

/**
 * The YAML of a server's configuration, as v6 and upstream read it: every key that upstream's validator asks for is there
 * (vantage6 4.14, cli/configuration_manager.py), booleans are booleans.
 */
export function renderServerConfig(name: string, config: NewServerConfig): string {
  const { serverUrl, jwtSecretKey, tls } = config;
  return [
    '# Coordination server, written by `v6 server new`.',
    `description: ${quote(config.description)}`,
    `ip: ${quote(config.ip)}`,
    `port: ${config.port}`,
    `api_path: ${quote(config.apiPath)}`,
    ...(serverUrl === undefined ? [] : [`server_url: ${quote(serverUrl)}`]),
    `uri: ${quote(config.uri)}`,
    '# Whether `v6 server import --drop-all` may remove everything.',
    `allow_drop_all: ${config.allowDropAll}`,
    `two_factor_auth: ${config.twoFactor}`,
    ...(jwtSecretKey === undefined ? [] : [`jwt_secret_key: ${quote(jwtSecretKey)}`]),
    ...(tls === undefined
      ? []
      : ['tls:', `  certificate: ${quote(tls.certificate)}`, `  key: ${quote(tls.key)}`]),
    'logging:',
    `  level: ${config.logLevel}`,
    '  # The rest is for the Python server, which asks for it.',
    `  file: ${quote(`${name}.log`)}`,
    '  use_console: true',
    '  backup_count: 5',
    '  max_size: 1024',
    '  format: "%(asctime)s - %(name)-14s - %(levelname)-8s - %(message)s"',
    '  datefmt: "%Y-%m-%d %H:%M:%S"',
    '',
  ].join('\n');
}

/** JSON's strings are YAML's (YAML 1.2.2, 1.2). */
const quote = (text: string): string => JSON.stringify(text);
