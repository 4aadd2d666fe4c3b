import { afterEach, describe, expect, it } from 'vitest';
import { createSmtpMailer } from '../../src/adapters/mail/smtp-mailer.ts';
import type { SmtpSettings } from '../../src/core/config/server-accounts.ts';
import { type SmtpSink, startSmtpSink } from '../support/smtp-sink.ts';

let sink: SmtpSink | undefined;
afterEach(async () => {
  await sink?.close();
  sink = undefined;
});

const settings = (port: number, changes: Partial<SmtpSettings> = {}): SmtpSettings => ({
  server: '127.0.0.1',
  port,
  username: undefined,
  password: undefined,
  from: 'v6@example.org',
  startTls: false,
  tls: false,
  ...changes,
});
const MAIL = { to: 'nora@example.org', subject: 'Grüße', text: 'one\n.\ntwo\n' };

describe('the SMTP mailer', () => {
  it('hands a mail over in a real conversation, a line with a dot included', async () => {
    sink = await startSmtpSink();
    const mailer = createSmtpMailer(settings(sink.port, { username: 'v6', password: 'secret' }));
    await mailer.send(MAIL);
    mailer.close();
    const [mail] = sink.mails;
    expect(mail).toMatchObject({ from: 'v6@example.org', to: 'nora@example.org' });
    expect(mail?.data).toMatch(/^Subject: =\?UTF-8\?/m);
    expect(mail?.data).toContain('\r\n..\r\ntwo');
    expect(Buffer.from(mail?.login ?? '', 'base64').toString()).toBe('\0v6\0secret');
  });

  it('sends neither login nor mail before the connection is encrypted', async () => {
    sink = await startSmtpSink();
    const mailer = createSmtpMailer(
      settings(sink.port, { startTls: true, username: 'v6', password: 'secret' }),
    );
    await expect(mailer.send(MAIL)).rejects.toMatchObject({ code: 'V6_MAIL_SEND' });
    expect(sink.plainLines.every((line) => /^(EHLO|STARTTLS|QUIT)/.test(line))).toBe(true);
    expect(sink.mails).toStrictEqual([]);
  });

  it('refuses a mail server whose certificate nobody vouches for', async () => {
    sink = await startSmtpSink({ offersTls: true });
    const mailer = createSmtpMailer(settings(sink.port, { startTls: true }));
    await expect(mailer.send(MAIL)).rejects.toMatchObject({ code: 'V6_MAIL_SEND' });
    expect(sink.mails).toStrictEqual([]);
  });

  it('names the mail server and its answer when it takes no mail, and no password', async () => {
    sink = await startSmtpSink({ refusesMail: true });
    const options = settings(sink.port, { username: 'v6', password: 'hunter2' });
    const error = await createSmtpMailer(options)
      .send(MAIL)
      .catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ code: 'V6_MAIL_SEND' });
    expect((error as Error).message).toContain(`127.0.0.1:${sink.port} took no mail (550)`);
    expect(JSON.stringify(error)).not.toContain('hunter2');
  });

  it('says that nobody listens', async () => {
    sink = await startSmtpSink();
    const { port } = sink;
    await sink.close();
    sink = undefined;
    await expect(createSmtpMailer(settings(port)).send(MAIL)).rejects.toMatchObject({
      code: 'V6_MAIL_SEND',
      message: expect.stringContaining('ESOCKET'),
    });
  });

  it('puts no line of its own into the headers', async () => {
    sink = await startSmtpSink();
    const mailer = createSmtpMailer(settings(sink.port));
    await mailer.send({ ...MAIL, subject: 'a\r\nBcc: eve@example.org' });
    expect(sink.mails[0]?.data).not.toMatch(/^Bcc:/m);
  });
});
