import { type ErrorCode, V6Error } from '../../src/core/errors.ts';
import type { HostGuard, HostGuardInput } from '../../src/node/interfaces/host-guard.ts';

/** The guard of a host in memory: who needs it, and for which remotes. */
export class FakeHostGuard implements HostGuard {
  readonly owners = new Map<string, HostGuardInput['localRemotes']>();
  failure: ErrorCode | undefined;

  async apply({ owner, localRemotes }: HostGuardInput): Promise<void> {
    if (this.failure !== undefined) throw new V6Error(this.failure, 'The guard was told to fail');
    this.owners.set(owner, localRemotes);
  }

  async remove(owner: string): Promise<void> {
    this.owners.delete(owner);
  }

  async show(): Promise<string | undefined> {
    return this.owners.size === 0 ? undefined : `guard for ${[...this.owners.keys()].join(', ')}`;
  }
}
