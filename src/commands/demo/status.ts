import { V6Command } from '../../cli/base-command.ts';
import { hostFolders } from '../../cli/context.ts';
import { demoFlags, demoScope } from '../../cli/demo-flags.ts';
import { renderDemoStatus } from '../../cli/render/demo.ts';
import { composeDemo } from '../../demo/compose.ts';
import { demoStatus, type DemoStatus as Status } from '../../demo/status.ts';

export default class DemoStatus extends V6Command<Status> {
  static override summary = 'what of the demo is there, and how its nodes stand';
  static override examples = [
    '<%= config.bin %> demo status',
    '<%= config.bin %> demo status --json',
  ];
  static override flags = { ...demoFlags };

  async run(): Promise<Status> {
    const { flags } = await this.parse(DemoStatus);
    const status = await demoStatus(
      await composeDemo({
        root: this.config.root,
        scope: demoScope(flags),
        folders: hostFolders(process.env),
      }),
    );
    this.log(renderDemoStatus(status));
    return status;
  }
}
