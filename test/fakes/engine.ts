import type {
  ContainerSpec,
  ContainerState,
  Containers,
  Engine,
  EngineEvent,
  EngineInfo,
  ImageState,
  Images,
  LineStream,
  NetworkSpec,
  NetworkState,
  Networks,
} from '../../src/core/engine/engine.ts';
import { type ErrorCode, V6Error } from '../../src/core/errors.ts';
import { addressAt, containsAddress, type Ipv4, overlaps } from '../../src/core/net/ipv4.ts';

/** What a container's program does once it is started; nothing given: it runs until it is stopped. */
export interface Program {
  readonly exitCode?: number;
  readonly output?: string;
}

export interface FakeEngineOptions {
  readonly images?: readonly string[];
  /** References that a pull finds in the registry. */
  readonly registry?: readonly string[];
  readonly program?: (spec: ContainerSpec) => Program;
  readonly exec?: (
    container: string,
    command: readonly string[],
  ) => { exitCode: number; output: string };
  /** Answers one line of a long-lived stream with lines. */
  readonly stream?: (container: string, line: string) => readonly string[];
}

interface Held {
  readonly spec: ContainerSpec;
  state: ContainerState;
  log: string;
  readonly waiters: ((exitCode: number) => void)[];
}

type Failure = { readonly code: ErrorCode; left: number };

/**
 * A container engine in memory with the contract of the real one (test/contracts/engine.test.ts runs on both).
 * `failAt` makes the nth call of a method fail; `held` tells what is left.
 */
export class FakeEngine implements Engine {
  readonly options: FakeEngineOptions;
  readonly #containers = new Map<string, Held>();
  readonly #networks = new Map<string, { spec: NetworkSpec; id: string }>();
  readonly #images = new Map<string, ImageState>();
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  readonly #failures = new Map<string, Failure>();
  readonly #streams = new Map<string, Set<() => void>>();
  readonly #breakers = new Set<(error: V6Error) => void>();
  #isAway = false;
  #serial = 0;
  readonly containers: Containers;
  readonly networks: Networks;
  readonly images: Images;

  constructor(options: FakeEngineOptions = {}) {
    this.options = options;
    for (const tag of options.images ?? []) this.#addImage(tag);
    this.containers = this.#makeContainers();
    this.networks = this.#makeNetworks();
    this.images = this.#makeImages();
  }

  /** The nth call (1 = the next) of e.g. `containers.start` throws this code. */
  failAt(method: string, nth: number, code: ErrorCode): void {
    this.#failures.set(method, { code, left: nth });
  }

