/** Rules for the fields of a user, as the REST interface has them (src/server/http/routes/users.ts). */

/** The end of a sentence; undefined for a good name. */
export function usernameProblem(username: string): string | undefined {
  if (/^[a-z][\w.-]{2,127}$/i.test(username)) return undefined;
  return `${JSON.stringify(username)} is no user name: a letter, then letters, digits, dot, dash, underscore; 3 to 128 characters`;
}

/** The end of a sentence; undefined for a good address. */
export function emailProblem(email: string): string | undefined {
  if (email.length <= 254 && /^[^\s@]+@[^\s@]+$/.test(email)) return undefined;
  return `${JSON.stringify(email)} is no mail address`;
}

/** Addresses are unique; somebody without one gets one that leads nowhere. */
export const noEmail = (username: string): string => `${username}@localhost`;
