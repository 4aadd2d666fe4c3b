import fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineRedactor } from '../../../../src/node/runs/line-redactor.ts';

/** The lines of a text that arrives in these pieces. */
const lines = (pieces: readonly string[], token?: string) => {
  const redactor = new LineRedactor(token);
  return pieces.flatMap((piece) => redactor.push(piece));
};

/** Cuts a text at random places. */
const pieces = (text: string) =>
  fc
    .uniqueArray(fc.nat(text.length), { maxLength: 12 })
    .map((cuts) =>
      [...cuts.toSorted((a, b) => a - b), text.length].map((end, at, all) =>
        text.slice(all.toSorted((a, b) => a - b)[at - 1] ?? 0, end),
      ),
    );

const SECRETS = [
  'first',
  'token my-own-token here',
  '-----BEGIN RSA PRIVATE KEY-----',
  'MIIsecret',
  '-----END RSA PRIVATE KEY-----',
  'between',
  '<tls-crypt>',
  'static secret',
  '</tls-crypt>',
  'Bearer abcdef.secret',
  'last',
  '',
].join('\n');

it('gives the same lines without secrets, however the output is cut', () => {
  const expected = [
    'first',
    'token [token] here',
    '[private key]',
    'between',
    '<tls-crypt>[removed]</tls-crypt>',
    'Bearer [removed]',
    'last',
  ];
  fc.assert(
    fc.property(pieces(SECRETS), (cut) => {
      expect(lines(cut, 'my-own-token')).toEqual(expected);
    }),
  );
});

it('keeps a line back until it has ended', () => {
  expect(lines(['a', 'b\nc'])).toEqual(['ab']);
});

it('leaves out what a line of more than 16 kB holds, and goes on after it', () => {
  const long = 'x'.repeat(10_000);
  expect(lines(['a\n', long, long, long, 'end\nb\n'])).toEqual([
    'a',
    '[a line of more than 16 kB]',
    'b',
  ]);
  expect(lines([`${long}${long}\nb\n`])).toEqual(['[a line of more than 16 kB]', 'b']);
});
