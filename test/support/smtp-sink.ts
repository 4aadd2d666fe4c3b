import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { selfSigned } from './certificates.ts';

/** One mail as it came over the wire. */
export interface ReceivedMail {
  readonly from: string;
  readonly to: string;
  /** Headers and body. */
  readonly data: string;
  readonly isEncrypted: boolean;
  /** Base64 of what AUTH PLAIN sent; undefined without a login. */
  readonly login: string | undefined;
}

export interface SmtpSink {
  readonly port: number;
  readonly mails: ReceivedMail[];
  /** What clients said before any TLS, line by line. */
  readonly plainLines: string[];
  close(): Promise<void>;
}

/** A mail server on loopback that takes everything: as much of RFC 5321, 3207 and 4954 as one mail needs. */
export async function startSmtpSink(
  options: { readonly offersTls?: boolean; readonly refusesMail?: boolean } = {},
): Promise<SmtpSink> {
  const mails: ReceivedMail[] = [];
  const plainLines: string[] = [];
  const sockets = new Set<Socket>();
  const pair = options.offersTls === true ? await selfSigned('localhost') : undefined;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write('220 sink ESMTP\r\n');
    converse(socket, false);
  });

  const converse = (socket: Socket, isEncrypted: boolean): void => {
    const state = { from: '', to: '', login: undefined as string | undefined, data: '' };
    let buffer = '';
    let isData = false;
    const say = (line: string): void => {
      socket.write(`${line}\r\n`);
    };
    const handle = (line: string): void => {
      if (!isEncrypted) plainLines.push(line);
      const [verb = ''] = line.toUpperCase().split(' ');
      if (verb === 'EHLO') {
        const extras =
          isEncrypted || pair === undefined ? ['AUTH PLAIN'] : ['STARTTLS', 'AUTH PLAIN'];
        say('250-sink');
        extras.forEach((extra, at) => say(`250${at === extras.length - 1 ? ' ' : '-'}${extra}`));
      } else if (verb === 'STARTTLS' && pair !== undefined) {
        say('220 go ahead');
        socket.removeAllListeners('data');
        const secure = new TLSSocket(socket, { isServer: true, cert: pair.cert, key: pair.key });
        secure.on('error', () => undefined);
        converse(secure, true);
      } else if (verb === 'AUTH') {
        state.login = line.split(' ')[2];
        say('235 ok');
      } else if (verb === 'MAIL') {
        state.from = /<(.*)>/.exec(line)?.[1] ?? '';
        say(options.refusesMail === true ? '550 not from you' : '250 ok');
      } else if (verb === 'RCPT') {
        state.to = /<(.*)>/.exec(line)?.[1] ?? '';
        say('250 ok');
      } else if (verb === 'DATA') {
        isData = true;
        say('354 end with .');
      } else if (verb === 'QUIT') {
        say('221 bye');
        socket.end();
      } else say('500 what');
    };
    socket.on('data', (chunk: Buffer) => {
      buffer += chunk.toString('utf8');
      for (;;) {
        if (isData) {
          const end = buffer.indexOf('\r\n.\r\n');
          if (end < 0) return;
          mails.push({ ...state, data: buffer.slice(0, end), isEncrypted });
          buffer = buffer.slice(end + 5);
          isData = false;
          say('250 taken');
        }
        const end = buffer.indexOf('\r\n');
        if (end < 0) return;
        const line = buffer.slice(0, end);
        buffer = buffer.slice(end + 2);
        handle(line);
      }
    });
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' ? (address?.port ?? 0) : 0,
    mails,
    plainLines,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
