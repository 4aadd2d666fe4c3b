import { CORE_SCHEMA, FAILSAFE_SCHEMA, load, mergeTag, type Schema, YAMLException } from 'js-yaml';
import { V6Error } from '../errors.ts';

// Upstream reads YAML 1.1, where `<<` merges; the core schema of YAML 1.2 leaves that tag out.
const TYPED = CORE_SCHEMA.withTags(mergeTag);
const AS_WRITTEN = FAILSAFE_SCHEMA.withTags(mergeTag);

/**
 * A YAML document as values. Dates stay text, `yes` and `on` stay text, `<<` merges, duplicate keys are an error.
 * `file` is for the message only. Throws V6_CONFIG_SYNTAX with file, line, column and reason; an empty file is an error too.
 */
export function parseYaml(text: string, file: string): unknown {
  return read(text, file, TYPED);
}

/** The same document with every scalar as text exactly as it was written: `0123` stays `0123`. Throws as parseYaml does. */
export function parseYamlAsWritten(text: string, file: string): unknown {
  return read(text, file, AS_WRITTEN);
}

/** `value` when it is a mapping, undefined otherwise. */
export function mappingOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** The document as a mapping of keys, which is what a configuration file is. Throws V6_CONFIG_SYNTAX. */
export function parseYamlMapping(text: string, file: string): Readonly<Record<string, unknown>> {
  const mapping = mappingOf(parseYaml(text, file));
  if (mapping === undefined) {
    throw syntaxError(file, { line: 1, column: 1 }, 'the document is not a mapping of keys', {
      hints: ['A configuration file holds lines of the form `key: value`.'],
    });
  }
  return mapping;
}

function read(text: string, file: string, schema: Schema): unknown {
  let value: unknown;
  try {
    value = load(text, { schema, filename: file });
  } catch (error) {
    if (!(error instanceof YAMLException)) throw error;
    const { mark } = error as { mark?: { line?: number; column?: number } };
    const at = { line: (mark?.line ?? 0) + 1, column: (mark?.column ?? 0) + 1 };
    // The exception itself quotes the lines around the place, and so a secret: only its reason goes on.
    throw syntaxError(file, at, reasonOf(error), {
      hints: [`Open ${file} at line ${at.line}: that line, or the one before it, is not YAML.`],
    });
  }
  if (value === null || value === undefined) {
    throw syntaxError(file, { line: 1, column: 1 }, 'the file is empty', {
      hints: ['Write the configuration, or name another file with --config.'],
    });
  }
  return value;
}

function reasonOf(error: YAMLException): string {
  const { reason } = error as { reason?: unknown };
  return typeof reason === 'string' && reason !== '' ? reason : 'not YAML';
}

function syntaxError(
  file: string,
  at: { readonly line: number; readonly column: number },
  reason: string,
  options: { readonly hints: readonly string[] },
): V6Error {
  return new V6Error('V6_CONFIG_SYNTAX', `${file}:${at.line}:${at.column}: ${reason}`, {
    hints: options.hints,
    details: { file, line: at.line, column: at.column, reason },
  });
}
