/** Passes one request of an algorithm on to the coordination server. */
export interface ProxyUpstream {
  /**
   * Sends exactly once. Throws V6_SERVER_UNREACHABLE when there is no answer within the limit; a status of any kind is an answer.
   * The answer's body is read by the caller.
   */
  forward(request: UpstreamRequest): Promise<UpstreamAnswer>;
}

export interface UpstreamRequest {
  readonly method: string;
  /** Path below the api path and query, e.g. `/task?page=2`. */
  readonly path: string;
  readonly authorization: string | undefined;
  readonly contentType: string | undefined;
  /** Bytes in `body`, 0 without one; undefined when not known ahead. */
  readonly contentLength: number | undefined;
  readonly body: AsyncIterable<Uint8Array> | undefined;
  readonly signal: AbortSignal;
}

export interface UpstreamAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: AsyncIterable<Uint8Array>;
}
