import { createSocket } from 'node:dgram';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { PortalHost } from '../../portal/interfaces/host.ts';

type Port = Parameters<PortalHost['isPortFree']>[0];

/** The machine that the command runs on, but for its routes: who runs it, its devices, its free ports. */
export function openPortalHost(): Omit<PortalHost, 'routes'> {
  return {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    hasTunDevice,
    isPortFree: (port) => (port.protocol === 'tcp' ? isTcpFree(port) : isUdpFree(port)),
  };
}

async function hasTunDevice(): Promise<boolean> {
  try {
    return (await stat('/dev/net/tun')).isCharacterDevice();
  } catch {
    return false;
  }
}

function isTcpFree({ address, port }: Port): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: address, port, exclusive: true }, () =>
      server.close(() => resolve(true)),
    );
  });
}

function isUdpFree({ address, port }: Port): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
