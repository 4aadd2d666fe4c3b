const SECRET_KEY = /(pass|secret|token|api_?key|private|authorization|cookie|ovpn|client_?config)/i;
const PATTERNS: readonly [RegExp, string][] = [
  [
    /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g,
    '[private key]',
  ],
  [
    /-----BEGIN OpenVPN Static key V1-----[\s\S]*?(-----END OpenVPN Static key V1-----|$)/g,
    '[static key]',
  ],
  [/<(key|tls-crypt|tls-auth)>[\s\S]*?(<\/\1>|$)/g, '<$1>[removed]</$1>'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '[token]'],
  [/\b(Bearer|Basic) [\w.~+/=-]+/g, '$1 [removed]'],
  [
    /\b(code|access_token|refresh_token|client_secret|userPass|api_key|password)=[^&\s"]+/gi,
    '$1=[removed]',
  ],
  [/(:\/\/[^/\s:@]+:)[^/\s@]+@/g, '$1[removed]@'],
];

/** Text without keys, tokens, passwords in URLs and forms. Safe to repeat. */
export function redactText(text: string): string {
  return PATTERNS.reduce((out, [pattern, replacement]) => out.replace(pattern, replacement), text);
}

/** A deep copy of `value` without secrets: by the name of the field, and by their look in texts. Errors become name, message and code. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (value === null || typeof value !== 'object') return value;
  if (depth > 6) return '[deep]';
  if (value instanceof Date) return value;
  if (value instanceof Error) {
    const { code } = value as { code?: unknown };
    return {
      name: value.name,
      message: redactText(value.message),
      ...(typeof code === 'string' ? { code } : {}),
      ...(value.cause === undefined ? {} : { cause: redact(value.cause, depth + 1) }),
    };
  }
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      SECRET_KEY.test(key) && typeof item === 'string' ? '[removed]' : redact(item, depth + 1),
    ]),
  );
}
