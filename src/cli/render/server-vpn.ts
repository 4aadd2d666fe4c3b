import type { PortalSettings } from '../../core/config/portal-settings.ts';
import { toPortalValues } from '../../core/config/portal-settings.ts';
import { renderFacts, renderTable } from './table.ts';

/** Keys of the block whose values are never shown. */
const SECRET: readonly string[] = ['client_secret', 'portal_userpass'];

/** The settings by key, secrets hidden. */
export function hiddenSettings(settings: PortalSettings): Readonly<Record<string, string>> {
  const shown = Object.entries(toPortalValues(settings)).map(
    ([key, value]) => [key, SECRET.includes(key) ? '(hidden)' : value] as const,
  );
  const { maxConfigurations: limit } = settings;
  const limits = limit === undefined ? [] : [['max_configurations', String(limit)] as const];
  return Object.fromEntries([...shown, ...limits]);
}

export function renderSettings(file: string, settings: Readonly<Record<string, string>>): string {
  return [
    `${file}, vpn_server:`,
    ...renderFacts(Object.entries(settings)).map((line) => `  ${line}`),
  ].join('\n');
}

interface Checked {
  readonly step: string;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly found: string | null;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hints: readonly string[];
  } | null;
}

const MARKS = { passed: '✔', failed: '✖', skipped: '-' } as const;
const TITLES: Readonly<Record<string, string>> = {
  discovery: 'the portal answers',
  login: 'the server can log in',
  profile: 'there is a profile for the nodes',
  limit: 'configurations at once',
};

/** One step with its cause and what to do next. */
export function renderCheckedStep({ step, state, found, error }: Checked): string {
  const title = `${MARKS[state]} ${TITLES[step] ?? step}`;
  if (state === 'skipped') return `${title}: not tried`;
  if (error === null) return `${title}: ${found ?? ''}`;
  return [
    `${title}: ${error.code}: ${error.message}`,
    ...error.hints.map((hint) => `    → ${hint}`),
  ].join('\n');
}

interface Lease {
  readonly name: string;
  readonly state: string;
  readonly online: boolean;
  readonly ip: string | null;
  readonly expires_at: string | null;
  readonly last_seen_at: string | null;
}

/** Who holds what until when. */
export function renderLeases(report: {
  readonly limit: number | null;
  readonly held: number;
  readonly leases: readonly Lease[];
}): string {
  const { limit, held, leases } = report;
  const count = `${held} held, ${limit === null ? 'any number' : `${limit} at once`} possible`;
  if (leases.length === 0) return `No node holds a VPN lease (${count}).`;
  const rows = leases.map((lease) => [
    lease.name,
    lease.state,
    lease.online ? 'online' : 'offline',
    lease.ip ?? '-',
    lease.expires_at ?? '-',
    lease.last_seen_at ?? '-',
  ]);
  const table = renderTable(['NODE', 'LEASE', 'NODE IS', 'ADDRESS', 'ENDS', 'LAST SEEN'], rows);
  return `${table}\n\n${count}`;
}
