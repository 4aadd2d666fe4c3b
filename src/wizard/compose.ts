import type { ConfigureVpnDeps } from './configure-vpn.ts';
import type { ConfigFile } from './interfaces/config-file.ts';
import type { NewFile } from './interfaces/new-file.ts';
import type { Prompter } from './interfaces/prompter.ts';

export interface ConfigureVpnSide extends ConfigureVpnDeps {
  readonly file: ConfigFile;
}

/** Wires `v6 server vpn configure`: the file on disk, a real portal, and the terminal where questions are allowed. */
export async function composeConfigureVpn(options: {
  readonly configFile: string;
  readonly mayAsk: boolean;
}): Promise<ConfigureVpnSide> {
  const [{ createYamlFile }, { createPortalConnector }] = await Promise.all([
    import('../adapters/files/yaml-file.ts'),
    import('../adapters/eduvpn/portal-connector.ts'),
  ]);
  return {
    file: createYamlFile(options.configFile),
    portal: {
      async check(settings, signal) {
        const connector = createPortalConnector(settings);
        const tokens = await connector.authorize(signal);
        const { id } = await connector.findProfile(tokens, signal);
        return { profile: id };
      },
    },
    prompter: options.mayAsk ? await composePrompter() : undefined,
  };
}

export interface NewServerSide {
  readonly file: NewFile;
  readonly prompter: Prompter | undefined;
}

/** Wires `v6 server new`: files on disk, and the terminal where questions are allowed. */
export async function composeNewServer(options: {
  readonly mayAsk: boolean;
}): Promise<NewServerSide> {
  const { newFile } = await import('../adapters/files/new-file.ts');
  return { file: newFile, prompter: options.mayAsk ? await composePrompter() : undefined };
}

// inquirer is loaded only where there is a terminal.
async function composePrompter(): Promise<Prompter | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const { createTerminalPrompter } = await import('../adapters/terminal/terminal-prompter.ts');
  return createTerminalPrompter({ input: process.stdin, output: process.stderr });
}
