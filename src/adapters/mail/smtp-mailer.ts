import { createTransport } from 'nodemailer';
import type { SmtpSettings } from '../../core/config/server-accounts.ts';
import { V6Error } from '../../core/errors.ts';
import type { Mailer } from '../../server/interfaces/mailer.ts';

const CONNECT_MS = 10_000;
const ANSWER_MS = 30_000;

/** Sends by SMTP (RFC 5321). With `startTls` nothing goes out before the connection is encrypted (RFC 3207). */
export function createSmtpMailer(settings: SmtpSettings): Mailer {
  const { server, port, username, password, from } = settings;
  const transport = createTransport({
    host: server,
    port,
    secure: settings.tls,
    requireTLS: settings.startTls && !settings.tls,
    ignoreTLS: !settings.startTls && !settings.tls,
    tls: { minVersion: 'TLSv1.2' },
    connectionTimeout: CONNECT_MS,
    greetingTimeout: CONNECT_MS,
    socketTimeout: ANSWER_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
    ...(username === undefined ? {} : { auth: { user: username, pass: password ?? '' } }),
  });
  return {
    send: async ({ to, subject, text }) => {
      try {
        await transport.sendMail({ from, to, subject, text });
      } catch (error) {
        const { code, responseCode } = error as { code?: string; responseCode?: number };
        throw new V6Error(
          'V6_MAIL_SEND',
          `The mail server ${server}:${port} took no mail (${responseCode ?? code ?? 'no reason'})`,
          {
            cause: error,
            hints: [
              'Check the block smtp of the configuration: server, port, username, password, MAIL_USE_TLS and MAIL_USE_SSL.',
            ],
            details: { server, port, ...(code === undefined ? {} : { reason: code }) },
          },
        );
      }
    },
    close: () => transport.close(),
  };
}
