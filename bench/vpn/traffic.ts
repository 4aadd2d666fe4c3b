// Runs inside containers: `traffic.ts serve PORT`, `traffic.ts stream HOST PORT MILLISECONDS`, `traffic.ts rounds HOST PORT COUNT`.
// The client prints one line of JSON. First byte of a connection: s = swallow and count, e = echo.
import { connect, createServer, type Socket } from 'node:net';

const CHUNK = Buffer.alloc(256 * 1024, 'v6');
const CONNECT_LIMIT_MS = 10_000;
/** The start of a stream does not count: a congestion window has to grow, on any path. */
const SLOW_START_MS = 500;

function serve(port: number): void {
  createServer({ allowHalfOpen: true }, (socket) => {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('data', (first: Buffer) => {
      if (first[0] === 0x65) echo(socket, first.subarray(1));
      else swallow(socket);
    });
  }).listen(port, '0.0.0.0');
}

function echo(socket: Socket, rest: Buffer): void {
  if (rest.length > 0) socket.write(rest);
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
  socket.on('end', () => socket.end());
}

/** Counts where the bytes arrive: what the sender has written may still be in its buffers. */
function swallow(socket: Socket): void {
  const began = performance.now();
  let countedFrom = 0;
  let counted = 0;
  let last = 0;
  socket.on('data', (chunk: Buffer) => {
    last = performance.now();
    if (countedFrom === 0 && last - began > SLOW_START_MS) countedFrom = last;
    else if (countedFrom > 0) counted += chunk.length;
  });
  socket.on('end', () => socket.end(JSON.stringify({ bytes: counted, ms: last - countedFrom })));
}

function call(host: string, port: number): Socket {
  const socket = connect(port, host);
  const limit = setTimeout(() => socket.destroy(new Error('no connection')), CONNECT_LIMIT_MS);
  socket.on('connect', () => clearTimeout(limit));
  socket.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  return socket;
}

function stream(host: string, port: number, limitMs: number): void {
  const socket = call(host, port);
  const state = { isOver: false };
  const push = (): void => {
    while (!state.isOver) if (!socket.write(CHUNK)) return;
  };
  socket.on('connect', () => {
    socket.write('s');
    setTimeout(() => {
      state.isOver = true;
      socket.end();
    }, limitMs);
    push();
  });
  socket.on('drain', push);
  socket.on('data', (answer: Buffer) => process.stdout.write(`${answer.toString()}\n`));
}

function rounds(host: string, port: number, count: number): void {
  const socket = call(host, port);
  const times: number[] = [];
  let began = 0;
  const ask = (): void => {
    began = performance.now();
    socket.write('x');
  };
  socket.setNoDelay(true);
  socket.on('connect', () => {
    socket.write('e');
    ask();
  });
  socket.on('data', () => {
    times.push(performance.now() - began);
    if (times.length < count) ask();
    else {
      process.stdout.write(`${JSON.stringify(times.map((ms) => Math.round(ms * 1000) / 1000))}\n`);
      socket.end();
    }
  });
}

const [mode, ...words] = process.argv.slice(2);
if (mode === 'serve') serve(Number(words[0]));
else if (mode === 'stream') stream(words[0] ?? '', Number(words[1]), Number(words[2]));
else if (mode === 'rounds') rounds(words[0] ?? '', Number(words[1]), Number(words[2]));
