import { Flags } from '@oclif/core';
import { LOG_LEVEL_NAMES } from '../core/config/render-server-config.ts';
import { V6Error } from '../core/errors.ts';

/** Flags for every question of `v6 server new`, and for what it does not ask. */
export const newServerFlags = {
  description: Flags.string({ description: 'what the server is for' }),
  ip: Flags.string({ description: 'address to listen on (default 0.0.0.0)' }),
  port: Flags.integer({
    char: 'p',
    description: 'port to listen on (default 7601)',
    min: 1,
    max: 65_535,
  }),
  'api-path': Flags.string({ description: 'path of the REST interface (default /api)' }),
  uri: Flags.string({
    description: 'database without a password in its address (default sqlite:///default.sqlite)',
    exclusive: ['uri-file', 'uri-stdin'],
  }),
  'uri-file': Flags.string({
    description:
      'file with the address of the database in its first line (or V6_DATABASE_URI_FILE names it)',
    exclusive: ['uri-stdin'],
  }),
  'uri-stdin': Flags.boolean({
    description: 'read the address of the database from standard input',
    default: false,
    exclusive: ['uri-file', 'jwt-secret-stdin'],
  }),
  'server-url': Flags.string({ description: 'address as others reach it, with the api path' }),
  'two-factor': Flags.boolean({
    description: 'every user must have a second factor (default no)',
    allowNo: true,
  }),
  'allow-drop-all': Flags.boolean({
    description: 'an import may remove everything first (default no)',
    allowNo: true,
  }),
  'log-level': Flags.string({
    description: 'how much is logged (default INFO)',
    options: LOG_LEVEL_NAMES,
  }),
  'generate-jwt-secret': Flags.boolean({
    description:
      'write a random jwt_secret_key, for a Python server; ours keeps a secret of its own',
    default: false,
    exclusive: ['jwt-secret-file', 'jwt-secret-stdin'],
  }),
  'jwt-secret-file': Flags.string({
    description: 'file with a jwt_secret_key in its first line (or V6_JWT_SECRET_FILE names it)',
    exclusive: ['jwt-secret-stdin'],
  }),
  'jwt-secret-stdin': Flags.boolean({
    description: 'read a jwt_secret_key from standard input',
    default: false,
  }),
  'tls-certificate': Flags.string({
    description: 'absolute path of a PEM file with the certificate and its chain',
    dependsOn: ['tls-key'],
  }),
  'tls-key': Flags.string({
    description: 'absolute path of a PEM file with the private key',
    dependsOn: ['tls-certificate'],
  }),
  overwrite: Flags.boolean({
    description: 'replace a file that is there; it is kept with the ending .bak',
    default: false,
  }),
  yes: Flags.boolean({
    char: 'y',
    description: 'ask nothing: what flags do not say keeps its default',
    default: false,
  }),
};

/** A command line is there for everybody on the machine to see. Throws V6_USAGE. */
export function refusePasswordInUri(uri: string | undefined): void {
  if (uri === undefined || !(/^[\w+]+:\/\/[^/@]*:[^/@]+@/.test(uri) || /password=/i.test(uri)))
    return;
  throw new V6Error('V6_USAGE', '--uri holds a password', {
    hints: ['Give it with --uri-file or --uri-stdin: everybody on the machine sees command lines.'],
  });
}
