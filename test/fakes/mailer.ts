import type { Mail, Mailer } from '../../src/server/interfaces/mailer.ts';

/** Keeps mails. */
export class FakeMailer implements Mailer {
  readonly mails: Mail[] = [];
  /** Thrown by the next send. */
  failure: Error | undefined;

  async send(mail: Mail): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    this.mails.push(mail);
  }

  close(): void {}
}
