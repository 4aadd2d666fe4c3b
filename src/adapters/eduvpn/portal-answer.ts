import { V6Error, type V6ErrorOptions } from '../../core/errors.ts';
import { redactText } from '../../core/redact.ts';
import { type PortalAnswer, placeOf } from './portal-http.ts';

/** The body as a JSON object. Throws V6_PORTAL_ANSWER: a web page instead of an answer is what a wrong address looks like. */
export function jsonOf(answer: PortalAnswer): Readonly<Record<string, unknown>> {
  let body: unknown;
  try {
    body = JSON.parse(answer.text) as unknown;
  } catch {
    throw notUnderstood(answer, `${whatItIs(answer)} instead of JSON`);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw notUnderstood(answer, 'JSON that is not an object');
  return body as Record<string, unknown>;
}

/** V6_PORTAL_ANSWER: the portal said something that the API does not have. */
export function notUnderstood(
  answer: PortalAnswer,
  what: string,
  hints: readonly string[] = [],
): V6Error {
  return answerError('V6_PORTAL_ANSWER', answer, what, {
    hints: [...hints, 'Check that url in vpn_server is the host of an eduVPN portal.'],
  });
}

/** An error of the given code about an answer: place and status are added to sentence and details. */
export function answerError(
  code: 'V6_PORTAL_ANSWER' | 'V6_PORTAL_TOKEN' | 'V6_PORTAL_QUOTA' | 'V6_PORTAL_NOT_OPENVPN',
  answer: PortalAnswer,
  what: string,
  options: V6ErrorOptions = {},
): V6Error {
  return new V6Error(code, `${placeOf(answer.url)} answered ${answer.status}: ${what}`, {
    ...options,
    details: { url: placeOf(answer.url), status: answer.status, ...options.details },
  });
}

/**
 * What the portal says is wrong: `error` and `error_description` of a JSON body (RFC 6749 section 5.2), or the text of the
 * element of class `error` of a page. At most 200 characters, without anything that looks like a secret.
 */
export function reasonOf(answer: PortalAnswer): string {
  const reason =
    answer.contentType === 'text/html' ? pageReason(answer.text) : jsonReason(answer.text);
  return clean(reason) || whatItIs(answer);
}

/** `error` of a JSON body, for instance `invalid_client`; empty when there is none. */
export function errorCodeOf(answer: PortalAnswer): string {
  const [code = ''] = jsonReason(answer.text).split(' ');
  return code;
}

function jsonReason(text: string): string {
  try {
    const { error, error_description } = JSON.parse(text) as Record<string, unknown>;
    const parts = [error, error_description].filter((part) => typeof part === 'string');
    return parts.length === 2 ? `${parts[0]} (${parts[1]})` : (parts[0] ?? '');
  } catch {
    return '';
  }
}

function pageReason(html: string): string {
  const text = /class="error"[^>]*>([\s\S]*?)<\/p>/.exec(html)?.[1] ?? '';
  return decodeEntities(text.replace(/<[^>]*>/g, ' '));
}

function whatItIs(answer: PortalAnswer): string {
  if (answer.status >= 300 && answer.status < 400) return 'a redirect';
  if (answer.contentType === 'text/html' || /^\s*<(!doctype|html)/i.test(answer.text))
    return 'a web page';
  return answer.text === '' ? 'an empty body' : `a body of type ${answer.contentType || 'unknown'}`;
}

function clean(text: string): string {
  const line = redactText(text)
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim();
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}

const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
};

/** The character references that portals write into attributes and texts, decoded; others stay. */
export function decodeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-f]{1,6}|#\d{1,7}|[a-z]+);/gi, (whole, name: string) => {
    if (!name.startsWith('#')) return NAMED[name.toLowerCase()] ?? whole;
    const point = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return point <= 0x10_ff_ff ? String.fromCodePoint(point) : whole;
  });
}
