import { Command, Flags, type Interfaces } from '@oclif/core';
import { type ErrorCode, toV6Error, type V6Error } from '../core/errors.ts';
import { redactText } from '../core/redact.ts';

export type CommandFlags<T extends typeof Command> = Interfaces.InferredFlags<
  (typeof V6Command)['baseFlags'] & T['flags']
>;

/** What `--json` prints for a failure. */
export interface ErrorJson {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hints: readonly string[];
    readonly details: Readonly<Record<string, unknown>>;
  };
}

interface CliError extends Error {
  code?: string;
  exitCode?: number;
  oclif?: { exit?: number };
  suggestions?: readonly string[];
}

/**
 * Base of every command: `--json` prints one document, results go to stdout and all else to stderr, and every failure
 * leaves with the exit status of its catalogue row.
 */
export abstract class V6Command<Result = unknown> extends Command {
  static override enableJsonFlag = true;
  static override baseFlags = {
    debug: Flags.boolean({
      description: 'print causes and stacks of errors',
      helpGroup: 'GLOBAL',
      default: false,
    }),
  };

  abstract override run(): Promise<Result>;

  /** A line for a human, on stderr; nothing with --json. */
  protected note(line: string): void {
    if (!this.jsonEnabled()) process.stderr.write(`${line}\n`);
  }

  /** A warning with its code and next steps, on stderr, with --json too (stdout stays one document). */
  protected warnWith(warning: {
    code: ErrorCode;
    message: string;
    hints: readonly string[];
  }): void {
    process.stderr.write(`Warning ${warning.code}: ${warning.message}\n`);
    for (const hint of warning.hints) process.stderr.write(`  → ${hint}\n`);
  }

  protected override catch(thrown: CliError): Promise<never> {
    // oclif's own errors (wrong flags, missing arguments) keep their words and exit status.
    if (thrown.oclif?.exit !== undefined && !('entry' in thrown)) {
      thrown.exitCode = thrown.oclif.exit;
      if (this.jsonEnabled() && thrown.code !== 'EEXIT')
        return this.endWithJson(thrown, thrown.oclif.exit);
      throw thrown;
    }
    const error = toV6Error(thrown);
    const cli: CliError = Object.assign(new Error(redactText(error.message), { cause: error }), {
      code: error.code,
      exitCode: error.entry.exitCode,
      oclif: { exit: error.entry.exitCode },
      suggestions: error.hints.map(redactText),
      v6: error,
    });
    cli.name = 'Error';
    if (!process.argv.includes('--debug')) delete cli.stack;
    if (this.jsonEnabled()) return this.endWithJson(cli, error.entry.exitCode);
    process.stderr.write(renderError(error));
    if (process.argv.includes('--debug') || process.env.DEBUG)
      process.stderr.write(`${redactText(causeChain(thrown))}\n`);
    return this.exit(error.entry.exitCode);
  }

  /** The one document of a failure, on stdout; oclif prints it only from its own `catch`, which this class replaces. */
  private endWithJson(error: CliError, exitCode: number): never {
    this.logJson(this.toErrorJson(error));
    return this.exit(exitCode);
  }

  protected override toErrorJson(thrown: unknown): ErrorJson {
    const known = (thrown as { v6?: V6Error }).v6;
    if (known === undefined && (thrown as CliError).oclif?.exit !== undefined) {
      return {
        error: {
          code: 'V6_USAGE',
          message: (thrown as Error).message.split('\n')[0] ?? '',
          hints: ['See --help.'],
          details: {},
        },
      };
    }
    const error = known ?? toV6Error(thrown);
    return {
      error: {
        code: error.code,
        message: redactText(error.message),
        hints: error.hints.map(redactText),
        details: error.details,
      },
    };
  }
}

function causeChain(error: unknown): string {
  const lines: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    lines.push(at.stack ?? at.message);
  return lines.join('\ncaused by ');
}

/** Code, sentence and next steps, as a human reads them. */
export function renderError(error: V6Error): string {
  const lines = [
    `Error ${error.code}: ${redactText(error.message)}`,
    ...error.hints.map((hint) => `  → ${redactText(hint)}`),
  ];
  return `${lines.join('\n')}\n`;
}
