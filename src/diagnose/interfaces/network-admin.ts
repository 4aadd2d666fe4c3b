import type { Collaboration, NodeEntity, Organization } from '../../core/protocol/entities.ts';

/**
 * What an administrator sets up at a coordination server. Errors as in `UserClient`; a name that is taken is
 * V6_REQUEST_INVALID.
 */
export interface NetworkAdmin {
  listOrganizations(signal?: AbortSignal): Promise<readonly Organization[]>;
  createOrganization(name: string, signal?: AbortSignal): Promise<Organization>;
  createCollaboration(
    collaboration: {
      readonly name: string;
      readonly organizations: readonly number[];
      /** Default false. */
      readonly encrypted?: boolean;
    },
    signal?: AbortSignal,
  ): Promise<Collaboration>;
  /** Lets an organization join. A member already: fine. */
  addOrganization(collaboration: number, organization: number, signal?: AbortSignal): Promise<void>;
  /** The API key is shown this one time. */
  createNode(
    node: { readonly name: string; readonly organization: number; readonly collaboration: number },
    signal?: AbortSignal,
  ): Promise<{ readonly node: NodeEntity; readonly apiKey: string }>;
  /** A new API key; the old one stops working. */
  resetApiKey(node: number, signal?: AbortSignal): Promise<string>;
  removeNode(node: number, signal?: AbortSignal): Promise<void>;
  createUser(user: NewUser, signal?: AbortSignal): Promise<number>;
  /** Ids of roles by their name, as far as they are visible. */
  listRoles(signal?: AbortSignal): Promise<ReadonlyMap<string, number>>;
}

export interface NewUser {
  readonly username: string;
  readonly password: string;
  readonly email: string;
  readonly firstName: string;
  readonly lastName: string;
  readonly organization: number;
  /** Ids of roles. */
  readonly roles: readonly number[];
}
