/** Carries texts between the replicas of one server. */
export interface EventBus {
  /** To all other replicas, in order. Never throws: what cannot be sent is made good by their `missed`. */
  send(text: string): void;
  /** Who takes what the others send, in order. `missed`: something of theirs may have got lost. Once, before `open`. */
  receive(handlers: { hear(text: string): void; missed(): void }): void;
  /** Resolves when it listens; after that it stays connected by itself. Throws V6_DATABASE. */
  open(): Promise<void>;
  /** Repeating it is fine. */
  close(): Promise<void>;
}
