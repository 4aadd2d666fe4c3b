import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { hostFolders } from '../../cli/context.ts';
import { demoFlags, demoScope } from '../../cli/demo-flags.ts';
import { runTasks } from '../../cli/tasks.ts';
import { composeDemo } from '../../demo/compose.ts';
import { prepareDown, removeUnusedImages } from '../../demo/down.ts';

interface DemoGone {
  readonly scope: string;
  readonly removedImages: readonly string[];
}

export default class DemoDown extends V6Command<DemoGone> {
  static override summary = 'take the demo away, with everything that belongs to it';
  static override description =
    'Removes every container, network, rule and file of the demo and nothing else. Images stay, so that the next start is quick.';
  static override examples = ['<%= config.bin %> demo down', '<%= config.bin %> demo down --all'];
  static override flags = {
    ...demoFlags,
    all: Flags.boolean({ description: 'also remove our images that nothing uses', default: false }),
  };

  async run(): Promise<DemoGone> {
    const { flags } = await this.parse(DemoDown);
    const scope = demoScope(flags);
    const parts = await composeDemo({
      root: this.config.root,
      scope,
      folders: hostFolders(process.env),
    });
    await runTasks(await prepareDown(parts), { isSilent: this.jsonEnabled() });
    const removedImages = flags.all ? await removeUnusedImages(parts.engine) : [];
    this.note('The demo is gone.');
    return { scope, removedImages };
  }
}
