import { isV6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { NetworkAdmin } from '../../diagnose/interfaces/network-admin.ts';
import type { UserClient } from '../../diagnose/interfaces/user-client.ts';
import {
  parseCollaboration,
  parseNode,
  parseOrganization,
  parseResult,
  parseRun,
} from './user-entities.ts';
import { strangeAnswer, type UserSession } from './user-session.ts';

/** What a researcher does at a server, in the name of one login. */
export function createUserClient(session: UserSession): UserClient {
  return {
    listCollaborations: (signal) => session.list('/collaboration', parseCollaboration, signal),
    listNodes: async (collaboration, signal) => {
      const path = `/node?collaboration_id=${collaboration}`;
      const nodes = await session.list(path, parseNode, signal);
      return nodes.filter((node) => node.collaboration.id === collaboration);
    },
    ownOrganization: async (signal) => {
      const user = readRecord(await session.request('GET', `/user/${session.userId}`, { signal }));
      const { organization } = user;
      if (!isRecord(organization)) throw strangeAnswer('/user');
      return readId(organization, '/user');
    },
    organizations: {
      get: async (id, signal) => {
        const path = `/organization/${id}`;
        const found = parseOrganization(readRecord(await session.request('GET', path, { signal })));
        if (found.id !== id) throw strangeAnswer(path);
        return { id, name: found.name, publicKey: found.public_key };
      },
      registerKey: async (id, publicKey, signal) => {
        const body = { public_key: publicKey };
        await session.request('PATCH', `/organization/${id}`, { body, signal });
      },
    },
    createTask: async (request, signal) => {
      const { method, args = [], kwargs = {} } = request.input;
      const payload = Buffer.from(JSON.stringify({ method, args, kwargs }));
      const seal = request.seal ?? (() => Promise.resolve(payload.toString('base64')));
      const organizations = await Promise.all(
        request.organizations.map(async (id) => ({ id, input: await seal(payload, id) })),
      );
      const body = {
        name: request.name,
        description: request.description ?? '',
        image: request.image,
        collaboration_id: request.collaboration,
        organizations,
      };
      return readId(await session.request('POST', '/task', { body, signal }), '/task');
    },
    listRuns: (task, signal) => session.list(`/run?task_id=${task}`, parseRun, signal),
    listResults: (task, signal) => session.list(`/result?task_id=${task}`, parseResult, signal),
    killTask: async (task, signal) => {
      try {
        await session.request('POST', '/kill/task', { body: { id: task }, signal });
      } catch (error) {
        // 400: it has ended already, which is what was wanted.
        if (!isV6Error(error, 'V6_REQUEST_INVALID')) throw error;
      }
    },
  };
}

/** What an administrator does at a server, in the name of one login. */
export function createNetworkAdmin(session: UserSession): NetworkAdmin {
  return {
    listOrganizations: (signal) => session.list('/organization', parseOrganization, signal),
    createOrganization: async (name, signal) =>
      parseOrganization(
        readRecord(await session.request('POST', '/organization', { body: { name }, signal })),
      ),
    createCollaboration: async ({ name, organizations, encrypted = false }, signal) => {
      const body = { name, organization_ids: organizations, encrypted };
      return parseCollaboration(
        readRecord(await session.request('POST', '/collaboration', { body, signal })),
      );
    },
    addOrganization: async (collaboration, organization, signal) => {
      const path = `/collaboration/${collaboration}/organization`;
      await session.request('POST', path, { body: { id: organization }, signal });
    },
    createNode: async ({ name, organization, collaboration }, signal) => {
      const body = { name, organization_id: organization, collaboration_id: collaboration };
      const answer = readRecord(await session.request('POST', '/node', { body, signal }));
      return { node: parseNode(answer), apiKey: readApiKey(answer) };
    },
    resetApiKey: async (node, signal) =>
      readApiKey(await session.request('POST', '/recover/node', { body: { id: node }, signal })),
    removeNode: async (node, signal) => {
      await session.request('DELETE', `/node/${node}`, { signal });
    },
    createUser: async (user, signal) => {
      const body = {
        username: user.username,
        password: user.password,
        email: user.email,
        firstname: user.firstName,
        lastname: user.lastName,
        organization_id: user.organization,
        roles: user.roles,
      };
      return readId(await session.request('POST', '/user', { body, signal }), '/user');
    },
    listRoles: async (signal) => {
      const roles = await session.list(
        '/role',
        ({ id, name }) => [typeof name === 'string' ? name : '', Number(id)] as const,
        signal,
      );
      return new Map(roles);
    },
  };
}

function readRecord(body: unknown): Readonly<Record<string, unknown>> {
  if (!isRecord(body)) throw strangeAnswer('the request');
  return body;
}

function readId(body: unknown, path: string): number {
  const { id } = readRecord(body);
  if (typeof id !== 'number') throw strangeAnswer(path);
  return id;
}

function readApiKey(body: unknown): string {
  const { api_key: apiKey } = readRecord(body);
  if (typeof apiKey !== 'string') throw strangeAnswer('/node');
  return apiKey;
}
