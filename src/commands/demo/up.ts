import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { hostFolders } from '../../cli/context.ts';
import { demoFlags, demoScope } from '../../cli/demo-flags.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { renderDemoUp } from '../../cli/render/demo.ts';
import { runTasks } from '../../cli/tasks.ts';
import { composeDemo } from '../../demo/compose.ts';
import { prepareDown } from '../../demo/down.ts';
import type { DemoParts } from '../../demo/parts.ts';
import { type DemoReport, prepareDemo } from '../../demo/up.ts';
import { parseDurationSeconds } from '../../portal/settings.ts';

export default class DemoUp extends V6Command<DemoReport> {
  static override summary = 'bring up a whole network on this machine';
  static override description =
    'A VPN portal with its VPN server, a coordination server and a number of nodes, each as containers. A second call mends what is half there; another --nodes adapts it. Ctrl-C undoes what was begun.';
  static override examples = [
    '<%= config.bin %> demo up',
    '<%= config.bin %> demo up --nodes 5',
    '<%= config.bin %> demo up --encrypted',
    '<%= config.bin %> demo up --session-expiry 3m',
  ];
  static override flags = {
    ...demoFlags,
    nodes: Flags.integer({ description: 'number of nodes, 1 to 32', default: 3 }),
    encrypted: Flags.boolean({
      description: 'encrypt inputs and results: a private key for each organization',
      default: false,
    }),
    'session-expiry': Flags.string({
      description:
        'life of the VPN certificates, e.g. 90d, 12h or 3m: to watch how nodes renew them (default 90d)',
    }),
    'server-port': Flags.integer({
      description:
        'port of 127.0.0.1 for the coordination server (default 7601, or the next that is free)',
      min: 1,
      max: 65_535,
    }),
  };

  async run(): Promise<DemoReport> {
    const { flags } = await this.parse(DemoUp);
    const { 'session-expiry': expiry } = flags;
    const parts = await composeDemo({
      root: this.config.root,
      scope: demoScope(flags),
      folders: hostFolders(process.env),
      ...(expiry === undefined
        ? {}
        : { sessionExpirySeconds: parseDurationSeconds(expiry, 'session-expiry') }),
    });
    const report = await withInterrupt((signal) =>
      this.up(parts, {
        nodes: flags.nodes,
        serverPort: flags['server-port'],
        encrypted: flags.encrypted,
        signal,
      }),
    );
    for (const { vpn } of report.nodes) if (vpn.warning !== null) this.warnWith(vpn.warning);
    this.log(renderDemoUp(report));
    return report;
  }

  private async up(
    parts: DemoParts,
    input: Parameters<typeof prepareDemo>[1],
  ): Promise<DemoReport> {
    const work = await prepareDemo(parts, input);
    try {
      await runTasks(work.steps, { isSilent: this.jsonEnabled() });
      return work.finish();
    } catch (error) {
      if (work.wasThere) throw error;
      this.note('Undoing what was begun.');
      await runTasks(await prepareDown(parts), { isSilent: this.jsonEnabled() });
      throw error;
    }
  }
}
