import type { KeyReader } from './key-reader.ts';

/** What the configuration says about running the server. */
export interface OperationSettings {
  /** `prometheus`: figures for Prometheus on a port of their own. Undefined: none, the default. */
  readonly metrics: MetricsSettings | undefined;
  /** `runs_data_cleanup_days` and `…_include_input`. Undefined: data is kept, the default. */
  readonly cleanup: CleanupSettings | undefined;
}

export interface MetricsSettings {
  /** Ours, `prometheus.exporter_ip`: the address to listen on; undefined is the server's own `ip`. */
  readonly ip: string | undefined;
  /** `prometheus.exporter_port`, default 7603; or top-level `prometheus_port`, which upstream's server reads. */
  readonly port: number;
}

export interface CleanupSettings {
  /** Days after which the result of an ended run is blanked, 1–36500. Its log stays. */
  readonly days: number;
  /** Its input too. */
  readonly includesInput: boolean;
}

/** Upstream's (vantage6 4.14, common/globals.py:DEFAULT_PROMETHEUS_EXPORTER_PORT). */
export const METRICS_PORT = 7603;

export const DEFAULT_OPERATION: OperationSettings = { metrics: undefined, cleanup: undefined };

const PORTS = { from: 1, to: 65_535 } as const;

/** Reads the keys about operation; what is wrong goes to the reader's problems. */
export function readOperation(keys: KeyReader): OperationSettings {
  const prometheus = keys.below('prometheus');
  const isEnabled = prometheus.flag('enabled') ?? false;
  const own = prometheus.integer('exporter_port', PORTS);
  const port = own ?? keys.integer('prometheus_port', PORTS) ?? METRICS_PORT;
  const ip = prometheus.text('exporter_ip');
  if (ip !== undefined && !/^[\w.:-]+$/.test(ip))
    prometheus.problem('exporter_ip', `must be an address, not ${JSON.stringify(ip)}`);
  const days = keys.integer('runs_data_cleanup_days', { from: 1, to: 36_500 });
  const includesInput = keys.flag('runs_data_cleanup_include_input') ?? false;
  return {
    metrics: isEnabled ? { ip, port } : undefined,
    cleanup: days === undefined ? undefined : { days, includesInput },
  };
}
