import { describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../../../src/core/config/server-config.ts';

const read = (text: string) =>
  parseServerConfig(`uri: sqlite:///a.sqlite\n${text}`, '/etc/server.yaml').operation;

describe('the keys about operation', () => {
  it('want no figures and no clean-up by themselves', () => {
    expect(read('')).toStrictEqual({ metrics: undefined, cleanup: undefined });
    expect(read('prometheus: {enabled: false, exporter_port: 9000}').metrics).toBeUndefined();
  });

  it('take the port of the figures where upstream documents it, and where its server reads it', () => {
    expect(read('prometheus: {enabled: true}').metrics).toStrictEqual({
      ip: undefined,
      port: 7603,
    });
    expect(read('prometheus: {enabled: true, exporter_port: 9100}').metrics?.port).toBe(9100);
    expect(read('prometheus: {enabled: true}\nprometheus_port: 9200').metrics?.port).toBe(9200);
    expect(
      read('prometheus: {enabled: true, exporter_port: 9100, exporter_ip: 127.0.0.1}').metrics,
    ).toStrictEqual({ ip: '127.0.0.1', port: 9100 });
  });

  it('read the days after which data is blanked', () => {
    expect(read('runs_data_cleanup_days: 30').cleanup).toStrictEqual({
      days: 30,
      includesInput: false,
    });
    expect(
      read('runs_data_cleanup_days: 30\nruns_data_cleanup_include_input: true').cleanup,
    ).toStrictEqual({ days: 30, includesInput: true });
  });

  it.each([
    'runs_data_cleanup_days: 0',
    'runs_data_cleanup_days: soon',
    'prometheus: {enabled: perhaps}',
    'prometheus: {enabled: true, exporter_port: 70000}',
    'prometheus: {enabled: true, exporter_ip: "a b"}',
    'prometheus: yes',
  ])('refuse %s', (text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: 'V6_CONFIG_INVALID' }));
  });
});
