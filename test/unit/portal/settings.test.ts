import { describe, expect, it } from 'vitest';
import {
  nodeOffsets,
  parseDurationSeconds,
  parsePortalUrl,
  parseRemote,
  parseSettings,
  parseVpnSubnet,
  portalPaths,
  renderSettings,
} from '../../../src/portal/settings.ts';
import { makePortalWorld } from '../../fakes/portal-world.ts';

describe('settings of the portal', () => {
  it('are read as they were written', () => {
    const { settings } = makePortalWorld();
    expect(parseSettings(renderSettings(settings), 'portal.json')).toEqual(settings);
  });

  it.each([
    ['not json', 'V6_CONFIG_SYNTAX'],
    ['{}', 'V6_CONFIG_INVALID'],
    ['{"version":2}', 'V6_CONFIG_INVALID'],
    ['null', 'V6_CONFIG_INVALID'],
  ])('refuse %s', (text, code) => {
    expect(() => parseSettings(text, 'portal.json')).toThrow(expect.objectContaining({ code }));
  });

  it.each(['10.76.0.0/29', '10.0.0.0/7', '10.76.0.1/16', 'nonsense'])(
    'refuse the subnet %s',
    (text) => {
      expect(() => parseVpnSubnet(text)).toThrow(
        expect.objectContaining({ code: 'V6_CONFIG_SUBNET' }),
      );
    },
  );

  it('keep the first ten addresses and the broadcast address from nodes', () => {
    expect(nodeOffsets(parseVpnSubnet('10.76.0.0/28'))).toEqual({ first: 10, last: 14 });
  });

  it.each([
    ['90d', 7_776_000],
    ['12h', 43_200],
    ['30m', 1800],
    ['45s', 45],
  ])('take %s as %i seconds', (text, seconds) => {
    expect(parseDurationSeconds(text, 'session-expiry')).toBe(seconds);
  });

  it.each(['', '0d', '-1d', '90', '1w', '1.5h'])('refuse %j as a length of time', (text) => {
    expect(() => parseDurationSeconds(text, 'session-expiry')).toThrow(
      expect.objectContaining({ code: 'V6_USAGE' }),
    );
  });

  it('take remotes with and without a protocol', () => {
    expect(parseRemote('vpn.example.org:1194')).toEqual({
      host: 'vpn.example.org',
      port: 1194,
      protocol: 'udp',
    });
    expect(parseRemote('192.0.2.1:443/tcp').protocol).toBe('tcp');
  });

  it.each(['vpn.example.org', ':1194', 'a:0', 'a:65536', 'a b:1', 'a:1/sctp', 'a\nup x:1'])(
    'refuse %j as a remote',
    (text) => {
      expect(() => parseRemote(text)).toThrow(expect.objectContaining({ code: 'V6_USAGE' }));
    },
  );

  it.each(['ftp://a', 'http://a/b', 'http://u:p@a', 'a', 'http://a?b'])(
    'refuse %j as a URL',
    (text) => {
      expect(() => parsePortalUrl(text)).toThrow(expect.objectContaining({ code: 'V6_USAGE' }));
    },
  );

  it('take a URL with or without its final slash', () => {
    expect(parsePortalUrl('https://vpn.example.org/')).toBe('https://vpn.example.org');
  });

  it('keep secrets out of the folder that the VPN server sees', () => {
    const paths = portalPaths({ dataDir: '/data', runDir: '/run' });
    for (const file of [paths.authorityKey, paths.passwordFile, paths.clientSecretFile]) {
      expect(file.startsWith(`${paths.vpnServer}/`)).toBe(false);
    }
  });
});
