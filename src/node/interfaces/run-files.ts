import type { RunStatus } from '../../core/protocol/entities.ts';

/** A status with which a run is over. */
export type EndStatus = Exclude<RunStatus, 'pending' | 'initializing' | 'active'>;

/** A port that an algorithm listens on in its container. */
export interface PortWish {
  readonly protocol: 'tcp' | 'udp';
  /** 1–65535 */
  readonly port: number;
  readonly label: string | null;
}

/** A tunnel port of the node (49152–65534), held by a run for one port of its algorithm. */
export interface PortLease extends PortWish {
  readonly tunnelPort: number;
}

/** What a daemon that follows a crashed one needs to carry a run on. Kept outside the folder that the algorithm sees. */
export interface RunRecord {
  readonly run: number;
  readonly task: number;
  readonly image: string;
  readonly startedAt: string;
  readonly slot: number;
  readonly ports: readonly PortLease[];
  /** SHA-256 of the container's token, hex. The token itself is not written again. */
  readonly tokenHash: string;
  /** How the algorithm ended, once it has and as long as the server has not acknowledged it. */
  readonly outcome?: {
    readonly status: EndStatus;
    readonly log: string;
    readonly finishedAt: string;
  };
}

/** Absolute paths on the host of what one run needs. */
export interface RunFolder {
  /** Bound into the algorithm at `/mnt/data/task-…`; holds `input`, `output` and `token`. */
  readonly data: string;
  /** `task-000000041` */
  readonly name: string;
  /** Bound at `/mnt/tmp`. */
  readonly temporary: string;
}

/** The node's files about its runs. */
export interface RunFiles {
  /** Makes the run's folders anew: readable by any user of the container, closed to others on the host. */
  create(
    run: number,
    content: { readonly input: Uint8Array; readonly token: string },
  ): Promise<RunFolder>;
  /** The payload that the algorithm wrote. Throws V6_RUN_FAILED when it is not a plain file (a link, a pipe) or too large. */
  readOutput(run: number): Promise<Uint8Array>;
  /** Removes folders and record. Absent is fine. */
  remove(run: number): Promise<void>;
  /** Puts the record in the place of the last one, whole or not at all. One with an outcome, and the output with it, outlive a power failure. */
  saveRecord(record: RunRecord): Promise<void>;
  /** All records that can be read; a damaged one is left out. */
  listRecords(): Promise<readonly RunRecord[]>;
  /** Every run of which a folder or a record is there, also a damaged one. */
  listRuns(): Promise<readonly number[]>;
}
