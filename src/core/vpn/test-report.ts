import type { EchoPair } from '../protocol/echo.ts';

/** A node in a VPN test. */
export type TestNodeState =
  /** Online, with an address in the VPN. */
  | 'connected'
  /** Online, its VPN is on, and it has no address. */
  | 'tunnel-down'
  /** The server has not heard from it. */
  | 'offline'
  /** It works without VPN, so no pair can be asked of it. */
  | 'skipped';

export interface TestNode {
  readonly organization: number;
  readonly node: string;
  readonly vpnAddress: string | null;
  readonly state: TestNodeState;
}

/** One directed pair of one protocol, with its sender. */
export interface TestPair extends EchoPair {
  readonly from: number;
}

/** What `v6 vpn test --json` prints; its schema is schemas/vpn-test.json. Stable: keys are added, never changed. */
export interface VpnTestReport {
  readonly ok: boolean;
  readonly collaboration: number;
  readonly task: number;
  readonly nodes: readonly TestNode[];
  readonly pairs: readonly TestPair[];
  readonly summary: {
    readonly pairs: number;
    readonly passed: number;
    readonly failed: number;
    readonly durationMs: number;
  };
}
