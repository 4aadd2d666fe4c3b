import type { Prompter, Question } from '../../src/wizard/interfaces/prompter.ts';

/** Answers from a script, keyed by a part of the question; a question without an answer is an error. Keeps what was asked. */
export class ScriptedPrompter implements Prompter {
  readonly asked: string[] = [];
  /** Sentences about answers that were not good, in order. */
  readonly refused: string[] = [];
  private readonly answers: [string, string[]][];

  /** Several answers to one question are given one after the other. */
  constructor(answers: Readonly<Record<string, string | readonly string[]>>) {
    this.answers = Object.entries(answers).map(([part, given]) => [
      part,
      typeof given === 'string' ? [given] : [...given],
    ]);
  }

  text(question: Question): Promise<string> {
    return Promise.resolve(this.line(question));
  }

  secret(question: Question): Promise<string> {
    return Promise.resolve(this.line(question));
  }

  choice(question: {
    readonly message: string;
    readonly values: readonly string[];
  }): Promise<string> {
    return Promise.resolve(
      this.line({
        message: question.message,
        problem: (answer) =>
          question.values.includes(answer) ? undefined : `${answer} is not offered`,
      }),
    );
  }

  confirm(message: string): Promise<boolean> {
    return Promise.resolve(this.next(message) === 'yes');
  }

  private line(question: Question): string {
    for (;;) {
      const typed = this.next(question.message);
      const answer = typed === '' ? (question.preset ?? '') : typed;
      const problem = question.problem?.(answer);
      if (problem === undefined) return answer;
      this.refused.push(problem);
    }
  }

  private next(message: string): string {
    this.asked.push(message);
    const answer = this.answers.find(([part]) => message.includes(part))?.[1].shift();
    if (answer === undefined) throw new Error(`no answer in the script to: ${message}`);
    return answer;
  }
}
