import type { ContainerSpec, Engine } from '../../core/engine/engine.ts';
import { labelsFor, names, type Scope } from '../../core/labels.ts';

/** A one-shot that nobody ended goes after this long, s. */
const ONE_SHOT_SECONDS = '600';
/** Some 68 years: what busybox counts to. */
const FOR_EVER = '2147483647';
/** nft's picture of a host with many thousand rules fits. */
const MEMORY_BYTES = 256 * 1024 * 1024;

export interface HostContainerDeps {
  readonly engine: Pick<Engine, 'containers'>;
  /** The v6-vpn image, which holds nft and both iptables. */
  readonly image: string;
  readonly scope: Scope;
  /** The node that keeps it; absent: a one-shot of the command line. */
  readonly node?: string | undefined;
  /** The node that a one-shot works for: what a killed command leaves goes with that node's other things. */
  readonly worksFor?: string | undefined;
}

/**
 * The container that shares the host's network, where rules are read and written. A node keeps one; a command makes one and
 * removes it. Holds NET_ADMIN, no socket of the engine, and nothing of the host's files but, for iptables-legacy, its lock.
 */
export class HostContainer {
  readonly name: string;
  readonly #deps: HostContainerDeps;
  #isFirst = true;
  #isForLegacy = false;

  constructor(deps: HostContainerDeps) {
    this.#deps = deps;
    this.name =
      deps.node === undefined
        ? `v6-host-rules-${Math.random().toString(16).slice(2, 10)}`
        : names.hostRules(deps.node, deps.scope);
  }

  get isForLegacy(): boolean {
    return this.#isForLegacy;
  }

  /** From the next `running` on it can run iptables-legacy. */
  async prepareForLegacy(): Promise<void> {
    this.#isForLegacy = true;
    this.#isFirst = true;
    await this.remove();
  }

  /** Its id, running. The first one is always new: what an earlier daemon left running in it is not ours. */
  async running(): Promise<string> {
    const { containers } = this.#deps.engine;
    const found = this.#isFirst ? undefined : await containers.find(this.name);
    if (found?.state === 'running') return found.id;
    if (found !== undefined) {
      try {
        await containers.start(found.id);
        return found.id;
      } catch {
        // It cannot be started again: a new one is made.
      }
    }
    return this.#create();
  }

  async remove(): Promise<void> {
    await this.#deps.engine.containers.remove(this.name);
  }

  async #create(): Promise<string> {
    try {
      return await this.#createWith(this.#isForLegacy);
    } catch (error) {
      if (!this.#isForLegacy) throw error;
      // Without a lock file nobody else locks either.
      return this.#createWith(false);
    }
  }

  async #createWith(hasLock: boolean): Promise<string> {
    const { containers } = this.#deps.engine;
    const { name, isForLegacy } = this;
    await containers.remove(name);
    const id = await containers.create(
      hostContainerSpec(this.#deps, { name, isForLegacy, hasLock }),
    );
    try {
      await containers.start(id);
    } catch (error) {
      await containers.remove(id);
      throw error;
    }
    this.#isFirst = false;
    return id;
  }
}

/** NET_ADMIN alone; iptables-legacy also opens a raw socket, and excludes the engine's iptables by a lock file. */
export function hostContainerSpec(
  { image, scope, node, worksFor }: Omit<HostContainerDeps, 'engine'>,
  container: { readonly name: string; readonly isForLegacy: boolean; readonly hasLock: boolean },
): ContainerSpec {
  const { name, isForLegacy, hasLock } = container;
  const isKept = node !== undefined;
  return {
    name,
    image,
    labels: isKept
      ? labelsFor({ kind: 'host-rules', scope, node })
      : labelsFor({
          kind: 'one-shot',
          scope,
          ...(worksFor === undefined ? {} : { node: worksFor }),
        }),
    entrypoint: ['/usr/bin/tini', '--', '/bin/sleep'],
    command: [isKept ? FOR_EVER : ONE_SHOT_SECONDS],
    networkMode: 'host',
    capabilities: isForLegacy ? ['NET_ADMIN', 'NET_RAW'] : ['NET_ADMIN'],
    readOnlyRoot: true,
    tmpfs: ['/run'],
    mounts: hasLock ? [{ source: XTABLES_LOCK, target: XTABLES_LOCK }] : [],
    restart: isKept ? 'unless-stopped' : 'no',
    memoryBytes: MEMORY_BYTES,
    pids: 64,
    stopTimeoutSeconds: 1,
  };
}

/** Of iptables(8); there on every host where iptables-legacy ran. */
const XTABLES_LOCK = '/run/xtables.lock';
