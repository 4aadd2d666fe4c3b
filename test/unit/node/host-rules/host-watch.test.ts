import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/core/clock.ts';
import type { LineStream } from '../../../../src/core/engine/engine.ts';
import { HostWatch } from '../../../../src/node/host-rules/host-watch.ts';
import { until } from '../../../support/wait.ts';

/** `nft monitor` as the test tells it; each opening is a stream of its own. */
function monitor() {
  const opened: { say: (line: string) => void; end: () => void; isOpen: () => boolean }[] = [];
  const openStream = async (): Promise<LineStream> => {
    const lines: string[] = [];
    let isOpen = true;
    let wake: () => void = () => {};
    const end = (): void => {
      isOpen = false;
      wake();
    };
    opened.push({
      say: (line) => {
        lines.push(line);
        wake();
      },
      end,
      isOpen: () => isOpen,
    });
    async function* read(): AsyncGenerator<string> {
      for (;;) {
        while (lines.length > 0) yield lines.shift() ?? '';
        if (!isOpen) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    return { write: () => {}, lines: read(), close: end };
  };
  const containers = { openStream } as never;
  const container = { name: 'keeper' };
  const watch = new HostWatch({ engine: { containers }, container, clock: systemClock });
  const life = new AbortController();
  const hints: string[] = [];
  const parts: string[] = [];
  watch.start((hint, of) => {
    hints.push(hint);
    parts.push(of);
  }, life.signal);
  return { opened, watch, hints, parts, life };
}

/** As printed by nft 1.0.6. */
const FLUSH = [
  'delete rule inet v6guard to_host handle 4',
  'delete chain inet v6guard to_host',
  'delete table inet v6guard',
  '# new generation 50521 by process 11230 (nft)',
];
const ENGINE = [
  'add rule ip filter DOCKER-ISOLATION-STAGE-1 handle 7 iifname "br-1" counter packets 0 bytes 0 jump DOCKER-ISOLATION-STAGE-2',
  '# new generation 50522 by process 11316 (iptables)',
];

describe('the watch over the host’s rules', () => {
  it('makes one hint of a burst, and names the program', async () => {
    const { opened, hints, watch, life } = monitor();
    await until('the watch looks', 1000, () => opened.length === 1);
    for (const line of [...FLUSH, ...FLUSH]) opened[0]?.say(line);
    await until('the hint comes', 1000, () => hints.length > 0);
    expect(hints).toEqual(['the host’s rules were changed by nft (process 11230)']);
    expect(watch.lastAuthor()).toBe('nft (process 11230)');
    life.abort();
  });

  it('tells of changes of iptables-legacy, whose author nobody knows', async () => {
    const { opened, hints, watch, life } = monitor();
    await until('the watch looks', 1000, () => opened.length === 1);
    opened[0]?.say('legacy changed');
    await until('the hint comes', 1000, () => hints.length > 0);
    expect(hints).toEqual(['the host’s rules of iptables-legacy were changed']);
    expect(watch.lastAuthor()).toBeUndefined();
    life.abort();
  });

  it('tells of bridges of ours that go, and of no other device', async () => {
    const { opened, hints, parts, life } = monitor();
    await until('the watch looks', 1000, () => opened.length === 1);
    const rest = '<NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN';
    for (const link of ['veth1@if3', 'br-0123456789ab', 'v6x0', 'v6z0123456789a'])
      opened[0]?.say(`Deleted 12: ${link}: ${rest}`);
    opened[0]?.say(`13: v6a0123456789a: ${rest}`);
    await until('the hint comes', 1000, () => hints.length > 0);
    expect(hints).toEqual(['the bridge v6z0123456789a went']);
    expect(parts).toEqual(['bridges']);
    life.abort();
  });

  it('hears what concerns us and not what the engine does for other networks', async () => {
    const { opened, hints, life } = monitor();
    await until('the watch looks', 1000, () => opened.length === 1);
    for (const line of [...ENGINE, ...ENGINE]) opened[0]?.say(line);
    const near = [
      'add rule ip filter DOCKER-USER handle 9 counter packets 0 bytes 0 drop',
      'add chain inet site fwd { type filter hook forward priority filter; policy drop; }',
      'delete rule ip nat POSTROUTING handle 3',
    ];
    for (const [at, line] of near.entries()) {
      opened[0]?.say(line);
      opened[0]?.say(`# new generation ${at} by process ${at} (somebody)`);
      await until(`hint ${at}`, 1000, () => hints.length === at + 1);
      expect(hints.at(-1)).toBe(`the host’s rules were changed by somebody (process ${at})`);
    }
    life.abort();
  });

  it('leaves no stream open when it is ended while it opens one', async () => {
    const { opened, life } = monitor();
    life.abort();
    await until('the stream opens', 1000, () => opened.length === 1);
    await until('the stream is closed', 1000, () => !(opened[0]?.isOpen() ?? true));
  });

  it('looks again when its stream was lost, and says that it missed something', async () => {
    const { opened, hints, life } = monitor();
    await until('the watch looks', 1000, () => opened.length === 1);
    opened[0]?.end();
    await until('it looks again', 3000, () => opened.length === 2);
    await until('both hints came', 1000, () => hints.length === 2);
    expect(hints).toEqual([
      'the watch over the host’s rules was interrupted',
      'the watch over the host’s rules goes on',
    ]);
    life.abort();
    await until('it has ended', 1000, () => opened.length === 2);
  });
});
