import { describe, expect, it } from 'vitest';
import type { PortalSettings } from '../../../src/core/config/portal-settings.ts';
import { V6Error } from '../../../src/core/errors.ts';
import { type ConfigureVpnInput, configureVpn } from '../../../src/wizard/configure-vpn.ts';
import type { PortalCheck } from '../../../src/wizard/interfaces/portal-check.ts';
import { ScriptedPrompter } from '../../fakes/prompter.ts';

const EMPTY = 'uri: sqlite:///x\n';
const FULL = `${EMPTY}vpn_server:
  url: https://vpn.example.org
  redirect_url: http://localhost
  client_id: v6-client
  client_secret: old-secret
  portal_username: nodes
  portal_userpass: old-password
`;
const ALL = {
  'Address of the VPN portal': 'https://vpn.example.org',
  'Redirect URL': 'http://localhost',
  'client id': 'v6-client',
  'client secret': '',
  'User of the portal': 'nodes',
  Password: 'new-password',
  'Write this': 'yes',
};

/** A portal that accepts everything, or offers several profiles to settings without one. */
class FakePortal implements PortalCheck {
  readonly checked: PortalSettings[] = [];
  private readonly profiles: readonly string[];

  constructor(...profiles: string[]) {
    this.profiles = profiles;
  }

  check(settings: PortalSettings): Promise<{ profile: string }> {
    this.checked.push(settings);
    const profile = settings.profile ?? (this.profiles.length === 1 ? this.profiles[0] : undefined);
    if (profile !== undefined) return Promise.resolve({ profile });
    return Promise.reject(
      new V6Error('V6_PORTAL_SEVERAL_PROFILES', 'several', { details: { offered: this.profiles } }),
    );
  }
}

async function run(
  text: string,
  options: { prompter?: ScriptedPrompter; portal?: FakePortal } & Partial<ConfigureVpnInput>,
) {
  const { prompter, portal = new FakePortal('default'), ...input } = options;
  const notes: string[] = [];
  const plan = await configureVpn(
    {
      file: { file: '/etc/server.yaml', read: () => Promise.resolve({ text, mode: 0o600 }) },
      portal,
      prompter,
    },
    {
      given: {},
      isChecked: true,
      isConfirmed: true,
      onNote: (lines) => notes.push(lines),
      ...input,
    },
  );
  return { plan, notes, portal };
}

describe('configureVpn', () => {
  it('asks for everything when neither flags nor the file say anything', async () => {
    const prompter = new ScriptedPrompter(ALL);
    const { plan, portal } = await run(EMPTY, { prompter });
    expect(plan.settings).toEqual({
      url: 'https://vpn.example.org',
      redirectUrl: 'http://localhost',
      clientId: 'v6-client',
      clientSecret: '',
      username: 'nodes',
      password: 'new-password',
    });
    expect(portal.checked).toEqual([plan.settings]);
    expect(prompter.asked).toHaveLength(7);
    expect(plan.text.startsWith(EMPTY)).toBe(true);
  });

  it('shows what changes before it asks for a yes, without secrets', async () => {
    const { notes } = await run(FULL, {
      prompter: new ScriptedPrompter({ ...ALL, 'client secret': 'new-secret' }),
    });
    const said = notes.join('\n');
    expect(said).toContain(
      '-   portal_userpass: [hidden: old]\n+   portal_userpass: [hidden: new]',
    );
    expect(said).not.toMatch(/old-secret|new-secret|old-password|new-password/);
  });

  it('writes nothing without a yes', async () => {
    const prompter = new ScriptedPrompter({ ...ALL, 'Write this': 'no' });
    await expect(run(EMPTY, { prompter })).rejects.toMatchObject({ code: 'V6_INTERRUPTED' });
  });

  it('takes present values as presets, and asks for nothing that a flag or the file says', async () => {
    const review = new ScriptedPrompter(
      Object.fromEntries(Object.keys(ALL).map((part) => [part, ''])),
    );
    const { plan } = await run(FULL, { prompter: review });
    expect(plan.isChanged).toBe(false);
    const silent = new ScriptedPrompter({});
    const { plan: changed } = await run(FULL, {
      prompter: silent,
      given: { portal_userpass: 'new-password' },
    });
    expect(silent.asked).toEqual([]);
    expect(changed.text).toBe(FULL.replace('old-password', '"new-password"'));
  });

  it('repeats a question until the answer is good', async () => {
    const prompter = new ScriptedPrompter({
      ...ALL,
      'Address of the VPN portal': ['vpn', 'ftp://x', 'https://vpn.example.org'],
    });
    const { plan } = await run(EMPTY, { prompter });
    expect(plan.settings.url).toBe('https://vpn.example.org');
    expect(prompter.refused).toHaveLength(2);
  });

  it('lets the person choose one of several profiles, and names them where nobody can', async () => {
    const prompter = new ScriptedPrompter({ ...ALL, 'Which profile': 'b' });
    const { plan } = await run(EMPTY, { prompter, portal: new FakePortal('a', 'b') });
    expect(plan.settings.profile).toBe('b');
    expect(plan.checked).toEqual({ profile: 'b' });
    await expect(
      run(FULL, { given: { url: 'https://x.y' }, portal: new FakePortal('a', 'b') }),
    ).rejects.toMatchObject({ code: 'V6_PORTAL_SEVERAL_PROFILES' });
  });

  it('names every flag that is missing where nobody can be asked', async () => {
    const error = await run(EMPTY, { given: { url: 'https://x.y' } }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'V6_USAGE_MISSING_ANSWER', entry: { exitCode: 2 } });
    expect((error as V6Error).message).toBe(
      'Missing: --redirect-url, --client-id, --portal-username, --portal-password-file or --portal-password-stdin',
    );
  });

  it('names the flag of a value that is not good', async () => {
    await expect(run(EMPTY, { given: { url: 'vpn' } })).rejects.toMatchObject({
      code: 'V6_USAGE',
      message: expect.stringContaining('--url must be an address') as string,
    });
  });

  it.each([
    ['http://vpn.example.org', 1],
    ['http://127.0.0.1:8080', 0],
    ['https://vpn.example.org', 0],
  ])('warns of plain http: %s', async (url, warnings) => {
    const { notes } = await run(FULL, { given: { url }, isChecked: false });
    expect(notes.filter((note) => note.includes('plain http'))).toHaveLength(warnings);
  });

  it('does not ask the portal when told so', async () => {
    const { plan, portal } = await run(FULL, { given: { client_id: 'x' }, isChecked: false });
    expect(portal.checked).toEqual([]);
    expect(plan.checked).toBeUndefined();
  });

  it('refuses a file whose portal keys stand outside the block', async () => {
    await expect(run(`${EMPTY}portal_username: x\n`, { given: {} })).rejects.toMatchObject({
      code: 'V6_CONFIG_VPN_KEYS_MISPLACED',
    });
  });
});
