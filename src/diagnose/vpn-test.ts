import type { Clock } from '../core/clock.ts';
import type { KeyRing } from '../core/crypto/key-ring.ts';
import { V6Error } from '../core/errors.ts';
import { ECHO_IMAGE } from '../core/labels.ts';
import { parseEchoReport, plainText } from '../core/protocol/echo.ts';
import type { Collaboration, NodeEntity, Result, Run } from '../core/protocol/entities.ts';
import { parseRefusalNotes } from '../core/protocol/refusal-note.ts';
import type { VpnTestReport } from '../core/vpn/test-report.ts';
import type { Member } from './evidence.ts';
import type { UserClient } from './interfaces/user-client.ts';
import { judgePairs } from './pairs.ts';
import { chooseParticipants, type Participant, stateOf } from './participants.ts';
import { hasEnded, waitForRuns } from './wait-for-runs.ts';

export interface VpnTestInput {
  /** Id; may be left out where the user sees only one. */
  readonly collaboration?: number;
  /** Ids; empty for all. */
  readonly organizations: readonly number[];
  /** Names of nodes that must take part; empty for all that can. */
  readonly nodes: readonly string[];
  /** Every node of the collaboration must take part. */
  readonly allNodes?: boolean | undefined;
  /** Round trips per pair, 1–1000. */
  readonly probes: number;
  /** The whole test ends after this, in ms. */
  readonly limitMs: number;
}

export interface VpnTestDeps {
  readonly client: UserClient;
  readonly clock: Clock;
  /** The user's keys, for an encrypted collaboration. Throws V6_TEST_ENCRYPTED when there is no private key. */
  readonly openKeys: (signal: AbortSignal) => Promise<Pick<KeyRing, 'seal' | 'open'>>;
  /** A line of progress for a human. */
  readonly onProgress: (line: string) => void;
}

/** An echo container ends by itself after this, in ms. */
const ECHO_LIMIT_MS = 30_000;
const KILL_LIMIT_MS = 5000;

/**
 * Runs one echo task on every node of the mesh and judges every directed pair. Throws V6_TEST_NO_NODES for an empty mesh,
 * V6_TEST_ENCRYPTED, V6_ENCRYPTION_*, V6_USAGE, and what `UserClient` throws; rejects with V6_INTERRUPTED on an abort, after ending the
 * task. Failed pairs are a result, not an error.
 */
export async function testVpn(
  deps: VpnTestDeps,
  input: VpnTestInput,
  signal: AbortSignal,
): Promise<VpnTestReport> {
  const { client, clock } = deps;
  const startedAt = clock.now().getTime();
  const collaboration = await chooseCollaboration(client, input.collaboration, signal);
  const participants = chooseParticipants(await client.listNodes(collaboration.id, signal), input);
  if (!participants.some(({ runs }) => runs)) throw emptyMesh(collaboration, participants);
  // Before a task exists: without keys nobody could read its results.
  const keys = collaboration.encrypted ? await deps.openKeys(signal) : undefined;
  const { probes } = input;
  const task = await startTask(deps, { collaboration, participants, probes, keys }, signal);
  const limitMs = Math.max(1000, input.limitMs - (clock.now().getTime() - startedAt));
  const runs = await followTask(deps, task, { limitMs, signal });
  const results = await client.listResults(task, signal);
  const atEnd = refresh(participants, await client.listNodes(collaboration.id, signal));
  const members = atEnd.filter(({ inMesh }) => inMesh);
  const pairs = judgePairs(members.map((member) => toMember(member, runs, results, keys)));
  const passed = pairs.filter(({ ok }) => ok).length;
  return {
    ok: passed === pairs.length && passed > 0,
    collaboration: collaboration.id,
    task,
    nodes: atEnd.map(({ organization, node, vpnAddress, state }) => ({
      organization,
      node,
      vpnAddress,
      state,
    })),
    pairs,
    summary: {
      pairs: pairs.length,
      passed,
      failed: pairs.length - passed,
      durationMs: clock.now().getTime() - startedAt,
    },
  };
}

async function startTask(
  { client, onProgress }: VpnTestDeps,
  test: {
    readonly collaboration: Collaboration;
    readonly participants: readonly Participant[];
    readonly probes: number;
    readonly keys: Pick<KeyRing, 'seal'> | undefined;
  },
  signal: AbortSignal,
): Promise<number> {
  const { collaboration, participants, probes, keys } = test;
  const organizations = participants.filter(({ runs }) => runs).map((at) => at.organization);
  const task = await client.createTask(
    {
      collaboration: collaboration.id,
      image: ECHO_IMAGE,
      name: 'vpn test',
      description: 'every algorithm container talks to every other and to itself',
      organizations,
      ...(keys === undefined
        ? {}
        : { seal: (payload, organization) => keys.seal(payload, organization, signal) }),
      input: { method: 'echo', kwargs: { organizations, probes, limitMs: ECHO_LIMIT_MS } },
    },
    signal,
  );
  onProgress(`Task ${task} runs on ${organizations.length} of ${participants.length} nodes.`);
  return task;
}

