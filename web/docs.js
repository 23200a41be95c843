// The API reference: Swagger UI on the document that this host serves, with the token that the person
// enters here, or entered on the page of derd in this browser tab. It is kept where that page keeps it,
// and nowhere else.
'use strict';

const TOKEN_KEY = 'derd.token';
const SCHEME = 'token'; // of the document's securitySchemes

const field = document.getElementById('token');
const said = document.getElementById('said');
let asked = 0;
let authorized = false;

const reference = window.SwaggerUIBundle({
  url: '/v1/openapi.json',
  dom_id: '#reference',
  deepLinking: true, // #/Constraints/createConstraint
  displayOperationId: true,
  displayRequestDuration: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 2,
  filter: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  validatorUrl: null, // asks nobody outside
  onComplete: () => {
    field.value = sessionStorage.getItem(TOKEN_KEY) || '';
    take();
  },
});

// Says whether the host knows the token, so that nobody wonders about 401.
async function check(token) {
  asked += 1;
  const mine = asked;
  let words = 'The host does not answer.';
  try {
    const answer = await fetch('/v1/vocabulary', {
      headers: { Authorization: `Bearer ${token}` }, cache: 'no-store',
    });
    words = answer.status === 401 ? 'This token is not known here.' : 'Requests carry this token.';
  } catch (error) {
    // The words above say it.
  }
  if (mine === asked) {
    said.textContent = words;
  }
}

function take() {
  const token = field.value.trim();
  if (token === '') {
    asked += 1;
    sessionStorage.removeItem(TOKEN_KEY);
    if (authorized) {
      reference.authActions.logout([SCHEME]);
      authorized = false;
    }
    said.textContent = 'Without one, requests are answered 401.';
    return;
  }
  sessionStorage.setItem(TOKEN_KEY, token);
  reference.preauthorizeApiKey(SCHEME, token);
  authorized = true;
  check(token);
}

field.addEventListener('change', take);
document.getElementById('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  take();
});
