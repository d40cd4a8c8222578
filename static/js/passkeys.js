/* Passkeys: fills forms with data-passkey with the answer of the browser's authenticator. */
(() => {
  const knows = window.PublicKeyCredential?.parseRequestOptionsFromJSON;

  const embedded = (form) => JSON.parse(form.dataset.options);

  const fetched = async (form) => {
    const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error("The portal did not answer.");
    return (await answer.json()).request_options;
  };

  const used = async ({ publicKey }) =>
    navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });

  const made = async (form, { publicKey }) => {
    const alone = form.elements.passwordless.checked;
    publicKey.authenticatorSelection = {
      ...publicKey.authenticatorSelection,
      residentKey: alone ? "required" : "discouraged",
      requireResidentKey: alone,
      userVerification: alone ? "required" : "preferred",
    };
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) });
  };

  const ways = {
    "sign-in": async (form) => used(await fetched(form)),
    use: async (form) => used(embedded(form)),
    add: async (form) => made(form, embedded(form)),
  };

  const say = (form, text) => {
    const errors = form.querySelector("p.field-errors");
    errors.textContent = text;
    errors.hidden = !text;
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const way = form.dataset.passkey;
    if (knows && (way === "sign-in" || form.dataset.options)) form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!knows) return say(form, "This browser doesn't support passkeys. Update it, or use another one.");
      say(form, "");
      try {
        form.elements.credential.value = JSON.stringify((await ways[way](form)).toJSON());
      } catch {
        return say(form, "Your passkey wasn't used. Try again.");
      }
      form.submit();
    });
  }
})();
