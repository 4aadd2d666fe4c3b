import { diffWithoutSecrets } from '../core/config/config-diff.ts';
import {
  type PortalSettings,
  type PortalValues,
  toPortalValues,
} from '../core/config/portal-settings.ts';
import { spliceVpnServer } from '../core/config/splice-vpn-server.ts';
import { readVpnServerValues, refuseMisplacedPortalKeys } from '../core/config/vpn-server-block.ts';
import { parseYamlMapping } from '../core/config/yaml.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import type { ConfigFile, ConfigText } from './interfaces/config-file.ts';
import type { CheckedPortal, PortalCheck } from './interfaces/portal-check.ts';
import type { Prompter } from './interfaces/prompter.ts';
import { askPortalSettings, askProfile } from './portal-questions.ts';

export interface ConfigureVpnDeps {
  readonly file: Pick<ConfigFile, 'file' | 'read'>;
  readonly portal: PortalCheck;
  /** Undefined where nobody can be asked. */
  readonly prompter: Prompter | undefined;
}

export interface ConfigureVpnInput {
  /** From flags, by key of the block. */
  readonly given: PortalValues;
  /** Whether the settings are tried out at the portal. */
  readonly isChecked: boolean;
  /** Whether the person is asked before the end; not for a dry run. */
  readonly isConfirmed: boolean;
  readonly signal?: AbortSignal;
  /** Progress and the diff, a line or several at a time; without secrets. */
  readonly onNote: (lines: string) => void;
}

/** New text for the file, not written yet. */
export interface VpnConfigPlan {
  readonly settings: PortalSettings;
  readonly read: ConfigText;
  readonly text: string;
  readonly isChanged: boolean;
  /** Lines with `-` and `+`, secrets hidden; empty when nothing changes. */
  readonly diff: string;
  /** Undefined when the portal was not asked. */
  readonly checked: CheckedPortal | undefined;
}

/**
 * From the file as it is to the text that it should have: asks for what is missing, tries it out, shows what changes when a
 * person answered questions, and waits for a yes. Writes nothing. Throws V6_CONFIG_NOT_FOUND, _SYNTAX, _INVALID,
 * V6_CONFIG_VPN_KEYS_MISPLACED (a new block beside misplaced keys would leave the file as wrong as it was), V6_USAGE,
 * V6_USAGE_MISSING_ANSWER, V6_INTERRUPTED and V6_PORTAL_*.
 */
export async function configureVpn(
  deps: ConfigureVpnDeps,
  input: ConfigureVpnInput,
): Promise<VpnConfigPlan> {
  const { file } = deps.file;
  const read = await deps.file.read();
  parseYamlMapping(read.text, file);
  refuseMisplacedPortalKeys(read.text, file);
  const current = readVpnServerValues(read.text, file);
  const asked = await askPortalSettings(deps.prompter, { given: input.given, current });
  warnOfPlainHttp(asked.settings, input.onNote);
  const { settings, checked } = input.isChecked
    ? await tryOut(deps, input, asked.settings)
    : { settings: asked.settings, checked: undefined };
  const text = spliceVpnServer(read.text, toPortalValues(settings), file);
  const diff = diffWithoutSecrets(read.text, text);
  if (asked.hasAsked && input.isConfirmed && diff !== '') await confirm(deps, input, diff);
  return { settings, read, text, isChanged: text !== read.text, diff, checked };
}

function warnOfPlainHttp({ url }: PortalSettings, onNote: ConfigureVpnInput['onNote']): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:' || /^(localhost|127\.|\[::1\])/.test(hostname)) return;
  onNote(
    `Over plain http everybody on the way to ${hostname} can read the password and the private keys of nodes.`,
  );
}

async function tryOut(
  { portal, prompter }: ConfigureVpnDeps,
  { signal, onNote }: ConfigureVpnInput,
  settings: PortalSettings,
): Promise<{ readonly settings: PortalSettings; readonly checked: CheckedPortal }> {
  onNote(`Logging in to ${settings.url} as ${settings.username} …`);
  try {
    return { settings, checked: await portal.check(settings, signal) };
  } catch (error) {
    if (prompter === undefined || !isV6Error(error, 'V6_PORTAL_SEVERAL_PROFILES')) throw error;
    const { offered } = error.details as { offered: readonly string[] };
    const chosen = { ...settings, profile: await askProfile(prompter, offered) };
    return { settings: chosen, checked: await portal.check(chosen, signal) };
  }
}

async function confirm(
  { file, prompter }: ConfigureVpnDeps,
  { onNote }: ConfigureVpnInput,
  diff: string,
): Promise<void> {
  onNote(diff.trimEnd());
  if ((await prompter?.confirm(`Write this to ${file.file}?`)) !== false) return;
  throw new V6Error('V6_INTERRUPTED', 'Not confirmed: nothing was written', {
    hints: ['Run the command again when the values are known.'],
  });
}
