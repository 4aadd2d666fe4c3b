import type { KeyPin, PinStore, RefusedKey } from '../../src/core/crypto/pins.ts';

/** Pins in memory, with the contract of those on disk. */
export class FakePins implements PinStore {
  readonly pins = new Map<number, KeyPin>();
  readonly refused = new Map<number, RefusedKey>();

  async find(organization: number): Promise<KeyPin | undefined> {
    return this.pins.get(organization);
  }
  async list(): Promise<readonly KeyPin[]> {
    return [...this.pins.values()].toSorted((a, b) => a.organization - b.organization);
  }
  async pinFirst(pin: KeyPin): Promise<KeyPin> {
    const known = this.pins.get(pin.organization);
    if (known === undefined) this.pins.set(pin.organization, pin);
    return known ?? pin;
  }
  async trust(pin: KeyPin): Promise<void> {
    this.pins.set(pin.organization, pin);
    this.refused.delete(pin.organization);
  }
  async forget(organization: number): Promise<boolean> {
    const wasPinned = this.pins.delete(organization);
    return this.refused.delete(organization) || wasPinned;
  }
  async removeAll(): Promise<void> {
    this.pins.clear();
    this.refused.clear();
  }
  async noteRefused(refused: RefusedKey): Promise<void> {
    this.refused.set(refused.organization, refused);
  }
  async listRefused(): Promise<readonly RefusedKey[]> {
    return [...this.refused.values()].toSorted((a, b) => a.organization - b.organization);
  }
}
