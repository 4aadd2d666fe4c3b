/** Values of a log line, by fixed names: node, organization, task, run, container, network, tunnelAddress, tunnelPort, rule, code, durationMs … */
export type LogFields = Readonly<Record<string, unknown>>;

/** One fixed sentence per event, values in fields. Error: someone must act; warn: degraded; info: state changed. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