/** The participants as the server sees them now; a node that is gone from its list stays as it was. */
function refresh(
  participants: readonly Participant[],
  nodes: readonly NodeEntity[],
): readonly Participant[] {
  return participants.map((participant) => {
    const node = nodes.find(({ organization }) => organization.id === participant.organization);
    if (node === undefined) return participant;
    const state = keepTested(participant, stateOf(node));
    return { ...participant, state, vpnAddress: node.ip };
  });
}

/** A node that took part with a tunnel and has no address any more lost its tunnel; it does not work without VPN. */
function keepTested(before: Participant, now: Participant['state']): Participant['state'] {
  return before.runs && now === 'skipped' ? 'tunnel-down' : now;
}

async function chooseCollaboration(
  client: UserClient,
  wanted: number | undefined,
  signal: AbortSignal,
): Promise<Collaboration> {
  const all = await client.listCollaborations(signal);
  const [first] = all;
  const listed = all.map(({ id, name }) => `${id} (${plainText(name)})`).join(', ');
  const chosen = wanted === undefined ? first : all.find(({ id }) => id === wanted);
  if (first === undefined) {
    throw new V6Error('V6_TEST_NO_NODES', 'this user sees no collaboration', {
      hints: ['Log in as a user of an organization that takes part in one: npx v6 login'],
    });
  }
  if (chosen === undefined) {
    throw new V6Error('V6_REQUEST_NOT_FOUND', `there is no collaboration ${wanted}`, {
      hints: [`Collaborations that this user sees: ${listed}`],
    });
  }
  if (wanted === undefined && all.length > 1) {
    throw new V6Error('V6_USAGE', 'this user sees more than one collaboration', {
      hints: [`Choose one with --collaboration ID: ${listed}`],
      details: { collaborations: all.map(({ id }) => id) },
    });
  }
  return chosen;
}

function emptyMesh(collaboration: Collaboration, nodes: readonly Participant[]): V6Error {
  const listed = nodes.map(({ node, state }) => `${node} (${state})`).join(', ');
  return new V6Error(
    'V6_TEST_NO_NODES',
    nodes.length === 0
      ? `collaboration ${collaboration.id} has no nodes`
      : `no node of collaboration ${collaboration.id} can take part: ${listed}`,
    {
      hints: [
        'Start the nodes, or look what they say: npx v6 node status',
        'A node that is online and listed as skipped has no address in the VPN: check its vpn_subnet and its log.',
      ],
      details: {
        collaboration: collaboration.id,
        nodes: nodes.map(({ organization, node, state }) => ({ organization, node, state })),
      },
    },
  );
}

/** Waits for the runs; ends the task when it was interrupted or is late, so that nothing of it stays. */
async function followTask(
  deps: VpnTestDeps,
  task: number,
  options: { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<readonly Run[]> {
  const { client, onProgress } = deps;
  try {
    const runs = await waitForRuns(deps, task, options);
    if (runs.every(hasEnded)) return runs;
    onProgress(`Task ${task} has not ended within ${Math.round(options.limitMs / 1000)} s.`);
    await client.killTask(task, AbortSignal.timeout(KILL_LIMIT_MS));
    // As they were before the kill: that they had to be killed is not why they were late.
    return runs;
  } catch (error) {
    if (!options.signal.aborted) throw error;
    onProgress(`Interrupted: ending task ${task}.`);
    const ending = client.killTask(task, AbortSignal.timeout(KILL_LIMIT_MS));
    const outcome = await ending.then(
      () => 'was ended',
      () => 'could not be ended: it ends by itself within a minute',
    );
    throw new V6Error('V6_INTERRUPTED', `the test was interrupted; task ${task} ${outcome}`, {
      cause: error,
    });
  }
}

function toMember(
  at: Participant,
  runs: readonly Run[],
  results: readonly Result[],
  keys: Pick<KeyRing, 'open'> | undefined,
): Member {
  const { organization, node, state, vpnAddress } = at;
  const run = runs.find((candidate) => candidate.organization.id === organization);
  const member = { organization, node, state, vpnAddress };
  if (run === undefined) return member;
  const result = results.find((candidate) => candidate.run.id === run.id)?.result;
  const report = run.status === 'completed' ? parseEchoReport(decode(result, keys)) : undefined;
  const lastLine = plainText(run.log?.trimEnd().split('\n').at(-1) ?? '');
  return {
    ...member,
    run: {
      run: run.id,
      status: run.status,
      finished: hasEnded(run),
      lastLine,
      refusals: parseRefusalNotes(run.log ?? ''),
    },
    // A report in the name of somebody else is none.
    ...(report?.organization === organization ? { report } : {}),
  };
}

/** Undefined for a result that is none, or that the key does not open: such a member has left no report. */
function decode(text: string | null | undefined, keys: Pick<KeyRing, 'open'> | undefined): unknown {
  if (text === null || text === undefined || text === '') return undefined;
  try {
    const payload = keys === undefined ? Buffer.from(text, 'base64') : keys.open(text, 'a report');
    return JSON.parse(Buffer.from(payload).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}
