import { Flags } from '@oclif/core';
import { V6Error } from '../core/errors.ts';
import { ask, readSecret } from './login-prompt.ts';

/** Where a new password comes from: never the command line itself. */
export const passwordFlags = {
  'password-file': Flags.string({
    description: 'file with the password in its first line (or V6_USER_PASSWORD_FILE names it)',
    exclusive: ['password-stdin', 'generate-password'],
  }),
  'password-stdin': Flags.boolean({
    description: 'read the password from standard input',
    exclusive: ['password-file', 'generate-password'],
    default: false,
  }),
  'generate-password': Flags.boolean({
    description: 'make a random password and write it to a file that only its owner can read',
    exclusive: ['password-file', 'password-stdin'],
    default: false,
  }),
};

export interface PasswordFlagValues {
  readonly 'password-file'?: string | undefined;
  readonly 'password-stdin': boolean;
  readonly 'generate-password': boolean;
}

/**
 * The password that the flags name, or that somebody types twice; undefined when it is to be made. Throws V6_USAGE, and
 * V6_USAGE_MISSING_ANSWER where nobody can be asked (no terminal, or `isQuiet` for --json).
 */
export async function newPassword(
  flags: PasswordFlagValues,
  env: NodeJS.ProcessEnv,
  options: { readonly username: string; readonly isQuiet: boolean },
): Promise<string | undefined> {
  if (flags['generate-password']) return undefined;
  const given = await readSecret({
    name: 'password',
    file: flags['password-file'],
    stdin: flags['password-stdin'],
    variable: { name: 'V6_USER_PASSWORD_FILE', value: env.V6_USER_PASSWORD_FILE },
  });
  if (given !== undefined) return given;
  const flag = '--password-file, --password-stdin or --generate-password';
  if (options.isQuiet)
    throw new V6Error('V6_USAGE_MISSING_ANSWER', `${flag} is missing`, {
      hints: ['With --json nobody is asked.'],
    });
  const message = `New password of ${options.username}`;
  const password = await ask({ message, flag, isSecret: true });
  const again = await ask({ message: 'The same once more', flag, isSecret: true });
  if (password === again) return password;
  throw new V6Error('V6_USAGE', 'The two passwords differ', { hints: ['Run it again.'] });
}
