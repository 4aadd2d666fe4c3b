/** One question to the person at the terminal. */
export interface Question {
  readonly message: string;
  /** Taken when the answer is empty. Of a secret: shown as "keep the present one", never itself. */
  readonly preset?: string | undefined;
  /** Why an answer is not good, as a sentence; undefined when it is. */
  readonly problem?: (answer: string) => string | undefined;
}

/**
 * Asks a person. Every method repeats the question until the answer is good, and throws V6_INTERRUPTED when the person leaves
 * (Ctrl-C, end of input). Only made where there is a terminal.
 */
export interface Prompter {
  /** A line of text. */
  text(question: Question): Promise<string>;
  /** A line that is not shown while it is typed. */
  secret(question: Question): Promise<string>;
  /** One of several values. */
  choice(question: {
    readonly message: string;
    readonly values: readonly string[];
  }): Promise<string>;
  /** Yes or no; enter alone is yes. */
  confirm(message: string): Promise<boolean>;
}
