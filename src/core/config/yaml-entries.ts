import { EVENT_ID, type Event, getScalarValue, parseEvents, type ScalarEvent } from 'js-yaml';

/** One `key: value` of a document with its place in the text. */
export interface YamlEntry {
  /** Keys from the top down; an item of a list stands as `[n]`. */
  readonly path: readonly string[];
  /** Where the key starts, as an index into the text. */
  readonly keyStart: number;
  /** Line of the key, from 1. */
  readonly line: number;
  /** End of the value's last token, as an index into the text; of a quoted value the place of the closing quote or before. */
  readonly valueEnd: number;
  /** Whether the mapping that holds the key is written in braces. */
  readonly isFlow: boolean;
}

/**
 * Every `key: value` of a YAML document in the order of the text, with its place. The text must be one that parseYaml accepts.
 * Entries that an alias or a merge brings in are not repeated.
 */
export function listYamlEntries(text: string): readonly YamlEntry[] {
  const walk = new Walk(text);
  walk.node([], parseEvents(text, {}), 1);
  return walk.entries;
}

type Draft = { -readonly [K in keyof YamlEntry]: YamlEntry[K] };

class Walk {
  readonly entries: Draft[] = [];
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** Reads the node at `index`; returns the index behind it and the end of its last token. */
  node(path: readonly string[], events: readonly Event[], index: number): [number, number] {
    const event = events[index];
    if (event === undefined || event.type === EVENT_ID.POP) return [index, 0];
    if (event.type === EVENT_ID.SCALAR)
      return [index + 1, Math.max(event.valueEnd, event.tagEnd, event.anchorEnd)];
    if (event.type === EVENT_ID.ALIAS) return [index + 1, event.anchorEnd];
    if (event.type === EVENT_ID.SEQUENCE) return this.sequence(path, events, index);
    if (event.type === EVENT_ID.MAPPING) return this.mapping(path, events, index);
    return [index + 1, 0];
  }

  private sequence(
    path: readonly string[],
    events: readonly Event[],
    index: number,
  ): [number, number] {
    let at = index + 1;
    let end = 0;
    for (let item = 0; isInside(events[at]); item += 1) {
      const [next, itemEnd] = this.node([...path, `[${item}]`], events, at);
      at = next;
      end = Math.max(end, itemEnd);
    }
    return [at + 1, end];
  }

  private mapping(
    path: readonly string[],
    events: readonly Event[],
    index: number,
  ): [number, number] {
    const opened = events[index] as Extract<Event, { type: typeof EVENT_ID.MAPPING }>;
    const isFlow = opened.style === 2;
    let at = index + 1;
    let end = Math.max(opened.start, opened.anchorEnd, opened.tagEnd);
    for (let key = events[at]; isInside(key); key = events[at]) {
      const entry = this.entry(path, key, isFlow);
      const [valueAt, keyEnd] = this.node(path, events, at);
      const [next, valueEnd] = this.node(entry?.path ?? path, events, valueAt);
      if (entry !== undefined) entry.valueEnd = Math.max(valueEnd, keyEnd);
      at = next;
      end = Math.max(end, keyEnd, valueEnd);
    }
    return [at + 1, end];
  }

  private entry(path: readonly string[], key: Event, isFlow: boolean): Draft | undefined {
    if (key.type !== EVENT_ID.SCALAR) return undefined;
    const keyStart = startOf(key);
    const entry: Draft = {
      path: [...path, getScalarValue(this.text, key)],
      keyStart,
      line: this.text.slice(0, keyStart).split(/\r\n|\r|\n/).length,
      valueEnd: key.valueEnd,
      isFlow,
    };
    this.entries.push(entry);
    return entry;
  }
}

function isInside(event: Event | undefined): event is Event {
  return event !== undefined && event.type !== EVENT_ID.POP;
}

// A quoted key begins at its quote, one with a tag or an anchor at that.
function startOf(key: ScalarEvent): number {
  const value = key.style === 1 ? key.valueStart : key.valueStart - 1;
  const before = [key.tagStart, key.anchorStart].filter((at) => at >= 0);
  return Math.min(value, ...before);
}
