/** Levels of arrays and objects in a body. Nothing that clients send comes near; far deeper ones exhaust the stack of who renders them. */
const MAX_DEPTH = 64;
/** Faults that one answer names. */
const MAX_FAULTS = 20;

/** Where in a request something stands that no field may hold. */
export interface DataFault {
  readonly path: readonly string[];
  readonly message: string;
}

/**
 * What schemas do not look at: NUL, which PostgreSQL cannot store in text, halves of surrogate pairs, which UTF-8 has no form
 * for, keys that would change an object's prototype, and nesting without end. A top-level `log` is not looked at: algorithms
 * print what they like, and `printable` makes it fit.
 */
export function dataFaults(data: unknown): readonly DataFault[] {
  const faults: DataFault[] = [];
  const open: { readonly value: unknown; readonly path: readonly string[] }[] = [
    { value: data, path: [] },
  ];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (faults.length >= MAX_FAULTS) return faults;
    const { value, path } = next;
    if (typeof value === 'string') {
      const message = textFault(value);
      if (message !== undefined && !(path.length === 1 && path[0] === 'log'))
        faults.push({ path, message });
    } else if (typeof value === 'object' && value !== null) {
      if (path.length > MAX_DEPTH) {
        faults.push({ path: path.slice(0, 1), message: `Deeper than ${MAX_DEPTH} levels` });
        continue;
      }
      for (const [key, inner] of Object.entries(value)) {
        const message = key === '__proto__' ? 'Unknown field' : textFault(key);
        if (message === undefined) open.push({ value: inner, path: [...path, key] });
        else faults.push({ path: [...path, printable(key)], message });
      }
    }
  }
  return faults;
}

function textFault(text: string): string | undefined {
  if (text.includes('\0')) return 'Must not hold NUL';
  return text.isWellFormed() ? undefined : 'Not well-formed Unicode';
}

/** Text that every database stores: without NUL, halves of surrogate pairs replaced by U+FFFD. */
export const printable = (text: string): string => text.replaceAll('\0', '').toWellFormed();
