import { ECHO_PROTOCOLS } from '../../core/protocol/echo.ts';
import type { TestNode, TestPair, VpnTestReport } from '../../core/vpn/test-report.ts';
import { HOP_HINTS, hintForCode } from './hop-hints.ts';
import { renderTable } from './table.ts';

/** More failed pairs than this are counted, not listed. */
const MAX_LISTED = 40;

/** The result of a VPN test for a human: the matrix, then failed pairs with their hop, then what to do. */
export function renderVpnTest(report: VpnTestReport): string {
  const { summary, pairs, nodes } = report;
  const failed = pairs.filter(({ ok }) => !ok);
  const seconds = (summary.durationMs / 1000).toFixed(1);
  return [
    renderMatrix(report),
    '',
    ...renderOthers(nodes, pairs),
    ...renderFailures(failed, nodes),
    `${summary.passed} of ${summary.pairs} pairs passed, ${summary.failed} failed, in ${seconds} s (task ${report.task}, collaboration ${report.collaboration})`,
  ].join('\n');
}

/** Two lines per sender, one per protocol; receivers are the columns. */
function renderMatrix({ nodes, pairs }: VpnTestReport): string {
  const cells = new Map(pairs.map((pair) => [key(pair.from, pair.to, pair.protocol), pair]));
  const members = nodes.filter(({ organization }) =>
    cells.has(key(organization, organization, 'tcp')),
  );
  const rows = members.flatMap((from) =>
    ECHO_PROTOCOLS.map((protocol, index) => [
      index === 0 ? from.node : '',
      protocol,
      ...members.map((to) =>
        renderCell(cells.get(key(from.organization, to.organization, protocol))),
      ),
    ]),
  );
  return renderTable(['from \\ to', '', ...members.map(({ node }) => node)], rows);
}

const key = (from: number, to: number, protocol: string): string => `${from}>${to}/${protocol}`;

function renderCell(pair: TestPair | undefined): string {
  if (pair === undefined) return '-';
  if (pair.rttMs !== null) return `ok ${renderMs(pair.rttMs.median)}`;
  return `FAIL ${pair.error?.code ?? ''}`.trimEnd();
}

/** Median round trip, with two digits below 10 ms and none above 100. */
export function renderMs(ms: number): string {
  const digits = ms < 10 ? 2 : ms < 100 ? 1 : 0;
  return `${ms.toFixed(digits)} ms`;
}

/** Nodes of which no pair was asked. */
function renderOthers(nodes: readonly TestNode[], pairs: readonly TestPair[]): readonly string[] {
  const tested = new Set(pairs.map(({ from }) => from));
  const others = nodes.filter(({ organization }) => !tested.has(organization));
  const reason = { offline: 'offline', skipped: 'works without VPN' } as const;
  const lines = others.map(
    ({ node, state }) =>
      `Not tested: ${node} (${state === 'offline' || state === 'skipped' ? reason[state] : state})`,
  );
  return lines.length === 0 ? [] : [...lines, ''];
}

function renderFailures(
  failed: readonly TestPair[],
  nodes: readonly TestNode[],
): readonly string[] {
  if (failed.length === 0) return [];
  const nameOf = new Map(nodes.map(({ organization, node }) => [organization, node]));
  const name = (organization: number): string => nameOf.get(organization) ?? String(organization);
  const rows = failed
    .slice(0, MAX_LISTED)
    .map(({ from, to, protocol, error }) => [
      `${name(from)} → ${name(to)}`,
      protocol,
      `hop: ${error?.hop ?? 'not known'}`,
      error?.code ?? '',
      error?.message ?? '',
    ]);
  const more = failed.length - rows.length;
  return [
    'Failed pairs',
    renderTable(['', '', '', '', ''], rows).trimStart(),
    ...(more > 0 ? [`and ${more} more: --json lists all`] : []),
    '',
    'What to do',
    ...nextSteps(failed).map((step) => `  → ${step}`),
    '',
  ];
}

/** One line per kind of failure, the most frequent first. */
function nextSteps(failed: readonly TestPair[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { error } of failed) {
    if (error === null) continue;
    const step =
      error.hop === null ? hintForCode(error.code) : `${error.hop}: ${HOP_HINTS[error.hop]}`;
    counts.set(step, (counts.get(step) ?? 0) + 1);
  }
  return [...counts].toSorted((a, b) => b[1] - a[1]).map(([step]) => step);
}
