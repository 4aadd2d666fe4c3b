import { renderTable } from './table.ts';

interface BuiltRow {
  readonly reference: string;
  readonly sizeBytes: number;
  readonly state: 'built' | 'present';
}

interface ListedRow {
  readonly reference: string;
  readonly version: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  readonly isCurrent: boolean;
}

/** Decimal megabytes with one digit, as container engines print sizes. */
export function renderMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function renderBuiltImages(images: readonly BuiltRow[]): string {
  return renderTable(
    ['IMAGE', 'SIZE', ''],
    images.map((image) => [
      image.reference,
      renderMegabytes(image.sizeBytes),
      image.state === 'built' ? 'built' : 'was there',
    ]),
  );
}

export function renderListedImages(images: readonly ListedRow[]): string {
  if (images.length === 0) return 'No images yet. Make them with: npx v6 images build';
  return renderTable(
    ['', 'IMAGE', 'VERSION', 'SIZE', 'CREATED'],
    images.map((image) => [
      image.isCurrent ? '*' : '',
      image.reference,
      image.version,
      renderMegabytes(image.sizeBytes),
      `${image.createdAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
    ]),
  );
}
