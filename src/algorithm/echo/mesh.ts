import { setTimeout as sleep } from 'node:timers/promises';
import {
  ECHO_LABEL,
  ECHO_PORT,
  ECHO_PROTOCOLS,
  type EchoPair,
  type EchoProtocol,
  type EchoReport,
  type PairError,
} from '../../core/protocol/echo.ts';
import type { AlgorithmClient } from '../client.ts';
import { AddressBook } from './address-book.ts';
import { summarize, toPairError } from './failure.ts';
import { type Endpoint, type Link, renderEndpoint } from './link.ts';
import { type ProbeRequest, probeLink, probeTcp, probeUdp } from './probe.ts';
import { EchoStation, type StationPorts } from './station.ts';
import type { Self } from './wire.ts';

export interface MeshOptions {
  /** Who takes part, ourselves included. */
  readonly organizations: readonly number[];
  /** Round trips per pair. */
  readonly probes: number;
  /** The whole test ends after this, in ms. */
  readonly limitMs: number;
  /** A pair has failed when its probes failed for this long since its address was first seen, in ms. */
  readonly patienceMs?: number;
  /** A pair has failed when its address has not appeared after this, in ms. */
  readonly addressLimitMs?: number;
  readonly ports?: StationPorts;
  /** Called when both ports listen. */
  readonly onListening?: (ports: { readonly tcp: number; readonly udp: number }) => void;
}

const RETRY_MS = 200;
const ATTEMPT_MS = 2000;
const ACKNOWLEDGE_MS = 2000;
const KEEPALIVE_MS = 1000;

interface Mesh {
  readonly self: Self;
  readonly station: EchoStation;
  readonly book: AddressBook;
  readonly probes: number;
  readonly patienceMs: number;
  readonly addressLimitMs: number;
  readonly signal: AbortSignal;
}

/**
 * Talks to every organization of the list, itself included, as soon as its address appears, and answers them meanwhile.
 * Ends when every peer said that it is done with us or our own probes of it have failed for `patienceMs`, and at the
 * latest after `limitMs`.
 */
export async function runMesh(
  client: Pick<AlgorithmClient, 'identity' | 'vpn'>,
  options: MeshOptions,
  signal: AbortSignal,
): Promise<EchoReport> {
  const startedAt = performance.now();
  const self = { task: client.identity.task, organization: client.identity.organization };
  const station = new EchoStation(self, options.organizations);
  const book = new AddressBook(self.task, (stop) => client.vpn.getAddresses({}, stop));
  const mesh: Mesh = {
    self,
    station,
    book,
    probes: options.probes,
    patienceMs: options.patienceMs ?? 5000,
    addressLimitMs: options.addressLimitMs ?? 15_000,
    signal: AbortSignal.any([signal, AbortSignal.timeout(options.limitMs)]),
  };
  try {
    await station.listen(options.ports ?? ECHO_PORT);
    options.onListening?.(station.ports);
    book.open();
    const pairs = await Promise.all(options.organizations.map((peer) => meetPeer(mesh, peer)));
    signal.throwIfAborted();
    return {
      organization: self.organization,
      pairs: pairs.flat(),
      durationMs: Math.round(performance.now() - startedAt),
    };
  } finally {
    await Promise.all([station.close(), book.close()]);
  }
}

/** Both protocols towards one peer; then waits until the peer no longer needs us. */
async function meetPeer(mesh: Mesh, peer: number): Promise<readonly EchoPair[]> {
  const outcomes = await Promise.all(
    ECHO_PROTOCOLS.map((protocol) => testPair(mesh, peer, protocol)),
  );
  const pairs = outcomes.map((outcome) => outcome.pair);
  const link = outcomes.find((outcome) => outcome.link !== undefined)?.link;
  if (peer === mesh.self.organization) return pairs;
  mesh.station.sayDone(peer);
  await waitForPeer(mesh, peer, link);
  await waitForAcknowledgement(mesh, peer);
  return pairs;
}

interface Outcome {
  readonly pair: EchoPair;
  readonly link?: Link;
}

