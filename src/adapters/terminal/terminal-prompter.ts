import { createPromptModule } from 'inquirer';
import { V6Error } from '../../core/errors.ts';
import type { Prompter, Question } from '../../wizard/interfaces/prompter.ts';

export interface TerminalStreams {
  readonly input: NodeJS.ReadStream;
  /** Where questions appear; stdout is the result's. */
  readonly output: NodeJS.WriteStream;
}

/** Asks at a terminal. Undefined when one of the streams is none: the caller names the missing flag then. */
export function createTerminalPrompter(streams: TerminalStreams): Prompter | undefined {
  if (!streams.input.isTTY || !streams.output.isTTY) return undefined;
  const prompt = createPromptModule({ input: streams.input, output: streams.output });
  const run = async <T>(question: Record<string, unknown>): Promise<T> => {
    try {
      const answers = await prompt<{ answer: T }>([{ name: 'answer', ...question }] as never);
      return answers.answer as T;
    } catch (error) {
      throw left(error);
    }
  };
  return {
    text: (question) =>
      run({
        type: 'input',
        message: question.message,
        default: question.preset,
        validate: validator(question),
      }),
    async secret(question) {
      const keep = question.preset !== undefined && question.preset !== '';
      const message = keep ? `${question.message} [enter keeps the present one]` : question.message;
      const validate = (answer: string) => (keep && answer === '') || validator(question)(answer);
      const answer = await run<string>({ type: 'password', mask: '*', message, validate });
      return keep && answer === '' ? (question.preset ?? '') : answer;
    },
    choice: ({ message, values }) => run({ type: 'select', message, choices: [...values] }),
    confirm: (message) => run({ type: 'confirm', message, default: true }),
  };
}

function validator({ problem }: Question): (answer: string) => true | string {
  return (answer) => problem?.(answer) ?? true;
}

// inquirer throws ExitPromptError at Ctrl-C and when the input ends.
function left(error: unknown): unknown {
  const name = error instanceof Error ? error.name : '';
  if (name !== 'ExitPromptError' && name !== 'AbortPromptError') return error;
  return new V6Error('V6_INTERRUPTED', 'Interrupted: nothing was written', { cause: error });
}
