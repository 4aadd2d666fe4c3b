import { Flags } from '@oclif/core';
import { V6Error } from '../core/errors.ts';

/** `-y/--yes` of a command that destroys something; upstream calls it `-f/--force`. */
export const yesFlag = {
  yes: Flags.boolean({
    char: 'y',
    aliases: ['force'],
    charAliases: ['f'],
    description: 'do it without asking',
    default: false,
  }),
};

/**
 * Asks on the terminal unless `--yes` was given. Throws V6_USAGE_MISSING_ANSWER where nobody can be asked (no terminal, or
 * `isQuiet` for --json), V6_INTERRUPTED for a no.
 */
export async function confirmOrYes(question: {
  readonly message: string;
  readonly flags: { readonly yes: boolean };
  readonly isQuiet: boolean;
}): Promise<void> {
  if (question.flags.yes) return;
  if (question.isQuiet || !process.stdin.isTTY || !process.stderr.isTTY) {
    throw new V6Error('V6_USAGE_MISSING_ANSWER', '--yes is missing', {
      hints: ['This cannot be undone: give --yes, or run it in a terminal to be asked.'],
    });
  }
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule({ output: process.stderr });
  const { answer } = await prompt<{ answer: boolean }>([
    { type: 'confirm', name: 'answer', message: question.message, default: false },
  ]);
  if (answer) return;
  throw new V6Error('V6_INTERRUPTED', 'Not confirmed: nothing was changed');
}
