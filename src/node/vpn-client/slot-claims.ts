import { V6Error } from '../../core/errors.ts';
import { gatewayWithLength, linkAddress } from '../../core/vpn/rules.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Drift } from '../interfaces/drift.ts';

/** What `claims` of client.sh found and did. */
export interface Claims {
  /** Slots that the container has no interface for: nothing could be claimed. */
  readonly lost: readonly Slot[];
  /** What was not as it must be, and now is. */
  readonly drift: readonly Drift[];
}

/** One command for all slots: a round trip for each would cost a restarted client as much time as its start. All words come from checked addresses: see checkSlot. */
export function claimCommand(slots: readonly Slot[]): string {
  const words = slots.map(slotWords).join(' ');
  return slots.length === 0 ? 'claims' : `claims ${words} && listening ${words}`;
}

/** Only what is missing is claimed, and relays of no slot end; nobody waits for relays that were there before. */
export function checkCommand(slots: readonly Slot[]): string {
  const only = ['only', ...slots.map(({ index }) => index)].join(' ');
  return `${only}; ${['claims', ...slots.map(slotWords)].join(' ')}`;
}

/** Ends all that the slot's last run had open. */
export function cleanCommand(slot: Slot): string {
  return `clean ${slotWords(slot)} ${slot.algorithm}`;
}

/** The answer of both. Lines of other programs (`ip` that complains) are passed over: what they could not do shows up next time. */
export function readClaims(lines: readonly string[], slots: readonly Slot[]): Claims {
  const byIndex = new Map(slots.map((slot) => [String(slot.index), slot]));
  const lost: Slot[] = [];
  const drift: Drift[] = [];
  for (const line of lines) {
    const [word = '', index = ''] = line.split(' ');
    const slot = byIndex.get(index);
    if (word === 'lost' && slot !== undefined) lost.push(slot);
    if (word === 'claim' && slot !== undefined)
      drift.push({
        what: `gateway address of slot ${slot.network} in the VPN client`,
        found: 'not owned',
        wanted: slot.gateway,
      });
    if (word === 'stray' && slot === undefined && /^\d{1,6}$/.test(index))
      drift.push({
        what: `relay of slot ${index} in the VPN client`,
        found: 'running',
        wanted: 'none: there is no such slot',
      });
    if (word === 'relay' && slot !== undefined)
      drift.push({
        what: `relay of slot ${slot.network} in the VPN client`,
        found: 'not running',
        wanted: `${slot.gateway}:8080 carried to the proxy`,
      });
  }
  if (lines.includes('route default'))
    drift.push({
      what: 'default route of the VPN client',
      found: 'not through the uplink',
      wanted: 'through the uplink',
      ...(lines.includes('lost route') ? { failure: noWayOut() } : {}),
    });
  return { lost, drift };
}

function noWayOut(): V6Error {
  return new V6Error('V6_VPN_CLIENT_FAILED', 'The VPN client has no way to the uplink network', {
    hints: ['It is connected again as soon as that network is there: docker network ls'],
  });
}

function slotWords(slot: Slot): string {
  return `${slot.index} ${gatewayWithLength(slot)} ${slot.client} ${linkAddress(slot.gateway)}`;
}
