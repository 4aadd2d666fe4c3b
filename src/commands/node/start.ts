import { Flags } from '@oclif/core';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { renderVerdict } from '../../cli/render/node.ts';
import type { StartedNode } from '../../node/host/start-node.ts';

export default class NodeStart extends V6Command<StartedNode> {
  static override summary = 'start a node in the background';
  static override description =
    'Starts the node daemon as a container, and waits until it is known whether the VPN works. A VPN that does not work is a warning: the node runs without it.';
  static override examples = [
    '<%= config.bin %> node start --name hospital-a',
    '<%= config.bin %> node start --config ./hospital-a.yaml --system',
  ];
  static override flags = {
    ...contextFlags,
    wait: Flags.integer({
      description: 'seconds to wait for the state of the VPN',
      default: 60,
      min: 0,
      max: 600,
    }),
  };

  async run(): Promise<StartedNode> {
    const { flags } = await this.parse(NodeStart);
    const started = await this.start(flags);
    this.note(renderVerdict(started.vpn));
    for (const warning of started.warnings) this.warnWith(warning);
    if (started.vpn.warning !== null) this.warnWith(started.vpn.warning);
    this.log(`The node ${started.name} runs.`);
    return started;
  }

  private async start(flags: CommandFlags<typeof NodeStart>): Promise<StartedNode> {
    const { checkPrivateKey, composeHostFiles, composeNodeHost, nodeImages } = await import(
      '../../node/compose-host.ts'
    );
    const { readNodeConfig, startNode } = await import('../../node/host/start-node.ts');
    const context = contextFromFlags('node', flags, process.env);
    // A mistake in the file is reported before anything is asked of the engine.
    const config = await readNodeConfig(await composeHostFiles(), context);
    const privateKeyFile = await checkPrivateKey(config, context);
    const host = await composeNodeHost(this.config.root);
    this.note(`Starting the node ${context.name} …`);
    return withInterrupt((signal) =>
      startNode(host, {
        context,
        images: nodeImages(this.config.root),
        engineSocket: host.engineSocket,
        user: host.user,
        privateKeyFile,
        serverCaFile: config.serverCa,
        verdictLimitMs: flags.wait * 1000,
        signal,
      }),
    );
  }
}
