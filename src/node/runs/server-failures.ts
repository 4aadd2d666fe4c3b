import { hasServerFailed, isServerAway } from '../server-patience.ts';

/** Times that a server which fails is told something again: a bit more than three minutes. */
const FAILURES_MAX = 20;

/**
 * Which errors are worth asking again where a run is at stake: neither an algorithm nor its result is thrown away for one failure of
 * the server, and its run holds nobody up for good either. One for each question.
 */
export function aWhileLonger(): (error: unknown) => boolean {
  let failures = 0;
  return (error) => {
    if (isServerAway(error)) return true;
    failures += 1;
    return hasServerFailed(error) && failures <= FAILURES_MAX;
  };
}
