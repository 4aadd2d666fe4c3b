/**
 * Where a node keeps its client config between starts. The text holds a private key. One writer: the daemon of the node.
 */
export interface CredentialStore {
  /** The stored text; undefined when there is none. Throws V6_VPN_CONFIG_INVALID when it is there and cannot be read. */
  find(): Promise<string | undefined>;
  /** Puts `clientConfig` in the place of the old one, whole or not at all, readable by the owner only. Throws V6_CONFIG_WRITE. */
  save(clientConfig: string): Promise<void>;
  /** Absent is fine. */
  remove(): Promise<void>;
}
