import type { ImageState } from '../../core/engine/engine.ts';
import type { PortWish } from '../interfaces/run-files.ts';

/** Upstream's limit of a port's label (vantage6 4.14 server, resource/common/input_schema.py). */
const LABEL_MAX = 128;

/**
 * The ports that an image offers: each one that it EXPOSEs, TCP and UDP, with the label of its `LABEL p<port>`; none exposed
 * means 8888/tcp without label (vantage6 4.14 node/docker/vpn_manager.py, _find_exposed_ports).
 */
export function exposedPorts(image: Pick<ImageState, 'exposedPorts' | 'labels'>): PortWish[] {
  const wishes = image.exposedPorts.flatMap((text): PortWish[] => {
    const match = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
    const port = Number(match?.[1]);
    if (!match || port < 1 || port > 65_535) return [];
    return [{ protocol: match[2] === 'udp' ? 'udp' : 'tcp', port, label: labelOf(image, port) }];
  });
  if (wishes.length === 0) return [{ protocol: 'tcp', port: 8888, label: null }];
  return wishes.toSorted((a, b) => a.port - b.port || a.protocol.localeCompare(b.protocol));
}

function labelOf(image: Pick<ImageState, 'labels'>, port: number): string | null {
  const label = image.labels[`p${port}`];
  return label === undefined || label === '' || label.length > LABEL_MAX ? null : label;
}
