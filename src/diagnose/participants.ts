import { V6Error } from '../core/errors.ts';
import { plainText } from '../core/protocol/echo.ts';
import type { NodeEntity } from '../core/protocol/entities.ts';
import { NODE_INFO_VPN } from '../core/protocol/node-info.ts';
import type { TestNode, TestNodeState } from '../core/vpn/test-report.ts';

/** A node that a test lists. */
export interface Participant extends TestNode {
  /** Its pairs are part of the test. */
  readonly inMesh: boolean;
  /** It gets a run. */
  readonly runs: boolean;
}

export interface Selection {
  /** Names of nodes; empty for all. */
  readonly nodes: readonly string[];
  /** Ids of organizations; empty for all. */
  readonly organizations: readonly number[];
  /** Every node of the collaboration must take part, as if all of them were named. */
  readonly allNodes?: boolean | undefined;
}

/**
 * Who takes part: without a selection every node that is online and has a VPN. A node that was named belongs to the mesh
 * even when it cannot take part, and then fails the test. Throws V6_USAGE for what the collaboration does not have.
 */
export function chooseParticipants(
  nodes: readonly NodeEntity[],
  selection: Selection,
): readonly Participant[] {
  refuseUnknown(nodes, selection);
  const isSelective =
    selection.allNodes === true || selection.nodes.length + selection.organizations.length > 0;
  return nodes
    .filter((node) => !isSelective || isNamed(node, selection))
    .toSorted((a, b) => a.organization.id - b.organization.id)
    .map((node) => {
      const state = stateOf(node);
      const runs = state === 'connected' || state === 'tunnel-down';
      return {
        organization: node.organization.id,
        node: plainText(node.name),
        vpnAddress: node.ip,
        state,
        runs,
        inMesh: runs || isSelective,
      };
    });
}

/** What the server knows of a node, as a state of the test. */
export function stateOf(node: Pick<NodeEntity, 'status' | 'ip' | 'config'>): TestNodeState {
  if (node.status !== 'online') return 'offline';
  const vpn = node.config.find(({ key }) => key === NODE_INFO_VPN)?.value;
  if (vpn === 'off') return 'skipped';
  if (node.ip !== null) return 'connected';
  return vpn === 'on' ? 'tunnel-down' : 'skipped';
}

function isNamed(node: NodeEntity, { nodes, organizations, allNodes = false }: Selection): boolean {
  return allNodes || nodes.includes(node.name) || organizations.includes(node.organization.id);
}

function refuseUnknown(nodes: readonly NodeEntity[], selection: Selection): void {
  const names = nodes.map(({ name }) => name);
  const organizations = nodes.map(({ organization }) => organization.id);
  const unknown = [
    ...selection.nodes.filter((name) => !names.includes(name)),
    ...selection.organizations.filter((id) => !organizations.includes(id)),
  ];
  if (unknown.length === 0) return;
  throw new V6Error('V6_USAGE', `the collaboration has no node of ${unknown.join(', ')}`, {
    hints: [
      `Its nodes: ${nodes.map((node) => `${node.name} (organization ${node.organization.id})`).join(', ')}`,
    ],
    details: { unknown, nodes: names },
  });
}
