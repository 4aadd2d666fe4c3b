import { isV6Error } from '../core/errors.ts';
import type { NetworkAdmin } from '../diagnose/interfaces/network-admin.ts';
import type { UserClient } from '../diagnose/interfaces/user-client.ts';
import type { DemoAdmin } from './parts.ts';

/** Finds by name before it creates, so that a second `up` finds what the first one made. */
export function createDemoAdmin(admin: NetworkAdmin, client: UserClient): DemoAdmin {
  const findNode = async (collaboration: number, name: string) =>
    (await client.listNodes(collaboration)).find((node) => node.name === name);
  return {
    async ensureOrganization(name) {
      const found = (await admin.listOrganizations()).find((item) => item.name === name);
      return (found ?? (await admin.createOrganization(name))).id;
    },
    async ensureCollaboration({ name, organizations, encrypted }) {
      const found = (await client.listCollaborations()).find((item) => item.name === name);
      if (found === undefined)
        return (await admin.createCollaboration({ name, organizations, encrypted })).id;
      for (const organization of organizations) await admin.addOrganization(found.id, organization);
      return found.id;
    },
    async apiKeyFor({ name, organization, collaboration }) {
      const found = await findNode(collaboration, name);
      if (found !== undefined) return admin.resetApiKey(found.id);
      return (await admin.createNode({ name, organization, collaboration })).apiKey;
    },
    async removeNode(collaboration, name) {
      const found = (await client.listCollaborations()).find((item) => item.name === collaboration);
      const node = found === undefined ? undefined : await findNode(found.id, name);
      if (node !== undefined) await admin.removeNode(node.id);
    },
    async ensureResearcher({ username, password, organization }) {
      const role = (await admin.listRoles()).get('Researcher');
      try {
        await admin.createUser({
          username,
          password,
          email: `${username}@localhost`,
          firstName: 'Demo',
          lastName: 'Researcher',
          organization,
          roles: role === undefined ? [] : [role],
        });
      } catch (error) {
        // The name is taken: an earlier `up` made the account, with the password that is on file.
        if (!isV6Error(error, 'V6_REQUEST_INVALID', 'V6_REQUEST_CONFLICT')) throw error;
      }
    },
  };
}
