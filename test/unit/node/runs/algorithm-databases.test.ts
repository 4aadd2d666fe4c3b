import { expect, it } from 'vitest';
import { databasesFor } from '../../../../src/node/runs/algorithm-databases.ts';

const available = [
  { label: 'default', uri: '/data/patients.csv', type: 'csv' },
  { label: 'images', uri: '/data/images', type: 'folder' },
  { label: 'omop', uri: 'postgresql://user:secret@db/omop', type: 'omop' },
];

it('binds a file and a folder read-only, under upstream’s names', () => {
  const requested = ['default', 'images'].map((label) => ({ label, parameters: '{}' }));
  const { env, mounts } = databasesFor(requested, available);
  expect(mounts).toEqual([
    { source: '/data/patients.csv', target: '/mnt/default.csv', readOnly: true },
    { source: '/data/images', target: '/mnt/images', readOnly: true },
  ]);
  expect(env).toEqual({
    USER_REQUESTED_DATABASE_LABELS: 'default,images',
    DB_LABELS: 'default,images,omop',
    DEFAULT_DATABASE_URI: '/mnt/default.csv',
    DEFAULT_DATABASE_TYPE: 'csv',
    IMAGES_DATABASE_URI: '/mnt/images',
    IMAGES_DATABASE_TYPE: 'folder',
  });
});

it('tells an algorithm nothing of a database that its task does not ask for', () => {
  const { env, mounts } = databasesFor([], available);
  expect(JSON.stringify({ env, mounts })).not.toContain('secret');
  expect(mounts).toEqual([]);
});

it('hands the parameters of the task on, as far as upstream knows them', () => {
  const parameters = JSON.stringify({
    query: 'SELECT 1',
    preprocessing: [{ function: 'x' }],
    mount: '/etc',
  });
  const { env } = databasesFor([{ label: 'omop', parameters }], available);
  expect(env.OMOP_QUERY).toBe('SELECT 1');
  expect(env.OMOP_PREPROCESSING).toBe('[{"function":"x"}]');
  expect(Object.keys(env).some((key) => key.includes('MOUNT'))).toBe(false);
});
