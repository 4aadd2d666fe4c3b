/** Result of `v6 server vpn configure`; with --json the document itself. No secret is in it. */
export interface ConfiguredVpn {
  readonly file: string;
  /** Whether the file differs from, or with --dry-run would differ from, what it was. */
  readonly changed: boolean;
  readonly written: boolean;
  /** Where the previous text is; null when nothing was written. */
  readonly backup: string | null;
  /** Lines with `-` and `+`, secrets hidden. */
  readonly diff: string;
  /** What the portal answered; null when it was not asked. */
  readonly portal: { readonly url: string; readonly profile: string } | null;
}

export function renderConfiguredVpn(done: ConfiguredVpn, isDryRun: boolean): string {
  const lines: string[] = [];
  if (done.portal !== null)
    lines.push(
      `The portal ${done.portal.url} accepts the settings; nodes use its profile ${done.portal.profile}.`,
    );
  if (isDryRun && done.changed) lines.push(`${done.file} would change:`, done.diff.trimEnd());
  if (!done.changed) lines.push(`${done.file} says so already; nothing was written.`);
  if (done.written)
    lines.push(`Wrote vpn_server to ${done.file}; the previous file is ${done.backup}.`);
  return lines.join('\n');
}
