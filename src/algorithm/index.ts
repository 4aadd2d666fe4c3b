/** What algorithms import. */
export { type AddressFlags, AlgorithmClient, ServerRefusal, type SubTaskResult } from './client.ts';
export { type AlgorithmEnvironment, readEnvironment } from './environment.ts';
export { type AlgorithmInput, encodeInput, parseInput } from './input.ts';
export { connectClient, type MethodContext, type Methods, runAlgorithm } from './run.ts';
export { type AlgorithmIdentity, readIdentity } from './token.ts';
