import { V6Error } from '../core/errors.ts';
import { names } from '../core/labels.ts';
import { renderNodeConfig } from './config-files.ts';
import type { DemoAdmin, DemoParts } from './parts.ts';
import type { DemoPlan } from './plan.ts';
import { localUrl, type Progress } from './progress.ts';

/** The account that the demo makes for its user, who needs no more than a researcher may. */
export const DEMO_USER = 'researcher';
/** Its password, in the demo's folder. */
export const USER_PASSWORD_FILE = 'researcher-password';
export const COLLABORATION = 'demo';

/** Organizations, collaboration, nodes with their configuration files, the user and its login. */
export async function ensureEntities(parts: DemoParts, progress: Progress): Promise<void> {
  const { plan, admin } = progress;
  if (admin === undefined) throw new V6Error('V6_BUG', 'the server step did not run');
  const organizations: number[] = [];
  for (const node of plan.nodes)
    organizations.push(await admin.ensureOrganization(node.organization));
  progress.collaboration = await admin.ensureCollaboration({
    name: COLLABORATION,
    organizations,
    encrypted: plan.encrypted === true,
  });
  if (plan.encrypted === true) await ensurePrivateKeys(parts, plan);
  await ensureUser(parts, plan, admin, organizations[0] ?? 0);
  for (const [at, node] of plan.nodes.entries()) {
    const file = nodeConfigFile(node.name);
    if ((await parts.files.read(file)) !== undefined) continue;
    const apiKey = await admin.apiKeyFor({
      name: node.name,
      organization: organizations[at] ?? 0,
      collaboration: progress.collaboration,
    });
    await parts.files.write(
      file,
      renderNodeConfig(plan, node, {
        apiKey,
        uplink: names.uplink(parts.scope, 'net'),
        taskDir: `${parts.files.root}/node/${node.name}/tasks`,
      }),
    );
  }
}

async function ensureUser(
  parts: DemoParts,
  plan: DemoPlan,
  admin: DemoAdmin,
  organization: number,
): Promise<void> {
  const stored = (await parts.files.read(USER_PASSWORD_FILE))?.trim();
  const password = stored ?? parts.randomPassword();
  if (stored === undefined) await parts.files.write(USER_PASSWORD_FILE, `${password}\n`);
  await admin.ensureResearcher({ username: DEMO_USER, password, organization });
  const [first] = plan.nodes;
  const key = first && privateKeyFile(first.name);
  await parts.logins.save({
    name: parts.scope,
    url: localUrl(plan),
    user: DEMO_USER,
    password,
    ...(plan.encrypted !== true || key === undefined
      ? {}
      : { privateKeyFile: `${parts.files.root}/${key}` }),
  });
}

/** One per organization, where its node looks for it by itself. */
async function ensurePrivateKeys(
  { files, newPrivateKey }: Pick<DemoParts, 'files' | 'newPrivateKey'>,
  plan: DemoPlan,
): Promise<void> {
  for (const node of plan.nodes) {
    const file = privateKeyFile(node.name);
    if ((await files.read(file)) === undefined) await files.write(file, await newPrivateKey());
  }
}

/** In the data folder of the node. */
const privateKeyFile = (name: string): string => `node/${name}/data/private_key.pem`;

/** Path in the demo's folder, as contextFor('node', …) has it. */
export const nodeConfigFile = (name: string): string => `node/${name}/config.yaml`;
