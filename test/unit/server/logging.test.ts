import { describe, expect, it } from 'vitest';
import { createServerLogger } from '../../../src/server/logging.ts';
import { createWorld } from '../../support/server-app.ts';

function capture(level: 'debug' | 'info' = 'info') {
  const written: string[] = [];
  const logger = createServerLogger(level, { write: (text: string) => void written.push(text) });
  return { logger, written, lines: () => written.join('').split('\n').slice(0, -1) };
}

const EVIL =
  'a\r\n{"level":"error","msg":"forged"}\u2028\u2029\u0085\u009b31m\u001b[2J\u0000\u202e';

describe('the log of the server', () => {
  it('keeps what a caller sends inside one string of one line', () => {
    const { logger, lines, written } = capture();
    logger.info(EVIL, { name: EVIL, list: [EVIL], error: new Error(EVIL) });
    expect(lines()).toHaveLength(1);
    // eslint-disable-next-line no-control-regex
    expect(written.join('')).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
    const line = JSON.parse(lines()[0] ?? '') as Record<string, unknown>;
    expect(line).toMatchObject({ level: 'info', msg: EVIL, name: EVIL, list: [EVIL] });
    expect(Object.keys(line)).toStrictEqual(['level', 'time', 'name', 'list', 'error', 'msg']);
  });

  it('holds no secrets, by name and by look', () => {
    const { logger, written } = capture();
    logger.info('Token eyJhbGciOi.eyJzdWIi.c2ln came', {
      password: 'hunter2-hunter2',
      url: 'postgresql://v6:hunter2-hunter2@db/v6',
    });
    expect(written.join('')).not.toMatch(/hunter2|eyJzdWIi/);
  });

  it('writes nothing below its level, and does not look at it', () => {
    const { logger, lines } = capture('info');
    const fields = {
      get costly(): string {
        throw new Error('looked at');
      },
    };
    logger.debug('Hidden', fields);
    expect(lines()).toStrictEqual([]);
  });
});

describe('the access log', () => {
  it('names each request by an id of ours, which the answer carries too', async () => {
    const world = await createWorld();
    const answer = await world.app.inject({
      method: 'GET',
      url: '/api/node/1?secret=hunter2',
      headers: {
        authorization: `Bearer ${world.nora.token}`,
        'x-request-id': 'forged',
        'request-id': 'forged',
      },
    });
    const id = answer.headers['x-request-id'];
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    const line = world.lines.find((text) => text.includes('GET /api/node')) ?? '';
    expect(line).toContain(`"request":"${String(id)}"`);
    expect(line).toContain('"route":"GET /api/node/:id"');
    expect(line).toContain(`"caller":"user ${world.nora.id}"`);
    expect(world.lines.join('\n')).not.toMatch(/hunter2|forged/);
    await world.close();
  });
});
