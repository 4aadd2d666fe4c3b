import { describe, expect, it } from 'vitest';
import { readEnvironment } from '../../../src/algorithm/environment.ts';
import { encodeEnv } from '../../../src/core/protocol/algorithm-env.ts';

const plain = {
  INPUT_FILE: '/mnt/data/task-000000041/input',
  OUTPUT_FILE: '/mnt/data/task-000000041/output',
  TOKEN_FILE: '/mnt/data/task-000000041/token',
  HOST: 'http://proxyserver',
  PORT: '80',
  API_PATH: '',
};
const expected = {
  inputFile: plain.INPUT_FILE,
  outputFile: plain.OUTPUT_FILE,
  tokenFile: plain.TOKEN_FILE,
  baseUrl: 'http://proxyserver:80',
};

describe('environment of an algorithm container', () => {
  it('is read encoded and plain', () => {
    const encoded = Object.entries(plain).map(([key, value]) => [key, encodeEnv(value)] as const);
    expect(readEnvironment(Object.fromEntries(encoded))).toEqual(expected);
    expect(readEnvironment(plain)).toEqual(expected);
  });

  it.each([
    [{ HOST: 'proxyserver' }, 'http://proxyserver:80'],
    [{ PORT: '' }, 'http://proxyserver'],
    [{ API_PATH: '/api/' }, 'http://proxyserver:80/api'],
    [{ API_PATH: undefined }, 'http://proxyserver:80'],
  ])('with %j leads to %s', (changes, baseUrl) => {
    expect(readEnvironment({ ...plain, ...changes }).baseUrl).toBe(baseUrl);
  });

  it('names the variable that is missing', () => {
    expect(() => readEnvironment({ ...plain, TOKEN_FILE: undefined })).toThrow(
      'environment variable TOKEN_FILE is not set',
    );
  });
});
