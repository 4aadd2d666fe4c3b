import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFromFlags, scopeFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { readSecret } from '../../cli/login-prompt.ts';
import { renderStartedPortal } from '../../cli/render/portal.ts';
import type { StartedPortal } from '../../portal/start-portal.ts';
import { optionsFromTexts } from '../../portal/start-texts.ts';

export default class PortalStart extends V6Command<StartedPortal> {
  static override summary = 'start the embedded VPN portal and VPN server';
  static override description =
    'Two containers: a portal with the API of eduVPN (version 3), and an OpenVPN server that lets nodes reach each other and nothing else. What a flag leaves out stays as it was at the last start. Running already as asked: nothing is changed; half dead: it is mended.';
  static override examples = [
    '<%= config.bin %> portal start',
    '<%= config.bin %> portal start --subnet 10.91.0.0/16 --http-port 8443 --vpn-port 1194 --publish-address 0.0.0.0 --url http://vpn.example.org:8443',
  ];
  static override flags = {
    ...scopeFlags,
    'portal-username': Flags.string({
      description: 'name of the account that the coordination server uses (default nodes)',
    }),
    subnet: Flags.string({ description: 'range of tunnel addresses (default 10.76.0.0/16)' }),
    network: Flags.string({ description: 'existing container network to join' }),
    'portal-address': Flags.string({
      description: 'address of the portal in that network',
      dependsOn: ['network'],
    }),
    'vpn-server-address': Flags.string({
      description: 'address of the VPN server in that network',
      dependsOn: ['network'],
    }),
    'http-port': Flags.integer({
      description: 'port of this host for the portal',
      min: 1,
      max: 65_535,
    }),
    'vpn-port': Flags.integer({
      description: 'port of this host for the VPN',
      min: 1,
      max: 65_535,
    }),
    'publish-address': Flags.string({
      description: 'address of this host for both ports (default 127.0.0.1)',
    }),
    url: Flags.string({ description: 'root URL of the portal as its clients reach it' }),
    remote: Flags.string({
      description:
        'HOST:PORT/PROTOCOL of the VPN server as nodes reach it (may be given several times)',
      multiple: true,
      multipleNonGreedy: true,
    }),
    'portal-password-file': Flags.string({
      description: "file with the account's password in its first line (default: a random one)",
    }),
    'client-id': Flags.string({ description: 'OAuth client of the coordination server' }),
    'client-secret-file': Flags.string({
      description: "file with the client's secret in its first line (default: a random one)",
    }),
    'public-client': Flags.boolean({ description: 'the client has no secret', allowNo: true }),
    'redirect-url': Flags.string({
      description: 'redirect_url of the coordination server (may be given several times)',
      multiple: true,
      multipleNonGreedy: true,
    }),
    'session-expiry': Flags.string({
      description: 'life of a certificate, e.g. 90d, 12h or 30m (default 90d)',
    }),
  };

  async run(): Promise<StartedPortal> {
    const { flags } = await this.parse(PortalStart);
    const context = contextFromFlags('portal', flags, process.env);
    const secret = (name: 'portal-password' | 'client-secret', variable: string) =>
      readSecret({
        name,
        file: flags[`${name}-file`],
        variable: { name: variable, value: process.env[variable] },
      });
    const options = optionsFromTexts(context, flags, {
      password: await secret('portal-password', 'V6_PORTAL_PASSWORD_FILE'),
      clientSecret: await secret('client-secret', 'V6_CLIENT_SECRET_FILE'),
    });
    const { composePortal } = await import('../../portal/compose.ts');
    const portal = await composePortal({ root: this.config.root });
    const result = await withInterrupt((signal) => portal.start({ ...options, signal }));
    this.log(renderStartedPortal(result));
    return result;
  }
}
