import { Args, Flags } from '@oclif/core';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../cli/confirm.ts';
import { contextFlags } from '../../cli/context.ts';
import { renderImport } from '../../cli/render/server-admin.ts';
import { adminInput } from '../../cli/server-context.ts';
import type { ImportReport } from '../../server/admin/import-report.ts';

export default class ServerImport extends V6Command<ImportReport> {
  static override summary = 'import organizations, users, collaborations and nodes from a file';
  static override description =
    `The file is upstream's: YAML with organizations (and their users) and collaborations (and their participants, each of which gets a node). All of it is imported or nothing; a second import of the same file changes nothing, and one of a changed file updates what differs. What the file does not name stays. The server may run meanwhile, and notices.

Keys of nodes and passwords that the file leaves out are generated, and written to a file that only its owner can read.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> --name trial --dry-run ./entities.yaml',
    '<%= config.bin %> <%= command.id %> --name trial ./entities.yaml',
  ];
  static override args = { file: Args.string({ description: 'the YAML file', required: true }) };
  static override flags = {
    ...contextFlags,
    'drop-all': Flags.boolean({
      description: 'remove everything first; needs allow_drop_all: true in the configuration',
      default: false,
    }),
    'dry-run': Flags.boolean({ description: 'show what would change', default: false }),
    'reset-passwords': Flags.boolean({
      description: 'set passwords of users who exist to those of the file',
      default: false,
    }),
    'secrets-file': Flags.string({
      description: 'where to write generated keys and passwords (default: in the data folder)',
    }),
    ...yesFlag,
  };

  async run(): Promise<ImportReport> {
    const { flags, args } = await this.parse(ServerImport);
    const report = await this.import(args.file, flags);
    for (const warning of report.warnings) this.note(`Warning: ${warning}`);
    this.log(renderImport(report));
    return report;
  }

  private async import(
    file: string,
    flags: CommandFlags<typeof ServerImport>,
  ): Promise<ImportReport> {
    const { composeImport, withServerAdmin } = await import('../../server/compose-admin.ts');
    const input = adminInput(flags, process.env);
    const source = await composeImport(file, flags['secrets-file']);
    return withServerAdmin(input, async (admin) => {
      const { mayDropAll } = admin;
      if (flags['drop-all'] && mayDropAll && !flags['dry-run']) {
        const message = `Remove everything from the database of ${input.context.name}, for good?`;
        await confirmOrYes({ message, flags, isQuiet: this.jsonEnabled() });
      }
      return source.import(admin, {
        dropAll: flags['drop-all'],
        mayDropAll,
        dryRun: flags['dry-run'],
        resetPasswords: flags['reset-passwords'],
      });
    });
  }
}
