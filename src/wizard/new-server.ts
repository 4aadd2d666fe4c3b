import {
  LOG_LEVEL_NAMES,
  type LogLevelName,
  type NewServerConfig,
  renderServerConfig,
} from '../core/config/render-server-config.ts';
import { parseServerConfig } from '../core/config/server-config.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import type { Prompter } from './interfaces/prompter.ts';

/** What flags say; undefined where they say nothing. */
export type GivenServerConfig = Partial<{
  -readonly [K in keyof NewServerConfig]: NewServerConfig[K] | undefined;
}>;

export interface NewServerInput {
  readonly name: string;
  readonly given: GivenServerConfig;
  /** Undefined: nobody is asked, and what flags do not say keeps its default. */
  readonly prompter: Prompter | undefined;
}

export interface NewServerPlan {
  readonly config: NewServerConfig;
  readonly text: string;
  /** Whether the file is for its owner alone. */
  readonly hasSecrets: boolean;
}

/** Safe without a further thought: nothing can be dropped, and every user needs a second factor only where it is asked for. */
export const NEW_SERVER_DEFAULTS: NewServerConfig = {
  description: 'vantage6 coordination server',
  ip: '0.0.0.0',
  port: 7601,
  apiPath: '/api',
  uri: 'sqlite:///default.sqlite',
  serverUrl: undefined,
  twoFactor: false,
  allowDropAll: false,
  logLevel: 'INFO',
  jwtSecretKey: undefined,
  tls: undefined,
};

/** Flags of the questions, for errors and for the help. */
const FLAGS: Readonly<Record<string, string>> = {
  description: '--description',
  ip: '--ip',
  port: '--port',
  apiPath: '--api-path',
  uri: '--uri',
  serverUrl: '--server-url',
};

/**
 * The configuration of a new server from flags and, where somebody can be asked, seven questions; checked with the parser that
 * the server itself uses. Writes nothing. Throws V6_USAGE, V6_INTERRUPTED.
 */
export async function planNewServer({
  name,
  given,
  prompter,
}: NewServerInput): Promise<NewServerPlan> {
  for (const key of Object.keys(FLAGS) as (keyof NewServerConfig)[]) refuseBad(name, given, key);
  const answers = prompter === undefined ? {} : await askOpen(prompter, name, given);
  const config = withDefaults({ ...given, ...answers });
  const text = renderServerConfig(name, config);
  const problem = problemOf(name, config);
  if (problem !== undefined) throw new V6Error('V6_USAGE', problem, { hints: ['See --help.'] });
  return { config, text, hasSecrets: hasSecrets(config) };
}

function withDefaults(given: GivenServerConfig): NewServerConfig {
  const known = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...NEW_SERVER_DEFAULTS, ...(Object.fromEntries(known) as Partial<NewServerConfig>) };
}

/** Why a configuration is not one, as the server would say it; undefined when it is. */
function problemOf(name: string, config: NewServerConfig): string | undefined {
  try {
    parseServerConfig(renderServerConfig(name, config), 'the configuration');
    return undefined;
  } catch (error) {
    if (!isV6Error(error)) throw error;
    const { problems } = error.details as { problems?: readonly string[] };
    return problems?.join('; ') ?? error.message;
  }
}

function refuseBad(name: string, given: GivenServerConfig, key: keyof NewServerConfig): void {
  if (given[key] === undefined) return;
  const problem = problemOf(name, withDefaults({ [key]: given[key] }));
  if (problem !== undefined) throw new V6Error('V6_USAGE', `${FLAGS[key]}: ${problem}`);
}

type TextKey = 'description' | 'ip' | 'uri' | 'serverUrl';

async function askOpen(
  prompter: Prompter,
  name: string,
  given: GivenServerConfig,
): Promise<GivenServerConfig> {
  const answers: GivenServerConfig = {};
  const text = async (key: TextKey, message: string): Promise<void> => {
    if (given[key] !== undefined) return;
    const toValue = (answer: string) => (answer === '' ? undefined : answer);
    const answer = await prompter.text({
      message,
      preset: NEW_SERVER_DEFAULTS[key] ?? '',
      problem: (typed) => problemOf(name, withDefaults({ [key]: toValue(typed) })),
    });
    answers[key] = toValue(answer);
  };
  await text('description', 'What is this server for?');
  await text('ip', 'Address to listen on');
  if (given.port === undefined) answers.port = await askPort(prompter);
  await text('uri', 'Database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME');
  await text(
    'serverUrl',
    'Address as others reach it, for example https://v6.example.org/api (may be empty)',
  );
  if (given.twoFactor === undefined)
    answers.twoFactor = await askYes(prompter, 'Must every user have a second factor?');
  if (given.allowDropAll === undefined)
    answers.allowDropAll = await askYes(prompter, 'May an import remove everything first?');
  if (given.logLevel === undefined) {
    const message = 'How much is logged?';
    answers.logLevel = (await prompter.choice({
      message,
      values: LOG_LEVEL_NAMES,
    })) as LogLevelName;
  }
  return answers;
}

async function askPort(prompter: Prompter): Promise<number> {
  const answer = await prompter.text({
    message: 'Port',
    preset: String(NEW_SERVER_DEFAULTS.port),
    problem: (typed) =>
      /^\d{1,5}$/.test(typed) && Number(typed) >= 1 && Number(typed) <= 65_535
        ? undefined
        : 'A number from 1 to 65535',
  });
  return Number(answer);
}

/** No is the preset. */
async function askYes(prompter: Prompter, message: string): Promise<boolean> {
  return (await prompter.choice({ message, values: ['no', 'yes'] })) === 'yes';
}

function hasSecrets({ uri, jwtSecretKey }: NewServerConfig): boolean {
  return (
    jwtSecretKey !== undefined || /^[\w+]+:\/\/[^/@]*:[^/@]+@/.test(uri) || /password=/i.test(uri)
  );
}
