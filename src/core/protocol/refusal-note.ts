import type { Ipv4 } from '../net/ipv4.ts';
import type { Refusal } from '../vpn/task-firewall.ts';

/** Lines in the log of one run at most. */
const NOTES_MAX = 20;

/** What the node writes into the log of a run about what its task firewall refused: a line each, those with most packets first. */
export function refusalNotes(refusals: readonly Refusal[]): readonly string[] {
  const shown = refusals.slice(0, NOTES_MAX).map(refusalNote);
  const more = refusals.length - shown.length;
  return more === 0 ? shown : [...shown, `The task firewall refused ${more} more such flows.`];
}

function refusalNote({ side, address, protocol, port, packets }: Refusal): string {
  const count = packets === 1 ? '1 packet' : `${packets} packets`;
  return side === 'sending'
    ? `The task firewall refused ${count} of this algorithm to ${address}:${port}/${protocol}: no registered address of its task family.`
    : `The task firewall refused ${count} to this algorithm from ${address}, at its tunnel port ${port}/${protocol}: no node of its task family.`;
}

const SENDING =
  /^The task firewall refused (\d+) packets? of this algorithm to ([\d.]+):(\d+)\/(tcp|udp): /;
const RECEIVING =
  /^The task firewall refused (\d+) packets? to this algorithm from ([\d.]+), at its tunnel port (\d+)\/(tcp|udp): /;

/** The notes that a run's log begins with: what follows them are the algorithm's own words. */
export function parseRefusalNotes(log: string): readonly Refusal[] {
  const found: Refusal[] = [];
  for (const line of log.split('\n')) {
    const refusal = parseNote(line);
    if (refusal === undefined) break;
    found.push(refusal);
  }
  return found;
}

function parseNote(line: string): Refusal | undefined {
  const sent = SENDING.exec(line);
  const match = sent ?? RECEIVING.exec(line);
  if (match === null) return undefined;
  const [, packets, address, port, protocol] = match;
  return {
    side: sent === null ? 'receiving' : 'sending',
    address: address as Ipv4,
    protocol: protocol as 'tcp' | 'udp',
    port: Number(port),
    packets: Number(packets),
  };
}
