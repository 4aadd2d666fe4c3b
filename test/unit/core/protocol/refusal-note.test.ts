import { describe, expect, it } from 'vitest';
import type { Ipv4 } from '../../../../src/core/net/ipv4.ts';
import { parseRefusalNotes, refusalNotes } from '../../../../src/core/protocol/refusal-note.ts';
import { refusalsOf } from '../../../../src/core/vpn/refusals.ts';
import type { Refusal } from '../../../../src/core/vpn/task-firewall.ts';

const sent: Refusal = {
  side: 'sending',
  address: '10.76.0.9' as Ipv4,
  protocol: 'tcp',
  port: 49_170,
  packets: 12,
};
const received: Refusal = { ...sent, side: 'receiving', protocol: 'udp', packets: 1 };

describe('notes of refusals', () => {
  it('say what was refused, and are read again', () => {
    const notes = refusalNotes([sent, received]);
    expect(notes).toEqual([
      'The task firewall refused 12 packets of this algorithm to 10.76.0.9:49170/tcp: no registered address of its task family.',
      'The task firewall refused 1 packet to this algorithm from 10.76.0.9, at its tunnel port 49170/udp: no node of its task family.',
    ]);
    expect(parseRefusalNotes(`${notes.join('\n')}\nhello\n`)).toEqual([sent, received]);
  });

  it('are bounded', () => {
    const many = Array.from({ length: 25 }, (_, at) => ({ ...sent, port: at + 1 }));
    expect(refusalNotes(many)).toHaveLength(21);
    expect(refusalNotes(many).at(-1)).toBe('The task firewall refused 5 more such flows.');
  });

  it('are not taken from what an algorithm writes itself', () => {
    const [note = ''] = refusalNotes([sent]);
    expect(parseRefusalNotes(`hello\n${note}\n`)).toEqual([]);
  });
});

describe('the sets of refusals', () => {
  // As nft 1.0.6 lists them.
  const table = `table inet v6client {
\tset refused_in {
\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service
\t\tsize 4096
\t\tflags dynamic,timeout
\t\ttimeout 1h
\t\telements = { 10.76.0.7 . 10.201.1.3 . udp . 8888 counter packets 2 bytes 60 expires 59m58s12ms,
\t\t\t     10.76.0.7 . 10.201.1.11 . udp . 8888 counter packets 9 bytes 60 expires 59m58s12ms }
\t}

\tset refused_out {
\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service
\t\telements = { 10.201.1.3 . 10.76.0.9 . tcp . 49170 counter packets 12 bytes 720 expires 59m59s992ms,
\t\t\t     10.201.1.3 . 10.201.1.11 . tcp . 80 counter packets 1 bytes 60 expires 1s }
\t}
}`;
  const run = (address: string, port: number, tunnelPort: number) => ({
    algorithm: address as Ipv4,
    mappings: [
      {
        protocol: port === 80 ? ('tcp' as const) : ('udp' as const),
        tunnelPort,
        address: address as Ipv4,
        port,
        label: null,
      },
    ],
  });

  it('are told by the addresses and ports that the algorithms know', () => {
    const own = run('10.201.1.3', 8888, 50_001);
    const other = run('10.201.1.11', 80, 50_002);
    const naming = { runs: [own, other], own: '10.76.0.5' as Ipv4 };
    expect(refusalsOf(table, own, naming)).toEqual([
      sent,
      { side: 'receiving', address: '10.76.0.7', protocol: 'udp', port: 50_001, packets: 2 },
      { side: 'sending', address: '10.76.0.5', protocol: 'tcp', port: 50_002, packets: 1 },
    ]);
  });
});
