/** What a node reports of its machine (`node_metrics_update`), by upstream's names; the lists have one value per GPU. */
export interface NodeReport {
  readonly os: string;
  readonly platform: string;
  readonly values: Readonly<Record<string, number>>;
  readonly gpus: Readonly<Record<string, readonly number[]>>;
}

export interface Answered {
  readonly method: string;
  /** Pattern of the route, never a path: paths hold ids. */
  readonly route: string;
  readonly status: number;
  readonly seconds: number;
}

/** Counts what happens. Nothing here fails or waits. */
export interface Metrics {
  answered(answer: Answered): void;
  /** The code of a request that was not carried out. */
  refused(code: string): void;
  /** A node was given a VPN configuration. */
  gaveVpn(): void;
  nodeReported(nodeId: number, report: NodeReport): void;
  /** What it reported is not true any more. */
  nodeLeft(nodeId: number): void;
}

export interface SocketCount {
  readonly kind: 'user' | 'node' | 'unknown';
  readonly transport: string;
  readonly count: number;
}

/** What is looked up when somebody asks for the figures. */
export interface MetricSources {
  sockets(): readonly SocketCount[];
  /** Throws V6_DATABASE. */
  nodesOnline(): Promise<number>;
  /** Throws V6_DATABASE. */
  openRuns(): Promise<number>;
}

/** The figures on a port of their own. */
export interface MetricsExporter extends Metrics {
  /** Throws V6_NET_PORT_IN_USE. */
  open(sources: MetricSources): Promise<void>;
  close(): Promise<void>;
}