  /** The engine stops answering, and every wait breaks. With an exit status the containers that run end at `at`, as without live-restore. */
  goAway(end?: { readonly exitCode: number; readonly at: Date }): void {
    this.#isAway = true;
    for (const reject of this.#breakers) reject(absent());
    this.#breakers.clear();
    if (end === undefined) return;
    for (const held of this.#containers.values()) {
      if (held.state.state !== 'running') continue;
      held.waiters.splice(0);
      const { exitCode, at } = end;
      held.state = { ...held.state, state: 'exited', exitCode, pid: 0, finishedAt: at };
    }
  }

  comeBack(): void {
    this.#isAway = false;
  }

  /** Names of what exists now. */
  held(): { containers: string[]; networks: string[] } {
    return {
      containers: [...this.#containers.values()].map(({ spec }) => spec.name).toSorted(),
      networks: [...this.#networks.keys()].toSorted(),
    };
  }

  specOf(name: string): ContainerSpec | undefined {
    return this.#lookup(name)?.spec;
  }

  /** Ends a running container by itself, as its program would. */
  end(name: string, exitCode: number): void {
    const held = this.#lookup(name);
    if (held) this.#end(held, exitCode);
  }

  /** Somebody gives a container another name. */
  rename(name: string, next: string): void {
    const held = this.#lookup(name);
    if (held === undefined) return;
    const spec = { ...held.spec, name: next };
    this.#containers.set(held.state.id, { ...held, spec, state: { ...held.state, name: next } });
    this.#emit('container', 'rename', held.state.id);
  }

  /** Streams into a container end, as with a restart of the engine; the container goes on. */
  loseStreams(name: string): void {
    const id = this.#lookup(name)?.state.id ?? '';
    for (const close of this.#streams.get(id) ?? []) close();
  }

  /** Somebody pauses a running container. */
  pause(name: string): void {
    const held = this.#lookup(name);
    if (held?.state.state !== 'running') return;
    held.state = { ...held.state, state: 'paused' };
    this.#emit('container', 'pause', held.state.id);
  }

  async info(): Promise<EngineInfo> {
    this.#check('info');
    return { version: '20.10.24', liveRestore: false, securityOptions: [] };
  }

  async *events(
    labels: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncIterable<EngineEvent> {
    const waiting: EngineEvent[] = [];
    let wake: () => void = noop;
    const listener = (event: EngineEvent): void => {
      waiting.push(event);
      wake();
    };
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        const event = waiting.shift();
        if (!event) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        } else if (matches(event.labels, labels)) {
          yield event;
        }
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  #check(method: string): void {
    if (this.#isAway) throw absent();
    const failure = this.#failures.get(method);
    if (!failure) return;
    failure.left -= 1;
    if (failure.left > 0) return;
    this.#failures.delete(method);
    throw new V6Error(failure.code, `${method} was told to fail`);
  }

  #id(): string {
    this.#serial += 1;
    return this.#serial.toString(16).padStart(64, '0');
  }

  #emit(type: EngineEvent['type'], action: string, id: string, container?: string): void {
    const held = type === 'container' ? this.#containers.get(id) : undefined;
    const network = [...this.#networks.values()].find((item) => item.id === id);
    const name = held?.spec.name ?? network?.spec.name ?? '';
    const labels = held?.spec.labels ?? network?.spec.labels ?? {};
    const more = container === undefined ? {} : { container };
    for (const listener of this.#listeners) listener({ type, action, id, name, labels, ...more });
  }

  #lookup(id: string): Held | undefined {
    return (
      this.#containers.get(id) ??
      [...this.#containers.values()].find(({ spec }) => spec.name === id)
    );
  }

  #get(id: string): Held {
    const held = this.#lookup(id);
    if (!held) throw new V6Error('V6_ENGINE_REQUEST', `No such container: ${id}`);
    return held;
  }

  #attached(network: string): { held: Held; address: string | undefined }[] {
    return [...this.#containers.values()]
      .filter(({ state }) => network in state.networks)
      .map((held) => ({ held, address: this.#addresses.get(`${held.state.id} ${network}`) }));
  }

  readonly #addresses = new Map<string, string>();

  #connect(network: string, id: string, address: Ipv4 | undefined): void {
    const found = this.#networks.get(network);
    if (!found) throw new V6Error('V6_ENGINE_REQUEST', `network ${network} not found`);
    const held = this.#get(id);
    const taken = new Set<string | undefined>(this.#attached(network).map((item) => item.address));
    if (network in held.state.networks)
      throw new V6Error('V6_ENGINE_CONFLICT', `${id} is already connected to ${network}`);
    if (address !== undefined && !containsAddress(found.spec.subnet, address))
      throw new V6Error('V6_ENGINE_REQUEST', `${address} is outside ${found.spec.subnet}`);
    if (address !== undefined && (taken.has(address) || address === found.spec.gateway))
      throw new V6Error('V6_ENGINE_CONFLICT', `Address already in use: ${address}`);
    let chosen: string | undefined = address;
    for (let offset = 2; chosen === undefined; offset += 1) {
      const next = addressAt(found.spec.subnet, offset);
      if (!taken.has(next) && next !== found.spec.gateway) chosen = next;
    }
    this.#addresses.set(`${held.state.id} ${network}`, chosen);
    this.#setNetworks(held, [...Object.keys(held.state.networks), network]);
    this.#emit('network', 'connect', found.id, held.state.id);
  }

  #setNetworks(held: Held, list: readonly string[]): void {
    const isRunning = held.state.state === 'running';
    held.state = {
      ...held.state,
      networks: Object.fromEntries(
        list.map((name) => [
          name,
          isRunning ? this.#addresses.get(`${held.state.id} ${name}`) : undefined,
        ]),
      ),
    };
  }

  #disconnect(network: string, held: Held): void {
    if (!(network in held.state.networks)) return;
    this.#addresses.delete(`${held.state.id} ${network}`);
    this.#setNetworks(
      held,
      Object.keys(held.state.networks).filter((name) => name !== network),
    );
    const found = this.#networks.get(network);
    if (found) this.#emit('network', 'disconnect', found.id, held.state.id);
  }

  #end(held: Held, exitCode: number): void {
    if (held.state.state !== 'running') return;
    held.state = { ...held.state, state: 'exited', exitCode, pid: 0, finishedAt: new Date() };
    this.#setNetworks(held, Object.keys(held.state.networks));
    for (const close of this.#streams.get(held.state.id) ?? []) close();
    for (const waiter of held.waiters.splice(0)) waiter(exitCode);
    this.#emit('container', 'die', held.state.id);
  }

  #addImage(tag: string): void {
    const name = tag.includes(':') || tag.includes('@') ? tag : `${tag}:latest`;
    this.#images.set(name, {
      id: `sha256:${this.#id()}`,
      tags: [name],
      labels: {},
      sizeBytes: 1,
      createdAt: new Date(),
      exposedPorts: [],
      digests: [],
    });
  }

  #findImage(reference: string): ImageState | undefined {
    const found = this.#images.get(reference) ?? this.#images.get(`${reference}:latest`);
    return found ?? [...this.#images.values()].find(({ id }) => id === reference);
  }

  #makeContainers(): Containers {
    return {
      create: async (spec) => {
        this.#check('containers.create');
        if (!this.#findImage(spec.image))
          throw new V6Error('V6_IMAGE_NOT_FOUND', `No such image: ${spec.image}`);
        if (this.#lookup(spec.name))
          throw new V6Error('V6_ENGINE_CONFLICT', `The name ${spec.name} is taken`);
        const id = this.#id();
        const state: ContainerState = {
          id,
          name: spec.name,
          image: spec.image,
          labels: spec.labels,
          state: 'created',
          exitCode: 0,
          pid: 0,
          startedAt: undefined,
          finishedAt: undefined,
          oomKilled: false,
          error: '',
          networks: {},
        };
        this.#containers.set(id, { spec, state, log: '', waiters: [] });
        try {
          for (const { name, address } of spec.networks ?? []) this.#connect(name, id, address);
        } catch (error) {
          this.#containers.delete(id);
          throw error;
        }
        this.#emit('container', 'create', id);
        return id;
      },
      start: async (id) => {
        this.#check('containers.start');
        const held = this.#get(id);
        if (held.state.state === 'running') return;
        this.#serial += 1;
        held.state = {
          ...held.state,
          state: 'running',
          pid: 1000 + this.#serial,
          startedAt: new Date(),
        };
        this.#setNetworks(held, Object.keys(held.state.networks));
        this.#emit('container', 'start', held.state.id);
        const program = this.options.program?.(held.spec) ?? {};
        held.log += program.output ?? '';
        if (program.exitCode !== undefined) this.#end(held, program.exitCode);
      },
      stop: async (id) => {
        this.#check('containers.stop');
        const held = this.#lookup(id);
        if (held) this.#end(held, 143);
      },
      remove: async (id) => {
        this.#check('containers.remove');
        const held = this.#lookup(id);
        if (!held) return;
        this.#end(held, 137);
        for (const name of Object.keys(held.state.networks)) this.#disconnect(name, held);
        this.#emit('container', 'destroy', held.state.id);
        this.#containers.delete(held.state.id);
      },
      find: async (id) => {
        this.#check('containers.find');
        return this.#lookup(id)?.state;
      },
      list: async (labels) => {
        this.#check('containers.list');
        return [...this.#containers.values()]
          .map(({ state }) => state)
          .filter((state) => matches(state.labels, labels));
      },
      wait: async (id, signal) => {
        this.#check('containers.wait');
        const held = this.#get(id);
        if (held.state.state !== 'running') return held.state.exitCode;
        return new Promise((resolve, reject) => {
          held.waiters.push(resolve);
          this.#breakers.add(reject);
          signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        });
      },
      kill: async (id, signal) => {
        this.#check('containers.kill');
        const held = this.#lookup(id);
        if (held) this.#end(held, signal === 'SIGKILL' ? 137 : 143);
      },
      unpause: async (id) => {
        this.#check('containers.unpause');
        const held = this.#lookup(id);
        if (held?.state.state !== 'paused') return;
        held.state = { ...held.state, state: 'running' };
        this.#emit('container', 'unpause', held.state.id);
      },
      logs: async (id, options = {}) => {
        this.#check('containers.logs');
        const { log } = this.#get(id);
        if (options.tail === undefined) return log;
        const lines = log.split('\n').slice(0, -1);
        return lines
          .slice(-options.tail)
          .map((line) => `${line}\n`)
          .join('');
      },
      followLogs: (id, signal) => this.#followLogs(id, signal),
      exec: async (id, command) => {
        this.#check('containers.exec');
        const held = this.#get(id);
        if (held.state.state !== 'running')
          throw new V6Error('V6_ENGINE_CONFLICT', `Container ${id} is not running`);
        return this.options.exec?.(held.spec.name, command) ?? { exitCode: 0, output: '' };
      },
      openStream: async (id) => {
        this.#check('containers.openStream');
        return this.#openStream(this.#get(id));
      },
    };
  }

  async *#followLogs(id: string, signal: AbortSignal): AsyncIterable<string> {
    const held = this.#get(id);
    if (held.log !== '') yield held.log;
    if (held.state.state !== 'running' || signal.aborted) return;
    await new Promise<void>((resolve) => {
      held.waiters.push(() => resolve());
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  #openStream(held: Held): LineStream {
    if (held.state.state !== 'running')
      throw new V6Error('V6_ENGINE_CONFLICT', `Container ${held.spec.name} is not running`);
    const waiting: string[] = [];
    let isOpen = true;
    let wake: () => void = noop;
    const close = (): void => {
      isOpen = false;
      wake();
    };
    const { id } = held.state;
    const open = this.#streams.get(id) ?? new Set();
    this.#streams.set(id, open.add(close));
    async function* lines(): AsyncGenerator<string> {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift() as string;
        if (!isOpen) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    return {
      write: (line) => {
        if (!isOpen) return;
        waiting.push(...(this.options.stream?.(held.spec.name, line) ?? []));
        wake();
      },
      lines: lines(),
      close,
    };
  }

  #networkState(spec: NetworkSpec, id: string): NetworkState {
    const running = this.#attached(spec.name).filter(({ held }) => held.state.state === 'running');
    return {
      id,
      name: spec.name,
      labels: spec.labels,
      subnets: [spec.subnet],
      gateway: spec.gateway,
      bridge: spec.bridge,
      containers: Object.fromEntries(
        running.map(({ held, address }) => [held.spec.name, address ?? '']),
      ),
    };
  }

  #makeNetworks(): Networks {
    return {
      ensure: async (spec) => {
        this.#check('networks.ensure');
        const present = this.#networks.get(spec.name);
        if (present) {
          const same = (['subnet', 'gateway', 'bridge', 'form'] as const).every(
            (key) => present.spec[key] === spec[key],
          );
          if (!same)
            throw new V6Error('V6_ENGINE_CONFLICT', `${spec.name} exists with other settings`);
          return this.#networkState(present.spec, present.id);
        }
        for (const { spec: other } of this.#networks.values()) {
          if (overlaps(other.subnet, spec.subnet))
            throw new V6Error('V6_NET_OVERLAP', `${spec.subnet} overlaps ${other.name}`);
          if (other.bridge === spec.bridge)
            throw new V6Error('V6_ENGINE_CONFLICT', `${other.name} has the bridge ${spec.bridge}`);
        }
        const id = this.#id();
        this.#networks.set(spec.name, { spec, id });
        this.#emit('network', 'create', id);
        return this.#networkState(spec, id);
      },
      find: async (name) => {
        this.#check('networks.find');
        const found = this.#networks.get(name);
        return found && this.#networkState(found.spec, found.id);
      },
      list: async (labels) => {
        this.#check('networks.list');
        return [...this.#networks.values()]
          .filter(({ spec }) => matches(spec.labels, labels))
          .map(({ spec, id }) => this.#networkState(spec, id));
      },
      remove: async (name) => {
        this.#check('networks.remove');
        const found = this.#networks.get(name);
        if (!found) return;
        for (const { held } of this.#attached(name)) this.#disconnect(name, held);
        this.#emit('network', 'destroy', found.id);
        this.#networks.delete(name);
      },
      connect: async (network, container, address) => {
        this.#check('networks.connect');
        this.#connect(network, container, address);
      },
      disconnect: async (network, container) => {
        this.#check('networks.disconnect');
        const held = this.#lookup(container);
        if (held) this.#disconnect(network, held);
      },
    };
  }

  #makeImages(): Images {
    return {
      find: async (reference) => {
        this.#check('images.find');
        return this.#findImage(reference);
      },
      list: async (labels) => {
        return [...this.#images.values()].filter((image) => matches(image.labels, labels));
      },
      pull: async (reference) => {
        this.#check('images.pull');
        if (!this.options.registry?.includes(reference))
          throw new V6Error('V6_IMAGE_NOT_FOUND', `Could not pull the image ${reference}`);
        this.#addImage(reference);
      },
      build: async ({ tags, labels }) => {
        this.#check('images.build');
        for (const tag of tags) {
          this.#addImage(tag);
          const image = this.#findImage(tag);
          if (image) this.#images.set(tag, { ...image, labels });
        }
      },
      remove: async (reference) => {
        const image = this.#findImage(reference);
        if (!image) return;
        const isUsed = [...this.#containers.values()].some(({ spec }) => spec.image === reference);
        if (isUsed) throw new V6Error('V6_ENGINE_CONFLICT', `${reference} is used`);
        for (const tag of image.tags) this.#images.delete(tag);
      },
    };
  }
}

function matches(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function noop(): void {}

function absent(): V6Error {
  return new V6Error('V6_ENGINE_MISSING', 'The container engine went away');
}
