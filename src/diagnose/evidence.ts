import type { EchoPair, EchoProtocol, EchoReport } from '../core/protocol/echo.ts';
import type { RunStatus } from '../core/protocol/entities.ts';
import type { Refusal } from '../core/vpn/task-firewall.ts';
import type { TestNodeState } from '../core/vpn/test-report.ts';

/** How the run of a member stands when the test has ended. */
export interface RunEvidence {
  readonly run: number;
  readonly status: RunStatus;
  readonly finished: boolean;
  /** Last line of its log, without control characters; empty when there is none. */
  readonly lastLine: string;
  /** What its log says that the task firewall of its node refused. */
  readonly refusals: readonly Refusal[];
}

/** All that is known of one node of the mesh when the test has ended. */
export interface Member {
  readonly organization: number;
  readonly node: string;
  readonly state: TestNodeState;
  readonly vpnAddress: string | null;
  /** Absent when it was given no run. */
  readonly run?: RunEvidence;
  /** Absent when its algorithm left none. */
  readonly report?: EchoReport;
}

/** The reports of a mesh side by side. */
export class MeshEvidence {
  readonly members: readonly Member[];
  readonly #byOrganization: ReadonlyMap<number, Member>;
  readonly #pairs = new Map<string, EchoPair>();

  constructor(members: readonly Member[]) {
    this.members = members;
    this.#byOrganization = new Map(members.map((member) => [member.organization, member]));
    for (const { organization, report } of members) {
      for (const pair of report?.pairs ?? []) {
        const key = `${organization}>${pair.to}/${pair.protocol}`;
        if (!this.#pairs.has(key)) this.#pairs.set(key, pair);
      }
    }
  }

  find(organization: number): Member | undefined {
    return this.#byOrganization.get(organization);
  }

  /** What the sender says of a pair; undefined when it says nothing. */
  pair(from: number, to: number, protocol: EchoProtocol): EchoPair | undefined {
    return this.#pairs.get(`${from}>${to}/${protocol}`);
  }
}
