import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFromFlags, scopeFlags } from '../../cli/context.ts';
import { V6Error } from '../../core/errors.ts';
import type { StoppedPortal } from '../../portal/stop-portal.ts';

export default class PortalStop extends V6Command<StoppedPortal> {
  static override summary = 'stop the embedded VPN portal and VPN server';
  static override description =
    'Removes the two containers and the network that was made for them. Keys, accounts and the addresses of the nodes stay for the next start, unless --remove-data is given: then every node needs a new configuration.';
  static override examples = [
    '<%= config.bin %> portal stop',
    '<%= config.bin %> portal stop --remove-data --yes',
  ];
  static override flags = {
    ...scopeFlags,
    'remove-data': Flags.boolean({
      description: 'also delete keys, accounts and the addresses of the nodes',
      default: false,
    }),
    yes: Flags.boolean({ description: 'do not ask', default: false }),
  };

  async run(): Promise<StoppedPortal> {
    const { flags } = await this.parse(PortalStop);
    const context = contextFromFlags('portal', flags, process.env);
    const removeData = flags['remove-data'];
    if (removeData && !flags.yes) await confirmRemoval(context.dataDir);
    const { composePortal } = await import('../../portal/compose.ts');
    const portal = await composePortal({ root: this.config.root });
    const result = await portal.stop({ context, removeData });
    this.log(
      result.removed.length === 0
        ? 'Nothing was running.'
        : `Stopped: ${result.removed.join(', ')}`,
    );
    this.log(removeData ? `Deleted ${result.dataDir}` : `Kept ${result.dataDir}`);
    return result;
  }
}

async function confirmRemoval(folder: string): Promise<void> {
  const { ask } = await import('../../cli/login-prompt.ts');
  const answer = await ask({ message: `Delete ${folder} for good? Type yes`, flag: '--yes' });
  if (answer.trim() !== 'yes') {
    throw new V6Error('V6_INTERRUPTED', 'Nothing was stopped and nothing was deleted', {
      hints: ['To stop it and keep its data: v6 portal stop'],
    });
  }
}
