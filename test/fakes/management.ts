import { V6Error } from '../../src/core/errors.ts';
import {
  type Management,
  type ManagementEvent,
  parseNotification,
} from '../../src/core/vpn/management.ts';

/** An openvpn's management socket in memory: the test plays its lines. */
export class FakeManagement implements Management {
  readonly #listeners: ((event: ManagementEvent) => void)[] = [];
  isOpen = false;
  isClosed = false;

  onEvent(listener: (event: ManagementEvent) => void): void {
    this.#listeners.push(listener);
  }

  async send(command: string): Promise<readonly string[]> {
    if (!this.isOpen) throw new V6Error('V6_VPN_CLIENT_FAILED', `nobody answers ${command}`);
    return [];
  }

  close(): void {
    this.isClosed = true;
  }

  /** A new openvpn, with what it says. */
  open(...lines: string[]): void {
    this.isOpen = true;
    this.#emit({ type: 'open' });
    this.say(...lines);
  }

  say(...lines: string[]): void {
    for (const line of lines) {
      const event = parseNotification(line);
      if (!event) throw new Error(`not a line of the management socket: ${line}`);
      this.#emit(event);
    }
  }

  /** openvpn ended. */
  end(): void {
    this.isOpen = false;
    this.#emit({ type: 'closed' });
  }

  freeze(): void {
    this.#emit({ type: 'frozen' });
  }

  #emit(event: ManagementEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}
