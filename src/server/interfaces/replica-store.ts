/**
 * Which processes serve the database, and at which of them each node has a socket. A node is online as long as one replica
 * has it. Throws V6_DATABASE. Ids of replicas are random and never used again.
 */
export interface ReplicaStore {
  /** Makes a process known that just started. `isAlone`: there is no other, whatever the database says, so all nodes are offline. */
  join(replica: ReplicaRecord, options: { readonly isAlone: boolean }): Promise<void>;
  /** Says that it lives. False when others gave it up meanwhile: then all its nodes must be connected again. */
  beat(replica: ReplicaRecord): Promise<boolean>;
  /** The node has a socket here. True when it was offline; false also for a node that does not exist. Repeating it is fine. */
  connect(replica: ReplicaRecord, nodeId: number, at: Date): Promise<boolean>;
  /** The node has no socket here any more. True when it is offline by that, without its configuration. Repeating it is fine. */
  disconnect(replica: ReplicaRecord, nodeId: number): Promise<boolean>;
  /** The nodes that this replica has, as far as the database knows. */
  nodesOf(replica: ReplicaRecord): Promise<readonly number[]>;
  /** Those that said within `silentMs` that they live. */
  living(silentMs: number): Promise<readonly ReplicaRecord[]>;
  /** Forgets replicas that were silent for longer than `silentMs`: how many, and which nodes are offline by that. */
  forgetSilent(
    silentMs: number,
  ): Promise<{ readonly replicas: number; readonly nodeIds: readonly number[] }>;
}

export interface ReplicaRecord {
  readonly id: string;
  /** Differs when the key that signs tokens does; nobody can tell the key from it. */
  readonly keyMark: string;
}
