/** Index of the first character of the line that holds `at`. */
export function lineStart(text: string, at: number): number {
  return text.lastIndexOf('\n', at - 1) + 1;
}

/** Index behind the line end of the line that holds `at`, or the end of the text. */
export function lineEnd(text: string, at: number): number {
  const found = text.indexOf('\n', at);
  return found < 0 ? text.length : found + 1;
}

/** The line end that a text uses around `at`: that of the line before, else the first one, else LF. */
export function lineEndAt(text: string, at: number): '\n' | '\r\n' {
  const before = text.lastIndexOf('\n', Math.max(at - 1, 0));
  const found = before >= 0 ? before : text.indexOf('\n');
  return found > 0 && text[found - 1] === '\r' ? '\r\n' : '\n';
}
