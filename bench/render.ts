import type { BenchDocument } from './document.ts';

/** The document as text: one line per figure, ratio and goal. */
export function renderText(document: BenchDocument & { readonly date: string }): string {
  const { name, unit, figures, ratios, goals, ...rest } = document;
  const line = (row: object): string =>
    `  ${Object.entries(row)
      .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
      .join(', ')}`;
  return `${[
    `${name} (times in ${unit})`,
    line(rest),
    ...figures.map(line),
    ...(ratios.length > 0 ? ['ratios:', ...ratios.map(line)] : []),
    'goals:',
    ...goals.map(
      ({ goal, measured, limit, isReached }) =>
        `  ${isReached ? 'reached' : 'MISSED'}: ${goal}: ${measured} (limit ${limit})`,
    ),
  ].join('\n')}\n`;
}
