/** PostgreSQL takes up to 7,999 bytes in one NOTIFY; what stands before the text needs some of them. */
const PART_LENGTH = 7000;
/** A longer text is none of ours. */
const MAX_PARTS = 1000;

/**
 * A text in parts, each `sender sequence part/parts ascii`. Letters beyond ASCII become JSON's \u escapes, so that one
 * character is one byte and a text may be cut anywhere.
 */
export function toParts(sender: string, sequence: number, json: string): readonly string[] {
  const ascii = json.replaceAll(
    /[\u007f-\uffff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const parts = Math.max(1, Math.ceil(ascii.length / PART_LENGTH));
  return Array.from({ length: parts }, (_, at) => {
    const text = ascii.slice(at * PART_LENGTH, (at + 1) * PART_LENGTH);
    return `${sender} ${sequence} ${at + 1}/${parts} ${text}`;
  });
}

export interface Part {
  readonly sender: string;
  readonly sequence: number;
  readonly part: number;
  readonly parts: number;
  readonly text: string;
}

/** Undefined for what is none of ours. */
export function parsePart(payload: string): Part | undefined {
  const match = /^([0-9a-f]+) (\d+) (\d+)\/(\d+) (.*)$/s.exec(payload);
  if (match === null) return undefined;
  const [, sender = '', sequence, part, parts, text = ''] = match;
  const found = {
    sender,
    sequence: Number(sequence),
    part: Number(part),
    parts: Number(parts),
    text,
  };
  return found.parts <= MAX_PARTS ? found : undefined;
}

export interface Taken {
  /** Undefined while parts are missing. */
  readonly text: string | undefined;
  /** Something that this sender sent before was not heard. */
  readonly isGap: boolean;
}

/** Puts parts together, and sees from the sequence numbers of a sender what is missing. */
export function createCollector(): { take(part: Part): Taken; forget(): void } {
  const senders = new Map<string, { sequence: number; texts: string[]; parts: number }>();
  return {
    take: ({ sender, sequence, part, parts, text }) => {
      const known = senders.get(sender);
      const isWhole = known === undefined || known.texts.length === known.parts;
      const isNext = isWhole
        ? part === 1 && (known === undefined || sequence === known.sequence + 1)
        : sequence === known.sequence && part === known.texts.length + 1;
      const texts = part === 1 ? [text] : [...(known?.texts ?? []), text];
      senders.set(sender, { sequence, texts, parts });
      const isUsable = isNext || part === 1;
      return {
        text: isUsable && texts.length === parts ? texts.join('') : undefined,
        isGap: !isNext,
      };
    },
    forget: () => senders.clear(),
  };
}
