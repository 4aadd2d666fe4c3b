import type { NodeConfig } from '../../core/config/node-config.ts';
import type { Context } from '../../core/context.ts';
import type { Networks } from '../../core/engine/engine.ts';
import { toV6Error } from '../../core/errors.ts';
import type { HostRemote, HostRules } from '../../core/net/host-rules.ts';
import { parseClientConfig } from '../../core/vpn/client-config.ts';
import type { CredentialStore } from '../interfaces/credential-store.ts';
import type { HostRulesRecords } from '../interfaces/host-firewall.ts';
import type { HostView, NetworkChoiceStore } from '../interfaces/host-view.ts';
import { foreseeUplink } from '../slots/own-networks.ts';
import { type ResolveHost, resolveRemotes } from '../vpn/remotes.ts';

export interface WantedRulesDeps {
  readonly networks: Pick<Networks, 'list' | 'find'>;
  readonly host: Pick<HostView, 'routes' | 'addresses'>;
  readonly choices: Pick<NetworkChoiceStore, 'find'>;
  readonly credentials: Pick<CredentialStore, 'find'>;
  readonly records: Pick<HostRulesRecords, 'find'>;
  readonly resolve: ResolveHost;
}

/** What a node wants on its host, and what that is known from: one sentence each. */
export interface WantedRules {
  readonly rules: HostRules;
  readonly basis: readonly string[];
}

type Node = Pick<Context, 'name' | 'scope'>;
/** What of its configuration the rules of a node follow from. */
export type WantedConfig = Pick<NodeConfig, 'isolatedRange' | 'uplinkNetwork' | 'vpnSubnet'>;

/**
 * The rules of a node: of one that runs those that its daemon wrote down, of another one those that its daemon would want if it
 * started now. Changes nothing. Throws V6_NET_OVERLAP, V6_NET_NO_FREE_RANGE, V6_FIREWALL_READ, V6_ENGINE_*.
 */
export async function wantedRules(
  deps: WantedRulesDeps,
  node: Node,
  input: { readonly config: WantedConfig; readonly isRunning: boolean },
): Promise<WantedRules> {
  const record = await deps.records.find();
  if (input.isRunning && record !== undefined)
    return { rules: record.wanted, basis: [`What the running node wrote down at ${record.at}.`] };
  const uplink = await findUplink(deps, node, input.config);
  const found = await findRemotes(deps, input.config, record?.wanted.remotes);
  const own = new Set(deps.host.addresses());
  return {
    rules: {
      owner: `${node.scope}/${node.name}`,
      uplink: uplink.network,
      remotes: found.remotes,
      localRemotes: found.remotes.filter(({ address }) => own.has(address)),
    },
    basis: [uplink.basis, found.basis],
  };
}

async function findUplink(
  deps: WantedRulesDeps,
  { name, scope }: Node,
  config: WantedConfig,
): Promise<{ readonly network: HostRules['uplink']; readonly basis: string }> {
  if (config.uplinkNetwork !== undefined) {
    const found = await deps.networks.find(config.uplinkNetwork);
    const [subnet] = found?.subnets ?? [];
    if (found === undefined || subnet === undefined)
      return {
        network: undefined,
        basis: `uplink_network ${config.uplinkNetwork} does not exist.`,
      };
    const bridge = found.bridge ?? `br-${found.id.slice(0, 12)}`;
    return { network: { bridge, subnet }, basis: `The uplink is uplink_network ${found.name}.` };
  }
  const { uplink, isStored } = await foreseeUplink(deps, { scope, node: name }, config);
  return {
    network: { bridge: uplink.bridge, subnet: uplink.subnet },
    basis: isStored
      ? `The uplink is ${uplink.name}, ${uplink.subnet}.`
      : `The uplink will be ${uplink.name}, probably ${uplink.subnet}: the node chooses at its first start.`,
  };
}

async function findRemotes(
  deps: WantedRulesDeps,
  { vpnSubnet }: WantedConfig,
  recorded: readonly HostRemote[] | undefined,
): Promise<{ readonly remotes: readonly HostRemote[]; readonly basis: string }> {
  if (vpnSubnet === undefined)
    return { remotes: [], basis: 'The VPN is off (vpn_subnet is empty): no remotes.' };
  const known = await storedRemotes(deps).catch((error: unknown) => toV6Error(error).message);
  if (Array.isArray(known) && known.length > 0)
    return { remotes: known, basis: 'The remotes are those of the stored client config.' };
  const why =
    typeof known === 'string'
      ? `The stored client config cannot be used (${known})`
      : known === undefined
        ? 'No client config is stored'
        : 'No host of the stored client config has an address now';
  return recorded !== undefined && recorded.length > 0
    ? { remotes: recorded, basis: `${why}: the remotes are those of the last start.` }
    : { remotes: [], basis: `${why}: rules for remotes come when the node has one.` };
}

async function storedRemotes(deps: WantedRulesDeps): Promise<readonly HostRemote[] | undefined> {
  const text = await deps.credentials.find();
  if (text === undefined) return undefined;
  return resolveRemotes(parseClientConfig(text).remotes, deps.resolve);
}
