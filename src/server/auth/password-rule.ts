import { dictionary } from '@zxcvbn-ts/language-common';
import { V6Error } from '../../core/errors.ts';

const MIN = 8;
const MAX = 128;
/** Words that are no secret here, beside names of the user. */
const OWN_WORDS = ['vantage', 'vantage6', 'cotopaxi', 'federated', 'password', 'wachtwoord'];
/** What has to be left of a password when such a word is taken out of it. */
const MIN_REST = 6;

/** Built at the first question: 49,000 passwords that were found in breaches often. */
const common: { set?: ReadonlySet<string> } = {};

/**
 * 8–128 characters of any kind, not among the common ones, and not made of `names` (user, mail address, server).
 * Unlike upstream no kinds of characters are asked for: that makes people write `Password1!` (OWASP ASVS 5.0, V6.2).
 * Throws V6_REQUEST_INVALID.
 */
export function checkPasswordRule(password: string, names: readonly string[] = []): void {
  const fault = faultOf(password, names);
  if (fault === undefined) return;
  throw new V6Error('V6_REQUEST_INVALID', 'The password does not follow the rule', {
    details: { errors: { password: [fault] } },
  });
}

function faultOf(password: string, names: readonly string[]): string | undefined {
  const { length } = Array.from(password);
  if (length < MIN || length > MAX) return `It needs ${MIN} to ${MAX} characters.`;
  const lower = password.toLowerCase();
  if (isCommon(lower)) return 'It is among those that are tried first.';
  const word = [...OWN_WORDS, ...names.flatMap(partsOf)].find((one) => isMadeOf(lower, one));
  return word === undefined ? undefined : 'It is little more than a name or a word of this server.';
}

/** Itself, or with what people put around it to satisfy a rule: `Welcome2030!`. */
function isCommon(lower: string): boolean {
  common.set ??= new Set(dictionary['passwords-common'] as readonly string[]);
  const core = lower.replace(/^[^a-z]+|[^a-z]+$/g, '');
  return common.set.has(lower) || (core.length >= 5 && common.set.has(core)) || isOneSymbol(lower);
}

const isOneSymbol = (text: string): boolean => new Set(text).size <= 2;

/** A mail address is its name and its host. */
const partsOf = (name: string): readonly string[] =>
  name
    .toLowerCase()
    .split('@')
    .filter((part) => part.length >= 3);

const isMadeOf = (lower: string, word: string): boolean =>
  lower.includes(word) && lower.replaceAll(word, '').length < MIN_REST;
