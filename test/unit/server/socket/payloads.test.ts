import { describe, expect, it } from 'vitest';
import { FIXED_ROLES } from '../../../../src/server/auth/roles.ts';
import { statusChange, toConfigEntries } from '../../../../src/server/socket/payloads.ts';
import { roomsOf } from '../../../../src/server/socket/rooms.ts';

describe('node_info_update', () => {
  it('is flattened as upstream stores it', () => {
    const info = {
      encryption: false,
      allowed_algorithms: 'all',
      database_labels: ['default', 'second'],
      database_types: { db_type_default: 'csv' },
      vpn: 'on',
      nothing: null,
    };
    expect(toConfigEntries(info)).toStrictEqual([
      { key: 'encryption', value: '0' },
      { key: 'allowed_algorithms', value: 'all' },
      { key: 'database_labels', value: 'default' },
      { key: 'database_labels', value: 'second' },
      { key: 'db_type_default', value: 'csv' },
      { key: 'vpn', value: 'on' },
    ]);
  });

  it('is bounded, and nothing when it is no object', () => {
    const many = { list: Array.from({ length: 5000 }, (_, at) => at) };
    expect(toConfigEntries(many)).toHaveLength(1000);
    expect(toConfigEntries({ text: 'x'.repeat(5000) })?.[0]?.value).toHaveLength(1024);
    for (const payload of [undefined, null, 'text', [1]])
      expect(toConfigEntries(payload)).toBeUndefined();
  });
});

describe('a status change', () => {
  it('has a status that exists', () => {
    expect(statusChange.safeParse({ run_id: 1, status: 'active' }).success).toBe(true);
    expect(statusChange.safeParse({ run_id: 1, status: '<b>' }).success).toBe(false);
    expect(statusChange.safeParse({ run_id: '1', status: 'active' }).success).toBe(false);
  });
});

describe('rooms', () => {
  const user = { kind: 'user', id: 7, organizationId: 2, collaborationIds: [1, 4] } as const;
  const roomsFor = (name: string) => {
    const rules = FIXED_ROLES.find((role) => role.name === name)?.rules ?? [];
    return roomsOf({ ...user, rules, user: undefined as never });
  };

  it('follow the rules for events', () => {
    expect(roomsFor('Root')).toContain('all_collaborations');
    expect(roomsFor('Viewer')).toContain('collaboration_4');
    expect(roomsFor('none')).toStrictEqual(['account_7', 'organization_2_users']);
  });
});
