import { V6Error } from './errors.ts';
import { isContextName } from './labels.ts';

/** A name for a login: as those of nodes. Throws V6_USAGE. */
export function checkLoginName(text: string): string {
  if (isContextName(text) && text !== '__proto__') return text;
  throw new V6Error('V6_USAGE', `${JSON.stringify(text)} is not a name for a login`, {
    hints: ['Use letters, digits, dot, dash and underscore, 64 characters at most.'],
  });
}
