import type { VpnServerControl } from './interfaces/vpn-server.ts';

/** Several openvpn processes as one VPN server: ready when all are, and its sessions are theirs. */
export function joinControls(controls: readonly VpnServerControl[]): VpnServerControl {
  const [only] = controls;
  if (only !== undefined && controls.length === 1) return only;
  return {
    isReady: async () => (await Promise.all(controls.map((one) => one.isReady()))).every(Boolean),
    sessions: async () => {
      const all = await Promise.all(controls.map((one) => one.sessions()));
      // Each process counts its clients from 0.
      return all.flatMap((sessions, at) =>
        sessions.map((session) => ({ ...session, clientId: `${at}/${session.clientId}` })),
      );
    },
    cut: async ({ clientId, commonName }) => {
      const [at = '', inner = ''] = clientId.split('/');
      await controls[Number(at)]?.cut({ clientId: inner, commonName });
    },
    close: () => {
      for (const one of controls) one.close();
    },
  };
}
