import { ECHO_LABEL, ECHO_PORT } from '../../core/protocol/echo.ts';
import { integerOf, organizationsOf } from '../input.ts';
import type { MethodContext, Methods } from '../run.ts';
import { toPairError } from './failure.ts';
import { renderEndpoint } from './link.ts';
import { runMesh } from './mesh.ts';
import { probeTcp } from './probe.ts';
import { EchoStation } from './station.ts';

/** Probes every organization of `organizations` over TCP and UDP; the result is an EchoReport. */
async function echo({ client, kwargs, signal }: MethodContext): Promise<unknown> {
  return runMesh(
    client,
    {
      organizations: organizationsOf(kwargs),
      probes: integerOf(kwargs, 'probes', { min: 1, max: 1000, fallback: 5 }),
      limitMs: integerOf(kwargs, 'limitMs', { min: 1000, max: 600_000, fallback: 30_000 }),
    },
    signal,
  );
}

/** Says which organization it runs for; needs no network. */
function whoami({ client }: MethodContext): Promise<unknown> {
  const { organization, task, node } = client.identity;
  return Promise.resolve({ organization, task, node });
}

/**
 * Connects to its own registered TCP address as its first act, once and without a retry: it works only when address and
 * rules were in place before the container started.
 */
async function self({ client, signal }: MethodContext): Promise<unknown> {
  const { task, organization } = client.identity;
  const station = new EchoStation({ task, organization }, [organization]);
  try {
    await station.listen(ECHO_PORT);
    const addresses = await client.vpn.getAddresses({ onlySelf: true }, signal);
    const own = addresses.find(({ label }) => label === ECHO_LABEL.tcp);
    if (own === undefined || own.ip === null) {
      const message = 'the server has no address of this run';
      return { ok: false, address: null, error: { code: 'V6_TEST_NO_ADDRESS', message } };
    }
    const endpoint = { ip: own.ip, port: own.port };
    try {
      const request = { self: { task, organization }, peer: organization, endpoint, count: 1 };
      await probeTcp({ ...request, timeoutMs: 5000, signal }, station);
      return { ok: true, address: renderEndpoint(endpoint), error: null };
    } catch (error) {
      return { ok: false, address: renderEndpoint(endpoint), error: toPairError(error) };
    }
  } finally {
    await station.close();
  }
}

/** Starts `whoami` on the other organizations through the server and returns what they answered; uses no VPN. */
async function collect({ client, kwargs, signal }: MethodContext): Promise<unknown> {
  const limitMs = integerOf(kwargs, 'limitMs', { min: 1000, max: 600_000, fallback: 120_000 });
  const own = client.identity.organization;
  const wanted =
    kwargs.organizations === undefined
      ? await client.organization.list(signal)
      : organizationsOf(kwargs);
  const others = wanted.filter((id) => id !== own);
  if (others.length === 0) throw new Error('there is no other organization to ask');
  const task = await client.task.create({ method: 'whoami', args: [], kwargs: {} }, others, signal);
  const results = await client.waitForResults(task, limitMs, signal);
  return { task, results };
}

/** What the echo image can be asked for. */
export const ECHO_METHODS: Methods = { echo, whoami, self, collect };
