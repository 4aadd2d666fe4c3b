/** A request as the simulator's parts see it. */
export interface SimulatedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
  /** Fields of the body; none unless it is a form. */
  readonly form: ReadonlyMap<string, string>;
}

export interface SimulatedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string;
}

export const json = (
  status: number,
  body: unknown,
  headers: SimulatedAnswer['headers'] = {},
): SimulatedAnswer => ({
  status,
  headers: { 'Content-Type': 'application/json', ...headers },
  body: JSON.stringify(body),
});

export const NO_STORE = {
  'Cache-Control': 'no-store, no-cache, must-revalidate',
  Pragma: 'no-cache',
} as const;

/** `SID` of the request. */
export function sessionIdOf({ headers }: SimulatedRequest): string {
  return /(?:^|;\s*)SID=([^;]*)/.exec(headers.cookie ?? '')?.[1] ?? '';
}
