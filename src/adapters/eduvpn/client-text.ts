import { X509Certificate } from 'node:crypto';
import type { V6Error } from '../../core/errors.ts';
import { answerError } from './portal-answer.ts';
import type { PortalAnswer } from './portal-http.ts';

/** Media type of client configs in both APIs. */
export const OPENVPN_TYPE = 'application/x-openvpn-profile';

type Part = 'ca' | 'cert' | 'key' | 'remote';

/** The body as a client config with LF line ends that has these parts. Throws V6_PORTAL_NOT_OPENVPN. */
export function openVpnText(answer: PortalAnswer, parts: readonly Part[]): string {
  const text = answer.text.replaceAll('\r\n', '\n');
  if (answer.contentType !== OPENVPN_TYPE) throw notOpenVpn(answer, ['content type']);
  const missing = parts.filter((part) => !hasPart(text, part));
  if (missing.length > 0) throw notOpenVpn(answer, missing);
  return text;
}

function hasPart(text: string, part: Part): boolean {
  if (part === 'remote') return /^remote\s+\S+/m.test(text);
  return /-----BEGIN [A-Z ]+-----/.test(blockOf(text, part) ?? '');
}

function blockOf(text: string, name: string): string | undefined {
  return new RegExp(`^<${name}>\\s*$([\\s\\S]*?)^</${name}>\\s*$`, 'm').exec(text)?.[1];
}

/** End of the client's certificate; undefined when it cannot be read. */
export function certificateEnd(text: string): Date | undefined {
  try {
    return new X509Certificate(blockOf(text, 'cert') ?? '').validToDate;
  } catch {
    return undefined;
  }
}

/** An HTTP date (RFC 9110 section 5.6.7). */
export function dateOf(text: string | null): Date | undefined {
  const date = new Date(text ?? '');
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function notOpenVpn(answer: PortalAnswer, missing: readonly string[]): V6Error {
  const what =
    missing[0] === 'content type'
      ? `a body of type ${answer.contentType || 'unknown'} instead of an OpenVPN file`
      : `an OpenVPN file without ${missing.join(', ')}`;
  return answerError('V6_PORTAL_NOT_OPENVPN', answer, what, {
    hints: [
      'Enable OpenVPN in this profile of the portal, or name another profile in vpn_server.profile.',
    ],
    details: { keys: ['profile'], missing },
  });
}
