import { Flags } from '@oclif/core';
import { V6Error } from '../core/errors.ts';
import { parseScope, type Scope } from '../core/labels.ts';

/** Which demo: the one called `demo`, or another one beside it. */
export const demoFlags = {
  name: Flags.string({
    char: 'n',
    description: 'name of a demo beside the usual one: 1 to 8 small letters and digits',
  }),
};

/** Throws V6_USAGE for a name that does not fit. */
export function demoScope(flags: { readonly name?: string | undefined }): Scope {
  const scope = parseScope(flags.name === undefined ? 'demo' : `demo-${flags.name}`);
  if (scope !== undefined) return scope;
  throw new V6Error('V6_USAGE', `--name is ${JSON.stringify(flags.name)}`, {
    hints: ['Use 1 to 8 small letters and digits, for example --name two.'],
  });
}
