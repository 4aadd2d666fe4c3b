import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { hostFolders } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { renderVpnTest } from '../../cli/render/vpn-test.ts';
import { ERROR_CATALOGUE } from '../../core/errors.ts';
import type { VpnTestReport } from '../../core/vpn/test-report.ts';

export default class VpnTest extends V6Command<VpnTestReport> {
  static override summary = 'let the algorithm containers of a collaboration talk to each other';
  static override description =
    `Starts one echo task on every node that is online and has a VPN. Each container talks to every other and to itself, over TCP and UDP, as soon as they are reachable. A pair without a report or an address has failed; nodes that are offline or work without VPN are listed, and fail the test only when they were named.

Exit status 0: all pairs passed; 3: a pair failed, or there was no node to test.`;
  static override examples = [
    '<%= config.bin %> vpn test',
    '<%= config.bin %> vpn test --node alpha --node beta',
    '<%= config.bin %> vpn test --collaboration 2 --json',
  ];
  static override flags = {
    collaboration: Flags.integer({
      description: 'id of the collaboration; not needed where there is only one',
      min: 1,
    }),
    organizations: Flags.integer({
      description: 'ids of organizations whose nodes must take part',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
      min: 1,
    }),
    node: Flags.string({
      description: 'name of a node that must take part (may be given several times)',
      multiple: true,
      multipleNonGreedy: true,
    }),
    'all-nodes': Flags.boolean({
      description:
        'every node of the collaboration must take part; one that is away fails the test',
      default: false,
      exclusive: ['node', 'organizations'],
    }),
    'private-key': Flags.file({
      description:
        "private key of the user's organization, in an encrypted collaboration; the one of the login by default",
    }),
    login: Flags.string({ description: 'login to use; the current one by default' }),
    probes: Flags.integer({
      description: 'round trips to measure per pair',
      default: 5,
      min: 1,
      max: 1000,
    }),
    timeout: Flags.integer({
      description: 'limit for the whole test, in seconds',
      default: 120,
      min: 1,
      max: 3600,
    }),
  };

  async run(): Promise<VpnTestReport> {
    const { flags } = await this.parse(VpnTest);
    const { composeUserSide } = await import('../../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const login = await side.logins.get(flags.login);
    const input = {
      ...(flags.collaboration === undefined ? {} : { collaboration: flags.collaboration }),
      organizations: flags.organizations ?? [],
      nodes: flags.node ?? [],
      allNodes: flags['all-nodes'],
      probes: flags.probes,
      limitMs: flags.timeout * 1000,
    };
    const onProgress = (line: string): void => {
      this.note(line);
    };
    const report = await withInterrupt((signal) =>
      side.testVpn(login, input, { signal, onProgress, privateKeyFile: flags['private-key'] }),
    );
    this.log(renderVpnTest(report));
    // Failed pairs are a result: the document is printed whole, and the exit status says so beside it.
    if (!report.ok) process.exitCode = ERROR_CATALOGUE.V6_TEST_PAIR_FAILED.exitCode;
    return report;
  }
}
