/** The images that users and other parts of v6 name. */
export const IMAGE_KINDS = ['vpn', 'runtime', 'echo'] as const;
export type ImageKind = (typeof IMAGE_KINDS)[number];

/** What those stand on: Debian packages, which change seldom and take longest. */
export const BASE_KINDS = ['vpn-base', 'runtime-base'] as const;
export type BaseKind = (typeof BASE_KINDS)[number];

export type AnyImageKind = ImageKind | BaseKind;

export const BASE_OF = {
  vpn: 'vpn-base',
  runtime: 'runtime-base',
  echo: 'runtime-base',
} as const satisfies Record<ImageKind, BaseKind>;

/** Labels of every image of ours, beside `v6` (our version). Stable from the first release on. */
export const IMAGE_LABEL = { kind: 'v6.image', content: 'v6.content' } as const;

/** One line of progress, for a human. */
export type LineHandler = (line: string) => void;

/** Where an image belongs: its full name, and the hash of everything that it is made of. */
export interface ImageIdentity {
  readonly kind: AnyImageKind;
  readonly reference: string;
  /** 12 hex digits. */
  readonly content: string;
}
