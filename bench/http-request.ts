import { type Agent, request as httpRequest } from 'node:http';

export interface RequestInput {
  readonly url: string;
  readonly token?: string | undefined;
  /** Text is sent as it is, anything else as JSON. */
  readonly body?: unknown;
}

/** One request over a kept connection: the global fetch costs several times the processor time. Throws for all but 2xx. */
export function request(
  agent: Agent,
  { url, token, body }: RequestInput,
): Promise<{ readonly text: string }> {
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(url, {
      agent,
      method: payload === undefined ? 'GET' : 'POST',
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(payload === undefined
          ? {}
          : {
              'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
              'content-length': Buffer.byteLength(payload),
            }),
      },
    });
    outgoing.on('error', reject);
    outgoing.on('response', (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const status = answer.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve({ text });
        else reject(new Error(`${url}: ${status} ${text.slice(0, 200)}`));
      });
    });
    outgoing.end(payload);
  });
}
