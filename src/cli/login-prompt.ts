import { readFile } from 'node:fs/promises';
import { V6Error } from '../core/errors.ts';

export interface SecretSources {
  /** Name of the flags: `password` for --password-file and --password-stdin. */
  readonly name: string;
  readonly file?: string | undefined;
  readonly stdin?: boolean | undefined;
  /** A variable that names a file, and its value. */
  readonly variable: { readonly name: string; readonly value: string | undefined };
}

/** A secret out of a file or of standard input; undefined when no source was named. Never argv, never a value in the environment. */
export async function readSecret(sources: SecretSources): Promise<string | undefined> {
  if (sources.stdin === true) return firstLine(await readStdin(), `--${sources.name}-stdin`);
  const file = sources.file ?? sources.variable.value;
  if (file === undefined || file === '') return undefined;
  const origin = sources.file === undefined ? sources.variable.name : `--${sources.name}-file`;
  try {
    return firstLine(await readFile(file, 'utf8'), origin);
  } catch (error) {
    if (error instanceof V6Error) throw error;
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new V6Error('V6_USAGE', `${file}, named by ${origin}, cannot be read: ${reason}`, {
      cause: error,
      hints: ['Give the path of a file that holds the password in its first line.'],
    });
  }
}

function firstLine(text: string, origin: string): string {
  const line = text.split(/\r?\n/, 1)[0] ?? '';
  if (line !== '') return line;
  throw new V6Error('V6_USAGE', `${origin} holds no password in its first line`);
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

/** Asks on the terminal; without one the missing answer is an error that names its flag. */
export async function ask(question: {
  readonly message: string;
  readonly flag: string;
  readonly isSecret?: boolean;
  readonly fallback?: string | undefined;
}): Promise<string> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new V6Error('V6_USAGE_MISSING_ANSWER', `${question.flag} is missing`, {
      hints: [`There is no terminal to ask on: give ${question.flag}.`],
    });
  }
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule({ output: process.stderr });
  const { answer } = await prompt<{ answer: string }>([
    {
      type: question.isSecret === true ? 'password' : 'input',
      name: 'answer',
      message: question.message,
      ...(question.fallback === undefined ? {} : { default: question.fallback }),
    },
  ]);
  return answer;
}
