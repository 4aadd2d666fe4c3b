import { renderTable } from './table.ts';

const or = (text: string | null): string => (text === null || text === '' ? '-' : text);

interface PrintedUser {
  readonly username: string;
  readonly organization: string;
  readonly roles: readonly string[];
  readonly email: string;
  readonly lastSeen: string | null;
  readonly hasSecondFactor: boolean;
}

/** What `v6 server user list` prints. */
export function renderUsers(users: readonly PrintedUser[]): string {
  if (users.length === 0) return 'There is no user.';
  return renderTable(
    ['USER', 'ORGANIZATION', 'ROLES', 'MAIL', '2ND FACTOR', 'LAST SEEN'],
    users.map((user) => [
      user.username,
      user.organization,
      or(user.roles.join(', ')),
      user.email,
      user.hasSecondFactor ? 'yes' : 'no',
      or(user.lastSeen),
    ]),
  );
}

interface PrintedNode {
  readonly id: number;
  readonly name: string;
  readonly organization: string;
  readonly collaboration: string;
  readonly online: boolean;
  readonly ip: string | null;
  readonly lastSeen: string | null;
}

/** What `v6 server node list` prints. */
export function renderNodes(nodes: readonly PrintedNode[]): string {
  if (nodes.length === 0) return 'There is no node.';
  return renderTable(
    ['ID', 'NODE', 'ORGANIZATION', 'COLLABORATION', 'STATE', 'VPN ADDRESS', 'LAST SEEN'],
    nodes.map((node) => [
      String(node.id),
      node.name,
      node.organization,
      node.collaboration,
      node.online ? 'online' : 'offline',
      or(node.ip),
      or(node.lastSeen),
    ]),
  );
}

interface PrintedOrganization {
  readonly id: number;
  readonly name: string;
  readonly domain: string | null;
  readonly country: string | null;
  readonly hasPublicKey: boolean;
  readonly collaborations: readonly string[];
}

/** What `v6 server organization list` prints. */
export function renderOrganizations(organizations: readonly PrintedOrganization[]): string {
  if (organizations.length === 0) return 'There is no organization.';
  return renderTable(
    ['ID', 'ORGANIZATION', 'DOMAIN', 'COUNTRY', 'PUBLIC KEY', 'COLLABORATIONS'],
    organizations.map((one) => [
      String(one.id),
      one.name,
      or(one.domain),
      or(one.country),
      one.hasPublicKey ? 'yes' : 'no',
      or(one.collaborations.join(', ')),
    ]),
  );
}

interface PrintedCollaboration {
  readonly id: number;
  readonly name: string;
  readonly encrypted: boolean;
  readonly organizations: readonly string[];
}

/** What `v6 server collaboration list` prints. */
export function renderCollaborations(collaborations: readonly PrintedCollaboration[]): string {
  if (collaborations.length === 0) return 'There is no collaboration.';
  return renderTable(
    ['ID', 'COLLABORATION', 'ENCRYPTED', 'ORGANIZATIONS'],
    collaborations.map((one) => [
      String(one.id),
      one.name,
      one.encrypted ? 'yes' : 'no',
      or(one.organizations.join(', ')),
    ]),
  );
}

interface PrintedImport {
  readonly dryRun: boolean;
  readonly dropped: object | null;
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly items: readonly {
    readonly kind: string;
    readonly name: string;
    readonly state: string;
    readonly changes: readonly string[];
  }[];
  readonly secretsFile: string | null;
}

/** What `v6 server import` prints: what changed, and the sum. */
export function renderImport(report: PrintedImport): string {
  const { dropped, dryRun, created, updated, unchanged } = report;
  const changed = report.items.filter(({ state }) => state !== 'unchanged');
  const table = renderTable(
    ['', 'WHAT', 'NAME', 'CHANGES'],
    changed.map(({ state, kind, name, changes }) => [state, kind, name, changes.join(', ')]),
  );
  const removed =
    dropped === null
      ? []
      : [
          `Removed: ${Object.entries(dropped)
            .map(([what, count]) => `${count} ${what}`)
            .join(', ')}`,
        ];
  return [
    ...removed,
    ...(changed.length === 0 ? [] : [table, '']),
    `${created} created, ${updated} updated, ${unchanged} unchanged${dryRun ? ' (dry run: nothing was written)' : ''}`,
    ...(report.secretsFile === null ? [] : [`Generated keys and passwords: ${report.secretsFile}`]),
  ].join('\n');
}