async function testPair(mesh: Mesh, peer: number, protocol: EchoProtocol): Promise<Outcome> {
  const pair = { to: peer, protocol, label: ECHO_LABEL[protocol] };
  const failed = (endpoint: Endpoint | undefined, error: PairError): Outcome => ({
    pair: {
      ...pair,
      address: endpoint === undefined ? null : renderEndpoint(endpoint),
      ok: false,
      rttMs: null,
      error,
    },
  });
  let endpoint = await waitForAddress(mesh, peer, protocol);
  if (endpoint === undefined) return failed(undefined, noAddress(mesh, peer, protocol));
  const deadline = performance.now() + mesh.patienceMs;
  for (;;) {
    try {
      // The address may have moved since: a tunnel that came back can have another one.
      endpoint = mesh.book.find(peer, protocol) ?? endpoint;
      const { times, link } = await attempt(mesh, peer, { protocol, endpoint, deadline });
      return {
        pair: {
          ...pair,
          address: renderEndpoint(endpoint),
          ok: true,
          rttMs: summarize(times),
          error: null,
        },
        ...(link === undefined ? {} : { link }),
      };
    } catch (error) {
      if (mesh.signal.aborted || performance.now() + RETRY_MS >= deadline)
        return failed(endpoint, toPairError(error));
      await pause(RETRY_MS, mesh.signal);
    }
  }
}

async function attempt(
  mesh: Mesh,
  peer: number,
  at: { readonly protocol: EchoProtocol; readonly endpoint: Endpoint; readonly deadline: number },
): Promise<{ readonly times: readonly number[]; readonly link?: Link }> {
  const request: ProbeRequest = {
    self: mesh.self,
    peer,
    endpoint: at.endpoint,
    count: mesh.probes,
    timeoutMs: Math.max(
      RETRY_MS,
      Math.min(ATTEMPT_MS, Math.round(at.deadline - performance.now())),
    ),
    signal: mesh.signal,
  };
  return at.protocol === 'tcp'
    ? await probeTcp(request, mesh.station)
    : { times: await probeUdp(request) };
}

async function waitForAddress(
  { book, addressLimitMs, signal }: Mesh,
  peer: number,
  protocol: EchoProtocol,
): Promise<Endpoint | undefined> {
  const deadline = performance.now() + addressLimitMs;
  for (;;) {
    const endpoint = book.find(peer, protocol);
    if (endpoint !== undefined) return endpoint;
    if (signal.aborted || performance.now() >= deadline) return undefined;
    await pause(20, signal);
  }
}

function noAddress(
  { book, addressLimitMs }: Mesh,
  peer: number,
  protocol: EchoProtocol,
): PairError {
  const reason = book.lastError === undefined ? '' : `; the last reading failed: ${book.lastError}`;
  return {
    code: 'V6_TEST_NO_ADDRESS',
    message: `no address with label ${ECHO_LABEL[protocol]} of organization ${peer} appeared within ${addressLimitMs} ms${reason}`,
    hop: null,
  };
}

/**
 * Until the peer said that it is done with us. Without a word we keep probing it once a second; it is gone when that has
 * failed for `patienceMs` and nothing comes from it either (one direction may be enough for it to say done).
 */
async function waitForPeer(mesh: Mesh, peer: number, link: Link | undefined): Promise<void> {
  const { station, signal, patienceMs } = mesh;
  let answeredAt = link === undefined ? Number.NEGATIVE_INFINITY : performance.now();
  let probedAt = performance.now();
  let current = link;
  const isGone = (): boolean =>
    performance.now() - answeredAt > patienceMs &&
    performance.now() - station.heardAt(peer) > 2 * KEEPALIVE_MS;
  while (!station.hasSaidDone(peer) && !signal.aborted && !isGone()) {
    await station.changed(100);
    if (current === undefined || performance.now() - probedAt < KEEPALIVE_MS) continue;
    probedAt = performance.now();
    try {
      current = await keepAlive(mesh, peer, current);
      answeredAt = performance.now();
    } catch {
      // Counted by the time since the last answer.
    }
  }
}

async function keepAlive(mesh: Mesh, peer: number, link: Link): Promise<Link> {
  if (link.isOpen) {
    await probeLink(link, { self: mesh.self, peer }, KEEPALIVE_MS);
    return link;
  }
  const endpoint = mesh.book.find(peer, 'tcp');
  if (endpoint === undefined) return link;
  const deadline = performance.now() + KEEPALIVE_MS;
  const { link: opened } = await attempt(mesh, peer, { protocol: 'tcp', endpoint, deadline });
  return opened ?? link;
}

/** Our `done` must have arrived before our container and its rules go. */
async function waitForAcknowledgement({ station, signal }: Mesh, peer: number): Promise<void> {
  const deadline = performance.now() + ACKNOWLEDGE_MS;
  if (!station.hasAcknowledged(peer) && !station.sayDone(peer)) return;
  while (!station.hasAcknowledged(peer) && performance.now() < deadline && !signal.aborted)
    await station.changed(50);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
