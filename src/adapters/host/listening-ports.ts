import { readFile } from 'node:fs/promises';
import { V6Error } from '../../core/errors.ts';

/** States of a socket that takes traffic, as proc_net_tcp(5) numbers them: TCP_LISTEN, and TCP_CLOSE for unconnected UDP. */
const TAKES_TRAFFIC = { tcp: '0A', udp: '07' } as const;
/** ::1 as the kernel prints it, in words of the machine's order. */
const LOOPBACK_6 = '00000000000000000000000001000000';

const FILES = [
  ['tcp', 'tcp'],
  ['tcp6', 'tcp'],
  ['udp', 'udp'],
  ['udp6', 'udp'],
] as const;

/** Reads `/proc/<pid>/net`; the caller shares the host's process ids. Undefined when the process is gone. Throws V6_NET_PRIVILEGE. */
export async function readListeningPorts(
  pid: number,
  procDir = '/proc',
): Promise<ReadonlySet<string> | undefined> {
  const found = new Set<string>();
  for (const [file, protocol] of FILES) {
    const text = await read(`${procDir}/${pid}/net/${file}`);
    // A kernel without IPv6 has no tcp6; without tcp there is no process.
    if (text === undefined && file === 'tcp') return undefined;
    for (const port of parseSockets(text ?? '', protocol)) found.add(`${protocol}/${port}`);
  }
  return found;
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ESRCH and EINVAL: it ended while it was being read.
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EINVAL') return undefined;
    throw new V6Error('V6_NET_PRIVILEGE', `${file} cannot be read: ${code ?? String(error)}`, {
      cause: error,
      hints: ['The node daemon must share the process ids of the host and be root there.'],
    });
  }
}

/** Local ports of the sockets that take traffic from outside. */
export function parseSockets(text: string, protocol: 'tcp' | 'udp'): readonly number[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      if (state !== TAKES_TRAFFIC[protocol] || isLoopback(address)) return [];
      return [Number.parseInt(port, 16)];
    });
}

/** 127.0.0.0/8: its first byte stands last. */
function isLoopback(address: string): boolean {
  return address === LOOPBACK_6 || (address.length === 8 && address.endsWith('7F'));
}
