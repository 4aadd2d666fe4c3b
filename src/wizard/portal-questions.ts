import {
  isOptionalPortalKey,
  PORTAL_KEYS,
  type PortalKey,
  type PortalSettings,
  type PortalValues,
  parsePortalValues,
  portalValueProblem,
} from '../core/config/portal-settings.ts';
import { V6Error } from '../core/errors.ts';
import type { Prompter } from './interfaces/prompter.ts';

interface Asked {
  readonly message: string;
  /** How to answer without a terminal. */
  readonly flag: string;
  readonly isSecret?: true;
}

/** The questions, in the order in which they are asked. The profile is asked for only when the portal has several. */
export const PORTAL_QUESTIONS: Readonly<Record<PortalKey, Asked>> = {
  url: { message: 'Address of the VPN portal (https://…)', flag: '--url' },
  redirect_url: {
    message: 'Redirect URL, as it is registered for the client',
    flag: '--redirect-url',
  },
  client_id: { message: 'OAuth client id', flag: '--client-id' },
  client_secret: {
    message: 'OAuth client secret (empty for a public client)',
    flag: '--client-secret-file or --client-secret-stdin',
    isSecret: true,
  },
  portal_username: { message: 'User of the portal', flag: '--portal-username' },
  portal_userpass: {
    message: 'Password of that user',
    flag: '--portal-password-file or --portal-password-stdin',
    isSecret: true,
  },
  profile: { message: 'Profile', flag: '--profile' },
};

export interface PortalAnswers {
  readonly settings: PortalSettings;
  /** Whether a person answered something, and so should see the result before it is written. */
  readonly hasAsked: boolean;
}

/**
 * The portal's settings from what is `given` (flags), what is `current` (the file), and the person at the prompter. With nothing
 * given every question is asked, the current values being presets; else only for what neither flags nor file say.
 * Throws V6_USAGE for a given value that is not good, V6_USAGE_MISSING_ANSWER with every flag that is missing when there is no
 * prompter, V6_INTERRUPTED when the person leaves.
 */
export async function askPortalSettings(
  prompter: Prompter | undefined,
  input: { readonly given: PortalValues; readonly current: PortalValues },
): Promise<PortalAnswers> {
  refuseBadFlags(input.given);
  const values: Partial<Record<PortalKey, string>> = { ...goodOnly(input.current), ...input.given };
  const isReview = Object.keys(input.given).length === 0;
  const open = PORTAL_KEYS.filter((key) => key !== 'profile' && !(key in input.given)).filter(
    (key) => values[key] === undefined || isReview,
  );
  const hasAsked = prompter !== undefined && open.length > 0;
  if (prompter === undefined) refuseMissing(values);
  else for (const key of open) values[key] = await ask(prompter, key, values[key]);
  const parsed = parsePortalValues(values);
  if ('settings' in parsed) return { settings: parsed.settings, hasAsked };
  throw new V6Error('V6_USAGE', parsed.problems.join('; '), { hints: ['See --help.'] });
}

/** Lets the person choose one of the profiles that the portal offers. */
export async function askProfile(prompter: Prompter, offered: readonly string[]): Promise<string> {
  return prompter.choice({ message: 'Which profile do the nodes use?', values: offered });
}

function goodOnly(current: PortalValues): PortalValues {
  return Object.fromEntries(
    Object.entries(current).filter(
      ([key, value]) => value !== '' && portalValueProblem(key as PortalKey, value) === undefined,
    ),
  );
}

function refuseBadFlags(given: PortalValues): void {
  const problems = Object.entries(given).flatMap(([name, value]) => {
    const key = name as PortalKey;
    const problem = portalValueProblem(key, value);
    return problem === undefined ? [] : [`${PORTAL_QUESTIONS[key].flag} ${problem}`];
  });
  if (problems.length > 0)
    throw new V6Error('V6_USAGE', problems.join('; '), {
      hints: ['Correct the value and run it again.'],
    });
}

function refuseMissing(values: PortalValues): void {
  const missing = PORTAL_KEYS.filter(
    (key) => values[key] === undefined && !isOptionalPortalKey(key),
  );
  if (missing.length === 0) return;
  const flags = missing.map((key) => PORTAL_QUESTIONS[key].flag);
  throw new V6Error('V6_USAGE_MISSING_ANSWER', `Missing: ${flags.join(', ')}`, {
    hints: ['Give these flags, or run the command in a terminal without --json to be asked.'],
    details: { keys: missing, flags },
  });
}

function ask(prompter: Prompter, key: PortalKey, preset: string | undefined): Promise<string> {
  const { message, isSecret } = PORTAL_QUESTIONS[key];
  const question = {
    message,
    preset,
    problem: (answer: string) => {
      const problem = portalValueProblem(key, answer);
      return problem === undefined ? undefined : `${key} ${problem}`;
    },
  };
  return isSecret === true ? prompter.secret(question) : prompter.text(question);
}
