import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isListCommand,
  parseLogLine,
  parseNotification,
  parseStateLine,
  replyEnd,
} from '../../../../src/core/vpn/management.ts';

describe('lines of the management socket', () => {
  it('reads a state with its addresses', () => {
    expect(parseStateLine('1763824471,CONNECTED,SUCCESS,10.202.0.11,10.201.240.10,1194,,')).toEqual(
      {
        type: 'state',
        at: new Date(1763824471_000),
        name: 'CONNECTED',
        detail: 'SUCCESS',
        address: '10.202.0.11',
        remote: '10.201.240.10:1194',
      },
    );
  });

  it('reads a state without addresses', () => {
    expect(parseNotification('>STATE:1763824471,RECONNECTING,tls-error,,,,,')).toMatchObject({
      name: 'RECONNECTING',
      detail: 'tls-error',
      address: undefined,
      remote: undefined,
    });
  });

  it('keeps commas in a log message', () => {
    expect(
      parseNotification('>LOG:1763824471,I,PUSH: Received control message: PUSH_REPLY,ping 2'),
    ).toMatchObject({ flags: 'I', message: 'PUSH: Received control message: PUSH_REPLY,ping 2' });
  });

  it('lets nothing of a message act on a terminal', () => {
    const evil = '\u001b]0;owned\u0007\u001b[2J\u202e';
    for (const line of [`>LOG:1,F,${evil}`, `>FATAL:${evil}`])
      expect(parseNotification(line)).toMatchObject({ message: ' ]0;owned  [2J ' });
    expect(parseNotification(`>STATE:1,RECONNECTING,${evil},,,,`)).toMatchObject({
      detail: ' ]0;owned  [2J ',
    });
    expect(parseNotification(`>LOG:1,I,${'x'.repeat(100_000)}`)).toMatchObject({
      message: 'x'.repeat(4000),
    });
  });

  it('reads byte counts and fatal errors', () => {
    expect(parseNotification('>BYTECOUNT:1200,3400')).toEqual({
      type: 'bytes',
      received: 1200,
      sent: 3400,
    });
    expect(parseNotification('>FATAL:cannot open tun')).toEqual({
      type: 'fatal',
      message: 'cannot open tun',
    });
  });

  it.each([
    '>INFO:OpenVPN Management Interface',
    '>HOLD:Waiting',
    '>STATE:soon,UP',
    '>BYTECOUNT:x',
  ])('passes over %s', (line) => {
    expect(parseNotification(line)).toBeUndefined();
  });

  it('never throws, whatever a line holds', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const line of [text, `>STATE:${text}`, `>LOG:${text}`, `>BYTECOUNT:${text}`])
          parseNotification(line);
        parseStateLine(text);
        parseLogLine(text);
        replyEnd(text, true);
      }),
    );
  });

  it('knows where an answer ends', () => {
    expect(replyEnd('SUCCESS: pid=51', false)).toEqual({ ok: true, text: 'pid=51' });
    expect(replyEnd('SUCCESS: real-time state notification set to ON', true)).toBeUndefined();
    expect(replyEnd('END', true)).toEqual({ ok: true, text: '' });
    expect(replyEnd('ERROR: unknown command', true)).toEqual({
      ok: false,
      text: 'unknown command',
    });
  });

  it.each([
    ['state on all', true],
    ['log on all', true],
    ['status 3', true],
    ['state', true],
    ['state on', false],
    ['pid', false],
    ['bytecount 5', false],
    ['signal SIGTERM', false],
  ])('%s is answered with a list: %s', (command, isList) => {
    expect(isListCommand(command)).toBe(isList);
  });
});
