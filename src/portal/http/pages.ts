const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as it may stand in HTML and in attribute values. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? char);
}

function page(title: string, body: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>VPN Portal - ${escapeHtml(title)}</title>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`;
}

export interface LoginPageInput {
  /** Where the user wanted to go; an absolute URL of this portal. */
  readonly redirectTo: string;
  /** Set after a wrong password. */
  readonly failedUser?: string;
}

/** The form that eduVPN shows: same path, same field names. */
export function renderLoginPage({ redirectTo, failedUser }: LoginPageInput): string {
  const error =
    failedUser === undefined
      ? ''
      : '<p class="error">The credentials you provided were not correct.</p>\n';
  return page(
    'Sign In',
    `<p>Please sign in with your username and password.</p>
${error}<form method="post" action="/vpn-user-portal/_user_pass_auth/verify">
<label for="userName">Username</label>
<input type="text" id="userName" name="userName" autocapitalize="off" value="${escapeHtml(failedUser ?? '')}" required>
<label for="userPass">Password</label>
<input type="password" id="userPass" name="userPass" required>
<input type="hidden" name="_user_pass_auth_redirect_to" value="${escapeHtml(redirectTo)}">
<button type="submit">Sign In</button>
</form>`,
  );
}

export function renderHomePage(user: string): string {
  return page(
    'Home',
    `<p>You are signed in as ${escapeHtml(user)}. Nodes get their configurations through the coordination server.</p>
<form method="post" action="/vpn-user-portal/_logout"><button type="submit">Sign Out</button></form>`,
  );
}

export function renderErrorPage(status: number, message: string): string {
  return page(
    'Error',
    `<h2>${status}</h2>
<p>An error occurred.</p>
<p class="error"><code>${escapeHtml(message)}</code></p>`,
  );
}
