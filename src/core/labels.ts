/**
 * Names and labels of everything we create (design: stable from the first release on).
 * Upstream's own labels and names are kept beside ours where its tools look for them
 * (vantage6 4.14 cli/node/start.py, node/docker/task_manager.py).
 */

/** Whose configuration folder is used; `demo` is the network that `v6 demo` makes, `demo-NAME` another one beside it. */
export type Scope = 'user' | 'system' | 'demo' | `demo-${string}`;

/** True for a scope that `v6 demo` made. */
export const isDemoScope = (scope: Scope): boolean => scope === 'demo' || scope.startsWith('demo-');

/** A scope as it is written in a flag or label. Undefined when it is none; a demo's name has 1–8 small letters and digits. */
export function parseScope(text: string): Scope | undefined {
  return /^(user|system|demo(-[a-z0-9]{1,8})?)$/.test(text) ? (text as Scope) : undefined;
}

export type Kind =
  | 'node'
  | 'vpn-client'
  | 'algorithm'
  | 'vpn-server'
  | 'portal'
  | 'server'
  | 'slot'
  | 'uplink'
  /** The container in which a node keeps watch over its rules on the host. */
  | 'host-rules'
  | 'one-shot';

export const LABEL = {
  version: 'v6',
  kind: 'v6.kind',
  scope: 'v6.scope',
  node: 'v6.node',
  run: 'v6.run',
  /** On a server: where this host reaches it, with api path. */
  url: 'v6.url',
  /** On a server: its configuration file on the host. */
  config: 'v6.config',
} as const;

/** The version that we write into labels; one place, so that images and containers agree. */
export const V6_VERSION = '0.1.0';

/** The test algorithm's image as tasks name it, the same on every node. */
export const ECHO_IMAGE = `v6-echo:${V6_VERSION}`;

export interface LabelInput {
  readonly kind: Kind;
  readonly scope: Scope;
  readonly node?: string;
  readonly run?: number;
}

/**
 * Our labels; on nodes, algorithms and servers upstream's beside them. A server's name stands in upstream's label only: what has
 * `v6.node` belongs to the node of that name, and goes with it.
 */
export function labelsFor({ kind, scope, node, run }: LabelInput): Record<string, string> {
  return {
    [LABEL.version]: V6_VERSION,
    [LABEL.kind]: kind,
    [LABEL.scope]: scope,
    ...(node === undefined || kind === 'server' ? {} : { [LABEL.node]: node }),
    ...(run === undefined ? {} : { [LABEL.run]: String(run) }),
    ...(kind === 'node'
      ? { 'vantage6-type': 'node', name: node ?? '', system: scope === 'system' ? 'True' : 'False' }
      : {}),
    ...(kind === 'algorithm'
      ? { 'vantage6-type': 'algorithm', node: node ?? '', run_id: String(run ?? '') }
      : {}),
    ...(kind === 'server' ? { 'vantage6-type': 'server', name: node ?? '' } : {}),
  };
}

export const names = {
  node: (name: string, scope: Scope) => `vantage6-${name}-${scope}`,
  vpnClient: (name: string, scope: Scope) => `vantage6-${name}-${scope}-vpn-client`,
  hostRules: (name: string, scope: Scope) => `vantage6-${name}-${scope}-host-rules`,
  /** As upstream; demos count their runs from 1 each, so their scope keeps them apart. */
  algorithm: (name: string, run: number, scope: Scope = 'user') =>
    `vantage6-${name}-${isDemoScope(scope) ? `${scope}-` : ''}run-${run}`,
  server: (name: string, scope: Scope) => `vantage6-${name}-${scope}-server`,
  portal: (scope: Scope) => `v6-${scope}-portal`,
  vpnServer: (scope: Scope) => `v6-${scope}-vpn-server`,
  /** Sorts before every slot network: the engine takes the default route from the first name. */
  uplink: (scope: Scope, name: string) => `v6a-${scope}-${name}`,
  slot: (scope: Scope, name: string, index: number) => `v6z-${scope}-${name}-${index}`,
} as const;

/** Prefixes of the bridges that we name, so that one static rule covers them all. */
export const BRIDGE_PREFIX = { uplink: 'v6a', slot: 'v6z' } as const;

/** Whether a device of a host has the name of one of our bridges. */
export function isOurBridge(device: string): boolean {
  return Object.values(BRIDGE_PREFIX).some((prefix) => device.startsWith(prefix));
}

/** A bridge name of at most 15 characters (IFNAMSIZ − 1): prefix and eleven hex digits derived from `id`. */
export function bridgeName(
  prefix: (typeof BRIDGE_PREFIX)[keyof typeof BRIDGE_PREFIX],
  id: string,
): string {
  let a = 0x811c9dc5;
  let b = 0x01000193;
  for (const char of id) {
    const code = char.codePointAt(0) ?? 0;
    a = Math.imul(a ^ code, 0x01000193) >>> 0;
    b = Math.imul(b + code, 0x85ebca6b) >>> 0;
  }
  return `${prefix}${a.toString(16).padStart(8, '0')}${b.toString(16).padStart(8, '0')}`.slice(
    0,
    14,
  );
}

const NAME = /^[a-zA-Z0-9_.-]+$/;

/** The rule that upstream has for node and server names. */
export function isContextName(text: string): boolean {
  return NAME.test(text) && text.length <= 64;
}
