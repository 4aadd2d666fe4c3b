import { describe, expect, it } from 'vitest';
import { parseYamlMapping } from '../../../src/core/config/yaml.ts';
import { planNewServer } from '../../../src/wizard/new-server.ts';
import { ScriptedPrompter } from '../../fakes/prompter.ts';

/** What upstream's validator asks for (vantage6 4.14, cli/configuration_manager.py). */
const UPSTREAM_KEYS = ['description', 'ip', 'port', 'uri', 'allow_drop_all', 'logging'];
const UPSTREAM_LOGGING = [
  'level',
  'use_console',
  'backup_count',
  'max_size',
  'format',
  'datefmt',
  'file',
];

const ANSWERS = {
  'What is this server for': 'Trial',
  'Address to listen on': '127.0.0.1',
  Port: '7700',
  Database: 'postgresql://v6:hidden@db/v6',
  'Address as others reach it': '',
  'second factor': 'yes',
  'May an import remove everything': 'no',
  'How much is logged': 'WARNING',
};

describe('the wizard for a new server', () => {
  it('asks eight questions and answers with a configuration that upstream accepts as well', async () => {
    const prompter = new ScriptedPrompter(ANSWERS);
    const { text, hasSecrets } = await planNewServer({ name: 'trial', given: {}, prompter });
    expect(prompter.asked).toHaveLength(8);
    const mapping = parseYamlMapping(text, 'trial.yaml');
    for (const key of UPSTREAM_KEYS) expect(mapping).toHaveProperty(key);
    for (const key of UPSTREAM_LOGGING) expect(mapping.logging).toHaveProperty(key);
    // Upstream's server does not start without it, whatever its validator says.
    expect(mapping.api_path).toBe('/api');
    expect(mapping).toMatchObject({ port: 7700, two_factor_auth: true });
    expect(mapping).not.toHaveProperty('server_url');
    expect(hasSecrets).toBe(true);
  });

  it("The wizard stores allow_drop_all: 'False' as text — it stores a boolean", async () => {
    for (const [answer, value] of [
      ['no', false],
      ['yes', true],
    ] as const) {
      const prompter = new ScriptedPrompter({
        ...ANSWERS,
        'May an import remove everything': answer,
      });
      const { text } = await planNewServer({ name: 'trial', given: {}, prompter });
      expect(parseYamlMapping(text, 'f').allow_drop_all).toBe(value);
    }
  });

  it('Wizard offers log level NOTSET, validator refuses it — it is not offered', async () => {
    const prompter = new ScriptedPrompter({
      ...ANSWERS,
      'How much is logged': ['NOTSET', 'DEBUG'],
    });
    const { config } = await planNewServer({ name: 'trial', given: {}, prompter });
    expect(config.logLevel).toBe('DEBUG');
    expect(prompter.refused).toEqual(['NOTSET is not offered']);
  });

  it('asks again for a value that the server would refuse, and says why', async () => {
    const prompter = new ScriptedPrompter({
      ...ANSWERS,
      Port: ['0', '7700'],
      Database: ['mysql://x', 'sqlite:///x.sqlite'],
    });
    await planNewServer({ name: 'trial', given: {}, prompter });
    expect(prompter.refused).toHaveLength(2);
    expect(prompter.refused[1]).toContain('must start with sqlite:/// or postgresql://');
  });

  it('asks only for what flags do not say', async () => {
    const prompter = new ScriptedPrompter({ 'What is this server for': 'Trial' });
    const given = {
      ip: '127.0.0.1',
      port: 7700,
      uri: 'sqlite:///x.sqlite',
      serverUrl: 'https://v6.example.org/api',
      twoFactor: false,
      allowDropAll: false,
      logLevel: 'INFO',
    } as const;
    const { config } = await planNewServer({ name: 'trial', given, prompter });
    expect(prompter.asked).toHaveLength(1);
    expect(config).toMatchObject({ ...given, description: 'Trial' });
  });
});
