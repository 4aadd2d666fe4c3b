import { EVENT_ID, type Event, getScalarValue, parseEvents, type ScalarEvent } from 'js-yaml';

/** One `key: value` of a document with its place in the text. */
export interface YamlEntry {
  /** Keys from the top down; an item of a list stands as `[n]`. */
  readonly path: readonly string[];
  /** Where the key starts, with its quote, as an index into the text. */
  readonly keyStart: number;
  /** Behind the key, with its quote: the colon is at or after this index. */
  readonly keyEnd: number;
  /** Line of the key, from 1. */
  readonly line: number;
  readonly value: YamlValue;
  /** Whether the mapping that holds the key is written in braces. */
  readonly isFlow: boolean;
}

/** Where a value stands: from its anchor, tag or quote to behind its last token (of a collection: of what it holds, without the closing bracket). */
export interface YamlValue {
  readonly kind: 'empty' | 'scalar' | 'block-scalar' | 'mapping' | 'sequence' | 'alias';
  /** -1 when empty. */
  readonly start: number;
  /** -1 when empty. */
  readonly end: number;
}

/**
 * Every `key: value` of a YAML document in the order of the text, with its place. The text must be one that parseYaml accepts.
 * Entries that an alias or a merge brings in are not repeated.
 */
export function listYamlEntries(text: string): readonly YamlEntry[] {
  const walk = new Walk(text);
  walk.node([], 1);
  return walk.entries;
}

const NOTHING: YamlValue = { kind: 'empty', start: -1, end: -1 };

class Walk {
  readonly entries: YamlEntry[] = [];
  private readonly text: string;
  private readonly events: readonly Event[];

  constructor(text: string) {
    this.text = text;
    this.events = parseEvents(text, {});
  }

  /** Reads the node at `index`; returns its place and the index behind it. */
  node(
    path: readonly string[],
    index: number,
  ): { readonly value: YamlValue; readonly next: number } {
    const event = this.events[index];
    if (event === undefined || event.type === EVENT_ID.POP || event.type === EVENT_ID.DOCUMENT)
      return { value: NOTHING, next: index };
    if (event.type === EVENT_ID.SCALAR) return { value: scalarValue(event), next: index + 1 };
    if (event.type === EVENT_ID.ALIAS) {
      const value = { kind: 'alias', start: event.anchorStart - 1, end: event.anchorEnd } as const;
      return { value, next: index + 1 };
    }
    return event.type === EVENT_ID.SEQUENCE
      ? this.sequence(path, event.start, index)
      : this.mapping(path, event, index);
  }

  private sequence(path: readonly string[], start: number, index: number) {
    let at = index + 1;
    let end = start;
    for (let item = 0; isInside(this.events[at]); item += 1) {
      const { value, next } = this.node([...path, `[${item}]`], at);
      at = next;
      end = Math.max(end, value.end);
    }
    return { value: { kind: 'sequence', start, end } as const, next: at + 1 };
  }

  private mapping(
    path: readonly string[],
    opened: Extract<Event, { type: typeof EVENT_ID.MAPPING }>,
    index: number,
  ) {
    let at = index + 1;
    let end = opened.start;
    for (let key = this.events[at]; isInside(key); key = this.events[at]) {
      const slot = this.entries.length;
      const name = key.type === EVENT_ID.SCALAR ? getScalarValue(this.text, key) : '?';
      const place = this.node(path, at);
      const { value, next } = this.node([...path, name], place.next);
      if (key.type === EVENT_ID.SCALAR) {
        const entry = this.entry([...path, name], place.value, value, opened.style === 2);
        this.entries.splice(slot, 0, entry);
      }
      at = next;
      end = Math.max(end, place.value.end, value.end);
    }
    return { value: { kind: 'mapping', start: opened.start, end } as const, next: at + 1 };
  }

  private entry(
    path: readonly string[],
    key: YamlValue,
    value: YamlValue,
    isFlow: boolean,
  ): YamlEntry {
    const line = this.text.slice(0, Math.max(key.start, 0)).split(/\r\n|\r|\n/).length;
    return { path, keyStart: key.start, keyEnd: key.end, line, value, isFlow };
  }
}

function isInside(event: Event | undefined): event is Event {
  return event !== undefined && event.type !== EVENT_ID.POP;
}

// The events give the inside of quotes, and anchors and tags without their sign.
function scalarValue(event: ScalarEvent): YamlValue {
  const before = [
    event.anchorStart < 0 ? Number.POSITIVE_INFINITY : event.anchorStart - 1,
    event.tagStart < 0 ? Number.POSITIVE_INFINITY : event.tagStart,
  ];
  const decorated = Math.min(...before);
  if (event.valueStart < 0) {
    if (decorated === Number.POSITIVE_INFINITY) return NOTHING;
    return { kind: 'scalar', start: decorated, end: Math.max(event.anchorEnd, event.tagEnd) };
  }
  if (event.style > 3)
    return {
      kind: 'block-scalar',
      start: Math.min(event.valueStart, decorated),
      end: event.valueEnd,
    };
  const quote = event.style === 1 ? 0 : 1;
  return {
    kind: 'scalar',
    start: Math.min(event.valueStart - quote, decorated),
    end: event.valueEnd + quote,
  };
}
