import { afterEach, describe, expect, it } from 'vitest';
import { readExchanges } from '../support/portal-replay.ts';
import {
  type PortalSimulator,
  type SimulatorOptions,
  startPortalSimulator,
} from '../support/portal-simulator.ts';
import { type Around, RecordingPlayer } from '../support/simulator/recording-player.ts';

let portal: PortalSimulator | undefined;
afterEach(async () => {
  await portal?.close();
  portal = undefined;
});

interface Script {
  readonly options?: SimulatorOptions;
  readonly around?: Readonly<Record<number, Around>>;
  /** Exchanges that no client of the API makes, by number, and why. */
  readonly left?: Readonly<Record<number, string>>;
}

const APPS = {
  id: 'org.eduvpn.app.linux',
  redirectUris: ['http://127.0.0.1:12345/callback'],
  requiresApproval: true,
};
const OTHER_BASIC = Buffer.from('somebody-else:secret').toString('base64');

const V3: Readonly<Record<string, Script>> = {
  '01-discovery': {},
  '02-login-authorize': {},
  '03-login-errors': {},
  '04-authorize-errors': {},
  '05-token': {
    around: { 7: { replace: ['<BASE64 of client_id:client_secret>', () => OTHER_BASIC] } },
  },
  '06-refresh': {},
  '07-info': {},
  '08-connect': {},
  '09-disconnect': {},
  '10-bearer-errors': {
    left: { 5: 'a person presses a button on the account page' },
    around: { 6: { between: (it) => it.endAuthorizations() } },
  },
  '11-account-states': { around: { 0: { between: (it) => it.disableAccount() } } },
  '12-many-nodes-one-account': {},
  '14-several-profiles-wireguard': {
    options: {
      profiles: [
        {
          id: 'both',
          displayName: 'Both',
          protocols: ['openvpn', 'wireguard'],
          prefersWireGuard: true,
        },
        { id: 'wg-only', displayName: 'WireGuard only', protocols: ['wireguard'] },
        { id: 'default', displayName: 'Default', protocols: ['openvpn'] },
        { id: 'staff', displayName: 'Staff', protocols: ['openvpn'], isHidden: true },
      ],
    },
  },
  '15-token-expiry': {
    options: { tokenSeconds: 2 },
    around: { 3: { between: ({ configuration }) => void (configuration.skewMs += 3000) } },
  },
  '16-server-side-limits': {
    around: {
      0: { before: ({ configuration }) => void (configuration.maxActiveConfigurations = 0) },
      1: { before: ({ configuration }) => void (configuration.maxActiveConfigurations = 1) },
      4: {
        before: ({ configuration }) => void (configuration.deleteAuthorizationOnDisconnect = true),
      },
      6: { before: ({ configuration }) => void (configuration.isNodeUp = false) },
      7: {
        before: ({ configuration }) => {
          configuration.isNodeUp = true;
          configuration.sessionSeconds = 60;
        },
      },
    },
  },
  '20-client-vantage6-4.14-public': {},
  '21-client-vantage6-4.14-confidential-fails': {},
  '22-client-vantage6-4.14-wrong-password': {},
};

const V2: Readonly<Record<string, Script>> = {
  '01-discovery': {},
  '02-login-authorize': {},
  '03-login-errors': {},
  '04-authorize-errors': {},
  '05-token': {},
  '06-api-v2': {
    around: {
      10: {
        replace: [
          'e043733dffeb7a6278dfcdc7ca5a59e8',
          (it) => it.configurations()[0]?.commonName ?? '',
        ],
      },
    },
  },
  '07-api-v3-on-2.4': {},
  '08-bearer-errors': { around: { 4: { between: (it) => it.endAuthorizations() } } },
  '20-client-vantage6-4.0': {},
};

async function playAll(generation: 'v3' | 'v2', file: string, script: Script) {
  portal = await startPortalSimulator({
    api: generation === 'v3' ? 'v3' : 'both',
    ...script.options,
  });
  portal.configuration.clients = [...portal.configuration.clients, APPS];
  const player = new RecordingPlayer(portal, generation);
  const differences: string[] = [];
  for (const [at, exchange] of readExchanges(file, generation).entries()) {
    if (script.left?.[at] !== undefined) continue;
    const found = await player.play(exchange, script.around?.[at]);
    differences.push(...found.map((line) => `${at} ${exchange.step}: ${line}`));
  }
  return differences;
}

describe('the simulated portal answers as it was recorded', () => {
  it.each(Object.entries(V3))('portal 3.4.1, %s', async (file, script) => {
    expect(await playAll('v3', file, script)).toEqual([]);
  });

  it.each(Object.entries(V2))('portal 2.4.4, %s', async (file, script) => {
    expect(await playAll('v2', file, script)).toEqual([]);
  });
});
