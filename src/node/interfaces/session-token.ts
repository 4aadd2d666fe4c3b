/** The node's access token, for those who need it beside the requests: the socket. */
export interface SessionToken {
  /** A token that is good for some time yet; renews or logs in when needed. */
  current(signal?: AbortSignal): Promise<string>;
  /** The server refused the token: the next `current` logs in anew. */
  discard(): void;
}
