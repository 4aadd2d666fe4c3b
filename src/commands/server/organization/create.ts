import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownOrganization } from '../../../server/admin/parties.ts';

export default class ServerOrganizationCreate extends V6Command<{
  organization: ShownOrganization;
}> {
  static override summary = 'make an organization in the database of a server';
  static override examples = [
    '<%= config.bin %> <%= command.id %> North --name trial --country NL',
  ];
  static override args = { organization: Args.string({ description: 'its name', required: true }) };
  static override flags = {
    ...contextFlags,
    domain: Flags.string({ description: 'domain of its mail addresses' }),
    country: Flags.string({ description: 'country' }),
  };

  async run(): Promise<{ organization: ShownOrganization }> {
    const { flags, args } = await this.parse(ServerOrganizationCreate);
    const { createOrganization } = await import('../../../server/admin/parties.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { domain = null, country = null } = flags;
    const organization = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      createOrganization(store, { name: args.organization, domain, country }),
    );
    this.log(`The organization ${organization.name} has the number ${organization.id}.`);
    return { organization };
  }
}
