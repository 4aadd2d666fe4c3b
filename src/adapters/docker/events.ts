import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { EngineEvent } from '../../core/engine/engine.ts';
import { request, translateEngineError } from './errors.ts';
import { followStream, LineCutter } from './streams.ts';

/** One line of the engine's event stream (Docker Engine API, "Monitor events"). */
interface RawEvent {
  readonly Type?: string;
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Record<string, string> };
}

type Labels = Readonly<Record<string, string>>;

const matches = (labels: Labels, wanted: Labels): boolean =>
  Object.entries(wanted).every(([name, value]) => labels[name] === value);

/**
 * Events of one engine. Container events carry their labels; network events do not, on no version, so that the engine's
 * own label filter would drop them all: labels of networks are remembered here, also beyond their removal.
 */
export async function* engineEvents(
  docker: Docker,
  wanted: Labels,
  since: Date,
  signal: AbortSignal,
): AsyncIterable<EngineEvent> {
  if (signal.aborted) return;
  const known = new Map<string, Labels>();
  const stream = await request('follow events', async () => {
    for (const { Id, Labels } of await docker.listNetworks()) known.set(Id, Labels ?? {});
    const events: unknown = await docker.getEvents({
      // With a start in the past nothing is lost between our call and the engine's answer. Seconds, with a fraction.
      since: since.getTime() / 1000,
      filters: { type: ['container', 'network'] },
    });
    return events as Readable;
  });
  const cutter = new LineCutter();
  const lines = followStream(stream, {
    signal,
    take: (chunk) => cutter.push(chunk.toString('utf8')),
    translate: (error) => translateEngineError(error, 'follow events'),
  });
  for await (const line of lines) {
    const event = await toEvent(docker, line, known);
    if (event && matches(event.labels, wanted)) yield event;
  }
}

async function toEvent(
  docker: Docker,
  line: string,
  known: Map<string, Labels>,
): Promise<EngineEvent | undefined> {
  if (line.trim() === '') return undefined;
  const { Type: type, Action: action = '', Actor: actor } = JSON.parse(line) as RawEvent;
  const id = actor?.ID;
  // exec_create, exec_start and exec_die carry whole command lines and concern nobody.
  if ((type !== 'container' && type !== 'network') || !id || action.startsWith('exec_'))
    return undefined;
  const attributes = actor?.Attributes ?? {};
  const labels = type === 'container' ? attributes : await networkLabels(docker, id, known);
  const { name = '', container } = attributes;
  const isAboutOne = type === 'network' && container !== undefined;
  return { type, action, id, name, labels, ...(isAboutOne ? { container } : {}) };
}

async function networkLabels(
  docker: Docker,
  id: string,
  known: Map<string, Labels>,
): Promise<Labels> {
  const remembered = known.get(id);
  if (remembered) return remembered;
  // Gone already: a network that lived for a moment, and whose labels nobody can tell any more.
  const info = await docker
    .getNetwork(id)
    .inspect()
    .catch(() => undefined);
  const labels = (info as { Labels?: Labels } | undefined)?.Labels ?? {};
  known.set(id, labels);
  return labels;
}
