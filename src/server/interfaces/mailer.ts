export interface Mail {
  /** One address. */
  readonly to: string;
  readonly subject: string;
  /** Plain text, lines of at most 78 characters. */
  readonly text: string;
}

/** Sends mail. */
export interface Mailer {
  /** Resolves when the mail server has taken it. Throws V6_MAIL_SEND. */
  send(mail: Mail): Promise<void>;
  close(): void;
}
