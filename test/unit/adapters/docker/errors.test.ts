import { describe, expect, it } from 'vitest';
import { translateEngineError } from '../../../../src/adapters/docker/errors.ts';

const answer = (statusCode: number, message: string): object => ({
  statusCode,
  message: `(HTTP code ${statusCode}) unexpected - ${message} `,
  json: { message },
});

describe('what the engine says, in our codes', () => {
  it.each<[string, object]>([
    ['V6_ENGINE_MISSING', { code: 'ENOENT', message: 'connect ENOENT /var/run/docker.sock' }],
    ['V6_ENGINE_MISSING', { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' }],
    ['V6_ENGINE_MISSING', { code: 'ECONNRESET', message: 'socket hang up' }],
    ['V6_ENGINE_PERMISSION', { code: 'EACCES', message: 'connect EACCES' }],
    ['V6_ENGINE_CONFLICT', answer(409, 'Conflict. The container name "/x" is already in use')],
    ['V6_ENGINE_CONFLICT', answer(403, 'Address already in use')],
    ['V6_IMAGE_NOT_FOUND', answer(404, 'No such image: v6-echo:1')],
    ['V6_NET_OVERLAP', answer(403, 'Pool overlaps with other one on this address space')],
    [
      'V6_NET_PORT_IN_USE',
      answer(500, 'driver failed: Bind for 127.0.0.1:80 failed: port is already allocated'),
    ],
    [
      'V6_NET_TUN_MISSING',
      answer(500, 'error gathering device information while adding custom device "/dev/net/tun"'),
    ],
    ['V6_ENGINE_REQUEST', answer(500, 'something else')],
  ])('%s for %j', (code, failure) => {
    expect(translateEngineError(failure, 'do it')).toMatchObject({ code });
  });

  it('names the socket that nobody answers on', () => {
    const failure = { code: 'ENOENT', address: '/run/other.sock', message: 'connect ENOENT' };
    expect(translateEngineError(failure, 'do it')).toMatchObject({
      message: 'No container engine answers at /run/other.sock: could not do it',
    });
  });

  it('keeps the engine’s sentence without the wrapping', () => {
    const error = { statusCode: 500, message: '(HTTP code 500) server error - no space left ' };
    expect(translateEngineError(error, 'pull the image x')).toMatchObject({
      message: 'Could not pull the image x: no space left',
      details: { reason: 'no space left', status: 500 },
    });
  });

  it('leaves an abort what it is', () => {
    const abort = new DOMException('stopped', 'AbortError');
    expect(translateEngineError(abort, 'wait')).toBe(abort);
  });
});
